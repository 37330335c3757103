//! Where the roots of a cgroup namespace are (cgroup_namespaces(7)): the kernel tells the path of a process' group
//! from the root of the namespace of whoever asks, so that two answers tell the way between the roots.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use torpor_sys::ids;

use super::compare::in_thread;
use crate::capture::cgroups_of;
use crate::model::{Cgroup, Namespace, Pid};
use crate::proc;

/// The root in each hierarchy, as we see groups.
pub fn roots(namespace: OwnedFd, link: &str, members: &[Pid]) -> Result<Namespace, String> {
    let inside: Vec<Pid> = members
        .iter()
        .copied()
        .filter(|pid| proc::link(*pid, "ns/cgroup").is_ok_and(|l| l == link))
        .collect();
    if inside.is_empty() {
        return Err(", which no process of the tree is in".to_owned());
    }
    let read = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let seen_here: Vec<String> = inside.iter().map(read).collect();
    let seen_there = in_thread(move || {
        ids::enter_namespace(namespace.as_fd(), libc::CLONE_NEWCGROUP)?;
        Ok(inside
            .iter()
            .map(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
            .collect())
    });
    let seen_there: Vec<String> = seen_there.map_err(|e| format!(", which can't be looked into: {e}"))?;
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (here, there) in seen_here.iter().zip(&seen_there) {
        let there = cgroups_of(there);
        for group in cgroups_of(here) {
            let below = there.iter().find(|g| g.hierarchy == group.hierarchy);
            let root = below.and_then(|below| above(&group.path, &below.path));
            let known = found.entry(group.hierarchy).or_default();
            *known = known.take().or(root);
        }
    }
    let mut roots = Vec::new();
    for (hierarchy, path) in found {
        let group = Cgroup { hierarchy, path: path.unwrap_or_default() };
        if group.path.is_empty() {
            return Err(format!(
                ", whose root in the hierarchy {} all its processes have left",
                group.word()
            ));
        }
        if group.path.starts_with("/..") {
            return Err(", whose root is out of sight from here".to_owned());
        }
        roots.push(group);
    }
    Ok(Namespace::Cgroup { roots })
}

/// What is left of a path when its end is taken away; nothing where it does not end so.
fn above(path: &str, end: &str) -> Option<String> {
    let root = path.strip_suffix(end.trim_end_matches('/'))?;
    Some(if root.is_empty() { "/".to_owned() } else { root.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::above;

    #[test]
    fn a_root_is_what_both_ways_do_not_share() {
        assert_eq!(above("/a/b/c", "/b/c").as_deref(), Some("/a"));
        assert_eq!(above("/a/b", "/").as_deref(), Some("/a/b"));
        assert_eq!(above("/", "/").as_deref(), Some("/"));
        assert_eq!(above("/a", "/a").as_deref(), Some("/"));
        assert_eq!(above("/a/c", "/../c"), None);
    }
}
