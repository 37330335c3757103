//! SysV semaphores and message queues: of a capsule all that its IPC namespace has, of the machine's those that the
//! tree has used.
//!
//! What a process has to give back when it ends (SEM_UNDO, semop(2)) the kernel tells nobody. But it refuses an
//! operation after which the adjustment would be out of range (ERANGE), and it makes all operations of a call or
//! none: so each process is made to ask for a list that can't succeed, whose last operation would have to wait
//! (EAGAIN), and which of the two errors comes tells on which side of a limit the adjustment is.

use std::io;

use serde_bytes::ByteBuf;
use torpor_sys::memory::{Kcmp, kcmp};
use torpor_sys::sysv::{self, Attachment};
use torpor_sys::sysv_ipc as ipc;

use super::collect::Collector;
use super::memory;
use crate::freeze::{Frozen, FrozenProcess};
use crate::inject::{InjectError, Injector, Remote};
use crate::model::sysv::{Identity, Queue, SemaphoreSet, SysvIpc};
use crate::model::{Pid, Process, SemUndo};
use crate::proc::{self, maps};

/// The highest value of a semaphore (SEMVMX), and of an adjustment.
const HIGHEST: i32 = 32767;
const SEM_UNDO: u16 = 0x1000;
const IPC_NOWAIT: u16 = 0o4000;
/// How many semaphores one call asks about: it may have 500 operations (SEMOPM).
const AT_ONCE: usize = 60;

/// Reads all of them. `whole`: the tree is all that its IPC namespace has.
///
/// # Errors
/// If a process can't be asked.
pub fn capture(
    collector: &mut Collector,
    frozen: &Frozen,
    processes: &mut [Process],
    whole: bool,
) -> Result<SysvIpc, InjectError> {
    let failed = |source| InjectError::Io { tid: frozen.processes.first().map_or(0, |p| p.pid), source };
    let sets = ids("sem");
    if !sets.is_empty() {
        adjustments(collector, frozen, processes, &sets)?;
    }
    let mut all = SysvIpc::default();
    for id in sets {
        if let Some(set) = semaphores(&collector.pids, processes, id, whole).map_err(failed)? {
            all.semaphores.push(set);
        }
    }
    for id in ids("msg") {
        if let Some(queue) = queue(&collector.pids, id, whole).map_err(failed)? {
            all.queues.push(queue);
        }
    }
    for id in ids("shm") {
        unattached(collector, id, whole).map_err(failed)?;
    }
    Ok(all)
}

/// The ids in a table of /proc/sysvipc (proc(5)), which is that of our own IPC namespace.
fn ids(table: &str) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap_or_default();
    text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse().ok()).collect()
}

/// Somebody who is not of the tree, and lives.
fn is_stranger(pids: &[Pid], pid: Pid) -> bool {
    pid > 0 && !pids.contains(&pid) && proc::stat::Stat::of(pid).is_ok_and(|s| !s.is_zombie())
}

fn identity(id: i32, owner: &ipc::Owner, own: bool) -> Identity {
    Identity { id, key: owner.key, uid: owner.uid, gid: owner.gid, mode: owner.mode, own }
}

/// `None` for what is not the tree's, or gone meanwhile.
fn semaphores(pids: &[Pid], processes: &[Process], id: i32, whole: bool) -> io::Result<Option<SemaphoreSet>> {
    let Ok(status) = ipc::semaphores_status(id) else { return Ok(None) };
    let values = ipc::semaphores_values(id, status.count)?;
    let numbers = 0..status.count as u32;
    let last_users =
        numbers.clone().map(|n| ipc::semaphore_last_user(id, n)).collect::<io::Result<Vec<_>>>()?;
    let adjusted = processes.iter().any(|p| p.sem_undo.iter().any(|undo| undo.id == id));
    if !whole && !adjusted && !last_users.iter().any(|pid| pids.contains(pid)) {
        return Ok(None);
    }
    // Those of the tree have been interrupted, and wait for nothing.
    let mut own = !last_users.iter().any(|pid| is_stranger(pids, *pid));
    for number in numbers {
        own &= ipc::semaphore_waiters(id, number)? == 0;
    }
    Ok(Some(SemaphoreSet { identity: identity(id, &status.owner, own || whole), values, last_users }))
}

fn queue(pids: &[Pid], id: i32, whole: bool) -> io::Result<Option<Queue>> {
    let Ok(status) = ipc::queue_status(id) else { return Ok(None) };
    let users = [status.last_sender, status.last_receiver];
    if !whole && !users.iter().any(|pid| pids.contains(pid)) {
        return Ok(None);
    }
    let own = whole || !users.iter().any(|pid| is_stranger(pids, *pid));
    let mut messages = Vec::new();
    while let Some((kind, text)) = ipc::queue_peek(id, messages.len() as u64, status.bytes as usize)? {
        messages.push((kind, ByteBuf::from(text)));
    }
    Ok(Some(Queue { identity: identity(id, &status.owner, own), max_bytes: status.max_bytes, messages }))
}

/// A segment that nobody has attached goes along where a capsule has it, or the tree has made or used it.
fn unattached(collector: &mut Collector, id: i32, whole: bool) -> io::Result<()> {
    let Ok(status) = sysv::segment_status(id) else { return Ok(()) };
    let used = [status.creator, status.last_user].iter().any(|pid| collector.pids.contains(pid));
    if status.attachments > 0 || !(whole || used) {
        return Ok(());
    }
    let attachment = Attachment::new(id)?;
    let own = std::process::id() as i32;
    let vma = maps::maps(own)?.into_iter().find(|v| v.start == attachment.address());
    let vma = vma.ok_or(io::ErrorKind::NotFound)?;
    memory::sysv(collector, own, &vma).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(())
}

/// Finds the adjustments of all processes.
fn adjustments(
    collector: &mut Collector,
    frozen: &Frozen,
    processes: &mut [Process],
    sets: &[i32],
) -> Result<(), InjectError> {
    let own = std::process::id() as i32;
    let mut asked: Vec<Pid> = Vec::new();
    for thawed in &frozen.processes {
        let Some(leader) = thawed.leader() else { continue };
        let same = |one, other| kcmp(one, other, Kcmp::Sysvsem, 0, 0).is_ok_and(|o| o.is_eq());
        let strays = thawed.threads.iter().filter(|t| !same(t.tid, leader.tid)).count();
        // Ours has none: that of a process that never adjusted anything is the same.
        if strays > 0 && thawed.threads.iter().any(|t| !same(t.tid, own)) {
            collector.notes.push(format!(
                "{strays} threads of process {} have semaphore adjustments (SEM_UNDO) of their own, which are not in the image",
                thawed.pid
            ));
        }
        if same(leader.tid, own) {
            continue;
        }
        if let Some(other) = asked.iter().find(|other| same(**other, leader.tid)) {
            collector.notes.push(format!(
                "process {} shares its semaphore adjustments (SEM_UNDO) with process {other}; after a restore only that one has them",
                thawed.pid
            ));
            continue;
        }
        asked.push(leader.tid);
        let found = of_process(thawed, sets)?;
        if let Some(process) = processes.iter_mut().find(|p| p.pid == thawed.pid) {
            process.sem_undo = found;
        }
    }
    Ok(())
}

fn of_process(process: &FrozenProcess, sets: &[i32]) -> Result<Vec<SemUndo>, InjectError> {
    let Some(leader) = process.leader() else { return Ok(Vec::new()) };
    let failed = |source| InjectError::Io { tid: leader.tid, source };
    let mut injector = Injector::new(leader.tid, &maps::maps(leader.tid).map_err(failed)?)?;
    let mut remote = injector.thread(leader);
    let scratch = remote.scratch()?;
    let mut found = Vec::new();
    for id in sets {
        let Ok(status) = ipc::semaphores_status(*id) else { continue };
        let values = ipc::semaphores_values(*id, status.count).map_err(failed)?;
        let numbers: Vec<(u16, i32)> = (0..).zip(values.iter().map(|v| i32::from(*v))).collect();
        let mut prober = Prober { remote: &mut remote, scratch, id: *id };
        for some in numbers.chunks(AT_ONCE) {
            // Most have none.
            let mut list = Operations::default();
            some.iter().for_each(|(number, value)| list.about(*number, *value));
            if prober.is_out_of_range(list)? != Some(true) {
                continue;
            }
            for (number, value) in some {
                let adjust = prober.adjustment(*number, *value)?;
                if adjust != 0 {
                    found.push(SemUndo { id: *id, number: *number, adjust: adjust as i16 });
                }
            }
        }
    }
    remote.release_scratch()?;
    remote.finish()?;
    Ok(found)
}

/// Operations of one call (`struct sembuf`), none of which will be made.
#[derive(Default)]
struct Operations {
    raw: Vec<u8>,
    last: (u16, i32),
}

impl Operations {
    fn add(&mut self, number: u16, value: &mut i32, change: i32, flags: u16) {
        if change != 0 {
            *value += change;
            self.raw.extend(number.to_le_bytes());
            self.raw.extend((change as i16).to_le_bytes());
            self.raw.extend((flags | IPC_NOWAIT).to_le_bytes());
            self.last = (number, *value);
        }
    }

    /// Out of range for any adjustment of this semaphore but none.
    fn about(&mut self, number: u16, mut value: i32) {
        let v = &mut value;
        self.add(number, v, HIGHEST - *v, 0);
        // Above 0.
        self.add(number, v, -HIGHEST, SEM_UNDO);
        self.add(number, v, HIGHEST, SEM_UNDO);
        // Below 0.
        self.add(number, v, -HIGHEST, 0);
        self.add(number, v, HIGHEST, SEM_UNDO);
        self.add(number, v, -1, 0);
        self.add(number, v, 1, SEM_UNDO);
    }

    /// Ends the list with what would have to wait.
    fn finish(mut self) -> Vec<u8> {
        let (number, mut value) = self.last;
        let down = -value;
        self.add(number, &mut value, down, 0);
        self.add(number, &mut value, -1, 0);
        self.raw
    }
}

struct Prober<'a, 'b> {
    remote: &'a mut Remote<'b>,
    scratch: u64,
    id: i32,
}

impl Prober<'_, '_> {
    /// `None` where the process may not use the set, or it is gone: then it has nothing to give back.
    fn is_out_of_range(&mut self, list: Operations) -> Result<Option<bool>, InjectError> {
        let raw = list.finish();
        self.remote.write(self.scratch, &raw)?;
        let args = [self.id as u64, self.scratch, raw.len() as u64 / 6, 0, 0, 0];
        Ok(match self.remote.call(libc::SYS_semop, args)? {
            Err(e) if e.raw_os_error() == Some(libc::ERANGE) => Some(true),
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Some(false),
            _ => None,
        })
    }

    fn adjustment(&mut self, number: u16, value: i32) -> Result<i32, InjectError> {
        // One that is above 0 goes out of range by what takes the semaphore down: the more, the less it needs.
        let taking = |by: i32| {
            let (mut list, mut v) = (Operations::default(), value);
            list.add(number, &mut v, HIGHEST - value, 0);
            list.add(number, &mut v, -by, SEM_UNDO);
            list
        };
        // One below 0 by what puts it up.
        let giving = |by: i32| {
            let (mut list, mut v) = (Operations::default(), value);
            list.add(number, &mut v, -value, 0);
            list.add(number, &mut v, by.min(HIGHEST), SEM_UNDO);
            if by > HIGHEST {
                list.add(number, &mut v, -HIGHEST, 0);
                list.add(number, &mut v, by - HIGHEST, SEM_UNDO);
            }
            list
        };
        if let Some(least) = self.least(HIGHEST, &taking)? {
            return Ok(HIGHEST + 1 - least);
        }
        Ok(self.least(HIGHEST + 1, &giving)?.map_or(0, |least| least - (HIGHEST + 2)))
    }

    /// The smallest number from 1 to `most` for which the list is out of range.
    fn least(&mut self, most: i32, list: &dyn Fn(i32) -> Operations) -> Result<Option<i32>, InjectError> {
        if self.is_out_of_range(list(most))? != Some(true) {
            return Ok(None);
        }
        let (mut below, mut above) = (0, most);
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            match self.is_out_of_range(list(middle))? {
                Some(true) => above = middle,
                _ => below = middle,
            }
        }
        Ok(Some(above))
    }
}
