//! Restore: from a boot image to a running tree.
//!
//! The helper opens the files, prepares for every process a list of system calls ([`plan`]) in a region of
//! memory that all of them will share ([`region`]), forks the topmost ones, and watches them build the tree
//! and themselves ([`runner`]). It loads the memory in between ([`load`]) and lets all go at once
//! ([`resume`]). Until then every process ends by itself when the helper does.

mod aio;
mod attributes;
mod bpf_maps;
mod build;
mod cgroups;
mod changed;
mod departed;
mod error;
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
mod pids;
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
mod tree;
pub(crate) mod unnamed;
mod vdso;
mod watches;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::Serialize;
use torpor_image::{Arch, ImageChain, cbor};

use self::build::Build;
pub use self::cgroups::enter_all as enter_cgroups;
pub use self::changed::ChangedFiles;
pub use self::error::RestoreError;
use self::files::Files;
use self::lazy::{LazyPlan, PagerHost};
use self::plan::Planned;
use self::sharing::Sharing;
use self::tree::Tree;
use crate::model::{Pid, Scratch, Space, SpaceId, SystemState};
use crate::progress::{Observer, Phase};
use crate::trace::{Lap, Stopwatch};

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

/// Restores a tree.
///
/// # Errors
/// On any error nothing of the tree is left.
pub fn restore(mut request: Request<'_>, observer: &mut Observer<'_>) -> Result<Report, RestoreError> {
    let begun = Instant::now();
    loop {
        match attempt(&mut request, observer, begun) {
            // A number that a zombie's group or session still holds is taken although no process has it.
            Err(e) if e.is_lingering_pid() && begun.elapsed() < pids::REAP_LIMIT => {
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

    let mut free = pids::free(&state);
    let own_session = rustix::process::getsid(None).map_or(0, |p| p.as_raw_nonzero().get());
    let lineage = lineage::plan(&state.processes, own_session, &mut free);
    pids::await_free(&lineage.pids)?;
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
    let mut seen = HashSet::new();
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
