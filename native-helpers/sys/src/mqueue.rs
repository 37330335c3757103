//! POSIX message queues (mq_overview(7)): the kernel's own calls, which take names without the slash.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::check;

/// `struct mq_attr` of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Attributes {
    pub flags: i64,
    pub max_messages: i64,
    pub message_size: i64,
    pub messages: i64,
    reserved: [i64; 4],
}

/// File system type that fstatfs(2) tells of a queue.
pub const MAGIC: u64 = 0x1980_0202;
static NOW: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// mq_open(2); `new`: (maxmsg, msgsize) of one that is to be made.
pub fn open(name: &CStr, flags: i32, mode: u32, new: Option<(i64, i64)>) -> io::Result<OwnedFd> {
    let attributes = new.map(|(max_messages, message_size)| Attributes {
        max_messages,
        message_size,
        ..Attributes::default()
    });
    let pointer = attributes.as_ref().map_or(std::ptr::null(), |a| a as *const Attributes);
    // SAFETY: `name` is a NUL-terminated string, `pointer` null or a structure that outlives the call.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags | libc::O_CLOEXEC, mode, pointer)
    })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// mq_unlink(2).
pub fn unlink(name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is a NUL-terminated string.
    check(unsafe { libc::syscall(libc::SYS_mq_unlink, name.as_ptr()) }).map(drop)
}

/// mq_getattr(3).
pub fn attributes(queue: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut is = Attributes::default();
    let none = std::ptr::null::<Attributes>();
    // SAFETY: `is` is writable and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_mq_getsetattr, queue.as_raw_fd(), none, &raw mut is) })?;
    Ok(is)
}

/// mq_timedsend(2) that does not wait.
pub fn send(queue: BorrowedFd<'_>, priority: u32, message: &[u8]) -> io::Result<()> {
    // SAFETY: `message` is readable for its length.
    check(unsafe {
        libc::syscall(
            libc::SYS_mq_timedsend,
            queue.as_raw_fd(),
            message.as_ptr(),
            message.len(),
            priority,
            &raw const NOW,
        )
    })
    .map(drop)
}

/// mq_timedreceive(2) that does not wait: length and priority of the first message of the highest priority.
pub fn receive(queue: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<(usize, u32)> {
    let mut priority = 0u32;
    // SAFETY: `room` is writable for its length, `priority` an unsigned int.
    let len = check(unsafe {
        libc::syscall(
            libc::SYS_mq_timedreceive,
            queue.as_raw_fd(),
            room.as_mut_ptr(),
            room.len(),
            &raw mut priority,
            &raw const NOW,
        )
    })?;
    Ok((len as usize, priority))
}
