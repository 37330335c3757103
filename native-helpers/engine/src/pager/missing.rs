//! What is still missing of one address space, and where it goes.
//!
//! A page of the image belongs at the address it had, until the program moves the mapping (mremap(2)); so
//! an *area* says which run of the image's pages lies where. One bit a page says that the image's contents
//! have to be there before anybody sees the page; without it a missing page is one of zeros.

use std::sync::Arc;

const PAGE: u64 = 4096;
const WINDOW: u64 = torpor_image::BLOCK_PAGES as u64;

/// A block of the image, as far as it concerns placing pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Of the piece of the plan.
    pub number: u32,
    /// The first page of its window.
    pub base_page: u64,
    /// Which pages of the window it has contents for.
    pub data: u64,
    /// Those of them that belong here.
    pub wanted: u64,
}

/// Pages `source..source + pages` of the image lie at page `place` now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    source: u64,
    place: u64,
    pages: u64,
}

/// A run of pages to be placed: the address, and which of the block's data pages it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub address: u64,
    pub slot: usize,
    pub pages: usize,
}

/// The missing pages of one address space.
#[derive(Debug, Clone)]
pub struct Missing {
    blocks: Arc<[Block]>,
    /// By block: the pages that are still to come.
    bits: Vec<u64>,
    areas: Vec<Area>,
    left: u64,
}

impl Missing {
    /// `blocks` in order of their pages; `ranges` are the mappings (addresses) that they lie in.
    pub fn new(blocks: Arc<[Block]>, ranges: &[(u64, u64)]) -> Missing {
        let bits: Vec<u64> = blocks.iter().map(|b| b.wanted).collect();
        let left = bits.iter().map(|b| u64::from(b.count_ones())).sum();
        let areas = ranges
            .iter()
            .map(|(start, end)| Area {
                source: start / PAGE,
                place: start / PAGE,
                pages: (end - start) / PAGE,
            })
            .collect();
        Missing { blocks, bits, areas, left }
    }

    /// Pages of the image that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The block that has to be placed before the page at `address` may be seen; `None` for one of zeros.
    pub fn at(&self, address: u64) -> Option<usize> {
        let page = self.source_of(address / PAGE)?;
        let (base, bit) = (page / WINDOW * WINDOW, 1u64 << (page % WINDOW));
        self.window(base).find(|i| self.bits[*i] & bit != 0)
    }

    /// The place of an image's block among ours.
    pub fn find(&self, number: u32, base_page: u64) -> Option<usize> {
        self.window(base_page).find(|i| self.blocks[*i].number == number)
    }

    pub fn block(&self, index: usize) -> Block {
        self.blocks[index]
    }

    /// The pages of a block that are still to come.
    pub fn wanted(&self, index: usize) -> u64 {
        self.bits[index]
    }

    /// Where the missing pages of a block go, in runs.
    pub fn targets(&self, index: usize) -> Vec<Target> {
        let (block, bits) = (self.blocks[index], self.bits[index]);
        let mut all: Vec<Target> = Vec::new();
        for n in (0..WINDOW).filter(|n| bits >> n & 1 != 0) {
            let Some(place) = self.place_of(block.base_page + n) else { continue };
            let slot = (block.data & ((1u64 << n) - 1)).count_ones() as usize;
            let address = place * PAGE;
            if let Some(last) = all.last_mut()
                && last.address + last.pages as u64 * PAGE == address
                && last.slot + last.pages == slot
            {
                last.pages += 1;
            } else {
                all.push(Target { address, slot, pages: 1 });
            }
        }
        all
    }

    /// The pages at `address..address + len` are there, or are no longer the image's.
    pub fn clear(&mut self, address: u64, len: u64) {
        let (start, end) = (address / PAGE, (address + len).div_ceil(PAGE));
        let sources: Vec<(u64, u64)> = self
            .areas
            .iter()
            .filter_map(|area| overlap(area, start, end))
            .map(|a| (a.source, a.pages))
            .collect();
        for (source, pages) in sources {
            self.clear_source(source, source + pages);
        }
    }

    /// A range is no longer mapped.
    pub fn unmap(&mut self, start: u64, end: u64) {
        self.clear(start, end - start);
        self.cut(start / PAGE, end / PAGE);
    }

    /// A range lies elsewhere now; what was there before was unmapped.
    pub fn remap(&mut self, from: u64, to: u64, len: u64) {
        let (first, end) = (from / PAGE, (from + len) / PAGE);
        let moved: Vec<Area> = self.areas.iter().filter_map(|area| overlap(area, first, end)).collect();
        self.cut(first, end);
        let target = to / PAGE;
        self.clear(to, len);
        self.cut(target, target + len / PAGE);
        self.areas.extend(moved.iter().map(|area| Area { place: area.place - first + target, ..*area }));
        self.areas.sort_unstable_by_key(|area| area.source);
    }

    fn clear_source(&mut self, start: u64, end: u64) {
        let from = self.blocks.partition_point(|b| b.base_page + WINDOW <= start);
        for index in from..self.blocks.len() {
            let base = self.blocks[index].base_page;
            if base >= end {
                break;
            }
            let mask = ones(end - base) & !ones(start.saturating_sub(base));
            self.left -= u64::from((self.bits[index] & mask).count_ones());
            self.bits[index] &= !mask;
        }
    }

    /// Takes pages `start..end` out of the areas.
    fn cut(&mut self, start: u64, end: u64) {
        let mut kept = Vec::with_capacity(self.areas.len() + 1);
        for area in self.areas.drain(..) {
            let Some(hit) = overlap(&area, start, end) else {
                kept.push(area);
                continue;
            };
            let before = hit.place - area.place;
            if before > 0 {
                kept.push(Area { pages: before, ..area });
            }
            let after = area.pages - before - hit.pages;
            if after > 0 {
                let skipped = before + hit.pages;
                kept.push(Area { source: area.source + skipped, place: area.place + skipped, pages: after });
            }
        }
        self.areas = kept;
    }

    fn window(&self, base: u64) -> impl Iterator<Item = usize> + use<'_> {
        let start = self.blocks.partition_point(|b| b.base_page < base);
        (start..self.blocks.len()).take_while(move |i| self.blocks[*i].base_page == base)
    }

    fn source_of(&self, place: u64) -> Option<u64> {
        let holds = |area: &Area| area.place <= place && place < area.place + area.pages;
        // Nearly always where it was.
        let near = self.areas.partition_point(|area| area.source <= place).checked_sub(1);
        let area = near
            .map(|i| &self.areas[i])
            .filter(|a| holds(a))
            .or_else(|| self.areas.iter().find(|a| holds(a)))?;
        Some(place - area.place + area.source)
    }

    fn place_of(&self, source: u64) -> Option<u64> {
        let near = self.areas.partition_point(|area| area.source <= source).checked_sub(1)?;
        let area = &self.areas[near];
        (source < area.source + area.pages).then(|| source - area.source + area.place)
    }
}

/// The part of an area that lies at pages `start..end`.
fn overlap(area: &Area, start: u64, end: u64) -> Option<Area> {
    let (from, to) = (area.place.max(start), (area.place + area.pages).min(end));
    (from < to).then(|| Area { source: area.source + (from - area.place), place: from, pages: to - from })
}

/// The lowest `n` bits.
fn ones(n: u64) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 128 pages from page 64 on, all with contents, in one mapping.
    fn missing() -> Missing {
        let block = |number: u32| Block {
            number,
            base_page: 64 * (u64::from(number) + 1),
            data: u64::MAX,
            wanted: u64::MAX,
        };
        Missing::new(Arc::from([block(0), block(1)]), &[(64 * PAGE, 192 * PAGE)])
    }

    #[test]
    fn what_is_dropped_is_zeros_and_the_rest_still_comes() {
        let mut missing = missing();
        missing.clear(126 * PAGE, 4 * PAGE);
        assert_eq!(missing.left(), 124);
        assert_eq!(
            (missing.at(126 * PAGE), missing.at(129 * PAGE + 7), missing.at(130 * PAGE)),
            (None, None, Some(1))
        );
        assert_eq!(missing.targets(0), [Target { address: 64 * PAGE, slot: 0, pages: 62 }]);
        assert_eq!(missing.targets(1), [Target { address: 130 * PAGE, slot: 2, pages: 62 }]);
        // Twice is once.
        missing.clear(126 * PAGE, 4 * PAGE);
        assert_eq!(missing.left(), 124);
    }

    #[test]
    fn what_moves_comes_to_its_new_place() {
        let mut missing = missing();
        missing.remap(70 * PAGE, 1000 * PAGE, 10 * PAGE);
        assert_eq!(
            (missing.at(70 * PAGE), missing.at(1000 * PAGE), missing.at(1010 * PAGE)),
            (None, Some(0), None)
        );
        let run = |page: u64, slot, pages| Target { address: page * PAGE, slot, pages };
        assert_eq!(missing.targets(0), [run(64, 0, 6), run(1000, 6, 10), run(80, 16, 48)]);
        // On top of another part of it, whose contents are gone with that.
        missing.remap(1000 * PAGE, 64 * PAGE, 4 * PAGE);
        assert_eq!(missing.left(), 124);
        assert_eq!(missing.targets(0), [run(68, 4, 2), run(64, 6, 4), run(1004, 10, 6), run(80, 16, 48)]);
        missing.unmap(0, 2000 * PAGE);
        assert_eq!((missing.left(), missing.targets(1).len(), missing.at(100 * PAGE)), (0, 0, None));
    }

    #[test]
    fn a_slot_counts_only_pages_with_contents() {
        let data = 0b1010_0110;
        let block = Block { number: 7, base_page: 0, data, wanted: data };
        let missing = Missing::new(Arc::from([block]), &[(0, 64 * PAGE)]);
        let run = |page: u64, slot, pages| Target { address: page * PAGE, slot, pages };
        assert_eq!(missing.targets(0), [run(1, 0, 2), run(5, 2, 1), run(7, 3, 1)]);
        assert_eq!(
            (missing.find(7, 0), missing.find(8, 0), missing.at(0), missing.at(PAGE)),
            (Some(0), None, None, Some(0))
        );
        // A younger image has the others.
        let missing = Missing::new(Arc::from([Block { wanted: 0b1000_0010, ..block }]), &[(0, 64 * PAGE)]);
        assert_eq!(missing.targets(0), [run(1, 0, 1), run(7, 3, 1)]);
    }
}
