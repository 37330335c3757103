//! Pages memory in behind a restored program that runs already.
//!
//! ```text
//! helper ── fork ──► pager: page faults, the working set, then the rest (service)
//!                      └── clone(CLONE_FILES) ──► keeper: watches the pager
//! ```
//!
//! Both are made before the tree is, so that nobody waits for them later: whoever builds the tree hands its page faults
//! over on a line that was made before ([`hand_over`]). Both live outside of a capsule, so the program sees neither, and its end takes neither along. The pager
//! checks every block before a page of it is handed in. If it can't go on, or is killed, the keeper has the
//! program ended: in a capsule by its init, which holds the descriptors too ([`keeper::Watch`]), in place by
//! killing the tree. Until nothing of the program is left, somebody holds the descriptors, and whoever touches
//! a missing page waits.

mod ahead;
mod await_end;
mod head_start;
mod image_bytes;
mod keeper;
mod missing;
mod service;
mod stock;
pub mod working_set;

pub use await_end::{AwaitError, await_end};
pub use keeper::{News, ReportFile, Watch};

use keeper::Member;

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use torpor_image::ImageChain;
use torpor_sys::clone::{self, Forked};
use torpor_sys::{fd, signals};

use crate::model::Pid;
use crate::restore::lazy::{Faults, LazyPlan};
use ahead::Ahead;
use head_start::Orders;
use service::{Service, ServiceError};
use stock::Stock;

/// The pager's word when all memory is there.
const DONE: &str = "done";
/// With the descriptor of a fork's page faults, for init to hold too.
const FORK: &str = "fork";
/// Its word, with the reason behind it, when it can't go on.
const FAILED: &str = "failed: ";
/// Its word when it serves the page faults that it was given.
const STARTED: &[u8] = b"started";
/// Descriptors in one message; the kernel takes 253.
const BATCH: usize = 200;
/// How long whoever hands over waits for an answer.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// Who ends the program when its memory can't be brought in.
#[derive(Debug)]
pub enum Duty {
    /// The capsule's init, at the other end of the line.
    Capsule,
    /// The keeper itself, which kills these.
    Tree { pids: Vec<Pid>, report: ReportFile },
}

/// What a pager works on.
pub struct Task<'a> {
    pub chain: &'a ImageChain<File>,
    pub plan: &'a LazyPlan,
    /// On which the page faults come, once there is a tree; hung up on, there is nothing to do.
    pub link: OwnedFd,
    pub duty: Duty,
    /// Where the working set is kept, if it is.
    pub working_set: Option<working_set::Place>,
}

/// The helper's hold on a pager that it started. Dropping it says that the program runs (or never will), so
/// that the rest of the memory is brought in too.
#[derive(Debug)]
pub struct Started {
    _go: OwnedFd,
}

/// Starts the pager, which waits for its page faults.
///
/// # Errors
/// No process could be made; nothing is left.
pub fn start(task: Task<'_>) -> io::Result<Started> {
    let (go, started) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the helper has one thread where it restores.
    match unsafe { clone::fork_whole() }? {
        Forked::Child => {
            drop(started);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(task, go)));
            clone::exit_now(if ended.is_ok() { 0 } else { 101 })
        }
        Forked::Parent(_) => Ok(Started { _go: started }),
    }
}

/// Hands the page faults of a plan over, one for each of its spaces; registered. Once this returns the pager serves them,
/// and its keeper watches.
///
/// # Errors
/// There is no pager at the other end, or it can't take them; it has none of them then.
pub fn hand_over(link: BorrowedFd<'_>, faults: &[Faults]) -> io::Result<()> {
    use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    for batch in faults.chunks(BATCH / 2) {
        let descriptors: Vec<BorrowedFd<'_>> =
            batch.iter().flat_map(|f| [f.userfault.as_fd(), f.process.as_fd()]).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::net::sendmsg(link, &[IoSlice::new(b"f")], &mut control, SendFlags::NOSIGNAL)?;
    }
    let mut fds = [PollFd::from_borrowed_fd(link, PollFlags::IN)];
    while match poll(&mut fds, Some(&PATIENCE)) {
        Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => false,
        Err(rustix::io::Errno::INTR) => true,
        Err(e) => return Err(e.into()),
    } {}
    let mut answer = [0u8; 16];
    let (len, _) = rustix::net::recv(link, &mut answer, RecvFlags::empty())?;
    if &answer[..len] == STARTED { Ok(()) } else { Err(io::Error::other("the pager has ended")) }
}

/// Waits for what [`hand_over`] sends; nothing where the line is hung up on.
fn take_over(link: BorrowedFd<'_>, count: usize) -> Option<Vec<Faults>> {
    let mut all = Vec::with_capacity(2 * count);
    while all.len() < 2 * count {
        match torpor_sys::socket::receive(link, &mut [0u8; 8], 0) {
            Ok(received) if received.descriptors.is_empty() => return None,
            Ok(received) => all.extend(received.descriptors),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    let mut faults = Vec::with_capacity(count);
    let mut all = all.into_iter();
    while let (Some(userfault), Some(process)) = (all.next(), all.next()) {
        faults.push(Faults { userfault, process });
    }
    Some(faults)
}

/// The pager's whole life.
fn live(task: Task<'_>, go: OwnedFd) {
    let Ok((words, say)) = leave_helper(&task, &go) else { return };
    let Task { chain, plan, link, duty, working_set } = task;
    let Ok(this) = fd::pidfd_open(std::process::id() as i32, 0) else { return };
    let pids = match &duty {
        Duty::Tree { pids, .. } => pids.as_slice(),
        Duty::Capsule => &[],
    };
    let Ok(members) = keeper::Members::new(pids.len()) else { return };
    // SAFETY: there is one thread yet; the child only keeps.
    match unsafe { clone::fork_sharing_descriptors(0) } {
        Ok(Forked::Child) => {
            let _ = rustix::thread::set_name(c"torpor-keeper");
            keeper::keep(this.as_fd(), words.as_fd(), link.as_fd(), &duty, &members)
        }
        Ok(Forked::Parent(_)) => {}
        Err(_) => return,
    }
    let stock = Stock::of(chain, &plan.pieces);
    let placed: Vec<AtomicBool> = plan.pieces.iter().map(|_| AtomicBool::new(false)).collect();
    let earlier = working_set.as_ref().and_then(|place| place.read(chain.youngest().blocks().len()));
    let orders = Orders::of(&stock, earlier.as_ref().map_or(&[], |set| &set.blocks));
    // None of these threads outlives what it works on: all ends with the process.
    std::thread::scope(|scope| {
        let ahead = Ahead::start(scope, &stock, &placed);
        if let Ok(ahead) = &ahead {
            ahead.order(orders.wanted.iter().copied());
        }
        let Some(faults) = take_over(link.as_fd(), plan.spaces.len()) else {
            let _ = rustix::io::write(&say, DONE.as_bytes());
            clone::exit_now(0)
        };
        members.set(pids.iter().filter_map(|pid| Member::of(*pid)));
        // In place, whoever wants to capture waits for our end.
        let waiting_room = pids.first().and_then(|root| await_end::open(*root).ok());

        let holder = matches!(duty, Duty::Capsule).then(|| link.as_fd());
        let mut service = Service::new(&stock, plan, faults, &placed, earlier, &orders, go, holder);
        let served = ahead.map_err(ServiceError::Ahead).and_then(|ahead| {
            ahead.can_place();
            ahead.order(orders.later.iter().copied());
            let head_start = service.place_head_start(&ahead);
            let _ = rustix::net::send(&link, STARTED, rustix::net::SendFlags::NOSIGNAL);
            head_start.and_then(|()| service.run(&ahead))
        });
        match served {
            Ok(set) => {
                if let (Some(place), Some(set)) = (&working_set, set) {
                    // A hint that can't be kept is none.
                    let _ = place.write(&set);
                }
                // All of them: what is missing now is zeros.
                drop(service);
                if let Some(holder) = holder {
                    let _ = rustix::net::send(holder, DONE.as_bytes(), rustix::net::SendFlags::NOSIGNAL);
                }
                let _ = rustix::io::write(&say, DONE.as_bytes());
                drop(waiting_room);
                clone::exit_now(0)
            }
            Err(e) => {
                let _ = rustix::io::write(&say, format!("{FAILED}{e}").as_bytes());
                // Nothing is closed: the keeper has it all.
                clone::exit_now(1)
            }
        }
    })
}

/// Leaves the helper's session, standard descriptors and all that is not the pager's. Returns the pipe to
/// the keeper.
fn leave_helper(task: &Task<'_>, go: &OwnedFd) -> io::Result<(OwnedFd, OwnedFd)> {
    let _ = rustix::thread::set_name(c"torpor-pager");
    rustix::process::setsid()?;
    signals::ignore(&[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE]);
    // Not to be waited on: the keeper holds both ends.
    let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
    let (words, say) = rustix::pipe::pipe_with(flags)?;
    let null = fd::open(c"/dev/null", libc::O_RDWR, 0)?;
    for at in 0..3 {
        fd::redirect(null.as_fd(), at)?;
    }
    let mut keep =
        vec![words.as_raw_fd(), say.as_raw_fd(), null.as_raw_fd(), task.link.as_raw_fd(), go.as_raw_fd()];
    keep.extend(task.chain.images().iter().map(|image| image.source().as_raw_fd()));
    keep.extend(task.working_set.iter().map(|place| place.folder().as_raw_fd()));
    fd::close_all_but(3, &keep);
    // Rather the program's memory than this: without it the program can't go on either.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
    Ok((words, say))
}
