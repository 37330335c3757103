//! Unix sockets: pairs, listeners and who has connected to them, in the order in which a program could have
//! made them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use torpor_sys::fd::dup_to;
use torpor_sys::socket as sys;

use super::identity::{Identity, act_as};
use super::names::{fitting, within};
use super::{Builder, Source, options};
use crate::model::socket::{Link, Socket, SocketFile};

pub fn build<'a>(b: &mut Builder<'a>, all: &[&'a Socket]) -> io::Result<()> {
    let unix: Vec<&'a Socket> = all.iter().copied().filter(|s| s.domain == libc::AF_UNIX).collect();
    for socket in &unix {
        if b.made.contains_key(&socket.inode) {
            continue;
        }
        b.at = socket.inode;
        match (socket.kind, socket.link) {
            (libc::SOCK_DGRAM, link) => datagram(b, socket, link)?,
            (_, Link::Listening { backlog }) => {
                let fd = named(b, socket)?;
                act_as(b.state, socket.peer_credentials, || sys::listen(fd.as_fd(), backlog as i32))?;
                b.made.insert(socket.inode, fd);
            }
            (_, Link::None) => {
                let fd = named(b, socket)?;
                b.made.insert(socket.inode, fd);
            }
            _ => {}
        }
    }
    for socket in &unix {
        b.at = socket.inode;
        if socket.kind == libc::SOCK_DGRAM || b.made.contains_key(&socket.inode) {
            continue;
        }
        match socket.link {
            Link::Peer(peer) => {
                let Some(peer) = b.by_inode.get(&peer).copied() else { continue };
                connection(b, socket, peer)?;
            }
            Link::Closed => widowed(b, socket)?,
            Link::Reset => {
                widowed(b, socket)?;
                // Its other end is to go without having read this.
                sys::send(b.made[&socket.inode].as_fd(), b"x", &[], &[], &[], libc::MSG_DONTWAIT)?;
            }
            _ => {}
        }
    }
    for socket in &unix {
        b.at = socket.inode;
        pending(b, socket)?;
    }
    Ok(())
}

/// A new socket of its kind, bound where it was.
fn named(b: &mut Builder<'_>, socket: &Socket) -> io::Result<OwnedFd> {
    let fd = sys::socket(libc::AF_UNIX, socket.kind, socket.protocol)?;
    options::early(fd.as_fd(), socket);
    if let Some(name) = &socket.name {
        b.names.bind(fd.as_fd(), name, socket.file.as_ref(), true)?;
    }
    Ok(fd)
}

fn datagram<'a>(b: &mut Builder<'a>, socket: &'a Socket, link: Link) -> io::Result<()> {
    let peer = if let Link::Peer(peer) = link { b.by_inode.get(&peer).copied() } else { None };
    if let Some(peer) = peer
        && peer.link == Link::Peer(socket.inode)
        && peer.inode != socket.inode
    {
        let (one, other) = pair(b, socket.kind, socket.peer_credentials)?;
        for (socket, fd) in [(socket, &one), (peer, &other)] {
            if let Some(name) = &socket.name {
                b.names.bind(fd.as_fd(), name, socket.file.as_ref(), true)?;
            }
        }
        b.made.insert(socket.inode, one);
        b.made.insert(peer.inode, other);
        b.refill(socket, Source::Made(peer.inode));
        b.refill(peer, Source::Made(socket.inode));
        return Ok(());
    }
    if link == Link::Closed {
        let (one, other) = pair(b, socket.kind, socket.peer_credentials)?;
        if let Some(name) = &socket.name {
            b.names.bind(one.as_fd(), name, socket.file.as_ref(), true)?;
        }
        b.made.insert(socket.inode, one);
        let source = b.stand_in(other);
        b.refill(socket, source);
        return Ok(());
    }
    let fd = named(b, socket)?;
    b.made.insert(socket.inode, fd);
    letters(b, socket)
}

/// The datagrams in the queue of a socket that takes them from anybody.
fn letters<'a>(b: &mut Builder<'a>, socket: &'a Socket) -> io::Result<()> {
    for message in &socket.queue {
        let to = socket.name.as_ref().map(|n| n.to_vec()).unwrap_or_default();
        let to = absolute(&to, socket.file.as_ref());
        let to = b.made.get(&socket.inode).map_or(to.clone(), |fd| b.names.address(fd.as_fd(), &to));
        let sender = b
            .by_inode
            .values()
            .find(|s| {
                s.domain == libc::AF_UNIX
                    && s.kind == libc::SOCK_DGRAM
                    && !message.from.is_empty()
                    && s.name.as_ref() == Some(&message.from)
            })
            .map(|s| Source::Made(s.inode));
        let source = match sender {
            Some(source) => source,
            None => {
                let fd = sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
                if !message.from.is_empty() {
                    b.names.bind(fd.as_fd(), &message.from, None, false)?;
                }
                b.stand_in(fd)
            }
        };
        b.sends.push((source, to, std::slice::from_ref(message)));
    }
    Ok(())
}

/// A raw address whose path does not depend on the working directory, where there is room for one.
fn absolute(address: &[u8], file: Option<&SocketFile>) -> Vec<u8> {
    let path = crate::model::socket::sun_path(address);
    match (path.first(), file) {
        (Some(first), Some(file)) if *first != 0 && *first != b'/' => {
            let full = format!("{}/", file.folder).into_bytes();
            let raw = [&address[..2], &full, path, &[0]].concat();
            if raw.len() <= 110 { raw } else { address.to_vec() }
        }
        _ => address.to_vec(),
    }
}

/// Datagram sockets that send to one address: connected last, since then they take from there only.
pub fn connect_datagrams(b: &mut Builder<'_>, all: &[&Socket]) -> io::Result<()> {
    for socket in all.iter().filter(|s| s.domain == libc::AF_UNIX && s.kind == libc::SOCK_DGRAM) {
        b.at = socket.inode;
        let (name, file) = match socket.link {
            Link::Peer(peer) => match b.by_inode.get(&peer) {
                Some(peer) if peer.link != Link::Peer(socket.inode) || peer.inode == socket.inode => {
                    (peer.name.clone().or_else(|| socket.peer_name.clone()), peer.file.as_ref())
                }
                _ => continue,
            },
            Link::Address => (socket.peer_name.clone(), None),
            _ => continue,
        };
        let name = name.ok_or_else(|| io::Error::other("what it was connected to has no name"))?;
        let fd = b.made[&socket.inode].as_fd();
        let to = match socket.link {
            Link::Peer(peer) => b.made.get(&peer),
            _ => None,
        };
        let name = to.map_or(fitting(&name).to_vec(), |to| b.names.address(to.as_fd(), &name));
        within(file.map_or("/", |f| &f.folder), || sys::connect(fd, &name))?;
    }
    Ok(())
}

/// socketpair(2), made by whom the credentials name.
fn pair(b: &Builder<'_>, kind: i32, by: Option<Identity>) -> io::Result<(OwnedFd, OwnedFd)> {
    let Some(by) = by.filter(|(pid, ..)| *pid > 0) else { return sys::socketpair(libc::AF_UNIX, kind, 0) };
    // Numbers that the child, which shares them, replaces.
    let one = sys::socket(libc::AF_UNIX, kind, 0)?;
    let other = sys::socket(libc::AF_UNIX, kind, 0)?;
    act_as(b.state, Some(by), || {
        let ends = sys::socketpair(libc::AF_UNIX, kind, 0)?;
        // The numbers stay open: they are the parent's.
        std::mem::forget(dup_to(ends.0.as_fd(), one.as_raw_fd())?);
        std::mem::forget(dup_to(ends.1.as_fd(), other.as_raw_fd())?);
        Ok(())
    })?;
    Ok((one, other))
}

/// A listening socket of the image with this name.
fn listener<'a>(b: &Builder<'a>, socket: &Socket) -> Option<&'a Socket> {
    b.by_inode.values().copied().find(|l| {
        matches!(l.link, Link::Listening { .. })
            && l.domain == libc::AF_UNIX
            && l.kind == socket.kind
            && l.name.is_some()
            && l.name == socket.name
    })
}

fn connection<'a>(b: &mut Builder<'a>, one: &'a Socket, other: &'a Socket) -> io::Result<()> {
    let (one_fd, other_fd) = if one.name.is_none() && other.name.is_none() {
        pair(b, one.kind, one.peer_credentials)?
    } else {
        let server_first = listener(b, one).is_some() || listener(b, other).is_none() && one.name.is_some();
        let (server, client) = if server_first { (one, other) } else { (other, one) };
        let client_fd = named(b, client)?;
        let server_fd = join(b, server, client_fd.as_fd(), client.peer_credentials)?;
        if server_first { (server_fd, client_fd) } else { (client_fd, server_fd) }
    };
    b.made.insert(one.inode, one_fd);
    b.made.insert(other.inode, other_fd);
    b.refill(one, Source::Made(other.inode));
    b.refill(other, Source::Made(one.inode));
    Ok(())
}

/// Connects `client` with a listener of `server`'s name and returns the accepted end. `by` listened.
fn join(
    b: &mut Builder<'_>,
    server: &Socket,
    client: std::os::fd::BorrowedFd<'_>,
    by: Option<Identity>,
) -> io::Result<OwnedFd> {
    let name = server.name.clone().unwrap_or_default();
    let folder = server.file.as_ref().map_or("/", |f| &f.folder);
    let known = listener(b, server).map(|l| l.inode);
    let temporary;
    let listening = match known.and_then(|inode| b.made.get(&inode)) {
        Some(fd) => fd.as_fd(),
        None => {
            temporary = sys::socket(libc::AF_UNIX, server.kind, 0)?;
            b.names.bind(temporary.as_fd(), &name, server.file.as_ref(), false)?;
            act_as(b.state, by, || sys::listen(temporary.as_fd(), 1))?;
            temporary.as_fd()
        }
    };
    let name = b.names.address(listening, &name);
    within(folder, || act_as(b.state, server.peer_credentials, || sys::connect(client, &name)))?;
    sys::accept(listening)
}

/// A connection whose other end is gone.
fn widowed<'a>(b: &mut Builder<'a>, socket: &'a Socket) -> io::Result<()> {
    let (fd, stand_in) =
        if socket.name.is_some() && (listener(b, socket).is_some() || socket.peer_name.is_none()) {
            let client = sys::socket(libc::AF_UNIX, socket.kind, 0)?;
            let server = join(b, socket, client.as_fd(), None)?;
            (server, client)
        } else {
            let (fd, stand_in) = pair(b, socket.kind, socket.peer_credentials)?;
            if let Some(name) = &socket.name {
                b.names.bind(fd.as_fd(), name, socket.file.as_ref(), true)?;
            }
            // The other end keeps its name for getpeername; where that can't be had, it goes without.
            if let Some(name) = &socket.peer_name
                && !is_there(name)
            {
                let _ = b.names.bind(stand_in.as_fd(), name, None, false);
            }
            (fd, stand_in)
        };
    b.made.insert(socket.inode, fd);
    let source = b.stand_in(stand_in);
    b.refill(socket, source);
    Ok(())
}

/// Whether something goes by this name: a listener that others look for must not be moved.
fn is_there(name: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let path = crate::model::socket::sun_path(name);
    path.first() != Some(&0) && rustix::fs::lstat(std::ffi::OsStr::from_bytes(path)).is_ok()
}

/// Connections that wait in a listener's queue, in its order.
fn pending<'a>(b: &mut Builder<'a>, listener: &'a Socket) -> io::Result<()> {
    let name = listener.name.clone().unwrap_or_default();
    let folder = listener.file.as_ref().map_or("/", |f| f.folder.as_str());
    let name =
        b.made.get(&listener.inode).map_or(name.clone().into_vec(), |l| b.names.address(l.as_fd(), &name));
    for waiting in &listener.pending {
        if listener.domain != libc::AF_UNIX {
            return Ok(());
        }
        let client = b.by_inode.get(&waiting.client).copied();
        let fd = match client {
            Some(client) => named(b, client)?,
            None => sys::socket(libc::AF_UNIX, listener.kind, 0)?,
        };
        let by = waiting.credentials.or_else(|| b.process_with(waiting.client));
        within(folder, || act_as(b.state, by, || sys::connect(fd.as_fd(), &name)))?;
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
