//! What a capture is going to write, in which order, and how large the file can become at most: known
//! before the first byte is written.

use std::sync::Arc;

use crate::error::PlanError;
use crate::limits::{BLOCK_PAGES, ENTRY_LEN, HEADER_LEN, MAX_INDEX_LEN, MAX_PAGE, MAX_STATE_LEN, PAGE};

/// The part of the file that a page belongs to. The order is the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// The page was resident.
    Physical,
    /// The page was in swap; a restore puts it back there.
    Virtual,
}

/// Where a page's contents are to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PageSource {
    /// In this image.
    Stored,
    /// Unchanged since the parent image: only noted.
    InParent,
}

/// Consecutive pages of one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRun {
    /// An address space, a shared memory object or a file's contents: the caller's numbering.
    pub space: u32,
    /// Number of the first page: address or file offset divided by 4096. Below [`MAX_PAGE`].
    pub start_page: u64,
    /// How many pages.
    pub pages: u64,
    /// Resident or in swap.
    pub section: Section,
    /// In this image or its parent.
    pub source: PageSource,
}

/// All that an image will hold at most. Less may be written: pages that turn out to be zero, or that
/// vanish before they are read.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Bytes of system state at most; up to [`MAX_STATE_LEN`].
    pub state_len: u64,
    /// The pages, in any order, not overlapping.
    pub runs: Vec<PageRun>,
}

/// One block as planned: up to 64 pages of an aligned window of 64 pages of one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedBlock {
    /// Which part of the file.
    pub section: Section,
    /// As in [`PageRun::space`].
    pub space: u32,
    /// First page of the window; a multiple of 64.
    pub base_page: u64,
    /// Bit *n*: page `base_page + n` is planned. Never 0.
    pub pages: u64,
    /// In this image or its parent.
    pub source: PageSource,
}

impl PlannedBlock {
    /// How many pages are planned: 1 to 64.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.pages.count_ones() as usize
    }

    /// The planned pages as runs of consecutive ones: (first page, count). What one scatter read needs.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (base, mut rest, mut shift) = (self.base_page, self.pages, 0u32);
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let skip = rest.trailing_zeros();
            let ones = (rest >> skip).trailing_ones();
            let first = base + u64::from(shift + skip);
            shift += skip + ones;
            rest = if skip + ones >= 64 { 0 } else { rest >> (skip + ones) };
            Some((first, u64::from(ones)))
        })
    }
}

/// A checked plan: where the parts of the file begin, and how large it can become.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Sorted by section, space, page; shared so that readers, encoders and writer can each walk it.
    runs: Arc<[PageRun]>,
    block_count: u64,
    stored_pages: u64,
    state_span: u64,
    index_span: u64,
}

impl Layout {
    /// Checks a plan and computes its sizes.
    ///
    /// # Errors
    /// Where pages overlap or lie out of range, or state or index would pass their limits.
    pub fn new(plan: Plan) -> Result<Self, PlanError> {
        if plan.state_len > MAX_STATE_LEN {
            return Err(PlanError::StateTooLarge { len: plan.state_len });
        }
        let mut runs = plan.runs;
        runs.retain(|run| run.pages > 0);
        for run in &runs {
            if run.start_page >= MAX_PAGE || run.pages > MAX_PAGE - run.start_page {
                return Err(PlanError::PageOutOfRange { space: run.space, page: run.start_page });
            }
        }
        runs.sort_unstable_by_key(|run| (run.space, run.start_page));
        for pair in runs.windows(2) {
            if pair[0].space == pair[1].space && pair[0].start_page + pair[0].pages > pair[1].start_page {
                return Err(PlanError::Overlap { space: pair[1].space, page: pair[1].start_page });
            }
        }
        runs.sort_by_key(|run| run.section);
        let mut layout = Self {
            runs: runs.into(),
            block_count: 0,
            stored_pages: 0,
            state_span: plan.state_len.next_multiple_of(PAGE),
            index_span: 0,
        };
        let max_blocks = MAX_INDEX_LEN / ENTRY_LEN as u64;
        for block in layout.blocks() {
            layout.block_count += 1;
            // Also bounds this loop, whatever the runs claim.
            if layout.block_count > max_blocks {
                return Err(PlanError::TooManyBlocks { max: max_blocks });
            }
            if block.source == PageSource::Stored {
                layout.stored_pages += block.page_count() as u64;
            }
        }
        layout.index_span = (layout.block_count * ENTRY_LEN as u64).next_multiple_of(PAGE);
        Ok(layout)
    }

    /// The file's length at most, in bytes; what to allocate before writing. The file is that long
    /// exactly when nothing is zero, compressed or gone. ([`crate::Summary::file_len`] is the real one.)
    #[must_use]
    pub fn file_len_bound(&self) -> u64 {
        self.data_offset() + self.stored_pages * PAGE + HEADER_LEN as u64
    }

    /// The blocks in the order in which the writer wants them.
    #[must_use]
    pub fn blocks(&self) -> PlannedBlocks {
        PlannedBlocks { runs: Arc::clone(&self.runs), run: 0, done_in_run: 0, pending: None }
    }

    /// How many blocks [`Layout::blocks`] yields.
    #[must_use]
    pub fn block_count(&self) -> u64 {
        self.block_count
    }

    /// How many pages are planned to be stored in this image (not in its parent), in both sections.
    #[must_use]
    pub fn stored_pages(&self) -> u64 {
        self.stored_pages
    }

    pub(crate) fn state_span(&self) -> u64 {
        self.state_span
    }

    pub(crate) fn index_offset(&self) -> u64 {
        HEADER_LEN as u64 + self.state_span
    }

    pub(crate) fn index_span(&self) -> u64 {
        self.index_span
    }

    pub(crate) fn data_offset(&self) -> u64 {
        self.index_offset() + self.index_span
    }
}

/// Iterator over the blocks of a [`Layout`]; owns what it needs, so it can go to another thread.
#[derive(Debug, Clone)]
pub struct PlannedBlocks {
    runs: Arc<[PageRun]>,
    run: usize,
    done_in_run: u64,
    /// The in-parent half of a window whose stored half was just returned.
    pending: Option<PlannedBlock>,
}

impl Iterator for PlannedBlocks {
    type Item = PlannedBlock;

    fn next(&mut self) -> Option<PlannedBlock> {
        if let Some(block) = self.pending.take() {
            return Some(block);
        }
        let first = *self.runs.get(self.run)?;
        let base_page = (first.start_page + self.done_in_run) & !(BLOCK_PAGES as u64 - 1);
        let end = base_page + BLOCK_PAGES as u64;
        let (mut stored, mut in_parent) = (0u64, 0u64);
        while let Some(run) = self.runs.get(self.run) {
            let page = run.start_page + self.done_in_run;
            if run.section != first.section || run.space != first.space || page >= end {
                break;
            }
            let count = (run.pages - self.done_in_run).min(end - page);
            let bits = (u64::MAX >> (64 - count)) << (page - base_page);
            match run.source {
                PageSource::Stored => stored |= bits,
                PageSource::InParent => in_parent |= bits,
            }
            self.done_in_run += count;
            if self.done_in_run < run.pages {
                break;
            }
            self.run += 1;
            self.done_in_run = 0;
        }
        let block = |pages, source| PlannedBlock {
            section: first.section,
            space: first.space,
            base_page,
            pages,
            source,
        };
        if stored == 0 {
            return Some(block(in_parent, PageSource::InParent));
        }
        if in_parent != 0 {
            self.pending = Some(block(in_parent, PageSource::InParent));
        }
        Some(block(stored, PageSource::Stored))
    }
}
