//! SysV semaphores (semget(2), semctl(2)) and message queues (msgget(2), msgctl(2)).

use std::io;

use crate::check;

const MSG_COPY: i32 = 0o40000;

/// Owner and permissions of either kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What semctl(IPC_STAT) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SemaphoreSet {
    pub owner: Owner,
    pub count: u64,
}

/// What msgctl(IPC_STAT) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    pub owner: Owner,
    pub bytes: u64,
    pub messages: u64,
    pub max_bytes: u64,
    pub last_sender: i32,
    pub last_receiver: i32,
}

fn owner(perm: &libc::ipc_perm) -> Owner {
    Owner { key: perm.__key, uid: perm.uid, gid: perm.gid, mode: u32::from(perm.mode) & 0o777 }
}

/// A pointer or a number, as the last argument of semctl(2) is one or the other.
fn control(id: i32, number: u32, command: i32, argument: u64) -> io::Result<i32> {
    // SAFETY: whoever passes a pointer vouches for it (see the callers).
    check(unsafe { libc::syscall(libc::SYS_semctl, id, number, command, argument) }).map(|v| v as i32)
}

/// semget(2); `flags` as there.
pub fn semaphores_get(key: i32, count: u64, flags: i32) -> io::Result<i32> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_semget, key, count, flags) }).map(|id| id as i32)
}

fn semaphores_raw(id: i32) -> io::Result<libc::semid_ds> {
    // SAFETY: all-zero is a valid semid_ds.
    let mut ds: libc::semid_ds = unsafe { std::mem::zeroed() };
    control(id, 0, libc::IPC_STAT, &raw mut ds as u64)?;
    Ok(ds)
}

/// semctl(IPC_STAT).
pub fn semaphores_status(id: i32) -> io::Result<SemaphoreSet> {
    let ds = semaphores_raw(id)?;
    Ok(SemaphoreSet { owner: owner(&ds.sem_perm), count: ds.sem_nsems })
}

/// semctl(IPC_SET): owner and permission bits.
pub fn semaphores_set_owner(id: i32, new: &Owner) -> io::Result<()> {
    let mut ds = semaphores_raw(id)?;
    (ds.sem_perm.uid, ds.sem_perm.gid, ds.sem_perm.mode) = (new.uid, new.gid, new.mode as _);
    control(id, 0, libc::IPC_SET, &raw mut ds as u64).map(drop)
}

/// semctl(GETALL).
pub fn semaphores_values(id: i32, count: u64) -> io::Result<Vec<u16>> {
    let mut values = vec![0u16; count as usize];
    control(id, 0, libc::GETALL, values.as_mut_ptr() as u64)?;
    Ok(values)
}

/// semctl(GETPID): who last changed it; 0 for nobody that this process' namespace knows.
pub fn semaphore_last_user(id: i32, number: u32) -> io::Result<i32> {
    control(id, number, libc::GETPID, 0)
}

/// semctl(GETNCNT), semctl(GETZCNT): how many wait for it.
pub fn semaphore_waiters(id: i32, number: u32) -> io::Result<i32> {
    Ok(control(id, number, libc::GETNCNT, 0)? + control(id, number, libc::GETZCNT, 0)?)
}

/// semctl(SETVAL), which forgets the adjustments that processes have of it.
pub fn semaphore_set(id: i32, number: u32, value: u16) -> io::Result<()> {
    control(id, number, libc::SETVAL, u64::from(value)).map(drop)
}

/// semctl(IPC_RMID).
pub fn semaphores_remove(id: i32) -> io::Result<()> {
    control(id, 0, libc::IPC_RMID, 0).map(drop)
}

/// msgget(2); `flags` as there.
pub fn queue_get(key: i32, flags: i32) -> io::Result<i32> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_msgget, key, flags) }).map(|id| id as i32)
}

fn queue_raw(id: i32) -> io::Result<libc::msqid_ds> {
    // SAFETY: all-zero is a valid msqid_ds.
    let mut ds: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `ds` is writable and outlives the call.
    check(unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut ds) }.into())?;
    Ok(ds)
}

/// msgctl(IPC_STAT).
pub fn queue_status(id: i32) -> io::Result<Queue> {
    let ds = queue_raw(id)?;
    Ok(Queue {
        owner: owner(&ds.msg_perm),
        bytes: ds.__msg_cbytes,
        messages: ds.msg_qnum,
        max_bytes: ds.msg_qbytes,
        last_sender: ds.msg_lspid,
        last_receiver: ds.msg_lrpid,
    })
}

/// msgctl(IPC_SET): owner, permission bits and the most bytes that it holds.
pub fn queue_set(id: i32, new: &Owner, max_bytes: u64) -> io::Result<()> {
    let mut ds = queue_raw(id)?;
    (ds.msg_perm.uid, ds.msg_perm.gid, ds.msg_perm.mode) = (new.uid, new.gid, new.mode as _);
    ds.msg_qbytes = max_bytes;
    // SAFETY: `ds` is only read, and outlives the call.
    check(unsafe { libc::msgctl(id, libc::IPC_SET, &raw mut ds) }.into()).map(drop)
}

/// msgctl(IPC_RMID).
pub fn queue_remove(id: i32) -> io::Result<()> {
    // SAFETY: the command takes no structure.
    check(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }.into()).map(drop)
}

fn receive(id: i32, room: usize, which: i64, flags: i32) -> io::Result<Option<(i64, Vec<u8>)>> {
    // The type, then the text.
    let mut buffer = vec![0u64; 1 + room.div_ceil(8)];
    // SAFETY: `buffer` is writable for the type and `room` bytes.
    let len = check(unsafe {
        libc::syscall(libc::SYS_msgrcv, id, buffer.as_mut_ptr(), room, which, flags | libc::IPC_NOWAIT)
    });
    let len = match len {
        Err(e) if e.raw_os_error() == Some(libc::ENOMSG) => return Ok(None),
        other => other? as usize,
    };
    let text: Vec<u8> = buffer[1..].iter().flat_map(|word| word.to_ne_bytes()).take(len).collect();
    Ok(Some((buffer[0] as i64, text)))
}

/// A copy of the message at this place of a queue: its type and text. `room` is the most bytes that it may have.
/// The queue stays as it is (MSG_COPY, msgrcv(2)).
pub fn queue_peek(id: i32, place: u64, room: usize) -> io::Result<Option<(i64, Vec<u8>)>> {
    receive(id, room, place as i64, MSG_COPY)
}

/// Takes the first message out.
pub fn queue_take(id: i32, room: usize) -> io::Result<Option<(i64, Vec<u8>)>> {
    receive(id, room, 0, 0)
}

/// msgsnd(2) that does not wait.
pub fn queue_put(id: i32, kind: i64, text: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0u64; 1 + text.len().div_ceil(8)];
    buffer[0] = kind as u64;
    for (word, bytes) in buffer[1..].iter_mut().zip(text.chunks(8)) {
        let mut whole = [0u8; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(whole);
    }
    // SAFETY: `buffer` holds the type and the text.
    check(unsafe { libc::syscall(libc::SYS_msgsnd, id, buffer.as_ptr(), text.len(), libc::IPC_NOWAIT) })
        .map(drop)
}
