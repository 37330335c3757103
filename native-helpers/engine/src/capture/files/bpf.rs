//! eBPF maps: what the kernel tells of them, and their entries, read by bpf(2).

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use serde_bytes::ByteBuf;
use torpor_sys::bpf;

use super::super::collect::Collector;
use super::super::refusal;
use super::Subject;
use crate::blocker::Obstacle;
use crate::model::FileKind;
use crate::model::bpf::{BpfMap, Contents};

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PERCPU_HASH: u32 = 5;
const PERCPU_ARRAY: u32 = 6;
const LRU_HASH: u32 = 9;
const LRU_PERCPU_HASH: u32 = 10;
const LPM_TRIE: u32 = 11;

/// Reads the map behind a descriptor; its contents with the first description that is met.
pub fn capture(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let map = bpf::info(s.dup.as_fd())?;
    if !collector.bpf_maps.insert(map.id) {
        return Ok(FileKind::BpfMap(Box::new(BpfMap { id: map.id, contents: None })));
    }
    if let Some(obstacle) = refusal::bpf_map(&map) {
        return Err(obstacle);
    }
    let frozen = s.info.number("frozen").unwrap_or(0) != 0;
    let entries = if s.info.flags & libc::O_ACCMODE == libc::O_WRONLY {
        entries(bpf::by_id(map.id, 0)?.as_fd(), &map)?
    } else {
        entries(s.dup.as_fd(), &map)?
    };
    let name = map.name.iter().copied().take_while(|b| *b != 0).collect::<Vec<u8>>();
    let contents = Contents {
        kind: map.kind,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        flags: map.flags,
        extra: map.extra,
        name: ByteBuf::from(name),
        frozen,
        entries,
    };
    Ok(FileKind::BpfMap(Box::new(BpfMap { id: map.id, contents: Some(contents) })))
}

/// Whether maps of this kind are made of keys and values that system calls can read and put back.
pub fn is_known(kind: u32) -> bool {
    matches!(kind, HASH | ARRAY | PERCPU_HASH | PERCPU_ARRAY | LRU_HASH | LRU_PERCPU_HASH | LPM_TRIE)
}

/// Bytes of what the kernel gives for a key.
fn value_len(map: &bpf::Map) -> io::Result<usize> {
    let size = map.value_size as usize;
    Ok(match map.kind {
        PERCPU_HASH | PERCPU_ARRAY | LRU_PERCPU_HASH => size.next_multiple_of(8) * possible_processors()?,
        _ => size,
    })
}

/// `0-3` or `0,2-3` of /sys/devices/system/cpu/possible: the highest number and one.
fn possible_processors() -> io::Result<usize> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = text.trim().rsplit([',', '-']).next().and_then(|n| n.parse::<usize>().ok());
    last.map(|n| n + 1).ok_or_else(|| io::Error::other("/sys/devices/system/cpu/possible can't be read"))
}

fn entries(fd: BorrowedFd<'_>, map: &bpf::Map) -> io::Result<Vec<(ByteBuf, ByteBuf)>> {
    let len = value_len(map)?;
    let array = matches!(map.kind, ARRAY | PERCPU_ARRAY);
    let mut all = Vec::new();
    let mut key: Option<Vec<u8>> = None;
    let mut next = vec![0u8; map.key_size as usize];
    let mut value = vec![0u8; len];
    // Somebody outside may add entries all the time: never more than there is room for.
    for _ in 0..map.max_entries {
        if !bpf::next_key(fd, key.as_deref(), &mut next)? {
            break;
        }
        if bpf::lookup(fd, &next, &mut value)? && !(array && value.iter().all(|b| *b == 0)) {
            all.push((ByteBuf::from(next.clone()), ByteBuf::from(value.clone())));
        }
        key = Some(next.clone());
    }
    Ok(all)
}
