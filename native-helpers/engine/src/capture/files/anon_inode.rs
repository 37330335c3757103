//! Descriptors without a file: eventfd, epoll, timerfd, signalfd, inotify, pidfd.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::super::collect::Collector;
use super::super::refusal;
use super::Subject;
use crate::blocker::Obstacle;
use crate::model::{EpollTarget, FileKind, InotifyWatch};
use crate::proc::fdinfo::{FdInfo, pairs};

/// Captures by the kernel's name of the kind.
pub fn capture(collector: &mut Collector, s: &Subject<'_>, name: &str) -> Result<FileKind, Obstacle> {
    match name {
        "eventfd" => Ok(FileKind::Eventfd {
            count: u64::from_str_radix(s.info.field("eventfd-count").unwrap_or("0"), 16).unwrap_or(0),
            semaphore: s.info.number("eventfd-semaphore").unwrap_or(0) != 0,
        }),
        "eventpoll" => epoll(collector, s),
        "timerfd" => timerfd(s),
        "signalfd" => Ok(FileKind::Signalfd {
            mask: u64::from_str_radix(s.info.field("sigmask").unwrap_or("0"), 16).unwrap_or(0),
        }),
        "inotify" | "inotify_fd" => inotify(s),
        "pidfd" => pidfd(collector, s),
        other => Err(refusal::anon_inode(other).unwrap_or_else(|| refusal::other(s.target))),
    }
}

/// `tfd:        5 events:       19 data:                5  pos:0 ino:1057 sdev:e`
fn epoll(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let mut targets = Vec::new();
    for (key, value) in s.info.lines.iter().filter(|(k, _)| k == "tfd") {
        let line = format!("{key}: {value}");
        let words: Vec<&str> = line.split([' ', ':']).filter(|w| !w.is_empty()).collect();
        let field =
            |name: &str| words.iter().position(|w| *w == name).and_then(|i| words.get(i + 1)).copied();
        let (Some(fd), Some(events)) = (
            field("tfd").and_then(|v| v.parse::<i32>().ok()),
            field("events").and_then(|v| u32::from_str_radix(v, 16).ok()),
        ) else {
            continue;
        };
        let data = field("data").and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0);
        // The same number may be another file by now, in this process or at all.
        let holder = collector.pids.clone().into_iter().find(|pid| {
            torpor_sys::memory::kcmp_epoll_target(*pid, fd as u64, s.pid, s.fd as u32, fd as u32, 0)
                .unwrap_or(false)
        });
        let file = match holder {
            Some(pid) => Some(collector.descriptor(pid, fd)?),
            None => None,
        };
        targets.push(EpollTarget { fd, events, data, file });
    }
    Ok(FileKind::Epoll { targets })
}

fn timerfd(s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    // Being asked, the kernel counts the ticks of an interval that have passed unread (fs/timerfd.c).
    rustix::time::timerfd_gettime(s.dup).map_err(io::Error::from)?;
    let info = FdInfo::of(s.pid, s.fd)?;
    // it_value: (0, 499999) in seconds and nanoseconds
    let time = |key: &str| {
        let text = info.field(key).unwrap_or("(0, 0)");
        let mut numbers =
            text.trim_matches(['(', ')']).split(',').filter_map(|n| n.trim().parse::<u64>().ok());
        numbers.next().unwrap_or(0) * 1_000_000_000 + numbers.next().unwrap_or(0)
    };
    Ok(FileKind::Timerfd {
        clock: info.number("clockid").unwrap_or(0) as i32,
        ticks: info.number("ticks").unwrap_or(0),
        settime_flags: u32::from_str_radix(info.field("settime flags").unwrap_or("0"), 8).unwrap_or(0),
        interval_ns: time("it_interval"),
        remaining_ns: time("it_value"),
    })
}

/// `inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e…`
fn inotify(s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let mut watches = Vec::new();
    for (_, line) in s.info.lines.iter().filter(|(k, _)| k == "inotify") {
        let field = |name: &str| pairs(line).find(|p| p.0 == name).map(|p| p.1);
        let number = |name: &str| field(name).and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0);
        let handle = decode_hex(field("f_handle").unwrap_or(""));
        let kind = number("fhandle-type") as i32;
        let path = watched_path(number("sdev"), number("ino"), kind, &handle).map_err(|e| {
            Obstacle::unsupported(
                "inotify",
                format!("what inotify watch {} looks at can't be found ({e})", number("wd")),
                "remove the watch before the capture",
            )
        })?;
        watches.push(InotifyWatch { wd: number("wd") as i32, mask: number("mask") as u32, path });
    }
    watches.sort_by_key(|w| w.wd);
    let mut waiting = 0i32;
    const FIONREAD: u64 = 0x541b;
    torpor_sys::fd::ioctl_struct(s.dup.as_fd(), FIONREAD, &mut waiting)?;
    Ok(FileKind::Inotify { watches, queued: vec![0; waiting.max(0) as usize] })
}

fn decode_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).filter_map(|i| u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).ok()).collect()
}

/// Finds the path of an inode from its handle, through some mount of its file system.
fn watched_path(sdev: u64, ino: u64, handle_type: i32, handle: &[u8]) -> io::Result<String> {
    // fdinfo prints the kernel's device number: 12 bits of major, 20 of minor.
    let dev = rustix::fs::makedev((sdev >> 20) as u32, (sdev & 0xfffff) as u32);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for mount in std::fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let mut words = mount.split(' ').skip(2);
        let (Some(id), Some(root), Some(point)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let numbers: Vec<u32> = id.split(':').filter_map(|n| n.parse().ok()).collect();
        if numbers.len() != 2
            || rustix::fs::makedev(numbers[0], numbers[1]) != dev
            || root != "/" && point == "/"
        {
            continue;
        }
        match open_handle(point, handle_type, handle) {
            Ok(fd) => {
                use std::os::fd::AsRawFd;
                let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
                let path = path.to_string_lossy().into_owned();
                if rustix::fs::stat(&path).is_ok_and(|s| s.st_ino == ino) {
                    return Ok(path);
                }
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn open_handle(mount: &str, handle_type: i32, handle: &[u8]) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let mount = rustix::fs::open(mount, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    torpor_sys::fd::open_by_handle(mount.as_fd(), handle_type, handle, libc::O_PATH | libc::O_CLOEXEC)
}

fn pidfd(collector: &Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let pid = s.info.field("Pid").and_then(|v| v.parse::<i32>().ok()).unwrap_or(-1);
    if pid > 0 && !collector.pids.contains(&pid) {
        return Err(refusal::pidfd_outside(pid));
    }
    Ok(FileKind::Pidfd { pid })
}
