//! Puts the processes of a restored tree back into their control groups (cgroups(7)), which are made again where
//! they have gone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::hierarchy::Hierarchies;
use crate::model::cgroup::{CgroupFile, CgroupFolder};
use crate::model::{Cgroup, FileKind, Namespace, SystemState};
use crate::proc;

/// How long a group may take to become empty of processes that have been ended.
const EMPTY_LIMIT: Duration = Duration::from_secs(2);

/// Leaves all processes and threads where they are made.
pub fn forget(state: &mut SystemState) {
    state.cgroups.clear();
    for process in &mut state.processes {
        process.cgroups.clear();
        process.threads.iter_mut().for_each(|thread| thread.cgroups.clear());
    }
    for file in &mut state.files {
        if let FileKind::Namespace(Namespace::Cgroup { roots }) = &mut file.kind {
            roots.clear();
        }
    }
}

/// Groups that a restore has made; they go with it when it fails.
#[derive(Debug, Default)]
pub struct Made {
    folders: Vec<PathBuf>,
    hierarchies: Hierarchies,
    notes: BTreeSet<String>,
}

impl Made {
    /// They stay. Returns what could not be had.
    pub fn keep(&mut self) -> Vec<String> {
        self.folders.clear();
        std::mem::take(&mut self.notes).into_iter().collect()
    }

    /// Makes a group as it was; with one that is there nothing is done.
    fn folder(&mut self, wanted: &CgroupFolder) {
        let Some(folder) = self.hierarchies.reach(&wanted.group) else { return };
        if folder.exists() {
            return;
        }
        if let Err(e) = fs::DirBuilder::new().mode(wanted.mode & 0o7777).create(&folder) {
            self.lost(wanted, &format!("can't be made again: {e}"));
            return;
        }
        self.folders.push(folder.clone());
        if (wanted.uid, wanted.gid) != (0, 0) {
            let _ = chown(&folder, Some(wanted.uid), Some(wanted.gid));
        }
        // Its kind decides what else it has.
        let (kind, others): (Vec<&CgroupFile>, Vec<&CgroupFile>) =
            wanted.files.iter().partition(|f| f.name == "cgroup.type");
        for file in kind.into_iter().chain(others).filter(|f| !f.name.contains('/')) {
            if let Err(e) = furnish(&folder, file) {
                self.lost(wanted, &format!("can't be given its {}: {e}", file.name));
            }
        }
    }

    fn lost(&mut self, group: &CgroupFolder, what: &str) {
        self.notes.insert(format!("the cgroup {} ({}) {what}", group.group.path, group.group.word()));
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let deadline = Instant::now() + EMPTY_LIMIT;
        for folder in self.folders.iter().rev() {
            while fs::remove_dir(folder).is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy)
                && Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Makes the groups that have gone since.
pub fn make(state: &SystemState) -> Made {
    let mut made = Made::default();
    if !state.cgroups.is_empty() {
        made.hierarchies = Hierarchies::mounted();
    }
    for folder in &state.cgroups {
        made.folder(folder);
    }
    made
}

/// Gives a file of a new group its owner and what it said.
fn furnish(folder: &Path, file: &CgroupFile) -> io::Result<()> {
    let path = folder.join(&file.name);
    let Ok(about) = fs::symlink_metadata(&path) else { return Ok(()) };
    if !about.is_file() {
        return Ok(());
    }
    if let Some(value) = &file.value {
        let now = fs::read_to_string(&path).unwrap_or_default();
        if now != *value {
            for (name, text) in writes(&file.name, value, &now) {
                fs::write(folder.join(name), text)?;
            }
        }
    }
    if (about.uid(), about.gid()) != (file.uid, file.gid) {
        chown(&path, Some(file.uid), Some(file.gid))?;
    }
    if about.mode() & 0o7777 != file.mode {
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode & 0o7777))?;
    }
    Ok(())
}

/// What has to be written where, one after the other, for a file to say what it said.
fn writes(name: &str, value: &str, now: &str) -> Vec<(String, String)> {
    let to = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    match name {
        // What is only told, but for this one word.
        "cgroup.type" if value.trim() != "threaded" => Vec::new(),
        "cgroup.subtree_control" => {
            value.split_whitespace().map(|word| to(name, &format!("+{word}"))).collect()
        }
        "devices.list" => {
            let allow = value.lines().map(|line| to("devices.allow", line));
            std::iter::once(to("devices.deny", "a")).chain(allow).collect()
        }
        "memory.oom_control" => {
            let word = |text: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix("oom_kill_disable "));
                line.map(str::to_owned)
            };
            word(value).filter(|w| word(now).as_ref() != Some(w)).map(|w| to(name, &w)).into_iter().collect()
        }
        // One thing to a line.
        _ if value.trim_end().contains('\n') => value.lines().map(|line| to(name, line)).collect(),
        _ => vec![to(name, value.trim_end())],
    }
}

/// Moves every process and thread that was in a group; returns what could not be done.
pub fn join(state: &SystemState, made: &mut Made) -> Vec<String> {
    let mut lost = BTreeSet::new();
    if state.processes.iter().all(|p| p.cgroups.is_empty()) {
        return Vec::new();
    }
    let own = std::process::id() as i32;
    let hierarchies = &mut made.hierarchies;
    if hierarchies.is_empty() {
        *hierarchies = Hierarchies::mounted();
    }
    let here = proc::read(own, "cgroup").unwrap_or_default();
    for process in state.processes.iter().filter(|p| p.exit_status.is_none()) {
        for group in process.cgroups.iter().filter(|g| !is_in(&here, g)) {
            lost.extend(enter(hierarchies, group, &["cgroup.procs"], process.pid).err());
        }
        for thread in &process.threads {
            for group in thread.cgroups.iter().filter(|g| !process.cgroups.contains(g)) {
                lost.extend(enter(hierarchies, group, &["cgroup.threads", "tasks"], thread.tid).err());
            }
        }
    }
    lost.into_iter().collect()
}

/// Moves the calling process into groups.
///
/// # Errors
/// What could not be done, in words.
pub fn enter_all(groups: &[Cgroup]) -> Result<(), String> {
    let mut hierarchies = Hierarchies::mounted();
    let own = std::process::id() as i32;
    let here = proc::read(own, "cgroup").unwrap_or_default();
    groups
        .iter()
        .filter(|group| !is_in(&here, group))
        .try_for_each(|group| enter(&mut hierarchies, group, &["cgroup.procs"], own))
}

/// Whether a /proc/PID/cgroup text names this group.
fn is_in(text: &str, group: &Cgroup) -> bool {
    let end = format!(":{}:{}", group.hierarchy, group.path);
    text.lines().any(|line| line.ends_with(&end))
}

fn enter(hierarchies: &mut Hierarchies, group: &Cgroup, files: &[&str], task: i32) -> Result<(), String> {
    let Some(folder) = hierarchies.reach(group) else {
        return Err(format!("the cgroup {} ({}) can't be reached here", group.path, group.word()));
    };
    let mut refused = None;
    for file in files {
        match fs::write(folder.join(file), task.to_string()) {
            Ok(()) => return Ok(()),
            Err(e) => refused = Some(e),
        }
    }
    match refused {
        None => Ok(()),
        Some(e) => Err(format!("the cgroup {} ({}) can't be joined again: {e}", group.path, group.word())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, value: &str, now: &str) -> Vec<String> {
        writes(name, value, now).into_iter().map(|(file, text)| format!("{file}={text}")).collect()
    }

    #[test]
    fn settings_are_written_as_the_kernel_takes_them() {
        assert_eq!(text("pids.max", "20\n", "max\n"), ["pids.max=20"]);
        assert_eq!(
            text("cgroup.subtree_control", "cpu pids\n", ""),
            ["cgroup.subtree_control=+cpu", "cgroup.subtree_control=+pids"]
        );
        assert_eq!(
            text("devices.list", "c 1:3 rwm\nc 1:5 r\n", "a *:* rwm\n"),
            ["devices.deny=a", "devices.allow=c 1:3 rwm", "devices.allow=c 1:5 r"]
        );
        let (set, unset) = ("oom_kill_disable 1\nunder_oom 0\n", "oom_kill_disable 0\nunder_oom 0\n");
        assert_eq!(text("memory.oom_control", set, unset), ["memory.oom_control=1"]);
        assert_eq!(text("memory.oom_control", unset, unset), [] as [&str; 0]);
        assert_eq!(text("cgroup.type", "domain threaded\n", "domain\n"), [] as [&str; 0]);
        assert_eq!(text("cgroup.type", "threaded\n", "domain\n"), ["cgroup.type=threaded"]);
        assert_eq!(
            text("io.max", "8:0 rbps=1\n8:16 rbps=2\n", ""),
            ["io.max=8:0 rbps=1", "io.max=8:16 rbps=2"]
        );
    }
}
