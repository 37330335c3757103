//! Which pages were written since an earlier image, noted by the kernel instead of found by comparing.
//!
//! ```text
//! capture n     protect every page that is there (the program runs)           bits: all protected
//!               stop, read the state, twins, go on                            an instant
//!               the image is durable: the tracker is told its id
//!               … a write lifts the protection of its page …
//! capture n+1   which pages are still protected? protect the others again     before the instant
//!               stop, read the state, twins, go on
//!               which are still protected now?                                after the instant
//! ```
//!
//! A page that was protected before image n's instant and is at both looks, with no write between them, has the
//! contents that it has in image n. Whatever is not told so for certain is stored or compared: only positive answers
//! of the kernel count, so a process that has ended, has executed another program or has got new mappings has no page
//! that is taken from the parent. Nothing of it adds to the pause: what is written around the instant is stored once
//! more than needed.
//!
//! The protection is userfaultfd's (UFFD_FEATURE_WP_ASYNC): the kernel lifts it by itself, the program never waits
//! for anybody, and it sees no descriptor (it is made in an [intermediate](crate::intermediate) and taken away). The
//! descriptors live in the [tracker]. Only private anonymous memory is tracked; a fork's copy is not.
//!
//! What is written past the page tables is not noticed: by a device into pages that were pinned before. Programs with
//! devices can't be captured anyway; the memory of one that has an AIO context is compared.

mod link;
mod tracker;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use torpor_sys::{fd, userfault};

use self::link::{Known, Which};
pub use self::link::{Link, LinkError};
use crate::freeze::{FreezeError, Frozen, FrozenProcess, Target};
use crate::intermediate::{self, IntermediateError};
use crate::model::{AddressSpace, Mapping, Pid, SpaceId};
use crate::proc::maps::{self, Vma};
use crate::proc::pagemap::{self, Found, PRESENT, SWAPPED, Scan, TRACKED, WRITTEN};
use crate::proc::stat::Stat;
use crate::ranges::Ranges;

const PAGE: u64 = 4096;
const CLOSE_RANGE_UNSHARE: u64 = 2;

#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    #[error("this kernel does not note writes (UFFD_FEATURE_WP_ASYNC, Linux 6.7)")]
    NotSupported,
    #[error("stopping the tree: {0}")]
    Freeze(#[from] FreezeError),
    #[error(transparent)]
    Intermediate(#[from] IntermediateError),
    #[error("its tracker: {0}")]
    Tracker(io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The tracking of a tree during one capture.
#[derive(Debug)]
pub struct Tracking {
    link: Link,
    /// The image that the pages which were protected before are in.
    image: Option<String>,
    spaces: HashMap<Pid, Tracked>,
    /// How long the tree was stopped to make descriptors; zero where it had them.
    pub pause: Duration,
}

/// One process.
#[derive(Debug)]
struct Tracked {
    which: Which,
    /// The number that its memory has in the image.
    space: Option<SpaceId>,
    userfault: OwnedFd,
    /// Pages that were not written between the two protections.
    unwritten: Ranges,
    /// Addresses that could not be registered.
    untracked: Ranges,
    /// Pages that were protected anew.
    written_pages: u64,
}

/// What is known of an address space, by page numbers.
#[derive(Debug)]
pub struct Unwritten {
    /// Its pages have the contents that they have in the parent, if they are there.
    pub same: Ranges,
    /// Whether a page was written can't be told here.
    pub unknown: Ranges,
}

/// What an address space has, by page numbers.
#[derive(Debug)]
pub struct Described {
    pid: Pid,
    space: SpaceId,
    all: Ranges,
    /// Of the kind that is tracked.
    anonymous: Ranges,
}

impl Described {
    pub fn of(pid: Pid, mm: &AddressSpace) -> Described {
        let pages = |m: &Mapping| (m.start / PAGE, m.end / PAGE);
        let anonymous = mm.mappings.iter().filter(|m| m.is_plain_anonymous());
        Described {
            pid,
            space: mm.space,
            all: mm.mappings.iter().map(pages).collect(),
            anonymous: anonymous.map(pages).collect(),
        }
    }
}

impl Tracking {
    /// Takes up what the tracker knows; processes that it doesn't are stopped for a moment to become known.
    ///
    /// # Errors
    /// Nothing is tracked, and the tree runs on as before.
    pub fn prepare(mut link: Link, target: Target) -> Result<Tracking, TrackingError> {
        let knowledge = link.knowledge();
        let mut tracking =
            Tracking { link, image: knowledge.image, spaces: HashMap::new(), pause: Duration::ZERO };
        let living =
            knowledge.processes.into_iter().filter(|known| !userfault::is_gone(known.userfault.as_fd()));
        let mut known: HashMap<Pid, Known> = living.map(|known| (known.which.pid, known)).collect();
        let mut missing = false;
        for which in target.list()?.into_iter().filter_map(which) {
            match known.remove(&which.pid).filter(|known| known.which == which) {
                Some(Known { which, space, userfault }) => {
                    tracking.spaces.insert(which.pid, Tracked::new(which, space, userfault));
                }
                None => missing = true,
            }
        }
        if missing {
            tracking.take_in(target)?;
        }
        Ok(tracking)
    }

    /// Protects the memory of the running tree anew, and finds what was not written since the last time.
    ///
    /// # Errors
    /// Nothing is tracked, and the tree runs on as before.
    pub fn protect(&mut self) -> Result<(), TrackingError> {
        for (pid, tracked) in &mut self.spaces {
            // One that has ended is not missed.
            if let Err(e) = tracked.protect(*pid)
                && Stat::of(*pid).is_ok_and(|s| !s.is_zombie())
            {
                return Err(e.into());
            }
        }
        Ok(())
    }

    /// Makes descriptors for those processes that have none.
    fn take_in(&mut self, target: Target) -> Result<(), TrackingError> {
        let frozen = Frozen::freeze(target)?;
        let mut made = Vec::new();
        for process in &frozen.processes {
            if self.spaces.contains_key(&process.pid) || process.is_zombie() {
                continue;
            }
            let which = Which { pid: process.pid, start: process.stat.start_time };
            made.push((which, make(process)?));
        }
        self.pause = frozen.thaw();
        for (which, userfault) in made {
            userfault::handshake_for_writes(userfault.as_fd()).map_err(|e| match e.raw_os_error() {
                Some(libc::EINVAL) => TrackingError::NotSupported,
                _ => TrackingError::Io(e),
            })?;
            let Ok(process) = fd::pidfd_open(which.pid, 0) else { continue };
            self.link.add(which, userfault.as_fd(), process.as_fd()).map_err(TrackingError::Tracker)?;
            self.spaces.insert(which.pid, Tracked::new(which, None, userfault));
        }
        Ok(())
    }

    /// Why nothing is known of the pages since the image, if so.
    pub fn gap(&self, image: &str) -> Option<String> {
        match &self.image {
            None => Some("since then nothing has noted which pages were written".into()),
            Some(other) if other != image => {
                Some(format!("which pages were written has been noted since image {other}"))
            }
            Some(_) => None,
        }
    }

    /// How many pages have been written since, as far as was seen before the tree's stop.
    pub fn written_pages(&self) -> u64 {
        self.spaces.values().map(|tracked| tracked.written_pages).sum()
    }

    /// What was not written between the image and the tree's last stop, by space. To be called after that stop, or
    /// during it; then the pages that are still protected may have been looked for already.
    pub fn unwritten<'a>(
        &self,
        spaces: impl Iterator<Item = (&'a Described, Option<Ranges>)>,
    ) -> HashMap<SpaceId, Unwritten> {
        let mut all = HashMap::new();
        for (described, still) in spaces {
            let Some(tracked) = self.spaces.get(&described.pid) else { continue };
            // Pages of the parent have the number of their space in both.
            if tracked.space != Some(described.space) {
                continue;
            }
            let same = match still {
                Some(still) => still.intersection(&tracked.unwritten),
                None => match still_protected(described.pid, &tracked.unwritten) {
                    Ok(same) => same,
                    Err(_) => continue,
                },
            };
            let unknown = described.all.difference(&described.anonymous.difference(&tracked.untracked));
            all.insert(described.space, Unwritten { same, unknown });
        }
        all
    }

    /// The image is durable: from here on what was written is what differs from it.
    ///
    /// # Errors
    /// The tracker is gone: nothing is tracked any more.
    pub fn bind(self, image: String, processes: &[(Pid, SpaceId)]) -> io::Result<()> {
        let spaces = processes.iter().filter_map(|(pid, space)| Some((self.spaces.get(pid)?.which, *space)));
        self.link.bind(image, spaces)
    }
}

/// A process with memory of its own, as it is now.
fn which(pid: Pid) -> Option<Which> {
    let stat = Stat::of(pid).ok()?;
    (!stat.is_zombie()).then_some(Which { pid, start: stat.start_time })
}

/// Makes a userfaultfd for the memory of a stopped process, which gets to see none of it.
fn make(process: &FrozenProcess) -> Result<OwnedFd, IntermediateError> {
    intermediate::within(process, |remote, intermediate| {
        let refused = IntermediateError::refused(process.pid);
        let all = [0, u64::from(u32::MAX), CLOSE_RANGE_UNSHARE, 0, 0, 0];
        remote.call_in(intermediate, libc::SYS_close_range, all)?.map_err(&refused)?;
        let flags = (libc::O_CLOEXEC | libc::O_NONBLOCK) as u64 | userfault::USER_MODE_ONLY;
        let made = remote.call_in(intermediate, libc::SYS_userfaultfd, [flags, 0, 0, 0, 0, 0])?;
        let number = made.map_err(&refused)? as i32;
        let handle = fd::pidfd_open(intermediate, 0).map_err(&refused)?;
        fd::pidfd_getfd(handle.as_fd(), number).map_err(refused)
    })
}

impl Tracked {
    fn new(which: Which, space: Option<SpaceId>, userfault: OwnedFd) -> Tracked {
        Tracked {
            which,
            space,
            userfault,
            unwritten: Ranges::default(),
            untracked: Ranges::default(),
            written_pages: 0,
        }
    }

    /// Registers and protects all that can be, while the process runs: a range may be gone meanwhile.
    fn protect(&mut self, pid: Pid) -> io::Result<()> {
        let there = Scan { any_of: PRESENT | SWAPPED, tell: TRACKED | WRITTEN, ..Scan::default() };
        let pagemap = pagemap::open(pid)?;
        let vmas: Vec<Vma> = maps::maps(pid)?.into_iter().filter(can_be_tracked).collect();
        let mut protected = Ranges::default();
        let mut fresh = Ranges::default();
        for vma in &vmas {
            pagemap::scan(&pagemap, vma.start, vma.end, &there, &mut |Found { start, end, categories }| {
                match categories & (TRACKED | WRITTEN) {
                    TRACKED => protected.push(start / PAGE, end / PAGE),
                    others if others & TRACKED == 0 => fresh.push(start / PAGE, end / PAGE),
                    _ => {}
                }
            })?;
        }
        let mut foreign = Vec::new();
        for vma in &vmas {
            let registered =
                userfault::register_for_writes(self.userfault.as_fd(), vma.start, vma.end - vma.start);
            match registered.map_err(|e| e.raw_os_error()) {
                Ok(()) => {}
                Err(Some(libc::ESRCH)) => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
                // Somebody else's, who may protect pages as he likes; or it is gone, or is not of that kind.
                Err(_) => foreign.push((vma.start / PAGE, vma.end / PAGE)),
            }
        }
        self.untracked = foreign.into_iter().collect();
        protected = protected.difference(&self.untracked);
        // A kernel may have left marks of an earlier tracking on pages that have moved: they protect nothing.
        let marks = Scan { with: TRACKED, without: WRITTEN, any_of: PRESENT | SWAPPED, ..Scan::default() };
        let mut stale = Ranges::default();
        for (start, end) in fresh.difference(&self.untracked).iter() {
            pagemap::scan(&pagemap, start * PAGE, end * PAGE, &marks, &mut |found| {
                stale.push(found.start, found.end);
            })?;
        }
        for (start, end) in stale.iter() {
            userfault::lift_protection(self.userfault.as_fd(), start, end - start)?;
        }
        let anew =
            Scan { with: TRACKED | WRITTEN, any_of: PRESENT | SWAPPED, protect: true, ..Scan::default() };
        let mut written = Ranges::default();
        let ours: Ranges = vmas.iter().map(|vma| (vma.start / PAGE, vma.end / PAGE)).collect();
        for (start, end) in ours.difference(&self.untracked).iter() {
            pagemap::scan(&pagemap, start * PAGE, end * PAGE, &anew, &mut |found| {
                written.push(found.start / PAGE, found.end / PAGE);
            })?;
        }
        self.unwritten = protected.difference(&written);
        self.written_pages = written.count();
        Ok(())
    }
}

/// Those of the pages that nobody has written since they were protected.
fn still_protected(pid: Pid, pages: &Ranges) -> io::Result<Ranges> {
    let pagemap = pagemap::open(pid)?;
    let unwritten = Scan { with: TRACKED, without: WRITTEN, any_of: PRESENT | SWAPPED, ..Scan::default() };
    let mut still = Ranges::default();
    let Some((first, last)) = pages.bounds() else { return Ok(still) };
    for vma in maps::maps(pid)?.iter().filter(|vma| can_be_tracked(vma)) {
        let (start, end) = (vma.start.max(first * PAGE), vma.end.min(last * PAGE));
        pagemap::scan(&pagemap, start, end, &unwritten, &mut |found| {
            still.push(found.start / PAGE, found.end / PAGE);
        })?;
    }
    Ok(still.intersection(pages))
}

/// Private anonymous memory with small pages, and no stack, which grows by itself.
fn can_be_tracked(vma: &Vma) -> bool {
    let anonymous = vma.name.is_empty() || vma.name == "[heap]" || vma.name.starts_with("[anon:");
    !vma.shared && vma.ino == 0 && vma.dev == 0 && anonymous
}
