//! Terminal clients: what each has been sent and still has to get.
//!
//! A client never makes the application wait. One that falls behind stops getting output; once it
//! has read what it was sent, it gets a fresh snapshot and goes on from there. One that reads
//! nothing at all for [`PATIENCE`] is dropped.

use crate::attach::{Frame, FrameError, PAYLOAD_MAX};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Unsent bytes beyond which a client is behind.
const UNSENT_HIGH: usize = 1 << 20;
/// How long a client that is behind may read nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// More terminals than this on one application are a leak in a client.
pub const CLIENTS_MAX: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Connected, has not said what it wants.
    New,
    Viewer,
    Full,
}

pub struct Client {
    connection: OwnedFd,
    role: Role,
    received: Vec<u8>,
    unsent: Vec<u8>,
    behind: bool,
    last_progress: Instant,
    /// Send what is there, then close.
    closing: bool,
    gone: bool,
}

impl Client {
    pub fn new(connection: OwnedFd) -> Self {
        Self {
            connection,
            role: Role::New,
            received: Vec::new(),
            unsent: Vec::new(),
            behind: false,
            last_progress: Instant::now(),
            closing: false,
            gone: false,
        }
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// What to wait for. Input is left in the socket while the application does not take any.
    pub fn interest(&self, takes_input: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        if takes_input && !self.closing {
            flags |= PollFlags::IN;
        }
        if !self.unsent.is_empty() {
            flags |= PollFlags::OUT;
        }
        flags
    }

    pub fn is_attached(&self) -> bool {
        self.role != Role::New && !self.closing
    }

    /// Whether a real terminal is behind it that answers the application's questions.
    pub fn answers(&self) -> bool {
        self.role == Role::Full && !self.closing
    }

    pub fn is_gone(&self) -> bool {
        self.gone || (self.closing && self.unsent.is_empty())
    }

    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Frames that have come in completely. A client that sends rubbish is told and closed.
    pub fn receive(&mut self) -> Vec<Frame> {
        let mut chunk = [0; 16_384];
        match rustix::io::read(&self.connection, &mut chunk) {
            Ok(0) => self.gone = true,
            Ok(length) => self.received.extend_from_slice(&chunk[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.gone = true,
        }
        let mut frames = Vec::new();
        loop {
            match Frame::decode(&mut self.received) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    self.refuse(&FrameError::to_string(&error));
                    break;
                }
            }
        }
        debug_assert!(self.received.len() <= PAYLOAD_MAX + 16_384 + 5);
        frames
    }

    pub fn attach(&mut self, full: bool) {
        self.role = if full { Role::Full } else { Role::Viewer };
    }

    /// Whether its input and resizes count.
    pub fn is_full(&self) -> bool {
        self.role == Role::Full
    }

    pub fn is_new(&self) -> bool {
        self.role == Role::New
    }

    /// Says why, and closes once it has been sent.
    pub fn refuse(&mut self, why: &str) {
        self.queue(&Frame::Error(why.to_owned()));
        self.closing = true;
    }

    /// The last frame of all.
    pub fn finish(&mut self, frame: &Frame) {
        self.queue(frame);
        self.closing = true;
    }

    /// Queues output, unless the client is behind.
    pub fn output(&mut self, frame: &Frame) {
        if self.behind || !self.is_attached() {
            return;
        }
        self.queue(frame);
        if self.unsent.len() > UNSENT_HIGH {
            self.behind = true;
            self.last_progress = Instant::now();
        }
    }

    pub fn queue(&mut self, frame: &Frame) {
        frame.encode(&mut self.unsent);
    }

    /// Sends what the socket takes. Returns true when a client that was behind has caught up and
    /// needs a snapshot.
    pub fn send(&mut self) -> bool {
        while !self.unsent.is_empty() && !self.gone {
            match rustix::net::send(&self.connection, &self.unsent, rustix::net::SendFlags::NOSIGNAL) {
                Ok(length) => {
                    self.unsent.drain(..length);
                    self.last_progress = Instant::now();
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => self.gone = true,
            }
        }
        let caught_up = self.behind && self.unsent.is_empty() && !self.gone;
        if caught_up {
            self.behind = false;
        }
        caught_up
    }

    /// Gives up on a client that reads nothing.
    pub fn check_patience(&mut self) {
        if self.behind && self.last_progress.elapsed() > PATIENCE {
            tracing::info!("dropped a terminal client that does not read");
            self.gone = true;
        }
    }
}
