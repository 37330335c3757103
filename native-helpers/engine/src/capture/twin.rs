//! Copy-on-write twins: the memory of a stopped process, kept as it is while the process goes on.
//!
//! Each process is made to fork while it is stopped; the fork shares its pages copy-on-write, so the pause
//! is that of copying page tables. The twin never runs an instruction of the program and is nobody's child
//! that the program knows of: the process makes an [intermediate](crate::intermediate), which makes the twin
//! and ends. The twin falls to init, holds no descriptor, is in a session of its own, and is killed by the
//! kernel when we die (PTRACE_O_EXITKILL).

use torpor_sys::clone::kill;

use crate::freeze::{Frozen, FrozenProcess};
use crate::inject::Remote;
use crate::intermediate::{self, IntermediateError};
use crate::model::{Pid, Process, SpaceId};
use crate::proc;

const CLOSE_RANGE_UNSHARE: u64 = 2;

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
    Intermediate(IntermediateError),
}

impl From<IntermediateError> for TwinError {
    fn from(e: IntermediateError) -> TwinError {
        match e {
            IntermediateError::Refused { pid, source } => TwinError::Refused { pid, source },
            e => TwinError::Intermediate(e),
        }
    }
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
        let refused = |source| TwinError::Refused { pid: process.pid, source };
        // The mappings that it lacks are told by their size alone: reading them all takes longer than the fork.
        let kept = proc::mapped_pages(twin.pid).map_err(refused)?;
        let all = proc::mapped_pages(process.task()).map_err(refused)?;
        twins.push(twin);
        if kept != all {
            return Err(TwinError::NotKept);
        }
    }
    Ok(twins)
}

fn fork(frozen: &FrozenProcess, process: &Process) -> Result<Pid, TwinError> {
    Ok(intermediate::within(frozen, |remote, intermediate| {
        twin_of(remote, intermediate, process.task(), process.pid)
    })?)
}

/// Has the intermediate make the twin, and the twin let go of all that it shares but memory.
fn twin_of(remote: &Remote<'_>, intermediate: Pid, task: Pid, pid: Pid) -> Result<Pid, IntermediateError> {
    let refused = IntermediateError::refused(pid);
    let flags = [intermediate::share(), 0, 0, 0, 0, 0];
    let twin = remote.call_in(intermediate, true, libc::SYS_clone, flags)?.map_err(&refused)? as Pid;
    let twin = Twin { space: 0, pid: twin };
    intermediate::await_first_stop(twin.pid, pid)?;
    intermediate::set_options(twin.pid, task, 0).map_err(&refused)?;
    let all = [0, u64::from(u32::MAX), CLOSE_RANGE_UNSHARE, 0, 0, 0];
    remote.call_in(twin.pid, false, libc::SYS_close_range, all)?.map_err(&refused)?;
    remote.call_in(twin.pid, false, libc::SYS_setsid, [0; 6])?.map_err(&refused)?;
    let made = twin.pid;
    std::mem::forget(twin);
    Ok(made)
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = kill(self.pid, libc::SIGKILL);
        intermediate::await_end(self.pid);
    }
}
