//! What has arrived at a socket and was not read, without taking it out: MSG_PEEK, moved along by
//! SO_PEEK_OFF where one look does not show all. The option is put back whatever happens.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use serde_bytes::ByteBuf;
use torpor_sys::{fd, socket};

use super::super::super::{collect::Collector, locks, refusal};
use crate::blocker::Obstacle;
use crate::model::socket::Message;
use crate::model::{FileKind, Pid};
use crate::proc::task::DescriptorFacts;

const SO_PEEK_OFF: i32 = 42;
const SCM_CREDENTIALS: i32 = 2;
/// Room for a first look at a datagram.
const DATAGRAM_ROOM: usize = 256 * 1024;
/// The most that is read of one socket: more than any queue holds.
const MOST: usize = 1 << 30;

/// Puts SO_PEEK_OFF back.
struct PeekOffset<'a> {
    fd: BorrowedFd<'a>,
    was: i32,
    now: i32,
}

impl<'a> PeekOffset<'a> {
    fn of(fd: BorrowedFd<'a>) -> PeekOffset<'a> {
        let was = fd::getsockopt(fd, libc::SOL_SOCKET, SO_PEEK_OFF, 4)
            .ok()
            .and_then(|v| v.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b)))
            .unwrap_or(-1);
        PeekOffset { fd, was, now: was }
    }

    fn set(&mut self, offset: i32) -> io::Result<()> {
        if self.now != offset {
            fd::setsockopt(self.fd, libc::SOL_SOCKET, SO_PEEK_OFF, &offset.to_ne_bytes())?;
        }
        // From zero on, every look moves it.
        self.now = if offset >= 0 { i32::MAX } else { offset };
        Ok(())
    }
}

impl Drop for PeekOffset<'_> {
    fn drop(&mut self) {
        let _ = self.set(self.was);
    }
}

/// Bytes of a stream that can be read (SIOCINQ).
pub fn unread(fd: BorrowedFd<'_>) -> usize {
    let mut n = 0i32;
    fd::ioctl_struct(fd, libc::FIONREAD, &mut n).map_or(0, |_| n.max(0) as usize)
}

/// Bytes sent that the other side has not taken (SIOCOUTQ).
pub fn unsent(fd: BorrowedFd<'_>) -> usize {
    let mut n = 0i32;
    fd::ioctl_struct(fd, libc::TIOCOUTQ, &mut n).map_or(0, |_| n.max(0) as usize)
}

/// Refuses a stream in which urgent data is on its way; of a program that has it in line (SO_OOBINLINE) it is data
/// like any other.
pub fn refuse_urgent(fd: BorrowedFd<'_>) -> Option<Obstacle> {
    let there = match peek(fd, &mut [0], libc::MSG_OOB) {
        Ok(Some(got)) => got.len > 0,
        // Announced, but not there yet.
        Ok(None) => true,
        // As a rule: there is none, or not in a stream of this kind.
        Err(_) => false,
    };
    there.then(refusal::urgent)
}

/// The bytes in a stream, in pieces as descriptors and credentials divide them.
pub fn stream(collector: &mut Collector, fd: BorrowedFd<'_>) -> Result<Vec<Message>, Obstacle> {
    if let Some(urgent) = refuse_urgent(fd) {
        return Err(urgent);
    }
    let total = unread(fd);
    if total == 0 {
        return Ok(Vec::new());
    }
    let mut offset = PeekOffset::of(fd);
    if offset.was >= 0 {
        offset.set(-1)?;
    }
    let mut messages = Vec::new();
    let mut buf = vec![0u8; total];
    let first = peek(fd, &mut buf, 0)?;
    let Some(first) = first else { return Ok(messages) };
    if first.len >= total {
        messages.push(message(collector, first, &buf)?);
        return Ok(messages);
    }
    drop(first);
    let mut seen = 0;
    offset.set(0)?;
    while seen < MOST {
        let Some(got) = peek(fd, &mut buf, 0)? else { break };
        if got.len == 0 {
            break;
        }
        seen += got.len;
        messages.push(message(collector, got, &buf)?);
    }
    Ok(messages)
}

/// The datagrams or packets in a queue.
pub fn datagrams(collector: &mut Collector, fd: BorrowedFd<'_>) -> Result<Vec<Message>, Obstacle> {
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&zero)).map_err(io::Error::from)?;
    let events = polled[0].revents();
    // An error that waits to be told would be taken by looking.
    if !events.contains(PollFlags::IN) || events.contains(PollFlags::ERR) {
        return Ok(Vec::new());
    }
    let mut messages = Vec::new();
    let mut buf = vec![0u8; DATAGRAM_ROOM];
    let mut offset = PeekOffset::of(fd);
    let mut seen = 0usize;
    offset.set(0)?;
    while seen < MOST {
        let Some(mut got) = peek(fd, &mut buf, libc::MSG_TRUNC)? else { break };
        if got.len > buf.len() {
            buf.resize(got.len, 0);
            offset.now = i32::MAX;
            offset.set(seen as i32)?;
            let Some(again) = peek(fd, &mut buf, libc::MSG_TRUNC)? else { break };
            got = again;
        }
        // A sequenced-packet socket whose peer has gone ends with an empty message without a sender.
        if got.len == 0 && got.flags & libc::MSG_EOR == 0 && ended(fd) {
            break;
        }
        seen += got.len;
        messages.push(message(collector, got, &buf)?);
    }
    Ok(messages)
}

/// Whether nothing can be received any more, and whether an error waits to be told.
pub fn over(fd: BorrowedFd<'_>) -> io::Result<(bool, bool)> {
    let mut polled = [PollFd::new(&fd, PollFlags::RDHUP)];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&zero))?;
    let events = polled[0].revents();
    Ok((events.contains(PollFlags::RDHUP), events.contains(PollFlags::ERR)))
}

/// The other side can't send any more; only connection-based sockets ever end.
fn ended(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(&fd, PollFlags::RDHUP)];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&zero)).is_ok() && polled[0].revents().contains(PollFlags::RDHUP)
}

/// `flags`: MSG_TRUNC tells the whole length of a datagram; a TCP socket would leave the bytes out.
fn peek(fd: BorrowedFd<'_>, buf: &mut [u8], flags: i32) -> io::Result<Option<socket::Received>> {
    match socket::receive(fd, buf, libc::MSG_PEEK | libc::MSG_DONTWAIT | flags) {
        Ok(got) => Ok(Some(got)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

fn message(collector: &mut Collector, got: socket::Received, buf: &[u8]) -> Result<Message, Obstacle> {
    let credentials = got.control.iter().find_map(|c| {
        let credentials = c.level == libc::SOL_SOCKET && c.kind == SCM_CREDENTIALS && c.data.len() == 12;
        credentials.then(|| super::credentials(&c.data))
    });
    let mut files = Vec::new();
    for fd in got.descriptors {
        let number = fd.as_fd().as_raw_fd();
        // Kept open: the registry compares by number.
        collector.sockets.in_flight.push(fd);
        let own = std::process::id() as i32;
        let facts = DescriptorFacts::of(own, number)?;
        let file = collector.descriptor_with(own, &facts)?;
        collector.flight_locks.extend(locks::in_flight(&facts.info, file));
        // These are made when the processes are, long after all that is in queues.
        let kind = collector.files.get(file as usize).map(|file| &file.kind);
        match kind {
            Some(FileKind::Pidfd { pid, .. }) if *pid > 0 => return Err(refusal::in_flight("a pidfd")),
            Some(FileKind::Path(path)) if is_of_tree(&path.path, &collector.pids) => {
                return Err(refusal::in_flight("a file of a process' folder in /proc"));
            }
            _ => {}
        }
        files.push(file);
    }
    // The name of a unix socket without one is its family alone.
    let from = if got.address.len() > 2 { got.address } else { Vec::new() };
    Ok(Message {
        data: buf[..got.len.min(buf.len())].to_vec(),
        from: ByteBuf::from(from),
        files,
        credentials,
    })
}

/// Whether a file is one of a process' folder in /proc.
fn is_of_tree(path: &str, pids: &[Pid]) -> bool {
    let number = path.strip_prefix("/proc/").and_then(|rest| rest.split('/').next()?.parse().ok());
    number.is_some_and(|number| pids.contains(&number))
}

const TCP_REPAIR: i32 = 19;
const TCP_REPAIR_QUEUE: i32 = 20;
const TCP_QUEUE_SEQ: i32 = 21;
const REPAIR_OFF_SILENTLY: i32 = -1;
const RECEIVE_QUEUE: i32 = 1;
const SEND_QUEUE: i32 = 2;

/// Ends repair mode and gives SO_REUSEADDR back, which the kernel resets with it.
struct Repair<'a>(BorrowedFd<'a>, i32);

impl<'a> Repair<'a> {
    fn of(fd: BorrowedFd<'a>, reuse: i32) -> io::Result<Repair<'a>> {
        fd::setsockopt(fd, libc::IPPROTO_TCP, TCP_REPAIR, &1i32.to_ne_bytes())?;
        Ok(Repair(fd, reuse))
    }

    /// Chooses a queue, and tells the number of the byte behind it.
    fn queue(&self, which: i32) -> io::Result<u32> {
        fd::setsockopt(self.0, libc::IPPROTO_TCP, TCP_REPAIR_QUEUE, &which.to_ne_bytes())?;
        let value = fd::getsockopt(self.0, libc::IPPROTO_TCP, TCP_QUEUE_SEQ, 4)?;
        Ok(value.first_chunk::<4>().map_or(0, |b| u32::from_ne_bytes(*b)))
    }
}

impl Drop for Repair<'_> {
    fn drop(&mut self) {
        let _ = fd::setsockopt(self.0, libc::IPPROTO_TCP, TCP_REPAIR, &REPAIR_OFF_SILENTLY.to_ne_bytes());
        let _ = set_reuse_address(self.0, self.1);
    }
}

pub fn set_reuse_address(fd: BorrowedFd<'_>, value: i32) -> io::Result<()> {
    fd::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &value.to_ne_bytes())
}

/// The number up to which a TCP socket has received its peer's stream.
pub fn tcp_received(it: BorrowedFd<'_>, reuse: i32) -> io::Result<u32> {
    Repair::of(it, reuse)?.queue(RECEIVE_QUEUE)
}

/// What a TCP socket has in its send queue beyond what its peer has received, and up to which number that is.
pub fn tcp_tail(from: BorrowedFd<'_>, to: BorrowedFd<'_>, reuse: [i32; 2]) -> io::Result<(Vec<u8>, u32)> {
    let mut buf = vec![0u8; unsent(from) + 1];
    // A number that was read while data moved is read again; nobody sends any more, so that it ends.
    for _ in 0..50 {
        let (held, end) = {
            let repair = Repair::of(from, reuse[0])?;
            let end = repair.queue(SEND_QUEUE)?;
            let got = peek(from, &mut buf, 0)?;
            (got.map_or(0, |g| g.len).min(buf.len()), end)
        };
        let received = tcp_received(to, reuse[1])?;
        let still = unsent(from);
        // The end of the stream (FIN) has a number, too, but no byte.
        let fin = u32::from(still > held || buf.len() - 1 > held);
        let missing = end.wrapping_sub(fin).wrapping_sub(received) as i32;
        if missing <= held as i32 {
            let missing = missing.max(0) as usize;
            return Ok((buf[held - missing..held].to_vec(), received));
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "a TCP connection within the tree did not come to rest"))
}
