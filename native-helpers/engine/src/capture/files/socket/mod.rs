//! Sockets: each by itself as far as it can tell about itself; who is connected to whom is found out once
//! all of the tree are known ([`peers`]).

mod away;
mod interrupted;
mod multicast;
mod options;
mod peers;
mod queue;
mod repair;
mod repair_keeper;
mod waiting;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use serde_bytes::ByteBuf;
use torpor_sys::{fd, socket};

pub use interrupted::settle_connects;
pub use peers::{Peers, end as internet_end, finish};
pub use queue::refuse_urgent;
pub use waiting::take as take_waiting;

use super::super::{collect::Collector, namespaces, refusal};
use super::Subject;
use crate::blocker::Obstacle;
use crate::model::socket::Pending;
use crate::model::socket::{
    Link, SOCK_PACKET, Socket, SocketFile, SocketOption, raw_address, sun_path, tcp_state,
};
use crate::model::{FileId, FileKind, OpenFile, Pid};
use crate::own_namespace::InNetwork;
use crate::proc::{self, diag};

const SO_PROTOCOL: i32 = 38;
const SO_DOMAIN: i32 = 39;
/// SIOCUNIXFILE: the file that a unix socket is bound to (include/uapi/linux/un.h).
const SIOCUNIXFILE: u64 = 0x89e0;
/// SIOCGSKNS: the network namespace of a socket, as a descriptor (include/uapi/linux/sockios.h).
const SIOCGSKNS: u64 = 0x894c;
/// NETLINK_LIST_MEMBERSHIPS and NETLINK_ADD_MEMBERSHIP (netlink(7)).
const NETLINK_LIST_MEMBERSHIPS: i32 = 9;
const NETLINK_ADD_MEMBERSHIP: i32 = 1;

/// What a capture knows of the sockets of its tree.
#[derive(Debug, Default)]
pub struct Sockets {
    /// By inode: who has it, and a duplicate to ask.
    met: HashMap<u64, Met>,
    /// Descriptors that were seen in messages.
    pub in_flight: Vec<OwnedFd>,
    /// Connections taken from a listener's queue, open until the tree is gone.
    accepted: Vec<OwnedFd>,
    /// What was in the queues of unix listeners, by their inodes.
    taken: HashMap<u64, Vec<Pending>>,
    /// Connections out of the tree. What is done to them is undone in this order.
    away: away::Away,
    /// By network of the tree's own; none is ours.
    tables: HashMap<Option<FileId>, Tables>,
    networks: HashMap<FileId, OwnedFd>,
    /// The network that we are in.
    current: Option<FileId>,
}

/// What the kernel tells of all sockets of a network.
#[derive(Debug, Default)]
struct Tables {
    unix: Option<HashMap<u64, diag::Unix>>,
    tcp: Option<Vec<diag::Inet>>,
    /// By protocol.
    datagram: HashMap<i32, Vec<diag::Inet>>,
    groups: Option<Vec<multicast::Group>>,
}

#[derive(Debug)]
struct Met {
    pid: Pid,
    fd: i32,
    dup: OwnedFd,
}

impl Sockets {
    /// Connections that are kept end silently now, with their programs, the processes of the tree.
    pub fn end(&mut self, pids: &[Pid]) {
        self.away.end(pids);
    }

    /// Enters a network, to look at its sockets; ours is left by nobody.
    fn go_into(&mut self, network: Option<FileId>) -> io::Result<Option<InNetwork>> {
        self.current = network;
        let Some(network) = network.and_then(|id| self.networks.get(&id)) else { return Ok(None) };
        InNetwork::enter(network.as_fd()).map(Some)
    }

    fn here(&mut self) -> &mut Tables {
        self.tables.entry(self.current).or_default()
    }

    fn unix(&mut self) -> io::Result<&HashMap<u64, diag::Unix>> {
        let tables = self.here();
        if tables.unix.is_none() {
            tables.unix = Some(diag::unix()?);
        }
        Ok(tables.unix.get_or_insert_default())
    }

    fn tcp(&mut self) -> io::Result<&Vec<diag::Inet>> {
        let tables = self.here();
        if tables.tcp.is_none() {
            tables.tcp = Some(diag::tcp()?);
        }
        Ok(tables.tcp.get_or_insert_default())
    }
}

/// All sockets among the files.
fn sockets_of(files: &mut [OpenFile]) -> impl Iterator<Item = &mut Socket> {
    files.iter_mut().filter_map(|f| if let FileKind::Socket(s) = &mut f.kind { Some(&mut **s) } else { None })
}

/// Family, type and protocol of a socket.
pub fn family(fd: BorrowedFd<'_>) -> (i32, i32, i32) {
    let of = |name| number(fd, name).unwrap_or(0);
    (of(SO_DOMAIN), of(libc::SO_TYPE), of(SO_PROTOCOL))
}

/// Reads the socket behind a descriptor.
pub fn capture(collector: &mut Collector, s: &Subject<'_>, inode: u64) -> Result<FileKind, Obstacle> {
    let fd = s.dup.as_fd();
    let (domain, kind, protocol) = family(fd);
    if !refusal::socket_is_known(domain, kind, protocol) {
        return Err(refusal::socket_kind(domain, protocol));
    }
    let network = match network_of(fd, s.pid)? {
        None => None,
        Some(other) => {
            let id = namespaces::network(collector, &other)?.ok_or_else(refusal::socket_network)?;
            collector.sockets.networks.entry(id).or_insert(other);
            Some(id)
        }
    };
    let _inside = collector.sockets.go_into(network)?;
    let filter = socket::filter(fd).map_err(|_| refusal::socket_program())?;
    let name = socket::name(fd).ok().filter(|n| bound(domain, n));
    let peer_name = socket::peer_name(fd).ok().filter(|n| n.len() > 2);
    let mut it = Socket {
        inode,
        domain,
        kind,
        protocol,
        uid: s.stat.st_uid,
        gid: s.stat.st_gid,
        options: options::read(fd, domain, kind, protocol, peer_name.is_some()),
        name: name.map(ByteBuf::from),
        peer_name: peer_name.map(ByteBuf::from),
        link: Link::None,
        shut: 0,
        queue: Vec::new(),
        unsent: ByteBuf::new(),
        peer_credentials: None,
        file: None,
        pending: Vec::new(),
        joined: Vec::new(),
        filter: ByteBuf::from(filter),
        repair: None,
        rings: Vec::new(),
        failed: false,
        foreign: false,
        network,
    };
    let dup = s.dup.try_clone().map_err(Obstacle::from)?;
    collector.sockets.met.insert(inode, Met { pid: s.pid, fd: s.fd, dup });
    if matches!(domain, libc::AF_INET | libc::AF_INET6) {
        let groups = collector.sockets.here().groups.get_or_insert_with(multicast::groups);
        it.joined = multicast::memberships(fd, domain, groups);
        it.foreign = it.name.as_ref().is_some_and(|name| !is_local(domain, name));
    }
    match domain {
        libc::AF_UNIX => unix(collector, fd, &mut it)?,
        libc::AF_INET | libc::AF_INET6 if protocol == libc::IPPROTO_TCP => tcp(collector, fd, &mut it)?,
        libc::AF_INET | libc::AF_INET6 if protocol == libc::IPPROTO_MPTCP => mptcp(collector, fd, &mut it)?,
        libc::AF_INET | libc::AF_INET6 => {
            if kind == libc::SOCK_RAW {
                it.peer_name = raw_peer(domain, inode).map(ByteBuf::from);
            }
            if it.peer_name.is_some() {
                it.link = Link::Address;
            }
            let (ended, failed) = queue::over(fd)?;
            it.shut = u8::from(ended) | told_shut(collector, protocol, inode);
            // Looking into the queue would take the error that its program has not been told of.
            it.failed = failed && kind == libc::SOCK_DGRAM && it.peer_name.is_some();
            if kind == libc::SOCK_DGRAM {
                it.queue = queue::datagrams(collector, fd)?;
            }
        }
        libc::AF_NETLINK => it.joined = netlink_groups(fd),
        // Of before Linux 2.2: it has neither options nor rings, and tells its protocol nowhere else.
        libc::AF_PACKET if kind == SOCK_PACKET => {
            it.protocol = i32::from(diag::packet_protocol(inode)?);
        }
        libc::AF_PACKET => {
            it.joined = packet_memberships(fd, inode)?;
            it.rings = diag::packet_rings(inode)?;
        }
        libc::AF_VSOCK => {
            if number(fd, libc::SO_ACCEPTCONN).unwrap_or(0) != 0 {
                it.link = Link::Listening { backlog: 128 };
            } else if it.peer_name.is_some() {
                return Err(refusal::socket_kind(domain, protocol));
            }
        }
        _ => {}
    }
    Ok(FileKind::Socket(Box::new(it)))
}

fn unix(collector: &mut Collector, fd: BorrowedFd<'_>, it: &mut Socket) -> Result<(), Obstacle> {
    let told = collector.sockets.unix()?.get(&it.inode).cloned().unwrap_or_default();
    it.shut = told.shut & 3;
    let connected = fd::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, 12)?;
    it.peer_credentials = Some(credentials(&connected)).filter(|(pid, ..)| *pid > 0);
    it.link = match (told.state, told.peer) {
        (diag::LISTEN, _) => Link::Listening { backlog: told.backlog },
        (_, Some(peer)) => Link::Peer(peer),
        (diag::ESTABLISHED, None) if it.kind != libc::SOCK_DGRAM => Link::Closed,
        _ => Link::None,
    };
    if let Some((ino, _)) = told.file {
        let pid = collector.sockets.met.get(&it.inode).map_or(0, |m| m.pid);
        it.file = Some(socket_file(fd, pid, it, ino)?);
    }
    it.queue = match (it.link, it.kind) {
        (Link::Listening { .. }, _) => Vec::new(),
        (_, libc::SOCK_STREAM) => queue::stream(collector, fd)?,
        _ => queue::datagrams(collector, fd)?,
    };
    Ok(())
}

/// Where the name of a bound socket is, and whether it still leads to it.
fn socket_file(fd: BorrowedFd<'_>, pid: Pid, it: &Socket, ino: u32) -> Result<SocketFile, Obstacle> {
    let (path, stat) = match fd::ioctl_int(fd, SIOCUNIXFILE, 0) {
        Ok(number) => {
            let file = torpor_sys::fd::adopt(number as i32);
            let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
            (proc::link(std::process::id() as i32, &format!("fd/{}", file.as_raw_fd()))?, Some(stat))
        }
        // Without CAP_NET_ADMIN: the most likely folder is where the program is now.
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
            let folder = proc::link(pid, "cwd")?;
            let name = it.name.as_deref().map(|n| String::from_utf8_lossy(sun_path(n)).into_owned());
            let path = format!("{folder}/{}", name.unwrap_or_default());
            let stat = rustix::fs::lstat(&path).ok();
            (path, stat)
        }
        Err(e) => return Err(e.into()),
    };
    let path = path.trim_end_matches(" (deleted)");
    let name = it.name.as_deref().map(|n| String::from_utf8_lossy(sun_path(n)).into_owned());
    let name = name.unwrap_or_default();
    let folder = if name.starts_with('/') {
        "/".to_owned()
    } else {
        path.strip_suffix(name.trim_start_matches("./")).unwrap_or("/").to_owned()
    };
    let full = if name.starts_with('/') { name } else { format!("{folder}/{name}") };
    let exists = rustix::fs::lstat(&full).is_ok_and(|s| s.st_ino as u32 == ino);
    let (mode, uid, gid) = stat.map_or((0o755, it.uid, it.gid), |s| (s.st_mode & 0o7777, s.st_uid, s.st_gid));
    let moved =
        (!exists && rustix::fs::lstat(path).is_ok_and(|s| s.st_ino as u32 == ino)).then(|| path.to_owned());
    Ok(SocketFile { folder, mode, uid, gid, exists, moved })
}

/// Refuses a TCP socket over which the kernel itself speaks a protocol.
pub fn refuse_tcp_layer(fd: BorrowedFd<'_>) -> Option<Obstacle> {
    const TCP_ULP: i32 = 31;
    const ULP_NAME_MAX: usize = 16;
    let layer = fd::getsockopt(fd, libc::IPPROTO_TCP, TCP_ULP, ULP_NAME_MAX).unwrap_or_default();
    let name = layer.split(|b| *b == 0).next().unwrap_or_default();
    (!name.is_empty()).then(|| refusal::tcp_layer(&String::from_utf8_lossy(name)))
}

fn tcp(collector: &mut Collector, fd: BorrowedFd<'_>, it: &mut Socket) -> Result<(), Obstacle> {
    let Some(told) = collector.sockets.tcp()?.iter().find(|t| t.inode == it.inode).cloned() else {
        // Over, or never connected: the kernel lists it nowhere.
        return over(collector, fd, it);
    };
    if it.protocol == libc::IPPROTO_TCP
        && let Some(refused) = refuse_tcp_layer(fd)
    {
        return Err(refused);
    }
    match told.state {
        diag::LISTEN => it.link = Link::Listening { backlog: told.send_queue },
        tcp_state::CLOSED => over(collector, fd, it)?,
        tcp_state::SYN_RECEIVED => return Err(refusal::tcp_connecting()),
        tcp_state::SYN_SENT => {
            it.link = Link::Connecting;
            it.peer_name = Some(ByteBuf::from(raw_address(it.domain, &told.ends().1)));
        }
        state => {
            // Bit 2: our own end is sent. A received one is the peer's to repeat.
            it.shut = if tcp_state::END_SENT.contains(&state) { 2 } else { 0 };
            let received = tcp_state::END_RECEIVED.contains(&state);
            if told.shut & 1 != 0 && !received {
                it.shut |= 1;
            }
            it.link = if received { Link::Closed } else { Link::Address };
            it.queue = queue::stream(collector, fd)?;
        }
    }
    Ok(())
}

/// Multipath TCP: the kernel lists a socket's first subflow, under the socket's own inode, among the TCP
/// sockets. What a listener accepts from a peer that speaks plain TCP is a plain TCP socket.
fn mptcp(collector: &mut Collector, fd: BorrowedFd<'_>, it: &mut Socket) -> Result<(), Obstacle> {
    if it.peer_name.is_some() {
        return Err(refusal::mptcp_connection());
    }
    tcp(collector, fd, it)
}

/// A TCP socket in no state: one that was never connected has not even the end of its stream to read.
fn over(collector: &mut Collector, fd: BorrowedFd<'_>, it: &mut Socket) -> Result<(), Obstacle> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(&fd, PollFlags::IN | PollFlags::RDHUP)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_err(io::Error::from)?;
    let events = polled[0].revents();
    // Looking into it would take an error that the program has not been told of yet.
    if events.contains(PollFlags::ERR) {
        it.link = Link::Reset;
    } else if events.contains(PollFlags::RDHUP) {
        it.link = Link::Closed;
        it.shut = 2;
        it.queue = queue::stream(collector, fd)?;
    }
    Ok(())
}

/// The directions of a datagram socket that are shut down, where the kernel lists it.
fn told_shut(collector: &mut Collector, protocol: i32, inode: u64) -> u8 {
    let all = collector
        .sockets
        .here()
        .datagram
        .entry(protocol)
        .or_insert_with(|| diag::inet(protocol).unwrap_or_default());
    all.iter().find(|t| t.inode == inode).map_or(0, |t| t.shut & 3)
}

/// Where a raw socket sends to: getpeername(2) tells only of those with ports.
fn raw_peer(domain: i32, inode: u64) -> Option<Vec<u8>> {
    match crate::proc::sockets::of_namespace(std::process::id() as i32).remove(&inode)? {
        crate::proc::sockets::Socket::Inet { remote: Some(remote), .. } => {
            let ip = match remote.ip() {
                std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
                std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            Some(raw_address(domain, &(0, ip)))
        }
        _ => None,
    }
}

/// Addresses and modes that a packet socket has asked its devices for, and its fanout group (packet(7)).
fn packet_memberships(fd: BorrowedFd<'_>, inode: u64) -> io::Result<Vec<SocketOption>> {
    const PACKET_ADD_MEMBERSHIP: i32 = 1;
    const PACKET_FANOUT: i32 = 18;
    let level = libc::SOL_PACKET;
    let mut all: Vec<SocketOption> = diag::packet_memberships(inode)
        .unwrap_or_default()
        .into_iter()
        .map(|value| SocketOption { level, name: PACKET_ADD_MEMBERSHIP, value })
        .collect();
    let group = fd::getsockopt(fd, level, PACKET_FANOUT, 4)?;
    if group.iter().any(|b| *b != 0) {
        all.push(SocketOption { level, name: PACKET_FANOUT, value: group });
    }
    Ok(all)
}

fn netlink_groups(fd: BorrowedFd<'_>) -> Vec<SocketOption> {
    let bits = fd::getsockopt(fd, libc::SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, 512).unwrap_or_default();
    let set = |n: usize| bits.get(n / 8).is_some_and(|b| b & (1 << (n % 8)) != 0);
    (0..bits.len() * 8)
        .filter(|n| set(*n))
        .map(|n| SocketOption {
            level: libc::SOL_NETLINK,
            name: NETLINK_ADD_MEMBERSHIP,
            value: (n as u32 + 1).to_ne_bytes().to_vec(),
        })
        .collect()
}

/// Whether a name says more than the family.
fn bound(domain: i32, name: &[u8]) -> bool {
    match domain {
        libc::AF_UNIX => name.len() > 2,
        // A port or an address.
        libc::AF_INET => name.get(2..8).is_some_and(|b| b.iter().any(|b| *b != 0)),
        libc::AF_INET6 => {
            let part = |range| name.get(range).is_some_and(|b: &[u8]| b.iter().any(|b| *b != 0));
            part(2..4) || part(8..24)
        }
        _ => name.len() > 2 && name[2..].iter().any(|b| *b != 0),
    }
}

/// PID, uid, gid of a `struct ucred`.
fn credentials(raw: &[u8]) -> (i32, u32, u32) {
    let word =
        |i: usize| raw.get(i * 4..i * 4 + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
    (word(0) as i32, word(1), word(2))
}

fn number(fd: BorrowedFd<'_>, name: i32) -> io::Result<i32> {
    let value = fd::getsockopt(fd, libc::SOL_SOCKET, name, 4)?;
    Ok(value.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b)))
}

/// Whether this machine has the address of a bound internet socket, or none of it can tell.
fn is_local(domain: i32, name: &[u8]) -> bool {
    let (_, ip) = peers::end(name);
    if ip.iter().all(|b| *b == 0) || is_loopback(&ip) {
        return true;
    }
    let mut name = name.to_vec();
    // Any port; the rest, with the device of a link's own address, as it is.
    name[2..4].fill(0);
    let bound =
        socket::socket(domain, libc::SOCK_DGRAM, 0).and_then(|probe| socket::bind(probe.as_fd(), &name));
    !bound.is_err_and(|e| e.raw_os_error() == Some(libc::EADDRNOTAVAIL))
}

fn is_loopback(ip: &[u8]) -> bool {
    matches!(ip, [127, _, _, _] | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
}

/// The network of a socket, wherever its process is by now; nothing where it is ours.
///
/// # Errors
/// Where that can't be found out.
pub fn network_of(fd: BorrowedFd<'_>, pid: Pid) -> io::Result<Option<OwnedFd>> {
    let network = match fd::ioctl_int(fd, SIOCGSKNS, 0) {
        Ok(number) => torpor_sys::fd::adopt(number as i32),
        // Without CAP_NET_ADMIN: most likely it is where its process is.
        Err(_) => {
            let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).ok();
            if pid == std::process::id() as i32 || of(&pid.to_string()) == of("thread-self") {
                return Ok(None);
            }
            std::fs::File::open(format!("/proc/{pid}/ns/net"))?.into()
        }
    };
    let own = rustix::fs::stat("/proc/thread-self/ns/net").map_err(io::Error::from)?.st_ino;
    let is_own = rustix::fs::fstat(&network).map_err(io::Error::from)?.st_ino == own;
    Ok((!is_own).then_some(network))
}
