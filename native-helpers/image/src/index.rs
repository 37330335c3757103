//! The page index in memory: checked as a whole once, then searched.

use std::ops::Range;

use crate::entry::{BlockEntry, Codec};
use crate::header::{Part, SectionSizes};
use crate::limits::{BLOCK_PAGES, PAGE};
use crate::plan::Section;

/// Where a page's contents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageLocation {
    /// The page is all zeros.
    Zero { block: usize },
    /// The page is the `slot`-th data page of a block of this image.
    Stored { block: usize, slot: usize },
    /// The parent image has it.
    InParent { block: usize },
}

/// All entries: those of physical memory, then those of virtual memory, each sorted by space and page.
pub(crate) struct PageIndex {
    entries: Vec<BlockEntry>,
    physical: usize,
}

/// Where a section's blocks are and what the header says of them.
pub(crate) struct SectionClaim {
    pub part: Part,
    pub sizes: SectionSizes,
}

impl PageIndex {
    /// Checks `entries` against each other and against the header: sorted, no page twice, stored bytes
    /// one after the other with no gap but padding to a page, within their section, duplicates of blocks
    /// that exist.
    pub(crate) fn new(
        entries: Vec<BlockEntry>,
        physical: &SectionClaim,
        virtual_: &SectionClaim,
        has_parent: bool,
    ) -> Result<Self, &'static str> {
        let index = Self { entries, physical: physical.sizes.blocks as usize };
        let total = u64::from(physical.sizes.blocks) + u64::from(virtual_.sizes.blocks);
        if total != index.entries.len() as u64 {
            return Err("the header speaks of another number of blocks");
        }
        if !has_parent && index.entries.iter().any(|entry| entry.codec == Codec::InParent) {
            return Err("a block is said to be in a parent image, but there is none");
        }
        for (section, claim) in [(Section::Physical, physical), (Section::Virtual, virtual_)] {
            index.check_order(section)?;
            index.check_places(section, claim)?;
        }
        index.check_disjoint()?;
        index.check_duplicates()?;
        Ok(index)
    }

    pub(crate) fn entries(&self) -> &[BlockEntry] {
        &self.entries
    }

    pub(crate) fn range(&self, section: Section) -> Range<usize> {
        match section {
            Section::Physical => 0..self.physical,
            Section::Virtual => self.physical..self.entries.len(),
        }
    }

    pub(crate) fn section_of(&self, block: usize) -> Section {
        if block < self.physical { Section::Physical } else { Section::Virtual }
    }

    /// The blocks of one section that speak of the window at `base_page`: at most 64, as their pages
    /// don't overlap; one or two in practice.
    fn window_in(&self, section: Section, space: u32, base_page: u64) -> Range<usize> {
        let range = self.range(section);
        let entries = &self.entries[range.clone()];
        let start = entries.partition_point(|entry| key(entry) < (space, base_page));
        let count = entries[start..].iter().take_while(|entry| key(entry) == (space, base_page)).count();
        range.start + start..range.start + start + count
    }

    /// All blocks that speak of the window at `base_page`.
    pub(crate) fn window(&self, space: u32, base_page: u64) -> impl Iterator<Item = usize> + use<> {
        self.window_in(Section::Physical, space, base_page).chain(self.window_in(
            Section::Virtual,
            space,
            base_page,
        ))
    }

    pub(crate) fn find(&self, space: u32, page: u64) -> Option<PageLocation> {
        let base_page = page & !(BLOCK_PAGES as u64 - 1);
        let bit = 1u64 << (page - base_page);
        let block = self.window(space, base_page).find(|block| self.entries[*block].pages() & bit != 0)?;
        let entry = &self.entries[block];
        Some(match entry.slot_of(page) {
            None => PageLocation::Zero { block },
            Some(_) if entry.codec == Codec::InParent => PageLocation::InParent { block },
            Some(slot) => PageLocation::Stored { block, slot },
        })
    }

    fn check_order(&self, section: Section) -> Result<(), &'static str> {
        for pair in self.entries[self.range(section)].windows(2) {
            if key(&pair[0]) > key(&pair[1]) {
                return Err("its blocks are not in order");
            }
        }
        Ok(())
    }

    fn check_places(&self, section: Section, claim: &SectionClaim) -> Result<(), &'static str> {
        let mut end = claim.part.offset;
        let mut sizes = SectionSizes { blocks: claim.sizes.blocks, ..SectionSizes::default() };
        for entry in &self.entries[self.range(section)] {
            sizes.zero_pages += u64::from(entry.zero.count_ones());
            match entry.codec {
                Codec::InParent => sizes.parent_pages += entry.data_pages() as u64,
                _ => sizes.stored_pages += entry.data_pages() as u64,
            }
            if entry.has_stored_bytes() && !entry.duplicate {
                if entry.offset != place_after(end, entry.codec) {
                    return Err("its blocks are not one after the other");
                }
                end = entry.offset + u64::from(entry.stored_len);
                if end > claim.part.offset + claim.part.span {
                    return Err("a block lies outside its section");
                }
            }
        }
        if end.next_multiple_of(PAGE) != claim.part.offset + claim.part.span {
            return Err("a section has bytes that belong to no block");
        }
        if sizes != claim.sizes {
            return Err("the header speaks of other numbers of pages");
        }
        Ok(())
    }

    /// No page may have two contents: walks both sections side by side, window by window.
    fn check_disjoint(&self) -> Result<(), &'static str> {
        let (physical, virtual_) = self.entries.split_at(self.physical);
        let (mut p, mut v) = (physical.iter().peekable(), virtual_.iter().peekable());
        loop {
            let window = match (p.peek(), v.peek()) {
                (None, None) => return Ok(()),
                (Some(a), Some(b)) => key(a).min(key(b)),
                (Some(a), None) | (None, Some(a)) => key(a),
            };
            let mut seen = 0u64;
            while let Some(entry) =
                p.next_if(|entry| key(entry) == window).or_else(|| v.next_if(|entry| key(entry) == window))
            {
                if seen & entry.pages() != 0 {
                    return Err("a page is there twice");
                }
                seen |= entry.pages();
            }
        }
    }

    /// A duplicate must have the very bytes of an earlier block.
    fn check_duplicates(&self) -> Result<(), &'static str> {
        if !self.entries.iter().any(|entry| entry.duplicate) {
            return Ok(());
        }
        // Offsets of blocks with bytes of their own ascend: that was checked.
        let mut owners: Vec<&BlockEntry> = Vec::new();
        for entry in &self.entries {
            if !entry.duplicate {
                if entry.has_stored_bytes() {
                    owners.push(entry);
                }
                continue;
            }
            let same = owners.binary_search_by_key(&entry.offset, |owner| owner.offset).is_ok_and(|at| {
                let owner = owners[at];
                (owner.codec, owner.stored_len, owner.checksum, owner.data_pages())
                    == (entry.codec, entry.stored_len, entry.checksum, entry.data_pages())
            });
            if !same {
                return Err("a block repeats one that is not there");
            }
        }
        Ok(())
    }
}

fn key(entry: &BlockEntry) -> (u32, u64) {
    (entry.space, entry.base_page)
}

/// Where a block begins if the bytes before it end at `end`: blocks stored as they are begin on a page
/// boundary, others follow at once.
fn place_after(end: u64, codec: Codec) -> u64 {
    if codec == Codec::Raw { end.next_multiple_of(PAGE) } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Part;

    #[test]
    fn a_block_may_repeat_one_of_the_other_section() {
        let block = |space, duplicate| BlockEntry {
            space,
            codec: Codec::Raw,
            duplicate,
            base_page: 0,
            data: 1,
            zero: 0,
            offset: PAGE,
            stored_len: PAGE as u32,
            checksum: 7,
        };
        let claim = |len| SectionClaim {
            part: Part { offset: 2 * PAGE - len, len, span: len },
            sizes: SectionSizes { blocks: 1, stored_pages: 1, ..SectionSizes::default() },
        };
        let index = |repeated| {
            let entries = vec![block(1, false), repeated];
            PageIndex::new(entries, &claim(PAGE), &claim(0), false).map(drop)
        };
        assert_eq!(index(block(2, true)), Ok(()));
        let other = BlockEntry { checksum: 8, ..block(2, true) };
        assert_eq!(index(other), Err("a block repeats one that is not there"));
    }
}
