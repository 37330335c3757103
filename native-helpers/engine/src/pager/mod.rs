//! Pages memory in behind a restored program that runs already.
//!
//! ```text
//! helper ── fork ──► pager: page faults, the working set, then the rest (service)
//!                      └── clone(CLONE_FILES) ──► keeper: watches the pager
//! ```
//!
//! Both live outside of a capsule, so the program sees neither, and its end takes neither along. The pager
//! checks every block before a page of it is handed in. If it can't go on, or is killed, the keeper has the
//! program ended: in a capsule by its init, which holds the descriptors too ([`keeper::Watch`]), in place by
//! killing the tree. Until nothing of the program is left, somebody holds the descriptors, and whoever touches
//! a missing page waits.

mod ahead;
mod await_end;
mod image_bytes;
mod keeper;
mod missing;
mod service;
mod stock;
pub mod working_set;

pub use await_end::{AwaitError, await_end};
pub use keeper::{Member, News, ReportFile, Watch};

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::AtomicBool;

use torpor_image::ImageChain;
use torpor_sys::clone::{self, Forked};
use torpor_sys::{fd, signals};

use crate::restore::lazy::{Faults, LazyPlan};
use service::Service;
use stock::Stock;

/// The pager's word when all memory is there.
const DONE: &str = "done";
/// With the descriptor of a fork's page faults, for init to hold too.
const FORK: &str = "fork";
/// Its word, with the reason behind it, when it can't go on.
const FAILED: &str = "failed: ";

/// Who ends the program when its memory can't be brought in.
#[derive(Debug)]
pub enum Duty {
    /// The capsule's init, at the other end of this line.
    Capsule { link: OwnedFd },
    /// The keeper itself.
    Tree { members: Vec<Member>, report: ReportFile },
}

/// What a pager works on.
pub struct Task<'a> {
    pub chain: &'a ImageChain<File>,
    pub plan: &'a LazyPlan,
    /// One for each space of the plan; registered.
    pub faults: Vec<Faults>,
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

/// Starts the pager. Once this returns it serves faults, and the keeper watches.
///
/// # Errors
/// No process could be made; nothing is left.
pub fn start(task: Task<'_>) -> io::Result<Started> {
    use rustix::pipe::{PipeFlags, pipe_with};
    let (ready, tell) = pipe_with(PipeFlags::CLOEXEC)?;
    let (go, started) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: the helper has one thread where it restores.
    match unsafe { clone::fork_whole() }? {
        Forked::Child => {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(task, tell, go)));
            clone::exit_now(if ended.is_ok() { 0 } else { 101 })
        }
        Forked::Parent(_) => {
            drop((tell, go, task));
            match rustix::io::read(&ready, &mut [0u8; 1]) {
                Ok(1) => Ok(Started { _go: started }),
                Ok(_) => Err(io::Error::other("the pager has ended")),
                Err(e) => Err(e.into()),
            }
        }
    }
}

/// The pager's whole life.
fn live(task: Task<'_>, tell: OwnedFd, go: OwnedFd) {
    let Ok((words, say)) = leave_helper(&task, &tell, &go) else { return };
    let Task { chain, plan, faults, duty, working_set } = task;
    // In place, whoever wants to capture waits for our end.
    let waiting_room = match &duty {
        Duty::Tree { members, .. } => members.first().and_then(|root| await_end::open(root.pid).ok()),
        Duty::Capsule { .. } => None,
    };
    let Ok(this) = fd::pidfd_open(std::process::id() as i32, 0) else { return };
    // SAFETY: there is one thread yet; the child only keeps.
    match unsafe { clone::fork_sharing_descriptors(0) } {
        Ok(Forked::Child) => {
            let _ = rustix::thread::set_name(c"torpor-keeper");
            keeper::keep(this.as_fd(), words.as_fd(), &duty)
        }
        Ok(Forked::Parent(_)) => {}
        Err(_) => return,
    }
    let _ = rustix::io::write(&tell, b"r");
    drop(tell);

    let placed: Vec<AtomicBool> = plan.pieces.iter().map(|_| AtomicBool::new(false)).collect();
    let earlier = working_set.as_ref().and_then(|place| place.read(chain.youngest().blocks().len()));
    let holder = match &duty {
        Duty::Capsule { link } => Some(link.as_fd()),
        Duty::Tree { .. } => None,
    };
    let stock = Stock::of(chain, &plan.pieces);
    let mut service = Service::new(&stock, plan, faults, &placed, earlier, go, holder);
    match service.run() {
        Ok(set) => {
            if let (Some(place), Some(set)) = (&working_set, set) {
                // A hint that can't be kept is none.
                let _ = place.write(&set);
            }
            // All of them: what is missing now is zeros.
            drop(service);
            if let Duty::Capsule { link } = &duty {
                let _ = rustix::net::send(link, DONE.as_bytes(), rustix::net::SendFlags::NOSIGNAL);
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
}

/// Leaves the helper's session, standard descriptors and all that is not the pager's. Returns the pipe to
/// the keeper.
fn leave_helper(task: &Task<'_>, tell: &OwnedFd, go: &OwnedFd) -> io::Result<(OwnedFd, OwnedFd)> {
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
        vec![words.as_raw_fd(), say.as_raw_fd(), null.as_raw_fd(), tell.as_raw_fd(), go.as_raw_fd()];
    keep.extend(task.chain.images().iter().map(|image| image.source().as_raw_fd()));
    let faults = task.faults.iter();
    keep.extend(faults.flat_map(|f| [f.userfault.as_raw_fd(), f.process.as_raw_fd()]));
    keep.extend(task.working_set.iter().map(|place| place.folder().as_raw_fd()));
    if let Duty::Capsule { link } = &task.duty {
        keep.push(link.as_raw_fd());
    }
    fd::close_all_but(3, &keep);
    // Rather the program's memory than this: without it the program can't go on either.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
    Ok((words, say))
}
