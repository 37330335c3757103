//! Sets the options that a new socket has otherwise than the captured one.

use std::io;
use std::os::fd::BorrowedFd;

use torpor_sys::fd::{getsockopt, setsockopt};

use crate::model::socket::{Link, PacketRing, Socket, SocketOption};

const SO_SNDBUFFORCE: i32 = 32;
const SO_RCVBUFFORCE: i32 = 33;
const SO_PEEK_OFF: i32 = 42;
const SO_LOCK_FILTER: i32 = 44;
const SO_BINDTOIFINDEX: i32 = 62;
const TCP_CORK: i32 = 3;
const TCP_DEFER_ACCEPT: i32 = 9;
const TCP_WINDOW_CLAMP: i32 = 10;
const TCP_FASTOPEN: i32 = 23;

/// Before it is bound and connected: what has a say in that.
pub fn early(fd: BorrowedFd<'_>, socket: &Socket) {
    for option in &socket.options {
        let wanted = match (option.level, option.name) {
            (libc::SOL_SOCKET, name) => matches!(
                name,
                libc::SO_REUSEADDR
                    | libc::SO_REUSEPORT
                    | SO_BINDTOIFINDEX
                    | libc::SO_SNDBUF
                    | libc::SO_RCVBUF
                    | libc::SO_MARK
                    | libc::SO_BROADCAST
            ),
            // A connection does not take it any more, and a listener would have its first data early.
            (libc::IPPROTO_TCP, TCP_FASTOPEN) => !matches!(socket.link, Link::Listening { .. }),
            // Deferred, a connection would wait for data.
            (libc::IPPROTO_TCP, TCP_CORK | TCP_DEFER_ACCEPT | TCP_WINDOW_CLAMP) => false,
            (level, _) => level != libc::AF_UNIX,
        };
        if wanted {
            apply(fd, option);
        }
    }
}

/// Once nothing else is to be done with it.
pub fn late(fd: BorrowedFd<'_>, socket: &Socket) -> io::Result<()> {
    // The priority follows the type of service, where that is set.
    let last = |o: &&SocketOption| {
        o.level == libc::SOL_SOCKET && matches!(o.name, SO_PEEK_OFF | SO_LOCK_FILTER | libc::SO_PRIORITY)
    };
    for option in socket.options.iter().filter(|o| !last(o)) {
        apply(fd, option);
    }
    if !socket.filter.is_empty() {
        torpor_sys::socket::attach_filter(fd, &socket.filter)?;
    }
    for option in socket.options.iter().filter(last) {
        apply(fd, option);
    }
    Ok(())
}

/// A ring of a packet socket, whose version is set.
pub fn ring(fd: BorrowedFd<'_>, ring: &PacketRing) -> io::Result<()> {
    const PACKET_RX_RING: i32 = 5;
    const PACKET_VERSION: i32 = 10;
    const PACKET_TX_RING: i32 = 13;
    const VERSION_3: i32 = 2;
    let mut fields = vec![ring.block_size, ring.blocks, ring.frame_size, ring.frames];
    if getsockopt(fd, libc::SOL_PACKET, PACKET_VERSION, 4)? == VERSION_3.to_ne_bytes() {
        fields.extend([ring.retire_ms, ring.private_bytes, ring.features]);
    }
    let name = if ring.transmit { PACKET_TX_RING } else { PACKET_RX_RING };
    let request: Vec<u8> = fields.iter().flat_map(|f| f.to_ne_bytes()).collect();
    setsockopt(fd, libc::SOL_PACKET, name, &request)
}

/// Multicast groups and the like.
pub fn join(fd: BorrowedFd<'_>, socket: &Socket) -> io::Result<()> {
    for option in &socket.joined {
        match setsockopt(fd, option.level, option.name, &option.value) {
            // Bound with a mask of the same groups.
            Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Room for all that is to be sent at once.
pub fn widen(fd: BorrowedFd<'_>, bytes: usize) {
    let size = i32::try_from(bytes.saturating_mul(3).saturating_add(1 << 20)).unwrap_or(i32::MAX / 2);
    let _ = setsockopt(fd, libc::SOL_SOCKET, SO_SNDBUFFORCE, &size.to_ne_bytes());
}

pub fn set(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    setsockopt(fd, level, name, &value.to_ne_bytes())
}

/// An option that the socket does not take stays as it is: it is one that only the kernel of the capture
/// knew, or that this caller may not set.
pub fn apply(fd: BorrowedFd<'_>, option: &SocketOption) {
    if getsockopt(fd, option.level, option.name, option.value.len()).is_ok_and(|now| now == option.value) {
        return;
    }
    let number = option.value.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b));
    let result = match (option.level, option.name) {
        // That of a connection grows by itself: only a smaller one was set by somebody. Others have none.
        (libc::IPPROTO_TCP, TCP_WINDOW_CLAMP) => {
            let now = getsockopt(fd, option.level, option.name, 4).unwrap_or_default();
            let now = now.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b));
            if number < now || now == 0 { set(fd, option.level, option.name, number) } else { Ok(()) }
        }
        // The kernel tells twice what was asked for.
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => set(fd, libc::SOL_SOCKET, SO_SNDBUFFORCE, number / 2),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => set(fd, libc::SOL_SOCKET, SO_RCVBUFFORCE, number / 2),
        (level, name) => setsockopt(fd, level, name, &option.value),
    };
    if let Err(e) = result {
        tracing::debug!(level = option.level, name = option.name, "socket option not set: {e}");
    }
}
