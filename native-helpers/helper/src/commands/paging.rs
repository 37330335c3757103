//! Whether memory is brought in behind a program that runs already, and who does it.
//!
//! The pager is a process of the helper's own, outside of any capsule. A tree in place hands its page faults
//! over directly. In a capsule the tree is built by init, so they cross: init sends the descriptors over a
//! socket that the helper made before, the helper starts the pager with the other end, and init keeps
//! watching its own end and duplicates of the descriptors as long as memory is missing.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::time::Timespec;
use torpor_capsule::control::Client;
use torpor_capsule::{Background, CapsuleId, Reporter};
use torpor_engine::model::{Pid, SystemState};
use torpor_engine::pager::working_set;
use torpor_engine::pager::{self, AwaitError, Duty, Member, News, ReportFile, Started, Task, Watch};
use torpor_engine::restore::lazy::{Faults, LazyPlan, PagerHost, WORTH_IT};
use torpor_image::ImageChain;
use torpor_sys::signal::StopRequest;

use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::inside::Place;
use crate::state_folders;

/// The `type` of the line by which a capsule's init asks the helper to take page faults over.
pub const HANDOVER: &str = "page-faults";
/// Overrides from how many bytes on memory is brought in later; for tests.
const THRESHOLD: &str = "TORPOR_LAZY_FROM_BYTES";
/// Descriptors in one message; the kernel takes 253.
const BATCH: usize = 200;
/// How long either side of the handover waits for the other.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
const STARTED: &[u8] = b"started";
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

fn task<'a>(
    path: &Path,
    chain: &'a ImageChain<File>,
    plan: &'a LazyPlan,
    faults: Vec<Faults>,
    duty: Duty,
) -> Task<'a> {
    let working_set = working_set::Place::beside(path, chain.youngest())
        .inspect_err(|error| tracing::warn!(%error, "the working set is not recorded"))
        .ok();
    Task { chain, plan, faults, duty, working_set }
}

/// For a tree in the caller's namespaces.
pub struct InPlace<'a> {
    path: &'a Path,
    chain: &'a ImageChain<File>,
    pids: Vec<Pid>,
    started: Option<Started>,
}

impl<'a> InPlace<'a> {
    pub fn new(path: &'a Path, chain: &'a ImageChain<File>, state: &SystemState) -> InPlace<'a> {
        let living = state.processes.iter().filter(|p| p.exit_status.is_none());
        InPlace { path, chain, pids: living.map(|p| p.pid).collect(), started: None }
    }
}

impl PagerHost for InPlace<'_> {
    fn start(&mut self, plan: &LazyPlan, faults: Vec<Faults>) -> io::Result<()> {
        let members: Vec<Member> = self.pids.iter().filter_map(|pid| Member::of(*pid)).collect();
        let id = self.chain.youngest().info().image_id.to_string();
        let root = self.pids.first().copied().unwrap_or(0);
        let report = ReportFile { path: report_path(root, &id), image: self.path.display().to_string() };
        let task = task(self.path, self.chain, plan, faults, Duty::Tree { members, report });
        self.started = Some(pager::start(task)?);
        Ok(())
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

/// The helper's side of a capsule's pager.
pub struct FromCapsule<'a> {
    path: &'a Path,
    chain: &'a ImageChain<File>,
    plan: &'a LazyPlan,
    link: OwnedFd,
    started: Option<Started>,
}

/// Both ends of the handover: the helper's, where there is anything to bring in later, and init's.
pub fn between_capsule_and_helper<'a>(
    path: &'a Path,
    chain: &'a ImageChain<File>,
    plan: Option<&'a LazyPlan>,
) -> Result<(Option<FromCapsule<'a>>, OwnedFd), Failure> {
    let (ours, inits) = torpor_sys::socket::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0)
        .map_err(|e| Failure::io("making a socket pair", &e))?;
    Ok((plan.map(|plan| FromCapsule { path, chain, plan, link: ours, started: None }), inits))
}

impl FromCapsule<'_> {
    /// Takes the page faults over and starts the pager. Init is told how that went.
    pub fn start(side: &mut Option<FromCapsule<'_>>) {
        let Some(side) = side else { return };
        let answer = match side.take_over() {
            Ok(()) => STARTED.to_vec(),
            Err(e) => e.to_string().into_bytes(),
        };
        // An init that is gone needs no answer.
        let _ = rustix::net::send(&side.link, &answer, SendFlags::NOSIGNAL);
    }

    fn take_over(&mut self) -> io::Result<()> {
        let mut all = Vec::new();
        while all.len() < 2 * self.plan.spaces.len() {
            await_message(self.link.as_fd())?;
            let received = torpor_sys::socket::receive(self.link.as_fd(), &mut [0u8; 8], 0)?;
            if received.descriptors.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            all.extend(received.descriptors);
        }
        let mut faults = Vec::new();
        let mut all = all.into_iter();
        while let (Some(userfault), Some(process)) = (all.next(), all.next()) {
            faults.push(Faults { userfault, process });
        }
        let duty = Duty::Capsule { link: self.link.try_clone()? };
        self.started = Some(pager::start(task(self.path, self.chain, self.plan, faults, duty))?);
        Ok(())
    }
}

fn await_message(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(link, PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&PATIENCE)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Init's side.
pub struct InCapsule<'a> {
    link: Option<OwnedFd>,
    reporter: &'a Reporter,
    watch: Option<Watch>,
}

impl<'a> InCapsule<'a> {
    pub fn new(link: OwnedFd, reporter: &'a Reporter) -> InCapsule<'a> {
        InCapsule { link: Some(link), reporter, watch: None }
    }

    /// What init goes on with while memory is missing.
    pub fn into_background(self) -> Vec<Box<dyn Background>> {
        let watch = |watch| -> Box<dyn Background> { Box::new(PagerWatch { watch, failure: None }) };
        self.watch.map(watch).into_iter().collect()
    }
}

impl PagerHost for InCapsule<'_> {
    fn start(&mut self, _: &LazyPlan, faults: Vec<Faults>) -> io::Result<()> {
        let link = self.link.take().ok_or(io::ErrorKind::NotConnected)?;
        self.reporter.send(&serde_json::json!({ "type": HANDOVER }));
        for batch in faults.chunks(BATCH / 2) {
            let descriptors: Vec<BorrowedFd<'_>> =
                batch.iter().flat_map(|f| [f.userfault.as_fd(), f.process.as_fd()]).collect();
            let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            rustix::net::sendmsg(&link, &[IoSlice::new(b"f")], &mut control, SendFlags::NOSIGNAL)?;
        }
        await_message(link.as_fd())?;
        let mut answer = vec![0u8; 1024];
        let (len, _) = rustix::net::recv(&link, &mut answer, rustix::net::RecvFlags::empty())?;
        if &answer[..len] != STARTED {
            return Err(io::Error::other(String::from_utf8_lossy(&answer[..len]).into_owned()));
        }
        let userfaults = faults.into_iter().map(|f| f.userfault).collect();
        self.watch = Some(Watch::new(link, userfaults));
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
