//! Keyrings of this process (keyctl(2)).

use std::io;

use crate::check;

/// The session keyring of the calling thread, by its special number.
pub const SESSION: i32 = -3;
const GET_KEYRING_ID: i32 = 0;

/// /proc/keys as a user sees it: keys show themselves to their owners.
///
/// # Errors
/// Those of reading the file; ENOENT on a kernel without keys.
pub fn listed_for(uid: u32) -> io::Result<String> {
    /// Back to who we were, whatever happens.
    struct Own(libc::c_long);
    impl Drop for Own {
        fn drop(&mut self) {
            // SAFETY: the call takes a number only, and this thread alone is another's for file access.
            unsafe { libc::syscall(libc::SYS_setfsuid, self.0) };
        }
    }
    // SAFETY: as above; it always answers who we were.
    let _own = Own(unsafe { libc::syscall(libc::SYS_setfsuid, uid) });
    std::fs::read_to_string("/proc/keys")
}

/// The serial number of one of this thread's keyrings.
///
/// # Errors
/// ENOKEY where there is none; ENOSYS or EPERM where keys may not be used at all.
pub fn keyring_id(special: i32) -> io::Result<i32> {
    // SAFETY: the call takes numbers only.
    let serial = check(unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, special, 0) })?;
    Ok(serial as i32)
}
