//! SysV shared memory segments: attached again where they still exist, made again with their ids and keys
//! where they don't.
//!
//! A segment outlives the programs that use it. One that is still there and attached by nobody is the tree's
//! own: it gets the contents that the image has. One that somebody else has attached goes on as it is, as
//! a file on disk would: its contents are theirs as well.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use torpor_sys::sysv::{self, Attachment};

use super::files::open_raw;
use super::plan::Planner;
use super::region::List;
use crate::model::{Mapping, SharedMemory, SpaceId};
use crate::proc::maps;

const NEXT_ID: &str = "/proc/sys/kernel/shm_next_id";
/// Goes with its last attachment.
pub const SHM_DEST: u32 = 0o1000;
const SHM_HUGETLB: i32 = 0o4000;

#[derive(Debug)]
struct Segment {
    id: i32,
    made: bool,
    removed: bool,
    attachment: Option<Attachment>,
}

/// The segments of an image, held by this process until the tree has attached them.
#[derive(Debug, Default)]
pub struct Segments {
    by_space: HashMap<SpaceId, Segment>,
}

impl Segments {
    /// Finds or makes a segment. Returns a descriptor of its contents, and whether others use it.
    pub fn open(&mut self, space: SpaceId, object: &SharedMemory) -> io::Result<(OwnedFd, bool)> {
        let SharedMemory::Sysv { id, key, size, mode, uid, gid, huge } = object else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let found = sysv::segment_status(*id).ok().filter(|s| s.key == *key && s.size == *size);
        let others = found.is_some_and(|s| s.attachments > 0);
        if found.is_none() {
            std::fs::write(NEXT_ID, id.to_string())?;
            let huge = if *huge == 0 { 0 } else { SHM_HUGETLB | (*huge << 26) as i32 };
            let flags = libc::IPC_CREAT | libc::IPC_EXCL | huge | (mode & 0o777) as i32;
            let made = sysv::segment_get(*key, *size, flags)?;
            if made != *id {
                let _ = sysv::segment_remove(made);
                return Err(io::Error::other(format!(
                    "the id {id} of a SysV shared memory segment is taken by another one"
                )));
            }
        }
        // Noted before anything else can fail: what was made goes again then.
        let removed = mode & SHM_DEST != 0;
        let segment = Segment { id: *id, made: found.is_none(), removed, attachment: None };
        let segment = self.by_space.entry(space).or_insert(segment);
        if !others {
            sysv::segment_set_owner(*id, *uid, *gid, *mode)?;
        }
        let attachment = Attachment::new(*id)?;
        let start = attachment.address();
        segment.attachment = Some(attachment);
        let own = maps::maps(std::process::id() as i32)?;
        let vma = own.iter().find(|v| v.start == start).ok_or(io::ErrorKind::NotFound)?;
        let fd = open_raw(&format!("/proc/self/map_files/{start:x}-{:x}", vma.end), libc::O_RDWR)?;
        if found.is_some() && !others {
            // Only what differs from zero is loaded.
            let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&fd, punch, 0, vma.end - start)?;
        }
        Ok((fd, others))
    }

    /// Lets go of segments that the tree has attached by now; those that had been removed go with it.
    pub fn let_go(&mut self) -> io::Result<()> {
        for segment in self.by_space.values_mut() {
            if segment.removed {
                sysv::segment_remove(segment.id)?;
            }
            segment.attachment = None;
        }
        Ok(())
    }

    /// The restore has succeeded: what was made stays.
    pub fn keep(&mut self) {
        self.by_space.clear();
    }

    fn id(&self, space: SpaceId) -> Option<i32> {
        self.by_space.get(&space).map(|s| s.id)
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        for segment in self.by_space.values_mut() {
            segment.attachment = None;
            if segment.made {
                let _ = sysv::segment_remove(segment.id);
            }
        }
    }
}

/// Attaches a segment as a mapping was; false where the space is none. The whole segment is attached
/// somewhere, and the part in question moved to its place: a program may have unmapped the rest.
pub fn attach(
    planner: &Planner<'_>,
    list: &mut List,
    mapping: &Mapping,
    space: SpaceId,
    offset: u64,
) -> bool {
    let Some(id) = planner.files.segments.id(space) else { return false };
    let size = planner.state.spaces.get(space as usize).map_or(0, |s| match s {
        crate::model::Space::SharedMemory(object) => object.size(),
        _ => 0,
    });
    let whole = size.next_multiple_of(4096);
    // What could never be written was attached for reading.
    let mut flags = if mapping.has("mw") { 0 } else { libc::SHM_RDONLY };
    if mapping.prot & libc::PROT_EXEC as u32 != 0 {
        flags |= libc::SHM_EXEC;
    }
    if offset == 0 && mapping.len() == whole {
        list.call(libc::SYS_shmat, &[id as u64, mapping.start, (flags | libc::SHM_REMAP) as u64]);
    } else {
        let at = planner.free_range(whole);
        list.call(libc::SYS_shmat, &[id as u64, at, flags as u64]);
        let remap = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        list.call(libc::SYS_mremap, &[at + offset, mapping.len(), mapping.len(), remap, mapping.start]);
        if offset > 0 {
            list.call(libc::SYS_munmap, &[at, offset]);
        }
        if offset + mapping.len() < whole {
            list.call(libc::SYS_munmap, &[at + offset + mapping.len(), whole - offset - mapping.len()]);
        }
    }
    list.call(libc::SYS_mprotect, &[mapping.start, mapping.len(), u64::from(mapping.prot)]);
    true
}
