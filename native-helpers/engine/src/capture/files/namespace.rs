//! Open files of namespaces (/proc/PID/ns): of those that the restoring side is in as well, and of the tree's own.

use std::os::fd::{AsFd, BorrowedFd};

use super::Subject;
use crate::blocker::Obstacle;
use crate::capture::collect::Collector;
use crate::capture::{namespaces, refusal};
use crate::model::{FileKind, PathFile, Pid};
use crate::own_namespace::{Judged, uts_names};

pub fn capture(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let Some(kind) = kind(s.target) else { return Err(refusal::other(s.target)) };
    if is_ours(kind, s.target) {
        return Ok(FileKind::Path(PathFile::of(&format!("/proc/self/ns/{kind}"), s.stat)));
    }
    // An O_PATH descriptor does not answer: another one of the same file.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(s.dup));
    let namespace = std::fs::File::open(path)?;
    let mut judged = std::mem::take(&mut collector.namespaces);
    let made_anew = made_anew(namespace.as_fd(), kind, s.target, &collector.pids, &mut judged);
    collector.namespaces = judged;
    let made_anew = made_anew.map_err(|why| refusal::namespace_file(s.target, &why))?;
    let namespace = namespaces::of_descriptor(collector, namespace.as_fd(), s.target, kind, made_anew)?;
    Ok(FileKind::NamespaceFile { namespace })
}

/// What stands in the way of capturing an open file of a namespace. `open` gives a descriptor that answers.
pub fn refuse(
    target: &str,
    open: impl FnOnce() -> std::io::Result<std::fs::File>,
    tree: &[Pid],
    judged: &mut Judged,
) -> std::io::Result<Option<Obstacle>> {
    let Some(kind) = kind(target) else { return Ok(Some(refusal::other(target))) };
    if is_ours(kind, target) {
        return Ok(None);
    }
    let made_anew = made_anew(open()?.as_fd(), kind, target, tree, judged);
    Ok(made_anew.err().map(|why| refusal::namespace_file(target, &why)))
}

/// Its name in /proc/PID/ns, from the text of a link.
fn kind(target: &str) -> Option<&str> {
    let (kind, _) = target.split_once(":[")?;
    ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"].contains(&kind).then_some(kind)
}

/// Whether this process is in it too.
fn is_ours(kind: &str, target: &str) -> bool {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).is_ok_and(|own| own.to_str() == Some(target))
}

/// What it takes to make the namespace anew.
fn made_anew(
    namespace: BorrowedFd<'_>,
    kind: &str,
    link: &str,
    tree: &[Pid],
    judged: &mut Judged,
) -> Result<FileKind, String> {
    if kind == "uts" {
        let (host, domain) = uts_names(namespace, link, tree)?;
        return Ok(FileKind::UtsNamespace { host, domain });
    }
    judged.open(namespace, kind, link, tree).map(FileKind::Namespace)
}
