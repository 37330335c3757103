//! Which memory of an image is paged in while its program runs already, and how its page faults get to
//! whoever does that.
//!
//! Private anonymous memory is. Not what the kernel would touch all of at once (locked), could not report
//! (huge pages of hugetlbfs), grows by itself (stacks) or empties at a fork (MADV_WIPEONFORK), not shared
//! memory and files, which can be read past any mapping, not what others share copy-on-write, and not the memory of a process that shares its
//! descriptor table, where the descriptor that it makes for a moment could be in somebody's way.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use torpor_image::{ImageChain, Section};
use torpor_sys::{fd, userfault};

use super::RestoreError;
use super::region::{List, Region};
use super::runner::{Kind, OP_LEN};
use crate::model::{AddressSpace, Backing, Mapping, Pid, Process, SpaceId, SystemState};
use crate::ranges::Ranges;

const PAGE: u64 = 4096;
/// Below this much, reading all of it takes no longer than setting up the alternative.
pub const WORTH_IT: u64 = 16 << 20;
/// Threads whose stacks are there before the first instruction.
const READY_THREADS: usize = 32;

/// What is paged in later. The same for the same image, wherever it is made.
#[derive(Debug)]
pub struct LazyPlan {
    pub spaces: Vec<LazySpace>,
    /// All that is brought in, in the order in which that is best read: what was in swap comes last.
    pub pieces: Vec<Piece>,
    /// By block of the image.
    later: Vec<bool>,
    /// Bytes of all of it.
    pub bytes: u64,
}

/// The memory of one process.
#[derive(Debug, Clone)]
pub struct LazySpace {
    pub space: SpaceId,
    pub pid: Pid,
    /// The mappings (addresses) whose faults are reported.
    pub ranges: Vec<(u64, u64)>,
    /// Which of the plan's pieces, in order of their pages.
    pub pieces: Vec<u32>,
}

/// Pages that one block of one image of the chain holds.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Of the chain: 0 is the youngest.
    pub image: usize,
    /// The block of that image.
    pub block: u32,
    /// The block of the youngest image that speaks of the pages.
    pub origin: u32,
    pub space: SpaceId,
    pub base_page: u64,
    /// The pages of the window that the block holds, and those of them that are wanted.
    pub data: u64,
    pub wanted: u64,
    /// They were in swap.
    pub swapped: bool,
}

/// A process whose memory is brought in, and the descriptor that its page faults are read from.
#[derive(Debug)]
pub struct Faults {
    pub userfault: OwnedFd,
    /// Its pidfd.
    pub process: OwnedFd,
}

/// Whoever pages in.
pub trait PagerHost {
    /// Takes over the descriptors that page faults are read from, one for each space of the plan. Once it
    /// returns, faults are served, and nobody is given a page of zeros in place of a missing one, whoever
    /// dies.
    ///
    /// # Errors
    /// Nobody pages in: the restore fails.
    fn start(&mut self, plan: &LazyPlan, faults: Vec<Faults>) -> io::Result<()>;
}

impl LazyPlan {
    /// Finds what can be paged in later; `None` where that is nothing.
    pub fn of(state: &SystemState, chain: &ImageChain<File>) -> Option<LazyPlan> {
        let blocks = chain.youngest().blocks().len();
        let mut plan =
            LazyPlan { spaces: Vec::new(), pieces: Vec::new(), later: vec![false; blocks], bytes: 0 };
        for process in state.processes.iter().filter(|p| is_able(state, p)) {
            let Some(mm) = &process.mm else { continue };
            plan.add(state, process, mm, chain);
        }
        plan.sort();
        (plan.bytes > 0).then_some(plan)
    }

    /// Numbers the pieces in the order in which they are best read.
    fn sort(&mut self) {
        let key = |piece: &Piece| (piece.swapped, piece.image, piece.block);
        let mut order: Vec<u32> = (0..self.pieces.len() as u32).collect();
        order.sort_by_key(|number| key(&self.pieces[*number as usize]));
        let mut numbers = vec![0u32; order.len()];
        for (new, old) in order.iter().enumerate() {
            numbers[*old as usize] = new as u32;
        }
        self.pieces.sort_by_key(key);
        for space in &mut self.spaces {
            space.pieces.iter_mut().for_each(|number| *number = numbers[*number as usize]);
            space.pieces.sort_by_key(|number| self.pieces[*number as usize].base_page);
        }
    }

    fn add(&mut self, state: &SystemState, process: &Process, mm: &AddressSpace, chain: &ImageChain<File>) {
        let image = chain.youngest();
        let able: Vec<&Mapping> = mm.mappings.iter().filter(|m| can_miss(m)).collect();
        let ready = ready_windows(process);
        let shared = shared_pages(state, mm.space);
        let mut used = vec![false; able.len()];
        let first_piece = self.pieces.len();
        for (number, entry) in image.blocks().iter().enumerate() {
            if entry.space != mm.space || entry.data == 0 || ready.contains(&entry.base_page) {
                continue;
            }
            if entry.pages() & shared.mask(entry.base_page) != 0 {
                continue;
            }
            let (first, last) = (entry.pages().trailing_zeros(), 63 - entry.pages().leading_zeros());
            let start = (entry.base_page + u64::from(first)) * PAGE;
            let end = (entry.base_page + u64::from(last) + 1) * PAGE;
            let from = able.partition_point(|m| m.end <= start);
            let mut covered = 0u64;
            for (i, m) in able.iter().enumerate().skip(from).take_while(|(_, m)| m.start < end) {
                let page = |address: u64| {
                    (address / PAGE).clamp(entry.base_page, entry.base_page + 64) - entry.base_page
                };
                let (a, b) = (page(m.start), page(m.end));
                let mask = if b - a >= 64 { u64::MAX } else { ((1u64 << (b - a)) - 1) << a };
                covered |= mask;
                used[i] |= entry.data & mask != 0;
            }
            // All of a block or nothing; a page of zeros may have to hide a page of a file.
            if entry.pages() & !covered == 0 {
                self.later[number] = true;
                self.bytes += entry.data_pages() as u64 * PAGE;
                let swapped = image.section_of(number) == Section::Virtual;
                // What a parent knows to be zeros is no piece: whoever touches it gets zeros.
                let parts = chain.resolve(number).into_iter().filter(|part| part.data != 0);
                self.pieces.extend(parts.map(|part| Piece {
                    image: part.image,
                    block: part.block as u32,
                    origin: number as u32,
                    space: mm.space,
                    base_page: entry.base_page,
                    data: chain.images()[part.image].blocks()[part.block].data,
                    wanted: part.data,
                    swapped,
                }));
            }
        }
        if self.pieces.len() == first_piece {
            return;
        }
        let pieces = (first_piece as u32..self.pieces.len() as u32).collect();
        let ranges = able.iter().zip(used).filter(|(_, used)| *used).map(|(m, _)| (m.start, m.end)).collect();
        self.spaces.push(LazySpace { space: mm.space, pid: process.pid, ranges, pieces });
    }

    /// Whether a block of the image comes later.
    pub fn is_later(&self, block: usize) -> bool {
        self.later[block]
    }
}

fn is_able(state: &SystemState, process: &Process) -> bool {
    let shares =
        |p: &Process| p.pid != process.pid && p.exit_status.is_none() && p.files_owner == process.files_owner;
    process.exit_status.is_none()
        && process.leader_exit.is_none()
        && process.mm_owner == process.pid
        && process.files_owner == process.pid
        && !state.processes.iter().any(shares)
        && process.mm.as_ref().is_some_and(|mm| mm.lock_future.is_none())
}

/// Pages of a space that others share copy-on-write: they have to be there when the others are forked.
fn shared_pages(state: &SystemState, space: SpaceId) -> Ranges {
    let inherited = state.processes.iter().filter_map(|p| p.mm.as_ref()).flat_map(|mm| &mm.inherits);
    let from_here = inherited.filter(|i| i.space == space);
    from_here
        .flat_map(|i| i.pages.as_chunks::<2>().0)
        .map(|[first, count]| (*first, first.saturating_add(*count)))
        .collect()
}

fn can_miss(m: &Mapping) -> bool {
    const NOT_WITH: [&str; 6] = ["ht", "gd", "lo", "wf", "io", "pf"];
    matches!(m.backing, Backing::Anonymous { .. }) && !m.shared && !NOT_WITH.iter().any(|flag| m.has(flag))
}

/// Windows of pages that the first instructions need: stacks and thread-local memory.
fn ready_windows(process: &Process) -> Vec<u64> {
    let window = |address: u64| address / PAGE / 64 * 64;
    let threads = process.threads.iter().take(READY_THREADS);
    threads.flat_map(|t| [t.regs.rsp, t.regs.fs_base, t.rseq.0].map(window)).collect()
}

/// Has the process make a descriptor for its page faults. Returns the ops to be finished by [`close`].
pub fn open(list: &mut List) -> usize {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    list.try_call(libc::SYS_userfaultfd, &[flags as u64]);
    list.push(Kind::Store, 0, 0, &[]);
    list.ops.len() - 1
}

/// Has it closed, once the helper has a duplicate. Returns the number of the op that holds the descriptor.
pub fn close(list: &mut List, store: usize) -> usize {
    let at = list.ops.len();
    list.try_call(libc::SYS_close, &[u64::MAX]);
    list.ops[store].flags = ((at - store) * OP_LEN + 16) as u32;
    at
}

/// Where a placed list tells the number of the descriptor; `op` is what [`close`] returned.
pub fn descriptor_word(list: u64, op: usize) -> u64 {
    list + (op * OP_LEN + 16) as u64
}

/// Takes over the descriptors that the processes have made, and agrees with the kernel on how they work.
pub fn take(region: &Region, plan: &LazyPlan, words: &[(Pid, u64)]) -> io::Result<Vec<Faults>> {
    let of = |space: &LazySpace| {
        let word = words.iter().find(|(pid, _)| *pid == space.pid).ok_or(io::ErrorKind::NotFound)?.1;
        let number = region.value(word) as i64;
        if number < 0 {
            return Err(io::Error::from_raw_os_error(-number as i32));
        }
        let process = fd::pidfd_open(space.pid, 0)?;
        let userfault = fd::pidfd_getfd(process.as_fd(), number as i32)?;
        userfault::handshake(userfault.as_fd())?;
        Ok(Faults { userfault, process })
    };
    plan.spaces.iter().map(of).collect()
}

/// From here on whoever touches a missing page waits.
pub fn register(plan: &LazyPlan, all: &[Faults]) -> Result<(), RestoreError> {
    for (space, faults) in plan.spaces.iter().zip(all) {
        for (start, end) in &space.ranges {
            userfault::register(faults.userfault.as_fd(), *start, end - start)
                .map_err(|source| RestoreError::Load { space: space.space, source })?;
        }
    }
    Ok(())
}
