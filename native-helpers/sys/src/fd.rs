//! Descriptors and files that rustix does not wrap: pidfd_getfd, ioctls with plain integers or buffers,
//! F_* fcntl commands, open_by_handle_at.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::check;

/// pidfd_open(2).
pub fn pidfd_open(pid: i32, flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A pidfd for a thread, or for its process where the kernel knows no other (before Linux 6.9).
pub fn pidfd_open_task(tid: i32) -> io::Result<OwnedFd> {
    const PIDFD_THREAD: u32 = libc::O_EXCL as u32;
    pidfd_open(tid, PIDFD_THREAD).or_else(|_| pidfd_open(tid, 0))
}

/// pidfd_getfd(2): a duplicate, in this process, of descriptor `fd` of the process behind `pidfd`.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// ioctl(2) with an integer argument.
pub fn ioctl_int(fd: BorrowedFd<'_>, request: u64, arg: u64) -> io::Result<i64> {
    // SAFETY: callers use this only for requests whose argument is no pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, arg) } as libc::c_long)
}

/// ioctl(2) that reads or writes a structure of the size of `T`.
pub fn ioctl_struct<T: Copy>(fd: BorrowedFd<'_>, request: u64, arg: &mut T) -> io::Result<i64> {
    // SAFETY: `arg` is valid for reads and writes of its whole size; callers pair request and type.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, arg as *mut T) } as libc::c_long)
}

/// fcntl(2) with an integer argument.
pub fn fcntl_int(fd: BorrowedFd<'_>, command: i32, arg: i64) -> io::Result<i64> {
    // SAFETY: callers use this only for commands whose argument is no pointer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, arg) } as libc::c_long)
}

/// fcntl(2) that reads or writes a structure.
pub fn fcntl_struct<T: Copy>(fd: BorrowedFd<'_>, command: i32, arg: &mut T) -> io::Result<i64> {
    // SAFETY: `arg` is valid for reads and writes of its whole size; callers pair command and type.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, arg as *mut T) } as libc::c_long)
}

/// getsockopt(2) into a buffer; returns the bytes that the kernel filled.
pub fn getsockopt(fd: BorrowedFd<'_>, level: i32, name: i32, len: usize) -> io::Result<Vec<u8>> {
    let mut value = vec![0u8; len];
    let mut size = len as libc::socklen_t;
    // SAFETY: `value` is writable for `size` bytes.
    let ret =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut size) };
    check(libc::c_long::from(ret))?;
    value.truncate(size as usize);
    Ok(value)
}

/// setsockopt(2) from a buffer.
pub fn setsockopt(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: `value` is readable for its length.
    check(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), value.len() as libc::socklen_t)
    } as libc::c_long)
    .map(drop)
}

/// What the page cache has of a range of a file, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached {
    pub there: u64,
    /// Were there once; of shared memory: are in swap.
    pub evicted: u64,
}

/// cachestat(2), Linux 6.5.
///
/// # Errors
/// ENOSYS from an older kernel, EPERM where the caller could not write the file, EOPNOTSUPP for huge pages.
pub fn cached(fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<Cached> {
    const SYS_CACHESTAT: libc::c_long = 451;
    let range = [offset, len];
    // struct cachestat: pages in the cache, dirty, under writeback, evicted, recently evicted.
    let mut found = [0u64; 5];
    // SAFETY: both structures have the kernel's layout and outlive the call.
    check(unsafe { libc::syscall(SYS_CACHESTAT, fd.as_raw_fd(), range.as_ptr(), found.as_mut_ptr(), 0) })?;
    Ok(Cached { there: found[0], evicted: found[3] })
}

/// Whether the page cache holds all of a range of a file. Also false where the kernel doesn't know or doesn't tell.
pub fn is_cached(fd: BorrowedFd<'_>, offset: u64, len: u64) -> bool {
    let pages = (offset + len).div_ceil(4096) - offset / 4096;
    cached(fd, offset, len).is_ok_and(|found| found.there >= pages)
}

/// open_by_handle_at(2): opens the file behind a handle as `/proc/PID/fdinfo` prints it for inotify, in the file
/// system that is mounted at `mount`.
///
/// The call takes no descriptor of O_PATH, and whoever watches the folder hears of it when it is really opened: so it
/// becomes the working directory, of a thread that has one of its own.
///
/// # Errors
/// Where the folder can't be entered, or the handle leads to nothing there.
pub fn open_by_handle(mount: &CStr, handle_type: i32, handle: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let open = || {
        // SAFETY: no pointers are passed; only this thread's folders are meant from here on.
        check(unsafe { libc::unshare(libc::CLONE_FS) } as libc::c_long)?;
        // SAFETY: `mount` is a string that outlives the call.
        check(unsafe { libc::chdir(mount.as_ptr()) } as libc::c_long)?;
        open_by_handle_here(handle_type, handle, flags)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, open)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("looking for a file by its handle")))
    })
}

fn open_by_handle_here(handle_type: i32, handle: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let mut raw = Vec::with_capacity(8 + handle.len());
    raw.extend_from_slice(&(handle.len() as u32).to_ne_bytes());
    raw.extend_from_slice(&handle_type.to_ne_bytes());
    raw.extend_from_slice(handle);
    // SAFETY: `raw` is a complete struct file_handle and outlives the call.
    let fd =
        check(unsafe { libc::syscall(libc::SYS_open_by_handle_at, libc::AT_FDCWD, raw.as_ptr(), flags) })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// name_to_handle_at(2) of an open file: type and bytes of its handle.
pub fn handle_of(fd: BorrowedFd<'_>) -> io::Result<(i32, Vec<u8>)> {
    const ROOM: usize = 128;
    let mut raw = [0u32; 2 + ROOM / 4];
    raw[0] = ROOM as u32;
    let mut mount = 0i32;
    // SAFETY: `raw` is a struct file_handle with room for as many bytes as it says, `mount` an int.
    check(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            fd.as_raw_fd(),
            c"".as_ptr(),
            raw.as_mut_ptr(),
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    })?;
    let bytes = raw[2..].iter().flat_map(|w| w.to_ne_bytes()).take(raw[0] as usize).collect();
    Ok((raw[1] as i32, bytes))
}

/// fanotify_init(2).
pub fn fanotify_init(flags: u32, event_flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_fanotify_init, flags, event_flags) })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// fanotify_mark(2) of an absolute path.
pub fn fanotify_mark(fd: BorrowedFd<'_>, flags: u32, mask: u64, path: &CStr) -> io::Result<()> {
    // SAFETY: `path` is a NUL-terminated string.
    check(unsafe {
        libc::syscall(libc::SYS_fanotify_mark, fd.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr())
    })
    .map(drop)
}

/// open(2) with raw flags, for flag combinations that a typed wrapper would not let through.
pub fn open(path: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: `path` is a NUL-terminated string.
    let fd = check(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) } as libc::c_long)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Duplicates `fd` to exactly `target` (which is replaced when open), close-on-exec.
pub fn dup_to(fd: BorrowedFd<'_>, target: i32) -> io::Result<OwnedFd> {
    // SAFETY: dup3 takes no pointers; what was open at `target` is the caller's to replace.
    check(unsafe { libc::dup3(fd.as_raw_fd(), target, libc::O_CLOEXEC) } as libc::c_long)?;
    // SAFETY: the duplicate is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(target) })
}

/// Duplicates `fd` to the lowest free number at or above `minimum`, close-on-exec.
pub fn dup_above(fd: BorrowedFd<'_>, minimum: i32) -> io::Result<OwnedFd> {
    let new = fcntl_int(fd, libc::F_DUPFD_CLOEXEC, i64::from(minimum))?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(new as i32) })
}

/// The same for what is open under a plain number, if anything is.
pub fn dup_number_above(fd: i32, minimum: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: no pointers are passed; a number that is not open is refused.
    match check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, minimum) } as libc::c_long) {
        // SAFETY: the kernel has just given us this descriptor.
        Ok(new) => Ok(Some(unsafe { OwnedFd::from_raw_fd(new as i32) })),
        Err(e) if e.raw_os_error() == Some(libc::EBADF) => Ok(None),
        Err(e) => Err(e),
    }
}

/// signalfd4(2) of a new descriptor, close-on-exec; bit n-1 of `mask` is signal n.
pub fn signalfd(mask: u64) -> io::Result<OwnedFd> {
    // SAFETY: `mask` is a kernel sigset of eight bytes and outlives the call.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, size_of::<u64>(), libc::SFD_CLOEXEC)
    })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Takes over a descriptor that a system call has returned as a plain number.
pub fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: callers pass what the kernel has just given them (an ioctl's result).
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Closes every descriptor from `first` up that is not in `keep`. For a forked child that goes on without what
/// it inherited: no owner of a closed one may be used or dropped afterwards.
pub fn close_all_but(first: i32, keep: &[i32]) {
    let mut keep: Vec<i32> = keep.iter().copied().filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let close = |from: i32, to: i32| {
        if from <= to {
            // SAFETY: no pointers are passed; what was open is the caller's to close.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    };
    let mut from = first;
    for fd in keep {
        close(from, fd - 1);
        from = fd + 1;
    }
    close(from, i32::MAX);
}

/// Puts `fd` at the number `at` (0, 1 or 2), without close-on-exec.
pub fn redirect(fd: BorrowedFd<'_>, at: i32) -> io::Result<()> {
    // SAFETY: 0 to 2 belong to the process as a whole; nothing of Rust's owns them.
    check(unsafe { libc::dup2(fd.as_raw_fd(), at) } as libc::c_long).map(drop)
}

/// A descriptor of this process by its number, which the caller knows to stay open.
pub fn borrow(number: i32) -> BorrowedFd<'static> {
    // SAFETY: callers name descriptors that nobody closes as long as the process lives; of one that is not
    // open, system calls say EBADF.
    unsafe { BorrowedFd::borrow_raw(number) }
}
