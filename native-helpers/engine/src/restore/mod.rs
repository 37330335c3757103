//! Restore: from a boot image to a running tree.
//!
//! The helper opens the files, prepares for every process a list of system calls ([`plan`]) in a region of
//! memory that all of them will share ([`region`]), forks the topmost ones, and watches them build the tree
//! and themselves ([`runner`]). It loads the memory in between ([`load`]) and lets all go at once
//! ([`resume`]). Until then every process ends by itself when the helper does.

mod aio;
mod attributes;
mod bpf_maps;
mod cgroups;
mod changed;
mod departed;
mod files;
mod handed;
mod hints;
mod keyrings;
mod layout;
pub mod lazy;
mod leases;
mod lineage;
mod load;
mod locks;
mod namespaces;
mod numbers;
mod plan;
mod queues;
mod region;
mod resume;
pub mod runner;
mod segments;
mod sharing;
mod socket;
mod sysv_ipc;
mod terminals;
pub(crate) mod unnamed;
mod vdso;
mod watches;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::Serialize;
use torpor_image::{Arch, ImageChain, ImageError, cbor};
use torpor_sys::clone::{Forked, fork_with_tid};
use torpor_sys::ptrace::{self, Wait};

pub use self::cgroups::enter_all as enter_cgroups;
pub use self::changed::ChangedFiles;
use self::files::Files;
use self::lazy::{LazyPlan, PagerHost};
use self::lineage::Lineage;
use self::plan::{Planned, Planner, Round, Stages};
use self::region::Region;
use self::sharing::Sharing;
use crate::model::{Pid, Scratch, Space, SpaceId, SystemState};
use crate::proc::stat::Stat;
use crate::progress::{Observer, Phase};
use crate::trace::{Lap, Stopwatch};

/// How long the tree may take from one stage to the next, besides loading memory.
const STAGE_LIMIT: Duration = Duration::from_secs(30);
/// How long a PID may stay taken by a process that has ended: init reaps orphans only after a while.
const REAP_LIMIT: Duration = Duration::from_secs(10);
/// How long one may be taken by a process that lives: on a busy machine most come and go within less.
const PASSING_LIMIT: Duration = Duration::from_secs(1);

/// What to restore, and where.
pub struct Request<'a> {
    /// The opened image with its parents; header, index and state of each have been checked.
    pub chain: &'a ImageChain<std::fs::File>,
    /// What comes later, and who brings it in; without it all memory is read before the first instruction.
    pub lazy: Option<Lazy<'a>>,
    /// Into the caller's namespaces with a root that becomes an ordinary, detached process.
    pub in_place: bool,
    /// What to do where files have changed on disk since.
    pub changed_files: ChangedFiles,
    /// Folders with files that are the restoring side's own, and other ones for each life.
    pub own_folders: &'static [&'static str],
    /// Descriptors that the restoring side supplies: `terminal` is the slave side of the capsule's PTY.
    pub external: HashMap<String, OwnedFd>,
    /// Makes the capsule's own temporary files anew.
    pub scratch: Option<&'a mut dyn ScratchMaker>,
}

/// Memory that comes later.
pub struct Lazy<'a> {
    pub plan: &'a LazyPlan,
    pub host: &'a mut dyn PagerHost,
}

/// Who knows the names of the capsule's own temporary files.
pub trait ScratchMaker {
    /// Makes all entries, and opens those numbered in `contents` for writing.
    fn make(&mut self, entries: &[u8], contents: &[u32]) -> io::Result<Vec<OwnedFd>>;
    /// Sets what writing the contents has changed.
    fn finish(&mut self) -> io::Result<()>;
}

/// What was restored. Times in milliseconds since the call.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub image_id: String,
    pub root_pid: i32,
    pub first_instruction_ms: f64,
    pub duration_ms: f64,
    pub processes: usize,
    pub mode: &'static str,
    pub notes: Vec<String>,
    /// What it did one after the other, up to the first instruction and a little beyond.
    pub phases: Vec<Lap>,
}

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the system state can't be read: {0}")]
    State(#[from] cbor::CborError),
    #[error("the system state makes no sense: {0}")]
    Malformed(&'static str),
    #[error("the image was taken on {found}, this machine is {expected}")]
    OtherMachine { found: String, expected: String },
    #[error("the image was taken under kernel {kernel}, which has another vDSO, {why}; restore it there")]
    OtherVdso { kernel: String, why: String },
    #[error("making the vDSO of process {pid} lead to this kernel's: {source}")]
    Vdso { pid: Pid, source: io::Error },
    #[error("PID {pid} is taken by {comm}; end it, or restore into a capsule, where every PID is free")]
    PidTaken { pid: Pid, comm: String },
    #[error(
        "PID {pid} of the tree is the one that this helper happens to have; call it again, or restore into a capsule"
    )]
    OwnPid { pid: Pid },
    #[error("opening {description}: {source}")]
    File { description: String, source: io::Error },
    #[error(
        "{path} has changed since the image was taken, and the program runs from it; restore the file, or start the program anew"
    )]
    FileChanged { path: String },
    #[error(
        "changed on disk since the image was taken: {paths}; bring them back as they were, or restore with changed files let be"
    )]
    FilesChanged { paths: String },
    #[error("making the capsule's temporary files anew: {0}")]
    Scratch(io::Error),
    #[error("making shared memory: {source}")]
    SharedMemory { source: io::Error },
    #[error("the image holds {kind}, which this version can't restore")]
    Unsupported { kind: String },
    #[error("the image was taken with a terminal; restore it into a capsule")]
    NoTerminal,
    #[error("making process {pid}: {source}")]
    Fork { pid: Pid, source: io::Error },
    #[error("system call {number} refused while rebuilding the tree (arguments {args:x?}): {source}")]
    Call { number: i64, args: [u64; 6], source: io::Error },
    #[error("a process ended while the tree was being rebuilt ({how})")]
    Died { how: String },
    #[error("the tree did not get through stage {stage} within {}s", STAGE_LIMIT.as_secs())]
    Stuck { stage: usize },
    #[error("loading memory of space {space}: {source}")]
    Load { space: u32, source: io::Error },
    #[error("starting the process that brings in the memory: {0}")]
    Pager(io::Error),
    #[error("letting process {pid} go on: {source}")]
    Resume { pid: Pid, source: io::Error },
    #[error("not permitted: {0}; run the helper as root")]
    NotPermitted(String),
    #[error("cancelled; nothing was restored")]
    Cancelled,
    #[error("preparing the restore: {0}")]
    Prepare(#[from] io::Error),
}

impl RestoreError {
    /// The kernel says that a PID is in use, of which /proc knew nothing.
    fn is_lingering_pid(&self) -> bool {
        matches!(
            self,
            RestoreError::Fork { source, .. } | RestoreError::Call { number: libc::SYS_clone3, source, .. }
                if source.raw_os_error() == Some(libc::EEXIST)
        )
    }

    /// The stable word for the error that the helper prints.
    pub fn code(&self) -> &'static str {
        match self {
            RestoreError::Image(e) => e.code(),
            RestoreError::State(_) | RestoreError::Malformed(_) => "damaged",
            RestoreError::OtherMachine { .. }
            | RestoreError::OtherVdso { .. }
            | RestoreError::Unsupported { .. } => "incompatible",
            RestoreError::PidTaken { .. } | RestoreError::OwnPid { .. } => "pid-taken",
            RestoreError::File { .. }
            | RestoreError::FileChanged { .. }
            | RestoreError::FilesChanged { .. }
            | RestoreError::NoTerminal => "resource",
            RestoreError::Scratch(_) | RestoreError::SharedMemory { .. } | RestoreError::Load { .. } => {
                "resource"
            }
            RestoreError::NotPermitted(_) => "not-permitted",
            RestoreError::Cancelled => "cancelled",
            RestoreError::Fork { source, .. } => match source.raw_os_error() {
                Some(libc::EPERM) => "not-permitted",
                Some(libc::EEXIST) => "pid-taken",
                _ => "resource",
            },
            e if e.is_lingering_pid() => "pid-taken",
            RestoreError::Call { .. }
            | RestoreError::Died { .. }
            | RestoreError::Stuck { .. }
            | RestoreError::Resume { .. }
            | RestoreError::Pager(_)
            | RestoreError::Vdso { .. }
            | RestoreError::Prepare(_) => "resource",
        }
    }
}

/// Restores a tree.
///
/// # Errors
/// On any error nothing of the tree is left.
pub fn restore(mut request: Request<'_>, observer: &mut Observer<'_>) -> Result<Report, RestoreError> {
    let begun = Instant::now();
    loop {
        match attempt(&mut request, observer, begun) {
            // A number that a zombie's group or session still holds is taken although no process has it.
            Err(e) if e.is_lingering_pid() && begun.elapsed() < REAP_LIMIT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

fn attempt(
    request: &mut Request<'_>,
    observer: &mut Observer<'_>,
    begun: Instant,
) -> Result<Report, RestoreError> {
    let mut watch = Stopwatch::start();
    observer.tell(Phase::Build, 0, 0);
    request.chain.youngest().require_arch(Arch::HOST)?;
    let mut state: SystemState = cbor::from_slice(&request.chain.youngest().state_bytes()?)?;
    if !request.in_place {
        // A capsule has groups of its own; those of the one that was captured may still be there, and frozen.
        cgroups::forget(&mut state);
    }
    validate(&state)?;
    let vdso_copies = vdso::redirect(&mut state)?;
    let without_keys = !keyrings::usable(&state);
    if without_keys {
        state.keys.clear();
    }
    watch.lap("state");

    let mut free = free_pids(&state);
    let own_session = rustix::process::getsid(None).map_or(0, |p| p.as_raw_nonzero().get());
    let lineage = lineage::plan(&state.processes, own_session, &mut free);
    await_free_pids(&lineage.pids)?;
    watch.lap("await-pids");
    let sharing =
        Sharing::plan(&state, &lineage, |space| load::stored_pages(request.chain.youngest(), space))?;

    plan::raise_descriptor_limit((plan::highest_fd(&state) + 64) as u64 + state.files.len() as u64 * 2)?;
    let scratch = match (&state.scratch, &mut request.scratch) {
        (Some(scratch), Some(maker)) => make_scratch(scratch, *maker).map_err(RestoreError::Scratch)?,
        _ => HashMap::new(),
    };
    let mut groups = cgroups::make(&state);
    load::announce(request.chain, request.lazy.as_ref().map(|lazy| lazy.plan));
    let changed = changed::check(&state, &inodes(&scratch)?, request.own_folders, request.changed_files)?;
    let mut files = Files::open(&state, &mut request.external, scratch)?;
    load::executables(request.chain, &state, &mut files)?;
    watch.lap("open-files");
    let mut build = Build::new(&state, &mut files, &sharing)?;
    watches::epolls(&state, &files, build.stages.base_fd)?;
    let lazy_pids: Vec<Pid> =
        request.lazy.iter().flat_map(|lazy| &lazy.plan.spaces).map(|space| space.pid).collect();
    let planned = build.plan(&state, &files, &lineage, &sharing, &lazy_pids)?;
    watch.lap("plan");
    let mut tree = Tree::new(&state);
    let finish = if state.scratch.is_some() { request.scratch.as_deref_mut() } else { None };
    let lazy = request.lazy.as_mut();
    let outcome = run(
        &mut tree,
        &mut build,
        &planned,
        request.chain,
        lazy,
        finish,
        &state,
        &mut files,
        &sharing,
        &mut groups,
        &vdso_copies,
        observer,
        begun,
        &mut watch,
    );
    match outcome {
        Ok((first_instruction_ms, refused)) => Ok(Report {
            image_id: request.chain.youngest().info().image_id.to_string(),
            root_pid: state.processes[0].pid,
            first_instruction_ms,
            duration_ms: begun.elapsed().as_secs_f64() * 1e3,
            processes: state.processes.len(),
            mode: if request.lazy.is_some() && refused.is_none() { "lazy" } else { "eager" },
            notes: (changed.into_iter())
                .chain(lineage.lost)
                .chain(groups.keep())
                .chain(std::mem::take(&mut tree.notes))
                .chain(refused)
                .chain(without_keys.then(|| "keys may not be used here, and are lost".to_owned()))
                .collect(),
            phases: watch.laps(),
        }),
        Err(e) => {
            let e = build.explain(e);
            drop(build);
            tree.abandon();
            Err(e)
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn run(
    tree: &mut Tree<'_>,
    build: &mut Build,
    planned: &Planned,
    chain: &ImageChain<std::fs::File>,
    lazy: Option<&mut Lazy<'_>>,
    scratch: Option<&mut (dyn ScratchMaker + '_)>,
    state: &SystemState,
    files: &mut Files,
    sharing: &Sharing,
    groups: &mut cgroups::Made,
    vdso_copies: &[vdso::Copy],
    observer: &mut Observer<'_>,
    begun: Instant,
    watch: &mut Stopwatch,
) -> Result<(f64, Option<String>), RestoreError> {
    tree.fork(build, planned)?;
    watch.lap("fork");
    for (round, loaders) in sharing.rounds.iter().enumerate() {
        build.await_round(round, loaders.len() as u64, tree)?;
        load::load_shared(chain, sharing, round, observer)?;
        build.release_round(round, loaders.len())?;
    }
    build.await_stage(0, planned, tree)?;
    watch.lap("processes");
    build.release(0, planned)?;
    build.await_stage(1, planned, tree)?;
    watch.lap("mappings");
    files.end_departed();
    files.segments.let_go().map_err(|source| RestoreError::SharedMemory { source })?;
    tree.await_zombies()?;
    let mut refused = None;
    let later = lazy.and_then(|lazy| {
        lazy::take(&build.region, lazy.plan, &planned.userfaults)
            .inspect_err(|e| {
                refused = Some(format!(
                    "all memory was read before the program ran: page faults can't be taken over ({e})"
                ))
            })
            .ok()
            .map(|faults| (lazy, faults))
    });
    load::load(chain, state, files, later.as_ref().map(|(lazy, _)| lazy.plan), sharing, observer)?;
    vdso::load(vdso_copies)?;
    watch.lap("memory");
    if let Some((lazy, faults)) = later {
        lazy::register(lazy.plan, &faults)?;
        lazy.host.start(lazy.plan, faults).map_err(RestoreError::Pager)?;
        watch.lap("pager");
    }
    if let Some(maker) = scratch {
        maker.finish().map_err(RestoreError::Scratch)?;
    }
    for (id, space) in state.spaces.iter().enumerate() {
        if let (Space::SharedMemory(object), Some(fd)) = (space, files.spaces.get(&(id as u32))) {
            files::seal(object, fd.as_fd()).map_err(|source| RestoreError::SharedMemory { source })?;
        }
    }
    tree.seize()?;
    tree.job_states()?;
    watch.lap("seize");
    build.release(1, planned)?;
    build.await_stage(2, planned, tree)?;
    watch.lap("attributes");
    tree.reap_stand_ins();
    files.settle(state)?;
    observer.tell(Phase::Resume, 0, 0);
    tree.write_outside_attributes();
    tree.notes.extend(cgroups::join(state, groups));
    tree.notes.append(&mut files.sysv.notes);
    tree.stop()?;
    build.release(2, planned)?;
    tree.arrive((build.region.base(), build.region.len() as u64))?;
    leases::start_breaking(state, files).map_err(|(id, e)| files::failed(state, id, e))?;
    let first_instruction_ms = begun.elapsed().as_secs_f64() * 1e3;
    watch.lap("resume");
    files.segments.keep();
    files.queues.keep();
    files.sysv.keep();
    // From here on nothing can fail any more.
    tree.notes.extend(files.resuming.start());
    tree.let_go();
    watch.lap("let-go");
    Ok((first_instruction_ms, refused))
}

fn make_scratch(scratch: &Scratch, maker: &mut dyn ScratchMaker) -> io::Result<HashMap<SpaceId, OwnedFd>> {
    let numbers: Vec<u32> = scratch.contents.iter().map(|c| c.0).collect();
    let files = maker.make(&scratch.entries, &numbers)?;
    Ok(scratch.contents.iter().map(|c| c.1).zip(files).collect())
}

/// Device and inode of each.
fn inodes(files: &HashMap<SpaceId, OwnedFd>) -> io::Result<HashSet<(u64, u64)>> {
    files.values().map(files::inode).collect()
}

fn validate(state: &SystemState) -> Result<(), RestoreError> {
    let first = state.processes.first().ok_or(RestoreError::Malformed("it has no process"))?;
    if state.origin.arch != std::env::consts::ARCH {
        return Err(RestoreError::OtherMachine {
            found: state.origin.arch.clone(),
            expected: std::env::consts::ARCH.to_owned(),
        });
    }
    let mut seen = std::collections::HashSet::new();
    for p in &state.processes {
        let threads = p.threads.iter().map(|t| t.tid).filter(|t| *t != p.pid);
        if std::iter::once(p.pid).chain(threads).any(|id| id <= 0 || !seen.insert(id)) {
            return Err(RestoreError::Malformed("a PID that is used twice"));
        }
        let leader = p.threads.first().is_some_and(|t| t.tid == p.pid || p.leader_exit.is_some());
        if p.exit_status.is_none() && !leader {
            return Err(RestoreError::Malformed("a process without its first thread"));
        }
        if let Some(mm) = &p.mm {
            let sorted = mm.mappings.windows(2).all(|w| w[0].end <= w[1].start);
            let sane = mm
                .mappings
                .iter()
                .all(|m| m.start < m.end && m.start % 4096 == 0 && m.end % 4096 == 0 && m.end <= 1 << 47);
            if !sorted || !sane {
                return Err(RestoreError::Malformed("mappings out of order"));
            }
        }
        if p.fds.iter().any(|d| d.fd < 0 || d.fd > 1 << 24) {
            return Err(RestoreError::Malformed("a descriptor number out of range"));
        }
    }
    if first.exit_status.is_some() {
        return Err(RestoreError::Malformed("its first process has ended"));
    }
    Ok(())
}

/// PIDs for intermediates: not of the tree, and not there now.
fn free_pids(state: &SystemState) -> impl FnMut() -> Pid + use<> {
    let used: std::collections::HashSet<Pid> = state
        .processes
        .iter()
        .flat_map(|p| [p.pid, p.pgid, p.sid].into_iter().chain(p.threads.iter().map(|t| t.tid)))
        .collect();
    let limit = std::fs::read_to_string("/proc/sys/kernel/pid_max")
        .ok()
        .and_then(|t| t.trim().parse::<Pid>().ok())
        .unwrap_or(32768);
    let mut next = limit - 1;
    move || {
        while used.contains(&next) || std::path::Path::new(&format!("/proc/{next}")).exists() {
            next -= 1;
        }
        next -= 1;
        next + 1
    }
}

/// Waits for PIDs that only a zombie still holds, or a process that lives no longer than most.
fn await_free_pids(pids: &[Pid]) -> Result<(), RestoreError> {
    let begun = Instant::now();
    // Whoever called us waits for the end of this very process, so that it can't give its number away.
    let own = [std::process::id() as Pid, rustix::thread::gettid().as_raw_nonzero().get()];
    if let Some(pid) = pids.iter().copied().find(|pid| own.contains(pid)) {
        return Err(RestoreError::OwnPid { pid });
    }
    for &pid in pids {
        while let Ok(stat) = Stat::of(pid) {
            let limit = if stat.is_zombie() { REAP_LIMIT } else { PASSING_LIMIT };
            if begun.elapsed() > limit {
                return Err(RestoreError::PidTaken { pid, comm: stat.comm });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

/// The region, the barriers and where everybody is.
struct Build {
    region: Region,
    stages: Stages,
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
    fn new(state: &SystemState, files: &mut Files, sharing: &Sharing) -> Result<Build, RestoreError> {
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

    fn plan(
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
    fn await_stage(&self, stage: usize, planned: &Planned, tree: &Tree<'_>) -> Result<(), RestoreError> {
        self.await_count(self.stages.arrived[stage], planned.expected[stage], stage + 1, tree)
    }

    /// Waits until all wait for their pages that load in a round before the first barrier.
    fn await_round(&self, round: usize, loaders: u64, tree: &Tree<'_>) -> Result<(), RestoreError> {
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
    fn release(&mut self, stage: usize, planned: &Planned) -> Result<(), RestoreError> {
        let Some(end) = &self.releases[stage] else { return Ok(()) };
        Ok(open_barrier(end, planned.expected[stage] as usize)?)
    }

    fn release_round(&mut self, round: usize, loaders: usize) -> Result<(), RestoreError> {
        Ok(open_barrier(&self.round_releases[round], loaders)?)
    }

    /// A refused call tells more than the death that it caused.
    fn explain(&self, e: RestoreError) -> RestoreError {
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

/// Makes a process with a chosen PID that leaves for the runner.
fn fork_top(build: &Build, pid: Pid, list: u64) -> io::Result<Pid> {
    // SAFETY: the child does nothing but enter the runner.
    match unsafe { fork_with_tid(pid) }? {
        Forked::Child => {
            torpor_sys::signals::forget_rseq();
            // SAFETY: we are the forked child, the region and the list were prepared for it.
            unsafe { runner::enter(build.region.base(), list) }
        }
        Forked::Parent(child) => Ok(child),
    }
}

/// The same by way of a child that ends: it falls to init, or to whoever takes in our orphans.
fn fork_orphan(build: &Build, pid: Pid, list: u64) -> Result<(), RestoreError> {
    let failed = |source| RestoreError::Fork { pid, source };
    // SAFETY: the child makes a child of its own and ends.
    match unsafe { fork_with_tid(0) }.map_err(failed)? {
        Forked::Child => {
            let outcome = fork_top(build, pid, list);
            torpor_sys::clone::exit_now(outcome.map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |_| 0))
        }
        Forked::Parent(between) => match ptrace::wait(between).map_err(failed)? {
            Wait::Exited(0) => Ok(()),
            Wait::Exited(errno) => Err(failed(io::Error::from_raw_os_error(errno))),
            _ => Err(failed(io::Error::other("the process that was to make it was killed"))),
        },
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

/// The processes being made.
struct Tree<'a> {
    state: &'a SystemState,
    tops: Vec<Pid>,
    stand_ins: Vec<Pid>,
    seized: Vec<Pid>,
    /// What could not be had again, but harms nobody.
    notes: Vec<String>,
}

impl<'a> Tree<'a> {
    fn new(state: &'a SystemState) -> Tree<'a> {
        Tree { state, tops: Vec::new(), stand_ins: Vec::new(), seized: Vec::new(), notes: Vec::new() }
    }

    fn living(&self) -> impl Iterator<Item = &'a crate::model::Process> + use<'a> {
        self.state.processes.iter().filter(|p| p.exit_status.is_none())
    }

    /// Forks the topmost processes; each leaves for the runner at once.
    fn fork(&mut self, build: &Build, planned: &Planned) -> Result<(), RestoreError> {
        let blocked = torpor_sys::signals::block_all()?;
        for (pid, list) in &planned.tops {
            if self.outlives_parent(*pid) {
                fork_orphan(build, *pid, *list)?;
                self.tops.push(*pid);
                continue;
            }
            match fork_top(build, *pid, *list) {
                Ok(child) if planned.stand_ins.contains(pid) => self.stand_ins.push(child),
                Ok(child) => self.tops.push(child),
                Err(source) => return Err(RestoreError::Fork { pid: *pid, source }),
            }
        }
        drop(blocked);
        Ok(())
    }

    /// Whether a process gets a signal when its parent ends, which we are about to: it has to be somebody
    /// else's child by then.
    fn outlives_parent(&self, pid: Pid) -> bool {
        let asks = |p: &crate::model::Process| p.threads.iter().any(|t| t.parent_death_signal != 0);
        self.state.processes.iter().any(|p| p.pid == pid && asks(p))
    }

    /// How a topmost process ended, if one did.
    fn ended(&self) -> Option<String> {
        self.tops.iter().find_map(|pid| {
            let stat = Stat::of(*pid).ok();
            match stat {
                Some(stat) if !stat.is_zombie() => None,
                Some(stat) => Some(format!("process {pid}, status {:#x}", stat.exit_code)),
                None => Some(format!("process {pid}")),
            }
        })
    }

    /// Zombies must be such before their parents go on.
    fn await_zombies(&self) -> Result<(), RestoreError> {
        let deadline = Instant::now() + STAGE_LIMIT;
        for p in self.state.processes.iter().filter(|p| p.exit_status.is_some()) {
            while Stat::of(p.pid).is_ok_and(|s| !s.is_zombie()) {
                if Instant::now() > deadline {
                    return Err(RestoreError::Stuck { stage: 2 });
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        Ok(())
    }

    fn seize(&mut self) -> Result<(), RestoreError> {
        for p in self.living() {
            resume::seize(p).map_err(|source| RestoreError::Resume { pid: p.pid, source })?;
            self.seized.push(p.pid);
        }
        Ok(())
    }

    fn job_states(&self) -> Result<(), RestoreError> {
        for p in self.living() {
            resume::job_state(p).map_err(|source| RestoreError::Resume { pid: p.pid, source })?;
        }
        Ok(())
    }

    fn reap_stand_ins(&mut self) {
        for pid in self.stand_ins.drain(..) {
            let _ = ptrace::wait(pid);
        }
    }

    /// Of those that are traced, sends on whom a SIGCONT in its queue has stopped.
    fn send_on(&self) {
        let queued = |list: &[crate::model::Siginfo]| list.iter().any(|s| s.signal() == libc::SIGCONT);
        let stops =
            |p: &&crate::model::Process| queued(&p.pending) || p.threads.iter().any(|t| queued(&t.pending));
        for p in self.living().filter(|p| self.seized.contains(&p.pid)).filter(stops) {
            resume::send_on(p);
        }
    }

    /// What is set through /proc from outside.
    fn write_outside_attributes(&self) {
        for p in self.living() {
            // Always: our own has been inherited.
            let _ = std::fs::write(format!("/proc/{}/oom_score_adj", p.pid), p.oom_score_adj.to_string());
            if p.autogroup_nice != 0 && p.sid == p.pid {
                let _ = std::fs::write(format!("/proc/{}/autogroup", p.pid), p.autogroup_nice.to_string());
            }
            if let Some(filter) = p.coredump_filter {
                let _ = std::fs::write(format!("/proc/{}/coredump_filter", p.pid), format!("{filter:#x}"));
            }
        }
    }

    fn stop(&self) -> Result<(), RestoreError> {
        for p in self.living() {
            resume::stop(p).map_err(|source| RestoreError::Resume { pid: p.pid, source })?;
        }
        Ok(())
    }

    fn arrive(&self, region: (u64, u64)) -> Result<(), RestoreError> {
        // Who shares a descriptor table goes before its owner, who waits for all users of it.
        let owners = |own: bool| self.living().filter(move |p| (p.files_owner == p.pid) == own);
        for p in owners(false).chain(owners(true)) {
            resume::arrive(p, region).map_err(|source| RestoreError::Resume { pid: p.pid, source })?;
        }
        Ok(())
    }

    fn let_go(self: &mut Tree<'a>) {
        for p in self.living() {
            resume::release(p);
        }
        self.seized.clear();
        self.tops.clear();
    }

    /// Leaves nothing of a failed restore. What we trace is killed; the rest has read end-of-file at its
    /// barrier and ends by itself; our own children are reaped.
    fn abandon(&mut self) {
        for p in self.living().filter(|p| self.seized.contains(&p.pid)) {
            resume::abandon(p);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        for pid in self.tops.drain(..).chain(self.stand_ins.drain(..)) {
            while Instant::now() < deadline {
                match ptrace::try_wait(pid) {
                    Ok(Some(Wait::Exited(_) | Wait::Killed(_))) | Err(_) => break,
                    Ok(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_has_a_number_of_the_tree_says_so_at_once() {
        let own = std::process::id() as Pid;
        let begun = Instant::now();
        let error = await_free_pids(&[own]).expect_err("its own number");
        assert_eq!(error.code(), "pid-taken");
        assert!(error.to_string().contains("call it again"), "{error}");
        assert!(begun.elapsed() < REAP_LIMIT);
    }

    #[test]
    fn a_number_that_somebody_passing_has_is_waited_for() {
        let mut passing = std::process::Command::new("sleep").arg("0.2").spawn().expect("sleep");
        let pid = passing.id() as Pid;
        let reaper = std::thread::spawn(move || passing.wait());
        await_free_pids(&[pid]).expect("free once it has ended");
        reaper.join().expect("reaped").expect("waited for");
    }

    #[test]
    fn a_number_that_somebody_keeps_is_refused() {
        let mut keeping = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let error = await_free_pids(&[keeping.id() as Pid]);
        keeping.kill().expect("killed");
        keeping.wait().expect("reaped");
        assert!(matches!(error, Err(RestoreError::PidTaken { comm, .. }) if comm == "sleep"));
    }
}
