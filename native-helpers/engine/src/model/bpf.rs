//! Maps of the kernel's eBPF machine (bpf(2)).

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// An open file description of a map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BpfMap {
    /// The kernel's number: tells descriptions of the same map.
    pub id: u32,
    /// The map itself, with the first of its descriptions.
    pub contents: Option<Contents>,
}

/// What all descriptions of a map share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// BPF_MAP_TYPE_*.
    pub kind: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    /// BPF_F_* that a map keeps.
    pub flags: u32,
    pub extra: u64,
    pub name: ByteBuf,
    /// No system call may change it (BPF_MAP_FREEZE).
    pub frozen: bool,
    /// Key and value; of arrays without those that are zero. A map with a value for each processor has them one
    /// behind the other, each rounded up to 8 bytes.
    pub entries: Vec<(ByteBuf, ByteBuf)>,
}
