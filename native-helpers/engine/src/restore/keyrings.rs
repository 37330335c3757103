//! Makes keys and keyrings anew, by the threads that are to possess them (keyrings(7)). Serial numbers are the kernel's
//! to choose.

use std::collections::HashMap;

use torpor_sys::keys;

use super::RestoreError;
use super::lineage::{Lineage, Step};
use super::plan::Planner;
use super::region::List;
use super::runner::{Kind, OP_LEN, Op};
use crate::model::keys::{Key, Keyrings};
use crate::model::{Pid, Process, SystemState, Thread};

const THREAD: i32 = -1;
const PROCESS: i32 = -2;
const JOIN_SESSION_KEYRING: u64 = 1;
const CHOWN: u64 = 4;
const SETPERM: u64 = 5;
const SEARCH: u64 = 10;
const SET_REQKEY_KEYRING: u64 = 14;
const SET_TIMEOUT: u64 = 15;
/// What the kernel calls a session keyring without a name.
const ANONYMOUS: &str = "_ses";
/// Keyrings lie in one another no deeper than the kernel looks.
const MAX_DEPTH: u32 = 8;
/// Of all processes and threads together.
const MAX_KEYS: usize = 20_000;

/// Keys that the caller has by now, by the serial numbers that they had, and in or below which of its keyrings.
#[derive(Default)]
struct There(HashMap<i32, i32>);

impl There {
    /// Takes in all that is in a keyring.
    fn all_of(&mut self, state: &SystemState, ring: i32, special: i32, depth: u32) {
        for member in
            find(state, ring).filter(|_| depth <= MAX_DEPTH).into_iter().flat_map(|ring| &ring.members)
        {
            if self.0.insert(*member, special).is_none() {
                self.all_of(state, *member, special, depth + 1);
            }
        }
    }

    /// Where a key is found by its kind and description, if there is one like it only.
    fn ring(&self, state: &SystemState, key: &Key) -> Option<i32> {
        let ring = *self.0.get(&key.serial)?;
        let alike = |other: &&Key| other.kind == key.kind && other.description == key.description;
        (state.keys.iter().filter(alike).count() == 1).then_some(ring)
    }
}

/// Whether keys may be used here, where there are any in the image.
pub fn usable(state: &SystemState) -> bool {
    let refused = || keys::keyring_id(keys::SESSION).is_err_and(|e| e.raw_os_error() != Some(libc::ENOKEY));
    state.keys.is_empty() || !refused()
}

/// The keyrings of a process as it begins, of which its children inherit that of the session and its threads both.
pub fn process(planner: &mut Planner<'_>, list: &mut List, process: &Process) -> Result<(), RestoreError> {
    let own = first(process);
    let inherited = inherited(planner.state, planner.lineage, process.pid);
    let mut there = There::default();
    if own.session != inherited.session {
        session(planner, list, own.session, &mut there)?;
    } else {
        there.all_of(planner.state, own.session, keys::SESSION, 0);
    }
    fill(planner, list, own.process, PROCESS, &mut there)?;
    put_requested(list, own.requested, inherited.requested);
    Ok(())
}

/// What a thread has beside that of its process.
pub fn thread(
    planner: &mut Planner<'_>,
    list: &mut List,
    process: &Process,
    thread: &Thread,
) -> Result<(), RestoreError> {
    let own = thread.keyrings.unwrap_or_default();
    let mut there = There::default();
    there.all_of(planner.state, first(process).process, PROCESS, 0);
    if own.session != first(process).session {
        session(planner, list, own.session, &mut there)?;
    } else {
        there.all_of(planner.state, own.session, keys::SESSION, 0);
    }
    fill(planner, list, own.thread, THREAD, &mut there)?;
    put_requested(list, own.requested, first(process).requested);
    Ok(())
}

/// Only where it is another than before: setting it makes a keyring that is not there.
fn put_requested(list: &mut List, wanted: i32, before: i32) {
    if wanted != before {
        list.try_call(libc::SYS_keyctl, &[SET_REQKEY_KEYRING, wanted as u64]);
    }
}

/// Bytes of the region that the keys of an image may take.
pub fn room(state: &SystemState) -> usize {
    let rings = |keyrings: Option<Keyrings>| keyrings.map(|k| [k.thread, k.process, k.session]);
    let all = state.processes.iter().flat_map(|p| &p.threads).filter_map(|t| rings(t.keyrings));
    let mut left = MAX_KEYS;
    all.flatten().map(|serial| room_of(state, serial, 0, &mut left)).sum()
}

fn room_of(state: &SystemState, serial: i32, depth: u32, left: &mut usize) -> usize {
    let Some(key) = state.keys.iter().find(|k| k.serial == serial) else { return 0 };
    if depth > MAX_DEPTH || *left == 0 {
        return 0;
    }
    *left -= 1;
    let members: usize = key.members.iter().map(|m| room_of(state, *m, depth + 1, left)).sum();
    members + (9 + key.members.len()) * OP_LEN + key.description.len() + key.payload.len() + 64
}

fn first(process: &Process) -> Keyrings {
    process.threads.first().and_then(|t| t.keyrings).unwrap_or_default()
}

/// The keyrings of who makes a process: one of the tree, or us.
fn inherited(state: &SystemState, lineage: &Lineage, pid: Pid) -> Keyrings {
    let makes = |step: &Step| match step {
        Step::Make(child) | Step::MakeOrphan { pid: child, .. } => *child == pid,
        Step::SessionStandIn { makes, .. } => makes.contains(&pid),
        Step::Session | Step::StandIn { .. } => false,
    };
    let maker = lineage.steps.iter().find(|(_, steps)| steps.iter().any(makes)).map(|(maker, _)| *maker);
    match maker {
        Some(maker) => state.processes.iter().find(|p| p.pid == maker).map(first).unwrap_or_default(),
        None => {
            let session = keys::keyring_id(keys::SESSION).unwrap_or(0);
            Keyrings { session, ..Keyrings::default() }
        }
    }
}

/// Joins the session keyring of this name, or makes one, and puts its keys in.
fn session(
    planner: &mut Planner<'_>,
    list: &mut List,
    serial: i32,
    there: &mut There,
) -> Result<(), RestoreError> {
    let Some(ring) = find(planner.state, serial) else { return Ok(()) };
    let name = if ring.description == ANONYMOUS { 0 } else { planner.region.string(&ring.description) };
    list.call(libc::SYS_keyctl, &[JOIN_SESSION_KEYRING, name]);
    fill(planner, list, serial, keys::SESSION, there)
}

/// Puts the keys of a keyring into one of the caller's own.
fn fill(
    planner: &mut Planner<'_>,
    list: &mut List,
    serial: i32,
    special: i32,
    there: &mut There,
) -> Result<(), RestoreError> {
    let Some(ring) = find(planner.state, serial) else { return Ok(()) };
    if ring.members.is_empty() && special != keys::SESSION {
        // Asked for with the wish to make it.
        list.call(libc::SYS_keyctl, &[0, special as u64, 1]);
    }
    let mut left = MAX_KEYS;
    for member in &ring.members {
        if let Some(key) = find(planner.state, *member) {
            let mut ops = added(planner, key, 0, &mut left, (special, there))?;
            ops[0].args[4] = special as u64;
            list.ops.extend(ops);
        }
    }
    for op in marks(ring) {
        let mut op = op;
        op.args[1] = special as u64;
        list.ops.push(op);
    }
    Ok(())
}

/// The calls that make a key with all that it holds; the first one's fifth argument is the keyring for it.
fn added(
    planner: &mut Planner<'_>,
    key: &Key,
    depth: u32,
    left: &mut usize,
    (special, there): (i32, &mut There),
) -> Result<Vec<Op>, RestoreError> {
    if depth > MAX_DEPTH || *left == 0 {
        return Err(RestoreError::Malformed("keyrings without an end"));
    }
    *left -= 1;
    let kind = planner.region.string(&key.kind);
    let description = planner.region.string(&key.description);
    if let Some(ring) = there.ring(planner.state, key) {
        // One that is linked in several places is found where it is already, and linked here too.
        return Ok(vec![op(libc::SYS_keyctl, [SEARCH, ring as u64, kind, description, 0, 0])]);
    }
    there.0.insert(key.serial, special);
    let (payload, len) = match key.payload.len() {
        0 => (0, 0),
        len => (planner.region.data(&key.payload, 1), len as u64),
    };
    // Who wants to know the number of the new key: place in the body, and argument.
    let mut wanted = Vec::new();
    let mut body = Vec::new();
    for member in &key.members {
        if let Some(member) = find(planner.state, *member) {
            wanted.push((body.len(), 4));
            body.extend(added(planner, member, depth + 1, left, (special, there))?);
        }
    }
    for op in marks(key) {
        wanted.push((body.len(), 1));
        body.push(op);
    }
    let mut ops = vec![op(libc::SYS_add_key, [kind, description, payload, len, 0, 0])];
    let stores = wanted.len();
    for (i, (place, argument)) in wanted.into_iter().enumerate() {
        let distance = (stores - i + place) * OP_LEN + 16 + argument * 8;
        ops.push(Op { kind: Kind::Store, flags: distance as u32, number: 0, args: [0; 6] });
    }
    ops.extend(body);
    Ok(ops)
}

/// What is set of a key once it is there; whose, as the second argument, is not known yet.
fn marks(key: &Key) -> Vec<Op> {
    let mut ops = Vec::new();
    if let Some(seconds) = key.timeout_s {
        ops.push(op(libc::SYS_keyctl, [SET_TIMEOUT, 0, u64::from(seconds), 0, 0, 0]));
    }
    ops.push(op(libc::SYS_keyctl, [CHOWN, 0, u64::from(key.uid), u64::from(key.gid), 0, 0]));
    ops.push(op(libc::SYS_keyctl, [SETPERM, 0, u64::from(key.permissions), 0, 0, 0]));
    ops
}

fn op(number: i64, args: [u64; 6]) -> Op {
    Op { kind: Kind::Call, flags: 0, number: number as u64, args }
}

fn find(state: &SystemState, serial: i32) -> Option<&Key> {
    state.keys.iter().find(|key| key.serial == serial)
}
