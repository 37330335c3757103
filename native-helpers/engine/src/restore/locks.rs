//! Locks of open file descriptions that no restored process has, since they are in messages of sockets: taken by the
//! restoring process through descriptors of its own. Processes take the others.

use std::io;

use rustix::fs::FlockOperation;

use super::files::Files;
use crate::model::{FileId, SystemState};

const F_OFD_SETLK: i32 = 37;

/// Takes all of them.
///
/// # Errors
/// With the description: EWOULDBLOCK or EAGAIN where somebody else has a lock by now.
pub fn in_flight(state: &SystemState, files: &Files) -> Result<(), (FileId, io::Error)> {
    for lock in &state.flight_locks {
        let Some(fd) = files.get(lock.file) else { continue };
        let taken = match lock.kind.as_str() {
            "flock" => {
                let how = match lock.exclusive {
                    true => FlockOperation::NonBlockingLockExclusive,
                    false => FlockOperation::NonBlockingLockShared,
                };
                rustix::fs::flock(fd, how).map_err(io::Error::from)
            }
            "ofd" => {
                let kind = if lock.exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
                // struct flock: l_type, l_whence, l_start, l_len, l_pid
                let mut words = [kind as u64, lock.start, lock.len, 0];
                torpor_sys::fd::fcntl_struct(fd, F_OFD_SETLK, &mut words).map(|_| ())
            }
            _ => Ok(()),
        };
        taken.map_err(|e| (lock.file, e))?;
    }
    Ok(())
}
