//! File locks and leases, from the `lock:` lines of /proc/PID/fdinfo.

use std::collections::HashSet;
use std::io;

use crate::model::{FileId, FileLock, LeaseBreak, Process};
use crate::proc::fdinfo::FdInfo;

/// The locks that a process holds through descriptor `fd`.
pub fn of(info: &FdInfo, fd: i32, file: FileId) -> Vec<FileLock> {
    info.lines
        .iter()
        .filter(|(key, _)| key == "lock")
        .filter_map(|(_, line)| parse(line, fd, file, info.flags))
        .collect()
}

/// The locks of a description that is in a message of a socket; `info` is that of a descriptor of ours. Those of
/// a process (POSIX) are not the description's, and a lease goes with whoever has the file open.
pub fn in_flight(info: &FdInfo, file: FileId) -> Vec<FileLock> {
    of(info, -1, file).into_iter().filter(|lock| matches!(lock.kind.as_str(), "flock" | "ofd")).collect()
}

/// Leaves out those of descriptions that processes have as well, with their locks.
pub fn only_in_flight(mut locks: Vec<FileLock>, processes: &[Process]) -> Vec<FileLock> {
    if !locks.is_empty() {
        let open: HashSet<FileId> = processes.iter().flat_map(|p| &p.fds).map(|d| d.file).collect();
        locks.retain(|lock| !open.contains(&lock.file));
        locks.dedup();
    }
    locks
}

/// `1: POSIX  ADVISORY  WRITE 359 00:13:11691 0 EOF`; `flags` are those of the descriptor.
fn parse(line: &str, fd: i32, file: FileId, flags: i32) -> Option<FileLock> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, kind, state, mode, _, _, start, end] = words[..] else { return None };
    let mut exclusive = mode == "WRITE";
    let mut breaking = None;
    let kind = match kind {
        "FLOCK" => "flock",
        "POSIX" => "posix",
        "OFDLCK" => "ofd",
        "LEASE" if state == "ACTIVE" => "lease",
        "LEASE" if state == "BREAKING" => {
            // What is shown is what it is broken to. Only one for writing is broken to one for reading; what else
            // it was, nothing tells, but one for reading is only had by who can't write.
            let to_read = mode == "READ";
            breaking = Some(if to_read { LeaseBreak::ToRead } else { LeaseBreak::ToNone });
            exclusive = to_read || flags & libc::O_ACCMODE != libc::O_RDONLY;
            "lease"
        }
        _ => return None,
    };
    let start: u64 = start.parse().ok()?;
    let len = if end == "EOF" { 0 } else { end.parse::<u64>().ok()? + 1 - start };
    Some(FileLock { file, fd, kind: kind.to_owned(), exclusive, start, len, breaking })
}

/// Whether what a `lock:` line or one of /proc/locks tells of is a lease that breaks, or has whoever opens the file
/// wait, also when that is only for reading.
fn hinders_reading(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    matches!((words.next(), words.next(), words.next()), (Some("LEASE"), Some(state), Some(mode)) if state != "ACTIVE" || mode == "WRITE")
}

/// Whether such a lease was taken through this descriptor.
pub fn has_lease(info: &FdInfo) -> bool {
    info.lines.iter().any(|(key, line)| key == "lock" && hinders_reading(line))
}

/// The numbers of all inodes with such leases, whatever their device: /proc/locks has no more than its number inside
/// the kernel, which is not always that of stat(2).
pub fn leased() -> io::Result<HashSet<u64>> {
    let all = std::fs::read_to_string("/proc/locks")?;
    let inode = |line: &str| line.split_ascii_whitespace().nth(5)?.rsplit(':').next()?.parse().ok();
    Ok(all.lines().filter(|line| hinders_reading(line)).filter_map(inode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_that_hinder_readers() {
        assert!(hinders_reading("1: LEASE  ACTIVE    WRITE 359 00:13:11691 0 EOF"));
        assert!(hinders_reading("1: LEASE  BREAKING  READ 359 00:13:11691 0 EOF"));
        assert!(!hinders_reading("1: LEASE  ACTIVE    READ 359 00:13:11691 0 EOF"));
        assert!(!hinders_reading("1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF"));
    }

    #[test]
    fn a_line_of_each_form() {
        let lock = parse("1: POSIX  ADVISORY  WRITE 359 00:13:11691 10 19", 3, 7, 0).unwrap();
        assert_eq!((lock.kind.as_str(), lock.exclusive, lock.start, lock.len), ("posix", true, 10, 10));
        let lock = parse("1: FLOCK  ADVISORY  READ 359 00:13:11691 0 EOF", 3, 7, 0).unwrap();
        assert_eq!((lock.kind.as_str(), lock.exclusive, lock.start, lock.len), ("flock", false, 0, 0));
        let lease = |line: &str, flags| {
            let lock = parse(line, 3, 7, flags).unwrap();
            (lock.exclusive, lock.breaking)
        };
        assert_eq!(lease("1: LEASE  ACTIVE    WRITE 359 00:13:11691 0 EOF", 0), (true, None));
        let broken = "1: LEASE  BREAKING  READ 359 00:13:11691 0 EOF";
        assert_eq!(lease(broken, 0), (true, Some(LeaseBreak::ToRead)));
        let broken = "1: LEASE  BREAKING  UNLCK 359 00:13:11691 0 EOF";
        assert_eq!(lease(broken, 0), (false, Some(LeaseBreak::ToNone)));
        assert_eq!(lease(broken, libc::O_RDWR), (true, Some(LeaseBreak::ToNone)));
    }
}
