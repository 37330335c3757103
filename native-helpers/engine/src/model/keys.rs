//! Keys and keyrings (keyrings(7)) that processes have for themselves.

use serde::{Deserialize, Serialize};

/// The keyrings of a thread, by the serial numbers that they had; 0 for none of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyrings {
    pub thread: i32,
    pub process: i32,
    pub session: i32,
    /// Where request_key(2) puts keys: KEY_REQKEY_DEFL_*.
    pub requested: i32,
}

/// A key, or a keyring with the keys that are linked into it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub serial: i32,
    /// `user` or `keyring`; the payload of others can't be read.
    pub kind: String,
    pub description: String,
    pub uid: u32,
    pub gid: u32,
    /// KEY_POS_*, KEY_USR_*, KEY_GRP_*, KEY_OTH_*.
    pub permissions: u32,
    /// Seconds until it expires, as exact as /proc/keys tells.
    pub timeout_s: Option<u32>,
    /// A secret: in the image, and nowhere else.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// Serial numbers of a keyring's keys.
    pub members: Vec<i32>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key {{ {} {:?}, {} bytes }}", self.kind, self.description, self.payload.len())
    }
}
