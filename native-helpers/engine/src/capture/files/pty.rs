//! Pseudo-terminals made inside the tree: both sides, with what waits to be read from them.

use std::os::fd::AsFd;

use serde_bytes::ByteBuf;

use super::super::{collect::Collector, refusal};
use super::Subject;
use crate::blocker::Obstacle;
use crate::model::pty::{Master, Pty, Slave, Stopped};
use crate::tty::{self, Role};

/// The pair's side that a character device is, if it is one that the tree has made.
pub fn capture(collector: &mut Collector, s: &Subject<'_>) -> Result<Option<Pty>, Obstacle> {
    if !tty::is_terminal(s.stat.st_mode, s.stat.st_rdev) {
        return Ok(None);
    }
    let pids = &collector.pids;
    let masters = collector.pty_masters.get_or_insert_with(|| tty::masters(pids));
    Ok(match tty::role(s.dup.as_fd(), s.stat.st_rdev, masters) {
        Role::Master(index) => Some(Pty::Master(master(collector, s, index)?)),
        Role::Slave(index) => Some(Pty::Slave(slave(collector, s, index)?)),
        Role::HungUp => Some(Pty::HungUp),
        Role::Foreign => None,
    })
}

fn master(collector: &mut Collector, s: &Subject<'_>, index: u32) -> Result<Master, Obstacle> {
    let fd = s.dup.as_fd();
    let (session, foreground) = tty::session(fd);
    let node = rustix::fs::stat(format!("/dev/pts/{index}")).ok();
    Ok(Master {
        index,
        termios: ByteBuf::from(tty::termios(fd)?.bytes()),
        window: tty::window(fd)?,
        packet: tty::packet(fd)?,
        locked: tty::locked(fd)?,
        exclusive: tty::exclusive(fd)?,
        session,
        foreground,
        slave_closed: tty::state(fd)?.1,
        node: node.map(|stat| (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid)),
        locked_settings: ByteBuf::from(tty::locked_settings(fd)?),
        output: kept(collector, index, tty::waiting_output(fd)?),
    })
}

fn slave(collector: &mut Collector, s: &Subject<'_>, index: u32) -> Result<Slave, Obstacle> {
    let fd = s.dup.as_fd();
    if tty::line_discipline(fd)? != 0 {
        return Err(refusal::line_discipline(s.target));
    }
    let writable = s.info.flags & libc::O_ACCMODE != libc::O_RDONLY;
    let readable = s.info.flags & libc::O_ACCMODE != libc::O_WRONLY;
    Ok(Slave {
        index,
        controlling: s.target == "/dev/tty",
        exclusive: tty::exclusive(fd)?,
        stopped: if writable { tty::stopped(fd)? } else { Stopped::No },
        input: if readable { kept(collector, index, tty::waiting_input(fd)?) } else { ByteBuf::new() },
    })
}

/// Unread data, or a note that it is too much: it could not be put back for a tree that runs on.
fn kept(collector: &mut Collector, index: u32, waiting: Option<Vec<u8>>) -> ByteBuf {
    if waiting.is_none() {
        let note =
            format!("/dev/pts/{index} holds more unread data than can be kept; it is not in the image");
        if !collector.notes.contains(&note) {
            collector.notes.push(note);
        }
    }
    ByteBuf::from(waiting.unwrap_or_default())
}
