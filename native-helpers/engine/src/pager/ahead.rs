//! Reads the image ahead of whoever places its pages, in threads of its own.
//!
//! Two of them: while one checks and decodes what has come, the disk works for the other. Whoever places
//! asks for pieces in an order; what lies together in the file is read with one request.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::Duration;

use torpor_image::ImageError;

use super::stock::{PieceRun, Stock};

const READERS: usize = 2;
/// Runs that are read or wait to be placed, at most, once they can be placed.
const BUFFERS: usize = 6;
/// How long a request that is not urgent waits for urgent ones. Bounded: where faults never end, the rest
/// must come too.
const STAND_BACK: Duration = Duration::from_millis(2);

/// The asking side. Dropping it ends the threads.
pub struct Ahead {
    desk: Arc<Desk>,
    loaded: Receiver<Result<PieceRun, ImageError>>,
}

struct Desk {
    work: Mutex<Work>,
    news: Condvar,
    bell: OwnedFd,
}

struct Work {
    orders: VecDeque<u32>,
    free: Vec<PieceRun>,
    /// Nothing can be placed yet: what was ordered is read all the same.
    hoards: bool,
    /// Runs that are being read, or were and were not fetched yet.
    under_way: usize,
    /// Somebody waits for a page: the disk is theirs.
    urgent: bool,
    closed: bool,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// What to read next, and where to. Waits for it; nothing at the end.
    fn next(&self, stock: &Stock<'_>, placed: &[AtomicBool]) -> Option<(Vec<u32>, PieceRun)> {
        let mut work = self.lock();
        loop {
            if work.closed {
                return None;
            }
            if work.urgent {
                work = self
                    .news
                    .wait_timeout_while(work, STAND_BACK, |work| work.urgent && !work.closed)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            let is_placed = |piece: &u32| placed[*piece as usize].load(Ordering::Relaxed);
            let had = !work.orders.is_empty();
            while work.orders.front().is_some_and(is_placed) {
                work.orders.pop_front();
            }
            let still = work.orders.iter().copied().take_while(|piece| !is_placed(piece));
            let mut count = stock.run_of(still);
            if had && count == 0 {
                // That was all: whoever asked may want to know.
                self.ring();
            }
            if work.free.is_empty() && count > 0 && work.hoards {
                // The pieces of a working set lie apart, and room that is larger than what comes is cleared for nothing.
                count = 1;
                work.free.push(PieceRun::of_one());
            }
            if count > 0
                && !work.closed
                && let Some(run) = work.free.pop()
            {
                work.under_way += 1;
                return Some((work.orders.drain(..count).collect(), run));
            }
            if !work.closed {
                work = self.news.wait(work).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Ahead {
    /// Starts the threads. `placed` tells by piece what needs no reading any more. Until [`Ahead::can_place`], all that
    /// is ordered is read and kept.
    pub fn start<'scope, 'image: 'scope>(
        scope: &'scope Scope<'scope, '_>,
        stock: &'image Stock<'image>,
        placed: &'image [AtomicBool],
    ) -> std::io::Result<Ahead> {
        use rustix::event::{EventfdFlags, eventfd};
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let free = (0..BUFFERS).map(|_| PieceRun::new()).collect();
        let work =
            Work { orders: VecDeque::new(), free, hoards: true, under_way: 0, urgent: false, closed: false };
        let desk = Arc::new(Desk { work: Mutex::new(work), news: Condvar::new(), bell });
        let (tell, loaded) = channel();
        let ahead = Ahead { desk, loaded };
        for _ in 0..READERS {
            let (desk, tell) = (Arc::clone(&ahead.desk), tell.clone());
            let read = move || read_all(&desk, stock, placed, &tell);
            std::thread::Builder::new().name("read-ahead".into()).spawn_scoped(scope, read)?;
        }
        Ok(ahead)
    }

    pub fn order(&self, pieces: impl Iterator<Item = u32>) {
        self.desk.lock().orders.extend(pieces);
        self.desk.news.notify_all();
    }

    /// From here on runs are placed, and only so many are kept.
    pub fn can_place(&self) {
        self.desk.lock().hoards = false;
    }

    /// Whether all that was asked for has been fetched.
    pub fn is_idle(&self) -> bool {
        let work = self.desk.lock();
        work.orders.is_empty() && work.under_way == 0
    }

    /// Whether somebody waits for a page, who is to be served before anything is read ahead.
    pub fn set_urgent(&self, urgent: bool) {
        self.desk.lock().urgent = urgent;
        if !urgent {
            self.desk.news.notify_all();
        }
    }

    /// Readable when something has come, or all has.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.desk.bell.as_fd()
    }

    pub fn silence(&self) {
        let _ = rustix::io::read(&self.desk.bell, &mut [0u8; 8]);
    }

    /// The next run that has come, if there is one.
    ///
    /// # Errors
    /// The image is damaged or can't be read.
    pub fn next(&self) -> Result<Option<PieceRun>, ImageError> {
        let Ok(one) = self.loaded.try_recv() else { return Ok(None) };
        self.desk.lock().under_way -= 1;
        one.map(Some)
    }

    pub fn give_back(&self, run: PieceRun) {
        // Made for one piece, and those are over.
        if run.is_of_one() {
            return;
        }
        self.desk.lock().free.push(run);
        self.desk.news.notify_all();
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.news.notify_all();
    }
}

/// A reader's whole life.
fn read_all(
    desk: &Desk,
    stock: &Stock<'_>,
    placed: &[AtomicBool],
    tell: &Sender<Result<PieceRun, ImageError>>,
) {
    while let Some((pieces, mut run)) = desk.next(stock, placed) {
        // A defect must not leave the program waiting for ever.
        let read = catch_unwind(AssertUnwindSafe(|| stock.read(&pieces, &mut run)));
        let read = read.unwrap_or_else(|_| {
            Err(ImageError::Io { offset: 0, source: std::io::Error::other("the reading thread panicked") })
        });
        if tell.send(read.map(|()| run)).is_err() {
            return;
        }
        desk.ring();
    }
}
