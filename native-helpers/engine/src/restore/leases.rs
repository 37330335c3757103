//! Leases (fcntl(2), F_SETLEASE). Most are refused where the file is open by other means as well, so a mapping of
//! such a file uses the description that has the lease, as it did when the program mapped it, and leases are taken
//! only once nothing of ours is open any more.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;

use super::files::{Files, open_raw};
use super::region::List;
use crate::model::{FileId, FileKind, LeaseBreak, OpenFile, Process, SystemState};

/// [`crate::model::FileLock::kind`] of a lease.
pub const KIND: &str = "lease";
const F_SETLEASE: u64 = 1024;
const F_SETOWN_EX: i32 = 15;

/// Takes the leases of a process, after the last barrier: until then others still have what the helper had open.
pub fn take(list: &mut List, process: &Process) {
    for lease in process.locks.iter().filter(|l| l.kind == KIND) {
        let kind = if lease.exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
        list.call(libc::SYS_fcntl, &[lease.fd as u64, F_SETLEASE, kind as u64]);
    }
}

/// Breaks those that were being broken, without telling their holders a second time.
///
/// # Errors
/// Where a file can't be opened, or nothing breaks.
pub fn start_breaking(state: &SystemState, files: &Files) -> Result<(), (FileId, io::Error)> {
    for lease in state.processes.iter().flat_map(|p| &p.locks).filter(|l| l.kind == KIND) {
        let (Some(how), Some(fd)) = (lease.breaking, files.get(lease.file)) else { continue };
        let Some(file) = state.files.get(lease.file as usize) else { continue };
        let owned = |kind: i32, id: i32| {
            torpor_sys::fd::fcntl_struct(fd, F_SETOWN_EX, &mut [kind, id]).map_err(|e| (lease.file, e))
        };
        owned(0, 0)?;
        let wanted = match how {
            LeaseBreak::ToRead => libc::O_RDONLY,
            LeaseBreak::ToNone => libc::O_WRONLY,
        };
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let outcome = match open_raw(&path, wanted | libc::O_NONBLOCK | libc::O_CLOEXEC) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err((lease.file, e)),
            Ok(_) => Err((lease.file, io::Error::other("its lease is not broken"))),
        };
        let (kind, id, _) = file.owner;
        if id != 0 {
            owned(kind, id)?;
        }
        outcome?;
    }
    Ok(())
}

/// The descriptions that stand in for others of the same file, which only mappings have.
pub fn stand_ins(state: &SystemState) -> HashMap<FileId, FileId> {
    let mut all = HashMap::new();
    let leased = state.processes.iter().flat_map(|p| &p.locks).filter(|l| l.kind == KIND);
    for id in leased.map(|l| l.file) {
        let Some(file) = state.files.get(id as usize) else { continue };
        for (other, mapped) in state.files.iter().enumerate() {
            let other = other as FileId;
            if other != id && is_same(file, mapped) && suffices(file, mapped) && !is_open(state, other) {
                all.insert(other, id);
            }
        }
    }
    all
}

fn is_same(one: &OpenFile, other: &OpenFile) -> bool {
    match (&one.kind, &other.kind) {
        (FileKind::Path(a), FileKind::Path(b)) => (a.dev, a.ino) == (b.dev, b.ino),
        (FileKind::Unlinked { space: a, .. }, FileKind::Unlinked { space: b, .. }) => a == b,
        _ => false,
    }
}

/// Whether what `mapped` is mapped for can be had by way of `leased` as well.
fn suffices(leased: &OpenFile, mapped: &OpenFile) -> bool {
    let of = |file: &OpenFile| file.flags & libc::O_ACCMODE;
    let path = (leased.flags | mapped.flags) & libc::O_PATH != 0;
    !path && (of(leased) == libc::O_RDWR || of(leased) == of(mapped))
}

/// Whether some descriptor is of this description.
fn is_open(state: &SystemState, id: FileId) -> bool {
    state
        .processes
        .iter()
        .any(|p| p.fds.iter().any(|d| d.file == id) || p.cwd == Some(id) || p.root == Some(id))
}
