//! Puts the processes of a restored tree back into their control groups (cgroups(7)), where these are still
//! there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::model::{Cgroup, SystemState};
use crate::proc;

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    /// The controllers or name as in /proc/PID/cgroup; empty for version 2.
    name: String,
    mount: PathBuf,
    /// Which part of it is mounted.
    root: String,
}

/// Leaves all processes and threads where they are made.
pub fn forget(state: &mut SystemState) {
    for process in &mut state.processes {
        process.cgroups.clear();
        process.threads.iter_mut().for_each(|thread| thread.cgroups.clear());
    }
}

/// Moves every process and thread that was in a group; returns what could not be done.
pub fn join(state: &SystemState) -> Vec<String> {
    let mut lost = BTreeSet::new();
    if state.processes.iter().all(|p| p.cgroups.is_empty()) {
        return Vec::new();
    }
    let own = std::process::id() as i32;
    let hierarchies = mounted(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    let here = proc::read(own, "cgroup").unwrap_or_default();
    for process in state.processes.iter().filter(|p| p.exit_status.is_none()) {
        for group in process.cgroups.iter().filter(|g| !is_in(&here, g)) {
            enter(&hierarchies, group, &["cgroup.procs"], process.pid, &mut lost);
        }
        for thread in &process.threads {
            for group in thread.cgroups.iter().filter(|g| !process.cgroups.contains(g)) {
                enter(&hierarchies, group, &["cgroup.threads", "tasks"], thread.tid, &mut lost);
            }
        }
    }
    lost.into_iter().collect()
}

/// Whether a /proc/PID/cgroup text names this group.
fn is_in(text: &str, group: &Cgroup) -> bool {
    let end = format!(":{}:{}", group.hierarchy, group.path);
    text.lines().any(|line| line.ends_with(&end))
}

fn enter(hierarchies: &[Hierarchy], group: &Cgroup, files: &[&str], task: i32, lost: &mut BTreeSet<String>) {
    let Some(folder) = hierarchies.iter().find_map(|h| h.folder(group)) else {
        lost.insert(format!("the cgroup {} ({}) can't be reached here", group.path, group.word()));
        return;
    };
    let outcome = files.iter().map(|file| fs::write(folder.join(file), task.to_string()));
    let mut refused = None;
    for outcome in outcome {
        match outcome {
            Ok(()) => return,
            Err(e) => refused = Some(e),
        }
    }
    if let Some(e) = refused {
        lost.insert(format!("the cgroup {} ({}) can't be joined again: {e}", group.path, group.word()));
    }
}

impl Cgroup {
    fn word(&self) -> &str {
        if self.hierarchy.is_empty() { "version 2" } else { &self.hierarchy }
    }
}

impl Hierarchy {
    /// Where a group of this hierarchy is in the file system.
    fn folder(&self, group: &Cgroup) -> Option<PathBuf> {
        if self.name != group.hierarchy {
            return None;
        }
        let below = group.path.strip_prefix(self.root.trim_end_matches('/'))?;
        Some(self.mount.join(below.trim_start_matches('/')))
    }
}

/// The hierarchies of a mountinfo text (proc(5)).
fn mounted(text: &str) -> Vec<Hierarchy> {
    let mut all = Vec::new();
    for line in text.lines() {
        let Some((mount, system)) = line.split_once(" - ") else { continue };
        let mut fields = mount.split(' ').skip(3);
        let (Some(root), Some(place)) = (fields.next(), fields.next()) else { continue };
        let mut fields = system.split(' ');
        let (kind, options) = (fields.next().unwrap_or(""), fields.nth(1).unwrap_or(""));
        let name = match kind {
            "cgroup2" => String::new(),
            "cgroup" => controllers(options),
            _ => continue,
        };
        all.push(Hierarchy { name, mount: Path::new(place).to_owned(), root: root.to_owned() });
    }
    all
}

/// The controllers and the name among a mount's options, in the order that /proc/PID/cgroup has them.
fn controllers(options: &str) -> String {
    const NOT_ONE: [&str; 7] =
        ["rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods"];
    let words = options.split(',').filter(|o| !NOT_ONE.contains(o) && !o.starts_with("release_agent="));
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_below_the_part_that_is_mounted() {
        let text = "30 20 0:26 /box /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n\
                    31 20 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let all = mounted(text);
        let group = |hierarchy: &str, path: &str| Cgroup { hierarchy: hierarchy.into(), path: path.into() };
        assert_eq!(
            all[0].folder(&group("cpu,cpuacct", "/box/a")),
            Some(PathBuf::from("/sys/fs/cgroup/cpu/a"))
        );
        assert_eq!(all[1].folder(&group("", "/")), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(all[0].folder(&group("cpu,cpuacct", "/elsewhere")), None);
    }
}
