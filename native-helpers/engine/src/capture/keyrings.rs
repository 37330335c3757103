//! Keyrings of threads, processes and sessions with what is in them. Only who possesses a key may see it, so the
//! threads are asked themselves; only where anybody has keys but those that the kernel makes for each user.

use std::collections::{HashMap, HashSet};
use std::io;

use super::collect::Collector;
use crate::inject::{Batch, InjectError, Remote, SCRATCH_LEN};
use crate::model::keys::{Key, Keyrings};

const GET_KEYRING_ID: u64 = 0;
const DESCRIBE: u64 = 6;
const READ: u64 = 11;
const SET_REQKEY_KEYRING: u64 = 14;
/// KEY_REQKEY_DEFL_NO_CHANGE.
const NO_CHANGE: u64 = u64::MAX;
/// Keyrings lie in one another no deeper (KEYRING_SEARCH_MAX_DEPTH).
const MAX_DEPTH: u32 = 6;
/// More keys than this are left behind, and a note says so.
const MAX_KEYS: usize = 1000;

/// What is known of keys.
#[derive(Debug, Default)]
pub struct Known {
    pub keys: Vec<Key>,
    /// Whether threads are asked, once it was looked at.
    asked: Option<bool>,
    /// Seconds left, by serial number, of the keys of these users.
    timeouts: HashMap<i32, u32>,
    users: HashSet<u32>,
}

/// The keyrings of a thread, and what is in them.
pub fn of_thread(
    collector: &mut Collector,
    remote: &mut Remote<'_>,
) -> Result<Option<Keyrings>, InjectError> {
    let mut batch = Batch::default();
    for special in 1..=3u64 {
        batch.call(libc::SYS_keyctl, [GET_KEYRING_ID, special.wrapping_neg(), 0, 0, 0, 0]);
    }
    batch.call(libc::SYS_keyctl, [SET_REQKEY_KEYRING, NO_CHANGE, 0, 0, 0, 0]);
    let found: Vec<i32> =
        remote.run(&batch)?.into_iter().map(|answer| answer.map_or(0, |n| n as i32)).collect();
    let mut own = [0; 3];
    for (own, serial) in own.iter_mut().zip(&found) {
        if *serial != 0 && take(collector, remote, *serial, 0)? {
            *own = *serial;
        }
    }
    let [thread, process, session] = own;
    let keyrings = Keyrings { thread, process, session, requested: found[3] };
    Ok((keyrings != Keyrings::default()).then_some(keyrings))
}

/// Whether to ask at all.
pub fn any(collector: &mut Collector) -> bool {
    let known = &mut collector.keyrings;
    *known
        .asked
        .get_or_insert_with(|| std::fs::read_to_string("/proc/key-users").is_ok_and(|text| has_more(&text)))
}

/// Whether any user has more keys than the keyrings that each has by itself: the fifth field of
/// `0: 9 8/8 3/1000000 40/25000000`, those that count for its quota.
fn has_more(users: &str) -> bool {
    users.lines().any(|line| {
        let mut words = line.split_whitespace();
        // The kernel's register of all users' keyrings is root's.
        let usual = if words.next() == Some("0:") { 3 } else { 2 };
        let counted = words.nth(2).and_then(|w| w.split('/').next()).and_then(|n| n.parse::<u32>().ok());
        counted.is_some_and(|n| n > usual)
    })
}

/// The fourth field of /proc/keys: `perm`, `expd`, or a number with a unit (proc(5)).
fn timeouts(keys: &str) -> HashMap<i32, u32> {
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let serial = i32::from_str_radix(words.next()?, 16).ok()?;
        let left = words.nth(2)?;
        let seconds = match left.chars().last()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        Some((serial, left[..left.len() - 1].parse::<u32>().ok()?.saturating_mul(seconds).max(1)))
    };
    keys.lines().filter_map(one).collect()
}

/// Takes in a key, and whatever is linked into it; false where it is none that is carried.
fn take(
    collector: &mut Collector,
    remote: &mut Remote<'_>,
    serial: i32,
    depth: u32,
) -> Result<bool, InjectError> {
    if collector.keyrings.keys.iter().any(|key| key.serial == serial) {
        return Ok(true);
    }
    // One that has expired or been revoked is no more.
    let Ok(text) = ask(remote, DESCRIBE, serial)? else { return Ok(false) };
    let Some(mut key) = described(serial, &text) else { return Ok(false) };
    // Those of a user outlive the tree.
    if key.kind == "keyring" && key.description.starts_with("_uid") {
        return Ok(false);
    }
    let readable = matches!(key.kind.as_str(), "user" | "keyring") && depth <= MAX_DEPTH;
    let payload = if readable && collector.keyrings.keys.len() < MAX_KEYS {
        ask(remote, READ, serial)?
    } else {
        Err(io::ErrorKind::Unsupported.into())
    };
    let Ok(payload) = payload else {
        let note = format!(
            "the key {:?} of type {} can't be read, and is not in the image",
            key.description, key.kind
        );
        if !collector.notes.contains(&note) {
            collector.notes.push(note);
        }
        return Ok(false);
    };
    let known = &mut collector.keyrings;
    if known.users.insert(key.uid) {
        known.timeouts.extend(timeouts(&torpor_sys::keys::listed_for(key.uid).unwrap_or_default()));
    }
    key.timeout_s = known.timeouts.get(&serial).copied();
    if key.kind != "keyring" {
        key.payload = payload;
        collector.keyrings.keys.push(key);
        return Ok(true);
    }
    let members: Vec<i32> =
        payload.chunks_exact(4).map(|w| i32::from_le_bytes(w.try_into().expect("4 bytes"))).collect();
    let place = collector.keyrings.keys.len();
    collector.keyrings.keys.push(key);
    for member in members {
        if take(collector, remote, member, depth + 1)? {
            collector.keyrings.keys[place].members.push(member);
        }
    }
    Ok(true)
}

/// Describes or reads a key, whose answer has to fit into scratch memory; the longest payload of a user's does.
fn ask(remote: &mut Remote<'_>, what: u64, serial: i32) -> Result<io::Result<Vec<u8>>, InjectError> {
    let scratch = remote.scratch()?;
    let room = SCRATCH_LEN / 2;
    let args = [what, serial as u64, scratch, room, 0, 0];
    let len = match remote.call(libc::SYS_keyctl, args)? {
        Ok(len) if len <= room => len as usize,
        Ok(_) => return Ok(Err(io::ErrorKind::FileTooLarge.into())),
        Err(e) => return Ok(Err(e)),
    };
    let bytes = remote.read_vec(scratch, len)?;
    // It is a secret: nothing of it stays in the program's memory.
    remote.write(scratch, &vec![0; len])?;
    Ok(Ok(bytes))
}

/// `type;uid;gid;perm;description` with a NUL at the end.
fn described(serial: i32, text: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(text.strip_suffix(&[0]).unwrap_or(text)).ok()?;
    let mut fields = text.splitn(5, ';');
    let kind = fields.next()?.to_owned();
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let permissions = u32::from_str_radix(fields.next()?, 16).ok()?;
    let description = fields.next()?.to_owned();
    let (timeout_s, payload, members) = (None, Vec::new(), Vec::new());
    Some(Key { serial, kind, description, uid, gid, permissions, timeout_s, payload, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_beside_the_kernels_own_are_asked_for() {
        assert!(!has_more("    0:     9 8/8 3/1000000 40/25000000\n 1000:     2 2/2 2/200 30/20000\n"));
        assert!(has_more("    0:     9 8/8 3/1000000 40/25000000\n 1000:     3 3/3 3/200 30/20000\n"));
        assert!(has_more("    0:    11 10/10 5/1000000 63/25000000\n"));
    }

    #[test]
    fn lines_of_keys_are_understood() {
        let keys = "0be964e1 I--Q---     1  16m 3f010000     0     0 user      kk: 2\n\
                    0ef31ef9 I--Q---     1 perm 3f130000     0     0 keyring   x-one: 1\n";
        assert_eq!(timeouts(keys), HashMap::from([(0x0be9_64e1, 960)]));
        let key = described(7, b"user;1;2;3f010000;a;b\0").unwrap();
        assert_eq!((key.uid, key.gid, key.permissions), (1, 2, 0x3f01_0000));
        assert_eq!((key.kind.as_str(), key.description.as_str()), ("user", "a;b"));
    }
}
