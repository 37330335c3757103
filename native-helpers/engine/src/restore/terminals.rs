//! Makes the pseudo-terminals of the tree again: under their numbers, with their settings and what waited
//! in them. Which session a terminal controls is up to that session's leader ([`super::plan`]).

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::files::{open_raw, set_status};
use crate::model::pty::{Master, Pty};
use crate::model::{FileId, FileKind, OpenFile, SystemState};
use crate::tty::{self, Termios};

/// How long a number may stay taken by a terminal that is just being closed.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);
/// Terminals of other programs below the wanted number, at most.
const SPARE_LIMIT: usize = 4096;

#[derive(Debug, Default)]
pub struct Terminals {
    pub open: Vec<(FileId, OwnedFd)>,
    /// A slave of pairs that control a session or are open as /dev/tty, for who takes them.
    pub slaves: HashMap<u32, OwnedFd>,
}

/// What could not be made, and why.
#[derive(Debug)]
pub struct TerminalError {
    pub file: FileId,
    pub source: io::Error,
}

/// Opens every pseudo-terminal of the image.
pub fn restore(state: &SystemState) -> Result<Terminals, TerminalError> {
    let mut terminals = Terminals::default();
    let all = || {
        state.files.iter().enumerate().filter_map(|(id, file)| match &file.kind {
            FileKind::Pty(pty) => Some((id as FileId, file, &**pty)),
            _ => None,
        })
    };
    // The numbers first: whatever else is made takes the lowest free one.
    for (id, _, pty) in all() {
        if let Pty::Master(master) = pty {
            let fd = numbered(master.index).map_err(|source| TerminalError { file: id, source })?;
            terminals.open.push((id, fd));
        }
    }
    for (id, file, pty) in all() {
        let failed = |source| TerminalError { file: id, source };
        match pty {
            Pty::Master(master) => {
                let Some((_, fd)) = terminals.open.iter().find(|(other, _)| *other == id) else { continue };
                let input = all().find_map(|(_, _, pty)| match pty {
                    Pty::Slave(slave) if slave.index == master.index && !slave.input.is_empty() => {
                        Some(&slave.input)
                    }
                    _ => None,
                });
                let named_tty = all().any(|(_, _, pty)| {
                    matches!(pty, Pty::Slave(slave) if slave.index == master.index && slave.controlling)
                });
                let input = input.map_or(&[][..], |i| i.as_slice());
                let slave = prepare(fd, master, input, named_tty).map_err(failed)?;
                set_status(fd, file).map_err(failed)?;
                if let Some(slave) = slave {
                    terminals.slaves.insert(master.index, slave);
                }
            }
            // Those opened as /dev/tty are opened by the process whose terminal it is.
            Pty::Slave(_) => {}
            Pty::HungUp => {
                let fd = hung_up(file).map_err(failed)?;
                terminals.open.push((id, fd));
            }
        }
    }
    for (id, file, pty) in all() {
        let failed = |source| TerminalError { file: id, source };
        if let Pty::Slave(slave) = pty
            && !slave.controlling
        {
            let fd = slave_of(slave.index, file.flags).map_err(failed)?;
            set_status(&fd, file).map_err(failed)?;
            if slave.exclusive {
                tty::set_exclusive(fd.as_fd()).map_err(failed)?;
            }
            terminals.open.push((id, fd));
        }
    }
    for (id, _, pty) in all() {
        let failed = |source| TerminalError { file: id, source };
        let Pty::Slave(slave) = pty else { continue };
        let master = all().find_map(|(id, _, pty)| match pty {
            Pty::Master(master) if master.index == slave.index => Some(id),
            _ => None,
        });
        let open = |id: FileId| terminals.open.iter().find(|(other, _)| *other == id).map(|(_, fd)| fd);
        let own = open(id).or_else(|| terminals.slaves.get(&slave.index));
        if let (Some(own), Some(master)) = (own, master.and_then(open)) {
            tty::stop(own.as_fd(), master.as_fd(), slave.stopped).map_err(failed)?;
        }
    }
    // Locked, exclusive and told of packets only once all else is done.
    for (id, _, pty) in all() {
        if let Pty::Master(master) = pty
            && let Some((_, fd)) = terminals.open.iter().find(|(other, _)| *other == id)
        {
            finish(fd, master).map_err(|source| TerminalError { file: id, source })?;
        }
    }
    Ok(terminals)
}

/// The master with a chosen number. Those with lower ones stay open until it is there.
fn numbered(index: u32) -> io::Result<OwnedFd> {
    let deadline = Instant::now() + RELEASE_LIMIT;
    loop {
        if let Some(master) = if_free(index)? {
            return Ok(master);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!(
                "the terminal /dev/pts/{index} is in use by another program; close it, or restore into a capsule, \
                 which has terminals of its own"
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn if_free(index: u32) -> io::Result<Option<OwnedFd>> {
    let mut spare = Vec::new();
    loop {
        let master = new_master()?;
        let number = tty::index(master.as_fd())?;
        if number == index {
            return Ok(Some(master));
        }
        // The lowest free number is given out: beyond it, it is taken.
        if number > index || spare.len() >= SPARE_LIMIT {
            return Ok(None);
        }
        spare.push(master);
    }
}

fn new_master() -> io::Result<OwnedFd> {
    open_raw("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC)
}

/// Never as the restoring process' own terminal.
fn slave_of(index: u32, flags: i32) -> io::Result<OwnedFd> {
    open_raw(&format!("/dev/pts/{index}"), flags & !super::files::CREATION | libc::O_NOCTTY | libc::O_CLOEXEC)
}

/// Sets a new pair up; gives a slave to whoever needs one later.
fn prepare(fd: &OwnedFd, master: &Master, input: &[u8], named_tty: bool) -> io::Result<Option<OwnedFd>> {
    let fd = fd.as_fd();
    tty::set_locked(fd, false)?;
    let settings = Termios::parse(&master.termios).ok_or(io::ErrorKind::InvalidData)?;
    tty::set_termios(fd, settings)?;
    tty::set_window(fd, master.window)?;
    if let Some((mode, uid, gid)) = master.node {
        let path = format!("/dev/pts/{}", master.index);
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        rustix::fs::chown(&path, Some(uid), Some(gid))?;
        rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(mode))?;
    }
    tty::insert_output(fd, &master.output)?;
    let mut slave = None;
    if master.slave_closed || master.session != 0 || named_tty || !input.is_empty() {
        // Closing it again is what tells the master that there is none.
        let opened = slave_of(master.index, libc::O_RDWR)?;
        if !input.is_empty() {
            tty::insert_input(opened.as_fd(), settings, input)?;
        }
        // Kept also for the input, which goes with the last slave.
        slave = (!master.slave_closed).then_some(opened);
    }
    Ok(slave)
}

fn finish(fd: &OwnedFd, master: &Master) -> io::Result<()> {
    let fd = fd.as_fd();
    if master.packet {
        tty::set_packet(fd, true)?;
    }
    if master.exclusive {
        tty::set_exclusive(fd)?;
    }
    tty::lock_settings(fd, &master.locked_settings)?;
    tty::set_locked(fd, master.locked)
}

/// A slave whose master has been closed, under its old number where that is free, else under any.
fn hung_up(file: &OpenFile) -> io::Result<OwnedFd> {
    let name = file.description.trim_end_matches(" (deleted)").rsplit('/').next();
    let index = name.and_then(|n| n.parse().ok());
    let master = match index.map(if_free).transpose()?.flatten() {
        Some(master) => master,
        None => new_master()?,
    };
    tty::set_locked(master.as_fd(), false)?;
    slave_of(tty::index(master.as_fd())?, file.flags)
}
