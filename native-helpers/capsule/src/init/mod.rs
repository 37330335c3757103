//! The capsule's init: PID 1, from its first instruction to the event loop.
//!
//! Up to the commit it dies with the guardian (parent-death signal), so a half-built capsule never
//! stays. As PID 1 it receives no signal that it has not asked for, but SIGKILL from outside, which
//! ends the whole capsule at once: the kernel kills a PID namespace with its init.

mod askers;
mod clients;
mod ending;
mod event_loop;
mod output_log;
mod sockets;
mod terminal_side;

use crate::cgroup::CapsuleGroup;
use crate::create::{Background, BuildContext, Built, Root};
use crate::display;
use crate::error::{CapsuleError, Errno, Result};
use crate::guardian::Commit;
use crate::mounts::{self, Mounted};
use crate::namespaces;
use crate::program::{self, Connections};
use crate::pty::Pty;
use crate::raw;
use crate::report::Reporter;
use crate::runtime_folder::RuntimeFolder;
use crate::spec::{Io, Spec, TemporaryFiles};
use rustix::fs::{Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, UCred};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use terminal_side::TerminalSide;

/// What init is given by the guardian, of which it is a fork.
pub(crate) struct InitParts<'a> {
    pub spec: &'a Spec,
    pub folder: &'a RuntimeFolder,
    pub reporter: &'a Reporter,
    pub guardian: OwnedFd,
    pub group: Option<&'a CapsuleGroup>,
}

/// Init with everything it needs to serve.
struct Ready {
    root: Pid,
    terminal: Option<TerminalSide>,
    sockets: sockets::Listeners,
    signals: OwnedFd,
    log: Option<File>,
    background: Vec<Box<dyn Background>>,
    /// Names that nobody else may have while the capsule lives.
    _reserved: Vec<display::Reserved>,
}

/// Init's whole life.
pub(crate) fn run(parts: InitParts<'_>, root: Root<'_>) -> ! {
    let (folder, group) = (parts.folder, parts.group);
    let ready = match catch_unwind(AssertUnwindSafe(|| prepare(&parts, root))) {
        Ok(Ok(ready)) => ready,
        Ok(Err(error)) => {
            parts.reporter.send(&serde_json::json!({ "type": "capsule-failed", "error": error }));
            raw::exit_now(1)
        }
        // The panic's message is in init.log; the caller quotes its last line.
        Err(_) => raw::exit_now(101),
    };
    event_loop::run(ready, folder, group)
}

fn prepare(parts: &InitParts<'_>, root: Root<'_>) -> Result<Ready> {
    let InitParts { spec, folder, reporter, guardian, group } = parts;
    let step = |what: &'static str| move |errno: rustix::io::Errno| CapsuleError::step(what, errno);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(step("tie init to its guardian"))?;
    let _ = rustix::thread::set_name(c"torpor-init");
    raw::reset_signals();
    let signals = raw::signal_descriptor(&[libc::SIGCHLD, libc::SIGTERM])
        .map_err(|e| CapsuleError::step("prepare for signals", e))?;
    rustix::process::setsid().map_err(step("start a session"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if let Some(group) = group
        && let Err(error) = group.move_init_here()
    {
        tracing::warn!(%error, "init stays in its caller's cgroup");
    }
    let cgroup_processes = group.and_then(|g| g.application_processes().ok());
    let cgroup = group.and_then(|g| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(g.application(), flags, Mode::empty()).ok()
    });

    namespaces::separate_mounts_and_ipc()?;
    let Mounted { control_folder, mut notes } =
        mounts::build(&folder.control_folder(), spec.temporary_files)?;
    let owner = match &root {
        Root::Program { identity, .. } if identity.uid != 0 => Some(identity.uid),
        _ => None,
    };
    let terminal = TerminalSide::open(&spec.io, owner)?;
    let log = match &spec.io {
        Io::Log | Io::Display(_) => Some(output_log::open(folder, control_folder.as_deref(), owner)?),
        _ => None,
    };
    let sockets = sockets::Listeners::bind(folder, terminal.is_some())?;

    let (root_pid, background, reserved) = match root {
        Root::Program { program, identity } => {
            rustix::process::chdir("/").map_err(step("enter /"))?;
            let connections = Connections {
                terminal: terminal.as_ref().map(|t| t.pty.slave.as_fd()),
                log: log.as_ref().map(|l| l.as_fd()),
                cgroup_processes: cgroup_processes.as_ref().map(|f| f.as_fd()),
                control_folder: control_folder.as_deref(),
                passed: None,
                display: None,
                capsule: spec.id.as_str(),
                private_tmp: spec.temporary_files == TemporaryFiles::Private,
            };
            let display = match (&spec.io, &log) {
                (Io::Display(size), Some(log)) => Some(display::start(*size, &identity, &connections, log)?),
                _ => None,
            };
            let name = display.as_ref().map(|d| d.name.as_str());
            let root = program::start(program, &identity, &Connections { display: name, ..connections })?;
            (root, Vec::new(), display.into_iter().map(|d| d.reserved).collect())
        }
        Root::Build(build) => {
            let pty = terminal.as_ref().map(|t| &t.pty);
            let mut context = BuildContext {
                terminal: pty.map(|p| p.slave.as_fd()),
                terminal_master: pty.map(|p| p.master.as_fd()),
                cgroup: cgroup.as_ref().map(|f| f.as_fd()),
                cgroup_processes: cgroup_processes.as_ref().map(|f| f.as_fd()),
                control_folder: control_folder.as_deref(),
                reporter,
                init_descriptors: own_descriptors(parts, &signals, pty, &sockets, log.as_ref()),
            };
            let built = build(&mut context)
                .map_err(|crate::create::BuildFailure(failure)| CapsuleError::Build { failure })?;
            let Built { root_pid, result, background } = built;
            let root = Pid::from_raw(root_pid).ok_or(CapsuleError::Step {
                step: "find the restored tree's root".into(),
                errno: Errno(libc::ESRCH),
            })?;
            if !result.is_null() {
                reporter.send(&serde_json::json!({ "type": "capsule-built", "result": result }));
            }
            rustix::process::chdir("/").map_err(step("enter /"))?;
            let reserved = match &spec.io {
                Io::Display(_) => display::reserve_restored(&mut notes),
                _ => Vec::new(),
            };
            (root, background, reserved)
        }
    };
    drop((cgroup, cgroup_processes));

    rustix::process::set_parent_process_death_signal(None).map_err(step("let go of the guardian"))?;
    let commit = Commit { root_pid_inside: root_pid.as_raw_nonzero().get(), control_folder, notes };
    confirm(guardian, &commit, root_pid)?;
    // The caller's descriptors came along for the build closure, which is done with them; the ways
    // to guardian and caller have served.
    let pty = terminal.as_ref().map(|t| &t.pty);
    let mut keep = own_descriptors(parts, &signals, pty, &sockets, log.as_ref());
    keep.extend(reserved.iter().map(AsRawFd::as_raw_fd));
    keep.extend(background.iter().flat_map(|b| b.owned_descriptors()));
    let served = [vec![guardian.as_raw_fd()], reporter.descriptors().to_vec()].concat();
    keep.retain(|fd| !served.contains(fd));
    raw::close_all_but(3, &keep);
    Ok(Ready { root: root_pid, terminal, sockets, signals, log, background, _reserved: reserved })
}

/// Everything that init itself holds open.
fn own_descriptors(
    parts: &InitParts<'_>,
    signals: &OwnedFd,
    pty: Option<&Pty>,
    sockets: &sockets::Listeners,
    log: Option<&File>,
) -> Vec<RawFd> {
    let mut all = vec![signals.as_raw_fd(), parts.guardian.as_raw_fd()];
    all.extend(parts.folder.descriptors());
    all.extend(parts.reporter.descriptors());
    all.extend(sockets.descriptors());
    all.extend(pty.into_iter().flat_map(|p| [p.master.as_raw_fd(), p.slave.as_raw_fd()]));
    all.extend(log.map(|l| l.as_raw_fd()));
    all
}

/// Tells the guardian that the application runs and waits for its word. Without it (the guardian
/// or its caller is gone) init ends, and the capsule with it.
fn confirm(guardian: &OwnedFd, commit: &Commit, root: Pid) -> Result<()> {
    let lost = || CapsuleError::InitDied { detail: " (its guardian is gone)".into() };
    let message = serde_json::to_vec(commit).map_err(|_| lost())?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let credentials = UCred { pid: root, uid: rustix::process::getuid(), gid: rustix::process::getgid() };
    control.push(SendAncillaryMessage::ScmCredentials(credentials));
    rustix::net::sendmsg(guardian, &[IoSlice::new(&message)], &mut control, SendFlags::empty())
        .map_err(|errno| CapsuleError::step("report the application's PID", errno))?;
    let mut answer = [0; 8];
    match rustix::io::read(guardian, &mut answer) {
        Ok(length) if &answer[..length] == b"go" => Ok(()),
        _ => Err(lost()),
    }
}
