//! Open file descriptions: tells the kind from what /proc/PID/fd points to, and hands over to the module
//! of that kind.

mod anon_inode;
pub(crate) mod bpf;
pub mod device;
pub mod mqueue;
pub mod namespace;
pub mod path;
mod pipe;
mod pty;
pub mod socket;
pub mod watch;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub use anon_inode::{EpollEntry, resolve as resolve_epolls};
pub use path::{directory, executable, mapped};

use super::collect::Collector;
use super::refusal;
use crate::blocker::Obstacle;
use crate::model::{FileKind, OpenFile, Pid};
use crate::proc::{fdinfo::FdInfo, sockets, task::DescriptorFacts};

/// F_GETSIG and F_GETOWN_EX (fcntl(2)), which the libc crate lacks.
const F_GETSIG: i32 = 11;
const F_GETOWN_EX: i32 = 16;

/// What a module gets to see of a descriptor.
pub struct Subject<'a> {
    pub pid: Pid,
    pub fd: i32,
    /// Text of the link in /proc/PID/fd.
    pub target: &'a str,
    pub info: &'a FdInfo,
    /// A duplicate in this process, which shares the description.
    pub dup: &'a OwnedFd,
    pub stat: &'a rustix::fs::Stat,
}

/// Stands in for a description while its kind is being read.
pub fn unread() -> OpenFile {
    OpenFile {
        flags: 0,
        position: 0,
        owner: (0, 0, 0),
        kind: FileKind::Other { kind: "unread".into(), state: Vec::new() },
        description: String::new(),
    }
}

/// Reads the description behind a descriptor of a stopped process.
pub fn capture(collector: &mut Collector, pid: Pid, facts: &DescriptorFacts) -> Result<OpenFile, Obstacle> {
    let DescriptorFacts { fd, target, info } = facts;
    let fd = *fd;
    let dup = collector.borrow_descriptor(pid, fd)?;
    let stat = rustix::fs::fstat(&dup).map_err(io::Error::from)?;
    let subject = Subject { pid, fd, target, info, dup: &dup, stat: &stat };
    let kind = kind(collector, &subject)?;
    Ok(OpenFile {
        flags: info.flags & !libc::O_CLOEXEC,
        position: info.position,
        owner: owner(&dup),
        kind,
        description: target.clone(),
    })
}

fn kind(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    if let Some(name) = s.target.strip_prefix("anon_inode:") {
        return anon_inode::capture(collector, s, name.trim_matches(['[', ']']));
    }
    if s.target.starts_with("pipe:[") {
        return pipe::capture(s);
    }
    if s.target.starts_with("/memfd:") {
        return path::memfd(collector, s);
    }
    if s.target == refusal::SECRET {
        return Err(refusal::secret_memory());
    }
    if mqueue::is_queue(s.dup.as_fd(), s.stat) {
        return mqueue::capture(collector, s);
    }
    if s.target.starts_with('/') {
        return path::capture(collector, s);
    }
    if let Some(inode) = sockets::inode_of(s.target) {
        return socket::capture(collector, s, inode);
    }
    namespace::capture(collector, s)
}

/// Who gets signals for the description.
fn owner(dup: &OwnedFd) -> (i32, i32, i32) {
    let mut who = [0i32; 2];
    if torpor_sys::fd::fcntl_struct(dup.as_fd(), F_GETOWN_EX, &mut who).is_err() {
        return (0, 0, 0);
    }
    let signal = torpor_sys::fd::fcntl_int(dup.as_fd(), F_GETSIG, 0).unwrap_or(0) as i32;
    if who[1] == 0 { (0, 0, signal) } else { (who[0], who[1], signal) }
}
