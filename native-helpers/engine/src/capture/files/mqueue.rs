//! POSIX message queues. The kernel shows a queue's attributes; its messages have to be received, and are sent
//! again at once, while everybody who has it open is stopped. A child of ours does so, which nothing but itself
//! ends: were we killed in between, it would still put them back.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Stat};
use serde_bytes::ByteBuf;
use torpor_sys::clone::{Forked, exit_now, fork_with_tid};
use torpor_sys::memory::Mapping;
use torpor_sys::mqueue;

use super::super::collect::Collector;
use super::super::refusal;
use super::Subject;
use crate::blocker::Obstacle;
use crate::freeze::Frozen;
use crate::inject::{InjectError, Injector, Remote};
use crate::model::mqueue::{Contents, MessageQueue, Notification};
use crate::model::{FileKind, Pid, Process};
use crate::proc;

const DELETED: &str = " (deleted)";
/// Length and priority before each message.
const HEADER: usize = 8;

/// The queues met, each with a descriptor that reads and writes.
pub type Queues = HashMap<(u64, u64), Met>;

#[derive(Debug)]
pub struct Met {
    queue: OwnedFd,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Where it was met first.
    pid: Pid,
    fd: i32,
    target: String,
}

/// Whether a descriptor is of a queue.
pub fn is_queue(fd: BorrowedFd<'_>, stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && rustix::fs::fstatfs(fd).is_ok_and(|fs| fs.f_type as u64 == mqueue::MAGIC)
}

pub fn capture(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let key = (s.stat.st_dev, s.stat.st_ino);
    if let std::collections::hash_map::Entry::Vacant(entry) = collector.queues.entry(key) {
        let path = format!("/proc/self/fd/{}", s.dup.as_raw_fd());
        entry.insert(Met {
            queue: File::options().read(true).write(true).open(path)?.into(),
            mode: s.stat.st_mode & 0o7777,
            uid: s.stat.st_uid,
            gid: s.stat.st_gid,
            pid: s.pid,
            fd: s.fd,
            target: s.target.to_owned(),
        });
    }
    let unlinked = s.stat.st_nlink == 0;
    let path = if unlinked { s.target.trim_end_matches(DELETED) } else { s.target };
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    Ok(FileKind::MessageQueue(Box::new(MessageQueue {
        queue: key,
        name: name.to_owned(),
        unlinked,
        opened_as: (!folder.is_empty()).then(|| path.to_owned()),
        contents: None,
    })))
}

/// Reads what is in the queues, once all their users in the tree are known.
pub fn finish(collector: &mut Collector, frozen: &Frozen, processes: &[Process]) -> io::Result<()> {
    for (key, met) in std::mem::take(&mut collector.queues) {
        let holders: Vec<(Pid, i32)> = processes
            .iter()
            .flat_map(|p| p.fds.iter().map(move |d| (p.pid, d)))
            .filter(|(_, d)| match collector.files.get(d.file as usize).map(|f| &f.kind) {
                Some(FileKind::MessageQueue(q)) => q.queue == key,
                _ => false,
            })
            .map(|(pid, d)| (pid, d.fd))
            .collect();
        match read(&met, key, &holders, frozen, &collector.pids) {
            Ok(contents) => {
                let first = collector.files.iter_mut().find_map(|f| match &mut f.kind {
                    FileKind::MessageQueue(q) if q.queue == key => Some(q),
                    _ => None,
                });
                if let Some(first) = first {
                    first.contents = Some(contents);
                }
            }
            Err(obstacle) => {
                let comm = proc::read(met.pid, "comm").unwrap_or_default().trim().to_owned();
                collector.block(
                    met.pid,
                    &comm,
                    format!("descriptor {} → {}", met.fd, met.target),
                    obstacle,
                )?;
            }
        }
    }
    Ok(())
}

fn read(
    met: &Met,
    key: (u64, u64),
    holders: &[(Pid, i32)],
    frozen: &Frozen,
    pids: &[Pid],
) -> Result<Contents, Obstacle> {
    let queue = met.queue.as_fd();
    let attributes = mqueue::attributes(queue)?;
    let told = Told::of(queue)?;
    let mut contents = Contents {
        mode: met.mode,
        uid: met.uid,
        gid: met.gid,
        max_messages: attributes.max_messages,
        message_size: attributes.message_size,
        messages: Vec::new(),
        notification: None,
    };
    if told.pid == 0 && attributes.messages == 0 {
        return Ok(contents);
    }
    if let Some(other) = other_holder(key, pids) {
        return Err(refusal::queue_shared(&met.target, other));
    }
    let Some((owner, fd)) = holders.iter().find(|(pid, _)| *pid == told.pid) else {
        // Nobody's, or of a process that has executed another program since: it would not be told.
        contents.messages = drain_and_refill(queue, &attributes, false)?;
        return Ok(contents);
    };
    let signal = match told.how {
        libc::SIGEV_SIGNAL => told.signal,
        libc::SIGEV_NONE => 0,
        _ => return Err(refusal::queue_thread(&met.target)),
    };
    let mut notification = Notification { pid: *owner, signal, value: 0 };
    if signal == 0 && attributes.messages == 0 {
        contents.notification = Some(notification);
        return Ok(contents);
    }
    let asked = |e: InjectError| Obstacle::Io(io::Error::other(e.to_string()));
    let ended = || io::Error::other("the process that is to be notified has ended");
    let process = frozen.processes.iter().find(|p| p.pid == *owner).ok_or_else(ended)?;
    let thread = process.leader().ok_or_else(ended)?;
    if signal != 0 {
        let status = proc::status::Status::of(thread.tid)?;
        if (status.pending | status.shared_pending) & 1 << (signal - 1) != 0 {
            return Err(refusal::queue_signal(&met.target, signal));
        }
    }
    let mut injector = Injector::new(thread.tid, process.vmas()?).map_err(asked)?;
    let mut remote = injector.thread(thread).without_signal();
    // Mapped before anything is changed.
    let scratch = remote.scratch().map_err(asked)?;
    // The first message into the empty queue makes the kernel send the signal, whose value nothing else tells.
    let messages = drain_and_refill(queue, &attributes, true);
    let again = ask_again(&mut remote, scratch, *fd, &mut notification);
    remote.release_scratch().map_err(asked)?;
    remote.finish().map_err(asked)?;
    contents.messages = messages?;
    again.map_err(asked)??;
    contents.notification = Some(notification);
    Ok(contents)
}

/// Takes the signal that the notification has sent, learns its value, and asks for the notification again.
fn ask_again(
    remote: &mut Remote<'_>,
    scratch: u64,
    fd: i32,
    notification: &mut Notification,
) -> Result<io::Result<()>, InjectError> {
    if notification.signal != 0 {
        let (info, timeout, set) = (scratch, scratch + 128, scratch + 144);
        remote.write(timeout, &[0; 16])?;
        remote.write(set, &(1u64 << (notification.signal - 1)).to_le_bytes())?;
        if let Err(e) = remote.call(libc::SYS_rt_sigtimedwait, [set, info, timeout, 8, 0, 0])? {
            return Ok(Err(e));
        }
        let [_, _, _, value] = remote.read_words(info)?;
        notification.value = value;
    }
    remote.write(scratch, &notification.event())?;
    let asked = remote.call(libc::SYS_mq_notify, [fd as u64, scratch, 0, 0, 0, 0])?;
    Ok(asked.map(drop))
}

/// Takes all messages out and puts them back. `probe`: a message of no length is put into the empty queue and
/// taken out again in between.
fn drain_and_refill(
    queue: BorrowedFd<'_>,
    attributes: &mqueue::Attributes,
    probe: bool,
) -> io::Result<Vec<(u32, ByteBuf)>> {
    let (count, size) = (attributes.messages.max(0) as usize, attributes.message_size.max(1) as usize);
    let step = HEADER + size.next_multiple_of(8);
    // The first word tells how far it has come.
    let mut room = Mapping::shared((8 + (count + 1) * step).next_multiple_of(4096))?;
    // SAFETY: the child makes a few system calls, allocates nothing, and ends.
    let child = match unsafe { fork_with_tid(0) }? {
        Forked::Parent(child) => child,
        Forked::Child => exit_now(cycle(queue, room.bytes_mut(), count, step, size, probe)),
    };
    let ended = torpor_sys::ptrace::wait(child)?;
    if ended != torpor_sys::ptrace::Wait::Exited(0) {
        return Err(io::Error::other(format!("a message queue could not be read ({ended:?})")));
    }
    let word = |at: usize| u32::from_ne_bytes(room.bytes()[at..at + 4].try_into().expect("4 bytes"));
    Ok((0..word(0) as usize)
        .map(|i| {
            let at = 8 + i * step;
            let bytes = &room.bytes()[at + HEADER..][..word(at) as usize];
            (word(at + 4), ByteBuf::from(bytes))
        })
        .collect())
}

/// What the child does; returns its exit status.
fn cycle(queue: BorrowedFd<'_>, room: &mut [u8], count: usize, step: usize, size: usize, probe: bool) -> i32 {
    let mut status = 0;
    let mut taken = 0;
    while taken < count {
        let slot = &mut room[8 + taken * step..][..HEADER + size];
        match mqueue::receive(queue, &mut slot[HEADER..]) {
            Ok((len, priority)) => {
                slot[..4].copy_from_slice(&(len as u32).to_ne_bytes());
                slot[4..8].copy_from_slice(&priority.to_ne_bytes());
                taken += 1;
            }
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            // Those that the attributes have told of are all that there are.
            Err(_) => break,
        }
    }
    if probe {
        let spare = &mut room[8 + count * step..][..HEADER + size];
        if mqueue::send(queue, 0, &[]).is_err() || mqueue::receive(queue, &mut spare[HEADER..]).is_err() {
            status = 2;
        }
    }
    for i in 0..taken {
        let slot = &room[8 + i * step..][..HEADER + size];
        let word = |at: usize| u32::from_ne_bytes(slot[at..at + 4].try_into().expect("4 bytes"));
        while let Err(e) = mqueue::send(queue, word(4), &slot[HEADER..][..word(0) as usize]) {
            if e.raw_os_error() != Some(libc::EINTR) {
                status = 3;
                break;
            }
        }
    }
    room[..4].copy_from_slice(&(taken as u32).to_ne_bytes());
    status
}

/// What the text of a queue says: `QSIZE:129 NOTIFY:2 SIGNO:0 NOTIFY_PID:8260`.
struct Told {
    how: i32,
    signal: i32,
    pid: Pid,
}

impl Told {
    fn of(queue: BorrowedFd<'_>) -> io::Result<Told> {
        let mut text = String::new();
        // Opened anew: it is read from its beginning.
        File::open(format!("/proc/self/fd/{}", queue.as_raw_fd()))?.read_to_string(&mut text)?;
        let number = |key: &str| {
            proc::fdinfo::pairs(&text).find(|(k, _)| *k == key).and_then(|(_, v)| v.parse().ok()).unwrap_or(0)
        };
        Ok(Told { how: number("NOTIFY"), signal: number("SIGNO"), pid: number("NOTIFY_PID") })
    }
}

/// A process that is none of these and not this one, and has the queue open.
pub fn other_holder(key: (u64, u64), pids: &[Pid]) -> Option<Pid> {
    let own = std::process::id() as Pid;
    let all = std::fs::read_dir("/proc").ok()?;
    all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<Pid>().ok()).find(|pid| {
        *pid != own
            && !pids.contains(pid)
            && proc::numbers(*pid, "fd").unwrap_or_default().into_iter().any(|fd| {
                // What is no path can't be one, and is not worth a second look.
                proc::link(*pid, &format!("fd/{fd}")).is_ok_and(|target| target.starts_with('/'))
                    && rustix::fs::stat(format!("/proc/{pid}/fd/{fd}"))
                        .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == key)
            })
    })
}
