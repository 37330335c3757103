//! Maps of the kernel's eBPF machine (bpf(2)): made, described, read and filled.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::check;

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_GET_NEXT_KEY: i32 = 4;
const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const MAP_FREEZE: i32 = 22;

/// What a map is made with, and what the kernel tells of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map {
    /// BPF_MAP_TYPE_*.
    pub kind: u32,
    pub id: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    /// NUL-terminated, where it has one.
    pub name: [u8; 16],
    /// Network device that it is offloaded to; 0 for none.
    pub device: u32,
    /// Id of the description of its types (BTF); 0 for none.
    pub types: u32,
    pub extra: u64,
}

fn bpf<const N: usize>(command: i32, attributes: &mut [u64; N]) -> io::Result<i64> {
    // SAFETY: the structure is as long as we say; what it points to outlives the call (see the callers).
    check(unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), N * 8) })
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn adopt(fd: i64) -> OwnedFd {
    // SAFETY: the kernel has just given us this descriptor (all of them are close-on-exec).
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// BPF_MAP_CREATE.
pub fn create(map: &Map) -> io::Result<OwnedFd> {
    let name = |i: usize| u32::from_ne_bytes(map.name[i * 4..i * 4 + 4].try_into().expect("4 bytes"));
    let mut attributes = [
        pair(map.kind, map.key_size),
        pair(map.value_size, map.max_entries),
        pair(map.flags, 0),
        pair(0, name(0)),
        pair(name(1), name(2)),
        pair(name(3), 0),
        0,
        0,
        map.extra,
    ];
    // Trailing zeroes are not sent, which an older kernel would take for options that it does not know.
    if map.extra == 0 {
        let mut short: [u64; 6] = attributes[..6].try_into().expect("6 words");
        return bpf(MAP_CREATE, &mut short).map(adopt);
    }
    bpf(MAP_CREATE, &mut attributes).map(adopt)
}

/// BPF_OBJ_GET_INFO_BY_FD.
pub fn info(map: BorrowedFd<'_>) -> io::Result<Map> {
    let mut info = [0u64; 11];
    let mut attributes = [pair(map.as_raw_fd() as u32, size_of_val(&info) as u32), info.as_mut_ptr() as u64];
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes)?;
    let low = |i: usize| info[i] as u32;
    let high = |i: usize| (info[i] >> 32) as u32;
    let mut name = [0; 16];
    name[..8].copy_from_slice(&info[3].to_ne_bytes());
    name[8..].copy_from_slice(&info[4].to_ne_bytes());
    Ok(Map {
        kind: low(0),
        id: high(0),
        key_size: low(1),
        value_size: high(1),
        max_entries: low(2),
        flags: high(2),
        name,
        device: low(5),
        types: low(8),
        extra: info[10],
    })
}

/// BPF_MAP_GET_FD_BY_ID; `flags`: 0, BPF_F_RDONLY (8) or BPF_F_WRONLY (16).
pub fn by_id(id: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attributes = [pair(id, 0), pair(flags, 0)];
    bpf(MAP_GET_FD_BY_ID, &mut attributes).map(adopt)
}

/// BPF_MAP_FREEZE: no system call changes it from now on.
pub fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    bpf(MAP_FREEZE, &mut [pair(map.as_raw_fd() as u32, 0)]).map(drop)
}

/// BPF_MAP_GET_NEXT_KEY: the key behind `key`, the first one for none; false at the end.
pub fn next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let key = key.map_or(0, |key| key.as_ptr() as u64);
    let mut attributes = [pair(map.as_raw_fd() as u32, 0), key, next.as_mut_ptr() as u64, 0];
    match bpf(MAP_GET_NEXT_KEY, &mut attributes) {
        Ok(_) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

/// BPF_MAP_LOOKUP_ELEM; false where the key is not there. `value` has room for what the map gives: values of
/// all processors where it has one for each.
pub fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attributes = [pair(map.as_raw_fd() as u32, 0), key.as_ptr() as u64, value.as_mut_ptr() as u64, 0];
    match bpf(MAP_LOOKUP_ELEM, &mut attributes) {
        Ok(_) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(e) => Err(e),
    }
}

/// BPF_MAP_UPDATE_ELEM, whether the key is there or not.
pub fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attributes = [pair(map.as_raw_fd() as u32, 0), key.as_ptr() as u64, value.as_ptr() as u64, 0];
    bpf(MAP_UPDATE_ELEM, &mut attributes).map(drop)
}
