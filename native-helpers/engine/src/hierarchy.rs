//! The hierarchies of control groups (cgroups(7)): where each can be reached.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use crate::model::Cgroup;

/// What the text of a hierarchy begins with that has a name and no controllers.
const NAMED: &str = "name=";

/// A mounted hierarchy.
#[derive(Debug)]
struct Hierarchy {
    /// The controllers or name as in /proc/PID/cgroup; empty for version 2.
    name: String,
    mount: PathBuf,
    /// Which part of it is mounted.
    root: String,
    /// Keeps a mount that only we have.
    _mounted: Option<OwnedFd>,
}

/// All that can be reached.
#[derive(Debug, Default)]
pub struct Hierarchies(Vec<Hierarchy>);

impl Hierarchies {
    /// Those that are mounted here.
    pub fn mounted() -> Hierarchies {
        Hierarchies(mounted(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a group is in the file system; whether it is there is another question.
    pub fn folder(&self, group: &Cgroup) -> Option<PathBuf> {
        self.0.iter().find_map(|h| h.folder(group))
    }

    /// The same; a hierarchy that nobody has mounted here is, for us alone. One with a name comes into being
    /// where it was gone.
    pub fn reach(&mut self, group: &Cgroup) -> Option<PathBuf> {
        if self.folder(group).is_none() && !self.0.iter().any(|h| h.name == group.hierarchy) {
            let line = format!(":{}:", group.hierarchy);
            let known = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            if group.hierarchy.starts_with(NAMED) || known.lines().any(|l| l.contains(&line)) {
                self.0.extend(mount(&group.hierarchy).ok());
            }
        }
        self.folder(group)
    }
}

impl Hierarchy {
    fn folder(&self, group: &Cgroup) -> Option<PathBuf> {
        if self.name != group.hierarchy {
            return None;
        }
        let below = group.path.strip_prefix(self.root.trim_end_matches('/'))?;
        // What an image says leads nowhere else.
        let plain = below.split('/').all(|part| part != "..") && (below.is_empty() || below.starts_with('/'));
        plain.then(|| self.mount.join(below.trim_start_matches('/')))
    }
}

impl Cgroup {
    /// The hierarchy in words.
    pub fn word(&self) -> &str {
        if self.hierarchy.is_empty() { "version 2" } else { &self.hierarchy }
    }
}

/// How often a hierarchy is asked for that is just going, and how long it is given in between.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// Mounts a hierarchy where nobody else sees it.
fn mount(name: &str) -> io::Result<Hierarchy> {
    for _ in 1..TRIES {
        match mount_once(name) {
            // The last mount of one with this name has just been taken away, and the kernel is still at it.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
    mount_once(name)
}

fn mount_once(name: &str) -> io::Result<Hierarchy> {
    let kind = if name.is_empty() { "cgroup2" } else { "cgroup" };
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(name) = name.strip_prefix(NAMED) {
        fsconfig_set_flag(context.as_fd(), "none")?;
        fsconfig_set_string(context.as_fd(), "name", name)?;
    } else {
        for controller in name.split(',').filter(|c| !c.is_empty()) {
            match controller.strip_prefix(NAMED) {
                Some(name) => fsconfig_set_string(context.as_fd(), "name", name)?,
                None => fsconfig_set_flag(context.as_fd(), controller)?,
            }
        }
    }
    fsconfig_create(context.as_fd())?;
    let mounted = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    Ok(Hierarchy {
        name: name.to_owned(),
        mount: format!("/proc/self/fd/{}", mounted.as_raw_fd()).into(),
        root: "/".to_owned(),
        _mounted: Some(mounted),
    })
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
        all.push(Hierarchy {
            name,
            mount: Path::new(place).to_owned(),
            root: root.to_owned(),
            _mounted: None,
        });
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
        assert_eq!(all[0].folder(&group("cpu,cpuacct", "/boxes")), None);
        assert_eq!(all[1].folder(&group("", "/a/../../etc")), None);
    }
}
