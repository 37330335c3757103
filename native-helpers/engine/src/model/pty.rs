//! Pseudo-terminals that the tree itself has made (pty(7)). The capsule's own terminal is none of them.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Pid;

/// What an open file description is of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pty {
    Master(Master),
    Slave(Slave),
    /// A slave that was hung up: its master is gone, or the leader of its session.
    HungUp,
}

/// What a terminal that others have made, a console, is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// A raw `struct termios2`.
    pub termios: ByteBuf,
    /// Rows, columns, and both in pixels.
    pub window: [u16; 4],
}

/// The master side, of which a pair has one. What both sides share is kept here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Master {
    /// The N of /dev/pts/N.
    pub index: u32,
    /// A raw `struct termios2`.
    pub termios: ByteBuf,
    /// Rows, columns, and both in pixels.
    pub window: [u16; 4],
    pub packet: bool,
    pub locked: bool,
    pub exclusive: bool,
    /// The session that it controls, and that session's foreground group; 0 for none.
    pub session: Pid,
    pub foreground: Pid,
    /// There was a slave and there is none any more.
    pub slave_closed: bool,
    /// Permissions, owner and group of /dev/pts/N.
    pub node: Option<(u32, u32, u32)>,
    /// What the slave has written and nobody has read.
    pub output: ByteBuf,
    /// Which settings are locked: a raw `struct termios` without speeds; empty for none.
    #[serde(default)]
    pub locked_settings: ByteBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slave {
    pub index: u32,
    /// It was opened as /dev/tty.
    pub controlling: bool,
    pub exclusive: bool,
    /// What was typed and nobody has read; the same for all descriptions of one slave.
    pub input: ByteBuf,
    #[serde(default)]
    pub stopped: Stopped,
}

/// Whether output is held back, and what lets it go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stopped {
    #[default]
    No,
    /// tcflow(3) with TCOOFF.
    ByProgram,
    /// The STOP character was typed (termios(3), IXON).
    ByCharacter,
}
