//! The unsafe part of Torpor: thin, checked wrappers over the Linux system calls that the engine needs
//! and that no well-kept crate wraps. Each module wraps one family; every function returns
//! `std::io::Result` with the kernel's own errno, and knows nothing of images or policies.

pub mod arch;
pub mod bpf;
pub mod clone;
pub mod fd;
pub mod ids;
pub mod keys;
pub mod memory;
pub mod mounts;
pub mod mqueue;
pub mod probe;
pub mod ptrace;
pub mod signal;
pub mod signals;
pub mod socket;
pub mod sysv;
pub mod sysv_ipc;
pub mod ticks;
pub mod userfault;

use std::io;

/// Turns the kernel's `-1 and errno` convention into a `Result`.
pub(crate) fn check(ret: libc::c_long) -> io::Result<i64> {
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Held by a test whose child or whose watched memory another test's fork would disturb: they are one process.
    pub fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
