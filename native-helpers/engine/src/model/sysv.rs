//! SysV semaphores and message queues (sysvipc(7)). Shared memory is a space of its own.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Pid;

/// Those of a capsule's own IPC namespace; of the machine's, those that the tree has used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysvIpc {
    #[serde(default)]
    pub semaphores: Vec<SemaphoreSet>,
    #[serde(default)]
    pub queues: Vec<Queue>,
}

/// What both kinds have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub id: i32,
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Nobody outside the tree uses it who is still there: a restore may set it to what it was.
    pub own: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SemaphoreSet {
    pub identity: Identity,
    pub values: Vec<u16>,
    /// Who last changed each (semctl(2), GETPID); 0 for nobody.
    pub last_users: Vec<Pid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub identity: Identity,
    /// The most bytes that it holds.
    pub max_bytes: u64,
    /// Type and text, in order.
    pub messages: Vec<(i64, ByteBuf)>,
}
