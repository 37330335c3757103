//! Which processes belong to a tree, and which threads to a process.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use super::{numbers, read, stat::Stat};

/// The thread ids of a process, the leader first.
pub fn threads(pid: i32) -> io::Result<Vec<i32>> {
    let mut tids = numbers(pid, "task")?;
    if let Some(at) = tids.iter().position(|t| *t == pid) {
        tids[..=at].rotate_right(1);
    }
    Ok(tids)
}

/// Whether a thread waits for a child of its that runs in its memory (vfork(2)): nothing can stop it there.
pub fn waits_in_vfork(pid: i32, tid: i32) -> bool {
    Stat::of_thread(pid, tid).is_ok_and(|s| s.state == 'D')
        && read(pid, &format!("task/{tid}/wchan"))
            .is_ok_and(|w| w.contains("kernel_clone") || w.contains("do_fork") || w.contains("vfork"))
}

/// The children of all threads of a process.
pub fn children(pid: i32) -> io::Result<Vec<i32>> {
    let mut all = Vec::new();
    for tid in threads(pid)? {
        match read(pid, &format!("task/{tid}/children")) {
            Ok(text) => all.extend(text.split_ascii_whitespace().filter_map(|w| w.parse::<i32>().ok())),
            // The thread has ended since.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// The process and its descendants as they are now, parents first. A living tree may change meanwhile.
pub fn descendants(root: i32) -> io::Result<Vec<i32>> {
    let mut all = vec![root];
    let mut seen = HashSet::from([root]);
    let mut at = 0;
    while at < all.len() {
        let pid = all[at];
        at += 1;
        match children(pid) {
            Ok(list) => all.extend(list.into_iter().filter(|c| seen.insert(*c))),
            Err(e) if at == 1 => return Err(e),
            // It ended between being listed and being read.
            Err(_) => {}
        }
    }
    Ok(all)
}

/// Every process of this PID namespace but `except`: what a capsule holds besides its init.
pub fn everyone_but(except: &[i32]) -> io::Result<Vec<i32>> {
    let mut stats = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|s| s.parse::<i32>().ok()) else { continue };
        if except.contains(&pid) {
            continue;
        }
        if let Ok(stat) = Stat::of(pid) {
            stats.insert(pid, stat.ppid);
        }
    }
    // Parents before children.
    let depth = |pid: i32| {
        let (mut n, mut at) = (0, pid);
        while let Some(parent) = stats.get(&at) {
            n += 1;
            at = *parent;
        }
        n
    };
    let mut all: Vec<i32> = stats.keys().copied().collect();
    all.sort_by_key(|pid| (depth(*pid), *pid));
    Ok(all)
}
