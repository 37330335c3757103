//! sock_diag(7): what the kernel tells of the sockets of this process' network namespace, above all who is
//! connected to whom.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use crate::model::socket::PacketRing;

const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
/// INET_DIAG_SHUTDOWN among the extensions that are asked for.
const SHOW_SHUTDOWN: u8 = 1 << 7;

/// TCP_LISTEN, also for unix sockets.
pub const LISTEN: u8 = 10;
pub const ESTABLISHED: u8 = 1;

/// A unix socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unix {
    pub state: u8,
    /// `sun_path` as it was bound.
    pub name: Option<Vec<u8>>,
    /// Inode and (kernel's) device of its file.
    pub file: Option<(u32, u32)>,
    pub peer: Option<u64>,
    /// For a listener: who waits to be accepted; 0 for one that is gone.
    pub waiting: Vec<u64>,
    pub backlog: u32,
    /// 1 receiving, 2 sending.
    pub shut: u8,
}

/// An internet socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inet {
    pub family: u8,
    pub state: u8,
    /// Source and destination port, address, device and cookie as the kernel has them: 48 bytes.
    pub id: Vec<u8>,
    /// 0 where no descriptor stands for it (not yet accepted, or closed).
    pub inode: u64,
    pub receive_queue: u32,
    pub send_queue: u32,
    pub shut: u8,
}

impl Inet {
    /// Local and remote end: port and address, an IPv4 address in IPv6 form as IPv4.
    pub fn ends(&self) -> (End, End) {
        let end = |port: usize, address: usize| {
            let bytes = &self.id[address..address + 16];
            let port = u16::from_be_bytes([self.id[port], self.id[port + 1]]);
            let address = match (self.family as i32, bytes) {
                (libc::AF_INET, b) => b[..4].to_vec(),
                (_, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4 @ ..]) => v4.to_vec(),
                (_, b) => b.to_vec(),
            };
            (port, address)
        };
        (end(0, 4), end(2, 20))
    }
}

/// Port and address.
pub type End = (u16, Vec<u8>);

/// All unix sockets by inode.
pub fn unix() -> io::Result<HashMap<u64, Unix>> {
    const SHOW_NAME_VFS_PEER_ICONS_RQLEN: u32 = 0x1f;
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    for word in [u32::MAX, 0, SHOW_NAME_VFS_PEER_ICONS_RQLEN, u32::MAX, u32::MAX] {
        request.extend(word.to_ne_bytes());
    }
    let mut all = HashMap::new();
    ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, |body| {
        if body.len() < 16 {
            return;
        }
        let mut socket = Unix { state: body[2], ..Unix::default() };
        for (kind, value) in attributes(&body[16..]) {
            match (kind, value.len()) {
                (0, _) => socket.name = Some(value.to_vec()),
                (1, 8..) => socket.file = Some((word(value, 0), word(value, 4))),
                (2, 4..) => socket.peer = Some(u64::from(word(value, 0))),
                (3, _) => socket.waiting = value.chunks_exact(4).map(|c| u64::from(word(c, 0))).collect(),
                (4, 8..) => socket.backlog = word(value, 4),
                (6, 1..) => socket.shut = value[0],
                _ => {}
            }
        }
        all.insert(u64::from(word(body, 4)), socket);
    })?;
    Ok(all)
}

/// All TCP sockets, also those without a descriptor. Of both families at once, as the older form of the question has it:
/// the kernel walks over its whole table for each, and programs stand still meanwhile.
pub fn tcp() -> io::Result<Vec<Inet>> {
    const TCPDIAG_GETSOCK: u16 = 18;
    // struct inet_diag_req: family, lengths of two prefixes, extensions, the socket, states, a number of a dump.
    let mut request = vec![libc::AF_INET as u8, 0, 0, SHOW_SHUTDOWN];
    request.extend([0u8; 48]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend([0u8; 4]);
    let mut all = Vec::new();
    ask(TCPDIAG_GETSOCK, NLM_F_DUMP, &request, |body| all.extend(internet_socket(body)))?;
    Ok(all)
}

/// All internet sockets of a protocol.
pub fn inet(protocol: i32) -> io::Result<Vec<Inet>> {
    let mut all = Vec::new();
    for family in [libc::AF_INET as u8, libc::AF_INET6 as u8] {
        let mut request = vec![family, protocol as u8, SHOW_SHUTDOWN, 0];
        request.extend(u32::MAX.to_ne_bytes());
        request.extend([0u8; 48]);
        ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, |body| all.extend(internet_socket(body)))?;
    }
    Ok(all)
}

/// A `struct inet_diag_msg` with its attributes.
fn internet_socket(body: &[u8]) -> Option<Inet> {
    if body.len() < 72 {
        return None;
    }
    let shut = attributes(&body[72..]).find(|(kind, _)| *kind == 8).map_or(0, |(_, v)| v[0]);
    Some(Inet {
        family: body[0],
        state: body[1],
        id: body[4..52].to_vec(),
        receive_queue: word(body, 56),
        send_queue: word(body, 60),
        inode: u64::from(word(body, 68)),
        shut,
    })
}

/// The rings of a packet socket, the one for receiving first, as they lie in a mapping.
pub fn packet_rings(inode: u64) -> io::Result<Vec<PacketRing>> {
    const PACKET_SHOW_RING_CFG: u32 = 4;
    const PACKET_DIAG_RX_RING: u16 = 2;
    const PACKET_DIAG_TX_RING: u16 = 3;
    let mut all = Vec::new();
    packet_sockets(PACKET_SHOW_RING_CFG, inode, |kind, value| {
        // struct packet_diag_ring
        if matches!(kind, PACKET_DIAG_RX_RING | PACKET_DIAG_TX_RING) && value.len() >= 28 {
            all.push(PacketRing {
                transmit: kind == PACKET_DIAG_TX_RING,
                block_size: word(value, 0),
                blocks: word(value, 4),
                frame_size: word(value, 8),
                frames: word(value, 12),
                retire_ms: word(value, 16),
                private_bytes: word(value, 20),
                features: word(value, 24),
            });
        }
    })?;
    all.sort_by_key(|ring| ring.transmit);
    Ok(all)
}

/// The memberships of a packet socket, each as a `struct packet_mreq`, as often as it was joined.
pub fn packet_memberships(inode: u64) -> io::Result<Vec<Vec<u8>>> {
    const PACKET_SHOW_MCLIST: u32 = 2;
    const PACKET_DIAG_MCLIST: u16 = 1;
    /// Bytes of `struct packet_diag_mclist`: device, count, type, length of the address, address.
    const ENTRY: usize = 44;
    let mut all = Vec::new();
    packet_sockets(PACKET_SHOW_MCLIST, inode, |kind, list| {
        if kind == PACKET_DIAG_MCLIST {
            for entry in list.chunks_exact(ENTRY) {
                let wanted = [&entry[..4], &entry[8..20]].concat();
                all.extend(std::iter::repeat_n(wanted, word(entry, 4) as usize));
            }
        }
    })?;
    Ok(all)
}

/// The Ethernet protocol that a packet socket takes, in the order of the network.
pub fn packet_protocol(inode: u64) -> io::Result<u16> {
    let mut protocol = 0;
    packet_messages(0, inode, |message| {
        // pdiag_num of `struct packet_diag_msg`, in the machine's own order.
        protocol = u16::from_ne_bytes([message[2], message[3]]).to_be();
    })?;
    Ok(protocol)
}

/// What the kernel shows of one packet socket: each attribute's kind and value.
fn packet_sockets(show: u32, inode: u64, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    packet_messages(show, inode, |message| {
        attributes(&message[16..]).for_each(|(kind, value)| each(kind, value));
    })
}

fn packet_messages(show: u32, inode: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut request = vec![libc::AF_PACKET as u8, 0, 0, 0];
    for word in [0, show, u32::MAX, u32::MAX] {
        request.extend(word.to_ne_bytes());
    }
    ask(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, |body| {
        if body.len() >= 16 && u64::from(word(body, 4)) == inode {
            each(body);
        }
    })
}

/// Ends what is left of a TCP connection that nobody has open (TIME_WAIT and the like).
pub fn destroy_tcp(socket: &Inet) -> io::Result<()> {
    let mut request = vec![socket.family, libc::IPPROTO_TCP as u8, 0, 0];
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(&socket.id);
    ask(SOCK_DESTROY, NLM_F_ACK, &request, |_| {})
}

fn ask(kind: u16, flags: u16, request: &[u8], each: impl FnMut(&[u8])) -> io::Result<()> {
    ask_of(NETLINK_SOCK_DIAG, kind, flags, request, each)
}

fn ask_of(
    protocol: i32,
    kind: u16,
    flags: u16,
    request: &[u8],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    use torpor_sys::socket;
    let link = socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?;
    let mut message = ((HEADER + request.len()) as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    message.extend([0u8; 8]);
    message.extend(request);
    let kernel = [libc::AF_NETLINK as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    socket::send(link.as_fd(), &message, &kernel, &[], &[], 0)?;
    let mut buf = vec![0u8; 64 * 1024];
    loop {
        let got = socket::receive(link.as_fd(), &mut buf, 0)?;
        let mut rest = &buf[..got.len.min(buf.len())];
        while rest.len() >= HEADER {
            let len = (word(rest, 0) as usize).clamp(HEADER, rest.len());
            let body = &rest[HEADER..len];
            match u16::from_ne_bytes([rest[4], rest[5]]) {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR if body.len() >= 4 => {
                    return match word(body, 0) as i32 {
                        0 => Ok(()),
                        error => Err(io::Error::from_raw_os_error(-error)),
                    };
                }
                _ => each(body),
            }
            rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// A list that the kernel gives of a network (rtnetlink(7)): of which netlink family, by which message, how long the
/// fixed part of request and answers is, and the attributes that change by themselves.
#[derive(Debug, Clone, Copy)]
pub struct NetworkList {
    family: i32,
    message: u16,
    fixed: usize,
    passing: &'static [u16],
}

/// What makes up a network, in words.
pub const NETWORK: [(&str, NetworkList); 6] = {
    const ROUTE: i32 = 0;
    const NETFILTER: i32 = 12;
    const fn of(family: i32, message: u16, fixed: usize, passing: &'static [u16]) -> NetworkList {
        NetworkList { family, message, fixed, passing }
    }
    [
        // RTM_GETLINK; counters of packets, of the state of the line, and of each family.
        ("network devices", of(ROUTE, 18, 16, &[7, 23, 26, 31, 35, 47, 48])),
        // RTM_GETROUTE; when and how often it was used.
        ("routes", of(ROUTE, 26, 12, &[12])),
        // RTM_GETRULE.
        ("routing rules", of(ROUTE, 34, 12, &[])),
        // RTM_GETQDISC; counters.
        ("queueing disciplines", of(ROUTE, 38, 20, &[3, 7])),
        // RTM_GETNEXTHOP.
        ("next hops", of(ROUTE, 106, 8, &[])),
        // NFT_MSG_GETTABLE.
        ("packet filters", of(NETFILTER, 10 << 8 | 1, 4, &[])),
    ]
};

/// A list of the network that the calling thread is in; empty where the kernel does not know it.
pub fn network_list(list: &NetworkList) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let each = |body: &[u8]| {
        let fixed = list.fixed.min(body.len());
        all.extend_from_slice(&body[..fixed]);
        for (kind, value) in attributes(&body[fixed..]).filter(|(kind, _)| !list.passing.contains(kind)) {
            all.extend(kind.to_ne_bytes());
            all.extend_from_slice(value);
        }
    };
    match ask_of(list.family, list.message, NLM_F_DUMP, &vec![0; list.fixed], each) {
        Err(e)
            if !matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EINVAL)) =>
        {
            Err(e)
        }
        _ => Ok(all),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        if rest.len() < 4 {
            return None;
        }
        let len = (u16::from_ne_bytes([rest[0], rest[1]]) as usize).clamp(4, rest.len());
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = &rest[4..len];
        rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    fn inode(socket: &UnixStream) -> u64 {
        let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
        std::fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino()
    }

    #[test]
    fn tcp_sockets_of_both_families_are_told_at_once() {
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let six = std::net::TcpListener::bind("[::1]:0").ok();
        let inodes = |all: Vec<Inet>| all.into_iter().map(|t| t.inode).collect::<Vec<_>>();
        let (all, each) = (inodes(tcp().unwrap()), inodes(inet(libc::IPPROTO_TCP).unwrap()));
        let of = |fd: i32| std::fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino();
        let ours = [Some(&four), six.as_ref()].into_iter().flatten().map(std::os::fd::AsRawFd::as_raw_fd);
        for inode in ours.map(of) {
            assert!(all.contains(&inode) && each.contains(&inode), "{inode}");
        }
    }

    #[test]
    fn a_pair_names_each_other() {
        let (a, b) = UnixStream::pair().unwrap();
        let all = unix().unwrap();
        assert_eq!(all[&inode(&a)].peer, Some(inode(&b)));
        assert_eq!(all[&inode(&b)].peer, Some(inode(&a)));
    }
}
