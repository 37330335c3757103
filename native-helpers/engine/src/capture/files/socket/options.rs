//! The options of a socket: read one by one, whatever the socket answers to. The restore sets those that a
//! new socket has otherwise.

use std::os::fd::BorrowedFd;

use torpor_sys::fd::getsockopt;

use crate::model::socket::SocketOption;

const INT: usize = 4;
/// The longest extension header (RFC 8200): a length in one byte, in units of 8, the first not counted.
const EXTENSION: usize = 256 * 8;

/// SOL_SOCKET, by number (include/uapi/asm-generic/socket.h). The buffer sizes come before their lock.
/// Not among them: what only tells (SO_TYPE, SO_PEERCRED …), what reading would take (SO_ERROR), and what
/// changes by itself (SO_INCOMING_CPU).
const SOCKET: &[(i32, usize)] = &[
    (1, INT),  // DEBUG
    (2, INT),  // REUSEADDR
    (5, INT),  // DONTROUTE
    (6, INT),  // BROADCAST
    (7, INT),  // SNDBUF
    (8, INT),  // RCVBUF
    (72, INT), // BUF_LOCK
    (9, INT),  // KEEPALIVE
    (10, INT), // OOBINLINE
    (11, INT), // NO_CHECK
    (36, INT), // MARK
    (12, INT), // PRIORITY
    (13, 8),   // LINGER
    (15, INT), // REUSEPORT
    (16, INT), // PASSCRED
    (18, INT), // RCVLOWAT
    (20, 16),  // RCVTIMEO
    (21, 16),  // SNDTIMEO
    (34, INT), // PASSSEC
    (29, INT), // TIMESTAMP
    (35, INT), // TIMESTAMPNS
    (63, INT), // TIMESTAMP_NEW
    (64, INT), // TIMESTAMPNS_NEW
    (37, 8),   // TIMESTAMPING
    (40, INT), // RXQ_OVFL
    (41, INT), // WIFI_STATUS
    (42, INT), // PEEK_OFF
    (43, INT), // NOFCS
    (45, INT), // SELECT_ERR_QUEUE
    (46, INT), // BUSY_POLL
    (69, INT), // PREFER_BUSY_POLL
    (70, INT), // BUSY_POLL_BUDGET
    (47, 8),   // MAX_PACING_RATE
    (60, INT), // ZEROCOPY
    (61, 8),   // TXTIME
    (62, INT), // BINDTOIFINDEX
    (73, INT), // RESERVE_MEM
    (74, INT), // TXREHASH
    (75, INT), // RCVMARK
    (76, INT), // PASSPIDFD
    (82, INT), // RCVPRIORITY
    (83, INT), // PASSRIGHTS
    (44, INT), // LOCK_FILTER
];

/// IPPROTO_IP (ip(7)).
const IP: &[(i32, usize)] = &[
    (1, INT),  // TOS
    (2, INT),  // TTL
    (3, INT),  // HDRINCL
    (4, 40),   // OPTIONS
    (5, INT),  // ROUTER_ALERT
    (6, INT),  // RECVOPTS
    (7, INT),  // RETOPTS
    (8, INT),  // PKTINFO
    (10, INT), // MTU_DISCOVER
    (11, INT), // RECVERR
    (12, INT), // RECVTTL
    (13, INT), // RECVTOS
    (15, INT), // FREEBIND
    (18, INT), // PASSSEC
    (19, INT), // TRANSPARENT
    (20, INT), // RECVORIGDSTADDR
    (21, INT), // MINTTL
    (22, INT), // NODEFRAG
    (23, INT), // CHECKSUM
    (24, INT), // BIND_ADDRESS_NO_PORT
    (25, INT), // RECVFRAGSIZE
    (26, INT), // RECVERR_RFC4884
    (32, INT), // MULTICAST_IF
    (33, INT), // MULTICAST_TTL
    (34, INT), // MULTICAST_LOOP
    (49, INT), // MULTICAST_ALL
    (50, INT), // UNICAST_IF
    (51, INT), // LOCAL_PORT_RANGE
];

/// IPPROTO_IPV6 (ipv6(7)).
const IPV6: &[(i32, usize)] = &[
    (26, INT), // V6ONLY
    (2, INT),  // 2292PKTINFO
    (3, INT),  // 2292HOPOPTS
    (4, INT),  // 2292DSTOPTS
    (5, INT),  // 2292RTHDR
    (8, INT),  // 2292HOPLIMIT
    (11, INT), // FLOWINFO
    (33, INT), // FLOWINFO_SEND
    (16, INT), // UNICAST_HOPS
    (17, INT), // MULTICAST_IF
    (18, INT), // MULTICAST_HOPS
    (19, INT), // MULTICAST_LOOP
    (23, INT), // MTU_DISCOVER
    (25, INT), // RECVERR
    (29, INT), // MULTICAST_ALL
    (30, INT), // ROUTER_ALERT_ISOLATE
    (31, INT), // RECVERR_RFC4884
    (36, INT), // HDRINCL
    (49, INT), // RECVPKTINFO
    (51, INT), // RECVHOPLIMIT
    (53, INT), // RECVHOPOPTS
    // Headers of every packet, of a length of their own.
    (54, EXTENSION), // HOPOPTS
    (55, EXTENSION), // RTHDRDSTOPTS
    (57, EXTENSION), // RTHDR
    (59, EXTENSION), // DSTOPTS
    (56, INT),       // RECVRTHDR
    (58, INT),       // RECVDSTOPTS
    (60, INT),       // RECVPATHMTU
    (62, INT),       // DONTFRAG
    (66, INT),       // RECVTCLASS
    (67, INT),       // TCLASS
    (70, INT),       // AUTOFLOWLABEL
    (72, INT),       // ADDR_PREFERENCES
    (73, INT),       // MINHOPCOUNT
    (74, INT),       // RECVORIGDSTADDR
    (75, INT),       // TRANSPARENT
    (76, INT),       // UNICAST_IF
    (77, INT),       // RECVFRAGSIZE
    (78, INT),       // FREEBIND
];

/// IPPROTO_TCP (tcp(7)).
const TCP: &[(i32, usize)] = &[
    (1, INT),  // NODELAY
    (3, INT),  // CORK
    (4, INT),  // KEEPIDLE
    (5, INT),  // KEEPINTVL
    (6, INT),  // KEEPCNT
    (7, INT),  // SYNCNT
    (8, INT),  // LINGER2
    (9, INT),  // DEFER_ACCEPT
    (10, INT), // WINDOW_CLAMP
    (13, 16),  // CONGESTION
    (16, INT), // THIN_LINEAR_TIMEOUTS
    (18, INT), // USER_TIMEOUT
    (23, INT), // FASTOPEN
    (25, INT), // NOTSENT_LOWAT
    (27, INT), // SAVE_SYN
    (30, INT), // FASTOPEN_CONNECT
    (34, INT), // FASTOPEN_NO_COOKIE
    (36, INT), // INQ
    (37, INT), // TX_DELAY
];
/// TCP_MAXSEG, which of a connected socket tells what was agreed on.
const TCP_MAXSEG: (i32, usize) = (2, INT);
const TCP_INFO: i32 = 11;
/// Of a connection within the machine, no less without somebody having asked for it.
const LARGE_SEGMENT: i32 = 32_000;
/// What a time stamp takes of each segment (RFC 7323, with padding).
const TIMESTAMP_LEN: i32 = 12;

/// IPPROTO_UDP (udp(7)).
const UDP: &[(i32, usize)] = &[
    (1, INT),   // CORK
    (100, INT), // ENCAP
    (101, INT), // NO_CHECK6_TX
    (102, INT), // NO_CHECK6_RX
    (103, INT), // SEGMENT
    (104, INT), // GRO
];

/// IPPROTO_UDPLITE (udplite(7)).
const UDPLITE: &[(i32, usize)] = &[(10, INT), (11, INT)];
const IPPROTO_UDPLITE: i32 = 136;

/// SOL_RAW: the filter of ICMP types, the offset of a checksum.
const SOL_RAW: i32 = 255;
const RAW_ICMP: &[(i32, usize)] = &[(1, INT)];
const RAW_IPV6: &[(i32, usize)] = &[(7, INT)];
/// SOL_ICMPV6: the filter of types.
const ICMPV6: &[(i32, usize)] = &[(1, 32)];

/// SOL_NETLINK (netlink(7)).
const NETLINK: &[(i32, usize)] = &[
    (3, INT),  // PKTINFO
    (4, INT),  // BROADCAST_ERROR
    (5, INT),  // NO_ENOBUFS
    (8, INT),  // LISTEN_ALL_NSID
    (10, INT), // CAP_ACK
    (11, INT), // EXT_ACK
    (12, INT), // GET_STRICT_CHK
];

/// SOL_PACKET (packet(7)).
const PACKET: &[(i32, usize)] = &[
    (10, INT), // VERSION
    (12, INT), // RESERVE
    (7, INT),  // COPY_THRESH
    (8, INT),  // AUXDATA
    (9, INT),  // ORIGDEV
    (14, INT), // LOSS
    (15, INT), // VNET_HDR
    (17, INT), // TIMESTAMP
    (19, INT), // TX_HAS_OFF
    (20, INT), // QDISC_BYPASS
    (23, INT), // IGNORE_OUTGOING
];

/// AF_VSOCK's own level: buffer sizes (vsock(7)).
const VSOCK: &[(i32, usize)] = &[(2, 8), (1, 8), (0, 8)];

/// All options of a socket that it answers to. `connected` leaves out what then means something else.
pub fn read(fd: BorrowedFd<'_>, domain: i32, kind: i32, protocol: i32, connected: bool) -> Vec<SocketOption> {
    let mut tables = vec![(libc::SOL_SOCKET, SOCKET)];
    match domain {
        libc::AF_INET => tables.push((libc::IPPROTO_IP, IP)),
        // An IPv6 socket may carry IPv4 too.
        libc::AF_INET6 => tables.extend([(libc::IPPROTO_IPV6, IPV6), (libc::IPPROTO_IP, IP)]),
        libc::AF_NETLINK => tables.push((libc::SOL_NETLINK, NETLINK)),
        libc::AF_PACKET => tables.push((libc::SOL_PACKET, PACKET)),
        libc::AF_VSOCK => tables.push((libc::AF_VSOCK, VSOCK)),
        _ => {}
    }
    if matches!(domain, libc::AF_INET | libc::AF_INET6) {
        match (kind, protocol) {
            (_, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP) => tables.push((libc::IPPROTO_TCP, TCP)),
            (libc::SOCK_DGRAM, libc::IPPROTO_UDP) => tables.push((libc::IPPROTO_UDP, UDP)),
            (libc::SOCK_DGRAM, IPPROTO_UDPLITE) => {
                tables.extend([(libc::IPPROTO_UDP, UDP), (IPPROTO_UDPLITE, UDPLITE)]);
            }
            (libc::SOCK_RAW, libc::IPPROTO_ICMP) => tables.push((SOL_RAW, RAW_ICMP)),
            (libc::SOCK_RAW, libc::IPPROTO_ICMPV6) => tables.push((libc::IPPROTO_ICMPV6, ICMPV6)),
            (libc::SOCK_RAW, _) if domain == libc::AF_INET6 => tables.push((SOL_RAW, RAW_IPV6)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    for (level, table) in tables {
        let extra = (level == libc::IPPROTO_TCP && !connected).then_some(&TCP_MAXSEG);
        if level == libc::IPPROTO_TCP && connected {
            all.extend(asked_segment(fd));
        }
        for (name, len) in table.iter().chain(extra) {
            if let Ok(value) = getsockopt(fd, level, *name, *len)
                && !value.is_empty()
            {
                all.push(SocketOption { level, name: *name, value });
            }
        }
    }
    all
}

/// What the segments of a connection must have been limited to, where they were.
fn asked_segment(fd: BorrowedFd<'_>) -> Option<SocketOption> {
    let (name, len) = TCP_MAXSEG;
    let agreed = getsockopt(fd, libc::IPPROTO_TCP, name, len).ok()?;
    let agreed = i32::from_ne_bytes(*agreed.first_chunk::<4>()?);
    // State, three counters, back-off, TCPI_OPT_*.
    let info = getsockopt(fd, libc::IPPROTO_TCP, TCP_INFO, 8).ok()?;
    let stamps = if info.get(5)? & 1 != 0 { TIMESTAMP_LEN } else { 0 };
    let value = (agreed + stamps).to_ne_bytes().to_vec();
    (agreed < LARGE_SEGMENT).then_some(SocketOption { level: libc::IPPROTO_TCP, name, value })
}
