//! Pipes and FIFOs with what is in them. The data is copied with tee(2), which takes nothing out.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};
use serde_bytes::ByteBuf;

use super::Subject;
use crate::blocker::Obstacle;
use crate::model::{FileKind, PathFile, PipeData};

const F_SETPIPE_SZ: i32 = 1031;
const F_GETPIPE_SZ: i32 = 1032;
const O_ACCMODE: i32 = libc::O_ACCMODE;

/// One end of an anonymous pipe; the data goes with every read end (the restore takes it once a pipe).
pub fn capture(s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let write = s.info.flags & O_ACCMODE == libc::O_WRONLY;
    // A program may open its own pipe again (/dev/stdout), which takes the right to.
    let owner = Some((s.stat.st_uid, s.stat.st_gid));
    let mode = Some(s.stat.st_mode & 0o7777);
    Ok(FileKind::Pipe { pipe: s.stat.st_ino, write, data: PipeData { mode, ..data(s)? }, owner })
}

/// A FIFO: opened for reading, writing or both.
pub fn fifo(s: &Subject<'_>, file: PathFile) -> Result<FileKind, Obstacle> {
    let mut data = data(s)?;
    data.hung_up = s.info.flags & O_ACCMODE == libc::O_RDONLY && hung_up(s.dup.as_fd())?;
    Ok(FileKind::Fifo { file, data })
}

fn hung_up(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(events(fd)?.contains(PollFlags::HUP))
}

fn data(s: &Subject<'_>) -> io::Result<PipeData> {
    let capacity = torpor_sys::fd::fcntl_int(s.dup.as_fd(), F_GETPIPE_SZ, 0)? as u32;
    // A read end of our own works whichever end the description is, and changes nothing of it.
    let read_end = match s.info.flags & O_ACCMODE {
        libc::O_WRONLY => rustix::fs::open(
            format!("/proc/self/fd/{}", s.dup.as_raw_fd()),
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?,
        _ => s.dup.try_clone()?,
    };
    let packets = copy(read_end.as_fd(), capacity)?;
    let packet_mode = match packets.as_slice() {
        [] => false,
        [one] => is_packet(read_end.as_fd(), capacity, one.len())?,
        _ => true,
    };
    Ok(PipeData { capacity, packet_mode, hung_up: false, packets, mode: None })
}

/// Whether the one run of bytes in a pipe is a packet: of one that is read in part, the rest is dropped.
fn is_packet(from: BorrowedFd<'_>, capacity: u32, len: usize) -> io::Result<bool> {
    let Some(read) = duplicate(from, capacity)? else { return Ok(false) };
    let mut buf = vec![0u8; len.saturating_sub(1)];
    if buf.is_empty() {
        return Ok(false);
    }
    rustix::io::read(&read, &mut buf)?;
    Ok(!readable(read.as_fd())?)
}

/// Copies what a pipe holds, packet by packet where it was written so.
fn copy(from: BorrowedFd<'_>, capacity: u32) -> io::Result<Vec<ByteBuf>> {
    match duplicate(from, capacity)? {
        Some(read) => drain(&read),
        None => Ok(Vec::new()),
    }
}

/// The read end of another pipe with the same contents, if there are any.
fn duplicate(from: BorrowedFd<'_>, capacity: u32) -> io::Result<Option<OwnedFd>> {
    if !readable(from)? {
        return Ok(None);
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    torpor_sys::fd::fcntl_int(write.as_fd(), F_SETPIPE_SZ, i64::from(capacity.max(4096)))?;
    match tee(from, &write, capacity.max(4096) as usize, SpliceFlags::NONBLOCK) {
        Ok(_) => {}
        Err(rustix::io::Errno::AGAIN) => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    Ok(Some(read))
}

fn readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(events(fd)?.contains(PollFlags::IN))
}

fn events(fd: BorrowedFd<'_>) -> io::Result<PollFlags> {
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&zero))?;
    Ok(polled[0].revents())
}

fn drain(read: &OwnedFd) -> io::Result<Vec<ByteBuf>> {
    let mut packets = Vec::new();
    let mut buf = vec![0u8; 64 * 1024];
    let mut full = false;
    loop {
        match rustix::io::read(read, &mut buf) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(packets),
            // A read ends early only at the end of a packet (pipe(7)) or of everything.
            Ok(n) => {
                match packets.last_mut() {
                    Some(last) if full => std::ops::DerefMut::deref_mut(last).extend_from_slice(&buf[..n]),
                    _ => packets.push(ByteBuf::from(buf[..n].to_vec())),
                }
                full = n == buf.len();
            }
            Err(e) => return Err(e.into()),
        }
    }
}
