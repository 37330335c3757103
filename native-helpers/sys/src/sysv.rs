//! SysV shared memory (shmget(2), shmat(2), shmctl(2)).

use std::io;

use crate::check;

/// What shmctl(IPC_STAT) tells of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub key: i32,
    pub size: u64,
    /// Permission bits, and SHM_DEST (01000) for one that goes with its last attachment.
    pub mode: u32,
    pub attachments: u64,
    /// Who made it, and who last attached or detached it.
    pub creator: i32,
    pub last_user: i32,
}

/// shmget(2); `flags` as there.
pub fn segment_get(key: i32, size: u64, flags: i32) -> io::Result<i32> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_shmget, key, size, flags) }).map(|id| id as i32)
}

fn status(id: i32) -> io::Result<libc::shmid_ds> {
    // SAFETY: all-zero is a valid shmid_ds.
    let mut ds: libc::shmid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `ds` is writable and outlives the call.
    check(unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut ds) }.into())?;
    Ok(ds)
}

/// shmctl(IPC_STAT).
pub fn segment_status(id: i32) -> io::Result<Segment> {
    let ds = status(id)?;
    Ok(Segment {
        key: ds.shm_perm.__key,
        size: ds.shm_segsz as u64,
        mode: u32::from(ds.shm_perm.mode),
        attachments: ds.shm_nattch,
        creator: ds.shm_cpid,
        last_user: ds.shm_lpid,
    })
}

/// shmctl(IPC_SET): owner and permission bits.
pub fn segment_set_owner(id: i32, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    let mut ds = status(id)?;
    (ds.shm_perm.uid, ds.shm_perm.gid) = (uid, gid);
    ds.shm_perm.mode = (mode & 0o777) as _;
    // SAFETY: `ds` is only read, and outlives the call.
    check(unsafe { libc::shmctl(id, libc::IPC_SET, &raw mut ds) }.into()).map(drop)
}

/// shmctl(IPC_RMID).
pub fn segment_remove(id: i32) -> io::Result<()> {
    // SAFETY: the command takes no structure.
    check(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }.into()).map(drop)
}

/// An attachment of a segment to this process; detached on drop.
#[derive(Debug)]
pub struct Attachment {
    address: u64,
}

impl Attachment {
    /// shmat(2), for reading and writing, wherever there is room.
    pub fn new(id: i32) -> io::Result<Attachment> {
        // SAFETY: without an address the kernel attaches where nothing is.
        let address = check(unsafe { libc::syscall(libc::SYS_shmat, id, std::ptr::null::<u8>(), 0) })?;
        Ok(Attachment { address: address as u64 })
    }

    pub fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: the address is that of our own attachment, which nobody borrows.
        unsafe { libc::syscall(libc::SYS_shmdt, self.address) };
    }
}
