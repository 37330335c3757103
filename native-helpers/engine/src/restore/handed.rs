//! Open files that only restored processes can open (of /proc/PID, pidfds) and that several of them have: one opens
//! them, the others take them from it, so that there is one description again (pidfd_getfd(2)).

use std::collections::HashMap;

use super::files::Files;
use super::region::{List, Region};
use super::runner::Kind;
use crate::model::{FileId, FileKind, Pid, Process, SystemState};

/// Who opens what for others.
#[derive(Debug, Default)]
pub struct Handed {
    /// By description and who takes it: the process that opens it, and its first number there.
    openers: HashMap<(FileId, Pid), (Pid, i32)>,
    counters: HashMap<Pid, Counters>,
}

/// Of a process that opens for others.
#[derive(Debug, Clone, Copy)]
struct Counters {
    /// Address of the word that says whether all is open.
    ready: u64,
    /// Address of the word that counts what others have taken.
    taken: u64,
    /// How much they take.
    takes: u64,
}

impl Handed {
    pub fn plan(state: &SystemState, files: &Files, region: &mut Region) -> Handed {
        let mut holders: HashMap<FileId, Vec<(&Process, i32)>> = HashMap::new();
        // In a user namespace of its own a process may take nothing from one that is in another: it opens its own.
        let may =
            |p: &&Process| p.files_owner == p.pid && p.exit_status.is_none() && p.own_namespaces.is_empty();
        for process in state.processes.iter().filter(may) {
            for d in process.fds.iter().filter(|d| files.get(d.file).is_none()) {
                let kind = state.files.get(d.file as usize).map(|file| &file.kind);
                let of_file = holders.entry(d.file).or_default();
                if matches!(kind, Some(FileKind::Path(_) | FileKind::Pidfd { .. }))
                    && of_file.last().is_none_or(|(last, _)| last.pid != process.pid)
                {
                    of_file.push((process, d.fd));
                }
            }
        }
        let mut handed = Handed::default();
        for (file, holders) in holders.into_iter().filter(|(_, holders)| holders.len() > 1) {
            // Of one whose first thread has ended nothing can be taken.
            let Some((opener, fd)) = holders.iter().find(|(p, _)| p.leader_exit.is_none()) else { continue };
            for (taker, _) in holders.iter().filter(|(p, _)| p.pid != opener.pid) {
                handed.openers.insert((file, taker.pid), (opener.pid, *fd));
            }
            let counters = handed.counters.entry(opener.pid).or_insert_with(|| Counters {
                ready: region.word(),
                taken: region.word(),
                takes: 0,
            });
            counters.takes += holders.len() as u64 - 1;
        }
        handed
    }

    /// Who has opened this description for `pid`, and under which number.
    pub fn from(&self, file: FileId, pid: Pid) -> Option<(Pid, i32)> {
        self.openers.get(&(file, pid)).copied()
    }

    /// Tells the others that `pid` has opened everything.
    pub fn tell(&self, list: &mut List, pid: Pid) {
        if let Some(counters) = self.counters.get(&pid) {
            list.push(Kind::Add, 0, 0, &[counters.ready, 1]);
        }
    }

    /// Waits until `opener` has.
    pub fn await_opened(&self, list: &mut List, opener: Pid) {
        if let Some(counters) = self.counters.get(&opener) {
            list.push(Kind::Await, 0, 0, &[counters.ready, 1]);
        }
    }

    /// Counts one that was taken from `opener`.
    pub fn taken(&self, list: &mut List, opener: Pid) {
        if let Some(counters) = self.counters.get(&opener) {
            list.push(Kind::Add, 0, 0, &[counters.taken, 1]);
        }
    }

    /// Waits until the others have all that `pid` has opened for them: until then it has to be under its number, and
    /// `pid` somebody whose descriptors may be taken.
    pub fn await_taken(&self, list: &mut List, pid: Pid) {
        if let Some(counters) = self.counters.get(&pid) {
            list.push(Kind::Await, 0, 0, &[counters.taken, counters.takes]);
        }
    }
}
