//! Descriptors without a file: eventfd, epoll, timerfd, signalfd, pidfd; inotify and fanotify in `watch`.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::super::collect::Collector;
use super::super::refusal;
use super::{Subject, bpf, watch};
use crate::blocker::Obstacle;
use crate::model::{EpollTarget, FileKind, Pid};
use crate::proc::fdinfo::FdInfo;

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
        "inotify" | "inotify_fd" => watch::inotify(collector, s),
        "fanotify" | "fanotify_fd" => watch::fanotify(collector, s),
        "pidfd" => pidfd(collector, s),
        "bpf-map" => bpf::capture(collector, s),
        other => Err(refusal::anon_inode(other).unwrap_or_else(|| refusal::other(s.target))),
    }
}

/// An entry of an epoll instance whose file no process has open.
#[derive(Debug)]
pub struct EpollEntry {
    /// A descriptor of the instance.
    epoll: (Pid, i32),
    target: i32,
    nth: u32,
    data: u64,
}

/// Looks for such files in the messages of sockets, once all of these are known.
pub fn resolve(collector: &mut Collector) -> Result<(), Obstacle> {
    let own = std::process::id() as Pid;
    let numbers: Vec<i32> = collector.sockets.in_flight.iter().map(AsRawFd::as_raw_fd).collect();
    for entry in std::mem::take(&mut collector.unresolved) {
        let (pid, fd) = entry.epoll;
        let is_target = |number: &i32| {
            let (epoll, target) = (fd as u32, entry.target as u32);
            torpor_sys::memory::kcmp_epoll_target(own, *number as u64, pid, epoll, target, entry.nth)
                .is_ok_and(Ordering::is_eq)
        };
        let Some(number) = numbers.iter().copied().find(is_target) else { continue };
        let (epoll, file) = (collector.descriptor(pid, fd)?, collector.descriptor(own, number)?);
        if let Some(FileKind::Epoll { targets }) =
            collector.files.get_mut(epoll as usize).map(|f| &mut f.kind)
            && let Some(target) = targets
                .iter_mut()
                .filter(|t| t.fd == entry.target && t.data == entry.data)
                .find(|t| t.file.is_none())
        {
            target.file = Some(file);
        }
    }
    Ok(())
}

/// `tfd:        5 events:       19 data:                5  pos:0 ino:1057 sdev:e`
fn epoll(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let mut targets: Vec<EpollTarget> = Vec::new();
    let mut seen: HashMap<i32, u32> = HashMap::new();
    let pids = collector.pids.clone();
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
        // A number may be there several times: each for a description that was once open under it.
        let nth: &mut u32 = seen.entry(fd).or_default();
        let compare = |pid: i32, number: i32| {
            torpor_sys::memory::kcmp_epoll_target(pid, number as u64, s.pid, s.fd as u32, fd as u32, *nth)
                .ok()
        };
        // The same number may be another file by now, in this process or at all.
        let same = pids.iter().find(|pid| compare(**pid, fd) == Some(Ordering::Equal));
        let holder = match same {
            Some(pid) => Some((*pid, fd)),
            None => collector.described(compare)?,
        };
        let file = match holder {
            Some((pid, fd)) => Some(collector.descriptor(pid, fd)?),
            None => {
                let entry = EpollEntry { epoll: (s.pid, s.fd), target: fd, nth: *nth, data };
                collector.unresolved.push(entry);
                None
            }
        };
        *nth += 1;
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

/// Of a process that has ended, how: the kernel tells it as long as the descriptor is open (since 6.15).
fn exit_status(s: &Subject<'_>) -> i32 {
    /// `_IOWR(0xff, 11, struct pidfd_info)` in its first size (include/uapi/linux/pidfd.h).
    const PIDFD_GET_INFO: u64 = 0xc040_ff0b;
    const PIDFD_INFO_EXIT: u32 = 1 << 3;
    const EXIT_CODE: usize = 15;
    let mut info = [0u32; 16];
    info[0] = PIDFD_INFO_EXIT;
    match torpor_sys::fd::ioctl_struct(s.dup.as_fd(), PIDFD_GET_INFO, &mut info) {
        Ok(_) if info[0] & PIDFD_INFO_EXIT != 0 => info[EXIT_CODE] as i32,
        _ => 0,
    }
}

fn pidfd(collector: &Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let pid = s.info.field("Pid").and_then(|v| v.parse::<i32>().ok()).unwrap_or(-1);
    if pid > 0 && refusal::is_outside(pid, &collector.pids) {
        return Err(refusal::pidfd_outside(pid));
    }
    let exit_status = if pid > 0 { 0 } else { exit_status(s) };
    Ok(FileKind::Pidfd { pid, exit_status, inode: s.stat.st_ino })
}
