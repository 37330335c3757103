//! What a long operation tells while it runs, and how it is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// One step of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Freeze,
    State,
    Memory,
    Commit,
    Build,
    Load,
    Resume,
    Verify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    pub phase: Phase,
    pub done_bytes: u64,
    pub total_bytes: u64,
}

/// Whom to tell, and whom to ask whether to go on.
pub struct Observer<'a> {
    report: &'a mut dyn FnMut(Progress),
    cancel: &'a AtomicBool,
    last: Option<Progress>,
}

/// Told at most this often within a phase.
const STEP_BYTES: u64 = 16 << 20;

impl<'a> Observer<'a> {
    pub fn new(report: &'a mut dyn FnMut(Progress), cancel: &'a AtomicBool) -> Observer<'a> {
        Observer { report, cancel, last: None }
    }

    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    pub fn tell(&mut self, phase: Phase, done_bytes: u64, total_bytes: u64) {
        let now = Progress { phase, done_bytes, total_bytes };
        let due = self.last.is_none_or(|l| {
            l.phase != phase
                || done_bytes >= l.done_bytes + STEP_BYTES
                || (done_bytes == total_bytes && l != now)
        });
        if due {
            self.last = Some(now);
            (self.report)(now);
        }
    }
}
