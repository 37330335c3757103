//! Serves page faults from the image, and brings in the rest behind them.
//!
//! Faults and the events of the address spaces come first; then what was touched first at an earlier wake,
//! then everything else in the order of the file, and what was in swap last: it goes back to swap. The first of it is
//! read before there is a process ([`super::head_start`]). Placing a page can't overtake an event: while a mapping is
//! being changed the kernel refuses (EAGAIN) until the event was read.
//!
//! A page fault never waits for more than the placing of one block (256 KiB): the rest is read by threads of
//! its own, which leave the disk to faults.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use torpor_image::ImageError;
use torpor_sys::userfault::{self, Event};

use super::ahead::Ahead;
use super::head_start::Orders;
use super::keeper;
use super::missing::{Block, Missing};
use super::stock::{PieceRun, Stock};
use super::working_set::WorkingSet;
use crate::model::SpaceId;
use crate::restore::lazy::{Faults, LazyPlan, LazySpace};
use crate::swap::{self, PutBack};

const PAGE: u64 = 4096;
/// How long to wait before placing again what was refused because mappings are being changed.
const AGAIN_NS: i64 = 50_000;
/// How long the program waits at most for the part of its working set that is read before it runs.
const HEAD_START: Duration = Duration::from_millis(4);

/// Why it can't go on. The program must not either.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("its memory can't be read from the image: {0}")]
    Image(#[from] ImageError),
    #[error("its memory can't be placed at {address:#x}: {source}")]
    Place { address: u64, source: io::Error },
    #[error("its page faults can't be read: {0}")]
    Events(io::Error),
    #[error("reading ahead: {0}")]
    Ahead(io::Error),
}

/// One address space.
struct Memory {
    space: SpaceId,
    userfault: OwnedFd,
    /// For what was in swap; of a fork nobody knows.
    put_back: Option<PutBack>,
    missing: Missing,
    /// Addresses whose pages are waited for and could not be placed yet.
    waiting: Vec<u64>,
    /// The process has ended or runs another program.
    gone: bool,
}

impl Memory {
    fn is_done(&self) -> bool {
        self.gone || self.missing.left() == 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Placed,
    /// Mappings are being changed: later.
    Busy,
    Gone,
}

/// Pieces that have come and are not all placed yet.
struct Loaded {
    run: PieceRun,
    next: usize,
}

pub struct Service<'a> {
    stock: &'a Stock<'a>,
    memories: Vec<Memory>,
    /// By piece: nobody needs it any more.
    placed: &'a [AtomicBool],
    /// Becomes readable when the program runs; until then only faults and the working set are served.
    go: Option<OwnedFd>,
    /// Who else is to hold the descriptors of forks: the capsule's init.
    holder: Option<BorrowedFd<'a>>,
    backlog: VecDeque<Loaded>,
    /// The piece that was read for a fault last.
    buffer: PieceRun,
    /// Blocks of the youngest image that were waited for, in order.
    touched: Vec<u32>,
    seen: HashSet<u32>,
    earlier: Vec<u32>,
    /// By piece: it was ordered.
    ordered: Vec<bool>,
    /// The working set, as far as it is to be there when the program runs.
    wanted: Vec<u32>,
    /// Why something could not be read ahead.
    unreadable: Option<ImageError>,
}

impl<'a> Service<'a> {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        stock: &'a Stock<'a>,
        plan: &LazyPlan,
        faults: Vec<Faults>,
        placed: &'a [AtomicBool],
        earlier: Option<WorkingSet>,
        orders: &Orders,
        go: OwnedFd,
        holder: Option<BorrowedFd<'a>>,
    ) -> Service<'a> {
        let to_swap = swap::is_there();
        let memory = |(space, faults): (&LazySpace, Faults)| {
            let block = |number: &u32| {
                let piece = stock.piece(*number);
                Block { number: *number, base_page: piece.base_page, data: piece.data, wanted: piece.wanted }
            };
            let blocks: Arc<[Block]> = space.pieces.iter().map(block).collect();
            let missing = Missing::new(blocks, &space.ranges);
            let put_back = to_swap.then(|| PutBack::with(faults.process));
            Memory {
                space: space.space,
                userfault: faults.userfault,
                put_back,
                missing,
                waiting: Vec::new(),
                gone: false,
            }
        };
        Service {
            stock,
            memories: plan.spaces.iter().zip(faults).map(memory).collect(),
            placed,
            go: Some(go),
            holder,
            backlog: VecDeque::new(),
            buffer: PieceRun::new(),
            touched: Vec::new(),
            seen: HashSet::new(),
            earlier: earlier.map(|set| set.blocks).unwrap_or_default(),
            ordered: {
                let mut ordered = vec![false; placed.len()];
                orders.iter().for_each(|piece| ordered[piece as usize] = true);
                ordered
            },
            wanted: orders.wanted.clone(),
            unreadable: None,
        }
    }

    /// Places what was read before there was anything to place it in, as long as the program can be kept waiting for
    /// it.
    ///
    /// # Errors
    /// As of [`Service::run`].
    pub fn place_head_start(&mut self, ahead: &Ahead) -> Result<(), ServiceError> {
        let deadline = Instant::now() + HEAD_START;
        loop {
            let placed = self.placed;
            self.wanted.retain(|piece| !placed[*piece as usize].load(Ordering::Relaxed));
            let left = deadline.saturating_duration_since(Instant::now());
            if self.wanted.is_empty() || left.is_zero() {
                return Ok(());
            }
            if self.backlog.is_empty() {
                let bell = ahead.bell();
                let limit = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
                let _ = poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&limit));
                ahead.silence();
            }
            self.fetch(ahead)?;
            if let Some(loaded) = self.backlog.pop_front() {
                self.place_next(loaded, ahead)?;
            }
        }
    }

    /// Serves until nothing is missing any more. Returns what is to be recorded as the working set, where
    /// there is something new.
    ///
    /// # Errors
    /// Pages are missing and can't be brought in; the descriptors stay open.
    pub fn run(&mut self, ahead: &Ahead) -> Result<Option<WorkingSet>, ServiceError> {
        self.serve(ahead)?;
        if self.touched.is_empty() {
            return Ok(None);
        }
        let faults = self.touched.len() as u64;
        let old: HashSet<u32> = self.earlier.iter().copied().collect();
        let mut blocks = std::mem::take(&mut self.earlier);
        blocks.extend(self.touched.drain(..).filter(|b| !old.contains(b)));
        Ok(Some(WorkingSet { blocks, faults }))
    }

    fn serve(&mut self, ahead: &Ahead) -> Result<(), ServiceError> {
        loop {
            let ready = self.wait(ahead);
            for index in ready {
                self.events(index)?;
            }
            self.serve_waiting(ahead)?;
            self.fetch(ahead)?;
            if let Some(loaded) = self.backlog.pop_front() {
                self.place_next(loaded, ahead)?;
            }
            if self.go.is_none() {
                if self.memories.iter().all(Memory::is_done) {
                    return Ok(());
                }
                if ahead.is_idle() && self.backlog.is_empty() {
                    self.order_rest(ahead, true);
                }
            }
        }
    }

    /// Takes what has been read. What can't be is told once the program runs: until then it may not need it.
    fn fetch(&mut self, ahead: &Ahead) -> Result<(), ServiceError> {
        loop {
            match ahead.next() {
                Ok(Some(run)) => self.backlog.push_back(Loaded { run, next: 0 }),
                Ok(None) => break,
                Err(e) => self.unreadable = Some(e),
            }
        }
        if self.go.is_none()
            && let Some(e) = self.unreadable.take()
        {
            Err(e.into())
        } else {
            Ok(())
        }
    }

    /// Orders what is missing and was not ordered yet; `again` also what was.
    fn order_rest(&mut self, ahead: &Ahead, again: bool) {
        let placed = self.placed;
        let left = (0..placed.len()).filter(|at| {
            let new = !std::mem::replace(&mut self.ordered[*at], true);
            (new || again) && !placed[*at].load(Ordering::Relaxed)
        });
        ahead.order(left.map(|at| at as u32));
    }

    /// Waits for something to do; the address spaces with events, by index.
    fn wait(&mut self, ahead: &Ahead) -> Vec<usize> {
        let limit = if !self.backlog.is_empty() {
            Some(0)
        } else if self.memories.iter().any(|m| !m.waiting.is_empty()) {
            Some(AGAIN_NS)
        } else {
            None
        };
        let limit = limit.map(|ns| Timespec { tv_sec: 0, tv_nsec: ns });
        let living: Vec<usize> = (0..self.memories.len()).filter(|i| !self.memories[*i].gone).collect();
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(living.len() + 2);
        fds.extend(living.iter().map(|i| PollFd::new(&self.memories[*i].userfault, PollFlags::IN)));
        let bell = ahead.bell();
        fds.push(PollFd::new(&bell, PollFlags::IN));
        if let Some(go) = &self.go {
            fds.push(PollFd::new(go, PollFlags::IN));
        }
        if poll(&mut fds, limit.as_ref()).is_err() {
            return Vec::new();
        }
        let seen: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if seen[living.len()] {
            ahead.silence();
        }
        if seen.get(living.len() + 1) == Some(&true) {
            self.go = None;
            self.order_rest(ahead, false);
        }
        living.iter().zip(seen).filter(|(_, seen)| *seen).map(|(i, _)| *i).collect()
    }

    fn events(&mut self, index: usize) -> Result<(), ServiceError> {
        let events =
            userfault::events(self.memories[index].userfault.as_fd()).map_err(ServiceError::Events)?;
        for event in events {
            let memory = &mut self.memories[index];
            match event {
                Event::Fault { address, .. } => memory.waiting.push(address & !(PAGE - 1)),
                Event::Remove { start, end } => memory.missing.clear(start, end - start),
                Event::Unmap { start, end } => memory.missing.unmap(start, end),
                Event::Remap { from, to, len } => memory.missing.remap(from, to, len),
                Event::Fork { child } => {
                    if let Some(holder) = self.holder {
                        // An init that is gone, or so slow that its socket is full, does without.
                        let _ = keeper::hand_over(holder, child.as_fd());
                    }
                    let (space, missing) = (memory.space, memory.missing.clone());
                    self.memories.push(Memory {
                        space,
                        userfault: child,
                        put_back: None,
                        missing,
                        waiting: Vec::new(),
                        gone: false,
                    });
                }
            }
        }
        Ok(())
    }

    fn serve_waiting(&mut self, ahead: &Ahead) -> Result<(), ServiceError> {
        for index in 0..self.memories.len() {
            for address in std::mem::take(&mut self.memories[index].waiting) {
                if self.memories[index].gone {
                    break;
                }
                if self.serve_fault(index, address, ahead)? == Outcome::Busy {
                    self.memories[index].waiting.push(address);
                }
            }
        }
        Ok(())
    }

    fn serve_fault(&mut self, index: usize, address: u64, ahead: &Ahead) -> Result<Outcome, ServiceError> {
        let memory = &mut self.memories[index];
        let Some(at) = memory.missing.at(address) else { return place_zero(memory, address) };
        let number = memory.missing.block(at).number;
        let origin = self.stock.piece(number).origin;
        if self.seen.insert(origin) {
            self.touched.push(origin);
        }
        let here = self.backlog.iter().find_map(|loaded| loaded.run.find(number));
        let pages = match here.or_else(|| self.buffer.find(number)) {
            Some(pages) => pages,
            None => {
                ahead.set_urgent(true);
                let read = self.stock.read(&[number], &mut self.buffer);
                ahead.set_urgent(false);
                read?;
                self.buffer.get(0).1
            }
        };
        let outcome = place(memory, at, pages)?;
        self.note(number);
        Ok(outcome)
    }

    /// Places one piece of what has come, and puts the others back.
    fn place_next(&mut self, mut loaded: Loaded, ahead: &Ahead) -> Result<(), ServiceError> {
        if loaded.next == loaded.run.len() {
            ahead.give_back(loaded.run);
            return Ok(());
        }
        let (number, pages) = loaded.run.get(loaded.next);
        let piece = self.stock.piece(number);
        let mut busy = false;
        for memory in self.memories.iter_mut().filter(|m| m.space == piece.space && !m.is_done()) {
            let Some(at) = memory.missing.find(number, piece.base_page) else { continue };
            let targets = if piece.swapped { memory.missing.targets(at) } else { Vec::new() };
            busy |= place(memory, at, pages)? == Outcome::Busy;
            // Nobody has asked for them.
            if let Some(process) = memory.put_back.as_ref().filter(|_| !targets.is_empty()) {
                process.pages(targets.iter().map(|t| (t.address / PAGE, t.pages as u64)));
            }
        }
        if busy {
            self.backlog.push_back(loaded);
        } else {
            self.note(number);
            loaded.next += 1;
            self.backlog.push_front(loaded);
        }
        Ok(())
    }

    /// Notes whether anybody still needs a piece.
    fn note(&self, number: u32) {
        let piece = self.stock.piece(number);
        let mut memories = self.memories.iter().filter(|m| m.space == piece.space && !m.is_done());
        let wanted =
            |m: &Memory| m.missing.find(number, piece.base_page).is_some_and(|at| m.missing.wanted(at) != 0);
        if !memories.any(wanted) {
            self.placed[number as usize].store(true, Ordering::Relaxed);
        }
    }
}

/// Gives a page of zeros.
fn place_zero(memory: &mut Memory, address: u64) -> Result<Outcome, ServiceError> {
    let fd = memory.userfault.as_fd();
    let Some(source) = userfault::zero(fd, address, PAGE).error else { return Ok(Outcome::Placed) };
    match source.raw_os_error() {
        Some(libc::EAGAIN) => Ok(Outcome::Busy),
        // It is there already, or its mapping is not: who waits finds out by itself.
        Some(libc::EEXIST | libc::ENOENT) => {
            let _ = userfault::wake(fd, address, PAGE);
            Ok(Outcome::Placed)
        }
        Some(libc::ESRCH) => {
            memory.gone = true;
            Ok(Outcome::Gone)
        }
        _ => Err(ServiceError::Place { address, source }),
    }
}

/// Places the missing pages of a block; `pages` are its data pages.
fn place(memory: &mut Memory, index: usize, pages: &[u8]) -> Result<Outcome, ServiceError> {
    let fd = memory.userfault.as_fd();
    for target in memory.missing.targets(index) {
        let mut at = 0;
        let mut most = target.pages;
        while at < target.pages {
            let count = most.min(target.pages - at);
            let address = target.address + at as u64 * PAGE;
            let from = (target.slot + at) * PAGE as usize;
            let placed = userfault::copy(fd, address, &pages[from..from + count * PAGE as usize]);
            if placed.len > 0 {
                memory.missing.clear(address, placed.len);
                at += (placed.len / PAGE) as usize;
            }
            let Some(source) = placed.error else { continue };
            match source.raw_os_error() {
                // Why the rest could not be placed is told when that is tried.
                Some(libc::EAGAIN) if placed.len > 0 => {}
                Some(libc::EAGAIN) => return Ok(Outcome::Busy),
                // The mappings that the run lies in are several by now.
                Some(libc::ENOENT) if count > 1 => most = 1,
                // It is there already; or not mapped any more, of which the event is on its way.
                Some(libc::EEXIST | libc::ENOENT) => {
                    memory.missing.clear(address, PAGE);
                    let _ = userfault::wake(fd, address, PAGE);
                    at += 1;
                }
                Some(libc::ESRCH) => {
                    memory.gone = true;
                    return Ok(Outcome::Gone);
                }
                _ => return Err(ServiceError::Place { address, source }),
            }
        }
    }
    Ok(Outcome::Placed)
}
