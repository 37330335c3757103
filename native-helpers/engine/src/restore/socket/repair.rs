//! A TCP connection with somebody outside the tree goes on where it was: made with TCP_REPAIR, without a word
//! to the peer, between the same addresses and with the same numbers. What the peer alone can say, that it has
//! ended its stream or has our end of ours, is said for it once more, to our own side.
//!
//! Until the whole tree is there it stays in repair mode, in which its end tells the peer nothing: a restore that fails
//! can be tried again. Only then the network, locked since the capture, is opened for it ([`Resuming::start`]).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use torpor_sys::fd::{getsockopt, setsockopt};
use torpor_sys::socket as sys;

use super::options;
use crate::capture::internet_end;
use crate::model::socket::{Link, Socket, SocketOption, TcpRepair, raw_address, tcp_state};
use crate::network_lock::{self, Connection};
use crate::proc::diag::{self, End};

const TCP_INFO: i32 = 11;
const TCP_REPAIR: i32 = 19;
const TCP_REPAIR_QUEUE: i32 = 20;
const TCP_QUEUE_SEQ: i32 = 21;
const TCP_REPAIR_OPTIONS: i32 = 22;
const TCP_TIMESTAMP: i32 = 24;
const TCP_REPAIR_WINDOW: i32 = 29;
const RECEIVE_QUEUE: i32 = 1;
const SEND_QUEUE: i32 = 2;
/// TCPI_OPT_* and the options' numbers in a segment (RFC 9293, RFC 7323, RFC 2018).
const TIMESTAMPS: (u8, u32) = (1, 8);
const SELECTIVE: (u8, u32) = (2, 4);
const SCALING: (u8, u32) = (4, 3);
const SEGMENT_OPTION: u32 = 2;
/// The kernel takes what goes into a queue in pieces of this size at most.
const PIECE: usize = 16 * 1024;
const FIN: u8 = 1;
const ACK: u8 = 16;
const IPV6_HDRINCL: i32 = 36;
/// How long one of our own segments takes to come round, in milliseconds.
const ROUND_LIMIT: u32 = 100;

/// Connections that wait for the rest of the tree.
#[derive(Debug, Default)]
pub struct Resuming {
    /// All that a capture may have locked, also those that can't go on.
    locked: Vec<Connection>,
    made: Vec<Made>,
}

/// A connection in repair mode, and what is left to be done with it.
#[derive(Debug)]
struct Made {
    fd: OwnedFd,
    ends: Connection,
    /// What the peer has said since our stream ended: flags, sequence numbers, and the state that it leads to.
    last_word: Option<(u8, u32, u32, u8)>,
    unsent: Vec<u8>,
    end_waits: bool,
    /// Nothing more is to be received.
    deaf: bool,
    /// SO_REUSEADDR, which goes with repair mode, and SO_SNDBUF, which is widened.
    options: Vec<SocketOption>,
}

impl Resuming {
    pub fn of(sockets: &[&Socket]) -> Resuming {
        let outside = sockets.iter().filter(|s| s.link == Link::Outside);
        let ends = outside
            .filter_map(|s| Some((internet_end(s.peer_name.as_ref()?), internet_end(s.name.as_ref()?))));
        Resuming { locked: ends.collect(), made: Vec::new() }
    }

    /// Lets the connections go on. What can't be done is told in notes.
    pub fn start(&mut self) -> Vec<String> {
        if !self.locked.is_empty() {
            network_lock::unlock(&std::mem::take(&mut self.locked));
        }
        let failed = |made: Made| {
            let error = made.start().err()?;
            Some(format!("a TCP connection with port {} may not go on: {error}", made.ends.0.0))
        };
        std::mem::take(&mut self.made).into_iter().filter_map(failed).collect()
    }
}

impl Made {
    fn start(&self) -> io::Result<()> {
        let fd = self.fd.as_fd();
        set(fd, TCP_REPAIR, 0)?;
        if !self.unsent.is_empty() {
            options::widen(fd, self.unsent.len());
            super::write_all(fd, &self.unsent)?;
        }
        if self.end_waits {
            sys::shutdown(fd, libc::SHUT_WR)?;
        }
        if let Some((flags, sequence, confirmed, state)) = self.last_word {
            say(&self.ends.0, &self.ends.1, flags, sequence, confirmed)?;
            await_state(fd, state);
        }
        if self.deaf {
            sys::shutdown(fd, libc::SHUT_RD)?;
        }
        self.options.iter().for_each(|option| options::apply(fd, option));
        Ok(())
    }
}

/// The connection, or `None` where its address or, on this machine, its peer is not there any more.
pub fn go_on(socket: &Socket, resuming: &mut Resuming) -> io::Result<Option<OwnedFd>> {
    let (Some(repair), Some(name), Some(peer)) = (&socket.repair, &socket.name, &socket.peer_name) else {
        return Ok(None);
    };
    let (own, other) = (internet_end(name), internet_end(peer));
    if !peer_is_there(&own, &other)? {
        return Ok(None);
    }
    let fd = sys::socket(socket.domain, socket.kind, socket.protocol)?;
    options::early(fd.as_fd(), socket);
    match build(fd.as_fd(), socket, repair, name, peer) {
        Ok(made) => {
            resuming.made.push(made);
            Ok(Some(fd))
        }
        // Its address has gone, or somebody else has taken the port.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A peer on this machine can be looked up; of another machine's nothing is known until it is asked.
fn peer_is_there(own: &End, other: &End) -> io::Result<bool> {
    let all = diag::tcp()?;
    if all.iter().any(|t| t.ends() == (other.clone(), own.clone()) && t.state != diag::LISTEN) {
        return Ok(true);
    }
    Ok(!is_local(other))
}

fn is_local((_, ip): &End) -> bool {
    let domain = if ip.len() == 4 { libc::AF_INET } else { libc::AF_INET6 };
    let bound = sys::socket(domain, libc::SOCK_DGRAM, 0)
        .and_then(|probe| sys::bind(probe.as_fd(), &raw_address(domain, &(0, ip.clone()))));
    bound.is_ok()
}

fn build(
    fd: BorrowedFd<'_>,
    socket: &Socket,
    repair: &TcpRepair,
    name: &[u8],
    peer: &[u8],
) -> io::Result<Made> {
    let received: Vec<u8> = socket.queue.iter().flat_map(|m| m.data.iter().copied()).collect();
    let end_received = tcp_state::END_RECEIVED.contains(&repair.state);
    let receive_end = repair.receive_end.wrapping_sub(u32::from(end_received));
    set(fd, TCP_REPAIR, 1)?;
    number(fd, RECEIVE_QUEUE, receive_end.wrapping_sub(received.len() as u32))?;
    // Where the end of our stream has been confirmed, it is to be sent again below.
    let confirmed = repair.state == tcp_state::FIN_WAIT_2;
    let send_start = repair.send_start.wrapping_sub(u32::from(confirmed));
    number(fd, SEND_QUEUE, send_start)?;
    sys::bind(fd, name)?;
    sys::connect(fd, peer)?;
    agree(fd, repair)?;
    options::widen(fd, repair.send.len());
    let sent = repair.send.len().saturating_sub(repair.unsent as usize);
    put(fd, RECEIVE_QUEUE, &received)?;
    put(fd, SEND_QUEUE, &repair.send[..sent])?;
    if let Some(window) = repair.window.first_chunk::<20>() {
        // struct tcp_repair_window; the end of the peer's stream has not come yet.
        let mut words: [u32; 5] = std::array::from_fn(|i| {
            u32::from_ne_bytes([window[i * 4], window[i * 4 + 1], window[i * 4 + 2], window[i * 4 + 3]])
        });
        for number in [0, 4] {
            if end_received && words[number] == repair.receive_end {
                words[number] = receive_end;
            }
        }
        let raw = words.map(u32::to_ne_bytes).concat();
        setsockopt(fd, libc::IPPROTO_TCP, TCP_REPAIR_WINDOW, &raw)?;
    }
    let (own, other) = (internet_end(name), internet_end(peer));
    if repair.state == tcp_state::LAST_ACK || repair.state == tcp_state::CLOSE_WAIT {
        say(&other, &own, FIN | ACK, receive_end, repair.send_start)?;
        await_state(fd, tcp_state::CLOSE_WAIT);
    }
    if tcp_state::END_SENT.contains(&repair.state) && !repair.end_waits {
        set(fd, TCP_REPAIR_QUEUE, SEND_QUEUE)?;
        sys::shutdown(fd, libc::SHUT_WR)?;
    }
    // Nothing that is written by mistake goes out.
    set(fd, TCP_REPAIR_QUEUE, SEND_QUEUE)?;
    let kept = |o: &&SocketOption| {
        o.level == libc::SOL_SOCKET && matches!(o.name, libc::SO_REUSEADDR | libc::SO_SNDBUF)
    };
    let last_flags = match repair.state {
        tcp_state::FIN_WAIT_2 => Some(ACK),
        tcp_state::CLOSING => Some(FIN | ACK),
        _ => None,
    };
    Ok(Made {
        fd: fd.try_clone_to_owned()?,
        last_word: last_flags.map(|flags| (flags, receive_end, repair.send_start, repair.state)),
        ends: (other, own),
        unsent: repair.send[sent..].to_vec(),
        end_waits: repair.end_waits,
        deaf: socket.shut & 1 != 0 && !end_received,
        options: socket.options.iter().filter(kept).cloned().collect(),
    })
}

/// What both sides agreed on when they met.
fn agree(fd: BorrowedFd<'_>, repair: &TcpRepair) -> io::Result<()> {
    let mut raw = Vec::new();
    let mut option = |number: u32, value: u32| {
        raw.extend(number.to_ne_bytes());
        raw.extend(value.to_ne_bytes());
    };
    option(SEGMENT_OPTION, repair.segment);
    if repair.options & SELECTIVE.0 != 0 {
        option(SELECTIVE.1, 0);
    }
    if repair.options & SCALING.0 != 0 {
        option(SCALING.1, u32::from(repair.scale & 15) | u32::from(repair.scale >> 4) << 16);
    }
    if repair.options & TIMESTAMPS.0 != 0 {
        option(TIMESTAMPS.1, 0);
    }
    setsockopt(fd, libc::IPPROTO_TCP, TCP_REPAIR_OPTIONS, &raw)?;
    if repair.options & TIMESTAMPS.0 != 0 {
        setsockopt(fd, libc::IPPROTO_TCP, TCP_TIMESTAMP, &repair.timestamp.to_ne_bytes())?;
    }
    Ok(())
}

fn put(fd: BorrowedFd<'_>, queue: i32, bytes: &[u8]) -> io::Result<()> {
    set(fd, TCP_REPAIR_QUEUE, queue)?;
    for piece in bytes.chunks(PIECE) {
        super::write_all(fd, piece)?;
    }
    Ok(())
}

fn number(fd: BorrowedFd<'_>, queue: i32, sequence: u32) -> io::Result<()> {
    set(fd, TCP_REPAIR_QUEUE, queue)?;
    setsockopt(fd, libc::IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence.to_ne_bytes())
}

fn set(fd: BorrowedFd<'_>, name: i32, value: i32) -> io::Result<()> {
    setsockopt(fd, libc::IPPROTO_TCP, name, &value.to_ne_bytes())
}

/// Waits a moment for what was said to arrive; where it does not, the peer will say it in its own time.
fn await_state(fd: BorrowedFd<'_>, wanted: u8) {
    for _ in 0..ROUND_LIMIT {
        let info = getsockopt(fd, libc::IPPROTO_TCP, TCP_INFO, 1).unwrap_or_default();
        if info.first().is_some_and(|state| *state == wanted) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends one segment without data from one end of a connection to the other, both of which may be ours.
fn say(from: &End, to: &End, flags: u8, sequence: u32, confirms: u32) -> io::Result<()> {
    const RAW: i32 = libc::IPPROTO_RAW;
    const WINDOW: u16 = 0xffff;
    let mut segment = Vec::with_capacity(20);
    segment.extend(from.0.to_be_bytes());
    segment.extend(to.0.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend(confirms.to_be_bytes());
    segment.extend([5 << 4, flags]);
    segment.extend(WINDOW.to_be_bytes());
    segment.extend([0; 4]);
    let pseudo =
        [from.1.as_slice(), &to.1, &[0, libc::IPPROTO_TCP as u8], &(segment.len() as u16).to_be_bytes()]
            .concat();
    let sum = checksum(&[&pseudo, &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    let (domain, packet) = if to.1.len() == 4 {
        let mut header = vec![0x45, 0];
        header.extend((20 + segment.len() as u16).to_be_bytes());
        header.extend([0, 0, 0, 0, 64, libc::IPPROTO_TCP as u8, 0, 0]);
        header.extend(from.1.iter().chain(&to.1));
        (libc::AF_INET, [header, segment].concat())
    } else {
        let mut header = vec![0x60, 0, 0, 0];
        header.extend((segment.len() as u16).to_be_bytes());
        header.extend([libc::IPPROTO_TCP as u8, 64]);
        header.extend(from.1.iter().chain(&to.1));
        (libc::AF_INET6, [header, segment].concat())
    };
    let link = sys::socket(domain, libc::SOCK_RAW, RAW)?;
    // What others send in these names is still dropped.
    options::set(link.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, network_lock::OWN_MARK as i32)?;
    if domain == libc::AF_INET6 {
        setsockopt(link.as_fd(), libc::IPPROTO_IPV6, IPV6_HDRINCL, &1i32.to_ne_bytes())?;
    }
    sys::send(link.as_fd(), &packet, &raw_address(domain, &(0, to.1.clone())), &[], &[], 0)?;
    Ok(())
}

/// The internet checksum (RFC 1071) over parts of an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words =
        parts.iter().flat_map(|p| p.chunks_exact(2)).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_over_its_own_complement_is_nothing() {
        let data = [0x12, 0x34, 0xab, 0xcd];
        let sum = checksum(&[&data]);
        assert_eq!(checksum(&[&data, &sum.to_be_bytes()]), 0);
    }
}
