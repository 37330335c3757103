//! TCP connections out of the tree, taken along as they are: what TCP_REPAIR tells of one.
//!
//! From then on until its program has ended the lock of the network ([`crate::network_lock`]), or where that can't be
//! had a filter, drops what arrives, so that the peer keeps it and sends it again: to the restored connection, or to
//! this one when the capture fails. Just before the end the socket goes
//! into repair mode for good, in which closing it tells the peer nothing. In between it is out of that mode: a
//! program that is set free by the death of the helper would find its calls refused.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde_bytes::ByteBuf;
use torpor_sys::{fd, socket};

use super::queue;
use super::repair_keeper::RepairKeeper;
use crate::model::socket::{Message, TcpRepair, tcp_state};

const TCP_MAXSEG: i32 = 2;
const TCP_INFO: i32 = 11;
const TCP_REPAIR: i32 = 19;
const TCP_REPAIR_QUEUE: i32 = 20;
const TCP_QUEUE_SEQ: i32 = 21;
const TCP_TIMESTAMP: i32 = 24;
const TCP_REPAIR_WINDOW: i32 = 29;
const REPAIR_OFF_SILENTLY: i32 = -1;
const RECEIVE_QUEUE: i32 = 1;
const SEND_QUEUE: i32 = 2;
/// Bytes of `struct tcp_repair_window`.
const WINDOW_LEN: usize = 20;
/// SIOCOUTQNSD: bytes that were not sent yet, the end of the stream counted as one.
const SIOCOUTQNSD: u64 = 0x894b;
/// A filter that accepts no byte of anything: BPF_RET | BPF_K with 0 (Documentation/networking/filter.rst).
const DROP_ALL: [u8; 8] = [0x06, 0, 0, 0, 0, 0, 0, 0];
/// How long to wait for the peer's word that it has what was sent, in milliseconds: a delayed one takes 40.
const QUIET_LIMIT: u32 = 200;

/// A connection that is held.
#[derive(Debug)]
pub struct Held {
    fd: OwnedFd,
    before: Before,
    /// Nothing arrives although there is no filter of ours; else it has to stay in repair mode.
    locked: bool,
    /// The program ends with the connection in this state.
    ends: bool,
}

/// What a socket was like, to be put back; fits into a word for the keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// The value that SO_REUSEADDR had: repair mode changes it.
    reuse: bool,
    /// There is no filter of ours to take away: the network is locked, or the program has one of its own.
    filter: bool,
}

impl Before {
    pub fn word(self) -> i32 {
        i32::from(self.reuse) | i32::from(self.filter) << 1
    }

    pub fn of_word(word: i32) -> Before {
        Before { reuse: word & 1 != 0, filter: word & 2 != 0 }
    }
}

impl Held {
    /// What has been read is all: nothing more arrives.
    pub fn rest(&self) {
        if self.locked || !self.before.filter {
            leave_repair(self.fd.as_fd(), self.before);
        }
    }

    /// What it takes to make the connection anew, besides the data received.
    pub fn state(&self) -> io::Result<TcpRepair> {
        let it = self.fd.as_fd();
        let info = fd::getsockopt(it, libc::IPPROTO_TCP, TCP_INFO, 8)?;
        let [state, _, _, _, _, options, scale, ..] = info[..] else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let receive_end = sequence(it, RECEIVE_QUEUE)?;
        let send_end = sequence(it, SEND_QUEUE)?;
        let queued = queue::unsent(it);
        let mut unsent = 0i32;
        fd::ioctl_struct(it, SIOCOUTQNSD, &mut unsent)?;
        let mut data = vec![0u8; queued + 1];
        let len = match socket::receive(it, &mut data, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
            Ok(got) => got.len.min(queued),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            Err(e) => return Err(e),
        };
        data.truncate(len);
        let end_waits = tcp_state::END_NOT_CONFIRMED.contains(&state) && unsent > 0;
        Ok(TcpRepair {
            state,
            receive_end,
            send_start: send_end.wrapping_sub(queued as u32),
            send_end,
            unsent: (unsent.max(0) as u32).saturating_sub(u32::from(end_waits)),
            end_waits,
            send: ByteBuf::from(data),
            segment: number(it, TCP_MAXSEG)?,
            options,
            scale,
            timestamp: number(it, TCP_TIMESTAMP).unwrap_or(0),
            window: ByteBuf::from(
                fd::getsockopt(it, libc::IPPROTO_TCP, TCP_REPAIR_WINDOW, WINDOW_LEN).unwrap_or_default(),
            ),
        })
    }

    /// What has arrived and was not read.
    pub fn received(&self) -> io::Result<Vec<Message>> {
        let it = self.fd.as_fd();
        set(it, TCP_REPAIR_QUEUE, RECEIVE_QUEUE)?;
        let mut data = vec![0u8; queue::unread(it)];
        if data.is_empty() {
            return Ok(Vec::new());
        }
        let got = socket::receive(it, &mut data, libc::MSG_PEEK | libc::MSG_DONTWAIT)?;
        data.truncate(got.len);
        Ok(vec![Message { data, ..Message::default() }])
    }

    /// Lets the socket end silently with its program.
    pub fn end(&mut self) {
        let _ = set(self.fd.as_fd(), TCP_REPAIR, 1);
        self.ends = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.ends {
            let_go(self.fd.as_fd(), self.before);
        }
    }
}

/// The connection goes on as if nothing had been.
pub fn let_go(it: BorrowedFd<'_>, before: Before) {
    leave_repair(it, before);
    if !before.filter {
        let _ = fd::setsockopt(it, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0i32.to_ne_bytes());
    }
}

fn leave_repair(it: BorrowedFd<'_>, before: Before) {
    let _ = set(it, TCP_REPAIR, REPAIR_OFF_SILENTLY);
    let _ = queue::set_reuse_address(it, i32::from(before.reuse));
}

/// Puts a connection into repair mode. `locked`: nothing arrives any more.
pub fn hold(dup: OwnedFd, reuse: i32, keeper: &RepairKeeper, locked: bool) -> io::Result<Held> {
    let filter = locked || !socket::filter(dup.as_fd())?.is_empty();
    let before = Before { reuse: reuse != 0, filter };
    keeper.watch(dup.as_fd(), before)?;
    let held = Held { fd: dup, before, locked, ends: false };
    if !before.filter {
        socket::attach_filter(held.fd.as_fd(), &DROP_ALL)?;
    }
    set(held.fd.as_fd(), TCP_REPAIR, 1)?;
    Ok(held)
}

/// What has been sent and not confirmed is confirmed within moments, where the peers are near and have room.
pub fn await_quiet(all: &[BorrowedFd<'_>]) {
    let waits = |it: &BorrowedFd<'_>| {
        let mut unsent = 0i32;
        queue::unsent(*it) > 0 && fd::ioctl_struct(*it, SIOCOUTQNSD, &mut unsent).is_ok() && unsent == 0
    };
    for _ in 0..QUIET_LIMIT {
        if !all.iter().any(waits) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Chooses a queue, and tells the number of the byte behind it.
fn sequence(it: BorrowedFd<'_>, which: i32) -> io::Result<u32> {
    set(it, TCP_REPAIR_QUEUE, which)?;
    number(it, TCP_QUEUE_SEQ)
}

fn set(it: BorrowedFd<'_>, name: i32, value: i32) -> io::Result<()> {
    fd::setsockopt(it, libc::IPPROTO_TCP, name, &value.to_ne_bytes())
}

fn number(it: BorrowedFd<'_>, name: i32) -> io::Result<u32> {
    let value = fd::getsockopt(it, libc::IPPROTO_TCP, name, 4)?;
    Ok(value.first_chunk::<4>().map_or(0, |b| u32::from_ne_bytes(*b)))
}
