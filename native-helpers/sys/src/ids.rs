//! Per-thread attributes that can be read from outside: scheduling, affinity, I/O priority, limits,
//! robust list.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::check;

/// `struct sched_attr` of sched_getattr(2).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    pub util_min: u32,
    pub util_max: u32,
}

/// sched_getattr(2).
pub fn sched_attr(tid: i32) -> io::Result<SchedAttr> {
    let mut attr = SchedAttr::default();
    // SAFETY: `attr` is writable for the size that is passed.
    check(unsafe {
        libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attr, size_of::<SchedAttr>() as u32, 0)
    })?;
    Ok(attr)
}

/// The calling thread among the real-time ones, at the lowest priority, as long as this lives. What it starts meanwhile
/// is not, and has no better nice value than the ordinary one.
#[derive(Debug)]
pub struct RealTime {
    before: SchedAttr,
}

impl RealTime {
    /// # Errors
    /// EPERM without the right to, or where the control group has no share of such time.
    pub fn begin() -> io::Result<RealTime> {
        let before = sched_attr(0)?;
        if before.policy != libc::SCHED_OTHER as u32 && before.policy != libc::SCHED_BATCH as u32 {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
        set_policy(policy, 1)?;
        Ok(RealTime { before })
    }
}

impl Drop for RealTime {
    fn drop(&mut self) {
        const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
        let reset = self.before.flags & SCHED_FLAG_RESET_ON_FORK != 0;
        let policy = self.before.policy as i32;
        let flag = if reset { libc::SCHED_RESET_ON_FORK } else { 0 };
        if set_policy(policy | flag, 0).is_err() {
            // Without privileges the flag can't be taken back.
            let _ = set_policy(policy | libc::SCHED_RESET_ON_FORK, 0);
        }
    }
}

fn set_policy(policy: i32, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: `parameters` outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) }).map(drop)
}

/// The CPUs that a thread may run on, as the kernel's bit mask in bytes.
pub fn affinity(tid: i32) -> io::Result<Vec<u8>> {
    let mut mask = vec![0u8; 1024];
    // SAFETY: `mask` is writable for its length.
    let n = check(unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, mask.len(), mask.as_mut_ptr()) })?;
    mask.truncate(n as usize);
    Ok(mask)
}

/// ioprio_get(2) of one thread: class in bits 13 to 15, level in bits 0 to 12.
pub fn io_priority(tid: i32) -> io::Result<u32> {
    // SAFETY: no pointers are passed.
    Ok(check(unsafe { libc::syscall(libc::SYS_ioprio_get, 1, tid) })? as u32)
}

/// prlimit(2), reading only: (soft, hard), `u64::MAX` for no limit.
pub fn limit(pid: i32, resource: u32) -> io::Result<(u64, u64)> {
    let mut old = [0u64; 2];
    // SAFETY: `old` is a struct rlimit64 (two u64) and outlives the call.
    check(unsafe {
        libc::syscall(libc::SYS_prlimit64, pid, resource, std::ptr::null::<u64>(), old.as_mut_ptr())
    })?;
    Ok((old[0], old[1]))
}

/// Sets a limit of this process.
pub fn set_own_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let new = [soft, hard];
    // SAFETY: `new` is a struct rlimit64 (two u64) and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new.as_ptr(), std::ptr::null::<u64>()) })
        .map(drop)
}

/// get_robust_list(2): head and length.
pub fn robust_list(tid: i32) -> io::Result<(u64, u64)> {
    let (mut head, mut len) = (0u64, 0u64);
    // SAFETY: both words are writable and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut len) })?;
    Ok((head, len))
}

/// A clock in nanoseconds.
pub fn clock_ns(clock: i32) -> i64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is writable; an unknown clock leaves it zero.
    unsafe { libc::clock_gettime(clock, &raw mut ts) };
    ts.tv_sec * 1_000_000_000 + ts.tv_nsec
}

/// Moves this process into a UTS namespace of its own and gives that its names; allocates nothing.
pub fn own_uts_namespace(host: &[u8], domain: &[u8]) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::unshare(libc::CLONE_NEWUTS) }.into())?;
    // SAFETY: `host` is readable for its length.
    check(unsafe { libc::sethostname(host.as_ptr().cast(), host.len()) }.into())?;
    // SAFETY: `domain` is readable for its length.
    check(unsafe { libc::setdomainname(domain.as_ptr().cast(), domain.len()) }.into()).map(drop)
}

/// unshare(2): the calling thread goes on in new namespaces, CLONE_NEW* by kind.
///
/// # Errors
/// EPERM without the right to.
pub fn leave_namespaces(kinds: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::unshare(kinds) }.into()).map(drop)
}

/// setns(2): the calling thread goes on in a namespace of the kind CLONE_NEW*.
///
/// # Errors
/// EPERM without the right to, EINVAL for a namespace of another kind.
pub fn enter_namespace(namespace: BorrowedFd<'_>, kind: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::setns(namespace.as_raw_fd(), kind) }.into()).map(drop)
}

/// ioprio_set(2) of the calling thread, and of the threads that it makes from then on.
///
/// # Errors
/// EPERM for a class that the caller may not have, EINVAL for what is none.
pub fn set_io_priority(priority: u32) -> io::Result<()> {
    // SAFETY: no pointers are passed. 1 is IOPRIO_WHO_PROCESS, 0 the caller.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, priority) }).map(drop)
}
