//! Gives pages back to swap, where they were before somebody had to read or write them.
//!
//! Whoever reads a page that is in swap brings it into memory. Of a large application that would be all that the
//! kernel has put away, at the cost of what others have in memory. So pages that were in swap go back a little behind
//! the reading; they have not changed, so that this writes nothing. After a restore they have, and are written once.
//!
//! A page that can't be put back (no swap, not permitted, locked, shared by then) stays: it is a page like any other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use torpor_sys::{fd, memory};

use crate::model::Pid;

const PAGE: u64 = 4096;

/// Whether the machine has any swap.
pub fn is_there() -> bool {
    // The first line is a heading (proc(5)).
    std::fs::read_to_string("/proc/swaps").is_ok_and(|areas| areas.lines().count() > 1)
}

/// Puts pages of one process back.
#[derive(Debug)]
pub struct PutBack {
    process: OwnedFd,
    /// It was refused for good: not tried again.
    refused: AtomicBool,
}

impl PutBack {
    /// Where the machine has no swap, nothing is to be done.
    pub fn into(pid: Pid) -> Option<PutBack> {
        if !is_there() {
            return None;
        }
        Some(PutBack::with(fd::pidfd_open(pid, 0).ok()?))
    }

    /// By its pidfd, whatever its number is here.
    pub fn with(process: OwnedFd) -> PutBack {
        PutBack { process, refused: AtomicBool::new(false) }
    }

    /// Puts runs (first page, pages) back.
    pub fn pages(&self, runs: impl Iterator<Item = (u64, u64)>) {
        if self.refused.load(Ordering::Relaxed) {
            return;
        }
        let ranges: Vec<(u64, u64)> = runs.map(|(page, count)| (page * PAGE, count * PAGE)).collect();
        let put = memory::page_out(self.process.as_fd(), &ranges);
        let refused =
            |e: &io::Error| matches!(e.raw_os_error(), Some(libc::EPERM | libc::ENOSYS | libc::ESRCH));
        if put.is_err_and(|e| refused(&e)) {
            self.refused.store(true, Ordering::Relaxed);
        }
    }
}

/// Puts pages of a shared memory object back, which nobody else has mapped now.
pub fn put_back_object(object: BorrowedFd<'_>, first_page: u64, pages: u64) {
    let _ = memory::page_out_file(object, first_page * PAGE, (pages * PAGE) as usize);
}
