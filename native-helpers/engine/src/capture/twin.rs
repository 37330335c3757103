//! Copy-on-write twins: the memory of a stopped process, kept as it is while the process goes on.
//!
//! Each process is made to fork while it is stopped; the fork shares its pages copy-on-write, so the pause
//! is that of copying page tables. The twin never runs an instruction of the program and is nobody's child
//! that the program knows of: the process makes an *intermediate* that shares its memory (so making it
//! copies nothing), the intermediate makes the twin and ends, and the process collects it at once. The
//! twin falls to init, holds no descriptor, is in a session of its own, and is killed by the kernel when we
//! die (PTRACE_O_EXITKILL).

use std::time::{Duration, Instant};

use torpor_sys::clone::kill;
use torpor_sys::ptrace::{self, Wait};

use crate::freeze::{Frozen, FrozenProcess};
use crate::inject::{InjectError, Injector, Remote};
use crate::model::{Mapping, Pid, Process, SpaceId};
use crate::proc::maps;

const CLOSE_RANGE_UNSHARE: u64 = 2;
/// How long a killed twin may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A stopped copy of a process; killed on drop.
#[derive(Debug)]
pub struct Twin {
    pub space: SpaceId,
    pub pid: Pid,
}

#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    #[error("the program has memory that a fork does not keep (MADV_DONTFORK or MADV_WIPEONFORK)")]
    NotKept,
    #[error("process {0} takes in orphans, so it would see the copy")]
    Subreaper(Pid),
    #[error("process {pid} can't be copied: {source}")]
    Refused { pid: Pid, source: std::io::Error },
    #[error(transparent)]
    Inject(#[from] InjectError),
    #[error("the copy of process {0} ended")]
    Ended(Pid),
}

/// Makes a twin of every process that has memory of its own.
///
/// # Errors
/// No twin is left, and the tree is stopped as before.
pub fn fork_all(frozen: &Frozen, processes: &[Process]) -> Result<Vec<Twin>, TwinError> {
    if let Some(process) = processes.iter().find(|p| p.subreaper) {
        return Err(TwinError::Subreaper(process.pid));
    }
    let mut twins = Vec::new();
    for process in processes {
        let Some(mm) = &process.mm else { continue };
        let Some(stopped) = frozen.processes.iter().find(|p| p.pid == process.pid) else { continue };
        let twin = Twin { space: mm.space, pid: fork(stopped, process)? };
        let kept = maps::maps(twin.pid).map_err(|source| TwinError::Refused { pid: process.pid, source })?;
        let lost = |m: &Mapping| {
            kept.binary_search_by_key(&m.start, |v| v.start).map_or(true, |at| kept[at].end != m.end)
        };
        twins.push(twin);
        if mm.mappings.iter().any(lost) {
            return Err(TwinError::NotKept);
        }
    }
    Ok(twins)
}

fn fork(frozen: &FrozenProcess, process: &Process) -> Result<Pid, TwinError> {
    let Some(thread) = frozen.leader() else { return Err(TwinError::Ended(process.pid)) };
    let task = process.task();
    let refused = |source| TwinError::Refused { pid: process.pid, source };
    let vmas = maps::maps(task).map_err(refused)?;
    let mut injector = Injector::new(task, &vmas)?;
    let mut remote = injector.thread(thread);
    let share = (libc::CLONE_FILES | libc::CLONE_FS) as u64;
    let intermediate = remote
        .call_fork(libc::SYS_clone, [share | libc::CLONE_VM as u64, 0, 0, 0, 0, 0])?
        .map_err(refused)? as Pid;
    let twin = twin_of(&remote, intermediate, share, process.pid);
    // Whatever became of the twin, the intermediate goes: first as our tracee, then as the process' child.
    let _ = kill(intermediate, libc::SIGKILL);
    await_end(intermediate);
    remote.call(libc::SYS_wait4, [intermediate as u64, 0, libc::__WALL as u64, 0, 0, 0])?.map_err(refused)?;
    remote.finish()?;
    twin
}

/// Has the intermediate make the twin, and the twin let go of all that it shares but memory.
fn twin_of(remote: &Remote<'_>, intermediate: Pid, share: u64, pid: Pid) -> Result<Pid, TwinError> {
    let refused = |source| TwinError::Refused { pid, source };
    await_first_stop(intermediate, pid)?;
    // From its own call on it would be on the path of a parent, which leads back into the program.
    let options = ptrace::O_TRACESYSGOOD | ptrace::O_TRACEFORK | ptrace::O_TRACECLONE | ptrace::O_EXITKILL;
    ptrace::set_options(intermediate, options).map_err(refused)?;
    let twin =
        remote.call_in(intermediate, true, libc::SYS_clone, [share, 0, 0, 0, 0, 0])?.map_err(refused)? as Pid;
    let twin = Twin { space: 0, pid: twin };
    await_first_stop(twin.pid, pid)?;
    ptrace::set_options(twin.pid, ptrace::O_TRACESYSGOOD | ptrace::O_EXITKILL).map_err(refused)?;
    let all = [0, u64::from(u32::MAX), CLOSE_RANGE_UNSHARE, 0, 0, 0];
    remote.call_in(twin.pid, false, libc::SYS_close_range, all)?.map_err(refused)?;
    remote.call_in(twin.pid, false, libc::SYS_setsid, [0; 6])?.map_err(refused)?;
    let made = twin.pid;
    std::mem::forget(twin);
    Ok(made)
}

fn await_first_stop(tid: Pid, pid: Pid) -> Result<(), TwinError> {
    loop {
        match ptrace::wait(tid).map_err(|source| TwinError::Refused { pid, source })? {
            Wait::Event { event: ptrace::EVENT_STOP, .. } => return Ok(()),
            Wait::Exited(_) | Wait::Killed(_) => return Err(TwinError::Ended(pid)),
            _ => ptrace::cont(tid, 0).map_err(|source| TwinError::Refused { pid, source })?,
        }
    }
}

fn await_end(pid: Pid) {
    let deadline = Instant::now() + END_LIMIT;
    let mut nap = Duration::from_micros(1);
    while Instant::now() < deadline {
        match ptrace::try_wait(pid) {
            Ok(Some(Wait::Exited(_) | Wait::Killed(_))) | Err(_) => return,
            // The application stands still meanwhile, and most end at once.
            Ok(_) => std::thread::sleep(nap),
        }
        nap = (nap * 2).min(Duration::from_micros(200));
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = kill(self.pid, libc::SIGKILL);
        await_end(self.pid);
    }
}
