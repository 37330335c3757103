//! Making processes: clone3(2) with chosen thread ids.

use std::io;

use crate::check;

/// `struct clone_args` of clone3(2).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneArgs {
    pub flags: u64,
    pub pidfd: u64,
    pub child_tid: u64,
    pub parent_tid: u64,
    pub exit_signal: u64,
    pub stack: u64,
    pub stack_size: u64,
    pub tls: u64,
    pub set_tid: u64,
    pub set_tid_size: u64,
    pub cgroup: u64,
}

/// What [`fork_with_tid`] returned in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    Parent(i32),
    Child,
}

/// CLONE_CLEAR_SIGHAND (clone3(2)): the child has no handler of ours.
const CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// Forks this process with the chosen PID in the caller's PID namespace (0: any), its signal handlers reset.
///
/// # Safety
/// As fork(2): in the child only async-signal-safe work may be done when the caller has several threads.
pub unsafe fn fork_with_tid(tid: i32) -> io::Result<Forked> {
    // SAFETY: the caller vouches for the child.
    unsafe { fork(tid, CLEAR_SIGHAND) }
}

/// As [`fork_with_tid`], but the child uses this process' descriptor table: what it opens or connects is
/// open or connected here.
///
/// # Safety
/// As [`fork_with_tid`].
pub unsafe fn fork_sharing_descriptors(tid: i32) -> io::Result<Forked> {
    // SAFETY: the caller vouches for the child.
    unsafe { fork(tid, libc::CLONE_FILES as u64) }
}

/// clone3(2) without CLONE_VM, with a chosen PID (0: any).
///
/// # Safety
/// As [`fork_with_tid`].
unsafe fn fork(tid: i32, flags: u64) -> io::Result<Forked> {
    let set_tid = [tid];
    let mut args = CloneArgs { flags, exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    if tid != 0 {
        args.set_tid = set_tid.as_ptr() as u64;
        args.set_tid_size = 1;
    }
    // SAFETY: `args` is complete and outlives the call; without CLONE_VM the child has its own memory.
    let ret = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) })?;
    Ok(if ret == 0 { Forked::Child } else { Forked::Parent(ret as i32) })
}

/// fork(2) by way of the C library, so that the child may start threads.
///
/// # Safety
/// As [`fork_with_tid`].
pub unsafe fn fork_whole() -> io::Result<Forked> {
    // SAFETY: the caller vouches for the child.
    let pid = check(unsafe { libc::fork() } as libc::c_long)?;
    Ok(if pid == 0 { Forked::Child } else { Forked::Parent(pid as i32) })
}

/// kill(2) with a raw PID; signal 0 only asks whether the process exists.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::kill(pid, signal) } as libc::c_long).map(drop)
}

/// tgkill(2).
pub fn tgkill(pid: i32, tid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) }).map(drop)
}

/// Ends this process at once, without running destructors.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit never returns.
    unsafe { libc::_exit(status) }
}
