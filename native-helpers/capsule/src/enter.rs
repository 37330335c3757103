//! Runs a closure inside a living capsule.
//!
//! ```text
//! caller ── fork ──► keeper: joins the namespaces (PID counts from its child on)
//!                      └── fork ──► worker: runs the closure, sees the capsule's PIDs, /proc, clocks
//! ```
//!
//! Both processes start as copies of the caller, so descriptors opened before stay usable, while
//! paths lead into the capsule. The keeper outlives the worker: when the worker dies, or the caller
//! cancels or dies, it ends the worker and runs `cleanup`.

use crate::create::{BuildFailure, wait_for};
use crate::error::{CapsuleError, Result};
use crate::raw::{self, Fork};
use crate::record::CapsuleRecord;
use crate::registry;
use crate::report::{self, Received, Reporter};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::thread::ThreadNameSpaceType;
use serde_json::Value;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How [`enter`] behaves.
#[derive(Default)]
pub struct EnterOptions<'a> {
    /// When it becomes readable the worker is asked to stop ([`Reporter::is_cancelled`]).
    pub cancel: Option<BorrowedFd<'a>>,
    /// Run by the keeper (the caller's PIDs, the capsule's mounts) when the worker ended without
    /// a result or the caller died: thaw a cgroup, remove a half-written file.
    pub cleanup: Option<&'a dyn Fn()>,
}

/// How long a cancelled worker may take to clean up after itself before it is killed.
const GRACE_MS: i64 = 5_000;

/// Runs `work` in the capsule's PID, mount, IPC and time namespaces and returns what it returns.
///
/// Lines that `work` reports go to `on_line`. Call it from a single-threaded process.
///
/// # Errors
/// [`CapsuleError::Build`] for the closure's own failure, [`CapsuleError::Cancelled`],
/// [`CapsuleError::WorkerDied`] when it was killed or panicked.
pub fn enter(
    record: &CapsuleRecord,
    options: &EnterOptions<'_>,
    on_line: &mut dyn FnMut(&Value),
    work: impl FnOnce(&Reporter) -> Result<Value, BuildFailure>,
) -> Result<Value> {
    let init = open_init(record)?;
    let (mut receiver, reporter) = report::channel()?;
    let keeper = match raw::fork().map_err(|e| CapsuleError::step("fork", e))? {
        Fork::Child => {
            drop(receiver);
            keep(&init, &reporter, options.cleanup, work)
        }
        Fork::Parent(pid) => pid,
    };
    drop((reporter, init));
    let outcome = loop {
        match receiver.next(options.cancel) {
            Received::Line(line) => match line.get("type").and_then(Value::as_str) {
                Some("worker-done") => break Some(Ok(line["result"].clone())),
                Some("worker-failed") => {
                    break Some(Err(CapsuleError::Build { failure: line["failure"].clone() }));
                }
                Some("enter-failed") => {
                    break serde_json::from_value(line["error"].clone()).ok().map(Err);
                }
                _ => on_line(&line),
            },
            Received::CancelRequested => receiver.cancel(),
            Received::End => break None,
        }
    };
    let status = wait_for(keeper);
    outcome.unwrap_or_else(|| {
        if receiver.was_cancelled() {
            return Err(CapsuleError::Cancelled);
        }
        let detail = match status.and_then(|s| s.exit_status()) {
            Some(signal @ 129..) => {
                crate::record::signal_name(signal - 128).map_or(String::new(), |name| format!(" ({name})"))
            }
            _ => String::new(),
        };
        Err(CapsuleError::WorkerDied { id: record.id.clone(), detail })
    })
}

/// A descriptor of init that can't come to mean another process.
fn open_init(record: &CapsuleRecord) -> Result<OwnedFd> {
    let gone = || CapsuleError::NotFound { id: record.id.clone() };
    let pid = Pid::from_raw(record.init_pid).ok_or_else(gone)?;
    let init = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
    // Checked after opening: it was init when the descriptor was made.
    if registry::is_alive(record) { Ok(init) } else { Err(gone()) }
}

fn keep(
    init: &OwnedFd,
    reporter: &Reporter,
    cleanup: Option<&dyn Fn()>,
    work: impl FnOnce(&Reporter) -> Result<Value, BuildFailure>,
) -> ! {
    raw::ignore_signals(&[libc::SIGPIPE]);
    let failed = |error: CapsuleError| -> ! {
        reporter.send(&serde_json::json!({ "type": "enter-failed", "error": error }));
        raw::exit_now(1)
    };
    if let Err(error) = join(init) {
        failed(error);
    }
    let worker = match raw::fork() {
        Err(error) => failed(CapsuleError::step("fork", error)),
        Ok(Fork::Child) => run_worker(reporter, work),
        Ok(Fork::Parent(pid)) => pid,
    };
    // The caller's end must see the end of the pipe when the worker is gone, so that only the
    // worker's copy counts until then.
    let clean_end = watch(worker, reporter);
    if !clean_end && let Some(cleanup) = cleanup {
        cleanup();
    }
    let status = wait_for(worker);
    let signal = status.and_then(|s| s.terminating_signal()).unwrap_or(0);
    raw::exit_now(if signal == 0 { 0 } else { 128 + signal })
}

fn join(init: &OwnedFd) -> Result<()> {
    use ThreadNameSpaceType as Kind;
    let wanted = Kind::PROCESS_ID | Kind::MOUNT | Kind::INTER_PROCESS_COMMUNICATION | Kind::TIME;
    let join = |kinds| rustix::thread::move_into_thread_name_spaces(init.as_fd(), kinds);
    // Where the kernel has no time namespaces the capsule has none either.
    join(wanted)
        .or_else(|errno| match errno {
            rustix::io::Errno::INVAL => join(wanted - Kind::TIME),
            errno => Err(errno),
        })
        .map_err(|errno| match errno {
            rustix::io::Errno::PERM => CapsuleError::NotPermitted {
                step: "join the capsule's namespaces".into(),
                right: "CAP_SYS_ADMIN".into(),
                errno: errno.into(),
                remedy: "; run it as root".into(),
            },
            errno => CapsuleError::step("join the capsule's namespaces", errno),
        })
}

fn run_worker(reporter: &Reporter, work: impl FnOnce(&Reporter) -> Result<Value, BuildFailure>) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(reporter)));
    let status = match outcome {
        Ok(Ok(result)) => {
            reporter.send(&serde_json::json!({ "type": "worker-done", "result": result }));
            0
        }
        Ok(Err(BuildFailure(failure))) => {
            reporter.send(&serde_json::json!({ "type": "worker-failed", "failure": failure }));
            0
        }
        Err(_) => 101,
    };
    raw::exit_now(status)
}

/// Waits for the worker's end; true when it ended by itself with status 0. A cancelled worker gets
/// some time to clean up, then it is killed.
fn watch(worker: Pid, reporter: &Reporter) -> bool {
    let Ok(handle) = pidfd_open(worker, PidfdFlags::empty()) else { return false };
    let mut cancelled = false;
    loop {
        let mut fds = vec![PollFd::new(&handle, PollFlags::IN)];
        if !cancelled {
            fds.push(PollFd::from_borrowed_fd(reporter.cancellation(), PollFlags::IN));
        }
        let grace = rustix::time::Timespec { tv_sec: GRACE_MS / 1000, tv_nsec: 0 };
        match poll(&mut fds, cancelled.then_some(&grace)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
            Ok(0) => {
                let _ = rustix::process::kill_process(worker, Signal::KILL);
                return false;
            }
            Ok(_) if !fds[0].revents().is_empty() => break,
            Ok(_) => cancelled = true,
        }
    }
    // Read the status without taking it: the caller of this function waits for it.
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(handle.as_fd()), options)
        .ok()
        .flatten()
        .is_some_and(|status| status.exit_status() == Some(0))
}
