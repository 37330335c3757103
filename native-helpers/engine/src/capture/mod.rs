//! Capture: from a running tree to a durable boot image.
//!
//! Inspect, freeze, read the system state, plan the pages, write, commit, and let the tree go (or end it).
//! Every step before the commit can fail without a trace: the frozen tree is let go when [`Frozen`] is
//! dropped, the file has no name yet.

mod background;
mod cgroup;
pub mod collect;
mod encoding;
mod error;
pub(crate) mod files;
mod kept;
mod keyrings;
mod locks;
mod memory;
pub(crate) mod memory_policy;
pub(crate) mod namespaces;
pub mod pages;
mod process;
pub(crate) mod refusal;
mod restarted;
pub(crate) mod rings;
mod shared_pages;
mod sysv_ipc;
mod thread;
mod twin;
mod unchanged;
mod write;
mod written;

pub use cgroup::parse as cgroups_of;
pub use unchanged::ParentPages;

pub(crate) use files::mqueue::other_holder as other_queue_holder;
pub(crate) use files::socket::{
    Peers, family as socket_kind, internet_end, network_of, refuse_tcp_layer, refuse_urgent,
};

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use torpor_image::{
    Arch, Compression, HeaderInfo, ImageChain, ImageId, ImageWriter, Layout, MAX_CHAIN_LEN, PageRun,
    PageSource, ParentRef, Plan, Section, WriteOptions, cbor,
};

use self::collect::Collector;
pub use self::error::CaptureError;
use self::memory::Locked;
use self::process::CaptureProcessError;
use self::twin::TwinError;
use self::write::Pages;
use self::written::{Copied, Since, Walked};
use crate::blocker::Obstacle;
use crate::freeze::{Frozen, FrozenProcess, Target};
use crate::model::sysv::SysvIpc;
use crate::model::{
    Inherited, Origin, Picture, Pid, Process, Scratch, Space, SpaceId, SystemState, Terminal,
};
use crate::pace::{Pace, Rate};
use crate::progress::{Observer, Phase};
use crate::ranges::Ranges;
use crate::store::ImagePlace;
use crate::trace::{self, Lap, Stopwatch};
use crate::tracking::{Described, Link, LinkError, Tracking, Unwritten};

const PAGE: u64 = 4096;
/// What no fork keeps (shared memory, unlinked files) is copied while the tree is stopped, up to this much; it
/// is held in our own memory until it is written.
const KEPT_LIMIT: u64 = 24 << 20;
/// How long we stand back when the tree goes on: until whoever waits for our processor has it.
const WAY: Duration = Duration::from_micros(100);
/// The word of the request's meta that says what becomes of TCP connections out of the tree.
const CONNECTIONS: &str = "connections";

/// What becomes of TCP connections out of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// `keep`, and where nothing is said: they go on after the restore, when the tree ends with the capture
    /// and address and peer are still there; else they come back as broken off.
    Keep,
    /// `reset`: they come back as broken off.
    Reset,
    /// `refuse`: they stand in the way of a capture.
    Refuse,
}

/// What a request's meta says.
///
/// # Errors
/// With the words to say where it is none of the three.
pub fn outside_policy(meta: &BTreeMap<String, String>) -> Result<Outside, String> {
    match meta.get(CONNECTIONS).map(String::as_str) {
        None | Some("keep") => Ok(Outside::Keep),
        Some("reset") => Ok(Outside::Reset),
        Some("refuse") => Ok(Outside::Refuse),
        Some(other) => Err(format!("connections={other}: say keep, reset or refuse")),
    }
}

pub type AskTerminal<'a> = Box<dyn FnMut() -> io::Result<Terminal> + 'a>;
pub type ListScratch<'a> = Box<dyn FnMut() -> io::Result<ScratchFiles> + 'a>;
pub type BeforeEnd<'a> = Box<dyn FnOnce(&Report) + 'a>;

/// What to capture, and how.
pub struct Request<'a> {
    pub target: Target,
    pub place: ImagePlace,
    /// An earlier image of the same tree, with its own parents: what it has is not written again.
    pub parent: Option<ImageChain<File>>,
    /// The line to the tree's tracker, where writes to its memory are to be noted or were.
    pub tracking: Option<Result<Link, LinkError>>,
    /// End the tree once the image is durable.
    pub stop: bool,
    /// Write while the tree is stopped.
    pub eager: bool,
    pub compression: Compression,
    /// Bytes of memory in a second, at most, while the tree runs on.
    pub rate: Option<u64>,
    pub meta: BTreeMap<String, String>,
    /// TCP connections out of the tree.
    pub outside: Outside,
    /// Asks the capsule's init for its terminal, once the tree is stopped.
    pub terminal: Option<AskTerminal<'a>>,
    /// `WIDTHxHEIGHT` of the capsule's private display.
    pub display: Option<String>,
    /// What it shows, taken right before.
    pub picture: Option<Picture>,
    /// What the caller has to say of the image, told with our own notes.
    pub notes: Vec<String>,
    /// Lists the capsule's own temporary files, once the tree is stopped.
    pub scratch: Option<ListScratch<'a>>,
    /// Told when the image is durable and the tree is about to be ended.
    pub before_end: Option<BeforeEnd<'a>>,
}

/// Names and attributes in an encoding that the engine does not know, and the files with contents: number of
/// the entry and the open file.
#[derive(Debug, Default)]
pub struct ScratchFiles {
    pub entries: Vec<u8>,
    pub contents: Vec<(u32, OwnedFd)>,
}

/// What was captured. Sizes in bytes, times in milliseconds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub image_id: String,
    pub image: PathBuf,
    pub parent_id: Option<String>,
    pub sizes: Sizes,
    pub file_bytes: u64,
    /// Pages that are taken from the parent, where there is one.
    pub parent_pages: Option<ParentPages>,
    /// Writes to the tree's memory are noted from here on, for an image that has this one as its parent.
    pub tracked: bool,
    pub pause_ms: f64,
    /// A stop before that, where the tree was not tracked yet.
    pub tracking_pause_ms: f64,
    pub duration_ms: f64,
    /// What all threads of this process spent on processors meanwhile.
    pub processor_ms: f64,
    pub processes: usize,
    pub threads: usize,
    pub compress: &'static str,
    pub stopped: bool,
    pub mode: &'static str,
    pub notes: Vec<String>,
    pub phases: Vec<Lap>,
}

/// The three sizes of the seed (steps 44 to 56), in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizes {
    pub system_state_bytes: u64,
    pub physical_bytes: u64,
    pub virtual_bytes: u64,
}

/// What a capture has of a tree when it no longer has to stand still (or is to end anyway).
struct Taken {
    processes: Vec<Process>,
    collector: Collector,
    terminal: Option<Terminal>,
    scratch: Option<Scratch>,
    sysv: SysvIpc,
    memory: Memory,
    /// What is certain of the time since the parent, where that is known already.
    unwritten: Option<HashMap<SpaceId, Unwritten>>,
    /// Where the pages of each space are read from, and which there are.
    sources: HashMap<SpaceId, Pages>,
    runs: Vec<PageRun>,
}

impl Taken {
    /// Whether there is memory that a twin has not kept (MADV_WIPEONFORK).
    fn is_wiped_by_fork(&self) -> bool {
        let mappings = self.processes.iter().filter_map(|p| p.mm.as_ref()).flat_map(|mm| &mm.mappings);
        mappings.into_iter().any(|m| m.has("wf") && !m.has("dp"))
    }
}

/// Where the memory of the processes is.
enum Memory {
    /// In copies of them; they run on.
    Twins { twins: Vec<twin::Twin>, pause: Duration },
    /// In copies of the few pages that the parent does not have; they run on.
    Copied { pause: Duration },
    /// In themselves, and they are stopped.
    Held(Frozen),
}

impl Memory {
    /// Ends the copies: whoever drops them waits less.
    fn is_read(&self) {
        if let Memory::Twins { twins, .. } = self {
            twins.iter().for_each(twin::Twin::end);
        }
    }

    /// The task whose memory is that of the process.
    fn task(&self, process: &Process) -> Pid {
        let twins = match self {
            Memory::Twins { twins, .. } => twins.as_slice(),
            Memory::Copied { .. } | Memory::Held(_) => &[],
        };
        let twin = twins.iter().find(|t| process.mm.as_ref().is_some_and(|mm| mm.space == t.space));
        twin.map_or(process.task(), |t| t.pid)
    }
}

/// Captures a tree into an image.
///
/// # Errors
/// On any error the tree runs on as it was, and there is no file.
pub fn capture(mut request: Request<'_>, observer: &mut Observer<'_>) -> Result<Report, CaptureError> {
    let begun = Instant::now();
    let processor_before = trace::processor_time();
    let mut watch = Stopwatch::start();
    // A tree that is to end stays stopped anyway.
    let stay_stopped = request.eager || request.stop;
    let mut notes = std::mem::take(&mut request.notes);
    let tracking = request.tracking.take().and_then(|link| {
        let protected = link.map_err(|e| e.to_string()).and_then(|link| {
            let mut tracking = Tracking::prepare(link, request.target).map_err(|e| e.to_string())?;
            tracking.protect().map_err(|e| e.to_string())?;
            Ok(tracking)
        });
        protected.inspect_err(|e| notes.push(format!("writes are not tracked: {e}"))).ok()
    });
    watch.lap("track");
    let mut taken = take(&mut request, stay_stopped, tracking.as_ref(), observer, &mut watch)?;
    let mut pause_before = Duration::ZERO;
    if let Memory::Twins { pause, .. } = taken.memory
        && taken.is_wiped_by_fork()
    {
        // A walk over all page tables would have told beforehand, as long as the fork, of every program; there are few
        // with such memory.
        notes.push(format!("written while stopped: {}", TwinError::NotKept));
        pause_before = pause;
        drop(taken);
        taken = take(&mut request, true, None, observer, &mut watch)?;
    }
    let Taken { processes, mut collector, terminal, scratch, sysv, memory, unwritten, sources, mut runs } =
        taken;
    notes.append(&mut collector.notes);
    let held = matches!(memory, Memory::Held(_));
    let _pace = if held { Pace::urgent() } else { Pace::background() };
    let rate = request.rate.filter(|_| !held).map(Rate::of);
    if request.rate.is_some() && rate.is_none() {
        notes.push("as fast as possible, since the application was stopped meanwhile".to_owned());
    }
    watch.lap("pages");
    let parent = short_enough(request.parent.as_ref(), &mut notes);
    let mut parent_pages = None;
    if let Some(parent) = parent {
        unchanged::check_same_tree(parent, &processes, &collector.files)?;
        let unwritten = match unwritten {
            Some(known) => known,
            None => unwritten_since(parent, tracking.as_ref(), &processes, &mut notes),
        };
        watch.lap("written");
        let (split, counted) = unchanged::split(parent, runs, &processes, &sources, &unwritten, observer)?;
        (runs, parent_pages) = (split, Some(counted));
        watch.lap("compare");
    }
    // What a device may write to unseen is not tracked from here on.
    let bindable: Vec<(Pid, SpaceId)> = processes
        .iter()
        .filter_map(|p| p.mm.as_ref().filter(|mm| mm.aio.is_empty()).map(|mm| (p.pid, mm.space)))
        .collect();

    let threads = processes.iter().map(|p| p.threads.len()).sum();
    let count = processes.len();
    let cgroups = cgroup::folders(&processes, &collector.files);
    let flight_locks = locks::only_in_flight(std::mem::take(&mut collector.flight_locks), &processes);
    let state = SystemState {
        origin: origin(&processes)?,
        meta: request.meta,
        processes,
        files: std::mem::take(&mut collector.files),
        spaces: std::mem::take(&mut collector.spaces),
        terminal,
        scratch,
        display: request.display,
        picture: request.picture,
        sysv,
        keys: std::mem::take(&mut collector.keyrings.keys),
        cgroups,
        namespace_owners: std::mem::take(&mut collector.namespace_owners),
        flight_locks,
    };
    let state = cbor::to_vec(&state)?;
    let layout = Layout::new(Plan { state_len: state.len() as u64, runs })?;
    let image = request.place.create(layout.file_len_bound())?;

    watch.lap("allocate");
    let mut id = [0u8; 16];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| CaptureError::Random(e.into()))?;
    let info = HeaderInfo {
        image_id: ImageId(id),
        parent: parent.map(|chain| ParentRef {
            id: chain.youngest().info().image_id,
            content_hash: chain.youngest().content_hash(),
        }),
        chain_len: parent.map_or(1, |chain| chain.images().len() as u32 + 1),
        arch: Arch::HOST,
        created_at_unix_ms: (torpor_sys::ids::clock_ns(libc::CLOCK_REALTIME) / 1_000_000) as u64,
    };
    let summary = background::writing(&image.file, |sink| {
        let options = WriteOptions { compression: request.compression };
        let mut writer = ImageWriter::new(sink, info, layout.clone(), options);
        writer.write_state(&state)?;
        let compression = request.compression;
        write::write_pages(&mut writer, &layout, &sources, compression, rate.as_ref(), observer)?;
        // The kernel gives their memory up while the disk takes in the last of it.
        memory.is_read();
        let (summary, _) = writer.finish()?;
        Ok::<_, CaptureError>(summary)
    })?;
    watch.lap("write");
    observer.tell(Phase::Commit, 0, 0);
    image.commit(summary.file_len)?;
    watch.lap("commit");

    let tracking_pause = tracking.as_ref().map_or(Duration::ZERO, |tracking| tracking.pause);
    let tracked = match tracking {
        Some(tracking) if !request.stop => tracking
            .bind(summary.id.to_string(), &bindable)
            .inspect_err(|e| notes.push(format!("writes are not tracked: its tracker: {e}")))
            .is_ok(),
        _ => false,
    };
    let (mode, pause, held) = match memory {
        Memory::Twins { twins, pause } => {
            drop(twins);
            ("copy-on-write", pause, None)
        }
        // As before a write, so far as anybody can tell.
        Memory::Copied { pause } => ("copy-on-write", pause, None),
        Memory::Held(frozen) => ("eager", frozen.pause(), Some(frozen)),
    };
    let report = Report {
        image_id: summary.id.to_string(),
        image: request.place.path().to_owned(),
        parent_id: info.parent.map(|p| p.id.to_string()),
        sizes: Sizes {
            system_state_bytes: summary.state_bytes,
            physical_bytes: summary.physical_bytes,
            virtual_bytes: summary.virtual_bytes,
        },
        file_bytes: summary.file_len,
        parent_pages,
        tracked,
        pause_ms: (pause_before + pause).as_secs_f64() * 1e3,
        tracking_pause_ms: tracking_pause.as_secs_f64() * 1e3,
        duration_ms: begun.elapsed().as_secs_f64() * 1e3,
        processor_ms: (trace::processor_time() - processor_before).as_secs_f64() * 1e3,
        processes: count,
        threads,
        compress: match request.compression {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        },
        stopped: request.stop,
        mode,
        notes,
        phases: watch.laps(),
    };
    if request.stop
        && let Some(frozen) = held
    {
        if let Some(tell) = request.before_end {
            tell(&report);
        }
        collector.sockets.end(&frozen.processes.iter().map(|p| p.pid).collect::<Vec<_>>());
        frozen.kill();
    }
    Ok(report)
}

/// The parent, unless its chain is as long as one may be.
fn short_enough<'a>(
    parent: Option<&'a ImageChain<File>>,
    notes: &mut Vec<String>,
) -> Option<&'a ImageChain<File>> {
    let fits = parent.is_none_or(|parent| parent.images().len() < MAX_CHAIN_LEN);
    if !fits {
        notes.push(format!(
            "complete, without a parent: the parent has {} parents already",
            MAX_CHAIN_LEN - 1
        ));
    }
    parent.filter(|_| fits)
}

/// What has certainly not been written since the parent; nothing where nobody has watched all of that time.
fn unwritten_since(
    parent: &ImageChain<File>,
    tracking: Option<&Tracking>,
    processes: &[Process],
    notes: &mut Vec<String>,
) -> HashMap<SpaceId, Unwritten> {
    let gap = match tracking {
        Some(tracking) => tracking.gap(&parent.youngest().info().image_id.to_string()),
        None => Some("no tracker has noted which pages were written".into()),
    };
    match (gap, tracking) {
        (None, Some(tracking)) => {
            let described = processes.iter().filter_map(|p| Some(Described::of(p.pid, p.mm.as_ref()?)));
            tracking.unwritten(described.collect::<Vec<_>>().iter().map(|one| (one, None)))
        }
        (gap, _) => {
            notes.extend(gap.map(|gap| format!("all memory was compared with the parent: {gap}")));
            HashMap::new()
        }
    }
}

/// Stops the tree and reads its state; then, unless it is to stay stopped, lets it run on beside copies of what was
/// written, where a tracking tells that this is little, or else beside twins that keep its memory.
fn take(
    request: &mut Request<'_>,
    stay_stopped: bool,
    tracking: Option<&Tracking>,
    observer: &mut Observer<'_>,
    watch: &mut Stopwatch,
) -> Result<Taken, CaptureError> {
    observer.tell(Phase::Freeze, 0, 0);
    let since = request.parent.as_ref().zip(tracking).filter(|_| !stay_stopped);
    let since = since.and_then(|(parent, tracking)| Since::new(parent, tracking, KEPT_LIMIT));
    let mut surveyed = files::path::Surveyed::of(&request.target.list()?);
    watch.lap("look");
    let pace = Pace::immediate();
    let mut frozen =
        if request.stop { Frozen::freeze_for_good(request.target)? } else { Frozen::freeze(request.target)? };
    frozen.note_maps(std::mem::take(&mut surveyed.maps));
    observer.tell(Phase::State, 0, 0);
    watch.lap("freeze");
    let in_capsule = request.terminal.is_some();
    let mut collector =
        Collector::new(frozen.processes.iter().map(|p| p.pid).collect(), in_capsule, surveyed);
    for process in frozen.processes.iter().filter_map(|p| p.leader()) {
        files::watch::count_unread(&mut collector, process.tid)?;
    }
    let mut processes = std::thread::scope(|scope| {
        // The processors have nothing else to do for the tree; one that has no second loses nothing.
        scope.spawn(|| frozen.processes.iter().for_each(FrozenProcess::read_ahead));
        read_processes(&frozen, &mut collector)
    })?;
    if collector.blockers.is_empty() && request.stop {
        files::socket::take_waiting(&mut collector)?;
    }
    files::resolve_epolls(&mut collector).map_err(CaptureProcessError::from)?;
    if collector.blockers.is_empty() {
        files::mqueue::finish(&mut collector, &frozen, &processes)?;
        files::socket::finish(&mut collector, request.stop, request.outside)?;
        files::socket::settle_connects(&mut processes, &collector.files);
    }
    if !collector.blockers.is_empty() {
        return Err(CaptureError::Blocked(collector.blockers));
    }
    let whole = matches!(request.target, Target::Namespace { .. });
    let sysv = sysv_ipc::capture(&mut collector, &frozen, &mut processes, whole)
        .map_err(CaptureProcessError::from)?;
    let locked = processes
        .iter()
        .map(|p| p.mm.as_ref().map_or(Ok(Locked::new()), |_| memory::locked(p.task())))
        .collect::<io::Result<Vec<_>>>()?;
    watch.lap("state");
    let terminal = request.terminal.as_mut().map(|ask| ask()).transpose()?;
    let scratch = match &mut request.scratch {
        Some(list) => Some(keep_scratch(&mut collector, list()?)?),
        None => None,
    };
    watch.lap("capsule");

    let contents = std::mem::take(&mut collector.contents);
    let kept: u64 = contents.iter().map(|content| content.size).sum();
    let (mut own, mut copied) = (None, None);
    if let Some(since) = since.and_then(|since| since.beside(kept)) {
        let walked = walk(&mut collector, &mut processes, &locked, Process::task, Some(since))?;
        (own, copied) = (Some(walked.0), walked.1);
        watch.lap("copies");
    }
    let twins = match stay_stopped || copied.is_some() {
        true => None,
        false => twins(&frozen, &processes, kept, &mut collector.notes),
    };
    watch.lap("twins");
    let mut sources = HashMap::new();
    let mut runs = Vec::new();
    for content in contents {
        let space = content.space;
        let find = if content.borrowed { pages::read_data_pages } else { pages::data_pages };
        let data = pages::mark_swapped(&content.file, find(&content.file, content.size)?)?;
        runs.extend(data.iter().map(|run| page_run(space, *run)));
        let pages = if twins.is_some() || copied.is_some() {
            Pages::keep(&content, &data)?
        } else {
            Pages::Content(content)
        };
        sources.insert(space, pages);
    }
    watch.lap("contents");
    let memory = match (twins, &copied) {
        (Some(twins), _) => Memory::Twins { twins, pause: frozen.thaw() },
        (None, Some(_)) => Memory::Copied { pause: frozen.thaw() },
        (None, None) => Memory::Held(frozen),
    };
    drop(pace);
    // From here on the tree comes first. Its threads have been woken from ours, many on the processor that we have: what
    // remains takes milliseconds, which they would wait for.
    let _pace = (!matches!(memory, Memory::Held(_))).then(|| {
        std::thread::sleep(WAY);
        Pace::background()
    });
    let own = match own {
        Some(own) => own,
        None => walk(&mut collector, &mut processes, &locked, |process| memory.task(process), None)?.0,
    };
    for own in own {
        runs.extend(own.runs.iter().map(|run| page_run(own.space, *run)));
        let kept = copied.as_mut().and_then(|copied| copied.pages.remove(&own.space)).map(Pages::Kept);
        let process = processes.iter().find(|p| p.mm.as_ref().is_some_and(|mm| mm.space == own.space));
        let pages = kept.map_or_else(|| Pages::process(process.map_or(own.task, |p| memory.task(p))), Ok)?;
        sources.insert(own.space, pages);
    }
    let unwritten = copied.map(|copied| copied.unwritten);
    if !collector.blockers.is_empty() {
        return Err(CaptureError::Blocked(collector.blockers));
    }
    watch.lap("thaw");
    Ok(Taken { processes, collector, terminal, scratch, sysv, memory, unwritten, sources, runs })
}

/// Adds to processes that do not run, or to those that have twins, what takes a walk over the page tables to tell:
/// the flags of their mappings, and which pages are their own; and copies those that were written, if so wanted.
fn walk(
    collector: &mut Collector,
    processes: &mut [Process],
    locked: &[Locked],
    task: impl Fn(&Process) -> Pid,
    since: Option<Since<'_>>,
) -> io::Result<(Vec<OwnMemory>, Option<Copied>)> {
    let tasks: Vec<Pid> = processes.iter().map(&task).collect();
    let walked: Vec<Walked> =
        processes.iter().zip(&tasks).filter_map(|(process, task)| Walked::new(process, *task)).collect();
    // Two walks, each of which takes as long as the processes are large.
    let (own_pages, copied) = std::thread::scope(|scope| {
        let scan = scope.spawn(|| {
            let Some(since) = since else {
                return Ok((walked.iter().map(Walked::own_pages).collect::<io::Result<_>>()?, None));
            };
            let found = walked.iter().map(Walked::own_and_protected_pages);
            let (own, protected): (Vec<_>, Vec<_>) = found.collect::<io::Result<_>>()?;
            let copied = since.copy(&walked, &own, protected);
            Ok((own, copied))
        });
        for ((process, locked), task) in processes.iter_mut().zip(locked).zip(&tasks) {
            memory::add_flags(collector, process, *task, locked)?;
        }
        scan.join().unwrap_or_else(|_| Err(io::Error::other("the thread that looks for pages has panicked")))
    })?;
    Ok((own_memory(processes, &tasks, own_pages)?, copied))
}

/// Twins of all processes, or `None` and a note where the tree has to stay stopped instead.
fn twins(
    frozen: &Frozen,
    processes: &[Process],
    kept: u64,
    notes: &mut Vec<String>,
) -> Option<Vec<twin::Twin>> {
    if kept > KEPT_LIMIT {
        notes.push(format!("written while stopped: {} MiB of shared memory and unlinked files", kept >> 20));
        return None;
    }
    match twin::fork_all(frozen, processes) {
        Ok(twins) => Some(twins),
        Err(e) => {
            notes.push(format!("written while stopped: {e}"));
            None
        }
    }
}

/// The pages of one address space that have to travel, and the task that they are read from.
struct OwnMemory {
    space: SpaceId,
    task: Pid,
    runs: Vec<pages::Run>,
}

/// Of the pages of every process, finds those that have to travel, and notes those that another one has already.
fn own_memory(
    processes: &mut [Process],
    tasks: &[Pid],
    own_pages: Vec<Vec<pages::Run>>,
) -> io::Result<Vec<OwnMemory>> {
    let mut all = Vec::new();
    let mut members = Vec::new();
    let with_memory = processes.iter_mut().zip(tasks.iter().copied()).filter(|(p, _)| p.mm.is_some());
    for ((process, task), mut runs) in with_memory.zip(own_pages) {
        let Some(mm) = &mut process.mm else { continue };
        mm.guards = pages::take_guards(task, &mut runs)?;
        mm.guards.extend(pages::shared_guards(task, &mm.mappings)?);
        // Their flags were not known yet when the pages were looked for.
        let droppable = mm.mappings.iter().filter(|m| m.has("dp")).map(|m| (m.start / PAGE, m.end / PAGE));
        runs = pages::without(runs, &droppable.collect());
        members.push(shared_pages::Member::new(mm, task, &runs));
        all.push(OwnMemory { space: mm.space, task, runs });
    }
    let inherited = shared_pages::find(&members)?;
    for (own, inherits) in all.iter_mut().zip(inherited) {
        let elsewhere: Ranges = inherits.iter().flat_map(|(_, pages)| pages.iter()).collect();
        own.runs = pages::without(std::mem::take(&mut own.runs), &elsewhere);
        let mm = processes.iter_mut().filter_map(|p| p.mm.as_mut()).find(|mm| mm.space == own.space);
        if let Some(mm) = mm {
            mm.inherits = inherits
                .into_iter()
                .map(|(space, pages)| Inherited { space, pages: pages.to_flat() })
                .collect();
        }
    }
    Ok(all)
}

/// Gives the contents of the capsule's own temporary files a space each.
fn keep_scratch(collector: &mut Collector, files: ScratchFiles) -> Result<Scratch, CaptureError> {
    let mut contents = Vec::new();
    for (entry, file) in files.contents {
        let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
        let size = stat.st_size as u64;
        let inode = (stat.st_dev, stat.st_ino);
        let space = collector
            .inode_space(inode, || Ok(file), size, || Space::FileContent { size })
            .map_err(|e| CaptureError::Process(e.to_string()))?;
        contents.push((entry, space));
    }
    Ok(Scratch { entries: files.entries, contents })
}

fn page_run(space: u32, run: pages::Run) -> PageRun {
    PageRun {
        space,
        start_page: run.start_page,
        pages: run.pages,
        section: if run.swapped { Section::Virtual } else { Section::Physical },
        source: PageSource::Stored,
    }
}

fn read_processes(frozen: &Frozen, collector: &mut Collector) -> Result<Vec<Process>, CaptureError> {
    let pids = collector.pids.clone();
    let mut processes: Vec<Process> = Vec::new();
    for p in &frozen.processes {
        let in_tree = pids.contains(&p.stat.ppid);
        let children: Vec<i32> =
            frozen.processes.iter().filter(|c| c.stat.ppid == p.pid).map(|c| c.pid).collect();
        match process::capture(collector, p, &processes, in_tree, &children) {
            Ok(process) => processes.push(process),
            Err(CaptureProcessError::Obstacle(obstacle @ Obstacle::Unsupported { .. })) => {
                collector.block(p.pid, &p.stat.comm, "the process".into(), obstacle)?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    // Only one of those that share an address space describes it.
    debug_assert!(
        collector.spaces.iter().filter(|s| matches!(s, Space::AddressSpace { .. })).count() <= pids.len()
    );
    Ok(processes)
}

fn origin(processes: &[Process]) -> io::Result<Origin> {
    let (realtime_ns, monotonic_ns, boottime_ns) = memory::clocks();
    let uname = rustix::system::uname();
    Ok(Origin {
        kernel: uname.release().to_string_lossy().into_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        hostname: uname.nodename().to_string_lossy().into_owned(),
        boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
        realtime_ns,
        monotonic_ns,
        boottime_ns,
        xstate_len: processes.iter().flat_map(|p| &p.threads).map(|t| t.xstate.len()).max().unwrap_or(0)
            as u32,
        page_size: PAGE as u32,
        vdso: crate::vdso::own().map(|own| serde_bytes::ByteBuf::from(own.code.clone())),
    })
}
