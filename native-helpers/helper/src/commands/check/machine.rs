//! What the machine's administrator has set up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Feature;

pub fn features() -> Vec<Feature> {
    vec![cgroup(), swap(), display(), memory_files()]
}

/// A throw-away cgroup, with the files that freeze and kill it.
fn cgroup() -> Feature {
    let feature = Feature::new("cgroup-v2", "freezing and ending a whole application at once");
    let remedy = "mount a cgroup version 2 tree that this process may write to; without it the application is stopped process by process";
    let Some(mount) = cgroup_mount() else {
        return feature.given(false, remedy).detail("no cgroup version 2 tree is mounted");
    };
    let tried = try_cgroup(&mount);
    feature.detail(mount.display().to_string()).tried(&tried, remedy)
}

/// From mountinfo: `36 35 0:30 / /sys/fs/cgroup rw … - cgroup2 cgroup2 rw`.
fn cgroup_mount() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let is_v2 = source.split(' ').next() == Some("cgroup2");
        is_v2.then(|| mount.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}

fn try_cgroup(mount: &Path) -> io::Result<()> {
    let group = mount.join(format!("torpor-check-{}", std::process::id()));
    fs::create_dir(&group)?;
    let found =
        fs::metadata(group.join("cgroup.freeze")).and_then(|_| fs::metadata(group.join("cgroup.kill")));
    fs::remove_dir(&group)?;
    found.map(drop)
}

fn swap() -> Feature {
    let areas = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let names: Vec<&str> = areas.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let feature = Feature::new("swap", "putting back into swap what was in swap")
        .given(!names.is_empty(), "add a swap area; without one all restored memory stays resident");
    if names.is_empty() { feature } else { feature.detail(names.join(", ")) }
}

/// The server of private displays.
fn display() -> Feature {
    let found = torpor_capsule::display::server();
    let feature = Feature::new("display", "applications with a private display")
        .given(found.is_some(), torpor_capsule::display::REMEDY);
    match found {
        Some(path) => feature.detail(path.display().to_string()),
        None => feature,
    }
}

/// Opening what is behind a mapping, whether or not it has a name.
fn memory_files() -> Feature {
    let tried = fs::read_dir("/proc/self/map_files").and_then(|mut entries| {
        let first = entries.next().ok_or(io::ErrorKind::NotFound)??;
        fs::File::open(first.path())
    });
    Feature::new("map-files", "shared memory, and mapped files without a name")
        .required()
        .tried(&tried, "run as root, or with CAP_CHECKPOINT_RESTORE")
}
