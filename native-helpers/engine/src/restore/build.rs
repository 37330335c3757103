//! What a tree is built with: the region that all share, the barriers between its stages, and room for their
//! descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::files::Files;
use super::lineage::Lineage;
use super::plan::{self, Planned, Planner, Round, Stages};
use super::region::Region;
use super::sharing::Sharing;
use super::tree::Tree;
use super::{RestoreError, namespaces};
use crate::model::{Pid, SystemState};

/// How long the tree may take from one stage to the next, besides loading memory.
pub const STAGE_LIMIT: Duration = Duration::from_secs(30);
/// The region, the barriers and where everybody is.
pub struct Build {
    pub region: Region,
    pub stages: Stages,
    barriers: Vec<OwnedFd>,
    releases: Vec<Option<OwnedFd>>,
    /// The same for rounds of loading pages that are to be shared.
    round_releases: Vec<OwnedFd>,
    /// User namespaces, which processes enter last of all.
    _user_namespaces: Vec<OwnedFd>,
}

/// The numbers that are ours alone: from the one below `base`, which is never taken, to the one before `end`.
struct Room {
    base: i32,
    /// [`i32::MAX`] where nobody of the tree has any number above.
    end: i32,
}

impl Room {
    /// Above all numbers of the tree, or, where the limit leaves no room there, in the highest gap between them that
    /// is wide enough. Nothing else of ours is in the way of the barriers.
    ///
    /// # Errors
    /// `EMFILE` where there is no such gap below the limit of open files.
    fn find(state: &SystemState, files: &Files, more: i32) -> io::Result<Room> {
        let limit = torpor_sys::ids::limit(0, libc::RLIMIT_NOFILE)?.0.min(i32::MAX as u64) as i32;
        // Two ends of each barrier, what is moved above them, and a few that are opened in passing.
        let wanted = 2 * (4 + more) + files.lasting(state) + 8;
        let own: Vec<i32> = crate::proc::numbers(std::process::id() as i32, "fd")?;
        let movable = files.numbers();
        let mut taken = plan::numbers(state);
        // The first ones are left to those that expect them.
        taken.retain(|number| *number >= 63);
        taken.push(63);
        taken.sort_unstable();
        let mut end = i32::MAX;
        for last in taken.iter().rev() {
            let mut base = last + 2;
            for number in own.iter().filter(|n| !movable.contains(n)) {
                if (base - 1..base + 3 + more).contains(number) {
                    base = number + 2;
                }
            }
            let above = end.min(limit);
            let used = own.iter().filter(|n| (base..above).contains(n)).count() as i32;
            if base < above && above - base - used >= wanted {
                return Ok(Room { base, end });
            }
            end = *last;
        }
        Err(io::Error::from_raw_os_error(libc::EMFILE))
    }
}

impl Build {
    pub fn new(state: &SystemState, files: &mut Files, sharing: &Sharing) -> Result<Build, RestoreError> {
        let taken: Vec<(u64, u64)> = state
            .processes
            .iter()
            .filter_map(|p| p.mm.as_ref())
            .flat_map(|mm| mm.mappings.iter().map(|m| (m.start, m.end)))
            .collect();
        let mut region = Region::new(plan::region_len(state, sharing), &taken)?;
        let rounds = sharing.rounds.len() as i32;
        let users = namespaces::users(state);
        let Room { base: base_fd, end: end_fd } = Room::find(state, files, users.len() as i32 + rounds)?;
        // What is needed until the last barrier goes above the barriers; the rest only out of their way.
        let first_round = base_fd + 3 + users.len() as i32;
        let above = first_round + rounds;
        files.make_room(state, base_fd - 1..above, end_fd)?;
        let mut barriers = Vec::new();
        let mut releases = Vec::new();
        let mut user_namespaces = Vec::new();
        for (number, id) in (base_fd + 3..).zip(&users) {
            let namespace = files.get(*id).ok_or(RestoreError::Malformed("a namespace that is none"))?;
            user_namespaces.push(torpor_sys::fd::dup_to(namespace, number)?);
        }
        for number in (base_fd..base_fd + 3).chain(first_round..above) {
            let (read, write) =
                rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
            let write = torpor_sys::fd::dup_above(write.as_fd(), above)?;
            barriers.push(torpor_sys::fd::dup_to(read.as_fd(), number)?);
            releases.push(Some(write));
        }
        let round_releases: Vec<OwnedFd> = releases.drain(3..).flatten().collect();
        let number = |fd: &Option<OwnedFd>| fd.as_ref().map_or(-1, |fd| fd.as_raw_fd());
        let stages = Stages {
            arrived: [region.counter(), region.counter(), region.counter()],
            barriers: [base_fd, base_fd + 1, base_fd + 2],
            releases: [number(&releases[0]), number(&releases[1]), number(&releases[2])],
            scratch: region.counter(),
            base_fd,
            end_fd,
            user_namespaces: users.into_iter().zip(base_fd + 3..).collect(),
            rounds: (first_round..)
                .zip(&round_releases)
                .map(|(barrier, release)| Round {
                    arrived: region.counter(),
                    barrier,
                    release: release.as_raw_fd(),
                })
                .collect(),
        };
        Ok(Build { region, stages, barriers, releases, round_releases, _user_namespaces: user_namespaces })
    }

    pub fn plan(
        &mut self,
        state: &SystemState,
        files: &Files,
        lineage: &Lineage,
        sharing: &Sharing,
        lazy: &[Pid],
    ) -> Result<Planned, RestoreError> {
        Planner::new(state, files, lineage, sharing, &mut self.region, &self.stages, lazy).plan()
    }

    /// Waits until all have arrived at a barrier.
    pub fn await_stage(&self, stage: usize, planned: &Planned, tree: &Tree<'_>) -> Result<(), RestoreError> {
        self.await_count(self.stages.arrived[stage], planned.expected[stage], stage + 1, tree)
    }

    /// Waits until all wait for their pages that load in a round before the first barrier.
    pub fn await_round(&self, round: usize, loaders: u64, tree: &Tree<'_>) -> Result<(), RestoreError> {
        self.await_count(self.stages.rounds[round].arrived, loaders, 1, tree)
    }

    fn await_count(
        &self,
        counter: u64,
        expected: u64,
        stage: usize,
        tree: &Tree<'_>,
    ) -> Result<(), RestoreError> {
        let deadline = Instant::now() + STAGE_LIMIT;
        let mut nap = Duration::from_micros(20);
        while self.region.value(counter) < expected {
            if let Some((failure, source)) = self.region.failure() {
                return Err(RestoreError::Call { number: failure.number, args: failure.args, source });
            }
            if let Some(how) = tree.ended() {
                return Err(RestoreError::Died { how });
            }
            tree.send_on();
            if Instant::now() > deadline {
                return Err(RestoreError::Stuck { stage });
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Opens a barrier for all at once.
    pub fn release(&mut self, stage: usize, planned: &Planned) -> Result<(), RestoreError> {
        let Some(end) = &self.releases[stage] else { return Ok(()) };
        Ok(open_barrier(end, planned.expected[stage] as usize)?)
    }

    pub fn release_round(&mut self, round: usize, loaders: usize) -> Result<(), RestoreError> {
        Ok(open_barrier(&self.round_releases[round], loaders)?)
    }

    /// A refused call tells more than the death that it caused.
    pub fn explain(&self, e: RestoreError) -> RestoreError {
        match (&e, self.region.failure()) {
            (
                RestoreError::Died { .. } | RestoreError::Resume { .. } | RestoreError::Stuck { .. },
                Some((f, source)),
            ) => RestoreError::Call { number: f.number, args: f.args, source },
            _ => e,
        }
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // End-of-file at the barriers: whoever waits there ends.
        self.releases.clear();
        self.round_releases.clear();
        self.barriers.clear();
    }
}

/// Lets `count` pass a barrier.
fn open_barrier(end: &OwnedFd, count: usize) -> io::Result<()> {
    let bytes = vec![0u8; count];
    // More than a pipe holds (1,000s of threads) goes in pieces, while the first are being read.
    let mut rest: &[u8] = &bytes;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(end, rest)?..];
    }
    Ok(())
}
