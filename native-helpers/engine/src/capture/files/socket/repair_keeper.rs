//! Whoever kills the helper leaves no connection deaf: a socket that is held ([`super::repair`]) hears nothing, it
//! is the program's own, and nothing reaches it while the network is locked. A small process beside the helper, with
//! the same descriptors, lets go of them and opens the network when the helper is gone without having said that all
//! is done. Nor is half of a tree left: where the helper was killed while it ended the programs, the rest ends too.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Signal, pidfd_send_signal};
use torpor_sys::clone::{self, Forked};

use super::repair::{Before, let_go};
use crate::model::Pid;
use crate::network_lock::Release;

/// Connections that can be looked after; the list is made before the fork, after which nothing may be allocated.
const LIMIT: usize = 16 * 1024;
/// A word is a descriptor and what it is: a socket and what that was like before, or a process of the tree; or one
/// of these. The programs end from now on.
const END: i32 = -1;
/// Nothing is to be undone any more.
const DONE: i32 = -2;
/// Says of a descriptor that it is a process; no state of a socket.
const PROCESS: i32 = 1 << 8;

/// The helper's side.
#[derive(Debug)]
pub struct RepairKeeper {
    pid: i32,
    words: OwnedFd,
    /// The child's, whose table this is: its end of the pipe, what tells it of our end, its line to the network.
    _childs: ([OwnedFd; 2], Option<Release>),
    /// The processes that end; the child looks after them, too.
    processes: Vec<OwnedFd>,
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
            Forked::Parent(pid) => {
                Ok(RepairKeeper { pid, words, _childs: ([read, helper], lock), processes: Vec::new() })
            }
        }
    }

    /// To be told before anything is done to the socket.
    pub fn watch(&self, socket: BorrowedFd<'_>, before: Before) -> io::Result<()> {
        self.say(socket.as_raw_fd(), before.word())
    }

    /// The programs end now. Should the helper end before the first of them, all is undone even so.
    pub fn end(&mut self, pids: &[Pid]) {
        for process in pids.iter().filter_map(|pid| torpor_sys::fd::pidfd_open(*pid, 0).ok()) {
            // A zombie of the tree says nothing about it.
            if !is_over(process.as_fd()) && self.say(process.as_raw_fd(), PROCESS).is_ok() {
                self.processes.push(process);
            }
        }
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
        let _ = self.say(DONE, 0);
        let pid = rustix::process::Pid::from_raw(self.pid);
        let _ = retry_on_intr(|| rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()));
    }
}

/// Whether a process has ended.
fn is_over(process: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(&process, PollFlags::IN)];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&zero)).is_ok_and(|ready| ready > 0)
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
    let mut ending = false;
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
            match word(0) {
                DONE => clone::exit_now(0),
                END => ending = true,
                _ if known.len() < LIMIT => known.push((word(0), word(4))),
                _ => {}
            }
        } else if fds[1].revents().contains(PollFlags::IN) {
            // SAFETY: the descriptor table is shared and nobody is left who closes anything in it.
            let known = known.iter().map(|(fd, word)| (unsafe { BorrowedFd::borrow_raw(*fd) }, *word));
            let processes = || known.clone().filter(|(_, word)| *word == PROCESS).map(|(fd, _)| fd);
            if ending && (processes().any(is_over) || processes().next().is_none()) {
                for process in processes() {
                    let _ = pidfd_send_signal(process, Signal::KILL);
                }
                clone::exit_now(0);
            }
            for (socket, before) in known.clone().filter(|(_, word)| *word != PROCESS) {
                let_go(socket, Before::of_word(before));
            }
            if let Some(lock) = lock {
                lock.run();
            }
            clone::exit_now(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use rustix::process::{WaitOptions, waitpid};

    use super::*;

    const TCP_REPAIR: i32 = 19;

    fn in_repair(socket: &TcpStream) -> bool {
        let value = torpor_sys::fd::getsockopt(socket.as_fd(), libc::IPPROTO_TCP, TCP_REPAIR, 4);
        value.is_ok_and(|value| value[0] != 0)
    }

    fn program() -> Child {
        Command::new("sleep").arg("60").spawn().expect("a program")
    }

    /// A helper that is killed when it has said that these end, and has ended the first `ended` of them.
    fn helper_is_killed(socket: &TcpStream, programs: &[&Child], ended: usize) {
        let pids: Vec<Pid> = programs.iter().map(|p| p.id() as i32).collect();
        // SAFETY: the child has what it needs, and ends without returning to the test.
        let helper = unsafe { libc::fork() };
        if helper == 0 {
            let mut keeper = RepairKeeper::start(None).expect("a keeper");
            keeper.watch(socket.as_fd(), Before::of_word(2)).expect("watched");
            keeper.end(&pids);
            for pid in &pids[..ended] {
                let _ = torpor_sys::clone::kill(*pid, libc::SIGKILL);
                let process = torpor_sys::fd::pidfd_open(*pid, 0).expect("a pidfd");
                while !is_over(process.as_fd()) {
                    std::thread::yield_now();
                }
            }
            let _ = torpor_sys::clone::kill(std::process::id() as i32, libc::SIGKILL);
        }
        let helper = rustix::process::Pid::from_raw(helper);
        waitpid(helper, WaitOptions::empty()).expect("the helper's end");
    }

    fn await_that(what: &str, mut it: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !it() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_helper_killed_before_the_programs_end_leaves_them_their_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let socket = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let on = 1i32.to_ne_bytes();
        if torpor_sys::fd::setsockopt(socket.as_fd(), libc::IPPROTO_TCP, TCP_REPAIR, &on).is_err() {
            return;
        }
        let (mut one, mut other) = (program(), program());
        helper_is_killed(&socket, &[&one, &other], 0);
        await_that("the connection stays deaf", || !in_repair(&socket));
        assert!(one.try_wait().expect("a state").is_none() && other.try_wait().expect("a state").is_none());
        // Half of them gone: there is no way back.
        helper_is_killed(&socket, &[&one, &other], 1);
        await_that("half of the tree goes on", || other.try_wait().is_ok_and(|ended| ended.is_some()));
        let _ = one.wait();
    }
}
