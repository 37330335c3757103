//! Who is connected to whom. A connection within the tree is one; one that has lost its other end is an
//! ended one; one that leads out of the tree is a blocker.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use torpor_sys::socket as sys;

use super::super::super::Outside;
use super::super::super::{collect::Collector, refusal};
use super::{away, queue, sockets_of as every_socket};
use crate::blocker::Obstacle;
use crate::model::socket::{Link, Message, Pending, Socket, tcp_state};
use crate::model::{FileId, OpenFile};
use crate::proc::diag::{self, End, Inet};

/// What a capsule's own control socket is called; its other end is the agent, which comes back by itself.
const CONTROL_SOCKET: &[u8] = b"/run/torpor-capsule/control.sock";
/// Where a capsule's private display is looked at. A viewer comes back by itself too.
const DISPLAY_SOCKET: &[u8] = b"/run/torpor-capsule/display.sock";
const CLOSE_WAIT: u8 = 8;

/// Finds the peers of all sockets of the tree. `stop`: the tree ends with the capture, so that what waits
/// to be accepted may be taken. `outside`: what becomes of TCP connections out of the tree.
pub fn finish(collector: &mut Collector, stop: bool, outside: Outside) -> io::Result<()> {
    // Others stand in meanwhile: what is met in the messages of connections not yet accepted comes behind.
    let count = collector.files.len();
    let placeholders = (0..count).map(|_| super::super::unread()).collect();
    let mut files = std::mem::replace(&mut collector.files, placeholders);
    let networks: BTreeSet<Option<FileId>> = every_socket(&mut files).map(|s| s.network).collect();
    let result = networks.into_iter().try_for_each(|network| {
        let _inside = collector.sockets.go_into(network)?;
        connect(collector, &mut files, network, stop, outside)
    });
    files.extend(collector.files.drain(count..));
    collector.files = files;
    result
}

/// Those of a network.
fn sockets(files: &mut [OpenFile], network: Option<FileId>) -> impl Iterator<Item = &mut Socket> {
    every_socket(files).filter(move |s| s.network == network)
}

fn connect(
    collector: &mut Collector,
    files: &mut [OpenFile],
    network: Option<FileId>,
    stop: bool,
    outside: Outside,
) -> io::Result<()> {
    let inodes: HashSet<u64> = sockets(files, network).map(|s| s.inode).collect();
    if inodes.is_empty() {
        return Ok(());
    }
    let unix = collector.sockets.unix()?.clone();
    let waiting: HashSet<u64> =
        inodes.iter().filter_map(|i| unix.get(i)).flat_map(|u| u.waiting.iter().copied()).collect();
    for socket in sockets(files, network).filter(|s| s.domain == libc::AF_UNIX) {
        let outcome = match socket.link {
            Link::Peer(0) if waiting.contains(&socket.inode) => Ok(()),
            Link::Peer(peer) if inodes.contains(&peer) => Ok(()),
            Link::Peer(0) if socket.kind == libc::SOCK_DGRAM || socket.shut == 3 => {
                // It went without having read all, and the program has not been told of it.
                let met = collector.sockets.met.get(&socket.inode);
                let failed = met.is_some_and(|m| queue::over(m.dup.as_fd()).is_ok_and(|(_, failed)| failed));
                let stream = socket.kind != libc::SOCK_DGRAM;
                socket.link = if failed && stream { Link::Reset } else { Link::Closed };
                Ok(())
            }
            Link::Peer(peer) if is_control(collector, &unix, socket.inode, peer) => {
                socket.link = Link::Closed;
                Ok(())
            }
            // A datagram socket can be connected again by name.
            Link::Peer(_) if socket.kind == libc::SOCK_DGRAM && socket.peer_name.is_some() => {
                socket.link = Link::Address;
                Ok(())
            }
            Link::Peer(_) => Err(refusal::unix_outside(
                socket.peer_name.as_ref().or(socket.name.as_ref()).map(|n| n.as_slice()),
            )),
            Link::Listening { .. } => {
                let mut waiting = unix.get(&socket.inode).map(|u| u.waiting.clone()).unwrap_or_default();
                let pid = collector.sockets.met.get(&socket.inode).map(|met| met.pid);
                let viewers = pid.is_some_and(|pid| is_display(pid, &unix, socket.inode));
                // Viewers come again by themselves; those that are gone have nothing to say any more.
                if viewers {
                    waiting.retain(|client| inodes.contains(client));
                }
                pending(collector, socket, &waiting, &inodes, &HashSet::new(), stop, outside)
                    .inspect(|()| socket.pending.retain(|p| p.client == 0 || inodes.contains(&p.client)))
            }
            _ => Ok(()),
        };
        note(collector, socket.inode, outcome)?;
    }
    tcp(collector, files, network, &inodes, stop, outside)
}

/// Whether a connection is with the capsule's control socket, under whatever name the agent bound it, or
/// with its display.
fn is_control(collector: &Collector, unix: &HashMap<u64, diag::Unix>, inode: u64, peer: u64) -> bool {
    let Some(met) = collector.sockets.met.get(&inode) else { return false };
    is_control_of(met.pid, unix, inode, peer)
}

fn is_control_of(pid: i32, unix: &HashMap<u64, diag::Unix>, inode: u64, peer: u64) -> bool {
    if is_display(pid, unix, inode) {
        return true;
    }
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let told = environment.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"TORPOR_SOCKET=".as_slice()));
    let files: Vec<u32> = told
        .into_iter()
        .chain([CONTROL_SOCKET])
        .filter_map(|path| {
            let path = [format!("/proc/{pid}/root").as_bytes(), path].concat();
            rustix::fs::stat(path.as_slice()).ok().map(|s| s.st_ino as u32)
        })
        .collect();
    let at = |u: &diag::Unix| u.file.is_some_and(|(ino, _)| files.contains(&ino));
    match peer {
        // Not accepted yet.
        0 => unix.values().any(|u| u.waiting.contains(&inode) && at(u)),
        peer => unix.get(&peer).is_some_and(at),
    }
}

/// Whether a socket is the capsule's display for viewers, or a connection accepted on it.
fn is_display(pid: i32, unix: &HashMap<u64, diag::Unix>, inode: u64) -> bool {
    let path = [format!("/proc/{pid}/root").as_bytes(), DISPLAY_SOCKET].concat();
    let Ok(found) = rustix::fs::lstat(path.as_slice()) else { return false };
    unix.get(&inode).and_then(|u| u.file).is_some_and(|(ino, _)| ino == found.st_ino as u32)
}

/// Notes a blocker of the process that has the socket.
pub fn note(collector: &mut Collector, inode: u64, outcome: Result<(), Obstacle>) -> io::Result<()> {
    let Err(obstacle) = outcome else { return Ok(()) };
    let (pid, fd) = collector.sockets.met.get(&inode).map_or((0, -1), |m| (m.pid, m.fd));
    let comm = crate::proc::read(pid, "comm").unwrap_or_default().trim().to_owned();
    let target = crate::proc::link(pid, &format!("fd/{fd}")).unwrap_or_default();
    collector.block(pid, &comm, format!("descriptor {fd} → {target}"), obstacle)
}

/// The connections in a listener's queue: `clients` in its order, 0 for one that is gone. `with_data`:
/// those of which it is known that something has arrived on them.
fn pending(
    collector: &mut Collector,
    listener: &mut Socket,
    clients: &[u64],
    inodes: &HashSet<u64>,
    with_data: &HashSet<u64>,
    stop: bool,
    outside: Outside,
) -> Result<(), Obstacle> {
    let inside = |c: &u64| *c == 0 || inodes.contains(c);
    if !clients.iter().all(inside) {
        if outside == Outside::Refuse {
            return Err(refusal::pending_outside());
        }
        collector.notes.push("connections from outside that waited to be accepted are broken off".to_owned());
    }
    if let Some(taken) = collector.sockets.taken.remove(&listener.inode) {
        listener.pending = taken;
        return Ok(());
    }
    let unix = listener.domain == libc::AF_UNIX;
    let has_data = |collector: &Collector, client: u64| match client {
        // Nobody is left to ask.
        0 => unix || with_data.contains(&0),
        c if unix => collector.sockets.met.get(&c).is_some_and(|m| queue::unsent(m.dup.as_fd()) > 0),
        c => with_data.contains(&c),
    };
    let any = clients.iter().any(|c| inside(c) && has_data(collector, *c));
    if any && !stop {
        // What has arrived can only be read by accepting, which would show.
        return Err(refusal::pending_data());
    }
    for client in clients {
        let mut waiting = Pending { client: *client, ..Pending::default() };
        if any {
            let Some(met) = collector.sockets.met.get(&listener.inode) else { continue };
            let connection = sys::accept(met.dup.as_fd())?;
            waiting.queue = match listener.kind {
                libc::SOCK_STREAM => queue::stream(collector, connection.as_fd())?,
                _ => queue::datagrams(collector, connection.as_fd())?,
            };
            if unix
                && let Ok(raw) =
                    torpor_sys::fd::getsockopt(connection.as_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, 12)
            {
                waiting.credentials = Some(super::credentials(&raw));
            }
            collector.sockets.accepted.push(connection);
        }
        listener.pending.push(waiting);
    }
    Ok(())
}

fn tcp(
    collector: &mut Collector,
    files: &mut [OpenFile],
    network: Option<FileId>,
    inodes: &HashSet<u64>,
    stop: bool,
    outside: Outside,
) -> io::Result<()> {
    if !sockets(files, network).any(|s| s.is_tcp()) {
        return Ok(());
    }
    let all = collector.sockets.tcp()?.clone();
    let by_ends: HashMap<(End, End), &Inet> = all.iter().map(|t| (t.ends(), t)).collect();
    let by_inode: HashMap<u64, &Inet> = all.iter().filter(|t| t.inode != 0).map(|t| (t.inode, t)).collect();
    let peer_of = |t: &Inet| {
        let (local, remote) = t.ends();
        by_ends.get(&(remote, local)).copied()
    };
    for socket in sockets(files, network).filter(|s| s.is_tcp()) {
        let Some(told) = by_inode.get(&socket.inode) else { continue };
        let outcome = match socket.link {
            Link::Address | Link::Closed => match peer_of(told) {
                Some(peer) if inodes.contains(&peer.inode) => {
                    socket.link = Link::Peer(peer.inode);
                    Ok(())
                }
                // Not accepted yet: 0, as for unix sockets; the listener names us.
                Some(peer) if peer.inode == 0 && matches!(peer.state, diag::ESTABLISHED | CLOSE_WAIT) => {
                    socket.link = Link::Peer(0);
                    Ok(())
                }
                Some(peer) if peer.inode == 0 && is_loopback(&told.ends().1) => {
                    socket.link = Link::Closed;
                    Ok(())
                }
                None if socket.link == Link::Closed && is_loopback(&told.ends().1) => Ok(()),
                _ => leads_out(collector, socket, told.ends(), stop, outside),
            },
            Link::Listening { .. } => {
                let (local, _) = told.ends();
                let mut clients = Vec::new();
                let mut with_data = HashSet::new();
                for t in
                    all.iter().filter(|t| t.inode == 0 && matches!(t.state, diag::ESTABLISHED | CLOSE_WAIT))
                {
                    let to = t.ends().0;
                    if to.0 != local.0 || to.1 != local.1 && local.1.iter().any(|b| *b != 0) {
                        continue;
                    }
                    let client = peer_of(t).map_or(0, |c| c.inode);
                    if t.receive_queue > 0 {
                        with_data.insert(client);
                    }
                    clients.push(client);
                }
                pending(collector, socket, &clients, inodes, &with_data, stop, outside).inspect(|()| {
                    identify(collector, socket, &all);
                    socket.pending.retain(|p| p.client == 0 || inodes.contains(&p.client));
                })
            }
            _ => Ok(()),
        };
        note(collector, socket.inode, outcome)?;
    }
    away::hold(collector, files)?;
    unsent(collector, files, network)
}

/// A connection with somebody outside the tree.
fn leads_out(
    collector: &mut Collector,
    socket: &mut Socket,
    (own, peer): (End, End),
    stop: bool,
    outside: Outside,
) -> Result<(), Obstacle> {
    if outside == Outside::Refuse {
        return Err(refusal::tcp_outside(&peer));
    }
    socket.link = Link::Reset;
    if outside == Outside::Reset || !stop || socket.network.is_some() {
        collector.notes.push(broken_off(socket));
        return Ok(());
    }
    collector.sockets.away.note(socket.inode, (peer, own));
    Ok(())
}

/// Said of a connection that does not go on.
pub fn broken_off(socket: &Socket) -> String {
    let peer = socket.peer_name.as_ref().map(|n| end(n)).unwrap_or_default();
    format!("the TCP connection with {} comes back broken off", refusal::peer(&peer))
}

/// Connections that were accepted came in the queue's order, which the kernel's list does not tell.
fn identify(collector: &Collector, listener: &mut Socket, all: &[Inet]) {
    let count = listener.pending.len();
    if listener.pending.iter().all(|p| p.queue.is_empty()) || collector.sockets.accepted.len() < count {
        return;
    }
    let taken = &collector.sockets.accepted[collector.sockets.accepted.len() - count..];
    for (pending, connection) in listener.pending.iter_mut().zip(taken) {
        let (Ok(local), Ok(remote)) = (sys::name(connection.as_fd()), sys::peer_name(connection.as_fd()))
        else {
            continue;
        };
        let key = (end(&remote), end(&local));
        pending.client = all.iter().find(|t| t.ends() == key).map_or(0, |t| t.inode);
    }
}

/// Port and address of a raw internet address.
pub fn end(address: &[u8]) -> End {
    let port = address.get(2..4).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let family = address.get(..2).map_or(0, |b| i32::from(u16::from_ne_bytes([b[0], b[1]])));
    let ip = if family == libc::AF_INET { address.get(4..8) } else { address.get(8..24) }.unwrap_or_default();
    match ip {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4 @ ..] => (port, v4.to_vec()),
        ip => (port, ip.to_vec()),
    }
}

fn is_loopback((_, address): &End) -> bool {
    match address.as_slice() {
        [127, ..] => true,
        [head @ .., 1] => head.len() == 15 && head.iter().all(|b| *b == 0),
        _ => std::fs::read_to_string("/proc/thread-self/net/fib_trie").is_ok_and(|table| {
            // "/32 host LOCAL" below the address.
            let text = address.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
            address.len() == 4
                && table
                    .split("|-- ")
                    .any(|part| part.lines().next() == Some(text.as_str()) && part.contains("host LOCAL"))
        }),
    }
}

/// How often a connection is looked at until nothing has moved meanwhile. Nobody runs, but the kernel goes on sending
/// what the other end has room for, by and by.
const LOOKS: u32 = 50;

/// What one end of a connection has sent and the other has not received yet.
fn unsent(collector: &mut Collector, files: &mut [OpenFile], network: Option<FileId>) -> io::Result<()> {
    let tcp = |s: &&mut Socket| s.is_tcp();
    let reuse: HashMap<u64, i32> =
        sockets(files, network).filter(tcp).map(|s| (s.inode, reuse_address(s))).collect();
    let mut tails: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut queues: HashMap<u64, Vec<Message>> = HashMap::new();
    for socket in sockets(files, network).filter(tcp) {
        let Link::Peer(peer) = socket.link else { continue };
        let (Some(met), Some(other)) =
            (collector.sockets.met.get(&socket.inode), collector.sockets.met.get(&peer))
        else {
            continue;
        };
        if queue::unsent(met.dup.as_fd()) == 0 {
            continue;
        }
        let (from, to) = (met.dup.try_clone()?, other.dup.try_clone()?);
        let reuse = [reuse_address(socket), reuse.get(&peer).copied().unwrap_or_default()];
        let (tail, received) = at_rest(collector, from.as_fd(), to.as_fd(), reuse)?;
        tails.insert(socket.inode, tail);
        queues.insert(peer, received);
    }
    for socket in sockets(files, network).filter(tcp) {
        if let Some(queue) = queues.remove(&socket.inode) {
            socket.queue = queue;
        }
        if let Some(tail) = tails.remove(&socket.inode) {
            socket.unsent = tail.into();
        }
    }
    Ok(())
}

/// What one end has yet to send and what the other has received, both of one moment: what moves between two looks
/// would be there twice.
fn at_rest(
    collector: &mut Collector,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    reuse: [i32; 2],
) -> io::Result<(Vec<u8>, Vec<Message>)> {
    for _ in 0..LOOKS {
        let (tail, end) = queue::tcp_tail(from, to, reuse)?;
        let received = queue::stream(collector, to).map_err(|e| io::Error::other(e.to_string()))?;
        if queue::tcp_received(to, reuse[1])? == end {
            return Ok((tail, received));
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "a TCP connection within the tree did not come to rest"))
}

pub fn reuse_address(socket: &Socket) -> i32 {
    let option = socket.options.iter().find(|o| (o.level, o.name) == (libc::SOL_SOCKET, libc::SO_REUSEADDR));
    option.and_then(|o| o.value.first_chunk::<4>()).map_or(0, |b| i32::from_ne_bytes(*b))
}

/// The same questions for a tree that runs: which connections lead out of it.
#[derive(Debug)]
pub struct Peers {
    inodes: HashSet<u64>,
    unix: HashMap<u64, diag::Unix>,
    tcp: Vec<Inet>,
}

impl Peers {
    pub fn of(pids: &[i32]) -> io::Result<Peers> {
        let mut inodes = HashSet::new();
        let mut look = || {
            for pid in pids {
                for fd in crate::proc::numbers(*pid, "fd").unwrap_or_default() {
                    let target = crate::proc::link(*pid, &format!("fd/{fd}")).unwrap_or_default();
                    inodes.extend(crate::proc::sockets::inode_of(&target));
                }
            }
        };
        // Before and after: what the program opens or closes meanwhile is its own too.
        look();
        let (unix, tcp) = (diag::unix()?, diag::tcp()?);
        look();
        Ok(Peers { inodes, unix, tcp })
    }

    pub fn refuse_unix(&self, pid: i32, inode: u64) -> Option<Obstacle> {
        let told = self.unix.get(&inode)?;
        // In another network a peer is as good as outside.
        let inside = |p: &u64| self.inodes.contains(p) && self.unix.contains_key(p);
        let peer = told.peer.filter(|p| *p != 0 && !inside(p))?;
        if !held_outside(peer) {
            // In a message that nobody has received yet.
            return None;
        }
        let name = self.unix.get(&peer).and_then(|p| p.name.clone());
        // A peer with a name that is not connected back takes datagrams: it is found again by its name.
        let by_name = name.is_some() && self.unix.get(&peer).is_some_and(|p| p.peer != Some(inode));
        if by_name || is_control_of(pid, &self.unix, inode, peer) {
            return None;
        }
        let name = name.or_else(|| told.name.clone()).map(|n| [&[0, 0], n.as_slice()].concat());
        Some(refusal::unix_outside(name.as_deref()))
    }

    pub fn is_connected(&self, inode: u64) -> bool {
        self.tcp.iter().any(|t| t.inode == inode && t.state != diag::LISTEN && t.ends().1.0 != 0)
    }

    pub fn refuse_tcp(&self, inode: u64) -> Option<Obstacle> {
        let told = self.tcp.iter().find(|t| t.inode == inode)?;
        let (local, remote) = told.ends();
        if matches!(told.state, diag::LISTEN | tcp_state::SYN_SENT) || remote.0 == 0 {
            return None;
        }
        let peer = self.tcp.iter().find(|t| t.ends() == (remote.clone(), local.clone()));
        let inside = match peer {
            Some(peer) => peer.inode == 0 || self.inodes.contains(&peer.inode),
            None => is_loopback(&remote),
        };
        (!inside).then(|| refusal::tcp_outside(&remote))
    }
}

/// Whether some process but us has this socket open: of one that nobody in the tree has, whether others do.
pub fn held_outside(inode: u64) -> bool {
    let target = format!("socket:[{inode}]");
    let own = std::process::id() as i32;
    let Ok(folder) = std::fs::read_dir("/proc") else { return true };
    let pids = folder.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own).any(|pid| {
        crate::proc::numbers(pid, "fd")
            .unwrap_or_default()
            .iter()
            .any(|fd| crate::proc::link(pid, &format!("fd/{fd}")).is_ok_and(|t| t == target))
    })
}
