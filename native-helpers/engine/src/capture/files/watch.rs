//! inotify and fanotify: what is looked at, found again from the handles that the kernel prints.
//!
//! Events that nobody has read can't be looked at without being taken, and none can be put back. The kernel has a
//! word for events that were lost, though, after which a program looks for itself: the queue overflowed. That is
//! what is in a restored inotify instance in their place; a fanotify group can't be made to.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::{collect::Collector, refusal};
use super::{Subject, path};
use crate::blocker::Obstacle;
use crate::model::{Backing, FanotifyMark, FileId, FileKind, InotifyWatch, Pid};
use crate::proc;
use crate::proc::fdinfo::{FdInfo, pairs};
use crate::proc::maps;

const FAN_MARK_MOUNT: u32 = 0x10;
const FAN_MARK_FILESYSTEM: u32 = 0x100;

/// `inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e…`
pub fn inotify(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let mut watches = Vec::new();
    for (_, line) in s.info.lines.iter().filter(|(k, _)| k == "inotify") {
        let fields = Fields(line);
        let wd = fields.number("wd");
        let Some((path, file)) = watched(collector, &fields)? else {
            collector
                .notes
                .push(format!("inotify watch {wd} of a file that nobody of the tree has is left out"));
            continue;
        };
        watches.push(InotifyWatch { wd: wd as i32, mask: fields.number("mask") as u32, path, file });
    }
    watches.sort_by_key(|w| w.wd);
    let waiting = waiting(collector, s)?;
    if waiting > 0 {
        collector.notes.push(format!(
            "{waiting} bytes of inotify events that were not read are not in the image; after a restore process {} is told that its queue overflowed (IN_Q_OVERFLOW)",
            s.pid
        ));
    }
    Ok(FileKind::Inotify { watches, queued: vec![0; waiting] })
}

/// `fanotify flags:10 event-flags:8002`, and a line for each mark: `fanotify ino:… sdev:… mflags:… mask:…
/// ignored_mask:… fhandle…`, `fanotify mnt_id:… …` or `fanotify sdev:… …`
pub fn fanotify(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    if asks_permission(s.info) {
        return Err(refusal::permission_events());
    }
    let (mut flags, mut event_flags, mut marks) = (0, 0, Vec::new());
    for (_, line) in s.info.lines.iter().filter(|(k, _)| k == "fanotify") {
        let fields = Fields(line);
        if fields.get("flags").is_some() {
            flags = fields.number("flags") as u32;
            event_flags = fields.number("event-flags") as u32;
            continue;
        }
        let (kind, place) = if fields.get("ino").is_some() {
            (0, watched(collector, &fields)?)
        } else if fields.get("mnt_id").is_some() {
            (FAN_MARK_MOUNT, proc::mount_point(s.pid, fields.number("mnt_id"))?.map(|p| (p, None)))
        } else {
            let point = proc::mount_points(device(fields.number("sdev")))?.into_iter().next();
            (FAN_MARK_FILESYSTEM, point.map(|p| (p, None)))
        };
        let Some((path, file)) = place else {
            collector
                .notes
                .push("a fanotify mark of a file that nobody of the tree has is left out".to_owned());
            continue;
        };
        marks.push(FanotifyMark {
            flags: kind | fields.number("mflags") as u32,
            mask: fields.number("mask"),
            ignored: fields.number("ignored_mask"),
            path,
            file,
        });
    }
    let waiting = waiting(collector, s)?;
    if waiting > 0 {
        collector
            .notes
            .push(format!("{waiting} bytes of fanotify events that were not read are not in the image"));
    }
    Ok(FileKind::Fanotify { flags, event_flags, marks })
}

/// Whether some mark of a fanotify group has whoever opens or reads a file wait for an answer.
pub fn asks_permission(info: &FdInfo) -> bool {
    /// FAN_OPEN_PERM, FAN_ACCESS_PERM, FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS (include/uapi/linux/fanotify.h).
    const ASKING: u64 = 0x17_0000;
    info.lines.iter().any(|(key, line)| key == "fanotify" && Fields(line).number("mask") & ASKING != 0)
}

struct Fields<'a>(&'a str);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        pairs(self.0).find(|p| p.0 == name).map(|p| p.1)
    }

    /// Numbers are in hexadecimal.
    fn number(&self, name: &str) -> u64 {
        self.get(name).and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0)
    }
}

/// Bytes of events that nobody has read yet: as many as there were before the capture looked at anything, which
/// may be what is watched.
fn waiting(collector: &Collector, s: &Subject<'_>) -> io::Result<usize> {
    collector.unread_events.get(&(s.pid, s.fd)).map_or_else(|| unread(s.dup.as_fd()), |bytes| Ok(*bytes))
}

fn unread(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes = 0i32;
    torpor_sys::fd::ioctl_struct(fd, libc::FIONREAD, &mut bytes)?;
    Ok(bytes.max(0) as usize)
}

/// Notes how many bytes of events wait in every inotify and fanotify descriptor of a process.
pub fn count_unread(collector: &mut Collector, pid: Pid) -> io::Result<()> {
    for fd in proc::numbers(pid, "fd")? {
        let target = proc::link(pid, &format!("fd/{fd}")).unwrap_or_default();
        if target.starts_with("anon_inode:") && target.contains("notify") {
            let bytes = unread(collector.borrow_descriptor(pid, fd)?.as_fd())?;
            collector.unread_events.insert((pid, fd), bytes);
        }
    }
    Ok(())
}

/// The path of what a mark looks at, and the open file of the tree where it has none.
fn watched(
    collector: &mut Collector,
    fields: &Fields<'_>,
) -> Result<Option<(String, Option<FileId>)>, Obstacle> {
    let handle = decode_hex(fields.get("f_handle").unwrap_or(""));
    let (dev, ino) = (device(fields.number("sdev")), fields.number("ino"));
    if let Ok(path) = watched_path(dev, ino, fields.number("fhandle-type") as i32, &handle) {
        return Ok(Some((path, None)));
    }
    let is = |link: &str| rustix::fs::stat(link).is_ok_and(|s| (s.st_dev, s.st_ino) == (dev, ino));
    for pid in collector.pids.clone() {
        for fd in proc::numbers(pid, "fd").unwrap_or_default() {
            if is(&format!("/proc/{pid}/fd/{fd}")) {
                let path = proc::link(pid, &format!("fd/{fd}"))?;
                return Ok(Some((path, Some(collector.descriptor(pid, fd)?))));
            }
        }
        for link in ["cwd", "root"] {
            if is(&format!("/proc/{pid}/{link}")) {
                let path = proc::link(pid, link)?;
                return Ok(Some((path, Some(path::directory(collector, pid, link)?))));
            }
        }
        for vma in maps::maps(pid).unwrap_or_default().into_iter().filter(|vma| vma.name.starts_with('/')) {
            if is(&format!("/proc/{pid}/map_files/{:x}-{:x}", vma.start, vma.end))
                && let Backing::File { file, .. } = path::mapped(collector, pid, &vma)?
            {
                return Ok(Some((vma.name, Some(file))));
            }
        }
    }
    // Nobody has it; where the file system has no handles, it may still be near what the tree has.
    for pid in if has_handles(dev) { Vec::new() } else { collector.pids.clone() } {
        let Ok(folder) = proc::link(pid, "cwd") else { continue };
        if let Some(path) = path::nearby(&format!("{folder}/name"), (dev, ino)) {
            return Ok(Some((path, None)));
        }
    }
    Ok(None)
}

/// Whether files of a file system that is mounted can be found by their handles.
fn has_handles(dev: u64) -> bool {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    proc::mount_points(dev).unwrap_or_default().iter().any(|point| {
        rustix::fs::open(point, flags, Mode::empty())
            .is_ok_and(|mount| torpor_sys::fd::handle_of(mount.as_fd()).is_ok())
    })
}

/// fdinfo prints the kernel's device number: 12 bits of major, 20 of minor.
fn device(sdev: u64) -> u64 {
    rustix::fs::makedev((sdev >> 20) as u32, (sdev & 0xfffff) as u32)
}

fn decode_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).filter_map(|i| u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).ok()).collect()
}

/// Finds the path of an inode from its handle, through some mount of its file system.
fn watched_path(dev: u64, ino: u64, handle_type: i32, handle: &[u8]) -> io::Result<String> {
    use std::os::fd::AsRawFd;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for point in proc::mount_points(dev)? {
        match open_handle(&point, handle_type, handle) {
            Ok(fd) => {
                let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
                let path = path.to_string_lossy().into_owned();
                if rustix::fs::lstat(&path).is_ok_and(|s| (s.st_dev, s.st_ino) == (dev, ino)) {
                    return Ok(path);
                }
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn open_handle(mount: &str, handle_type: i32, handle: &[u8]) -> io::Result<OwnedFd> {
    let mount = std::ffi::CString::new(mount)?;
    torpor_sys::fd::open_by_handle(&mount, handle_type, handle, libc::O_PATH | libc::O_CLOEXEC)
}
