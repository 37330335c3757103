//! userfaultfd(2): page faults of an address space, and what happens to its mappings meanwhile, as events; and
//! write-protection that the kernel lifts by itself when a page is written, so that PAGEMAP_SCAN tells which were.
//!
//! Structures and numbers after the kernel's `include/uapi/linux/userfaultfd.h` (public interface).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::fd::{adopt, ioctl_struct};

const API: u64 = 0xaa;
/// `_IOWR(0xaa, 0x3f, struct uffdio_api)`.
const UFFDIO_API: u64 = 0xc018_aa3f;
/// `_IOWR(0xaa, 0x00, struct uffdio_register)`.
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
/// `_IOR(0xaa, 0x02, struct uffdio_range)`.
const UFFDIO_WAKE: u64 = 0x8010_aa02;
/// `_IOWR(0xaa, 0x03, struct uffdio_copy)`.
const UFFDIO_COPY: u64 = 0xc028_aa03;
/// `_IOWR(0xaa, 0x04, struct uffdio_zeropage)`.
const UFFDIO_ZEROPAGE: u64 = 0xc020_aa04;
/// `_IOWR(0xaa, 0x06, struct uffdio_writeprotect)`.
const UFFDIO_WRITEPROTECT: u64 = 0xc018_aa06;

/// UFFD_USER_MODE_ONLY: a flag of userfaultfd(2) that takes no right. Where nobody waits for a fault it
/// restricts nothing.
pub const USER_MODE_ONLY: u64 = 1;

const FEATURE_EVENT_FORK: u64 = 1 << 1;
const FEATURE_EVENT_REMAP: u64 = 1 << 2;
const FEATURE_EVENT_REMOVE: u64 = 1 << 3;
const FEATURE_EVENT_UNMAP: u64 = 1 << 6;
const FEATURE_THREAD_ID: u64 = 1 << 8;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const REGISTER_MODE_MISSING: u64 = 1;
const REGISTER_MODE_WP: u64 = 1 << 1;

const EVENT_PAGEFAULT: u8 = 0x12;
const EVENT_FORK: u8 = 0x13;
const EVENT_REMAP: u8 = 0x14;
const EVENT_REMOVE: u8 = 0x15;
const EVENT_UNMAP: u8 = 0x16;

/// Bytes of `struct uffd_msg`.
const MESSAGE_LEN: usize = 32;
/// Messages taken by one read.
const MESSAGES: usize = 16;

/// What happened in the address space.
#[derive(Debug)]
pub enum Event {
    /// A thread waits for the page of this address. The thread id is in its own PID namespace.
    Fault { address: u64, tid: i32 },
    /// The process has forked; the descriptor is that of the child's address space. The fork goes on once
    /// this event was read.
    Fork { child: OwnedFd },
    /// mremap(2) has moved a range.
    Remap { from: u64, to: u64, len: u64 },
    /// madvise(2) drops the contents of a range (MADV_DONTNEED, MADV_FREE, MADV_REMOVE).
    Remove { start: u64, end: u64 },
    /// A range is no longer mapped.
    Unmap { start: u64, end: u64 },
}

/// Agrees with the kernel on the interface and on all events of this module; once for a descriptor, before
/// anything else.
///
/// # Errors
/// EPERM without CAP_SYS_PTRACE, which the event of a fork takes; EINVAL where the kernel lacks an event.
pub fn handshake(fd: BorrowedFd<'_>) -> io::Result<()> {
    let features = FEATURE_EVENT_FORK
        | FEATURE_EVENT_REMAP
        | FEATURE_EVENT_REMOVE
        | FEATURE_EVENT_UNMAP
        | FEATURE_THREAD_ID;
    let mut api = [API, features, 0];
    ioctl_struct(fd, UFFDIO_API, &mut api).map(drop)
}

/// Has faults on missing pages of `start..start + len` reported. All of it must be mapped.
///
/// # Errors
/// What the kernel says, for instance EBUSY where another descriptor has it.
pub fn register(fd: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<()> {
    let mut arg = [start, len, REGISTER_MODE_MISSING, 0];
    ioctl_struct(fd, UFFDIO_REGISTER, &mut arg).map(drop)
}

/// Agrees with the kernel that a write lifts the protection of its page, and that nobody is asked or told; once for
/// a descriptor, before anything else.
///
/// # Errors
/// EINVAL before Linux 6.7 (UFFD_FEATURE_WP_ASYNC).
pub fn handshake_for_writes(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut api = [API, FEATURE_WP_ASYNC, 0];
    ioctl_struct(fd, UFFDIO_API, &mut api).map(drop)
}

/// Allows pages of `start..start + len` to be protected. All of it must be mapped; what is registered already stays.
///
/// # Errors
/// What the kernel says, for instance EBUSY where another descriptor has it.
pub fn register_for_writes(fd: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<()> {
    let mut arg = [start, len, REGISTER_MODE_WP, 0];
    ioctl_struct(fd, UFFDIO_REGISTER, &mut arg).map(drop)
}

/// Lifts the protection of `start..start + len`, as if each page had been written.
///
/// # Errors
/// What the kernel says: ENOENT where a part is not registered.
pub fn lift_protection(fd: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<()> {
    let mut arg = [start, len, 0];
    ioctl_struct(fd, UFFDIO_WRITEPROTECT, &mut arg).map(drop)
}

/// How far [`copy`] or [`zero`] came: bytes placed, and why not all of them.
#[derive(Debug)]
pub struct Placed {
    pub len: u64,
    pub error: Option<io::Error>,
}

fn placed(result: io::Result<i64>, told: i64, wanted: u64) -> Placed {
    match result {
        Ok(_) => Placed { len: wanted, error: None },
        Err(error) => Placed { len: told.max(0) as u64, error: Some(error) },
    }
}

/// Places `data` (whole pages) at `address`, where nothing is yet, and wakes who waits for it.
///
/// The error is EEXIST for a page that is there, EAGAIN where the mappings are being changed (read the event
/// first) or only a part was placed, ENOENT where no registered mapping holds all of the range, and ESRCH
/// where the address space is gone.
pub fn copy(fd: BorrowedFd<'_>, address: u64, data: &[u8]) -> Placed {
    // dst, src, len, mode, copy
    let mut arg = [address, data.as_ptr() as u64, data.len() as u64, 0, 0];
    let result = ioctl_struct(fd, UFFDIO_COPY, &mut arg);
    placed(result, arg[4] as i64, data.len() as u64)
}

/// The same with pages of zeros.
pub fn zero(fd: BorrowedFd<'_>, address: u64, len: u64) -> Placed {
    let mut arg = [address, len, 0, 0];
    let result = ioctl_struct(fd, UFFDIO_ZEROPAGE, &mut arg);
    placed(result, arg[3] as i64, len)
}

/// Has those who wait for a page of this range look again.
///
/// # Errors
/// What the kernel says.
pub fn wake(fd: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<()> {
    let mut arg = [start, len];
    ioctl_struct(fd, UFFDIO_WAKE, &mut arg).map(drop)
}

/// Whether the address space behind a descriptor is there no more: nothing can be placed in it.
pub fn is_gone(fd: BorrowedFd<'_>) -> bool {
    // Nothing is ever mapped there by this interface: below any mapping's lowest address.
    const NOWHERE: u64 = 0x1000;
    zero(fd, NOWHERE, 0x1000).error.is_some_and(|e| e.raw_os_error() == Some(libc::ESRCH))
}

/// Reads the events that wait (up to 16), without waiting for one.
///
/// # Errors
/// What read(2) says, but for "nothing there", which is no event.
pub fn events(fd: BorrowedFd<'_>) -> io::Result<Vec<Event>> {
    let mut raw = [0u8; MESSAGE_LEN * MESSAGES];
    let len = match rustix::io::read(fd, &mut raw) {
        Ok(len) => len,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Vec::new()),
        Err(e) => return Err(e.into()),
    };
    Ok(raw[..len].chunks_exact(MESSAGE_LEN).filter_map(decode).collect())
}

fn decode(message: &[u8]) -> Option<Event> {
    let word = |at: usize| u64::from_ne_bytes(message[at..at + 8].try_into().expect("8 bytes"));
    let half = |at: usize| u32::from_ne_bytes(message[at..at + 4].try_into().expect("4 bytes"));
    Some(match message[0] {
        EVENT_PAGEFAULT => Event::Fault { address: word(16), tid: half(24) as i32 },
        EVENT_FORK => Event::Fork { child: adopt(half(8) as i32) },
        EVENT_REMAP => Event::Remap { from: word(8), to: word(16), len: word(24) },
        EVENT_REMOVE => Event::Remove { start: word(8), end: word(16) },
        EVENT_UNMAP => Event::Unmap { start: word(8), end: word(16) },
        _ => return None,
    })
}

/// userfaultfd(2) for this process itself, close-on-exec and non-blocking.
///
/// # Errors
/// EPERM where the machine keeps it from the caller.
pub fn own() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd =
        crate::check(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    Ok(adopt(fd as i32))
}

/// Whether a descriptor of this process, by number, is of userfaultfd.
pub fn is_userfault(fd: BorrowedFd<'_>) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .is_ok_and(|target| target.as_os_str() == "anon_inode:[userfaultfd]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Mapping;
    use std::os::fd::AsFd;

    #[test]
    fn a_missing_page_is_reported_and_placed_once() {
        let _alone = crate::tests::alone();
        // Dropped after the descriptor: unmapping would wait for somebody to read the event of it.
        let mapping = Mapping::private(3 * 4096).unwrap();
        let fd = own().unwrap();
        handshake(fd.as_fd()).unwrap();
        let start = mapping.address();
        register(fd.as_fd(), start, 3 * 4096).unwrap();
        let page = vec![7u8; 4096];
        let placed = copy(fd.as_fd(), start + 4096, &page);
        assert!(placed.error.is_none() && placed.len == 4096, "{placed:?}");
        let again = copy(fd.as_fd(), start + 4096, &page);
        assert_eq!(again.error.and_then(|e| e.raw_os_error()), Some(libc::EEXIST));
        assert!(zero(fd.as_fd(), start, 4096).error.is_none());

        let reader = std::thread::spawn(move || {
            // SAFETY: the mapping lives until this thread was joined; the page is placed meanwhile.
            unsafe { std::ptr::read_volatile((start + 2 * 4096 + 5) as *const u8) }
        });
        let address = loop {
            let fault = events(fd.as_fd()).unwrap().into_iter().find_map(|event| match event {
                Event::Fault { address, .. } => Some(address),
                _ => None,
            });
            if let Some(address) = fault {
                break address;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        assert_eq!(address & !4095, start + 2 * 4096);
        assert!(copy(fd.as_fd(), start + 2 * 4096, &page).error.is_none());
        assert_eq!(reader.join().unwrap(), 7);
        assert_eq!(mapping.bytes()[..4096], [0u8; 4096]);
        assert_eq!(mapping.bytes()[4096..8192], page[..]);
        assert!(!is_gone(fd.as_fd()) && is_userfault(fd.as_fd()));
    }
}
