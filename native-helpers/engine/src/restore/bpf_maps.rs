//! eBPF maps: made again with their entries, once each however many descriptions there are.
//!
//! A map can outlive the programs that had it open: one that is pinned to a file, or used by an attached
//! program. Where it is still there it goes on as it is, as a file on disk would.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use torpor_sys::bpf;

use crate::model::bpf::{BpfMap, Contents};
use crate::model::{FileKind, OpenFile, SystemState};

const RDONLY: u32 = 1 << 3;
const WRONLY: u32 = 1 << 4;

/// The maps made so far, by the number that they had.
#[derive(Debug, Default)]
pub struct BpfMaps {
    made: HashMap<u32, OwnedFd>,
}

impl BpfMaps {
    /// Opens a description of a map, which is made or found when first met.
    pub fn open(&mut self, state: &SystemState, file: &OpenFile, map: &BpfMap) -> io::Result<OwnedFd> {
        let made = match self.made.entry(map.id) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let contents = contents(state, map.id)
                    .ok_or_else(|| io::Error::other("the image lacks the contents of the map"))?;
                place.insert(match still_there(state, map.id, contents) {
                    Some(there) => there,
                    None => make(contents)?,
                })
            }
        };
        match file.flags & libc::O_ACCMODE {
            // What it may be used for is settled when it is opened.
            libc::O_RDONLY => bpf::by_id(bpf::info(made.as_fd())?.id, RDONLY),
            libc::O_WRONLY => bpf::by_id(bpf::info(made.as_fd())?.id, WRONLY),
            // Each description is one of its own.
            _ => bpf::by_id(bpf::info(made.as_fd())?.id, 0).or_else(|_| made.try_clone()),
        }
    }
}

fn contents(state: &SystemState, id: u32) -> Option<&Contents> {
    state.files.iter().find_map(|f| match &f.kind {
        FileKind::BpfMap(map) if map.id == id => map.contents.as_ref(),
        _ => None,
    })
}

fn described(contents: &Contents) -> bpf::Map {
    let mut name = [0; 16];
    let len = contents.name.len().min(name.len() - 1);
    name[..len].copy_from_slice(&contents.name[..len]);
    bpf::Map {
        kind: contents.kind,
        key_size: contents.key_size,
        value_size: contents.value_size,
        max_entries: contents.max_entries,
        flags: contents.flags,
        extra: contents.extra,
        name,
        ..bpf::Map::default()
    }
}

/// The very map, where it has outlived its program. In a capsule never: the program itself may still run.
fn still_there(state: &SystemState, id: u32, contents: &Contents) -> Option<OwnedFd> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    if state.scratch.is_some() || state.origin.boot_id != boot.trim() {
        return None;
    }
    let there = bpf::by_id(id, 0).ok()?;
    let is = bpf::info(there.as_fd()).ok()?;
    (is == bpf::Map { id, ..described(contents) }).then_some(there)
}

fn make(contents: &Contents) -> io::Result<OwnedFd> {
    let made = bpf::create(&described(contents))?;
    for (key, value) in &contents.entries {
        bpf::update(made.as_fd(), key, value)?;
    }
    if contents.frozen {
        bpf::freeze(made.as_fd())?;
    }
    Ok(made)
}
