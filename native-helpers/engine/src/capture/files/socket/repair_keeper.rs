//! Whoever kills the helper leaves no connection deaf: a socket that is held ([`super::repair`]) hears nothing, and
//! it is the program's own, and nothing reaches it while the network is locked. A small process beside the helper, with the same descriptors, lets go of them when the
//! helper is gone, and opens the network, without having said that the programs end.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use torpor_sys::clone::{self, Forked};

use super::repair::{Before, let_go};
use crate::network_lock::Release;

/// Connections that can be looked after; the list is made before the fork, after which nothing may be allocated.
const LIMIT: usize = 16 * 1024;
/// A descriptor and what it was like before, or this and nothing: the programs end now.
const END: i32 = -1;

/// The helper's side.
#[derive(Debug)]
pub struct RepairKeeper {
    pid: i32,
    words: OwnedFd,
    /// The child's, whose table this is: its end of the pipe, what tells it of our end, its line to the network.
    _childs: ([OwnedFd; 2], Option<Release>),
}

impl RepairKeeper {
    /// Starts it. `lock`: undoes what may be done to the network from now on.
    ///
    /// # Errors
    /// What fork(2), pipe(2) or pidfd_open(2) say.
    pub fn start(mut lock: Option<Release>) -> io::Result<RepairKeeper> {
        let (read, words) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let helper = torpor_sys::fd::pidfd_open(std::process::id() as i32, 0)?;
        let mut known = Vec::with_capacity(LIMIT);
        // SAFETY: the child makes system calls and fills a vector that has room.
        match unsafe { clone::fork_sharing_descriptors(0) }? {
            Forked::Child => keep(read.as_fd(), helper.as_fd(), &mut known, &mut lock),
            Forked::Parent(pid) => Ok(RepairKeeper { pid, words, _childs: ([read, helper], lock) }),
        }
    }

    /// To be told before anything is done to the socket.
    pub fn watch(&self, socket: BorrowedFd<'_>, before: Before) -> io::Result<()> {
        self.say(socket.as_raw_fd(), before.word())
    }

    /// The programs end now: nothing is to be undone any more.
    pub fn end(&self) {
        let _ = self.say(END, 0);
    }

    fn say(&self, word: i32, value: i32) -> io::Result<()> {
        let mut message = [0u8; 8];
        message[..4].copy_from_slice(&word.to_ne_bytes());
        message[4..].copy_from_slice(&value.to_ne_bytes());
        retry_on_intr(|| rustix::io::write(&self.words, &message))?;
        Ok(())
    }
}

impl Drop for RepairKeeper {
    /// From here on the sockets are nobody's but the helper's and the programs'.
    fn drop(&mut self) {
        self.end();
        let pid = rustix::process::Pid::from_raw(self.pid);
        let _ = retry_on_intr(|| rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()));
    }
}

/// The keeper's whole life.
fn keep(
    words: BorrowedFd<'_>,
    helper: BorrowedFd<'_>,
    known: &mut Vec<(i32, i32)>,
    lock: &mut Option<Release>,
) -> ! {
    // What ends the helper's group is not meant for it.
    let _ = rustix::process::setsid();
    loop {
        let mut fds = [PollFd::new(&words, PollFlags::IN), PollFd::new(&helper, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => clone::exit_now(1),
        }
        // What was said before the helper's death comes first.
        if fds[0].revents().contains(PollFlags::IN) {
            let mut message = [0u8; 8];
            if !matches!(rustix::io::read(words, &mut message), Ok(8)) {
                clone::exit_now(1);
            }
            let word = |at: usize| {
                i32::from_ne_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]])
            };
            if word(0) == END {
                clone::exit_now(0);
            }
            if known.len() < LIMIT {
                known.push((word(0), word(4)));
            }
        } else if fds[1].revents().contains(PollFlags::IN) {
            for (socket, before) in known.iter() {
                // SAFETY: the descriptor table is shared and nobody is left who closes anything in it.
                let_go(unsafe { BorrowedFd::borrow_raw(*socket) }, Before::of_word(*before));
            }
            if let Some(lock) = lock {
                lock.run();
            }
            clone::exit_now(0);
        }
    }
}
