//! Finds the pages that are as they were in an earlier image, so that only the others are written.
//!
//! Where the kernel has noted writes since ([`crate::tracking`]), what was not written is the parent's, and what was
//! is stored; neither is read for that. Everywhere else by comparing contents: a block whose pages are stored as they
//! are is known again by its checksum, any other is read from the parent and compared page by page. This is right
//! whatever happened in between; it reads all memory, and of the parent what has changed.

use std::collections::HashMap;
use std::fs::File;

use serde::Serialize;
use torpor_image::{
    BlockEntry, ChainBuf, Codec, ImageChain, PAGE_SIZE, PageRun, PageSource, block_checksum, cbor,
};

use super::CaptureError;
use super::write::{Pages, WritePagesError};
use crate::model::{AddressSpace, FileKind, OpenFile, Process, SpaceId, SystemState};
use crate::progress::{Observer, Phase};
use crate::ranges::Ranges;
use crate::tracking::Unwritten;

const PAGE: u64 = PAGE_SIZE as u64;
const WINDOW: u64 = 64;

/// Refuses a parent whose first process is another one or runs another program.
pub fn check_same_tree(
    parent: &ImageChain<File>,
    processes: &[Process],
    files: &[OpenFile],
) -> Result<(), CaptureError> {
    let state: SystemState =
        cbor::from_slice(&parent.youngest().state_bytes()?).map_err(CaptureError::ParentState)?;
    let (Some(then), Some(now)) = (state.processes.first(), processes.first()) else {
        return Err(CaptureError::OtherTree("it has no process".into()));
    };
    if then.pid != now.pid {
        return Err(CaptureError::OtherTree(format!("its first process is {}, not {}", then.pid, now.pid)));
    }
    let (was, is) = (program(then, &state.files), program(now, files));
    if was != is {
        let name = |program: Option<&str>| program.unwrap_or("nothing").to_owned();
        return Err(CaptureError::OtherTree(format!(
            "process {} ran {}, not {}",
            now.pid,
            name(was),
            name(is)
        )));
    }
    Ok(())
}

fn program<'a>(process: &Process, files: &'a [OpenFile]) -> Option<&'a str> {
    let file = files.get(process.mm.as_ref()?.exe? as usize)?;
    match &file.kind {
        FileKind::Path(path) => Some(&path.path),
        _ => Some(&file.description),
    }
}

/// Pages that are taken from the parent, by how that was found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentPages {
    /// The kernel has noted that nobody has written them.
    pub tracked: u64,
    /// They have the same contents.
    pub compared: u64,
}

/// First and last page of each space's own command line: an image can tell by itself what ran in it.
pub type Told = HashMap<SpaceId, (u64, u64)>;

pub fn told(mm: &AddressSpace) -> (u64, u64) {
    (mm.arg_start / PAGE, mm.arg_end.div_ceil(PAGE))
}

/// Those pages of one space that [`split`] is going to take from the parent without reading them.
pub fn certain(
    parent: &ImageChain<File>,
    runs: &[PageRun],
    told: &Told,
    noted: Option<&Unwritten>,
) -> Ranges {
    let mut certain = Ranges::default();
    let Some(noted) = noted else { return certain };
    for window in runs.iter().flat_map(windows) {
        if noted.unknown.mask(window.base) & window.wanted == 0 {
            let tracked = window.tracked(parent, noted) & !window.told(told);
            runs_of(tracked, |from, to| certain.push(window.base + from, window.base + to));
        }
    }
    certain
}

/// A part of a run: of 64 pages from `base` on, those `wanted`.
struct Window {
    space: SpaceId,
    base: u64,
    page: u64,
    until: u64,
    wanted: u64,
}

fn windows(run: &PageRun) -> impl Iterator<Item = Window> + use<> {
    let (space, end, mut page) = (run.space, run.start_page + run.pages, run.start_page);
    std::iter::from_fn(move || {
        if page >= end {
            return None;
        }
        let base = page / WINDOW * WINDOW;
        let until = end.min(base + WINDOW);
        let window = Window { space, base, page, until, wanted: mask(page - base, until - base) };
        page = until;
        Some(window)
    })
}

impl Window {
    /// Pages that nobody has written and that the parent has, or knows to be zeros.
    fn tracked(&self, parent: &ImageChain<File>, noted: &Unwritten) -> u64 {
        let same = self.wanted & noted.same.mask(self.base);
        if same == 0 {
            return 0;
        }
        let image = parent.youngest();
        let there = image.window(self.space, self.base).map(|block| image.blocks()[block].pages());
        same & there.fold(0, |all, pages| all | pages)
    }

    fn told(&self, told: &Told) -> u64 {
        let Some((from, to)) = told.get(&self.space) else { return 0 };
        let (from, to) = ((*from).max(self.base), (*to).min(self.base + WINDOW));
        if from < to { mask(from - self.base, to - self.base) } else { 0 }
    }
}

/// Tells the runs of ones: first bit, and the one behind the last.
fn runs_of(mut bits: u64, mut tell: impl FnMut(u64, u64)) {
    while bits != 0 {
        let from = bits.trailing_zeros();
        let to = from + (bits >> from).trailing_ones();
        tell(u64::from(from), u64::from(to));
        bits = if to == u64::BITS { 0 } else { bits >> to << to };
    }
}

/// Splits the runs into what the parent has and what has to be stored.
pub fn split(
    parent: &ImageChain<File>,
    runs: Vec<PageRun>,
    processes: &[Process],
    sources: &HashMap<SpaceId, Pages>,
    unwritten: &HashMap<SpaceId, Unwritten>,
    observer: &mut Observer<'_>,
) -> Result<(Vec<PageRun>, ParentPages), CaptureError> {
    let total: u64 = runs.iter().map(|r| r.pages).sum::<u64>() * PAGE_SIZE as u64;
    let told: Told =
        processes.iter().filter_map(|p| p.mm.as_ref()).map(|mm| (mm.space, self::told(mm))).collect();
    let mut done = 0;
    let mut split: Vec<PageRun> = Vec::with_capacity(runs.len());
    let mut counted = ParentPages::default();
    let mut known = Known { parent, buf: ChainBuf::default(), current: vec![0; WINDOW as usize * PAGE_SIZE] };
    for run in runs {
        for window in windows(&run) {
            if observer.cancelled() {
                return Err(CaptureError::Cancelled);
            }
            let Window { base, page, until, wanted, .. } = window;
            let noted = unwritten.get(&run.space);
            let tracked = noted.map_or(0, |noted| window.tracked(parent, noted));
            let unknown = noted.is_none_or(|noted| noted.unknown.mask(base) & wanted != 0);
            let compared = match sources.get(&run.space) {
                Some(pages) if unknown => known.unchanged(run.space, pages, page, until)?,
                _ => 0,
            };
            let in_parent = (tracked | compared) & wanted & !window.told(&told);
            counted.tracked += u64::from((in_parent & tracked).count_ones());
            counted.compared += u64::from((in_parent & !tracked).count_ones());
            let mut pieces = Vec::with_capacity(8);
            runs_of(in_parent, |from, to| pieces.push((from, to, PageSource::InParent)));
            runs_of(wanted & !in_parent, |from, to| pieces.push((from, to, PageSource::Stored)));
            pieces.sort_unstable_by_key(|(from, ..)| *from);
            for (from, to, source) in pieces {
                let (start_page, pages) = (base + from, to - from);
                match split.last_mut() {
                    Some(last)
                        if (last.space, last.section, last.source) == (run.space, run.section, source)
                            && last.start_page + last.pages == start_page =>
                    {
                        last.pages += pages;
                    }
                    _ => split.push(PageRun { start_page, pages, source, ..run }),
                }
            }
            done += (until - page) * PAGE_SIZE as u64;
            observer.tell(Phase::State, done, total);
        }
    }
    Ok((split, counted))
}

/// Bits `from` to `to` of a window.
fn mask(from: u64, to: u64) -> u64 {
    let ones = to - from;
    if ones == WINDOW { u64::MAX } else { ((1 << ones) - 1) << from }
}

/// The parent, and room for what is compared.
struct Known<'a> {
    parent: &'a ImageChain<File>,
    buf: ChainBuf,
    current: Vec<u8>,
}

impl Known<'_> {
    /// Which of the pages from `start` up to `end`, all of one window, are the parent's; bit 0 is the window's
    /// first page.
    fn unchanged(
        &mut self,
        space: SpaceId,
        pages: &Pages,
        start: u64,
        end: u64,
    ) -> Result<u64, CaptureError> {
        let base = start / WINDOW * WINDOW;
        let image = self.parent.youngest();
        let candidates: Vec<usize> =
            image.window(space, base).filter(|block| image.blocks()[*block].data != 0).collect();
        if candidates.is_empty() {
            return Ok(0);
        }
        let now = &mut self.current[..(end - start) as usize * PAGE_SIZE];
        pages.read(&[(start, end - start)], now).map_err(|source| WritePagesError::Read {
            space,
            page: start,
            source,
        })?;
        let wanted = mask(start - base, end - base);
        let mut same = 0;
        for block in candidates {
            let entry = &image.blocks()[block];
            if entry.data & wanted == 0 {
                continue;
            }
            if entry.codec == Codec::Raw && entry.data & wanted == entry.data && is_contiguous(entry) {
                let first = (entry.base_page + u64::from(entry.data.trailing_zeros()) - start) as usize;
                let there = &now[first * PAGE_SIZE..][..entry.data_pages() * PAGE_SIZE];
                if block_checksum(there) == entry.checksum {
                    same |= entry.data;
                    continue;
                }
            }
            let then = self.parent.read_block(block, &mut self.buf)?;
            for page in start..end {
                if let Some(slot) = entry.slot_of(page)
                    && then[slot * PAGE_SIZE..][..PAGE_SIZE]
                        == now[(page - start) as usize * PAGE_SIZE..][..PAGE_SIZE]
                {
                    same |= 1 << (page - base);
                }
            }
        }
        Ok(same)
    }
}

fn is_contiguous(entry: &BlockEntry) -> bool {
    let ones = entry.data >> entry.data.trailing_zeros();
    ones & ones.wrapping_add(1) == 0
}
