//! What /proc tells of a process (proc(5)), parsed into structures. Reads only; nothing is stopped.

pub mod diag;
pub mod fdinfo;
pub mod maps;
pub mod mounts;
pub mod pagemap;
pub mod sockets;
pub mod stat;
pub mod status;
pub mod task;
pub mod tree;

pub use mounts::{mount_point, mount_points};

use std::fs;
use std::io::{self, Read};

/// What most files under /proc/PID fit into, and what the kernel gives of a longer one at a time.
const FIRST_READ: usize = 4096;

/// Reads a text file under /proc/PID.
///
/// Programs stand still meanwhile, so it takes as few calls as can be: the file's size, which is 0, is not asked for.
pub fn read(pid: i32, name: &str) -> io::Result<String> {
    let mut file = fs::File::open(format!("/proc/{pid}/{name}"))?;
    let mut bytes = vec![0; FIRST_READ];
    let mut len = 0;
    loop {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if bytes.len() - len < FIRST_READ / 2 {
            bytes.resize(bytes.len() * 2, 0);
        }
    }
    Ok(String::from_utf8_lossy(&bytes[..len]).into_owned())
}

/// Reads a file under /proc/PID that the kernel makes as a whole, as it does those that have no entries: what comes
/// with one call and leaves room is all of it.
pub fn read_whole(pid: i32, name: &str) -> io::Result<String> {
    let mut file = fs::File::open(format!("/proc/{pid}/{name}"))?;
    let mut bytes = vec![0; FIRST_READ];
    let mut len = 0;
    loop {
        match file.read(&mut bytes[len..]) {
            Ok(more) => len += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        }
        if len < bytes.len() {
            return Ok(String::from_utf8_lossy(&bytes[..len]).into_owned());
        }
        bytes.resize(bytes.len() * 2, 0);
    }
}

/// The text of a link under /proc/PID, without resolving it.
pub fn link(pid: i32, name: &str) -> io::Result<String> {
    Ok(fs::read_link(format!("/proc/{pid}/{name}"))?.to_string_lossy().into_owned())
}

/// The numbers in /proc/PID/NAME (fd, task …), sorted.
pub fn numbers(pid: i32, name: &str) -> io::Result<Vec<i32>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/{name}"))? {
        if let Some(n) = entry?.file_name().to_str().and_then(|s| s.parse().ok()) {
            all.push(n);
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// The size of all mappings together, in pages (proc_pid_statm(5)).
pub fn mapped_pages(pid: i32) -> io::Result<u64> {
    let all = read(pid, "statm")?;
    all.split(' ').next().and_then(|word| word.parse().ok()).ok_or_else(|| invalid("statm"))
}

pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected form of {what}"))
}
