//! What is left open of processes that have ended: pidfds, and files of /proc/PID. A stand-in is made for a
//! moment, opened, and ended as the original was.

use std::io;
use std::os::fd::OwnedFd;

use torpor_sys::clone::{Forked, exit_now, fork_with_tid, kill};

use crate::model::{FileKind, OpenFile, PathFile, SystemState};

/// Whether a path leads below /proc/PID.
pub fn is_of_process(path: &str) -> bool {
    number(path).is_some()
}

/// Whether a path leads below the /proc/PID of a process of the image.
pub fn is_of_tree(path: &str, state: &SystemState) -> bool {
    number(path).is_some_and(|n| {
        state.processes.iter().any(|p| p.pid == n || p.threads.iter().any(|thread| thread.tid == n))
    })
}

fn number(path: &str) -> Option<i32> {
    path.strip_prefix("/proc/")?.split('/').next()?.parse().ok()
}

/// Opens a file of /proc/PID of a process that is gone.
pub fn open_file(path: &PathFile, flags: i32) -> io::Result<OwnedFd> {
    during(number(&path.path).unwrap_or(0), 0, |now| open_of(path, flags, now))
}

/// A stand-in for a process that is gone and whose folder is somebody's working directory: it can be entered for as
/// long as the stand-in is there, which is until this is dropped.
#[derive(Debug)]
pub struct Lingering {
    number: i32,
    child: i32,
}

impl Lingering {
    /// Makes one.
    pub fn start(path: &PathFile) -> io::Result<Lingering> {
        let number = number(&path.path).unwrap_or(0);
        // SAFETY: the child makes a few system calls and ends.
        match fork_as(number, |tid| unsafe { fork_with_tid(tid) })? {
            Forked::Parent(child) => Ok(Lingering { number, child }),
            Forked::Child => {
                let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
                loop {
                    rustix::event::pause();
                }
            }
        }
    }

    /// Whether this stands for the process that the path leads to.
    pub fn is_for(&self, path: &PathFile) -> bool {
        number(&path.path) == Some(self.number)
    }

    /// Opens what was open of the process.
    pub fn open(&self, path: &PathFile, flags: i32) -> io::Result<OwnedFd> {
        open_of(path, flags, self.child)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let _ = kill(self.child, libc::SIGKILL);
        let _ = torpor_sys::ptrace::wait(self.child);
    }
}

/// Opens under the number of a stand-in what was open of the process.
fn open_of(path: &PathFile, flags: i32, now: i32) -> io::Result<OwnedFd> {
    let rest = path.path.split('/').skip(3).map(|part| format!("/{part}")).collect::<String>();
    // Threads are not made: where one of a process that is gone was open, its first one stands for it.
    let thread = rest.strip_prefix("/task/").and_then(|r| r.split('/').next()).unwrap_or_default();
    let rest = if thread.is_empty() {
        rest.clone()
    } else {
        rest.replacen(&format!("/task/{thread}"), &format!("/task/{now}"), 1)
    };
    super::files::open_raw(&format!("/proc/{now}{rest}"), flags)
}

/// Forks under the wanted PID where that is free, or else under any.
fn fork_as(pid: i32, fork: impl Fn(i32) -> io::Result<Forked>) -> io::Result<Forked> {
    if pid == 0 || std::path::Path::new(&format!("/proc/{pid}")).exists() {
        return fork(0);
    }
    // A number that a group or a session still has can't be had.
    fork(pid).or_else(|_| fork(0))
}

/// All pidfds of the image that are of the same ended process as `file`, by the number of their description.
pub fn pidfds(state: &SystemState, file: &OpenFile) -> io::Result<Vec<(u32, OwnedFd)>> {
    let FileKind::Pidfd { exit_status, inode, .. } = file.kind else { return Ok(Vec::new()) };
    during(0, exit_status, |now| {
        let mut all = Vec::new();
        for (id, other) in state.files.iter().enumerate() {
            if matches!(other.kind, FileKind::Pidfd { pid, inode: i, .. } if pid <= 0 && i == inode) {
                let flags = other.flags & (libc::O_NONBLOCK | libc::O_EXCL);
                all.push((id as u32, torpor_sys::fd::pidfd_open(now, flags as u32)?));
            }
        }
        Ok(all)
    })
}

/// Does something while a process is there, under the wanted PID where that is free; it ends with `status`.
fn during<T>(pid: i32, status: i32, act: impl FnOnce(i32) -> io::Result<T>) -> io::Result<T> {
    let (wait, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the child makes a few system calls and ends.
    let child = match fork_as(pid, |tid| unsafe { fork_with_tid(tid) })? {
        Forked::Parent(child) => child,
        Forked::Child => {
            // The parent's copy alone tells when to end.
            let mut byte = [0u8; 1];
            drop(end);
            let _ = rustix::io::read(&wait, &mut byte);
            let signal = status & 0x7f;
            if signal != 0 {
                let _ = torpor_sys::ids::set_own_limit(libc::RLIMIT_CORE, 0, 0);
                let _ = kill(std::process::id() as i32, signal);
            }
            exit_now(status >> 8 & 0xff)
        }
    };
    let result = act(child);
    drop(end);
    let _ = torpor_sys::ptrace::wait(child);
    result
}
