//! Connections on `init.sock`: whole lines in, whole lines out.

use crate::control::{Answer, REQUEST_MAX, Request};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub struct Asker {
    connection: OwnedFd,
    received: Vec<u8>,
    unsent: Vec<u8>,
    gone: bool,
}

impl Asker {
    pub fn new(connection: OwnedFd) -> Self {
        Self { connection, received: Vec::new(), unsent: Vec::new(), gone: false }
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    pub fn interest(&self) -> PollFlags {
        // No new question before the last answer is out: bounds what one asker can make init hold.
        if self.unsent.is_empty() { PollFlags::IN } else { PollFlags::OUT }
    }

    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// The next request, or what is wrong with it.
    pub fn receive(&mut self) -> Option<Result<Request, String>> {
        let mut chunk = [0; 4096];
        match rustix::io::read(&self.connection, &mut chunk) {
            Ok(0) => self.gone = true,
            Ok(length) => self.received.extend_from_slice(&chunk[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.gone = true,
        }
        if let Some(end) = self.received.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            return Some(serde_json::from_slice(&line).map_err(|error| format!("not a request: {error}")));
        }
        if self.received.len() > REQUEST_MAX {
            self.gone = true;
        }
        None
    }

    pub fn answer(&mut self, answer: &Answer) {
        if let Ok(text) = serde_json::to_vec(answer) {
            self.unsent.extend_from_slice(&text);
            self.unsent.push(b'\n');
        }
        self.send();
    }

    pub fn send(&mut self) {
        while !self.unsent.is_empty() && !self.gone {
            match rustix::net::send(&self.connection, &self.unsent, rustix::net::SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => self.gone = true,
            }
        }
    }
}
