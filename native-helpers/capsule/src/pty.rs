//! The capsule's pseudo-terminal: its master side, its size and its attributes.

use crate::error::{CapsuleError, Result};
use crate::raw;
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowSize {
    pub columns: u16,
    pub rows: u16,
}

/// Terminal attributes as the kernel keeps them (`struct termios2`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Termios {
    pub input_flags: u32,
    pub output_flags: u32,
    pub control_flags: u32,
    pub local_flags: u32,
    pub line_discipline: u8,
    pub control_characters: Vec<u8>,
    pub input_speed: u32,
    pub output_speed: u32,
}

impl Termios {
    /// # Errors
    /// The ioctl's.
    pub fn of(terminal: impl AsFd) -> io::Result<Self> {
        let raw = raw::terminal_attributes(terminal)?;
        Ok(Self {
            input_flags: raw.c_iflag,
            output_flags: raw.c_oflag,
            control_flags: raw.c_cflag,
            local_flags: raw.c_lflag,
            line_discipline: raw.c_line,
            control_characters: raw.c_cc.to_vec(),
            input_speed: raw.c_ispeed,
            output_speed: raw.c_ospeed,
        })
    }

    /// Sets them at once; what is queued in the terminal stays.
    ///
    /// # Errors
    /// The ioctl's.
    pub fn apply(&self, terminal: impl AsFd) -> io::Result<()> {
        let terminal = terminal.as_fd();
        let mut raw = raw::terminal_attributes(terminal)?;
        raw.c_iflag = self.input_flags;
        raw.c_oflag = self.output_flags;
        raw.c_cflag = self.control_flags;
        raw.c_lflag = self.local_flags;
        raw.c_line = self.line_discipline;
        for (to, from) in raw.c_cc.iter_mut().zip(&self.control_characters) {
            *to = *from;
        }
        raw.c_ispeed = self.input_speed;
        raw.c_ospeed = self.output_speed;
        raw::set_terminal_attributes(terminal, &raw)
    }
}

/// Both sides of the capsule's terminal. Init keeps the slave open too, so that the terminal keeps
/// its attributes and the master reports no hang-up while the application has it closed.
#[derive(Debug)]
pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

impl Pty {
    /// Opens the first terminal of the devpts instance mounted at `/dev/pts`.
    pub(crate) fn open(size: WindowSize, owner: Option<u32>) -> Result<Self> {
        let step = |what: &str| {
            let what = what.to_owned();
            move |errno: rustix::io::Errno| CapsuleError::step(what, errno)
        };
        // Not openpt(): that opens /dev/ptmx, which may be another instance's device node.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty())
            .map_err(step("open the terminal's master side"))?;
        rustix::pty::unlockpt(&master).map_err(step("unlock the terminal"))?;
        let slave = open_slave(&master).map_err(step("open the terminal"))?;
        if let Some(uid) = owner {
            let uid = Some(rustix::fs::Uid::from_raw(uid));
            if let Err(errno) = rustix::fs::fchown(&slave, uid, None) {
                tracing::warn!(%errno, "the terminal could not be given to the application's user");
            }
        }
        let pty = Self { master, slave };
        pty.resize(size).map_err(|e| CapsuleError::step("set the terminal's size", e))?;
        Ok(pty)
    }

    /// Sets the size; the kernel sends SIGWINCH to the foreground group when it changed.
    pub(crate) fn resize(&self, size: WindowSize) -> io::Result<()> {
        set_size(&self.master, size)
    }
}

/// Opens the slave of a master, never as the opener's controlling terminal.
pub(crate) fn open_slave(master: impl AsFd) -> rustix::io::Result<OwnedFd> {
    rustix::pty::ioctl_tiocgptpeer(master, SLAVE_FLAGS)
}

/// The same, for reads that must not wait: not even for another reader's turn, which a read of a
/// terminal does without this flag. The application's own descriptors are not affected.
pub(crate) fn open_slave_nonblocking(master: impl AsFd) -> rustix::io::Result<OwnedFd> {
    let nonblocking = OpenptFlags::from_bits_retain(OFlags::NONBLOCK.bits());
    rustix::pty::ioctl_tiocgptpeer(master, SLAVE_FLAGS | nonblocking)
}

const SLAVE_FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

pub(crate) fn set_size(terminal: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = Winsize { ws_col: size.columns, ws_row: size.rows, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}
