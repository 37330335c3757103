//! How a process inside the capsule tells the caller what happens: JSON lines through a pipe.
//!
//! The caller's end also carries the wish to stop: a second pipe that becomes readable (it is
//! closed) when the caller cancels or dies.

use crate::error::{CapsuleError, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Longest line accepted: a result with many notes, not a flood.
const LINE_MAX: usize = 16 << 20;

/// The writing end, for init's build step and for workers.
#[derive(Debug)]
pub struct Reporter {
    pipe: RefCell<std::fs::File>,
    cancelled: OwnedFd,
}

impl Reporter {
    /// Sends one line; the caller passes it on. Errors are ignored on purpose: a caller that is
    /// gone is noticed by [`Reporter::is_cancelled`].
    pub fn send(&self, line: &impl Serialize) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        let _ = self.pipe.borrow_mut().write_all(&text);
    }

    /// `{"type":"progress",…}`
    pub fn progress(&self, phase: &str, done_bytes: u64, total_bytes: u64) {
        self.send(&serde_json::json!({
            "type": "progress", "phase": phase, "doneBytes": done_bytes, "totalBytes": total_bytes
        }));
    }

    /// Whether the caller wants this to stop, or is gone.
    pub fn is_cancelled(&self) -> bool {
        let mut fds = [PollFd::new(&self.cancelled, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&rustix::time::Timespec::default())), Ok(1..))
    }

    /// Becomes readable when the caller cancels or dies: for a poll set.
    pub fn cancellation(&self) -> BorrowedFd<'_> {
        self.cancelled.as_fd()
    }

    pub(crate) fn pipe_descriptor(&self) -> RawFd {
        self.pipe.borrow().as_raw_fd()
    }

    pub(crate) fn descriptors(&self) -> [RawFd; 2] {
        [self.pipe_descriptor(), self.cancelled.as_raw_fd()]
    }
}

/// The caller's end.
#[derive(Debug)]
pub(crate) struct Receiver {
    pipe: OwnedFd,
    /// Closing it cancels.
    cancel: Option<OwnedFd>,
    buffer: Vec<u8>,
}

/// What the caller's end has seen.
pub(crate) enum Received {
    Line(Value),
    End,
    CancelRequested,
}

/// Both ends.
pub(crate) fn channel() -> Result<(Receiver, Reporter)> {
    let failed = |e| CapsuleError::step("create a pipe", e);
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    let (cancelled, cancel) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    Ok((
        Receiver { pipe: reader, cancel: Some(cancel), buffer: Vec::new() },
        Reporter { pipe: RefCell::new(writer.into()), cancelled },
    ))
}

impl Receiver {
    /// Waits for the next line, the end, or `wish` (readable) to cancel.
    pub fn next(&mut self, wish: Option<BorrowedFd<'_>>) -> Received {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(value) => return Received::Line(value),
                    Err(_) => continue,
                }
            }
            let mut fds = vec![PollFd::new(&self.pipe, PollFlags::IN)];
            // Once cancelled, wait for the other side to end.
            if let (Some(wish), Some(_)) = (&wish, &self.cancel) {
                fds.push(PollFd::new(wish, PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return Received::End,
                Ok(_) => {}
            }
            if fds.get(1).is_some_and(|wish| !wish.revents().is_empty()) {
                return Received::CancelRequested;
            }
            let mut chunk = [0; 16_384];
            match rustix::io::read(&self.pipe, &mut chunk) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(length) if length > 0 && self.buffer.len() < LINE_MAX => {
                    self.buffer.extend_from_slice(&chunk[..length]);
                }
                _ => return Received::End,
            }
        }
    }

    /// Tells the other side to stop.
    pub fn cancel(&mut self) {
        self.cancel = None;
    }

    pub fn was_cancelled(&self) -> bool {
        self.cancel.is_none()
    }
}
