//! `capture`: from a running tree to a durable image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use torpor_capsule::control::Client;
use torpor_capsule::registry;
use torpor_capsule::scratch::ScratchKind;
use torpor_engine::capture::{
    AskTerminal, BeforeEnd, ListScratch, Outside, Report, Request, ScratchFiles, capture, outside_policy,
};
use torpor_engine::freeze::Target;
use torpor_engine::inspect::{Depth, inspect};
use torpor_engine::model::Terminal;
use torpor_engine::proc::{stat::Stat, tree};
use torpor_engine::progress::Observer;
use torpor_engine::store::ImagePlace;
use torpor_engine::tracking::{Link, LinkError};
use torpor_image::{ImageChain, cbor};

use super::{opened_image, paging};
use crate::arguments::{CaptureArguments, Compress};
use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::inside::{Inside, Place};
use crate::picture::Screen;
use crate::session::Session;
use crate::state_folders;

/// How long the capsule's init may take to be gone after its application was ended.
const END_LIMIT: Duration = Duration::from_secs(10);

pub fn run(arguments: CaptureArguments, session: &mut Session) -> Result<Value, Failure> {
    // Opened first: inside a capsule its path may mean something else.
    let path =
        std::path::absolute(&arguments.image).map_err(|e| Failure::io("finding the current folder", &e))?;
    let place = ImagePlace::open(&path)?;
    let parent = arguments.parent.as_deref().map(open_parent).transpose()?;
    let found = Place::find(&arguments.target)?;
    let tracking =
        match (arguments.track || parent.is_some()).then(|| found.root_pid(&arguments.target)).flatten() {
            Some(root) => Link::open(root, !arguments.stop).transpose(),
            None => None,
        };
    let plan = Plan {
        parent,
        tracking,
        stop: arguments.stop,
        eager: arguments.eager,
        compress: arguments.compress,
        rate: arguments.rate.map(|megabytes| u64::from(megabytes) * 1_000_000),
        meta: arguments.meta.into_iter().collect(),
    };
    paging::await_all_memory(&found, session.stop)?;
    let report = match found {
        Place::Here(target) => {
            let stop = session.stop;
            let mut tell = |step| session.progress(step);
            told(&plan.capture(
                target,
                place,
                Surroundings::default(),
                &mut Observer::new(&mut tell, stop.flag()),
            )?)?
        }
        Place::Inside(inside) => capture_inside(&inside, plan, place, session)?,
    };
    Ok(report)
}

/// What was asked for, without the tree and the place.
struct Plan {
    parent: Option<ImageChain<File>>,
    tracking: Option<Result<Link, LinkError>>,
    stop: bool,
    eager: bool,
    compress: Compress,
    rate: Option<u64>,
    meta: BTreeMap<String, String>,
}

/// What a capsule has besides its processes.
#[derive(Default)]
struct Surroundings<'a> {
    terminal: Option<AskTerminal<'a>>,
    /// The private display's size.
    display: Option<String>,
    /// Its server, or why it did not greet us.
    screen: Option<io::Result<Screen>>,
    before_end: Option<BeforeEnd<'a>>,
}

impl Plan {
    fn capture<'a>(
        self,
        target: Target,
        place: ImagePlace,
        around: Surroundings<'a>,
        observer: &mut Observer<'_>,
    ) -> Result<Report, Failure> {
        // Whatever can't be captured is named before anything is frozen.
        let mut found = inspect(target, Depth::Blockers)?;
        let outside = outside_policy(&self.meta).map_err(|e| Failure::new(ErrorCode::Usage, e))?;
        if outside == Outside::Refuse {
            found.refuse_outside();
        }
        if !found.blockers.is_empty() {
            return Err(Failure::blocked(&found.blockers));
        }
        // As late as can be before the tree is stopped, and never in the way of it.
        let (picture, note) = match around.screen.map(|screen| screen?.picture()) {
            Some(Ok(picture)) => (Some(picture), None),
            Some(Err(error)) => (None, Some(format!("no picture of the display: {error}"))),
            None => (None, None),
        };
        let request = Request {
            target,
            place,
            parent: self.parent,
            tracking: self.tracking,
            stop: self.stop,
            eager: self.eager,
            compression: self.compress.into(),
            rate: self.rate,
            meta: self.meta,
            outside,
            terminal: around.terminal,
            display: around.display,
            picture,
            notes: Vec::from_iter(note),
            scratch: matches!(target, Target::Namespace { .. })
                .then(|| -> ListScratch<'a> { Box::new(scratch) }),
            before_end: around.before_end,
        };
        Ok(capture(request, observer)?)
    }
}

/// The capsule's own temporary files; those with contents are opened.
fn scratch() -> io::Result<ScratchFiles> {
    let survey = torpor_capsule::scratch::survey().map_err(io::Error::other)?;
    let mut contents = Vec::new();
    for (number, entry) in survey.entries.iter().enumerate() {
        if let ScratchKind::File { size, .. } = entry.kind
            && size > 0
        {
            contents.push((number as u32, OwnedFd::from(File::open(&entry.path)?)));
        }
    }
    let entries = cbor::to_vec(&survey.entries).map_err(io::Error::other)?;
    Ok(ScratchFiles { entries, contents })
}

fn told(report: &Report) -> Result<Value, Failure> {
    serde_json::to_value(report)
        .map_err(|e| Failure::new(ErrorCode::Internal, format!("the result can't be told: {e}")))
}

fn capture_inside(
    inside: &Inside,
    plan: Plan,
    place: ImagePlace,
    session: &mut Session,
) -> Result<Value, Failure> {
    // Connected now: inside, the socket's path may not exist.
    let connect = |id| Client::connect(&state_folders::run(), &id);
    let capsule = inside.capsule();
    let asks = inside.record.tty.then(|| capsule.clone()).flatten().map(connect).transpose()?;
    let ends = plan.stop.then(|| capsule.clone()).flatten().map(connect).transpose()?;
    let display = capsule.as_ref().and(inside.record.display.clone());
    let screen = display
        .as_ref()
        .and(capsule)
        .map(|id| torpor_capsule::display::connect(&state_folders::run(), &id).and_then(Screen::greet));
    let whole_capsule_ends = ends.is_some();

    // Ending the capsule ends the worker too, so it tells its result before.
    let mut durable = None;
    let outcome = inside.run(
        session,
        &mut |line| {
            if line["type"] == "durable" {
                durable = Some(line["report"].clone());
            }
        },
        |worker| {
            let terminal = asks.map(|mut init| -> AskTerminal<'_> { Box::new(move || terminal(&mut init)) });
            let before_end = ends.map(|mut init| -> BeforeEnd<'_> {
                Box::new(move |report| {
                    worker.reporter.send(&serde_json::json!({ "type": "durable", "report": report }));
                    if let Err(error) = init.end("hibernated") {
                        tracing::warn!(%error, "the capsule's init could not be told; its processes are ended one by one");
                    }
                })
            });
            let around = Surroundings { terminal, display, screen, before_end };
            worker.observed(|observer| plan.capture(worker.target, place, around, observer))
        },
    );
    let Some(report) = durable else { return outcome };
    if whole_capsule_ends {
        await_end(inside)?;
    }
    Ok(report)
}

/// Init kills the tree, writes exit.json and ends.
fn await_end(inside: &Inside) -> Result<(), Failure> {
    let deadline = Instant::now() + END_LIMIT;
    while registry::is_alive(&inside.record) {
        if Instant::now() > deadline {
            let message = format!(
                "the image is complete, but capsule \"{}\" has not ended within {} s; end it by its init, process {}",
                inside.record.id,
                END_LIMIT.as_secs(),
                inside.record.init_pid
            );
            return Err(Failure::new(ErrorCode::Busy, message));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The capsule's terminal as init keeps it, and whose it is.
fn terminal(init: &mut Client) -> io::Result<Terminal> {
    let saved = init.terminal_state().map_err(io::Error::other)?;
    let saved = saved.ok_or_else(|| io::Error::other("the capsule's init has lost its terminal"))?;
    let encode = |bytes: Result<Vec<u8>, cbor::CborError>| bytes.map_err(io::Error::other);
    // All of a capsule's processes have the same terminal or none: it has only one.
    let owner =
        tree::everyone_but(&[1])?.into_iter().filter_map(|pid| Stat::of(pid).ok()).find(|s| s.tty != 0);
    Ok(Terminal {
        columns: saved.size.columns,
        rows: saved.size.rows,
        termios: encode(cbor::to_vec(&saved.termios))?,
        screen: encode(cbor::to_vec(&saved))?,
        session: owner.as_ref().map_or(0, |s| s.sid),
        foreground: owner.as_ref().map_or(0, |s| s.tty_pgid.max(0)),
    })
}

/// The parent with its own parents, which lie in the same folder.
fn open_parent(path: &Path) -> Result<ImageChain<File>, Failure> {
    let chain = opened_image::open_chain(path, &[]).map_err(|failure| match failure.code {
        ErrorCode::Resource if !path.exists() => {
            Failure::new(ErrorCode::ParentMissing, format!("there is no parent image {}", path.display()))
        }
        _ => failure,
    })?;
    opened_image::require_this_machine(path, chain.youngest())?;
    Ok(chain)
}
