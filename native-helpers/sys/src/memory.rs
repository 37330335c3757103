//! Another process' memory: process_vm_readv(2), process_vm_writev(2), kcmp(2), and anonymous shared
//! memory of our own that a forked tree keeps.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use crate::check;

/// Reads `buf.len()` bytes at `address` of process `pid`; fails with EFAULT when any of it is not mapped.
pub fn read(pid: i32, address: u64, buf: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        let n = read_some(pid, address + done as u64, &mut buf[done..])?;
        if n == 0 {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        done += n;
    }
    Ok(())
}

/// Reads what can be read at `address`, and says how many bytes that was.
pub fn read_some(pid: i32, address: u64, buf: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: buf.len() };
    // SAFETY: `local` describes `buf`, which is writable for its whole length; the remote side is checked
    // by the kernel.
    let n = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    check(n as libc::c_long).map(|n| n as usize)
}

/// Writes `data` at `address` of process `pid`; the mapping must be writable.
pub fn write(pid: i32, address: u64, data: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < data.len() {
        let local =
            libc::iovec { iov_base: data[done..].as_ptr().cast_mut().cast(), iov_len: data.len() - done };
        let remote = libc::iovec { iov_base: (address + done as u64) as *mut _, iov_len: data.len() - done };
        // SAFETY: `local` describes the rest of `data`, which is only read.
        let n = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
        let n = check(n as libc::c_long)? as usize;
        if n == 0 {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        done += n;
    }
    Ok(())
}

/// membarrier(2).
///
/// # Errors
/// EINVAL for a command that the kernel does not know or carry out, ENOSYS for all.
pub fn membarrier(command: i32) -> io::Result<()> {
    // SAFETY: it takes no pointers.
    check(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }).map(drop)
}

/// process_madvise(2) with MADV_PAGEOUT: has ranges (address, length) of the process behind a pidfd put into swap. What
/// can't be (shared, locked, no swap) stays, without an error.
///
/// # Errors
/// ESRCH for a process that is gone, EPERM without CAP_SYS_NICE, ENOMEM where something is not mapped, EINVAL for
/// memory that never can be (locked, huge pages of hugetlbfs).
pub fn page_out(process: BorrowedFd<'_>, ranges: &[(u64, u64)]) -> io::Result<()> {
    for some in ranges.chunks(libc::UIO_MAXIOV as usize) {
        let some: Vec<libc::iovec> = some
            .iter()
            .map(|(start, len)| libc::iovec { iov_base: *start as *mut _, iov_len: *len as usize })
            .collect();
        // SAFETY: the array outlives the call; the addresses in it are another process'.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                process.as_raw_fd(),
                some.as_ptr(),
                some.len(),
                libc::MADV_PAGEOUT,
                0,
            )
        };
        check(ret)?;
    }
    Ok(())
}

/// The same for a range of a shared memory object, by way of a mapping of our own.
///
/// # Errors
/// What mmap(2) and madvise(2) say, EFAULT for what is behind the end of the file.
pub fn page_out_file(file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<()> {
    let mapping = Mapping::map(0, len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), offset as i64)?;
    // Only what is mapped is put away; populating says so where touching would be a SIGBUS.
    for advice in [libc::MADV_POPULATE_READ, libc::MADV_PAGEOUT] {
        // SAFETY: the range is our own mapping, and neither advice changes its contents.
        check(unsafe { libc::madvise(mapping.start.as_ptr().cast(), mapping.len, advice) } as libc::c_long)?;
    }
    Ok(())
}

/// What two processes may share (kcmp(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Kcmp {
    File = 0,
    Vm = 1,
    Files = 2,
    Fs = 3,
    Sighand = 4,
    Io = 5,
    Sysvsem = 6,
}

/// Compares a kernel resource of two processes; the order is stable while both live.
pub fn kcmp(pid1: i32, pid2: i32, what: Kcmp, idx1: u64, idx2: u64) -> io::Result<std::cmp::Ordering> {
    // SAFETY: kcmp takes no pointers for the kinds in `Kcmp`.
    let ret = unsafe { libc::syscall(libc::SYS_kcmp, pid1, pid2, what as i32, idx1, idx2) };
    Ok(ordering(check(ret)?))
}

/// kcmp(KCMP_EPOLL_TFD): how descriptor `fd` of `pid` compares with the `toff`-th target registered under number
/// `tfd` in the epoll instance `efd` of `epoll_pid`. The order is that of [`Kcmp::File`].
pub fn kcmp_epoll_target(
    pid: i32,
    fd: u64,
    epoll_pid: i32,
    efd: u32,
    tfd: u32,
    toff: u32,
) -> io::Result<std::cmp::Ordering> {
    let slot = [efd, tfd, toff];
    // SAFETY: `slot` is a struct kcmp_epoll_slot (three u32) and outlives the call.
    let ret = unsafe { libc::syscall(libc::SYS_kcmp, pid, epoll_pid, 7, fd, slot.as_ptr()) };
    Ok(ordering(check(ret)?))
}

/// What kcmp(2) answers.
fn ordering(answer: i64) -> std::cmp::Ordering {
    match answer {
        0 => std::cmp::Ordering::Equal,
        1 => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Greater,
    }
}

/// A mapping of this process, unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is owned like a `Box<[u8]>`; nothing in it is tied to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Anonymous shared memory at exactly `address`, which must be free (MAP_FIXED_NOREPLACE); a forked
    /// tree goes on sharing it.
    pub fn shared_at(address: u64, len: usize, executable: bool) -> io::Result<Mapping> {
        let prot = libc::PROT_READ | libc::PROT_WRITE | if executable { libc::PROT_EXEC } else { 0 };
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        Self::map(address, len, prot, flags, -1, 0)
    }

    /// Anonymous shared memory wherever there is room.
    pub fn shared(len: usize) -> io::Result<Mapping> {
        Self::map(0, len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// Anonymous shared memory in pages of 2^`huge` bytes, of which `len` is a multiple.
    pub fn shared_huge(len: usize, huge: u32) -> io::Result<Mapping> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | (huge << 26) as i32;
        Self::map(0, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    }

    /// Private anonymous memory wherever there is room.
    pub fn private(len: usize) -> io::Result<Mapping> {
        Self::map(0, len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// A shared mapping of a file.
    pub fn file(fd: BorrowedFd<'_>, len: usize, writable: bool) -> io::Result<Mapping> {
        let prot = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        Self::map(0, len, prot, libc::MAP_SHARED, fd.as_raw_fd(), 0)
    }

    fn map(address: u64, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> io::Result<Mapping> {
        // SAFETY: without MAP_FIXED a new mapping can't disturb an existing one.
        let start = unsafe { libc::mmap(address as *mut _, len, prot, flags, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::Other)?;
        Ok(Mapping { start, len })
    }

    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable for `len` bytes as long as `self` lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is readable and writable for `len` bytes and borrowed uniquely here.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// An atomic word of the mapping that other processes change too.
    pub fn atomic(&self, offset: usize) -> &std::sync::atomic::AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len);
        // SAFETY: in bounds and aligned (asserted); atomics may be shared with other processes.
        unsafe { &*self.start.as_ptr().add(offset).cast() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by us and nobody borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
