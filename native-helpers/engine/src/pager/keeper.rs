//! The keeper: makes sure that a program whose pager has died never sees a page of zeros in place of one that
//! is missing.
//!
//! The kernel gives missing pages as zeros once nobody holds the descriptor that page faults are read from.
//! The keeper shares the pager's descriptor table (CLONE_FILES), so it holds all of them, also those of
//! forks that the pager has just read; whoever touches a missing page waits. When the pager has ended
//! without having finished, the keeper has the program ended, and lets go once none of it is left.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use torpor_sys::clone::{self, kill};
use torpor_sys::memory::Mapping;
use torpor_sys::userfault::{self, Event};

use super::{DONE, Duty, FAILED, FORK};
use crate::model::Pid;
use crate::proc::{numbers, stat::Stat, tree};

/// Between two looks at whether the program is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The reason where nobody is left to tell one.
const KILLED: &str = "the processes that bring in its memory were killed";

/// A process as it was when its page faults were handed over: its number may come to mean another one.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub pid: Pid,
    start: u64,
}

impl Member {
    pub fn of(pid: Pid) -> Option<Member> {
        Some(Member { pid, start: Stat::of(pid).ok()?.start_time })
    }

    fn is_there(self) -> bool {
        Stat::of(self.pid).is_ok_and(|s| s.start_time == self.start && !s.is_zombie())
    }
}

/// The processes of a tree in place, which is not there yet when the keeper is: in memory that both have.
pub struct Members(Mapping);

impl Members {
    /// Room for so many.
    pub fn new(count: usize) -> io::Result<Members> {
        Ok(Members(Mapping::shared((1 + 2 * count) * 8)?))
    }

    pub fn set(&self, members: impl Iterator<Item = Member>) {
        let mut count = 0;
        for member in members {
            self.0.atomic((1 + 2 * count) * 8).store(member.pid as u64, Ordering::Relaxed);
            self.0.atomic((2 + 2 * count) * 8).store(member.start, Ordering::Relaxed);
            count += 1;
        }
        self.0.atomic(0).store(count as u64, Ordering::Release);
    }

    fn list(&self) -> Vec<Member> {
        let word = |at: usize| self.0.atomic(at * 8).load(Ordering::Relaxed);
        let count = self.0.atomic(0).load(Ordering::Acquire) as usize;
        (0..count).map(|n| Member { pid: word(1 + 2 * n) as Pid, start: word(2 + 2 * n) }).collect()
    }
}

/// What the failure of a tree in place is written to: there is nobody to tell.
#[derive(Debug, Clone)]
pub struct ReportFile {
    pub path: PathBuf,
    pub image: String,
}

/// The keeper's whole life. `words` is what the pager says at its end.
pub fn keep(
    pager: BorrowedFd<'_>,
    words: BorrowedFd<'_>,
    link: BorrowedFd<'_>,
    duty: &Duty,
    members: &Members,
) -> ! {
    loop {
        let mut fds = [PollFd::from_borrowed_fd(pager, PollFlags::IN)];
        if poll(&mut fds, None).is_ok() && !fds[0].revents().is_empty() {
            break;
        }
    }
    let mut said = vec![0u8; 4096];
    let len = rustix::io::read(words, &mut said).unwrap_or(0);
    let said = String::from_utf8_lossy(&said[..len]);
    if said.starts_with(DONE) {
        clone::exit_now(0);
    }
    if matches!(duty, Duty::Tree { .. }) && members.list().is_empty() {
        // There was no tree yet: whoever makes it finds out.
        clone::exit_now(1);
    }
    let reason = said.strip_prefix(FAILED).unwrap_or("the process that brings in its memory was killed");
    end_program(duty, link, &members.list(), reason);
    clone::exit_now(1)
}

fn end_program(duty: &Duty, link: BorrowedFd<'_>, members: &[Member], reason: &str) {
    match duty {
        Duty::Capsule => {
            let words = format!("{FAILED}{reason}");
            // Without its init a capsule ends by itself.
            let _ = rustix::net::send(link, words.as_bytes(), rustix::net::SendFlags::NOSIGNAL);
            while !userfaults().iter().all(|fd| userfault::is_gone(fd.as_fd())) {
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        Duty::Tree { report, .. } => {
            let mut victims: Vec<Pid> = Vec::new();
            for member in members.iter().filter(|m| m.is_there()) {
                victims.push(member.pid);
                victims.extend(tree::descendants(member.pid).unwrap_or_default());
            }
            for pid in victims {
                let _ = kill(pid, libc::SIGKILL);
            }
            write_report(report, members, reason);
            end_stragglers();
        }
    }
}

/// Processes that the tree has made and that belong to nobody known any more: whoever touches a missing
/// page tells who it is, before it has seen any of it.
fn end_stragglers() {
    loop {
        let all = userfaults();
        for fd in &all {
            for event in userfault::events(fd.as_fd()).unwrap_or_default() {
                match event {
                    Event::Fault { tid, .. } => drop(kill(tid, libc::SIGKILL)),
                    // Held like the others, by its number.
                    Event::Fork { child } => std::mem::forget(child),
                    Event::Remap { .. } | Event::Remove { .. } | Event::Unmap { .. } => {}
                }
            }
        }
        if all.iter().all(|fd| userfault::is_gone(fd.as_fd())) {
            return;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// All descriptors of page faults in the table that the pager has left.
fn userfaults() -> Vec<BorrowedFd<'static>> {
    let table = numbers(std::process::id() as i32, "fd").unwrap_or_default();
    // Nobody closes them any more.
    table.into_iter().map(torpor_sys::fd::borrow).filter(|fd| userfault::is_userfault(*fd)).collect()
}

fn write_report(report: &ReportFile, members: &[Member], reason: &str) {
    let text = serde_json::json!({
        "rootPid": members.first().map(|m| m.pid),
        "image": report.image,
        "reason": reason,
        "endedAtUnixMs": torpor_sys::ids::clock_ns(libc::CLOCK_REALTIME) / 1_000_000,
    });
    let write = || -> std::io::Result<()> {
        if let Some(folder) = report.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        writeln!(std::fs::File::create(&report.path)?, "{text}")
    };
    // Nobody is left to be told of a report that can't be written.
    let _ = write();
}

/// Gives init a duplicate of the descriptor of a fork's page faults, which only the pager and its keeper have.
pub fn hand_over(link: BorrowedFd<'_>, userfault: BorrowedFd<'_>) -> std::io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let descriptors = [userfault];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let word = [std::io::IoSlice::new(FORK.as_bytes())];
    sendmsg(link, &word, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}

/// What init holds of a capsule's pager: the descriptors once more, and the line on which its end is told.
#[derive(Debug)]
pub struct Watch {
    link: OwnedFd,
    held: Vec<OwnedFd>,
}

/// What a [`Watch`] has learnt.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    Nothing,
    /// All memory is there.
    Done,
    /// Memory is missing and won't come: the program must end. The reason, for people.
    Failed(String),
}

impl Watch {
    pub fn new(link: OwnedFd, held: Vec<OwnedFd>) -> Watch {
        Watch { link, held }
    }

    /// Readable when there are news.
    pub fn link(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// All descriptors, which must stay open as long as this lives.
    pub fn descriptors(&self) -> Vec<i32> {
        use std::os::fd::AsRawFd;
        self.held.iter().chain([&self.link]).map(AsRawFd::as_raw_fd).collect()
    }

    /// Looks for news, without waiting.
    pub fn look(&mut self) -> News {
        loop {
            let mut said = vec![0u8; 4096];
            let received = match torpor_sys::socket::receive(self.link.as_fd(), &mut said, libc::MSG_DONTWAIT)
            {
                Ok(received) => received,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return News::Nothing,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return News::Failed(KILLED.into()),
            };
            self.held.extend(received.descriptors);
            let said = String::from_utf8_lossy(&said[..received.len.min(said.len())]);
            match said.as_ref() {
                FORK => {}
                DONE => return News::Done,
                said => return News::Failed(said.strip_prefix(FAILED).unwrap_or(KILLED).to_owned()),
            }
        }
    }
}
