//! Init's side of the terminal: the master, the state machine behind it, and input on its way.

use crate::error::Result;
use crate::pty::{self, Pty, Termios, WindowSize};
use crate::spec::Io;
use crate::terminal::{SavedTerminal, Terminal};
use crate::unread_input;
use rustix::io::Errno;

/// Input beyond this is left in the clients' sockets: the application is not reading.
const INPUT_HIGH: usize = 64 << 10;
/// Read at once before others get their turn.
const READ_AT_ONCE: usize = 64 << 10;
/// Most that one drain takes, should the tree not be frozen after all.
const DRAIN_MAX: usize = 16 << 20;

pub struct TerminalSide {
    pub pty: Pty,
    pub terminal: Terminal,
    input: Vec<u8>,
}

impl TerminalSide {
    pub fn open(io: &Io, owner: Option<u32>) -> Result<Option<Self>> {
        Ok(match io {
            Io::Terminal(size) => Some(Self {
                pty: Pty::open(*size, owner)?,
                terminal: Terminal::new(*size),
                input: Vec::new(),
            }),
            Io::RestoredTerminal(saved) => {
                let pty = Pty::open(saved.size, owner)?;
                unread_input::restore(&pty.slave, &saved.unread_input, saved.termios.as_ref())?;
                Some(Self { pty, terminal: Terminal::from_saved(saved), input: saved.pending_input.clone() })
            }
            Io::Log | Io::Display(_) => None,
        })
    }

    /// Reads what the application has written, for now or (`fully`) until the kernel says that
    /// nothing is left: reading an empty master waits for output that is still being passed on.
    pub fn read(&mut self, fully: bool, mut sink: impl FnMut(&[u8])) {
        let mut chunk = [0; READ_AT_ONCE];
        let mut total = 0;
        loop {
            match rustix::io::read(&self.pty.master, &mut chunk) {
                Ok(0) => return,
                Ok(length) => {
                    let bytes = &chunk[..length];
                    self.terminal.output(bytes);
                    sink(bytes);
                    total += length;
                    if total >= if fully { DRAIN_MAX } else { READ_AT_ONCE } {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                // All slaves were closed or hung up: a new one of ours keeps the terminal going.
                Err(Errno::IO) => {
                    match pty::open_slave(&self.pty.master) {
                        Ok(slave) => self.pty.slave = slave,
                        Err(errno) => tracing::warn!(%errno, "the terminal is hung up"),
                    }
                    return;
                }
                Err(_) => return,
            }
        }
    }

    pub fn add_input(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    pub fn takes_input(&self) -> bool {
        self.input.len() < INPUT_HIGH
    }

    /// Passes on as much input as the terminal takes.
    pub fn write_input(&mut self) {
        while !self.input.is_empty() {
            match rustix::io::write(&self.pty.master, &self.input) {
                Ok(length) => drop(self.input.drain(..length)),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Sets the size; true when it changed.
    pub fn resize(&mut self, size: WindowSize) -> bool {
        let side_max = crate::spec::TERMINAL_SIDE_MAX;
        if size.columns == 0 || size.rows == 0 || size == self.terminal.size() {
            return false;
        }
        let size = WindowSize { columns: size.columns.min(side_max), rows: size.rows.min(side_max) };
        if let Err(error) = self.pty.resize(size) {
            tracing::warn!(%error, "the terminal could not be resized");
            return false;
        }
        self.terminal.resize(size);
        true
    }

    /// The terminal as an image keeps it. The master must be drained; unread input is only looked
    /// for while the tree is frozen, because it has to be taken out and put back.
    pub fn save(&mut self, frozen: bool) -> SavedTerminal {
        let termios = Termios::of(&self.pty.slave).ok();
        let unread_input = match (&termios, pty::open_slave_nonblocking(&self.pty.master)) {
            (Some(termios), Ok(slave)) if frozen => unread_input::copy(slave, termios),
            _ => Vec::new(),
        };
        SavedTerminal {
            size: self.terminal.size(),
            title: self.terminal.title(),
            repaint: self.terminal.repaint(),
            termios,
            pending_input: self.input.clone(),
            unread_input,
        }
    }
}
