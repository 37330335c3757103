//! How a capture finds out that memory of its tree is still being brought in, and waits for it.
//!
//! A pager of a tree in place listens on a socket without a file, `torpor-pager.<PID namespace>.<root PID>`,
//! and never accepts: whoever connects is hung up on when the pager has ended. (The pager of a capsule is told
//! of by the capsule's init.)

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::time::Timespec;

use crate::model::Pid;

const PREFIX: &str = "torpor-pager.";

#[derive(Debug, thiserror::Error)]
pub enum AwaitError {
    #[error("its memory is still being read from the image it was restored from, after {}s; try again later", .0.as_secs())]
    StillGoing(Duration),
    #[error("cancelled")]
    Cancelled,
}

fn name(namespace: u64, root: &str) -> String {
    format!("{PREFIX}{namespace}.{root}")
}

fn namespace() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self/ns/pid")?.ino())
}

fn socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Makes the pager of the tree with this root known, as long as the descriptor is open.
pub fn open(root: Pid) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let name = name(namespace()?, &root.to_string());
    rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    rustix::net::listen(&socket, 16)?;
    Ok(socket)
}

/// Waits until no pager of this PID namespace is at work any more, at most for `limit`.
///
/// # Errors
/// [`AwaitError::StillGoing`] where one is at work for longer.
pub fn await_end(limit: Duration, cancelled: impl Fn() -> bool) -> Result<(), AwaitError> {
    let deadline = Instant::now() + limit;
    for address in pagers() {
        let Some(connection) = connect(&address) else { continue };
        loop {
            let mut fds = [PollFd::new(&connection, PollFlags::IN)];
            let step = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            if poll(&mut fds, Some(&step)).is_ok_and(|n| n > 0) {
                break;
            }
            if cancelled() {
                return Err(AwaitError::Cancelled);
            }
            if Instant::now() > deadline {
                return Err(AwaitError::StillGoing(limit));
            }
        }
    }
    Ok(())
}

fn pagers() -> Vec<String> {
    let Ok(namespace) = namespace() else { return Vec::new() };
    let ours = name(namespace, "");
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let names = table.lines().filter_map(|line| line.split_ascii_whitespace().nth(7)?.strip_prefix('@'));
    let mut names: Vec<String> = names.filter(|name| name.starts_with(&ours)).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn connect(name: &str) -> Option<OwnedFd> {
    let socket = socket().ok()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes()).ok()?).ok()?;
    // Anybody can take such a name: only one of the same user, or of root, is worth waiting for.
    let peer = rustix::net::sockopt::socket_peercred(socket.as_fd()).ok()?.uid;
    (peer.is_root() || peer == rustix::process::geteuid()).then_some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_a_pager_until_it_has_ended() {
        // No such root: the name is this test's own.
        let room = open(-(std::process::id() as i32)).unwrap();
        let soon = Duration::from_millis(60);
        assert!(matches!(await_end(soon, || false), Err(AwaitError::StillGoing(_))));
        assert!(matches!(await_end(soon * 100, || true), Err(AwaitError::Cancelled)));
        drop(room);
        await_end(soon * 100, || false).unwrap();
    }
}
