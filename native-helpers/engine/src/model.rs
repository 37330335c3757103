//! The system state of a boot image: everything about a process tree that is not a page of memory.
//!
//! Serialised as CBOR with field names as keys (docs/image-format.md, "System state"). PIDs and TIDs are
//! those of the tree's own PID namespace. Fields added later carry `#[serde(default)]`, so that an older
//! image still decodes.

pub mod bpf;
pub mod cgroup;
pub mod keys;
pub mod mqueue;
pub mod pty;
pub mod socket;
pub mod sysv;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use self::cgroup::Cgroup;
use crate::vm_flags::VmFlags;

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

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Thread {
    pub tid: Pid,
    pub comm: String,
    pub regs: Registers,
    #[serde(with = "serde_bytes")]
    pub xstate: Vec<u8>,
    pub signal_mask: u64,
    pub pending: Vec<Siginfo>,
    pub alt_stack: (u64, i32, u64),
    pub clear_child_tid: u64,
    pub robust_list: (u64, u64),
    /// Address, size, signature, flags; address 0 for none.
    pub rseq: (u64, u32, u32, u32),
    pub sched: Sched,
    #[serde(with = "serde_bytes")]
    pub affinity: Vec<u8>,
    pub io_priority: u32,
    pub timer_slack_ns: u64,
    pub parent_death_signal: i32,
    pub credentials: Credentials,
    pub seccomp: Seccomp,
    #[serde(default)]
    pub switches: Switches,
    /// Where it has folders of its own (unshare(2), CLONE_FS).
    #[serde(default)]
    pub folders: Option<Folders>,
    /// set_mempolicy(2), where it is not the default.
    #[serde(default)]
    pub memory_policy: Option<MemoryPolicy>,
    /// Where it is in another control group than its process' first thread.
    #[serde(default)]
    pub cgroups: Vec<Cgroup>,
    #[serde(default)]
    pub keyrings: Option<keys::Keyrings>,
    /// personality(2), where it is another than that of its process.
    #[serde(default)]
    pub personality: Option<u32>,
    /// Its name, where that is no text.
    #[serde(default)]
    pub raw_name: Option<serde_bytes::ByteBuf>,
}

/// What path names are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    pub cwd: FileId,
    pub root: FileId,
    pub umask: u32,
}

/// What prctl(2) and arch_prctl(2) switch per thread; the defaults are a new thread's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// PR_MCE_KILL: whether an early (1) or late (0) policy of its own is set.
    pub memory_failure: Option<bool>,
    /// PR_SET_IO_FLUSHER.
    pub io_flusher: bool,
    /// PR_SET_TSC: reading the time stamp counter raises SIGSEGV.
    pub no_tsc: bool,
    /// ARCH_SET_CPUID: the CPUID instruction raises SIGSEGV.
    pub no_cpuid: bool,
    /// PR_SET_SPECULATION_CTRL: (which misfeature, PR_SPEC_* set for the thread).
    pub speculation: Vec<(u32, u32)>,
    /// PR_SET_SYSCALL_USER_DISPATCH: address of the selector, start and length of the code that is exempt.
    #[serde(default)]
    pub dispatch: Option<(u64, u64, u64)>,
}

/// The general registers (`struct user_regs_struct`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub fs_base: u64,
    pub gs_base: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sched {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    /// Utilization clamps (sched_setattr(2)), 0 to 1024, where they are not those of a new thread.
    #[serde(default)]
    pub clamps: Option<(u32, u32)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Real, effective, saved, file system.
    pub uids: [u32; 4],
    pub gids: [u32; 4],
    pub groups: Vec<u32>,
    pub cap_inheritable: u64,
    pub cap_permitted: u64,
    pub cap_effective: u64,
    pub cap_bounding: u64,
    pub cap_ambient: u64,
    pub securebits: u32,
    pub no_new_privs: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    #[default]
    None,
    Strict,
    /// Raw `sock_filter` programs with their flags, oldest first.
    Filter(Vec<SeccompFilter>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompFilter {
    pub flags: u64,
    #[serde(with = "serde_bytes")]
    pub program: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PosixTimer {
    pub id: i32,
    pub clock: i32,
    pub signal: i32,
    /// SIGEV_* with the thread bit.
    pub notify: i32,
    pub notify_tid: Pid,
    pub value: u64,
    pub interval_ns: u64,
    /// Until the next expiry; 0 is disarmed.
    pub remaining_ns: u64,
    pub overrun: i32,
}

impl PosixTimer {
    /// Whether it tells a thread of its process (SIGEV_THREAD_ID) that has ended.
    pub fn tells_ended_thread(&self, process: &Process) -> bool {
        self.notify & libc::SIGEV_THREAD_ID != 0
            && self.notify_tid != process.pid
            && !process.threads.iter().any(|t| t.tid == self.notify_tid)
    }
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    pub fd: i32,
    pub file: FileId,
    pub close_on_exec: bool,
}

/// An open file description (open(2)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// Status flags and access mode as /proc/PID/fdinfo tells, without O_CLOEXEC.
    pub flags: i32,
    pub position: u64,
    /// F_SETOWN, F_SETSIG: (F_OWNER_*, id, signal); zeroes for none.
    pub owner: (i32, i32, i32),
    pub kind: FileKind,
    /// Its path or the kernel's word for it, for people.
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// A file or directory that is there under its path.
    Path(PathFile),
    /// A regular file without a name: its bytes travel in the image.
    Unlinked {
        space: SpaceId,
        path: String,
        size: u64,
        mode: u32,
        uid: u32,
        gid: u32,
        tmpfile: bool,
        #[serde(default)]
        marks: FileMarks,
    },
    /// A directory without a name.
    UnlinkedDirectory {
        path: String,
        mode: u32,
        uid: u32,
        gid: u32,
        /// Tells descriptions of the same one.
        #[serde(default)]
        inode: (u64, u64),
    },
    /// One end of an anonymous pipe.
    Pipe {
        pipe: u64,
        write: bool,
        data: PipeData,
        /// User and group of the pipe, who may open it again through /proc (proc(5), fd).
        #[serde(default)]
        owner: Option<(u32, u32)>,
    },
    /// A FIFO of the file system.
    Fifo {
        file: PathFile,
        data: PipeData,
    },
    Eventfd {
        count: u64,
        semaphore: bool,
    },
    Epoll {
        targets: Vec<EpollTarget>,
    },
    Timerfd {
        clock: i32,
        ticks: u64,
        settime_flags: u32,
        interval_ns: u64,
        remaining_ns: u64,
    },
    Signalfd {
        mask: u64,
    },
    Inotify {
        watches: Vec<InotifyWatch>,
        #[serde(with = "serde_bytes")]
        queued: Vec<u8>,
    },
    Pidfd {
        /// -1 for a process that has ended and was waited for.
        pid: Pid,
        /// How that one ended, as `wait` would tell it.
        #[serde(default)]
        exit_status: i32,
        /// Tells descriptions of the same ended process.
        #[serde(default)]
        inode: u64,
    },
    Fanotify {
        /// FAN_CLASS_* …, and the flags of the descriptors that come with events (fanotify_init(2)).
        flags: u32,
        event_flags: u32,
        marks: Vec<FanotifyMark>,
    },
    SharedMemory {
        space: SpaceId,
    },
    /// The slave side of the capsule's own terminal.
    CapsuleTerminal,
    /// A side of a pseudo-terminal that the tree has made.
    Pty(Box<pty::Pty>),
    /// A socket of any family.
    Socket(Box<socket::Socket>),
    /// A POSIX message queue.
    MessageQueue(Box<mqueue::MessageQueue>),
    /// A map of the kernel's eBPF machine.
    BpfMap(Box<bpf::BpfMap>),
    /// A UTS namespace of the tree's own (uts_namespaces(7)), which processes are put into.
    UtsNamespace {
        host: String,
        domain: String,
    },
    /// Another namespace of the tree's own (namespaces(7)).
    Namespace(Namespace),
    /// An open file of one of these (namespaces(7), /proc/PID/ns).
    NamespaceFile {
        namespace: FileId,
    },
    /// A descriptor that the restoring side supplies by name.
    External {
        key: String,
    },
    /// Any kind that a module of its own describes.
    Other {
        kind: String,
        #[serde(with = "serde_bytes")]
        state: Vec<u8>,
    },
}

/// What it takes to make a namespace anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespace {
    /// With no device but the loopback one (network_namespaces(7)).
    Network {
        loopback_up: bool,
        /// Files below /proc/sys/net that say something else than in a new one, in the order of writing.
        #[serde(default)]
        settings: Vec<(String, String)>,
    },
    /// Without SysV objects and POSIX message queues (ipc_namespaces(7)).
    Ipc,
    /// Which group of each hierarchy is its root (cgroup_namespaces(7)).
    Cgroup {
        roots: Vec<Cgroup>,
    },
    User(UserNamespace),
}

/// What makes up a user namespace (user_namespaces(7)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// The user that made it, as the restoring side sees users.
    pub owner: u32,
    /// (first id in it, first id in the one above, how many).
    pub uids: Vec<(u32, u32, u32)>,
    pub gids: Vec<(u32, u32, u32)>,
    /// Nobody in it may call setgroups(2).
    pub setgroups_denied: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathFile {
    pub path: String,
    /// S_IFMT and permission bits.
    pub mode: u32,
    pub dev: u64,
    pub ino: u64,
    pub size: u64,
    pub mtime_ns: i64,
    /// Set where `path` does not lead to it any more, but another name does that could not be found.
    #[serde(default)]
    pub handle: Option<FileHandle>,
    /// The name that it was opened by, where that is gone and others are left.
    #[serde(default)]
    pub opened_as: Option<String>,
    /// Set where it has no name at all: what it takes to make one like it.
    #[serde(default)]
    pub removed: Option<RemovedNode>,
    /// Of a console.
    #[serde(default)]
    pub settings: Option<pty::Settings>,
}

impl PathFile {
    /// A file as stat(2) tells of it.
    pub fn of(path: &str, stat: &rustix::fs::Stat) -> PathFile {
        PathFile {
            path: path.to_owned(),
            mode: stat.st_mode,
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size as u64,
            mtime_ns: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
            handle: None,
            opened_as: None,
            removed: None,
            settings: None,
        }
    }
}

/// What name_to_handle_at(2) says of an inode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHandle {
    pub kind: i32,
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// A file without contents of its own (FIFO, device, symbolic link, socket) whose name is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedNode {
    pub device: u64,
    pub uid: u32,
    pub gid: u32,
    /// Where a symbolic link leads.
    pub link: String,
}

/// Times (access, modification; nanoseconds since 1970) and extended attributes of an unlinked file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMarks {
    pub times: Option<(i64, i64)>,
    pub attributes: Vec<(String, serde_bytes::ByteBuf)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeData {
    pub capacity: u32,
    /// The packets are such (pipe2(2), O_DIRECT), also where there is but one.
    #[serde(default)]
    pub packet_mode: bool,
    /// The read end of a FIFO whose writers are gone, as poll(2) tells it.
    #[serde(default)]
    pub hung_up: bool,
    /// What was in it, in order; in packet mode one entry a packet.
    pub packets: Vec<serde_bytes::ByteBuf>,
    /// Permission bits of a pipe without a name; a FIFO's are the file system's.
    #[serde(default)]
    pub mode: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpollTarget {
    /// The number it was registered under.
    pub fd: i32,
    pub events: u32,
    pub data: u64,
    /// The description it watches; `None` where it is not among the captured ones.
    pub file: Option<FileId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InotifyWatch {
    pub wd: i32,
    pub mask: u32,
    pub path: String,
    /// The open file that it looks at, where that has no name.
    #[serde(default)]
    pub file: Option<FileId>,
}

/// A mark of fanotify_mark(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanotifyMark {
    /// FAN_MARK_INODE, _MOUNT or _FILESYSTEM, with the flags that a mark keeps.
    pub flags: u32,
    pub mask: u64,
    pub ignored: u64,
    pub path: String,
    /// The open file that it looks at, where that has no name.
    #[serde(default)]
    pub file: Option<FileId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLock {
    pub file: FileId,
    pub fd: i32,
    /// "flock", "posix", "ofd", "lease".
    pub kind: String,
    pub exclusive: bool,
    pub start: u64,
    /// 0 is to the end of the file.
    pub len: u64,
    /// A lease that somebody else's open is breaking.
    #[serde(default)]
    pub breaking: Option<LeaseBreak>,
}

/// What a lease is being broken to: the holder has been told, and has not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseBreak {
    /// Somebody wants to read.
    ToRead,
    /// Somebody wants to write.
    ToNone,
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
