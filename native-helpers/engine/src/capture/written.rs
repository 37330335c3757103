//! Copies, while the tree stands still, the few pages that were written since an earlier image, so that it needs no
//! twins: finding them is a walk over the page tables, which is less than the copying of page tables that a fork is,
//! and nobody has to give a twin's page tables up again.
//!
//! Nothing is compared meanwhile. What the parent has for certain is left out; all that can't be told is copied, and
//! compared when the tree runs on.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread::JoinHandle;

use torpor_image::{ImageChain, MAX_CHAIN_LEN, PageRun};

use super::kept::KeptPages;
use super::pages::{self, Holder, Run};
use super::unchanged::{self, Told};
use crate::model::{Pid, Process, SpaceId};
use crate::ranges::Ranges;
use crate::tracking::{Described, Tracking, Unwritten};

const PAGE: u64 = 4096;
/// What a process has, about, that is not tracked: stacks, and what it has written of files.
const UNTRACKED: u64 = 2 << 20;

/// The earlier image, and what is known of the time since.
pub struct Since<'a> {
    parent: &'a ImageChain<File>,
    tracking: &'a Tracking,
    /// Bytes that may be copied.
    limit: u64,
    /// Memory for as much as is expected. The first touch of a page is the most expensive one, and the tree does not
    /// stand still yet.
    ready: JoinHandle<Vec<u8>>,
}

/// An address space, as it is known before its page tables are walked.
pub struct Walked {
    space: SpaceId,
    task: Pid,
    holders: Vec<Holder>,
    described: Described,
    told: (u64, u64),
}

/// What was copied.
pub struct Copied {
    pub pages: HashMap<SpaceId, KeptPages>,
    pub unwritten: HashMap<SpaceId, Unwritten>,
}

impl Walked {
    pub fn new(process: &Process, task: Pid) -> Option<Walked> {
        let mm = process.mm.as_ref()?;
        Some(Walked {
            space: mm.space,
            task,
            holders: mm.mappings.iter().filter_map(Holder::of).collect(),
            described: Described::of(process.pid, mm),
            told: unchanged::told(mm),
        })
    }

    pub fn own_pages(&self) -> io::Result<Vec<Run>> {
        pages::own_pages(self.task, &self.holders)
    }

    pub fn own_and_protected_pages(&self) -> io::Result<(Vec<Run>, Ranges)> {
        pages::own_and_protected_pages(self.task, &self.holders)
    }
}

impl<'a> Since<'a> {
    /// `None` where more than `limit` bytes have been written, or it is not known.
    pub fn new(parent: &'a ImageChain<File>, tracking: &'a Tracking, limit: u64) -> Option<Since<'a>> {
        let image = parent.youngest().info().image_id.to_string();
        let expected = tracking.written_pages() * PAGE;
        if tracking.gap(&image).is_some() || expected > limit || parent.images().len() >= MAX_CHAIN_LEN {
            return None;
        }
        let room = (expected + UNTRACKED).min(limit) as usize;
        // Not zeros: those would not be touched.
        let ready = std::thread::spawn(move || vec![u8::MAX; room]);
        Some(Since { parent, tracking, limit, ready })
    }

    /// The same where `kept` bytes are held besides.
    pub fn beside(mut self, kept: u64) -> Option<Since<'a>> {
        self.limit = self.limit.checked_sub(kept)?;
        Some(self)
    }

    /// Copies all pages of stopped processes that may have been written. `None` where they are too many, or one of
    /// them is in swap or can't be read: a twin has more time.
    pub fn copy(self, spaces: &[Walked], own: &[Vec<Run>], protected: Vec<Ranges>) -> Option<Copied> {
        let noted = spaces.iter().zip(protected).map(|(walked, still)| (&walked.described, Some(still)));
        let unwritten = self.tracking.unwritten(noted);
        let mut left = self.limit / PAGE;
        let mut missing = Vec::with_capacity(spaces.len());
        for (walked, own) in spaces.iter().zip(own) {
            let told = Told::from([(walked.space, walked.told)]);
            let runs: Vec<PageRun> = own.iter().map(|run| super::page_run(walked.space, *run)).collect();
            let certain = unchanged::certain(self.parent, &runs, &told, unwritten.get(&walked.space));
            let runs = pages::without(own.clone(), &certain);
            let count: u64 = runs.iter().map(|run| run.pages).sum();
            if runs.iter().any(|run| run.swapped) || count > left {
                return None;
            }
            left -= count;
            missing.push((walked, runs, count));
        }
        let mut ready = self.ready.join().ok();
        let most = missing.iter().map(|(.., count)| *count).max();
        let copies = missing.into_iter().map(|(walked, mut runs, count)| {
            runs.sort_unstable_by_key(|run| run.start_page);
            let memory = File::open(format!("/proc/{}/mem", walked.task))?;
            let ready = ready.take_if(|_| Some(count) == most);
            let mut kept = ready.map_or_else(|| KeptPages::with_room(count), KeptPages::within);
            for run in runs {
                kept.add(run.start_page, run.pages, |buf| memory.read_exact_at(buf, run.start_page * PAGE))?;
            }
            Ok((walked.space, kept))
        });
        let pages = copies.collect::<io::Result<_>>().ok()?;
        Some(Copied { pages, unwritten })
    }
}
