//! Sockets, as far as a program can tell one from another.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::FileId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Tells it from all other sockets of the image; named by [`Link::Peer`].
    pub inode: u64,
    /// AF_*, SOCK_*, protocol (socket(2)).
    pub domain: i32,
    pub kind: i32,
    pub protocol: i32,
    /// Owner of the socket (fstat(2)).
    pub uid: u32,
    pub gid: u32,
    pub options: Vec<SocketOption>,
    /// Raw `struct sockaddr`, where it is bound.
    pub name: Option<ByteBuf>,
    pub peer_name: Option<ByteBuf>,
    pub link: Link,
    /// Its own directions that are shut down: 1 receiving, 2 sending.
    #[serde(default)]
    pub shut: u8,
    /// What has arrived and was not read.
    #[serde(default)]
    pub queue: Vec<Message>,
    /// What was sent and is not yet in the peer's queue (TCP).
    #[serde(default)]
    pub unsent: ByteBuf,
    /// SO_PEERCRED.
    #[serde(default)]
    pub peer_credentials: Option<(i32, u32, u32)>,
    /// The file of a unix socket that is bound to a path.
    #[serde(default)]
    pub file: Option<SocketFile>,
    /// Connections that nobody has accepted yet, oldest first.
    #[serde(default)]
    pub pending: Vec<Pending>,
    /// Multicast groups and the like: options that are set once each.
    #[serde(default)]
    pub joined: Vec<SocketOption>,
    /// A classic BPF program (SO_ATTACH_FILTER), raw.
    #[serde(default)]
    pub filter: ByteBuf,
    #[serde(default)]
    pub repair: Option<TcpRepair>,
    /// Rings of a packet socket (PACKET_RX_RING, PACKET_TX_RING), which nothing has gone through.
    #[serde(default)]
    pub rings: Vec<PacketRing>,
    /// Its last datagram was refused (ECONNREFUSED), which nobody has been told of.
    #[serde(default)]
    pub failed: bool,
    /// Bound to an address that its machine did not have (IP_FREEBIND, whether that is still on or not).
    #[serde(default)]
    pub foreign: bool,
    /// The network namespace of the tree's own that it belongs to.
    #[serde(default)]
    pub network: Option<super::FileId>,
}

/// The type of packet sockets of before Linux 2.2 (packet(7)), which are bound to a device by its name.
pub const SOCK_PACKET: i32 = 10;

impl Socket {
    /// TCP, and what is made of it.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self.domain, libc::AF_INET | libc::AF_INET6) && self.kind == libc::SOCK_STREAM
    }
}

/// A ring of a packet socket: the fields of `struct tpacket_req3` (packet(7)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketRing {
    pub transmit: bool,
    pub block_size: u32,
    pub blocks: u32,
    pub frame_size: u32,
    pub frames: u32,
    /// Milliseconds after which a block is handed over that is not full, bytes of the program's own in each,
    /// and TP_FT_REQ_*; only of version 3.
    pub retire_ms: u32,
    pub private_bytes: u32,
    pub features: u32,
}

impl PacketRing {
    /// Bytes of its mapping.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::from(self.block_size) * u64::from(self.blocks)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of version 3, whose receive rings are handed over in blocks.
    #[must_use]
    pub fn is_of_blocks(&self) -> bool {
        self.retire_ms != 0 && !self.transmit
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// Not connected.
    None,
    Listening {
        backlog: u32,
    },
    /// Connected with another socket of the image.
    Peer(u64),
    /// Was connected; the other end is gone.
    Closed,
    /// Was connected, and is to find that the other end has broken it off (ECONNRESET).
    Reset,
    /// Sends to an address (datagrams).
    Address,
    /// Connected with somebody outside the tree; goes on by [`Socket::repair`].
    Outside,
    /// A TCP connection that is being made (SYN_SENT).
    Connecting,
}

/// States of a TCP connection, as TCP_INFO numbers them.
pub mod tcp_state {
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECEIVED: u8 = 3;
    pub const FIN_WAIT_1: u8 = 4;
    pub const FIN_WAIT_2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSED: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const CLOSING: u8 = 11;
    /// Our own end of the stream is sent, or waits to be.
    pub const END_SENT: [u8; 5] = [FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT, LAST_ACK, CLOSING];
    pub const END_NOT_CONFIRMED: [u8; 3] = [FIN_WAIT_1, LAST_ACK, CLOSING];
    pub const END_RECEIVED: [u8; 4] = [TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING];
}

/// What a TCP connection with somebody outside the tree needs to go on (TCP_REPAIR, tcp(7)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpRepair {
    /// One of [`tcp_state`].
    pub state: u8,
    /// Sequence number behind the last byte received, behind the end of the stream where that has come.
    pub receive_end: u32,
    /// Of the first byte that the peer has not confirmed, and behind all that was written.
    pub send_start: u32,
    pub send_end: u32,
    /// Written and not confirmed; the last `unsent` bytes were never sent.
    pub send: ByteBuf,
    pub unsent: u32,
    /// The end of the stream waits behind bytes that were never sent.
    pub end_waits: bool,
    /// The peer's maximum segment size.
    pub segment: u32,
    /// TCPI_OPT_*: 1 time stamps, 2 selective acknowledgements, 4 window scaling.
    pub options: u8,
    /// Window scale: the peer's in the lower half, our own in the upper.
    pub scale: u8,
    /// The clock of our time stamps.
    pub timestamp: u32,
    /// A raw `struct tcp_repair_window`.
    pub window: ByteBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketOption {
    pub level: i32,
    pub name: i32,
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
    /// Raw address of the sender, empty where it has none.
    #[serde(default)]
    pub from: ByteBuf,
    /// Descriptors that travel with it.
    #[serde(default)]
    pub files: Vec<FileId>,
    /// PID, uid, gid of the sender, where the receiver asked for it.
    #[serde(default)]
    pub credentials: Option<(i32, u32, u32)>,
}

/// A unix socket's name in the file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketFile {
    /// Where a relative name begins.
    pub folder: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The name is there and stands for this socket.
    pub exists: bool,
    /// Where its file is by now, after it was renamed.
    #[serde(default)]
    pub moved: Option<String>,
}

/// A connection in a listener's queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The connecting socket; 0 where it is gone.
    pub client: u64,
    /// What the client has sent.
    pub queue: Vec<Message>,
    /// SO_PEERCRED of the connection: who connected.
    #[serde(default)]
    pub credentials: Option<(i32, u32, u32)>,
}

/// The path of a raw unix address: up to its NUL, or abstract with a leading one.
pub fn sun_path(address: &[u8]) -> &[u8] {
    let path = address.get(2..).unwrap_or_default();
    match path.first() {
        None | Some(0) => path,
        Some(_) => path.split(|b| *b == 0).next().unwrap_or_default(),
    }
}

/// The raw address of an end, port and address, for a socket of a family.
pub fn raw_address(domain: i32, (port, ip): &(u16, Vec<u8>)) -> Vec<u8> {
    let mut raw = (domain as u16).to_ne_bytes().to_vec();
    raw.extend(port.to_be_bytes());
    if domain == libc::AF_INET {
        raw.extend(ip.last_chunk::<4>().copied().unwrap_or_default());
        raw.extend([0; 8]);
        return raw;
    }
    raw.extend([0; 4]);
    if ip.len() == 4 {
        raw.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    }
    raw.extend(ip);
    raw.extend([0; 4]);
    raw
}
