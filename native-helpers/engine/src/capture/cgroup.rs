//! Which control groups the processes and threads of a tree are in (cgroups(7)), and what these are like.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::freeze::FrozenProcess;
use crate::hierarchy::Hierarchies;
use crate::model::cgroup::{CgroupFile, CgroupFolder};
use crate::model::{Cgroup, FileKind, Namespace, OpenFile, Pid, Process};

/// More groups than a program makes for itself; from here on they are those of a whole machine.
const MAX_GROUPS: usize = 1024;
/// Longest setting that is kept, in bytes.
const MAX_VALUE: usize = 16 << 10;

/// Notes where a process is, and those of its threads that are elsewhere (threaded groups, version 1).
///
/// # Errors
/// Of reading /proc.
pub fn note(process: &mut Process, frozen: &FrozenProcess) -> io::Result<()> {
    let [first, others @ ..] = frozen.threads.as_slice() else { return Ok(()) };
    let text = &first.facts(frozen.pid)?.cgroups;
    process.cgroups = parse(text);
    for (thread, other) in process.threads.iter_mut().skip(1).zip(others) {
        let own = &other.facts(frozen.pid)?.cgroups;
        if own != text {
            thread.cgroups = parse(own);
        }
    }
    Ok(())
}

/// Lines such as `4:memory:/wards/seven`.
pub fn parse(text: &str) -> Vec<Cgroup> {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (hierarchy, path) = (fields.next()?, fields.next()?);
        // A group that has been removed meanwhile keeps its members until they end.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        Some(Cgroup { hierarchy: hierarchy.to_owned(), path: path.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// The groups that a tree is in, those above, and those below in which nobody else is.
pub fn folders(processes: &[Process], files: &[OpenFile]) -> Vec<CgroupFolder> {
    let roots = files.iter().filter_map(|f| match &f.kind {
        FileKind::Namespace(Namespace::Cgroup { roots }) => Some(roots),
        _ => None,
    });
    let threads = processes.iter().flat_map(|p| p.threads.iter().map(|t| &t.cgroups));
    let groups = processes.iter().map(|p| &p.cgroups).chain(threads).chain(roots).flatten();
    let tree: HashSet<Pid> = processes.iter().map(|p| p.pid).collect();
    let mut all = Folders { hierarchies: Hierarchies::mounted(), tree, found: Vec::new() };
    let mut seen = HashSet::new();
    for group in groups.filter(|g| g.path != "/") {
        if seen.insert((&group.hierarchy, &group.path)) {
            all.above(group);
        }
    }
    for at in 0..all.found.len() {
        let group = all.found[at].group.clone();
        if seen.contains(&(&group.hierarchy, &group.path))
            && let Some(folder) = all.hierarchies.reach(&group)
            && all.alone(&folder)
        {
            all.below(&group, &folder);
        }
    }
    all.found
}

struct Folders {
    hierarchies: Hierarchies,
    tree: HashSet<Pid>,
    found: Vec<CgroupFolder>,
}

impl Folders {
    /// Notes a group after all those that it is in.
    fn above(&mut self, group: &Cgroup) {
        for (at, _) in group.path.match_indices('/').skip(1).chain([(group.path.len(), "")]) {
            self.take(&Cgroup { path: group.path[..at].to_owned(), ..group.clone() });
        }
    }

    fn below(&mut self, group: &Cgroup, folder: &Path) {
        for name in children(folder) {
            let child = Cgroup { path: format!("{}/{name}", group.path), ..group.clone() };
            self.take(&child);
            self.below(&child, &folder.join(name));
        }
    }

    fn take(&mut self, group: &Cgroup) {
        if self.found.len() >= MAX_GROUPS || self.found.iter().any(|f| f.group == *group) {
            return;
        }
        let Some(folder) = self.hierarchies.reach(group) else { return };
        let Ok(about) = fs::metadata(&folder) else { return };
        self.found.push(CgroupFolder {
            group: group.clone(),
            mode: about.mode() & 0o7777,
            uid: about.uid(),
            gid: about.gid(),
            files: files(&folder),
        });
    }

    /// Whether nobody but the tree is in a group and in those below.
    fn alone(&self, folder: &Path) -> bool {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().all(|pid| pid.parse().is_ok_and(|pid: Pid| self.tree.contains(&pid)))
            && children(folder).iter().all(|name| self.alone(&folder.join(name)))
    }
}

fn children(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|e| e.file_name().into_string().ok()).collect()
}

fn files(folder: &Path) -> Vec<CgroupFile> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else { continue };
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !about.is_file() || about.mode() & 0o222 == 0 {
            continue;
        }
        let value = (about.mode() & 0o444 != 0 && is_setting(&name))
            .then(|| fs::read_to_string(entry.path()).ok())
            .flatten()
            .filter(|value| value.len() <= MAX_VALUE);
        let mode = about.mode() & 0o7777;
        all.push(CgroupFile { name, mode, uid: about.uid(), gid: about.gid(), value });
    }
    // What the kernel lets nobody write, but says what may be written elsewhere.
    if let Ok(list) = fs::read_to_string(folder.join("devices.list")) {
        let value = Some(list).filter(|list| list.len() <= MAX_VALUE);
        all.push(CgroupFile { name: "devices.list".into(), mode: 0o444, uid: 0, gid: 0, value });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Whether a file of a group says how it is to be, and not who is in it, what has come to pass, or what to do now.
fn is_setting(name: &str) -> bool {
    const OTHER: [&str; 16] = [
        "cgroup.procs",
        "cgroup.threads",
        "tasks",
        "cgroup.kill",
        "cgroup.freeze",
        "freezer.state",
        "cgroup.event_control",
        "cgroup.pressure",
        "memory.force_empty",
        "memory.reclaim",
        "memory.pressure_level",
        "memory.peak",
        "memory.swap.peak",
        "cpuacct.usage",
        "release_agent",
        "pids.peak",
    ];
    const ENDS: [&str; 5] =
        [".failcnt", ".max_usage_in_bytes", ".pressure", ".usage_in_bytes", ".reset_stats"];
    !OTHER.contains(&name) && !ENDS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_colon_is_kept_whole() {
        let all = parse("4:cpu,cpuacct:/a:b\n0::/c\n");
        assert_eq!(all[0], Cgroup { hierarchy: "cpu,cpuacct".into(), path: "/a:b".into() });
        assert_eq!(all[1], Cgroup { hierarchy: String::new(), path: "/c".into() });
    }
}
