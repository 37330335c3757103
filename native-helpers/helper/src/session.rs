//! What every command works with: where to tell, when to stop, and how long each phase took.

use std::io::Stdout;
use std::time::Instant;

use torpor_engine::progress::{Phase, Progress};
use torpor_sys::signal::StopRequest;

use crate::output::Output;

pub struct Session {
    pub output: Output<Stdout>,
    pub stop: StopRequest,
    phases: Option<Phases>,
}

impl Session {
    pub fn new(output: Output<Stdout>, stop: StopRequest, trace: bool) -> Session {
        let begun = Instant::now();
        Session { output, stop, phases: trace.then(|| Phases { begun, seen: Vec::new() }) }
    }

    pub fn progress(&mut self, step: Progress) {
        self.step(name(step.phase), step.done_bytes, step.total_bytes);
    }

    /// The same for a line that a worker inside a capsule has sent.
    pub fn step(&mut self, phase: &str, done_bytes: u64, total_bytes: u64) {
        if let Some(phases) = &mut self.phases {
            phases.note(phase);
        }
        self.output.progress(phase, done_bytes, total_bytes);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(phases) = &self.phases {
            phases.print();
        }
    }
}

pub fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Freeze => "freeze",
        Phase::State => "state",
        Phase::Memory => "memory",
        Phase::Commit => "commit",
        Phase::Build => "build",
        Phase::Load => "load",
        Phase::Resume => "resume",
        Phase::Verify => "verify",
    }
}

/// When each phase began, for `--trace`.
struct Phases {
    begun: Instant,
    seen: Vec<(String, Instant)>,
}

impl Phases {
    fn note(&mut self, phase: &str) {
        if self.seen.last().is_none_or(|(last, _)| last != phase) {
            self.seen.push((phase.to_owned(), Instant::now()));
        }
    }

    fn print(&self) {
        let end = Instant::now();
        let ends = self.seen.iter().skip(1).map(|(_, at)| *at).chain([end]);
        let first = self.seen.first().map_or(end, |(_, at)| *at);
        let line = |name: &str, from: Instant, to: Instant| {
            eprintln!("{name:<10} {:>10.3} ms", to.duration_since(from).as_secs_f64() * 1e3);
        };
        line("prepare", self.begun, first);
        for ((name, from), to) in self.seen.iter().zip(ends) {
            line(name, *from, to);
        }
        line("all", self.begun, end);
    }
}
