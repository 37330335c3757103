//! Whether memory is brought in behind a program that runs already, and who does it.
//!
//! The pager is a process of the helper's own, outside of any capsule, started before there is a tree. Whoever builds
//! that hands its page faults over on a line to the pager: the helper itself for a tree in place, in a capsule init,
//! which keeps watching its end and duplicates of the descriptors as long as memory is missing.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use torpor_capsule::control::Client;
use torpor_capsule::{Background, CapsuleId};
use torpor_engine::model::{Pid, SystemState};
use torpor_engine::pager::working_set;
use torpor_engine::pager::{self, AwaitError, Duty, News, ReportFile, Started, Task, Watch};
use torpor_engine::restore::lazy::{Faults, LazyPlan, PagerHost, WORTH_IT};
use torpor_image::ImageChain;
use torpor_sys::signal::StopRequest;

use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::inside::Place;
use crate::state_folders;

/// Overrides from how many bytes on memory is brought in later; for tests.
const THRESHOLD: &str = "TORPOR_LAZY_FROM_BYTES";
/// How long a capture waits for memory that is still being brought in: 100 GiB from a fast disk.
const MEMORY_LIMIT: Duration = Duration::from_secs(60);
/// How often a capsule's init is asked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// What is brought in later, where that is worth it and wanted.
pub fn plan(state: &SystemState, chain: &ImageChain<File>, eager: bool) -> Option<LazyPlan> {
    if eager {
        return None;
    }
    let from = std::env::var(THRESHOLD).ok().and_then(|v| v.parse().ok()).unwrap_or(WORTH_IT);
    LazyPlan::of(state, chain).filter(|plan| plan.bytes >= from)
}

/// Starts a pager. Returns the hold on it, and the line on which it takes page faults.
fn started(
    path: &Path,
    chain: &ImageChain<File>,
    plan: &LazyPlan,
    duty: Duty,
) -> io::Result<(Started, OwnedFd)> {
    let (line, link) = torpor_sys::socket::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0)?;
    let working_set = working_set::Place::beside(path, chain.youngest())
        .inspect_err(|error| tracing::warn!(%error, "the working set is not recorded"))
        .ok();
    // The pager must not hold the end of whoever may hang up.
    let started = pager::start(Task { chain, plan, link, duty, working_set })?;
    Ok((started, line))
}

fn not_started(e: &io::Error) -> Failure {
    Failure::io("starting the process that brings in the memory", e)
}

/// For a tree in the caller's namespaces.
pub struct InPlace {
    pager: Option<(Started, OwnedFd)>,
}

impl InPlace {
    pub fn new(
        path: &Path,
        chain: &ImageChain<File>,
        plan: Option<&LazyPlan>,
        state: &SystemState,
    ) -> Result<InPlace, Failure> {
        let start = |plan| {
            let living = state.processes.iter().filter(|p| p.exit_status.is_none());
            let pids: Vec<Pid> = living.map(|p| p.pid).collect();
            let id = chain.youngest().info().image_id.to_string();
            let report = report_path(pids.first().copied().unwrap_or(0), &id);
            let report = ReportFile { path: report, image: path.display().to_string() };
            started(path, chain, plan, Duty::Tree { pids, report })
        };
        Ok(InPlace { pager: plan.map(start).transpose().map_err(|e| not_started(&e))? })
    }
}

impl PagerHost for InPlace {
    fn start(&mut self, _: &LazyPlan, faults: Vec<Faults>) -> io::Result<()> {
        let (_, line) = self.pager.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        pager::hand_over(line.as_fd(), &faults)
    }
}

/// Waits until no memory of a tree comes from an image any more: what is not there can't be captured.
pub fn await_all_memory(place: &Place, stop: StopRequest) -> Result<(), Failure> {
    let cancelled = || Failure::new(ErrorCode::Cancelled, "cancelled; the application runs on");
    let inside = match place {
        Place::Here(_) => {
            return pager::await_end(MEMORY_LIMIT, || stop.is_set()).map_err(|e| match e {
                AwaitError::Cancelled => cancelled(),
                AwaitError::StillGoing(_) => Failure::new(ErrorCode::Busy, e.to_string()),
            });
        }
        Place::Inside(inside) => inside,
    };
    // A container that is no capsule of ours has no pager.
    let Ok(id) = CapsuleId::new(inside.record.id.clone()) else { return Ok(()) };
    let Ok(mut init) = Client::connect(&state_folders::run(), &id) else { return Ok(()) };
    let deadline = Instant::now() + MEMORY_LIMIT;
    while init.status()?.background_tasks > 0 {
        if stop.is_set() {
            return Err(cancelled());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(ErrorCode::Busy, AwaitError::StillGoing(MEMORY_LIMIT).to_string()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Where it is written down that a tree in place was ended because its memory could not be brought in.
fn report_path(root: Pid, image_id: &str) -> PathBuf {
    state_folders::run().join("failed").join(format!("{root}-{image_id}.json"))
}

/// The pager of a capsule: the helper's hold on it, and init's end of the line.
pub fn of_capsule(
    path: &Path,
    chain: &ImageChain<File>,
    plan: Option<&LazyPlan>,
) -> Result<Option<(Started, OwnedFd)>, Failure> {
    plan.map(|plan| started(path, chain, plan, Duty::Capsule)).transpose().map_err(|e| not_started(&e))
}

/// Init's side.
pub struct InCapsule {
    line: Option<OwnedFd>,
    watch: Option<Watch>,
}

impl InCapsule {
    pub fn new(line: Option<OwnedFd>) -> InCapsule {
        InCapsule { line, watch: None }
    }

    /// What init goes on with while memory is missing.
    pub fn into_background(self) -> Vec<Box<dyn Background>> {
        let watch = |watch| -> Box<dyn Background> { Box::new(PagerWatch { watch, failure: None }) };
        self.watch.map(watch).into_iter().collect()
    }
}

impl PagerHost for InCapsule {
    fn start(&mut self, _: &LazyPlan, faults: Vec<Faults>) -> io::Result<()> {
        let line = self.line.take().ok_or(io::ErrorKind::NotConnected)?;
        pager::hand_over(line.as_fd(), &faults)?;
        self.watch = Some(Watch::new(line, faults.into_iter().map(|f| f.userfault).collect()));
        Ok(())
    }
}

/// In init's event loop, until all memory is there.
struct PagerWatch {
    watch: Watch,
    failure: Option<String>,
}

impl Background for PagerWatch {
    fn owned_descriptors(&self) -> Vec<RawFd> {
        self.watch.descriptors()
    }

    fn wait_for(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.watch.link()]
    }

    fn step(&mut self) -> bool {
        match self.watch.look() {
            News::Done => return false,
            News::Failed(reason) => self.failure = Some(reason),
            News::Nothing => {}
        }
        true
    }

    fn has_more(&self) -> bool {
        false
    }

    fn failure(&self) -> Option<String> {
        self.failure.clone()
    }
}
