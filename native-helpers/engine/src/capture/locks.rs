//! File locks and leases, from the `lock:` lines of /proc/PID/fdinfo.

use crate::model::{FileId, FileLock};
use crate::proc::fdinfo::FdInfo;

/// The locks that a process holds through descriptor `fd`.
pub fn of(info: &FdInfo, fd: i32, file: FileId) -> Vec<FileLock> {
    info.lines.iter().filter(|(key, _)| key == "lock").filter_map(|(_, line)| parse(line, fd, file)).collect()
}

/// `1: POSIX  ADVISORY  WRITE 359 00:13:11691 0 EOF`
fn parse(line: &str, fd: i32, file: FileId) -> Option<FileLock> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, kind, state, mode, _, _, start, end] = words[..] else { return None };
    let kind = match kind {
        "FLOCK" => "flock",
        "POSIX" => "posix",
        "OFDLCK" => "ofd",
        "LEASE" if state == "ACTIVE" => "lease",
        // A lease that is being broken: its holder has been told and gives it up.
        _ => return None,
    };
    let start: u64 = start.parse().ok()?;
    let len = if end == "EOF" { 0 } else { end.parse::<u64>().ok()? + 1 - start };
    Some(FileLock { file, fd, kind: kind.to_owned(), exclusive: mode == "WRITE", start, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_each_form() {
        let lock = parse("1: POSIX  ADVISORY  WRITE 359 00:13:11691 10 19", 3, 7).unwrap();
        assert_eq!((lock.kind.as_str(), lock.exclusive, lock.start, lock.len), ("posix", true, 10, 10));
        let lock = parse("1: FLOCK  ADVISORY  READ 359 00:13:11691 0 EOF", 3, 7).unwrap();
        assert_eq!((lock.kind.as_str(), lock.exclusive, lock.start, lock.len), ("flock", false, 0, 0));
        assert!(parse("1: LEASE  BREAKING  READ 359 00:13:11691 0 EOF", 3, 7).is_none());
    }
}
