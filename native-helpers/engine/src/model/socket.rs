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
}

impl Socket {
    /// TCP, and what is made of it.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self.domain, libc::AF_INET | libc::AF_INET6) && self.kind == libc::SOCK_STREAM
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
