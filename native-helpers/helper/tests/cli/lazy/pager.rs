//! The processes that page in, as they are found from outside.

use std::path::Path;

use crate::program::eventually;

/// Living processes of this name whose command line speaks of the image.
pub fn named(name: &str, image: &Path) -> Vec<i32> {
    let image = image.to_str().expect("text");
    let all = std::fs::read_dir("/proc").expect("list /proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_one = |pid: &i32| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("comm").trim() == name && read("cmdline").contains(image)
    };
    pids.filter(is_one).collect()
}

/// Waits until nobody pages in any more.
#[track_caller]
pub fn await_end(image: &Path) {
    eventually("the pager and its keeper are gone", || {
        named("torpor-pager", image).is_empty() && named("torpor-keeper", image).is_empty()
    });
}

/// Kills the pager in the middle of its work; false when it was done already.
pub fn kill(image: &Path) -> bool {
    let pids = named("torpor-pager", image);
    pids.iter().for_each(|pid| signal(*pid, "KILL"));
    !pids.is_empty()
}

pub fn signal(pid: i32, signal: &str) {
    let _ = std::process::Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
}

/// Whether faults of a process' memory are still reported to somebody.
pub fn has_missing_memory(pid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    text.lines().filter(|line| line.starts_with("VmFlags:")).any(|line| line.contains(" um"))
}

/// Numbers and targets of a process' descriptors, without the numbers of nameless things.
pub fn descriptors(pid: i32) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let target = |path: &Path| {
        let text = std::fs::read_link(path).map_or(String::new(), |t| t.display().to_string());
        text.split(":[").next().unwrap_or_default().to_owned()
    };
    let mut all: Vec<(String, String)> =
        entries.map(|e| (e.file_name().to_string_lossy().into_owned(), target(&e.path()))).collect();
    all.sort();
    all
}
