//! The system state of a boot image: everything about a process tree that is not a page of memory.
//!
//! Serialised as CBOR with field names as keys (docs/image-format.md, "System state"). PIDs and TIDs are
//! those of the tree's own PID namespace. Fields added later carry `#[serde(default)]`, so that an older
//! image still decodes.

pub mod bpf;
pub mod cgroup;
mod file;
pub mod keys;
mod memory;
pub mod mqueue;
pub mod pty;
pub mod socket;
pub mod sysv;
mod thread;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use self::cgroup::Cgroup;
pub use self::file::*;
pub use self::memory::*;
pub use self::thread::*;

pub type Pid = i32;
/// Index into [`SystemState::files`].
pub type FileId = u32;
/// Index into [`SystemState::spaces`]: what the page index of the image calls a space.
pub type SpaceId = u32;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SystemState {
    pub origin: Origin,
    /// Free words of whoever asked for the image (application, trigger, label …).
    pub meta: BTreeMap<String, String>,
    /// Parents before their children; the first is the root.
    pub processes: Vec<Process>,
    /// Open file descriptions; several descriptors, also of several processes, may name one.
    pub files: Vec<OpenFile>,
    /// What has pages in the image: address spaces, shared memory objects, contents of unlinked files.
    pub spaces: Vec<Space>,
    /// The capsule's terminal, where the tree has one.
    #[serde(default)]
    pub terminal: Option<Terminal>,
    /// What was on the capsule's own temporary file systems.
    #[serde(default)]
    pub scratch: Option<Scratch>,
    /// `WIDTHxHEIGHT` of the capsule's private display, whose server is one of the processes.
    #[serde(default)]
    pub display: Option<String>,
    /// What that display showed right before the tree was stopped; `None` also where it could not be had.
    #[serde(default)]
    pub picture: Option<Picture>,
    #[serde(default)]
    pub sysv: sysv::SysvIpc,
    #[serde(default)]
    pub keys: Vec<keys::Key>,
    /// The control groups of the tree, parents before their children, to make again those that are gone.
    #[serde(default)]
    pub cgroups: Vec<cgroup::CgroupFolder>,
    /// Which user namespace of the tree's own a namespace belongs to, or is made in where it is one itself.
    #[serde(default)]
    pub namespace_owners: BTreeMap<FileId, FileId>,
    /// Locks of open file descriptions that no process has: they are in messages of sockets.
    #[serde(default)]
    pub flight_locks: Vec<FileLock>,
}

/// Longest [`Picture::png`], in bytes.
pub const MAX_PICTURE_LEN: usize = 4 << 20;

/// A picture of a screen, for people to tell images apart by. A restore does not look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// In pixels; a large screen is shown smaller.
    pub width: u32,
    pub height: u32,
    /// A PNG file of 8-bit RGB, at most [`MAX_PICTURE_LEN`] bytes.
    #[serde(with = "serde_bytes")]
    pub png: Vec<u8>,
}

/// The machine and the moment of the capture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Origin {
    pub kernel: String,
    pub arch: String,
    pub hostname: String,
    pub boot_id: String,
    /// Nanoseconds since 1970.
    pub realtime_ns: i64,
    /// CLOCK_MONOTONIC and CLOCK_BOOTTIME as the tree saw them.
    pub monotonic_ns: i64,
    pub boottime_ns: i64,
    /// Size of the XSAVE area, to tell a processor with other features.
    pub xstate_len: u32,
    pub page_size: u32,
    /// The kernel's vDSO; not there where it has none, and in images of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vdso: Option<ByteBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    pub pid: Pid,
    /// 0 where the parent is not part of the tree.
    pub ppid: Pid,
    pub pgid: Pid,
    pub sid: Pid,
    /// Set for a zombie, as `wait` would report it; nothing else of it but `comm` and `ended_ids` is meaningful
    /// then.
    pub exit_status: Option<i32>,
    /// Real, effective, saved and file-system ids of a zombie: users, groups. The parent's wait tells the first.
    #[serde(default)]
    pub ended_ids: Option<([u32; 4], [u32; 4])>,
    /// The signal that the parent gets when this process ends.
    pub exit_signal: i32,
    /// Stopped by a signal (SIGSTOP, SIGTSTP …).
    pub stopped: Option<i32>,
    /// Its parent has taken note of the stop by a wait already.
    #[serde(default)]
    pub stop_reported: bool,
    /// It was continued (SIGCONT), and its parent could still wait for that (WCONTINUED).
    #[serde(default)]
    pub continued: bool,
    pub comm: String,
    /// Index of the process whose descriptor table this one shares (CLONE_FILES), else its own.
    pub files_owner: Pid,
    pub fs_owner: Pid,
    pub sighand_owner: Pid,
    /// Process whose address space this one uses (CLONE_VM), else its own PID.
    pub mm_owner: Pid,
    pub mm: Option<AddressSpace>,
    /// The leader first, when it has not ended.
    pub threads: Vec<Thread>,
    /// Exit status of a leader that has ended before its other threads, as `wait` would tell it.
    #[serde(default)]
    pub leader_exit: Option<i32>,
    pub fds: Vec<Descriptor>,
    pub cwd: Option<FileId>,
    pub root: Option<FileId>,
    pub umask: u32,
    /// 64 entries, for signals 1 to 64.
    pub actions: Vec<SignalAction>,
    /// Signals queued to the process as a whole, raw siginfo, oldest first.
    pub pending: Vec<Siginfo>,
    /// ITIMER_REAL, _VIRTUAL, _PROF as (interval ns, remaining ns).
    pub itimers: Vec<(u64, u64)>,
    pub posix_timers: Vec<PosixTimer>,
    /// (soft, hard) by resource number; `u64::MAX` is no limit.
    pub limits: Vec<(u64, u64)>,
    pub oom_score_adj: i32,
    pub personality: u32,
    pub subreaper: bool,
    pub dumpable: u32,
    pub thp_disabled: bool,
    #[serde(default)]
    pub coredump_filter: Option<u32>,
    #[serde(default)]
    pub locks: Vec<FileLock>,
    #[serde(default)]
    pub sem_undo: Vec<SemUndo>,
    /// Namespaces of its own that differ from the root's parent's: kind to inode-like key.
    #[serde(default)]
    pub namespaces: BTreeMap<String, u32>,
    /// The UTS namespace that it is in, where it is not the restoring side's.
    #[serde(default)]
    pub uts: Option<FileId>,
    /// The other namespaces that it is in, where they are not the restoring side's.
    #[serde(default)]
    pub own_namespaces: Vec<FileId>,
    /// Its control group in each hierarchy, where it is none of a capsule's.
    #[serde(default)]
    pub cgroups: Vec<Cgroup>,
    /// The user that logged in (/proc/PID/loginuid), where one did.
    #[serde(default)]
    pub login_uid: Option<u32>,
    /// The nice value of its session's autogroup (sched(7)).
    #[serde(default)]
    pub autogroup_nice: i32,
    /// membarrier(2) commands that it registered for, by MEMBARRIER_CMD_REGISTER_* bit.
    #[serde(default)]
    pub membarrier: u32,
}

impl Process {
    /// A thread that has not ended: where /proc shows memory and descriptors.
    pub fn task(&self) -> Pid {
        self.threads.first().map_or(self.pid, |t| t.tid)
    }
}

/// A raw `siginfo_t`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Siginfo(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl Siginfo {
    pub fn signal(&self) -> i32 {
        self.0.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalAction {
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: u64,
}

/// What is added to a SysV semaphore when the process ends (SEM_UNDO, semop(2)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SemUndo {
    /// The set, and the number of the semaphore in it.
    pub id: i32,
    pub number: u16,
    pub adjust: i16,
}

/// Files that live only as long as a capsule does (`/tmp`, `/dev/shm`): names and attributes in the capsule's
/// own encoding, contents as spaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scratch {
    #[serde(with = "serde_bytes")]
    pub entries: Vec<u8>,
    /// Number of the entry, and the space that holds its contents.
    pub contents: Vec<(u32, SpaceId)>,
}

/// The capsule's terminal: what init needs to make it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    pub columns: u16,
    pub rows: u16,
    #[serde(with = "serde_bytes")]
    pub termios: Vec<u8>,
    /// The terminal state machine of init, in its own encoding.
    #[serde(with = "serde_bytes")]
    pub screen: Vec<u8>,
    pub session: Pid,
    pub foreground: Pid,
}
