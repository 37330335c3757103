//! Namespaces of a process that are not its capturer's: what the program has made for itself.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use torpor_sys::memory::{Kcmp, kcmp};

use super::collect::Collector;
use super::process::CaptureProcessError;
use crate::blocker::Obstacle;
use crate::freeze::FrozenProcess;
use crate::inject::{InjectError, Remote};
use crate::model::{FileId, FileKind, Namespace, OpenFile, Process};
use crate::own_namespace::{self, Judged};
use crate::proc::stat::Stat;
use crate::proc::task::{self, NAMESPACES_OF_A_THREAD, NamespaceLinks};
use crate::proc::{self, tree};

/// Kinds that a restore makes anew only where [`Judged`] says so, with what to do about the others.
const KINDS: [(&str, &str); 7] = [
    (
        "user",
        "run the program without the namespaces of its sandbox (for Firefox: MOZ_ASSUME_USER_NS=0, which leaves it \
         its system call filters; for Chromium: --no-sandbox)",
    ),
    ("mnt", "run the program without its own mounts"),
    ("pid", "run the program without its own PID namespace"),
    (
        "net",
        "run the program in the network of the machine, or with nothing in its own but the loopback device",
    ),
    (
        "ipc",
        "run it in a capsule, which has an IPC namespace of its own, or let it remove what is in its own",
    ),
    ("cgroup", "run it without a cgroup namespace of its own"),
    ("time", "run it in a capsule, which has a time namespace of its own"),
];

/// Of the flags of /proc/PID/stat (include/linux/sched.h).
const PF_EXITING: u32 = 4;

/// Every namespace of the process that is not ours and can't be made anew: what it is, and why it is in the way.
/// From /proc alone, for a living process as well.
pub fn foreign(pid: i32, tree: &[i32], judged: &mut Judged) -> Vec<(String, Obstacle)> {
    let mut obstacles = sort_out(pid, tree, judged).obstacles;
    let threads = tree::threads(pid).unwrap_or_default();
    if threads.len() > 1 {
        let links = task::namespaces(pid);
        let other = |tid| of_thread(pid, tid, &links, &task::namespaces(tid));
        obstacles.extend(threads.into_iter().filter(|tid| *tid != pid).filter_map(other));
    }
    obstacles
}

#[derive(Default)]
struct SortedOut {
    obstacles: Vec<(String, Obstacle)>,
    /// Each with the text of its link.
    made_anew: Vec<(Namespace, String)>,
}

fn sort_out(pid: i32, tree: &[i32], judged: &mut Judged) -> SortedOut {
    let mut sorted = SortedOut::default();
    for (kind, remedy) in KINDS {
        let Some(theirs) = not_ours(pid, kind) else { continue };
        match judged.namespace(pid, kind, &theirs, tree) {
            Ok(namespace) => {
                if kind == "user" {
                    sorted.obstacles.extend(bound(pid, tree).map(|o| (format!("{kind} namespace"), o)));
                }
                sorted.made_anew.push((namespace, theirs));
            }
            Err(why) => {
                let obstacle = Obstacle::unsupported(
                    "namespace",
                    format!("the program has made a {kind} namespace of its own ({theirs}){why}"),
                    remedy,
                );
                sorted.obstacles.push((format!("{kind} namespace"), obstacle));
            }
        }
    }
    sorted.obstacles.extend(["pid", "time"].into_iter().filter_map(|kind| for_children(pid, kind)));
    sorted
}

/// A namespace that the next children of a process would be in, and it is not itself (unshare(2), pid_namespaces(7),
/// time_namespaces(7)).
fn for_children(pid: i32, kind: &str) -> Option<(String, Obstacle)> {
    let of_children = link(pid, &format!("{kind}_for_children"));
    // A PID namespace has no name until there is a first process in it; one that ends has none of any kind.
    let alive = link(pid, "uts").is_ok();
    let differs = match (of_children, link(pid, kind)) {
        (Ok(of_children), Ok(own)) => of_children != own,
        (Err(e), Ok(_)) => kind == "pid" && e.kind() == io::ErrorKind::NotFound && alive,
        _ => false,
    };
    let remedy = KINDS.iter().find(|(k, _)| *k == kind).map_or("", |(_, remedy)| remedy);
    let message = format!("the program has made a {kind} namespace for its next children (unshare)");
    differs.then(|| (format!("{kind} namespace"), Obstacle::unsupported("namespace", message, remedy)))
}

/// What keeps a new process from entering a user namespace under its old number (setns(2)).
fn bound(pid: i32, tree: &[i32]) -> Option<Obstacle> {
    let shares = |other: &&i32| **other != pid && kcmp(pid, **other, Kcmp::Fs, 0, 0).is_ok_and(|o| o.is_eq());
    let what = if tree::threads(pid).unwrap_or_default().len() > 1 {
        "several threads".to_owned()
    } else {
        format!("its working directory in common with process {} (CLONE_FS)", tree.iter().find(shares)?)
    };
    let message = format!("the program has made a user namespace of its own, and has {what} in it");
    Some(Obstacle::unsupported("namespace", message, KINDS[0].1))
}

/// Notes what threads of the process have that it has not itself.
pub fn note_threads(collector: &mut Collector, frozen: &FrozenProcess) -> Result<(), CaptureProcessError> {
    let [first, others @ ..] = frozen.threads.as_slice() else { return Ok(()) };
    for thread in others {
        let links = &first.facts(frozen.pid)?.namespaces;
        let own = &thread.facts(frozen.pid)?.namespaces;
        if let Some((subject, obstacle)) = of_thread(frozen.pid, thread.tid, links, own) {
            collector.block(frozen.pid, &frozen.stat.comm, subject, obstacle)?;
        }
    }
    Ok(())
}

/// What a thread has that is not its process' (unshare(2) and setns(2), called by a thread). `links` are those of its
/// process, `own` those of the thread.
fn of_thread(pid: i32, tid: i32, links: &NamespaceLinks, own: &NamespaceLinks) -> Option<(String, Obstacle)> {
    let differs = |(_, (of_process, own)): &(&str, (&Option<String>, &Option<String>))| {
        of_process.is_some() && own.is_some() && of_process != own
    };
    let what = match NAMESPACES_OF_A_THREAD.into_iter().zip(links.iter().zip(own)).find(differs) {
        Some((kind, _)) => format!("a {kind} namespace of its own"),
        None if kcmp(pid, tid, Kcmp::Files, 0, 0).is_ok_and(|o| o.is_ne()) => {
            "descriptors of its own".to_owned()
        }
        None => return None,
    };
    // One that is about to end has none of it already. Asked last: then it had not begun to.
    let ends = |task| Stat::of(task).map_or(true, |s| s.is_zombie() || s.flags & PF_EXITING != 0);
    if ends(pid) || ends(tid) {
        return None;
    }
    let obstacle = Obstacle::unsupported(
        "thread",
        format!("a thread has {what} (unshare or setns)"),
        "let the thread end before the capture, or use a process of its own for it",
    );
    Some((format!("thread {tid}"), obstacle))
}

/// What tells one namespace of a kind from others (namespaces(7)).
fn link(pid: i32, kind: &str) -> io::Result<String> {
    proc::link(pid, &format!("ns/{kind}"))
}

/// What tells the namespace of a process, where it is not ours.
pub fn not_ours(pid: i32, kind: &str) -> Option<String> {
    let (theirs, ours) = (link(pid, kind).ok()?, link(std::process::id() as i32, kind).ok()?);
    (theirs != ours).then_some(theirs)
}

/// Notes a blocker for each of them, or what it takes to make them anew.
pub fn note(
    collector: &mut Collector,
    frozen: &FrozenProcess,
    process: &mut Process,
) -> Result<(), CaptureProcessError> {
    let mut judged = std::mem::take(&mut collector.namespaces);
    let SortedOut { obstacles, made_anew } = sort_out(frozen.pid, &collector.pids, &mut judged);
    for (subject, obstacle) in obstacles {
        collector.block(frozen.pid, &frozen.stat.comm, subject, obstacle)?;
    }
    collector.namespaces = judged;
    for (namespace, link) in made_anew {
        let kind = namespace.word();
        let id = collector.plain(link.clone(), |_| Ok(open_file(FileKind::Namespace(namespace), link)))?;
        note_owner(collector, frozen.pid, kind, id)?;
        process.own_namespaces.push(id);
    }
    Ok(())
}

/// The network namespace behind a descriptor, where processes of the tree are in it and it can be made anew.
pub fn network(collector: &mut Collector, network: &OwnedFd) -> Result<Option<FileId>, Obstacle> {
    let link = proc::link(std::process::id() as i32, &format!("fd/{}", network.as_raw_fd()))?;
    let mut judged = std::mem::take(&mut collector.namespaces);
    let found = carried_network(&link, &collector.pids, &mut judged);
    collector.namespaces = judged;
    let Some((pid, namespace)) = found else { return Ok(None) };
    let id = collector.plain(link.clone(), |_| Ok(open_file(FileKind::Namespace(namespace), link)))?;
    note_owner(collector, pid, "net", id)?;
    Ok(Some(id))
}

/// Notes a namespace that is known by a descriptor, unless it is known already.
pub fn of_descriptor(
    collector: &mut Collector,
    namespace: BorrowedFd<'_>,
    link: &str,
    kind: &str,
    made_anew: FileKind,
) -> Result<FileId, Obstacle> {
    let id = collector.plain(link.to_owned(), |_| Ok(open_file(made_anew, link.to_owned())))?;
    note_owner_of(collector, namespace, kind, id)?;
    Ok(id)
}

/// A process of the tree in a network namespace that can be made anew, and how.
pub fn carried_network(link: &str, tree: &[i32], judged: &mut Judged) -> Option<(i32, Namespace)> {
    let member = tree.iter().copied().find(|pid| self::link(*pid, "net").is_ok_and(|l| l == link))?;
    Some((member, judged.namespace(member, "net", link, tree).ok()?))
}

/// Notes the user namespace that one of a process belongs to, or was made in, where that is not ours.
fn note_owner(collector: &mut Collector, pid: i32, kind: &str, id: FileId) -> Result<(), Obstacle> {
    let namespace = File::open(format!("/proc/{pid}/ns/{kind}"))?;
    note_owner_of(collector, namespace.as_fd(), kind, id)
}

fn note_owner_of(
    collector: &mut Collector,
    namespace: BorrowedFd<'_>,
    kind: &str,
    id: FileId,
) -> Result<(), Obstacle> {
    if let Some(above) = above(namespace, kind)? {
        let above = user_namespace(collector, &above, 0)?;
        collector.namespace_owners.insert(id, above);
    }
    Ok(())
}

/// The user namespace above one, where it is not ours.
fn above(namespace: BorrowedFd<'_>, kind: &str) -> io::Result<Option<OwnedFd>> {
    let above =
        if kind == "user" { own_namespace::parent(namespace) } else { own_namespace::owner(namespace) }?;
    Ok(if own_namespace::is_own_user(above.as_fd()) { None } else { Some(above) })
}

/// A user namespace that perhaps nobody is in, with those above.
fn user_namespace(collector: &mut Collector, fd: &OwnedFd, depth: usize) -> Result<FileId, Obstacle> {
    /// As many as the kernel allows (user_namespaces(7)).
    const MAX_DEPTH: usize = 33;
    let link = proc::link(std::process::id() as i32, &format!("fd/{}", fd.as_raw_fd()))?;
    let namespace = own_namespace::describe_user(fd)?;
    let id = collector
        .plain(link.clone(), |_| Ok(open_file(FileKind::Namespace(Namespace::User(namespace)), link)))?;
    if !collector.namespace_owners.contains_key(&id)
        && depth < MAX_DEPTH
        && let Some(above) = above(fd.as_fd(), "user")?
    {
        let above = user_namespace(collector, &above, depth + 1)?;
        collector.namespace_owners.insert(id, above);
    }
    Ok(id)
}

fn open_file(kind: FileKind, description: String) -> OpenFile {
    OpenFile { flags: libc::O_RDONLY, position: 0, owner: (0, 0, 0), kind, description }
}

/// Asks a process for the names in its UTS namespace.
pub fn uts_names(remote: &mut Remote<'_>, pid: i32) -> Result<(String, String), InjectError> {
    // struct new_utsname: six strings of this size.
    const FIELD: usize = 65;
    let scratch = remote.scratch()?;
    remote
        .call(libc::SYS_uname, [scratch, 0, 0, 0, 0, 0])?
        .map_err(|source| InjectError::Io { tid: pid, source })?;
    let raw = remote.read_vec(scratch, 6 * FIELD)?;
    let field = |i: usize| {
        let bytes = &raw[i * FIELD..][..FIELD];
        let len = bytes.iter().position(|b| *b == 0).unwrap_or(FIELD);
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    Ok((field(1), field(5)))
}

/// Notes the namespace, once for all processes that are in it.
pub fn uts(
    collector: &mut Collector,
    pid: i32,
    name: String,
    (host, domain): (String, String),
) -> Result<FileId, Obstacle> {
    let id =
        collector.plain(name.clone(), |_| Ok(open_file(FileKind::UtsNamespace { host, domain }, name)))?;
    note_owner(collector, pid, "uts", id)?;
    Ok(id)
}
