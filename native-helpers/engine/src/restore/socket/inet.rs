//! Internet, netlink, packet and vsock sockets. A TCP connection within the tree is made anew, between the
//! addresses that it had.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde_bytes::ByteBuf;
use torpor_sys::fd::setsockopt;
use torpor_sys::socket as sys;

use super::{Builder, Source, options, repair};
use crate::model::socket::{Link, SOCK_PACKET, Socket, raw_address, tcp_state};
use crate::proc::diag::{self, End, Inet};

/// Bytes of a `struct sockaddr_ll`, which getsockname(2) cuts to the length of the hardware's address.
const PACKET_ADDRESS_LEN: usize = 20;
/// No connection within the machine takes longer, in seconds.
const PATIENCE: i64 = 5;

fn is_udp(s: &Socket) -> bool {
    matches!(s.domain, libc::AF_INET | libc::AF_INET6) && s.kind == libc::SOCK_DGRAM
}

pub fn build<'a>(b: &mut Builder<'a>, all: &[&'a Socket]) -> io::Result<()> {
    let tcp: Vec<&'a Socket> = all.iter().copied().filter(|s| s.is_tcp()).collect();
    if !tcp.is_empty() {
        clear_leftovers(&tcp)?;
    }
    for socket in tcp.iter().copied() {
        b.at = socket.inode;
        if b.made.contains_key(&socket.inode) {
            continue;
        }
        match socket.link {
            Link::Peer(peer) => {
                if let Some(peer) = b.by_inode.get(&peer).copied() {
                    connection(b, &tcp, socket, peer)?;
                }
            }
            Link::Closed => widowed(b, &tcp, socket)?,
            Link::Reset => reset(b, socket)?,
            Link::Outside => match repair::go_on(socket, &mut b.resuming)? {
                Some(fd) => {
                    b.made.insert(socket.inode, fd);
                }
                None => reset(b, socket)?,
            },
            _ => {}
        }
    }
    for socket in tcp.iter().copied() {
        b.at = socket.inode;
        if let Link::None | Link::Listening { .. } = socket.link {
            let fd = bound(socket)?;
            if let Link::Listening { backlog } = socket.link {
                sys::listen(fd.as_fd(), backlog as i32)?;
            }
            b.made.insert(socket.inode, fd);
        }
    }
    for socket in tcp.iter().copied() {
        b.at = socket.inode;
        pending(b, socket)?;
    }
    // Once all listeners are there, which may be what they are to reach.
    for socket in tcp.iter().copied().filter(|s| s.link == Link::Connecting) {
        b.at = socket.inode;
        let fd = bound(socket)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        let to = socket.peer_name.as_ref().map(|n| n.to_vec()).unwrap_or_default();
        match sys::connect(fd.as_fd(), &to) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => {
                tracing::warn!("a connection that was being made could not be made: {e}");
            }
            _ => {}
        }
        b.made.insert(socket.inode, fd);
    }
    for socket in all.iter().copied().filter(|s| s.domain != libc::AF_UNIX && !s.is_tcp()) {
        b.at = socket.inode;
        let fd = plain(socket)?;
        b.made.insert(socket.inode, fd);
    }
    for socket in all.iter().copied().filter(|s| is_udp(s)) {
        b.at = socket.inode;
        datagrams(b, socket)?;
    }
    Ok(())
}

/// Ends of our connections that the kernel keeps for a while after they were closed would be in the way of
/// the new ones, and so would be what only waits for its time to pass on their ports.
fn clear_leftovers(tcp: &[&Socket]) -> io::Result<()> {
    let ours = || tcp.iter().filter(|s| s.link != Link::Outside);
    let ends = |name: &ByteBuf| Some(end(name)).filter(|end| end.0 != 0);
    let ports: HashSet<u16> =
        ours().flat_map(|s| [&s.name, &s.peer_name]).flatten().filter_map(ends).map(|end| end.0).collect();
    let connections: HashSet<(End, End)> = ours()
        .filter_map(|s| Some((ends(s.name.as_ref()?)?, ends(s.peer_name.as_ref()?)?)))
        .flat_map(|(own, peer)| [(own.clone(), peer.clone()), (peer, own)])
        .collect();
    destroy_orphans(|left| {
        connections.contains(&left.ends())
            || left.state == tcp_state::TIME_WAIT && ports.contains(&left.ends().0.0)
    })
}

/// Ends connections that no program has open any more.
fn destroy_orphans(wanted: impl Fn(&Inet) -> bool) -> io::Result<()> {
    let over = |t: &Inet| t.inode == 0 && !matches!(t.state, diag::LISTEN | diag::ESTABLISHED);
    for left in diag::tcp()?.iter().filter(|t| over(t) && wanted(t)) {
        let _ = diag::destroy_tcp(left);
    }
    Ok(())
}

/// bind(2). What a closed connection still has to send to somebody else goes on beside the new socket, and ends only
/// where the kernel does not let both have the port.
fn bind(fd: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match sys::bind(fd, name) {
        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => {
            destroy_orphans(|left| left.ends().0.0 == end(name).0)?;
            sys::bind(fd, name)
        }
        outcome => outcome,
    }
}

/// bind(2) to an address that others have too: sockets can share one whose options no longer say so.
fn bind_beside(fd: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let outcome = sys::bind(fd, name);
    if !outcome.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::EADDRINUSE)) {
        return outcome;
    }
    const OPTIONS: [i32; 2] = [libc::SO_REUSEADDR, libc::SO_REUSEPORT];
    let value = |option| torpor_sys::fd::getsockopt(fd, libc::SOL_SOCKET, option, 4);
    let were = OPTIONS.map(value);
    for option in OPTIONS {
        options::set(fd, libc::SOL_SOCKET, option, 1)?;
    }
    let outcome = sys::bind(fd, name);
    for (option, was) in OPTIONS.into_iter().zip(were) {
        torpor_sys::fd::setsockopt(fd, libc::SOL_SOCKET, option, &was?)?;
    }
    outcome
}

/// A new TCP socket at its address, which it takes whatever was there before; SO_REUSEADDR gets its own
/// value when all are made.
fn bound(socket: &Socket) -> io::Result<OwnedFd> {
    let open = |protocol| sys::socket(socket.domain, socket.kind, protocol);
    let fd = open(socket.protocol).or_else(|e| match e.raw_os_error() {
        // Switched off here (net.mptcp.enabled): what a listener accepts is TCP then, as from most peers.
        Some(libc::EPROTONOSUPPORT | libc::ENOPROTOOPT) if socket.protocol == libc::IPPROTO_MPTCP => {
            open(libc::IPPROTO_TCP)
        }
        _ => Err(e),
    })?;
    options::early(fd.as_fd(), socket);
    if let Some(name) = &socket.name {
        options::set(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        allow_foreign(fd.as_fd(), socket)?;
        bind(fd.as_fd(), name)?;
    }
    Ok(fd)
}

/// An address that the machine of the capture did not have either; the option gets its own value when all are made.
fn allow_foreign(fd: BorrowedFd<'_>, socket: &Socket) -> io::Result<()> {
    const IP_FREEBIND: i32 = 15;
    if socket.foreign && matches!(socket.domain, libc::AF_INET | libc::AF_INET6) {
        options::set(fd, libc::IPPROTO_IP, IP_FREEBIND, 1)?;
    }
    Ok(())
}

fn hurry(fd: BorrowedFd<'_>) -> io::Result<()> {
    let limit: Vec<u8> = [PATIENCE, 0].iter().flat_map(|w| w.to_ne_bytes()).collect();
    setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &limit)?;
    setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &limit)
}

/// A connection that its program is to find broken off.
fn reset(b: &mut Builder<'_>, socket: &Socket) -> io::Result<()> {
    let (own, stand_in) = anywhere(socket)?;
    b.made.insert(socket.inode, own);
    b.resets.push(stand_in);
    Ok(())
}

/// Whether a socket came from a listener of the image.
fn was_accepted(tcp: &[&Socket], socket: &Socket) -> bool {
    let Some(local) = socket.name.as_ref().map(|n| end(n)) else { return false };
    tcp.iter().any(|l| {
        matches!(l.link, Link::Listening { .. }) && l.name.as_ref().is_some_and(|n| end(n).0 == local.0)
    })
}

fn connection<'a>(
    b: &mut Builder<'a>,
    tcp: &[&Socket],
    one: &'a Socket,
    other: &'a Socket,
) -> io::Result<()> {
    let (server, client) = if was_accepted(tcp, one) { (one, other) } else { (other, one) };
    let name =
        |s: &'a Socket| s.name.as_ref().ok_or_else(|| io::Error::other("a connection without an address"));
    let client_fd = bound(client)?;
    let listener = bound(server)?;
    let to = client.peer_name.as_ref().unwrap_or(name(server)?);
    let server_fd = join(listener, client_fd.as_fd(), to)?;
    b.made.insert(server.inode, server_fd);
    b.made.insert(client.inode, client_fd);
    for (to, from) in [(one, other), (other, one)] {
        b.refill(to, Source::Made(from.inode));
        if !from.unsent.is_empty() {
            b.tails.push((Source::Made(from.inode), &from.unsent));
        }
    }
    Ok(())
}

fn join(listener: OwnedFd, client: BorrowedFd<'_>, to: &[u8]) -> io::Result<OwnedFd> {
    hurry(listener.as_fd())?;
    hurry(client)?;
    sys::listen(listener.as_fd(), 1)?;
    sys::connect(client, to)?;
    sys::accept(listener.as_fd())
}

/// A connection whose other end is gone: made with a stand-in at that end's address.
fn widowed<'a>(b: &mut Builder<'a>, tcp: &[&Socket], socket: &'a Socket) -> io::Result<()> {
    let (Some(name), Some(peer)) = (&socket.name, &socket.peer_name) else {
        let (own, stand_in) = anywhere(socket)?;
        b.made.insert(socket.inode, own);
        let source = b.stand_in(stand_in);
        b.refill(socket, source);
        return Ok(());
    };
    let stand_in = sys::socket(socket.domain, socket.kind, socket.protocol)?;
    options::set(stand_in.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    bind(stand_in.as_fd(), peer)?;
    let own = bound(socket)?;
    let (own, stand_in) = if was_accepted(tcp, socket) {
        (join(own, stand_in.as_fd(), name)?, stand_in)
    } else {
        let accepted = join(stand_in, own.as_fd(), peer)?;
        (own, accepted)
    };
    b.made.insert(socket.inode, own);
    let source = b.stand_in(stand_in);
    b.refill(socket, source);
    Ok(())
}

/// A connection with a stand-in somewhere on this machine: its addresses can't be had, or are of no use.
fn anywhere(socket: &Socket) -> io::Result<(OwnedFd, OwnedFd)> {
    let any = (0, if socket.domain == libc::AF_INET { vec![0; 4] } else { vec![0; 16] });
    let listener = sys::socket(socket.domain, socket.kind, socket.protocol)?;
    sys::bind(listener.as_fd(), &raw_address(socket.domain, &reachable(&any)))?;
    let to = sys::name(listener.as_fd())?;
    let own = sys::socket(socket.domain, socket.kind, socket.protocol)?;
    let stand_in = join(listener, own.as_fd(), &to)?;
    Ok((own, stand_in))
}

/// Breaks connections off, so that their other ends are told (ECONNRESET).
pub fn break_off(b: &mut Builder<'_>) -> io::Result<()> {
    const ON_WITHOUT_WAITING: [i32; 2] = [1, 0];
    for stand_in in b.resets.drain(..) {
        let linger: Vec<u8> = ON_WITHOUT_WAITING.iter().flat_map(|w| w.to_ne_bytes()).collect();
        setsockopt(stand_in.as_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &linger)?;
    }
    Ok(())
}

/// Connections that wait to be accepted.
fn pending<'a>(b: &mut Builder<'a>, listener: &'a Socket) -> io::Result<()> {
    for waiting in &listener.pending {
        let client = b.by_inode.get(&waiting.client).copied();
        let name = listener.name.as_ref().map(|n| end(n)).unwrap_or_default();
        let (fd, to) = match client {
            Some(client) => {
                (bound(client)?, client.peer_name.as_ref().map(|n| n.to_vec()).unwrap_or_default())
            }
            None => (
                sys::socket(listener.domain, listener.kind, listener.protocol)?,
                raw_address(listener.domain, &reachable(&name)),
            ),
        };
        hurry(fd.as_fd())?;
        sys::connect(fd.as_fd(), &to)?;
        let source = match client {
            Some(client) => {
                b.made.insert(client.inode, fd);
                Source::Made(client.inode)
            }
            None => b.stand_in(fd),
        };
        if !waiting.queue.is_empty() {
            b.sends.push((source, Vec::new(), &waiting.queue));
        }
    }
    Ok(())
}

/// Sockets that are no streams.
fn plain(socket: &Socket) -> io::Result<OwnedFd> {
    // A packet socket with a protocol would take packets before it is bound.
    let packet = socket.domain == libc::AF_PACKET && socket.kind != SOCK_PACKET;
    let protocol = if packet { 0 } else { socket.protocol };
    let fd = sys::socket(socket.domain, socket.kind, protocol)?;
    options::early(fd.as_fd(), socket);
    for ring in &socket.rings {
        options::ring(fd.as_fd(), ring)?;
    }
    if let Some(name) = &socket.name {
        let mut name = name.to_vec();
        if packet && name.len() < PACKET_ADDRESS_LEN {
            name.resize(PACKET_ADDRESS_LEN, 0);
        }
        allow_foreign(fd.as_fd(), socket)?;
        bind_beside(fd.as_fd(), &name)?;
    }
    options::join(fd.as_fd(), socket)?;
    if let Link::Listening { backlog } = socket.link {
        sys::listen(fd.as_fd(), backlog as i32)?;
    }
    Ok(fd)
}

/// The datagrams in a queue, from where they came as far as that address can be had.
fn datagrams<'a>(b: &mut Builder<'a>, socket: &'a Socket) -> io::Result<()> {
    let Some(to) = socket.name.as_ref().map(|n| reachable(&end(n))) else { return Ok(()) };
    for message in &socket.queue {
        let from = end(&message.from);
        let sender = b
            .by_inode
            .values()
            .find(|s| {
                is_udp(s) && s.protocol == socket.protocol && s.name.as_ref().is_some_and(|n| end(n) == from)
            })
            .map(|s| (Source::Made(s.inode), s.domain));
        let (source, domain) = match sender {
            Some(sender) => sender,
            None => {
                let fd = sys::socket(socket.domain, socket.kind, socket.protocol)?;
                if sys::bind(fd.as_fd(), &message.from).is_err() {
                    tracing::warn!("a datagram's sender has lost its address");
                }
                (b.stand_in(fd), socket.domain)
            }
        };
        b.sends.push((source, raw_address(domain, &to), std::slice::from_ref(message)));
    }
    Ok(())
}

/// Sockets that send to one address, once all datagrams are in the queues.
pub fn connect_datagrams(b: &mut Builder<'_>, all: &[&Socket]) -> io::Result<()> {
    for socket in all.iter().filter(|s| s.domain != libc::AF_UNIX && !s.is_tcp()) {
        // With the kernel every netlink socket is connected.
        if let (libc::AF_NETLINK, Some(peer)) = (socket.domain, &socket.peer_name)
            && peer.get(4..).is_some_and(|to| to.iter().any(|b| *b != 0))
        {
            b.at = socket.inode;
            sys::connect(b.made[&socket.inode].as_fd(), peer)?;
        }
        if let (Link::Address, Some(peer)) = (socket.link, &socket.peer_name) {
            b.at = socket.inode;
            let fd = b.made[&socket.inode].as_fd();
            if socket.failed {
                be_refused(fd, socket)?;
            }
            sys::connect(fd, peer)?;
        }
    }
    Ok(())
}

/// Sends to where nobody is, for the error that comes of it.
fn be_refused(fd: BorrowedFd<'_>, socket: &Socket) -> io::Result<()> {
    let any = (0, if socket.domain == libc::AF_INET { vec![0; 4] } else { vec![0; 16] });
    let nobody = {
        let somebody = sys::socket(socket.domain, socket.kind, socket.protocol)?;
        sys::bind(somebody.as_fd(), &raw_address(socket.domain, &reachable(&any)))?;
        sys::name(somebody.as_fd())?
    };
    if sys::connect(fd, &nobody).is_ok() {
        let _ = sys::send(fd, &[], &[], &[], &[], libc::MSG_DONTWAIT);
    }
    Ok(())
}

fn end(address: &[u8]) -> End {
    crate::capture::internet_end(address)
}

/// An address that leads to a socket bound to any.
fn reachable((port, ip): &End) -> End {
    let any = ip.iter().all(|b| *b == 0);
    let loopback = match ip.len() {
        4 => vec![127, 0, 0, 1],
        _ => [vec![0; 15], vec![1]].concat(),
    };
    (*port, if any { loopback } else { ip.clone() })
}
