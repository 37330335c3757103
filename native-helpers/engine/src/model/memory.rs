//! Address spaces: their mappings, and what these map.

use serde::{Deserialize, Serialize};

use super::{FileId, Pid, SpaceId};
use crate::vm_flags::VmFlags;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddressSpace {
    pub space: SpaceId,
    pub mappings: Vec<Mapping>,
    pub exe: Option<FileId>,
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub brk: u64,
    pub start_stack: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
    pub auxv: Vec<u64>,
    /// mlockall(MCL_FUTURE) is in force, with MCL_ONFAULT or without.
    #[serde(default)]
    pub lock_future: Option<bool>,
    /// PR_SET_MEMORY_MERGE (prctl(2)) is on.
    #[serde(default)]
    pub ksm_merge: bool,
    /// What PR_GET_MDWE tells (prctl(2)): memory may not become executable.
    #[serde(default)]
    pub deny_write_execute: u32,
    /// What PR_GET_THP_DISABLE tells.
    #[serde(default)]
    pub thp_disable: u32,
    /// Guard regions (madvise(2), MADV_GUARD_INSTALL): (start, end).
    #[serde(default)]
    pub guards: Vec<(u64, u64)>,
    /// Memory policies (mbind(2)) by range: (start, end, policy).
    #[serde(default)]
    pub policies: Vec<(u64, u64, MemoryPolicy)>,
    #[serde(default)]
    pub aio: Vec<AioContext>,
    /// Pages shared copy-on-write with processes that come earlier, whose spaces hold them in the image.
    #[serde(default)]
    pub inherits: Vec<Inherited>,
}

/// On which memory nodes pages are to be (set_mempolicy(2)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// MPOL_* with its MPOL_F_* flags.
    pub mode: u32,
    /// The nodes, 64 to a word.
    pub nodes: Vec<u64>,
}

/// A kernel AIO context without requests on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AioContext {
    /// Where its ring is; also its id.
    pub address: u64,
    pub len: u64,
    /// Events that the ring has room for, and the places of the next one to be taken and to be put.
    pub room: u32,
    pub head: u32,
    pub tail: u32,
    /// The ring's events as they lie (`struct io_event`).
    #[serde(with = "serde_bytes")]
    pub events: Vec<u8>,
}

/// Pages that are the same memory as those of another address space at the same addresses, as fork(2) leaves
/// them. The image has them once, under the other space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// The address space that has the pages; none of them is inherited there.
    pub space: SpaceId,
    /// First page and number of pages, in turn, ascending.
    pub pages: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    pub start: u64,
    pub end: u64,
    /// PROT_READ | PROT_WRITE | PROT_EXEC.
    pub prot: u32,
    pub shared: bool,
    pub backing: Backing,
    /// Two-letter codes of VmFlags in /proc/PID/smaps (proc(5)) that a restore sets again.
    pub flags: VmFlags,
    #[serde(default)]
    pub pkey: u32,
}

impl Mapping {
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.has(flag)
    }

    /// Private anonymous memory that has never been writable: the kernel has not counted it as memory that may
    /// be needed ("ac"), so that it may be larger than the machine's.
    pub fn is_reservation(&self) -> bool {
        !self.shared
            && matches!(self.backing, Backing::Anonymous { .. })
            && self.prot & libc::PROT_WRITE as u32 == 0
            && !["ac", "nr", "ht"].iter().any(|flag| self.has(flag))
    }

    /// Private anonymous memory with small pages that doesn't grow by itself.
    pub fn is_plain_anonymous(&self) -> bool {
        !self.shared
            && matches!(self.backing, Backing::Anonymous { .. })
            && !self.has("ht")
            && !self.has("gd")
            && !self.has("dp")
    }
}

/// What is behind a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backing {
    Anonymous {
        /// The name given by PR_SET_VMA_ANON_NAME.
        name: Option<String>,
    },
    /// A file of the file system, or an unlinked one whose contents are a space.
    File {
        file: FileId,
        offset: u64,
    },
    /// Anonymous shared memory, memfd, POSIX or SysV shared memory: `space` holds its pages.
    SharedMemory {
        space: SpaceId,
        offset: u64,
    },
    Vdso,
    Vvar,
    /// The ring of a kernel AIO context (io_setup(2)), described in [`AddressSpace::aio`].
    AioRing,
    /// Belongs to another vvar or vsyscall range that the kernel makes by itself.
    Kernel,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// Pages are numbered by address.
    AddressSpace { pid: Pid },
    /// Pages are numbered by offset.
    SharedMemory(SharedMemory),
    /// The bytes of an unlinked file, numbered by offset.
    FileContent { size: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SharedMemory {
    /// mmap(MAP_SHARED | MAP_ANONYMOUS).
    Anonymous {
        size: u64,
        /// Binary logarithm of the size of its huge pages; 0 for ordinary ones.
        #[serde(default)]
        huge: u32,
    },
    Memfd {
        name: String,
        size: u64,
        seals: u32,
        mode: u32,
        huge: u32,
        flags: u32,
        #[serde(default)]
        uid: u32,
        #[serde(default)]
        gid: u32,
    },
    Sysv {
        id: i32,
        key: i32,
        size: u64,
        /// Permission bits, and SHM_DEST (01000) where it goes with its last attachment.
        mode: u32,
        uid: u32,
        gid: u32,
        /// Binary logarithm of the size of its huge pages; 0 for ordinary ones.
        #[serde(default)]
        huge: u32,
    },
}

impl SharedMemory {
    pub fn size(&self) -> u64 {
        match self {
            SharedMemory::Anonymous { size, .. }
            | SharedMemory::Memfd { size, .. }
            | SharedMemory::Sysv { size, .. } => *size,
        }
    }
}
