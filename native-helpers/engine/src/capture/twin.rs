//! Copy-on-write twins: the memory of a stopped process, kept as it is while the process goes on.
//!
//! Each process is made to fork while it is stopped; the fork shares its pages copy-on-write, so the pause
//! is that of copying page tables. The twin never runs an instruction of the program and is nobody's child
//! that the program knows of: the process makes an [intermediate](crate::intermediate), which makes the twin
//! and ends. The twin falls to init, holds no descriptor, is in a session of its own, and is killed by the
//! kernel when we die (PTRACE_O_EXITKILL).

use torpor_sys::clone::kill;

use crate::freeze::{Frozen, FrozenProcess};
use crate::inject::{Errand, Remote};
use crate::intermediate::{self, IntermediateError};
use crate::model::{Pid, Process, SpaceId};
use crate::proc;

const CLOSE_RANGE_UNSHARE: u64 = 2;
/// Forks at once: while the kernel copies for some, others are prepared.
const MOST_AT_ONCE: usize = 16;

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
    let originals: Vec<Original<'_>> = processes
        .iter()
        .filter_map(|process| {
            let stopped = frozen.processes.iter().find(|p| p.pid == process.pid)?;
            Some(Original { stopped, process, space: process.mm.as_ref()?.space })
        })
        .collect();
    let mut twins = Vec::new();
    for some in originals.chunks(MOST_AT_ONCE) {
        fork_together(some, &mut twins)?;
    }
    Ok(twins)
}

struct Original<'a> {
    stopped: &'a FrozenProcess,
    process: &'a Process,
    space: SpaceId,
}

/// Makes the twins of some processes: while the kernel copies one's page tables, the next one's are begun.
fn fork_together(originals: &[Original<'_>], twins: &mut Vec<Twin>) -> Result<(), TwinError> {
    let Some((Original { stopped, process, space }, others)) = originals.split_first() else { return Ok(()) };
    let pid = process.pid;
    let mut done = Ok(());
    let (twin, errand) = intermediate::within(stopped, |remote, intermediate| {
        let share = [intermediate::share(), 0, 0, 0, 0, 0];
        let forking = remote.start_fork_in(intermediate, libc::SYS_clone, share)?;
        done = fork_together(others, twins);
        let made = forking.finish()?.map_err(IntermediateError::refused(pid))? as Pid;
        let twin = Twin { space: *space, pid: made };
        let errand = let_go(remote, &twin, process)?;
        Ok((twin, errand))
    })?;
    // Meanwhile it has let go of what it shared.
    for answer in errand.finish().map_err(IntermediateError::from)? {
        answer.map_err(IntermediateError::refused(pid))?;
    }
    // The mappings that it lacks are told by their size alone: reading them all takes longer than the fork.
    let pages = |task| proc::mapped_pages(task).map_err(|source| TwinError::Refused { pid, source });
    let (kept, all) = (pages(twin.pid)?, pages(process.task())?);
    twins.push(twin);
    if kept == all { done } else { Err(TwinError::NotKept) }
}

/// Has a new twin let go of all that it shares but memory. Its options, to be killed with us among them, are those of
/// the intermediate that has made it.
fn let_go(remote: &Remote<'_>, twin: &Twin, process: &Process) -> Result<Errand, IntermediateError> {
    intermediate::await_first_stop(twin.pid, process.pid)?;
    let all = [0, u64::from(u32::MAX), CLOSE_RANGE_UNSHARE, 0, 0, 0];
    Ok(remote.start_two_in(twin.pid, (libc::SYS_close_range, all), (libc::SYS_setsid, 0))?)
}

impl Twin {
    /// Kills it, and does not wait until it is gone. Its number stays its own until it is dropped.
    pub fn end(&self) {
        let _ = kill(self.pid, libc::SIGKILL);
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.end();
        intermediate::await_end(self.pid);
    }
}
