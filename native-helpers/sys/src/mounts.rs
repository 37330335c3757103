//! Mounts that nobody else sees (open_tree(2), mount_setattr(2)).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const OPEN_TREE_CLONE: u32 = 1;
const MOUNT_ATTR_RDONLY: u64 = 1;

/// A folder once more, in a mount of its own that is attached nowhere and that can be written to, where only the mount
/// that it is in, and not its file system, is read-only. What is made in it is there in the folder too.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN; ENOSYS before Linux 5.12; whatever stands in the way of opening the folder.
pub fn writable_twin(folder: &CStr) -> io::Result<OwnedFd> {
    /// `struct mount_attr` (include/uapi/linux/mount.h).
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32;
    // SAFETY: the path is a C string; the call writes no memory.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, folder.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just returned this number, which nobody else has.
    let twin = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let writable = Attributes { set: 0, clear: MOUNT_ATTR_RDONLY, propagation: 0, user_namespace: 0 };
    // SAFETY: an empty C string, and a struct of the size that is told, which the call only reads.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            twin.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const writable,
            size_of::<Attributes>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(twin) }
}
