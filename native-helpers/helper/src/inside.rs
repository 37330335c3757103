//! Finds where a tree lives, and runs a command's work in its namespaces.
//!
//! The engine works in the namespaces of its caller. A tree in a capsule (or in a container, named by a
//! PID) is worked on by a process that has entered them; what it tells comes back through a pipe.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::Value;
use torpor_capsule::{CapsuleId, CapsuleRecord, EnterOptions, EntryState, Reporter, enter, registry};
use torpor_engine::freeze::Target;
use torpor_engine::proc::status::Status;
use torpor_engine::progress::{Observer, Progress};

use crate::arguments::TargetArguments;
use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::pid_view::PidView;
use crate::session::{self, Session};
use crate::state_folders;

/// Where a tree is.
pub enum Place {
    /// In the caller's own namespaces.
    Here(Target),
    Inside(Box<Inside>),
}

/// A tree in namespaces of its own.
pub struct Inside {
    pub record: CapsuleRecord,
    pub tree: InnerTree,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InnerTree {
    /// All of a capsule but its init, and its terminal with it.
    Capsule,
    /// A process, by its number inside, and its descendants.
    Below(i32),
}

impl Place {
    pub fn find(arguments: &TargetArguments) -> Result<Place, Failure> {
        match (&arguments.capsule, arguments.pid) {
            (Some(id), _) => {
                let (_, record) = registry::find(&state_folders::run(), id)?;
                Ok(Place::Inside(Box::new(Inside { record, tree: InnerTree::Capsule })))
            }
            (None, Some(pid)) => Ok(of_pid(pid)),
            (None, None) => Err(Failure::usage("name a tree with --pid or --capsule")),
        }
    }
}

impl Place {
    /// The first process of what is meant, as the caller numbers it.
    pub fn root_pid(&self, arguments: &TargetArguments) -> Option<i32> {
        match self {
            Place::Inside(inside) if inside.tree == InnerTree::Capsule => Some(inside.record.root_pid),
            _ => arguments.pid,
        }
    }
}

fn of_pid(pid: i32) -> Place {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let (Some(theirs), Some(ours)) = (namespace(&pid.to_string()), namespace("self")) else {
        return Place::Here(Target::Tree(pid));
    };
    let Some(inner) = Status::of(pid).ok().and_then(|s| s.ns_pids.last().copied()) else {
        return Place::Here(Target::Tree(pid));
    };
    if theirs == ours {
        return Place::Here(Target::Tree(pid));
    }
    let capsule = registry::list(&state_folders::run())
        .into_iter()
        .filter(|entry| entry.state == EntryState::Alive)
        .filter_map(|entry| entry.record)
        .find(|record| namespace(&record.init_pid.to_string()).as_ref() == Some(&theirs));
    Place::Inside(Box::new(match capsule {
        Some(record) if record.root_pid == pid => Inside { record, tree: InnerTree::Capsule },
        Some(record) => Inside { record, tree: InnerTree::Below(inner) },
        None => Inside { record: foreign(pid), tree: InnerTree::Below(inner) },
    }))
}

/// What entering needs to know of a container that is not ours: a process in it.
fn foreign(pid: i32) -> CapsuleRecord {
    CapsuleRecord {
        id: format!("of process {pid}"),
        init_pid: pid,
        root_pid: pid,
        root_pid_inside: 0,
        init_start_ticks: registry::start_ticks(pid).unwrap_or(0),
        boot_id: registry::boot_id(),
        started_at: String::new(),
        command: Vec::new(),
        tty: false,
        display: None,
        restored_from: None,
        cgroup: None,
        control_folder: None,
        notes: Vec::new(),
    }
}

impl Inside {
    /// The capsule's id, where it is a capsule as a whole that is meant.
    pub fn capsule(&self) -> Option<CapsuleId> {
        (self.tree == InnerTree::Capsule).then(|| CapsuleId::new(self.record.id.clone()).ok()).flatten()
    }

    /// The caller's view of the PIDs inside.
    pub fn pids(&self) -> PidView {
        PidView::below(self.record.init_pid)
    }

    /// Runs `work` inside; lines that are no progress go to `on_line`.
    pub fn run<T: Serialize>(
        &self,
        session: &mut Session,
        on_line: &mut dyn FnMut(&Value),
        work: impl FnOnce(&Worker<'_>) -> Result<T, Failure>,
    ) -> Result<Value, Failure> {
        let stop = session.stop;
        let options = EnterOptions { cancel: Some(stop.descriptor()), cleanup: None };
        let mut on_any = |line: &Value| {
            if line["type"] == "progress" {
                let number = |key: &str| line[key].as_u64().unwrap_or(0);
                session.step(line["phase"].as_str().unwrap_or(""), number("doneBytes"), number("totalBytes"));
            } else {
                on_line(line);
            }
        };
        let tree = self.tree;
        let entered = enter(&self.record, &options, &mut on_any, |reporter| {
            let target = match tree {
                InnerTree::Capsule => Target::Namespace { besides: std::process::id() as i32 },
                InnerTree::Below(pid) => Target::Tree(pid),
            };
            let result = work(&Worker { target, reporter })?;
            serde_json::to_value(result).map_err(|e| {
                Failure::new(ErrorCode::Internal, format!("the result can't be told: {e}")).into()
            })
        });
        let mut outcome = entered.map_err(Failure::from);
        if let Err(failure) = &mut outcome {
            let pids = self.pids();
            for blocker in &mut failure.blockers {
                pids.translate(blocker, "pid");
            }
        }
        outcome
    }
}

/// The process that works inside.
pub struct Worker<'a> {
    /// The tree, in the numbers of the inside.
    pub target: Target,
    pub reporter: &'a Reporter,
}

impl Worker<'_> {
    /// Runs `operation` with an observer whose progress goes to the caller, and which the caller can cancel.
    pub fn observed<T>(&self, operation: impl FnOnce(&mut Observer<'_>) -> T) -> T {
        static CANCELLED: AtomicBool = AtomicBool::new(false);
        // A thread, because an operation looks at a flag and not at descriptors.
        if let Ok(wish) = self.reporter.cancellation().try_clone_to_owned() {
            std::thread::spawn(move || {
                let mut fds = [rustix::event::PollFd::new(&wish, rustix::event::PollFlags::IN)];
                while matches!(rustix::event::poll(&mut fds, None), Err(rustix::io::Errno::INTR)) {}
                CANCELLED.store(true, Ordering::Relaxed);
            });
        }
        let mut tell =
            |p: Progress| self.reporter.progress(session::name(p.phase), p.done_bytes, p.total_bytes);
        operation(&mut Observer::new(&mut tell, &CANCELLED))
    }
}
