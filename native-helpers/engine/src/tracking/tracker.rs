//! The tracker: a small process, one for each tree, that outlives the helper and holds the descriptors which keep the
//! write-protection of its memory alive, and knows which image that memory is in.
//!
//! Nothing has to be read from these descriptors, and nobody waits for it: when it dies the kernel lifts the
//! protection, and the next capture compares. It ends when no process that it knows is left, and when a helper leaves
//! it without having made an image.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use torpor_sys::clone::{self, Forked};
use torpor_sys::{fd, signals};

use super::link::{self, Which, Word};
use crate::model::SpaceId;

/// What it holds of a process.
#[derive(Debug)]
struct Held {
    which: Which,
    space: Option<SpaceId>,
    userfault: OwnedFd,
    /// A pidfd, which tells the end.
    process: OwnedFd,
}

#[derive(Debug)]
struct Tracker {
    listener: OwnedFd,
    helper: Option<OwnedFd>,
    held: Vec<Held>,
    image: Option<String>,
}

/// Starts it, listening already.
pub fn start(listener: OwnedFd) -> io::Result<()> {
    // SAFETY: the helper has one thread yet.
    match unsafe { clone::fork_whole() }? {
        Forked::Child => {
            let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(listener)));
            clone::exit_now(if matches!(lived, Ok(Ok(()))) { 0 } else { 1 })
        }
        Forked::Parent(_) => Ok(()),
    }
}

fn live(listener: OwnedFd) -> io::Result<()> {
    let _ = rustix::thread::set_name(c"torpor-tracker");
    rustix::process::setsid()?;
    signals::reset(&[libc::SIGTERM]);
    signals::ignore(&[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE]);
    // No folder is kept busy.
    rustix::process::chdir("/")?;
    let null = fd::open(c"/dev/null", libc::O_RDWR, 0)?;
    for at in 0..3 {
        fd::redirect(null.as_fd(), at)?;
    }
    fd::close_all_but(3, &[listener.as_raw_fd(), null.as_raw_fd()]);
    // Whoever connects from now on sees that it is us (SO_PEERCRED, unix(7)), and not a helper that has ended.
    rustix::net::listen(&listener, link::BACKLOG)?;
    let mut tracker = Tracker { listener, helper: None, held: Vec::new(), image: None };
    // The helper that has started it is connected already.
    tracker.accept();
    // What was protected for an image that was not made is of no use, and lifted with our end.
    while tracker.helper.is_some() || tracker.image.is_some() && !tracker.held.is_empty() {
        tracker.step()?;
    }
    Ok(())
}

impl Tracker {
    fn step(&mut self) -> io::Result<()> {
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        fds.extend(self.held.iter().map(|held| PollFd::new(&held.process, PollFlags::IN)));
        fds.extend(self.helper.iter().map(|helper| PollFd::new(helper, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        let told: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let (ended, helper) = told[1..].split_at(self.held.len());
        // First of all: one that has ended is no obstacle to the next.
        if helper.first() == Some(&true) && self.serve().is_err() {
            self.helper = None;
        }
        if ended.contains(&true) {
            // What was added meanwhile has not ended.
            let mut ended = ended.iter();
            self.held.retain(|_| ended.next() != Some(&true));
        }
        if told[0] {
            self.accept();
        }
        Ok(())
    }

    /// Takes in a helper; one that comes while another is served is hung up on.
    fn accept(&mut self) {
        let Ok(helper) = torpor_sys::socket::accept(self.listener.as_fd()) else { return };
        if self.helper.is_none() && link::is_ours(helper.as_fd()) && link::be_patient(helper.as_fd()).is_ok()
        {
            self.helper = Some(helper);
        }
    }

    /// All words that the helper has said.
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let Some(helper) = &self.helper else { return Ok(()) };
            match link::receive(helper.as_fd(), libc::MSG_DONTWAIT) {
                Ok(Some((word, descriptors))) => self.obey(word, descriptors)?,
                Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    fn obey(&mut self, word: Word, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let Some(helper) = &self.helper else { return Ok(()) };
        match word {
            Word::Take => {
                for held in &mut self.held {
                    let word = Word::Held { which: held.which, space: held.space.take() };
                    link::send(helper.as_fd(), &word, &[held.userfault.as_raw_fd()])?;
                }
                link::send(helper.as_fd(), &Word::All { image: self.image.take() }, &[])?;
            }
            Word::Add { which } => {
                let [userfault, process] = descriptors.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
                let held = Held { which, space: None, userfault, process };
                // Replaced in place: their order is that of the pidfds that were polled.
                match self.held.iter_mut().find(|held| held.which == which) {
                    Some(known) => *known = held,
                    None => self.held.push(held),
                }
            }
            Word::Bind { which, space } => {
                if let Some(held) = self.held.iter_mut().find(|held| held.which == which) {
                    held.space = Some(space);
                }
            }
            Word::Image { image } => self.image = Some(image),
            Word::Held { .. } | Word::All { .. } => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(())
    }
}
