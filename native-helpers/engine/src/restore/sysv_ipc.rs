//! SysV semaphores and message queues: found again where they still exist, made again with their ids and keys
//! where they don't.
//!
//! They outlive the programs that use them. What nobody else uses is set to what the image has; what others use
//! as well goes on as it is, as a file on disk would. When a program ends the kernel gives back what it has taken
//! with SEM_UNDO (semop(2)): the restored process takes that again.

use std::io;

use serde_bytes::ByteBuf;
use torpor_sys::sysv_ipc::{self as ipc, Owner};

use super::RestoreError;
use super::plan::Planner;
use super::region::List;
use crate::model::sysv::{Identity, Queue, SemaphoreSet, SysvIpc};
use crate::model::{Process, SystemState};

const NEXT_SET: &str = "/proc/sys/kernel/sem_next_id";
const NEXT_QUEUE: &str = "/proc/sys/kernel/msg_next_id";
const HIGHEST: i32 = 32767;
const SEM_UNDO: u16 = 0x1000;
const IPC_NOWAIT: u16 = 0o4000;

type Messages = Vec<(i64, ByteBuf)>;

/// What has been done, and is undone on drop unless it is kept.
#[derive(Debug, Default)]
pub struct Objects {
    made_sets: Vec<i32>,
    made_queues: Vec<i32>,
    /// Semaphores whose values were set: set, number, the value before.
    set: Vec<(i32, u32, u16)>,
    /// Queues whose messages were replaced.
    replaced: Vec<(i32, Messages)>,
    /// Sets that others use: what is to be taken again can't be had for certain.
    pub notes: Vec<String>,
}

impl Objects {
    /// Makes or finds everything.
    pub fn open(&mut self, state: &SystemState) -> Result<(), RestoreError> {
        let SysvIpc { semaphores, queues } = &state.sysv;
        for set in semaphores {
            self.semaphores(set).map_err(|e| failed("semaphore set", &set.identity, e))?;
        }
        for queue in queues {
            self.queue(queue).map_err(|e| failed("message queue", &queue.identity, e))?;
        }
        for undo in state.processes.iter().flat_map(|p| &p.sem_undo) {
            if let Some(set) = semaphores.iter().find(|s| s.identity.id == undo.id && !s.identity.own) {
                let now = ipc::semaphores_values(undo.id, set.values.len() as u64).unwrap_or_default();
                let now = now.get(undo.number as usize).copied().unwrap_or(0);
                if i32::from(now) < i32::from(undo.adjust) {
                    self.notes.push(format!(
                        "semaphore {} of set {} was taken by another program meanwhile; the restored one holds it as well",
                        undo.number, undo.id
                    ));
                }
            }
        }
        Ok(())
    }

    fn semaphores(&mut self, set: &SemaphoreSet) -> io::Result<()> {
        let it = &set.identity;
        let count = set.values.len() as u64;
        match ipc::semaphores_status(it.id) {
            Ok(is) if is.owner.key == it.key && is.count == count => {
                if !it.own {
                    return Ok(());
                }
                ipc::semaphores_set_owner(it.id, &owner(it))?;
            }
            Ok(_) => return Err(taken()),
            Err(_) => {
                std::fs::write(NEXT_SET, it.id.to_string())?;
                let made = ipc::semaphores_get(it.key, count, creation(it))?;
                self.made_sets.push(made);
                if made != it.id {
                    return Err(taken());
                }
                ipc::semaphores_set_owner(it.id, &owner(it))?;
            }
        }
        let now = ipc::semaphores_values(it.id, count)?;
        for (number, (value, was)) in (0..).zip(set.values.iter().zip(now)) {
            if *value != was {
                ipc::semaphore_set(it.id, number, *value)?;
                self.set.push((it.id, number, was));
            }
        }
        Ok(())
    }

    fn queue(&mut self, queue: &Queue) -> io::Result<()> {
        let it = &queue.identity;
        match ipc::queue_status(it.id) {
            Ok(is) if is.owner.key == it.key => {
                if !it.own || messages(it.id, is.bytes as usize)? == queue.messages {
                    return Ok(());
                }
                let mut before = Vec::new();
                while let Some((kind, text)) = ipc::queue_take(it.id, is.bytes as usize)? {
                    before.push((kind, ByteBuf::from(text)));
                }
                self.replaced.push((it.id, before));
            }
            Ok(_) => return Err(taken()),
            Err(_) => {
                std::fs::write(NEXT_QUEUE, it.id.to_string())?;
                let made = ipc::queue_get(it.key, creation(it))?;
                self.made_queues.push(made);
                if made != it.id {
                    return Err(taken());
                }
            }
        }
        ipc::queue_set(it.id, &owner(it), queue.max_bytes)?;
        fill(it.id, &queue.messages)
    }

    /// The restore has succeeded: what was made stays.
    pub fn keep(&mut self) {
        self.set.clear();
        self.replaced.clear();
        self.made_sets.clear();
        self.made_queues.clear();
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        for (id, number, value) in &self.set {
            let _ = ipc::semaphore_set(*id, *number, *value);
        }
        for (id, before) in &self.replaced {
            let room = ipc::queue_status(*id).map_or(0, |is| is.bytes as usize);
            while let Ok(Some(_)) = ipc::queue_take(*id, room) {}
            let _ = fill(*id, before);
        }
        for id in &self.made_sets {
            let _ = ipc::semaphores_remove(*id);
        }
        for id in &self.made_queues {
            let _ = ipc::queue_remove(*id);
        }
    }
}

fn failed(what: &str, it: &Identity, source: io::Error) -> RestoreError {
    RestoreError::File { description: format!("SysV {what} {} (key {:#x})", it.id, it.key), source }
}

fn taken() -> io::Error {
    io::Error::other("its id is taken by another one; remove that (ipcrm), or restore into a capsule")
}

fn owner(it: &Identity) -> Owner {
    Owner { key: it.key, uid: it.uid, gid: it.gid, mode: it.mode }
}

fn creation(it: &Identity) -> i32 {
    libc::IPC_CREAT | libc::IPC_EXCL | it.mode as i32
}

fn messages(id: i32, room: usize) -> io::Result<Messages> {
    let mut all = Messages::new();
    while let Some((kind, text)) = ipc::queue_peek(id, all.len() as u64, room)? {
        all.push((kind, ByteBuf::from(text)));
    }
    Ok(all)
}

fn fill(id: i32, messages: &Messages) -> io::Result<()> {
    messages.iter().try_for_each(|(kind, text)| ipc::queue_put(id, *kind, text))
}

/// `struct sembuf` of the operations of one call.
#[derive(Default)]
struct Operations(Vec<u8>);

impl Operations {
    fn add(&mut self, number: u16, change: i32, flags: u16) {
        self.0.extend(number.to_le_bytes());
        self.0.extend((change as i16).to_le_bytes());
        self.0.extend((flags | IPC_NOWAIT).to_le_bytes());
    }

    fn call(self, planner: &mut Planner<'_>, list: &mut List, id: i32) {
        if !self.0.is_empty() {
            let count = self.0.len() as u64 / 6;
            let operations = planner.region.data(&self.0, 8);
            list.call(libc::SYS_semop, &[id as u64, operations, count]);
        }
    }
}

/// Gives a process its adjustments; before its threads are made, which share them with it.
pub fn adjust(planner: &mut Planner<'_>, list: &mut List, process: &Process) {
    for undo in &process.sem_undo {
        let set = planner.state.sysv.semaphores.iter().find(|s| s.identity.id == undo.id);
        let Some(set) = set else { continue };
        let adjust = i32::from(undo.adjust);
        let value = i32::from(set.values.get(undo.number as usize).copied().unwrap_or(0));
        let mut operations = Operations::default();
        if !set.identity.own {
            // What the kernel has given back is taken again, and nobody else's share of it changes.
            let now = ipc::semaphores_values(undo.id, set.values.len() as u64).unwrap_or_default();
            let now = now.get(undo.number as usize).map_or(0, |v| i32::from(*v));
            if (0..=HIGHEST).contains(&(now - adjust)) {
                operations.add(undo.number, -adjust, SEM_UNDO);
                operations.call(planner, list, undo.id);
                continue;
            }
        }
        // The value stays: what one operation changes, the other changes back. In steps for which there is room.
        let (room_above, room_below) = (HIGHEST - value, value);
        let up_first = room_above >= room_below;
        let mut rest = adjust;
        while rest != 0 {
            let step = rest.abs().min(room_above.max(room_below)) * rest.signum();
            // The one that puts it up is the adjusting one where the adjustment is below 0.
            if (step > 0) == up_first {
                operations.add(undo.number, step, 0);
                operations.add(undo.number, -step, SEM_UNDO);
            } else {
                operations.add(undo.number, -step, SEM_UNDO);
                operations.add(undo.number, step, 0);
            }
            rest -= step;
        }
        operations.call(planner, list, undo.id);
    }
}

/// Makes a process the last user of what it was that of, once all adjustments are made.
pub fn last_used(planner: &mut Planner<'_>, list: &mut List, process: &Process) {
    for set in planner.state.sysv.semaphores.iter().filter(|s| s.identity.own) {
        let mut operations = Operations::default();
        let id = set.identity.id;
        for (number, value) in (0u16..).zip(&set.values) {
            if set.last_users.get(number as usize) == Some(&process.pid) {
                let up = if i32::from(*value) < HIGHEST { 1 } else { -1 };
                operations.add(number, up, 0);
                operations.add(number, -up, 0);
            }
            // A call has 500 operations at most.
            if operations.0.len() > 400 * 6 {
                std::mem::take(&mut operations).call(planner, list, id);
            }
        }
        operations.call(planner, list, id);
    }
}

/// Bytes of the region that the calls of all processes need at most.
pub fn room(state: &SystemState) -> usize {
    const STEP: usize = 256;
    let adjustments: usize = state.processes.iter().map(|p| p.sem_undo.len()).sum();
    let sets = state.sysv.semaphores.iter().map(|s| s.values.len() * 12 + STEP).sum::<usize>();
    adjustments * STEP
        + sets * state.processes.len().min(64)
        + state.processes.len() * state.sysv.semaphores.len() * 8
}
