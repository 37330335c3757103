//! The process between the caller and init, for as long as the capsule is being built.
//!
//! It makes init (a PID namespace counts from the next child on), watches caller and init, undoes
//! everything when either is lost, and writes `capsule.json` at the commit: it is the one that sees
//! the capsule's PIDs as the caller does. Then it exits, and init belongs to nobody.

use crate::cgroup::{self, CapsuleGroup};
use crate::create::{Root, wait_for};
use crate::error::{CapsuleError, Result};
use crate::init::{self, InitParts};
use crate::raw::{self, Fork};
use crate::record::CapsuleRecord;
use crate::registry;
use crate::report::Reporter;
use crate::runtime_folder::{CAPSULE_JSON, INIT_LOG, RuntimeFolder};
use crate::spec::{Io, Spec};
use crate::{namespaces, timestamp};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// What init knows at the commit. The root's PID comes as the message's credentials, because the
/// kernel translates those between PID namespaces.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub root_pid_inside: i32,
    pub control_folder: Option<PathBuf>,
    pub notes: Vec<String>,
}

/// The guardian's whole life.
pub(crate) fn run(spec: &Spec, folder: &RuntimeFolder, reporter: Reporter, root: Root<'_>) -> ! {
    let mut group = None;
    let outcome = build(spec, folder, &reporter, root, &mut group);
    let status = match outcome {
        Ok(record) => {
            reporter.send(&serde_json::json!({ "type": "capsule-started", "record": record }));
            0
        }
        Err(error) => {
            if let Some(group) = group {
                group.kill();
                group.remove();
            }
            folder.remove();
            if let Some(error) = error {
                reporter.send(&serde_json::json!({ "type": "capsule-failed", "error": error }));
            }
            1
        }
    };
    raw::exit_now(status)
}

/// `Err(None)`: init has reported its failure itself, or nobody is there to report to.
fn build(
    spec: &Spec,
    folder: &RuntimeFolder,
    reporter: &Reporter,
    root: Root<'_>,
    group: &mut Option<CapsuleGroup>,
) -> Result<CapsuleRecord, Option<CapsuleError>> {
    detach(folder, reporter, matches!(root, Root::Program { .. }))?;
    let mut notes = Vec::new();
    *group = cgroup::find_root().and_then(|tree| {
        CapsuleGroup::create(&tree, spec.id.as_str(), &spec.run_folder)
            .inspect_err(|error| tracing::info!(%error, "no cgroup of its own"))
            .ok()
    });
    if group.is_none() {
        notes.push("no writable cgroup version 2 tree: the application is frozen process by process".into());
    }
    notes.extend(namespaces::separate_pid_and_time(spec.clocks)?);

    let (ours, inits) =
        net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|e| CapsuleError::step("create a socket pair", e))?;
    net::sockopt::set_socket_passcred(&ours, true).map_err(|e| CapsuleError::step("prepare a socket", e))?;

    let init = match raw::fork().map_err(|e| CapsuleError::step("fork init", e))? {
        Fork::Child => {
            drop(ours);
            init::run(InitParts { spec, folder, reporter, guardian: inits, group: group.as_ref() }, root)
        }
        Fork::Parent(pid) => {
            // It may own descriptors, which are closed below by their numbers.
            std::mem::forget(root);
            pid
        }
    };
    drop(inits);
    let [folder_fd, lock] = folder.descriptors();
    let [pipe, cancelled] = reporter.descriptors();
    raw::close_all_but(3, &[folder_fd, lock, pipe, cancelled, ours.as_raw_fd()]);

    let committed = commit(spec, folder, reporter, group.as_ref(), init, &ours, notes);
    if committed.is_err() {
        let _ = rustix::process::kill_process(init, Signal::KILL);
        let _ = wait_for(init);
    }
    committed
}

/// Leaves the caller's session and terminal. A program's capsule takes no descriptor along; a
/// build closure owns some that it needs, which init closes after it.
fn detach(folder: &RuntimeFolder, reporter: &Reporter, close: bool) -> Result<()> {
    raw::reset_signals();
    raw::ignore_signals(&[libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE]);
    rustix::process::setsid().map_err(|e| CapsuleError::step("start a session", e))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| CapsuleError::path("open", "/dev/null", e))?;
    let log = folder.open_log(INIT_LOG)?;
    for (fd, at) in [(&null, 0), (&log, 1), (&log, 2)] {
        raw::redirect(fd, at).map_err(|e| CapsuleError::step("redirect the standard descriptors", e))?;
    }
    if close {
        let [folder, lock] = folder.descriptors();
        let [pipe, cancelled] = reporter.descriptors();
        // `null` and `log` are among those closed here; nothing may close their numbers again.
        std::mem::forget((null, log));
        raw::close_all_but(3, &[folder, lock, pipe, cancelled]);
    }
    Ok(())
}

/// Waits for init to say that the application runs, and makes it official.
fn commit(
    spec: &Spec,
    folder: &RuntimeFolder,
    reporter: &Reporter,
    group: Option<&CapsuleGroup>,
    init: Pid,
    socket: &OwnedFd,
    mut notes: Vec<String>,
) -> Result<CapsuleRecord, Option<CapsuleError>> {
    loop {
        let mut fds = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(reporter.cancellation(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Err(None),
            Ok(_) => {}
        }
        if !fds[1].revents().is_empty() {
            return Err(None);
        }
        if !fds[0].revents().is_empty() {
            break;
        }
    }
    let Some((message, root_pid)) = receive(socket) else { return Err(None) };
    notes.extend(message.notes);
    let init_pid = init.as_raw_nonzero().get();
    let record = CapsuleRecord {
        id: spec.id.to_string(),
        init_pid,
        root_pid,
        root_pid_inside: message.root_pid_inside,
        init_start_ticks: registry::start_ticks(init_pid).unwrap_or(0),
        boot_id: registry::boot_id(),
        started_at: timestamp::now(),
        command: spec.command.clone(),
        tty: spec.io.size().is_some(),
        display: match &spec.io {
            Io::Display(size) => Some(size.to_string()),
            _ => None,
        },
        restored_from: spec.restored_from.clone(),
        cgroup: group.map(CapsuleGroup::application),
        control_folder: message.control_folder,
        notes,
    };
    folder.write_json(CAPSULE_JSON, &record)?;
    rustix::io::write(socket, b"go").map_err(|_| None)?;
    Ok(record)
}

/// `None` when init has ended instead.
fn receive(socket: &OwnedFd) -> Option<(Commit, i32)> {
    let mut buffer = vec![0; 65_536];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = net::RecvAncillaryBuffer::new(&mut space);
    let received = net::recvmsg(
        socket.as_fd(),
        &mut [IoSliceMut::new(&mut buffer)],
        &mut control,
        net::RecvFlags::CMSG_CLOEXEC,
    )
    .ok()?;
    let root_pid = control.drain().find_map(|message| match message {
        net::RecvAncillaryMessage::ScmCredentials(credentials) => {
            Some(credentials.pid.as_raw_nonzero().get())
        }
        _ => None,
    })?;
    let commit = serde_json::from_slice(&buffer[..received.bytes]).ok()?;
    Some((commit, root_pid))
}
