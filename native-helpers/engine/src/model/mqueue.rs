//! POSIX message queues (mq_overview(7)).

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Pid;

/// An open file description of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageQueue {
    /// Device and inode: tells descriptions of the same queue.
    pub queue: (u64, u64),
    /// Without the slash.
    pub name: String,
    /// Its name was removed (mq_unlink(3)).
    pub unlinked: bool,
    /// The path by which it was opened as a file, where it was.
    #[serde(default)]
    pub opened_as: Option<String>,
    /// The queue itself, with the first of its descriptions.
    pub contents: Option<Contents>,
}

/// What all descriptions of a queue share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Attributes that a queue keeps for life: number of messages that it has room for, and bytes of one.
    pub max_messages: i64,
    pub message_size: i64,
    /// Priority and bytes, in the order in which they would be received.
    pub messages: Vec<(u32, ByteBuf)>,
    pub notification: Option<Notification>,
}

/// A process has asked to be told of the next message in the empty queue (mq_notify(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub pid: Pid,
    /// 0 for SIGEV_NONE, which only keeps others from asking.
    pub signal: i32,
    pub value: u64,
}

impl Notification {
    /// `struct sigevent` for it.
    pub fn event(&self) -> Vec<u8> {
        let how = if self.signal == 0 { libc::SIGEV_NONE } else { libc::SIGEV_SIGNAL };
        let mut event = self.value.to_le_bytes().to_vec();
        event.extend(self.signal.to_le_bytes());
        event.extend(how.to_le_bytes());
        event.resize(64, 0);
        event
    }
}
