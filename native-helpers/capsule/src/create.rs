//! Starts capsules: the caller's side.
//!
//! [`Capsule::create`] runs a program, [`Capsule::create_for_restore`] lets a closure (the engine's
//! restore) build the tree as init's children. Both return once the application runs, or leave
//! nothing behind.

use crate::error::{CapsuleError, Result};
use crate::guardian;
use crate::raw::{self, Fork};
use crate::record::CapsuleRecord;
use crate::report::{self, Received, Reporter};
use crate::runtime_folder::RuntimeFolder;
use crate::spec::{Program, Spec};
use crate::user::Identity;
use rustix::process::WaitOptions;
use serde_json::Value;
use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

/// A running capsule, as its creator sees it.
#[derive(Clone, Debug)]
pub struct Capsule {
    pub record: CapsuleRecord,
    pub folder: PathBuf,
    /// What the build closure returned ([`Built::result`]); null for a program.
    pub result: Value,
}

/// What a build closure gets. It runs in init (PID 1), after the mounts and the terminal are there
/// and before init's event loop: the processes it makes are init's children, and the first free
/// PID is 2.
pub struct BuildContext<'a> {
    /// The terminal, `/dev/pts/0`, with size, attributes and screen already as they were.
    /// No process has it as controlling terminal yet.
    pub terminal: Option<BorrowedFd<'a>>,
    /// Its master side. Stays with init; for what only a master can do.
    pub terminal_master: Option<BorrowedFd<'a>>,
    /// The application's cgroup folder, for `clone3(CLONE_INTO_CGROUP)`.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Its `cgroup.procs`: a process joins by writing "0".
    pub cgroup_processes: Option<BorrowedFd<'a>>,
    /// Where `ctl/` is inside.
    pub control_folder: Option<&'a Path>,
    /// Progress to the caller, and whether it wants this to stop.
    pub reporter: &'a Reporter,
    /// Descriptors of init's own. Children must not keep them: close all others than the tree's.
    pub init_descriptors: Vec<RawFd>,
}

/// What a build closure made.
pub struct Built {
    /// The application's root process (PID inside): its end is the capsule's end.
    pub root_pid: i32,
    /// Handed to the caller as [`Capsule::result`].
    pub result: Value,
    /// Work that init does from its event loop, for instance paging memory in.
    pub background: Vec<Box<dyn Background>>,
}

/// A build closure's failure: any JSON, passed to the caller as [`CapsuleError::Build`].
#[derive(Clone, Debug, PartialEq)]
pub struct BuildFailure(pub Value);

/// Work that goes on in init's event loop after a restore. It must never block: the terminal waits
/// for it.
pub trait Background {
    /// All descriptors it owns; init closes every descriptor that nobody names.
    fn owned_descriptors(&self) -> Vec<RawFd>;
    /// Those to wait on for reading.
    fn wait_for(&self) -> Vec<BorrowedFd<'_>>;
    /// Called when one of [`Background::wait_for`] is ready, and repeatedly while
    /// [`Background::has_more`]. Returns false when all is done.
    fn step(&mut self) -> bool;
    /// Whether to call [`Background::step`] again even when nothing is ready.
    fn has_more(&self) -> bool;
    /// Why the application must not go on, if it must not: the capsule ends, and `exit.json` has this as the
    /// reason. Asked after a step.
    fn failure(&self) -> Option<String> {
        None
    }
}

type Build<'a> = Box<dyn FnOnce(&mut BuildContext<'_>) -> Result<Built, BuildFailure> + 'a>;

/// How the application's root comes to be.
pub(crate) enum Root<'a> {
    Program { program: &'a Program, identity: Identity },
    Build(Build<'a>),
}

impl Capsule {
    /// Runs a program in a new capsule; returns when it has been exec'ed.
    ///
    /// # Errors
    /// See [`CapsuleError`]; nothing is left behind.
    pub fn create(spec: &Spec, program: &Program) -> Result<Self> {
        let identity = match &program.user {
            Some(user) => Identity::resolve(user)?,
            None => Identity::current(),
        };
        if program.argv.first().is_none_or(|command| command.is_empty()) {
            return Err(CapsuleError::NoCommand);
        }
        let mut spec = spec.clone();
        if spec.command.is_empty() {
            let text =
                |s: &std::ffi::OsString| <OsStr as AsRef<OsStr>>::as_ref(s).to_string_lossy().into_owned();
            spec.command = program.argv.iter().map(text).collect();
        }
        start(&spec, Root::Program { program, identity }, None, &mut |_| {})
    }

    /// Builds a new capsule whose tree comes from `build`, which runs in init.
    ///
    /// Lines that `build` reports go to `on_line`. When `cancel` becomes readable, or the caller
    /// dies, or `build` fails, the capsule and everything in it disappears. Call it from a
    /// single-threaded process: `build` runs in a fork of it.
    ///
    /// # Errors
    /// [`CapsuleError::Build`] for the closure's own failure.
    pub fn create_for_restore(
        spec: &Spec,
        cancel: Option<BorrowedFd<'_>>,
        on_line: &mut dyn FnMut(&Value),
        build: impl FnOnce(&mut BuildContext<'_>) -> Result<Built, BuildFailure>,
    ) -> Result<Self> {
        start(spec, Root::Build(Box::new(build)), cancel, on_line)
    }
}

fn start(
    spec: &Spec,
    root: Root<'_>,
    cancel: Option<BorrowedFd<'_>>,
    on_line: &mut dyn FnMut(&Value),
) -> Result<Capsule> {
    spec.validate()?;
    let folder = RuntimeFolder::claim(&spec.run_folder, &spec.id)?;
    let (mut receiver, reporter) = report::channel().inspect_err(|_| folder.remove())?;
    let guardian = match raw::fork() {
        Ok(Fork::Child) => {
            drop(receiver);
            guardian::run(spec, &folder, reporter, root)
        }
        Ok(Fork::Parent(pid)) => pid,
        Err(error) => {
            folder.remove();
            return Err(CapsuleError::step("fork", error));
        }
    };
    drop(reporter);
    let mut result = Value::Null;
    let outcome = loop {
        match receiver.next(cancel) {
            Received::Line(line) => match line.get("type").and_then(Value::as_str) {
                Some("capsule-built") => result = line["result"].clone(),
                Some("capsule-started") => {
                    break serde_json::from_value(line["record"].clone()).map_err(|_| {
                        CapsuleError::InitDied { detail: " (it reported something unreadable)".into() }
                    });
                }
                Some("capsule-failed") => {
                    break Err(serde_json::from_value(line["error"].clone())
                        .unwrap_or_else(|_| CapsuleError::InitDied { detail: format!(": {line}") }));
                }
                _ => on_line(&line),
            },
            Received::CancelRequested => receiver.cancel(),
            Received::End if receiver.was_cancelled() => break Err(CapsuleError::Cancelled),
            Received::End => break Err(CapsuleError::InitDied { detail: log_hint(&folder) }),
        }
    };
    let _ = wait_for(guardian);
    match outcome {
        Ok(record) => Ok(Capsule { record, folder: folder.path().to_owned(), result }),
        Err(error) => {
            // The guardian has done this, unless it was killed itself.
            folder.remove_if_left();
            Err(if receiver.was_cancelled() { CapsuleError::Cancelled } else { error })
        }
    }
}

pub(crate) fn wait_for(child: rustix::process::Pid) -> Option<rustix::process::WaitStatus> {
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(found) => return found.map(|(_, status)| status),
            Err(_) => return None,
        }
    }
}

/// The last line of init's log, for an end that nobody explained.
fn log_hint(folder: &RuntimeFolder) -> String {
    std::fs::read_to_string(folder.path().join(crate::runtime_folder::INIT_LOG))
        .ok()
        .and_then(|log| log.lines().rev().find(|l| !l.is_empty()).map(|line| format!(": {line}")))
        .unwrap_or_default()
}
