//! Open files, the descriptors that lead to them, and what is held through these.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Cgroup, FileId, Pid, SpaceId, bpf, mqueue, pty, socket};

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
    pub packets: Vec<ByteBuf>,
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
