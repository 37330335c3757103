//! A process that a stopped process is made to have for a moment: it shares the memory (so making it copies
//! nothing), is never scheduled by itself, and is gone before the process goes on, collected by it, without a signal.
//!
//! What has to be done in that memory, but should leave nothing in the process if we die, is done in it: it is killed
//! by the kernel with us (PTRACE_O_EXITKILL).

use std::io;
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use torpor_sys::clone::kill;
use torpor_sys::ptrace::{self, Wait};

use crate::freeze::FrozenProcess;
use crate::inject::{InjectError, Injector, Remote};
use crate::model::Pid;
use crate::patience::Patience;

/// setpriority(2): the most favourable.
const FIRST: i32 = -20;
/// How long a killed process may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum IntermediateError {
    #[error("the kernel refuses what it takes in process {pid}: {source}")]
    Refused { pid: Pid, source: io::Error },
    #[error(transparent)]
    Inject(#[from] InjectError),
    #[error("process {0} has ended")]
    Ended(Pid),
}

impl IntermediateError {
    pub fn refused(pid: Pid) -> impl Fn(io::Error) -> IntermediateError {
        move |source| IntermediateError::Refused { pid, source }
    }
}

/// Has the process make an intermediate, which shares its descriptors too, and does `work` with that. In its own
/// calls ([`Remote::call_in`]) the program's seccomp filters rest.
pub fn within<T>(
    process: &FrozenProcess,
    work: impl FnOnce(&Remote<'_>, Pid) -> Result<T, IntermediateError>,
) -> Result<T, IntermediateError> {
    let pid = process.pid;
    let refused = IntermediateError::refused(pid);
    let Some(thread) = process.leader() else { return Err(IntermediateError::Ended(pid)) };
    let mut injector = Injector::new(thread.tid, process.vmas().map_err(&refused)?)?;
    let mut remote = injector.thread(thread);
    let intermediate = remote
        .call_fork(libc::SYS_clone, [share() | libc::CLONE_VM as u64, 0, 0, 0, 0, 0])?
        .map_err(&refused)? as Pid;
    let done = await_first_stop(intermediate, pid)
        .and_then(|()| {
            // From its own call on it would be on the path of a parent, which leads back into the program.
            let options = ptrace::O_TRACEFORK | ptrace::O_TRACECLONE;
            let filtered = thread.facts(pid).map_err(&refused)?.status.seccomp != 0;
            set_options(intermediate, filtered, options).map_err(&refused)?;
            // It is ours, and the program stands still for it: nobody else is to have its processor.
            let _ = setpriority_process(rustix::process::Pid::from_raw(intermediate), FIRST);
            Ok(())
        })
        .and_then(|()| work(&remote, intermediate));
    // Whatever became of the work, the intermediate goes: first as our tracee, then as the process' child.
    let _ = kill(intermediate, libc::SIGKILL);
    await_end(intermediate);
    remote.call(libc::SYS_wait4, [intermediate as u64, 0, libc::__WALL as u64, 0, 0, 0])?.map_err(refused)?;
    remote.finish()?;
    done
}

/// What it shares besides memory.
pub fn share() -> u64 {
    (libc::CLONE_FILES | libc::CLONE_FS) as u64
}

/// Sets the options of a stopped copy: those named, death with us, and filters that rest.
fn set_options(copy: Pid, filtered: bool, more: u32) -> io::Result<()> {
    let suspend = if filtered { ptrace::O_SUSPEND_SECCOMP } else { 0 };
    ptrace::set_options(copy, ptrace::O_TRACESYSGOOD | ptrace::O_EXITKILL | suspend | more)
}

pub fn await_first_stop(tid: Pid, pid: Pid) -> Result<(), IntermediateError> {
    let refused = IntermediateError::refused(pid);
    loop {
        match ptrace::wait(tid).map_err(&refused)? {
            Wait::Event { event: ptrace::EVENT_STOP, .. } => return Ok(()),
            Wait::Exited(_) | Wait::Killed(_) => return Err(IntermediateError::Ended(pid)),
            _ => ptrace::cont(tid, 0).map_err(&refused)?,
        }
    }
}

/// Waits until a killed tracee is gone.
pub fn await_end(pid: Pid) {
    let deadline = Instant::now() + END_LIMIT;
    let patience = Patience::new();
    while Instant::now() < deadline {
        if let Ok(Some(Wait::Exited(_) | Wait::Killed(_))) | Err(_) = patience.wait(pid) {
            return;
        }
    }
}
