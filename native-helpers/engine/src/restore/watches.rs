//! What epoll, inotify and fanotify instances look at, set up once everything that they look at is there.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd};
use std::os::unix::fs::FileExt;

use rustix::event::epoll;
use rustix::fs::inotify;
use torpor_sys::clone::{Forked, exit_now, fork_with_tid};

use super::files::Files;
use crate::model::{EpollTarget, FanotifyMark, FileId, FileKind, InotifyWatch, Pid, Process, SystemState};

/// `_IOW('I', 0, __s32)` (include/uapi/linux/inotify.h).
const INOTIFY_IOC_SETNEXTWD: u64 = 0x4004_4900;
/// EPOLLWAKEUP, EPOLLONESHOT, EPOLLET, EPOLLEXCLUSIVE: what is left of the events of a one-shot entry that
/// has fired.
const PRIVATE: u32 = 0xf000_0000;
const ANY_EVENT: u32 = 0x201f;
const FAN_MARK_ADD: u32 = 1;
const FAN_MARK_IGNORED_MASK: u32 = 0x20;
const FAN_MARK_IGNORED_SURV_MODIFY: u32 = 0x40;
const FAN_MARK_IGNORE: u32 = 0x400;
/// What the child answers when the errno is none.
const UNKNOWN: i32 = 125;

/// The restored process that registers a file with an epoll instance, where it has to be one of them: it is of a kind
/// that only they can open, or whoever registers it is who it tells of (a signalfd tells of signals of the process that
/// added it to the instance, signalfd(2)). The first that has both: a process is before those that inherit from it.
pub fn registrar(state: &SystemState, files: &Files, epoll: FileId, file: FileId) -> Option<Pid> {
    let of_signals = matches!(state.files.get(file as usize)?.kind, FileKind::Signalfd { .. });
    if files.get(file).is_some() && !of_signals {
        return None;
    }
    let has = |process: &&Process, file| process.fds.iter().any(|d| d.file == file);
    state.processes.iter().find(|p| has(p, epoll) && has(p, file)).map(|p| p.pid)
}

/// Registers with epoll instances what this process has open and no other has to register, under the numbers that it
/// was registered by: a child does it, in whose descriptor table every number can be used for a moment. From `above` on
/// there is none that a target has.
pub fn epolls(state: &SystemState, files: &Files, above: i32) -> io::Result<()> {
    let any = state.files.iter().zip(0..).any(|(file, id)| match &file.kind {
        FileKind::Epoll { targets } => targets.iter().any(|t| registered_here(state, files, id, t).is_some()),
        _ => false,
    });
    if !any {
        return Ok(());
    }
    // SAFETY: this process has no other threads that could hold a lock.
    match unsafe { fork_with_tid(0) }? {
        Forked::Child => exit_now(match register(state, files, above) {
            Ok(()) => 0,
            Err(e) => e.raw_os_error().filter(|e| *e < UNKNOWN).unwrap_or(UNKNOWN),
        }),
        Forked::Parent(child) => match torpor_sys::ptrace::wait(child)? {
            torpor_sys::ptrace::Wait::Exited(0) => Ok(()),
            torpor_sys::ptrace::Wait::Exited(errno) if errno != UNKNOWN => {
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Err(io::Error::other("the entries of an epoll instance could not be made")),
        },
    }
}

/// A target that this process registers.
fn registered_here<'a>(
    state: &SystemState,
    files: &'a Files,
    epoll: FileId,
    target: &EpollTarget,
) -> Option<BorrowedFd<'a>> {
    let file = target.file?;
    files.get(file).filter(|_| registrar(state, files, epoll, file).is_none())
}

fn register(state: &SystemState, files: &Files, above: i32) -> io::Result<()> {
    for (file, id) in state.files.iter().zip(0..) {
        let FileKind::Epoll { targets } = &file.kind else { continue };
        let Some(epoll) = files.get(id) else { continue };
        let spent = |t: &&EpollTarget| t.events & !PRIVATE == 0;
        // Its own number may be wanted too.
        let epoll = torpor_sys::fd::dup_above(epoll, above)?;
        // Those first that have to fire once more: nothing else is there then that could.
        for target in targets.iter().filter(spent).chain(targets.iter().filter(|t| !spent(t))) {
            let Some(source) = registered_here(state, files, id, target) else { continue };
            if source.as_raw_fd() == target.fd {
                add(epoll.as_fd(), source, target, spent(&target))?;
                continue;
            }
            let there = torpor_sys::fd::dup_number_above(target.fd, above)?;
            let named = torpor_sys::fd::dup_to(source, target.fd)?;
            add(epoll.as_fd(), named.as_fd(), target, spent(&target))?;
            if let Some(there) = there {
                // Takes the number over from `named`, which is therefore not to be closed.
                std::mem::forget(torpor_sys::fd::dup_to(there.as_fd(), named.into_raw_fd())?);
            }
        }
    }
    Ok(())
}

/// Adds an entry; one that is `spent` has to have fired.
fn add(epoll: BorrowedFd<'_>, named: BorrowedFd<'_>, target: &EpollTarget, spent: bool) -> io::Result<()> {
    let data = epoll::EventData::new_u64(target.data);
    let events = epoll::EventFlags::from_bits_retain;
    if !spent {
        return Ok(epoll::add(epoll, named, data, events(target.events))?);
    }
    epoll::add(epoll, named, data, events(target.events | ANY_EVENT))?;
    let mut fired = Vec::with_capacity(1);
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    epoll::wait(epoll, rustix::buffer::spare_capacity(&mut fired), Some(&zero))?;
    if fired.is_empty() {
        epoll::modify(epoll, named, data, events(target.events))?;
    }
    Ok(())
}

/// Sets inotify watches and fanotify marks. Nothing may be opened or closed any more that they look at.
pub fn files(state: &SystemState, files: &Files) -> Result<(), (FileId, io::Error)> {
    for (id, file) in state.files.iter().enumerate() {
        let id = id as FileId;
        let Some(fd) = files.get(id) else { continue };
        let place = |path: &str, file: Option<FileId>| match file.and_then(|f| files.get(f)) {
            Some(open) => format!("/proc/self/fd/{}", open.as_raw_fd()),
            None => path.to_owned(),
        };
        let outcome = match &file.kind {
            FileKind::Inotify { watches, queued } => {
                let lost = if queued.is_empty() { Ok(()) } else { overflow(fd) };
                lost.and_then(|()| watches.iter().try_for_each(|w| watch(fd, w, &place(&w.path, w.file))))
            }
            FileKind::Fanotify { marks, .. } => {
                // The kernel names the youngest first.
                marks.iter().rev().try_for_each(|m| mark(fd, m, &place(&m.path, m.file)))
            }
            _ => Ok(()),
        };
        outcome.map_err(|e| (id, e))?;
    }
    Ok(())
}

/// Leaves nothing in a new instance but that its queue overflowed (IN_Q_OVERFLOW): lets it overflow, and takes
/// out what came before.
fn overflow(fd: impl AsFd) -> io::Result<()> {
    /// `struct inotify_event` without a name.
    const EVENT: usize = 16;
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?;
    let limit: usize = limit.trim().parse().map_err(io::Error::other)?;
    let made = rustix::fs::memfd_create("torpor-events", rustix::fs::MemfdFlags::CLOEXEC)?;
    let path = format!("/proc/self/fd/{}", made.as_raw_fd());
    // The descriptor that it was made by tells nobody of anything (since Linux 6.14).
    let file = File::options().read(true).write(true).open(&path)?;
    let watch = inotify::add_watch(&fd, path, inotify::WatchFlags::ACCESS | inotify::WatchFlags::MODIFY)?;
    // One in turn with the other: the same twice in a row would be one event.
    for number in 0..=limit {
        if number % 2 == 0 {
            file.write_at(&[0], 0)?;
        } else {
            file.read_at(&mut [0], 0)?;
        }
    }
    // There is no room for an event that tells of this.
    inotify::remove_watch(&fd, watch)?;
    let mut events = vec![0u8; limit * EVENT];
    let mut left = events.len();
    while left > 0 {
        left -= rustix::io::read(&fd, &mut events[..left])?;
    }
    Ok(())
}

fn watch(fd: impl AsFd, watch: &InotifyWatch, path: &str) -> io::Result<()> {
    torpor_sys::fd::ioctl_int(fd.as_fd(), INOTIFY_IOC_SETNEXTWD, watch.wd as u64)?;
    inotify::add_watch(&fd, path, inotify::WatchFlags::from_bits_retain(watch.mask))?;
    Ok(())
}

fn mark(fd: impl AsFd, mark: &FanotifyMark, path: &str) -> io::Result<()> {
    let path = CString::new(path)?;
    let kept = mark.flags & !(FAN_MARK_IGNORED_SURV_MODIFY | FAN_MARK_IGNORE);
    if mark.mask != 0 {
        torpor_sys::fd::fanotify_mark(fd.as_fd(), FAN_MARK_ADD | kept, mark.mask, &path)?;
    }
    if mark.ignored != 0 {
        let survives = mark.flags & FAN_MARK_IGNORED_SURV_MODIFY;
        let how = if mark.flags & FAN_MARK_IGNORE != 0 { FAN_MARK_IGNORE } else { FAN_MARK_IGNORED_MASK };
        torpor_sys::fd::fanotify_mark(fd.as_fd(), FAN_MARK_ADD | kept | how | survives, mark.ignored, &path)?;
    }
    Ok(())
}
