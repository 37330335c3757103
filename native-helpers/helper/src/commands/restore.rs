//! `restore`: from an image to a running tree, in a new capsule or in place.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use torpor_capsule::scratch::{self, ScratchEntry};
use torpor_capsule::{
    BuildContext, BuildFailure, Built, CONTROL_FOLDERS, Capsule, CapsuleId, Clocks, Io, SavedTerminal, Spec,
};
use torpor_engine::model::SystemState;
use torpor_engine::proc::tree;
use torpor_engine::progress::Observer;
use torpor_engine::restore::lazy::LazyPlan;
use torpor_engine::restore::{ChangedFiles, Lazy, Request, ScratchMaker, restore};
use torpor_engine::trace::Lap;
use torpor_image::{ImageChain, ImageReader, cbor};

use super::opened_image;
use super::paging::{self, InCapsule, InPlace};
use super::pidfile::Pidfile;
use super::show::command_line;
use crate::arguments::RestoreArguments;
use crate::exit::{ErrorCode, ExitStatus};
use crate::failure::Failure;
use crate::session::{self, Session};
use crate::state_folders;

/// The name of the descriptor of the capsule's terminal.
const TERMINAL: &str = "terminal";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    image_id: String,
    capsule: Option<String>,
    init_pid: Option<i32>,
    root_pid: i32,
    first_instruction_ms: f64,
    duration_ms: f64,
    processes: usize,
    mode: String,
    notes: Vec<String>,
    phases: Vec<Lap>,
}

/// What the engine tells, by way of the capsule's init.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    image_id: String,
    root_pid: i32,
    first_instruction_ms: f64,
    duration_ms: f64,
    processes: usize,
    mode: String,
    notes: Vec<String>,
    phases: Vec<Lap>,
}

pub fn run(arguments: &RestoreArguments, session: &mut Session) -> Result<Report, Failure> {
    // Not a monotonic clock: a capsule has one of its own.
    let begun = SystemTime::now();
    let path = &arguments.image;
    let chain = opened_image::open_chain(path, &[])?;
    opened_image::require_this_machine(path, chain.youngest())?;
    let pidfile = arguments.pidfile.as_deref().map(Pidfile::prepare).transpose()?;
    let restored = match &arguments.place.capsule {
        Some(id) => in_capsule(id, arguments, &chain, begun, session),
        None => in_place(arguments, &chain, begun, session),
    };
    let mut report = restored.map_err(|failure| match failure.code.exit_status() {
        ExitStatus::BadImage => opened_image::named(path, failure),
        _ => failure,
    })?;
    if let Some(pidfile) = pidfile
        && let Err(error) = pidfile.write(report.root_pid)
    {
        // The tree runs: to fail now would say that it does not.
        report.notes.push(format!("the PID file could not be written: {error}"));
    }
    Ok(report)
}

fn in_place(
    arguments: &RestoreArguments,
    chain: &ImageChain<File>,
    begun: SystemTime,
    session: &mut Session,
) -> Result<Report, Failure> {
    let path = &arguments.image;
    let image = chain.youngest();
    let stop = session.stop;
    let mut tell = |step| session.progress(step);
    let state = opened_image::state(path, image)?;
    let plan = paging::plan(&state, chain, arguments.eager);
    let mut host = InPlace::new(path, chain, plan.as_ref(), &state)?;
    let lazy = plan.as_ref().map(|plan| Lazy { plan, host: &mut host });
    let request = Request {
        chain,
        lazy,
        in_place: true,
        changed_files: arguments.changed_files.into(),
        own_folders: &[],
        external: HashMap::new(),
        scratch: None,
    };
    let prepared = since(begun);
    let report = restore(request, &mut Observer::new(&mut tell, stop.flag()))?;
    drop(host);
    Ok(Report {
        image_id: report.image_id,
        capsule: None,
        init_pid: None,
        root_pid: report.root_pid,
        first_instruction_ms: milliseconds(prepared) + report.first_instruction_ms,
        duration_ms: milliseconds(since(begun)),
        processes: report.processes,
        mode: report.mode.to_owned(),
        notes: report.notes,
        phases: with_preparation(prepared, report.phases),
    })
}

fn in_capsule(
    id: &CapsuleId,
    arguments: &RestoreArguments,
    chain: &ImageChain<File>,
    begun: SystemTime,
    session: &mut Session,
) -> Result<Report, Failure> {
    let path = &arguments.image;
    let image = chain.youngest();
    let state = opened_image::state(path, image)?;
    let spec = spec(id, image, &state)?;
    let plan = paging::plan(&state, chain, arguments.eager);
    drop(state);
    let stop = session.stop;
    let changed_files = arguments.changed_files.into();
    let (pager, line) = paging::of_capsule(path, chain, plan.as_ref())?.unzip();
    let mut on_line = |line: &Value| {
        let number = |key: &str| line[key].as_u64().unwrap_or(0);
        if line["type"] == "progress" {
            session.step(line["phase"].as_str().unwrap_or(""), number("doneBytes"), number("totalBytes"));
        }
    };
    let capsule = Capsule::create_for_restore(&spec, Some(stop.descriptor()), &mut on_line, |context| {
        build(chain, plan.as_ref(), line, changed_files, begun, stop, context)
    })?;
    // The application runs: now the rest of its memory may be brought in.
    drop(pager);
    let done: Done = serde_json::from_value(capsule.result).map_err(|e| {
        Failure::new(ErrorCode::Internal, format!("the capsule's init told something unreadable: {e}"))
    })?;
    let mut notes = done.notes;
    notes.extend(capsule.record.notes);
    Ok(Report {
        image_id: done.image_id,
        capsule: Some(capsule.record.id),
        init_pid: Some(capsule.record.init_pid),
        root_pid: capsule.record.root_pid,
        first_instruction_ms: done.first_instruction_ms,
        duration_ms: milliseconds(since(begun)),
        processes: done.processes,
        mode: done.mode,
        notes,
        phases: done.phases,
    })
}

/// The capsule that the image needs: its clocks go on, its terminal shows what it showed.
fn spec(id: &CapsuleId, image: &ImageReader<File>, state: &SystemState) -> Result<Spec, Failure> {
    let io = match &state.terminal {
        Some(terminal) => {
            let saved: SavedTerminal = cbor::from_slice(&terminal.screen).map_err(|e| {
                Failure::new(ErrorCode::Damaged, format!("the image's terminal can't be understood: {e}"))
            })?;
            Io::RestoredTerminal(saved)
        }
        None => match &state.display {
            Some(size) => Io::Display(size.parse().map_err(|_| {
                Failure::new(ErrorCode::Damaged, format!("the image's display has no size: {size:?}"))
            })?),
            None => Io::Log,
        },
    };
    let origin = &state.origin;
    let mut spec = Spec::new(id.clone(), state_folders::run(), io);
    spec.clocks = Clocks::ContinueAt { monotonic_ns: origin.monotonic_ns, boottime_ns: origin.boottime_ns };
    spec.restored_from = Some(image.info().image_id.to_string());
    let root = &state.processes[0];
    let command = command_line(image, root);
    spec.command = if command.is_empty() { vec![root.comm.clone()] } else { command };
    Ok(spec)
}

/// Runs in the capsule's init.
fn build(
    chain: &ImageChain<File>,
    plan: Option<&LazyPlan>,
    line: Option<OwnedFd>,
    changed_files: ChangedFiles,
    begun: SystemTime,
    stop: torpor_sys::signal::StopRequest,
    context: &mut BuildContext<'_>,
) -> Result<Built, BuildFailure> {
    let mut external: HashMap<String, OwnedFd> = HashMap::new();
    if let Some(terminal) = context.terminal {
        let terminal =
            terminal.try_clone_to_owned().map_err(|e| Failure::io("duplicating the terminal", &e))?;
        external.insert(TERMINAL.to_owned(), terminal);
    }
    let reporter = context.reporter;
    let mut tell = |step: torpor_engine::progress::Progress| {
        reporter.progress(session::name(step.phase), step.done_bytes, step.total_bytes);
    };
    let mut scratch = CapsuleScratch::default();
    let mut host = InCapsule::new(line);
    let lazy = plan.map(|plan| Lazy { plan, host: &mut host });
    let request = Request {
        chain,
        lazy,
        in_place: false,
        changed_files,
        own_folders: &CONTROL_FOLDERS,
        external,
        scratch: Some(&mut scratch),
    };
    let prepared = since(begun);
    let report = restore(request, &mut Observer::new(&mut tell, stop.flag())).map_err(Failure::from)?;
    let mut notes = report.notes;
    notes.extend(context.cgroup_processes.and_then(join_cgroup));
    let done = Done {
        image_id: report.image_id,
        root_pid: report.root_pid,
        first_instruction_ms: milliseconds(prepared) + report.first_instruction_ms,
        duration_ms: report.duration_ms,
        processes: report.processes,
        mode: report.mode.to_owned(),
        notes,
        phases: with_preparation(prepared, report.phases),
    };
    let result = serde_json::to_value(&done).unwrap_or_default();
    Ok(Built { root_pid: done.root_pid, result, background: host.into_background() })
}

/// The capsule's own temporary files, as the capsule lists them.
#[derive(Default)]
struct CapsuleScratch {
    entries: Vec<ScratchEntry>,
}

impl ScratchMaker for CapsuleScratch {
    fn make(&mut self, entries: &[u8], contents: &[u32]) -> io::Result<Vec<OwnedFd>> {
        self.entries = cbor::from_slice(entries).map_err(io::Error::other)?;
        scratch::recreate(&self.entries).map_err(io::Error::other)?;
        let open = |number: &u32| {
            let entry = self.entries.get(*number as usize).ok_or(io::ErrorKind::InvalidData)?;
            scratch::open(entry).map_err(io::Error::other)
        };
        contents.iter().map(open).collect()
    }

    fn finish(&mut self) -> io::Result<()> {
        scratch::finish(&self.entries).map_err(io::Error::other)
    }
}

/// Moves the tree into the application's cgroup. Twice, for processes that were born meanwhile.
fn join_cgroup(processes: BorrowedFd<'_>) -> Option<String> {
    for _ in 0..2 {
        for pid in tree::everyone_but(&[1]).unwrap_or_default() {
            match rustix::io::write(processes, pid.to_string().as_bytes()) {
                // It has ended.
                Ok(_) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => {
                    return Some(format!(
                        "the application could not be put into a cgroup of its own: {error}"
                    ));
                }
            }
        }
    }
    None
}

/// The engine's phases behind what came before: opening the image and, in a capsule, making that.
fn with_preparation(prepared: Duration, phases: Vec<Lap>) -> Vec<Lap> {
    let first = Lap { name: "prepare".into(), us: prepared.as_micros() as u64 };
    std::iter::once(first).chain(phases).collect()
}

fn since(begun: SystemTime) -> Duration {
    // Zero where the clock was set back meanwhile.
    begun.elapsed().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
