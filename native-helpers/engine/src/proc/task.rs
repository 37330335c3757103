//! What /proc and a few calls tell of a stopped thread or descriptor in one go: read by a second thread of ours while the first one
//! asks the threads what only they can answer.

use std::io;

use torpor_sys::ids::{self, SchedAttr};

use super::fdinfo::FdInfo;
use super::stat::Stat;
use super::status::Status;

/// Kinds of namespaces that unshare(2) and setns(2) change for the calling thread alone.
pub const NAMESPACES_OF_A_THREAD: [&str; 5] = ["net", "mnt", "uts", "ipc", "cgroup"];

/// Of one thread.
#[derive(Debug)]
pub struct TaskFacts {
    pub status: Status,
    pub stat: Stat,
    /// Text of the links in /proc/TID/ns, in the order of [`NAMESPACES_OF_A_THREAD`].
    pub namespaces: NamespaceLinks,
    /// Of /proc/PID/task/TID/cgroup; empty where it can't be read.
    pub cgroups: String,
    pub sched: SchedAttr,
    /// The kernel's bit mask in bytes.
    pub affinity: Vec<u8>,
    /// As ioprio_get(2) gives it, 0 where it does not.
    pub io_priority: u32,
    /// Head and length.
    pub robust_list: (u64, u64),
}

pub type NamespaceLinks = [Option<String>; NAMESPACES_OF_A_THREAD.len()];

impl TaskFacts {
    /// # Errors
    /// Of reading its files; ENOENT or ESRCH where it has ended.
    pub fn of(pid: i32, tid: i32) -> io::Result<TaskFacts> {
        Ok(TaskFacts {
            status: Status::of_thread(pid, tid)?,
            stat: Stat::of_thread(pid, tid)?,
            namespaces: namespaces(tid),
            cgroups: super::read(pid, &format!("task/{tid}/cgroup")).unwrap_or_default(),
            sched: ids::sched_attr(tid)?,
            affinity: ids::affinity(tid)?,
            io_priority: ids::io_priority(tid).unwrap_or(0),
            robust_list: ids::robust_list(tid)?,
        })
    }
}

/// What tells the namespaces of a thread from others (namespaces(7)).
pub fn namespaces(tid: i32) -> NamespaceLinks {
    NAMESPACES_OF_A_THREAD.map(|kind| super::link(tid, &format!("ns/{kind}")).ok())
}

/// Of one descriptor.
#[derive(Debug, Clone)]
pub struct DescriptorFacts {
    pub fd: i32,
    /// Text of the link in /proc/PID/fd.
    pub target: String,
    pub info: FdInfo,
}

impl DescriptorFacts {
    /// # Errors
    /// Of reading; ENOENT where there is no such descriptor.
    pub fn of(pid: i32, fd: i32) -> io::Result<DescriptorFacts> {
        Ok(DescriptorFacts { fd, target: super::link(pid, &format!("fd/{fd}"))?, info: FdInfo::of(pid, fd)? })
    }

    /// Of all descriptors of a process, by number.
    ///
    /// # Errors
    /// Of reading.
    pub fn all(pid: i32) -> io::Result<Vec<DescriptorFacts>> {
        super::numbers(pid, "fd")?.into_iter().map(|fd| DescriptorFacts::of(pid, fd)).collect()
    }
}
