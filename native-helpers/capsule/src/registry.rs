//! Finds capsules in a runtime folder, and cleans up after those that ended without doing it
//! themselves (init killed, machine restarted).

use crate::cgroup;
use crate::error::{CapsuleError, Result};
use crate::record::{CapsuleRecord, ExitRecord};
use crate::runtime_folder::{
    ATTACH_SOCKET, CAPSULE_JSON, EXIT_JSON, INIT_SOCKET, RuntimeFolder, capsules_folder, folder_of, is_held,
};
use crate::spec::CapsuleId;
use std::fs;
use std::path::{Path, PathBuf};

/// How a capsule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// Init runs, and so does the application.
    Alive,
    /// Somebody holds the id, but the program does not run yet (or just ended).
    Starting,
    /// Only the folder is left; `exit.json` may tell how it ended.
    Ended,
}

/// One capsule's folder.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: CapsuleId,
    pub folder: PathBuf,
    pub state: EntryState,
    pub record: Option<CapsuleRecord>,
    pub exit: Option<ExitRecord>,
}

impl Entry {
    fn read(run_folder: &Path, id: CapsuleId) -> Self {
        let folder = folder_of(run_folder, &id);
        let record: Option<CapsuleRecord> = read_json(&folder.join(CAPSULE_JSON));
        let exit = read_json(&folder.join(EXIT_JSON));
        let state = match &record {
            Some(record) if exit.is_none() && is_alive(record) => EntryState::Alive,
            _ if is_held(&folder) => EntryState::Starting,
            _ => EntryState::Ended,
        };
        Self { id, folder, state, record, exit }
    }
}

/// All capsules of a runtime folder, ended ones too, by id.
pub fn list(run_folder: &Path) -> Vec<Entry> {
    let folders = fs::read_dir(capsules_folder(run_folder)).into_iter().flatten().flatten();
    let mut ids: Vec<CapsuleId> =
        folders.filter_map(|entry| CapsuleId::new(entry.file_name().to_str()?).ok()).collect();
    ids.sort();
    ids.into_iter().map(|id| Entry::read(run_folder, id)).collect()
}

/// A living capsule.
///
/// # Errors
/// [`CapsuleError::NotFound`].
pub fn find(run_folder: &Path, id: &CapsuleId) -> Result<(Entry, CapsuleRecord)> {
    let entry = Entry::read(run_folder, id.clone());
    match (&entry.record, entry.state) {
        (Some(record), EntryState::Alive) => {
            let record = record.clone();
            Ok((entry, record))
        }
        _ => Err(CapsuleError::NotFound { id: id.to_string() }),
    }
}

/// Cleans up after ended capsules: sockets, cgroups, and folders without an `exit.json` that
/// somebody may still want to read (those go with [`remove`], or when the id is used again).
/// Returns the ids whose folders were removed.
pub fn sweep_stale(run_folder: &Path) -> Vec<CapsuleId> {
    let mut removed = Vec::new();
    for entry in list(run_folder).into_iter().filter(|e| e.state == EntryState::Ended) {
        if entry.exit.is_none() {
            if remove(run_folder, &entry.id).is_ok() {
                removed.push(entry.id);
            }
        } else {
            for socket in [ATTACH_SOCKET, INIT_SOCKET] {
                let _ = fs::remove_file(entry.folder.join(socket));
            }
        }
    }
    cgroup::sweep(run_folder, |id| CapsuleId::new(id).is_ok_and(|id| is_held(&folder_of(run_folder, &id))));
    removed
}

/// Removes an ended capsule's folder.
///
/// # Errors
/// [`CapsuleError::InUse`] when it lives.
pub fn remove(run_folder: &Path, id: &CapsuleId) -> Result<()> {
    if !folder_of(run_folder, id).exists() {
        return Ok(());
    }
    RuntimeFolder::claim(run_folder, id)?.remove();
    Ok(())
}

/// Whether the init that a record names still runs: same PID, same start, same boot; a zombie is
/// not alive (the machine's PID 1 may take seconds to reap it).
pub fn is_alive(record: &CapsuleRecord) -> bool {
    record.boot_id == boot_id() && start_ticks(record.init_pid) == Some(record.init_start_ticks)
}

/// When a process started, in clock ticks since boot; `None` when it is gone or a zombie.
pub fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_start_ticks(&stat)
}

fn parse_start_ticks(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything; fields count from its end, the state being 3.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The running kernel's boot, so that a record from before a restart is never believed.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_survives_odd_names_and_zombies_are_dead() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(parse_start_ticks(stat), Some(777));
        assert_eq!(parse_start_ticks(&stat.replace(" S ", " Z ")), None);
        assert_eq!(parse_start_ticks("rubbish"), None);
        assert!(start_ticks(i32::try_from(std::process::id()).unwrap()).is_some());
    }

    #[test]
    fn ended_capsules_keep_their_exit_until_removed() {
        let run = tempfile::tempdir().unwrap();
        let (kept, gone) = (CapsuleId::new("kept").unwrap(), CapsuleId::new("gone").unwrap());
        let exit = ExitRecord {
            ended_at: String::new(),
            exit_status: Some(0),
            signal: None,
            signal_name: None,
            reason: None,
        };
        RuntimeFolder::claim(run.path(), &kept).unwrap().write_json(EXIT_JSON, &exit).unwrap();
        drop(RuntimeFolder::claim(run.path(), &gone).unwrap());
        assert_eq!(sweep_stale(run.path()), [gone]);
        let left = list(run.path());
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].state, left[0].exit.clone()), (EntryState::Ended, Some(exit)));
        remove(run.path(), &kept).unwrap();
        assert!(list(run.path()).is_empty());
    }
}
