//! Namespaces that a tree has made for itself (namespaces(7)), which a restore makes anew: what has to be known of
//! each, or why that can't be done.

mod cgroup;
mod child;
mod compare;
mod inside;
mod make;
mod user;

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use self::compare::{Compared, in_thread, ipc, network};
pub use self::inside::InNetwork;
pub use self::make::{make, make_uts};
pub use self::user::{describe as describe_user, is_own as is_own_user, owner, parent};
use crate::model::{Namespace, Pid};
use crate::proc::stat::Stat;
use crate::proc::{self, tree};

/// What has been found out of namespaces, by the text of their links.
#[derive(Debug, Default)]
pub struct Judged(HashMap<String, Result<Namespace, String>>);

impl Judged {
    /// What it takes to make a namespace of a stopped or running process anew, or why that can't be done. `kind` is
    /// its name in /proc/PID/ns, `link` the text there; `members` are the processes that may be in it.
    pub fn namespace(
        &mut self,
        pid: Pid,
        kind: &str,
        link: &str,
        members: &[Pid],
    ) -> Result<Namespace, String> {
        let open = || fs::File::open(format!("/proc/{pid}/ns/{kind}")).map(OwnedFd::from);
        self.0.entry(link.to_owned()).or_insert_with(|| judge(open, kind, link, members)).clone()
    }

    /// The same of a namespace that is known by a descriptor, and that perhaps nobody is in.
    pub fn open(
        &mut self,
        namespace: BorrowedFd<'_>,
        kind: &str,
        link: &str,
        members: &[Pid],
    ) -> Result<Namespace, String> {
        let judge = || judge(|| namespace.try_clone_to_owned(), kind, link, members);
        self.0.entry(link.to_owned()).or_insert_with(judge).clone()
    }
}

fn judge(
    open: impl FnOnce() -> io::Result<OwnedFd>,
    kind: &str,
    link: &str,
    members: &[Pid],
) -> Result<Namespace, String> {
    if !matches!(kind, "net" | "ipc" | "cgroup" | "user") {
        return Err(String::new());
    }
    known_elsewhere(kind, link, members)?;
    let unseen = |e| format!(", which can't be looked into: {e}");
    let file = open().map_err(unseen)?;
    let compared = match kind {
        "cgroup" => return cgroup::roots(file, link, members),
        "user" => return user::describe(&file).map(Namespace::User).map_err(unseen),
        "net" => in_thread(move || network(file)),
        _ => in_thread(move || ipc(file)),
    };
    match compared {
        Ok(Compared::Like(namespace)) => Ok(namespace),
        Ok(Compared::Differs(what)) => Err(format!(", with more in it than a new one has ({what})")),
        Err(e) => Err(unseen(e)),
    }
}

/// Host and domain name of a UTS namespace that is known by a descriptor.
pub fn uts_names(namespace: BorrowedFd<'_>, link: &str, members: &[Pid]) -> Result<(String, String), String> {
    known_elsewhere("uts", link, members)?;
    let names = namespace.try_clone_to_owned().and_then(|namespace| {
        in_thread(move || {
            torpor_sys::ids::enter_namespace(namespace.as_fd(), libc::CLONE_NEWUTS)?;
            let names = rustix::system::uname();
            let text = |name: &CStr| name.to_string_lossy().into_owned();
            Ok((text(names.nodename()), text(names.domainname())))
        })
    });
    names.map_err(|e| format!(", which can't be looked into: {e}"))
}

/// Whether others than the tree know a namespace: they would not be in the one that is made anew.
fn known_elsewhere(kind: &str, link: &str, members: &[Pid]) -> Result<(), String> {
    if let Some(other) = member_outside(kind, link, members) {
        return Err(format!(", which process {other} outside the tree is in as well"));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounts.lines().any(|line| line.split(' ').nth(3) == Some(link)) {
        return Err(", which has a name in the file system".to_owned());
    }
    Ok(())
}

/// A process outside the tree that is in the namespace.
fn member_outside(kind: &str, link: &str, members: &[Pid]) -> Option<Pid> {
    let own = std::process::id() as Pid;
    let others = tree::everyone_but(members).unwrap_or_default().into_iter().filter(|pid| *pid != own);
    others
        .into_iter()
        .find(|pid| proc::link(*pid, &format!("ns/{kind}")).is_ok_and(|l| l == link) && lives(*pid))
}

/// A zombie still shows the user namespace that it was in: a copy that an earlier capture has written from, for
/// instance.
fn lives(pid: Pid) -> bool {
    Stat::of(pid).is_ok_and(|stat| !stat.is_zombie())
}

impl Namespace {
    /// Its name in /proc/PID/ns.
    pub fn word(&self) -> &'static str {
        match self {
            Namespace::Network { .. } => "net",
            Namespace::Ipc => "ipc",
            Namespace::Cgroup { .. } => "cgroup",
            Namespace::User(_) => "user",
        }
    }

    /// CLONE_NEW*, as unshare(2) and setns(2) take it.
    pub fn clone_flag(&self) -> i32 {
        match self {
            Namespace::Network { .. } => libc::CLONE_NEWNET,
            Namespace::Ipc => libc::CLONE_NEWIPC,
            Namespace::Cgroup { .. } => libc::CLONE_NEWCGROUP,
            Namespace::User(_) => libc::CLONE_NEWUSER,
        }
    }
}
