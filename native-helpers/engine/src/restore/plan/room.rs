//! How much room the lists of a tree need, and its descriptors.

use std::io;

use super::super::runner::OP_LEN;
use super::super::sharing::Sharing;
use super::super::{aio, departed, keyrings, layout, sysv_ipc};
use crate::model::{FileKind, Seccomp, SystemState};

/// An upper bound for the region that the lists of a tree need, in bytes.
pub fn region_len(state: &SystemState, sharing: &Sharing) -> usize {
    let mut len = (1 << 20) + sharing.calls() * OP_LEN + sysv_ipc::room(state) + keyrings::room(state);
    for p in &state.processes {
        len += 64 * 1024 + p.fds.len() * 512;
        // What is opened by processes themselves, or taken from one another.
        let late = p.fds.iter().filter(|d| match state.files.get(d.file as usize).map(|f| &f.kind) {
            Some(FileKind::Path(path)) => departed::is_of_tree(&path.path, state),
            Some(FileKind::Pidfd { .. }) => true,
            _ => false,
        });
        len += late.count() * 1024;
        len += p.mm.as_ref().map_or(0, |mm| mm.mappings.len() * 640 + mm.auxv.len() * 8);
        len += p.mm.as_ref().map_or(0, |mm| layout::calls(mm) * OP_LEN);
        len += p.mm.iter().flat_map(|mm| &mm.aio).map(aio::room).sum::<usize>();
        len += p.mm.as_ref().map_or(0, |mm| mm.guards.len() * OP_LEN + mm.policies.len() * (OP_LEN + 256));
        len += p.pending.len() * 512 + p.posix_timers.len() * 1024;
        for t in &p.threads {
            len += 8192 + t.xstate.len() * 2 + t.pending.len() * 512 + t.credentials.groups.len() * 4;
            if let Seccomp::Filter(filters) = &t.seccomp {
                len += filters.iter().map(|f| f.program.len() + 256).sum::<usize>();
            }
        }
    }
    len += state
        .files
        .iter()
        .map(|f| if let FileKind::Epoll { targets } = &f.kind { targets.len() * 512 } else { 64 })
        .sum::<usize>();
    len
}

/// Highest descriptor number of the tree.
pub fn highest_fd(state: &SystemState) -> i32 {
    numbers(state).into_iter().max().unwrap_or(2)
}

/// The numbers of all descriptors of the tree, and those that epoll instances know; some more than once.
pub fn numbers(state: &SystemState) -> Vec<i32> {
    let numbers = state.processes.iter().flat_map(|p| p.fds.iter().map(|d| d.fd));
    let watched = state.files.iter().flat_map(|f| match &f.kind {
        FileKind::Epoll { targets } => targets.as_slice(),
        _ => &[],
    });
    numbers.chain(watched.map(|target| target.fd)).collect()
}

/// Makes room for descriptors up to `highest`.
pub fn raise_descriptor_limit(highest: u64) -> io::Result<()> {
    let (soft, hard) = torpor_sys::ids::limit(0, libc::RLIMIT_NOFILE)?;
    if soft >= highest {
        return Ok(());
    }
    // Only with CAP_SYS_RESOURCE beyond what we were given.
    if hard < highest && torpor_sys::ids::set_own_limit(libc::RLIMIT_NOFILE, highest, highest).is_ok() {
        return Ok(());
    }
    torpor_sys::ids::set_own_limit(libc::RLIMIT_NOFILE, highest.min(hard).max(soft), hard)
}
