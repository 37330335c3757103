//! Questions to the kernel whether it can do something. Each is a real try that leaves nothing behind;
//! what would change this process is tried by a throw-away child.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use crate::check;
use crate::clone::{self, Forked};
use crate::ptrace::{self, Wait};

const UFFD_API: u64 = 0xaa;
/// `_IOWR(0xaa, 0x3f, struct uffdio_api)`.
const UFFDIO_API: u64 = 0xc018_aa3f;
const PR_GET_TID_ADDRESS: i32 = 40;
const PR_SET_MM_MAP_SIZE: u64 = 15;
/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u64 = 0xc060_6610;

pub const UFFD_FEATURE_MISSING_SHMEM: u64 = 1 << 5;
pub const UFFD_FEATURE_WP_ASYNC: u64 = 1 << 15;

/// A child that only waits; killed and reaped on drop.
#[derive(Debug)]
struct Child(i32);

impl Child {
    fn waiting() -> io::Result<Child> {
        // SAFETY: the child makes system calls only.
        match unsafe { clone::fork_with_tid(0) }? {
            Forked::Parent(pid) => Ok(Child(pid)),
            Forked::Child => {
                // SAFETY: no pointers; it ends with its parent.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                loop {
                    // SAFETY: pause has no preconditions.
                    unsafe { libc::pause() };
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = clone::kill(self.0, libc::SIGKILL);
        let _ = reap(self.0);
    }
}

fn reap(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        match check(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } as libc::c_long) {
            Ok(_) => return Ok(status),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Runs `attempt` in a child, which only may make system calls; its errno becomes ours.
fn in_child(tid: i32, attempt: fn() -> i32) -> io::Result<()> {
    // SAFETY: the child makes the system call of `attempt` and exits.
    match unsafe { clone::fork_with_tid(tid) }? {
        Forked::Child => clone::exit_now(attempt()),
        Forked::Parent(pid) => match libc::WEXITSTATUS(reap(pid)?) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        },
    }
}

/// What the kernel lets us do with a process of ours.
#[derive(Debug)]
pub struct Tracing {
    pub seize: io::Result<()>,
    pub read_memory: io::Result<()>,
    pub take_descriptor: io::Result<()>,
    pub compare: io::Result<()>,
    pub rseq: io::Result<()>,
    pub seccomp_filters: io::Result<()>,
}

/// Stops, reads and lets go of a child.
///
/// # Errors
/// Where not even a child can be made.
pub fn tracing() -> io::Result<Tracing> {
    let child = Child::waiting()?;
    let pid = child.0;
    let word = 7u64;
    let mut copy = [0u8; 8];
    // A fork has our memory at our addresses.
    let read_memory = crate::memory::read(pid, &raw const word as u64, &mut copy);
    let take_descriptor =
        crate::fd::pidfd_open(pid, 0).and_then(|p| crate::fd::pidfd_getfd(p.as_fd(), 2)).map(drop);
    // SAFETY: no pointers are passed.
    let own = unsafe { libc::getpid() };
    let compare = crate::memory::kcmp(own, pid, crate::memory::Kcmp::Vm, 0, 0).map(drop);
    let seize = ptrace::seize(pid, 0).and_then(|()| ptrace::interrupt(pid)).and_then(|()| {
        loop {
            match ptrace::wait(pid)? {
                Wait::Event { event: ptrace::EVENT_STOP, .. } => return Ok(()),
                Wait::Exited(_) | Wait::Killed(_) => return Err(io::ErrorKind::Other.into()),
                _ => ptrace::cont(pid, 0)?,
            }
        }
    });
    let untried = || io::Error::from_raw_os_error(libc::EPERM);
    let (rseq, seccomp_filters) = match &seize {
        Err(_) => (Err(untried()), Err(untried())),
        Ok(()) => (ptrace::rseq_configuration(pid).map(drop), filters(pid)),
    };
    Ok(Tracing { seize, read_memory, take_descriptor, compare, rseq, seccomp_filters })
}

/// EINVAL only says that the child has none.
fn filters(pid: i32) -> io::Result<()> {
    match ptrace::seccomp_filter(pid, 0) {
        Err(e) if e.raw_os_error() != Some(libc::EINVAL) => Err(e),
        _ => Ok(()),
    }
}

/// The features of userfaultfd(2).
pub fn userfaultfd() -> io::Result<u64> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just given us this descriptor.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // struct uffdio_api: api, features, ioctls
    let mut api = [UFFD_API, 0, 0];
    crate::fd::ioctl_struct(fd.as_fd(), UFFDIO_API, &mut api)?;
    Ok(api[1])
}

/// PAGEMAP_SCAN of an empty range.
pub fn pagemap_scan() -> io::Result<()> {
    let pagemap = std::fs::File::open("/proc/self/pagemap")?;
    // struct pm_scan_arg: only its size is not zero; a kernel that knows the request finds nothing.
    let mut arguments = [0u64; 12];
    arguments[0] = 96;
    crate::fd::ioctl_struct(pagemap.as_fd(), PAGEMAP_SCAN, &mut arguments).map(drop)
}

/// A child with a PID of our choice.
pub fn chosen_pid() -> io::Result<()> {
    let max: i32 = std::fs::read_to_string("/proc/sys/kernel/pid_max")?.trim().parse().unwrap_or(32_768);
    // The highest numbers are the least likely to be in use.
    let mut last = io::Error::from_raw_os_error(libc::EEXIST);
    for pid in (max / 2..max).rev().take(16) {
        match in_child(pid, || 0) {
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => last = e,
            result => return result,
        }
    }
    Err(last)
}

fn unshare(flags: i32) -> i32 {
    // SAFETY: called in a child of one thread that exits next.
    match check(unsafe { libc::unshare(flags) } as libc::c_long) {
        Ok(_) => 0,
        Err(e) => e.raw_os_error().unwrap_or(libc::EIO),
    }
}

pub fn pid_namespace() -> io::Result<()> {
    in_child(0, || unshare(libc::CLONE_NEWPID))
}

pub fn mount_namespace() -> io::Result<()> {
    in_child(0, || unshare(libc::CLONE_NEWNS))
}

pub fn ipc_namespace() -> io::Result<()> {
    in_child(0, || unshare(libc::CLONE_NEWIPC))
}

pub fn time_namespace() -> io::Result<()> {
    const CLONE_NEWTIME: i32 = 0x80;
    in_child(0, || unshare(CLONE_NEWTIME))
}

/// prctl(PR_GET_TID_ADDRESS), which only a kernel with CONFIG_CHECKPOINT_RESTORE answers.
pub fn tid_address() -> io::Result<()> {
    let mut address = 0u64;
    // SAFETY: the kernel writes one pointer to `address`.
    check(unsafe { libc::prctl(PR_GET_TID_ADDRESS, &raw mut address, 0, 0, 0) } as libc::c_long).map(drop)
}

/// prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE), the harmless sibling of PR_SET_MM_MAP.
pub fn mm_map() -> io::Result<()> {
    let mut size = 0u32;
    // SAFETY: the kernel writes one u32 to `size`.
    check(unsafe { libc::prctl(libc::PR_SET_MM, PR_SET_MM_MAP_SIZE, &raw mut size, 0, 0) } as libc::c_long)
        .map(drop)
}

/// An io_uring of one entry.
pub fn io_uring() -> io::Result<()> {
    // struct io_uring_params
    let mut parameters = [0u32; 30];
    // SAFETY: the kernel reads and writes the 120 bytes of `parameters`.
    let fd = check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) })?;
    // SAFETY: the kernel has just given us this descriptor.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_leave_no_child_behind() {
        let _alone = crate::tests::alone();
        let _ = tracing();
        let _ = chosen_pid();
        let _ = time_namespace();
        // SAFETY: no pointer is passed; ECHILD says that there is none.
        let left =
            check(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) }
                as libc::c_long);
        assert_eq!(left.unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }

    #[test]
    fn a_failure_of_the_child_is_ours() {
        let _alone = crate::tests::alone();
        let error = in_child(0, || libc::ENOTTY).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
