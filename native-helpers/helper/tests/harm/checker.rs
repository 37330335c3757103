//! The program that checks itself (tests/programs/self_checker.c), and what can be seen of it from outside.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::running::{Running, folder, output, until};
use crate::tree::{self, Picture};

pub struct Checker {
    pub running: Running,
}

fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| compiled("self_checker"))
}

/// Compiles a program of tests/programs.
pub fn compiled(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/programs/{name}.c"));
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror"];
    output(Command::new("cc").args(flags).arg("-o").arg(&binary).arg(source));
    binary
}

impl Checker {
    pub fn start() -> Self {
        let folder = folder();
        let mut command = Command::new(binary());
        command.arg(folder.path());
        let checker = Self { running: Running::start(folder, &mut command) };
        // It begins to count once all of it is set up.
        until("the program checks itself", || (checker.checks() > 0).then_some(()));
        checker
    }

    /// How often it has checked itself.
    pub fn checks(&self) -> u64 {
        let mut number = [0; 8];
        let read = fs::File::open(self.running.path("checks")).and_then(|f| f.read_exact_at(&mut number, 0));
        read.map_or(0, |()| u64::from_ne_bytes(number))
    }

    pub fn result(&self) -> Option<String> {
        fs::read_to_string(self.running.path("result")).ok()
    }

    /// It goes on, through all of its checks.
    pub fn goes_on(&mut self, when: &str) {
        // Every kind of check has its turn within 64.
        let aim = self.checks() + 65;
        until(&format!("{when}: the program goes on"), || {
            if let Some(result) = self.result() {
                panic!("{when}: {result}");
            }
            (self.checks() >= aim).then_some(())
        });
    }

    /// What must be the same whenever one looks: processes, threads, mappings, descriptors.
    pub fn picture(&self) -> Picture {
        let mut picture = tree::picture(self.running.root);
        picture.retain(|key, _| key.contains(" maps") || key.contains(" fd ") || key.ends_with(" parent"));
        let processes = self.running.members();
        picture.insert("processes".into(), format!("{processes:?}"));
        for pid in processes {
            for thread in threads(pid) {
                picture.insert(format!("{pid} thread {thread}"), still(pid, thread));
            }
        }
        picture
    }

    /// Ends it, and takes its verdict.
    pub fn verdict(self) -> String {
        let root = rustix::process::Pid::from_raw(self.running.root as i32).expect("a PID");
        rustix::process::kill_process(root, rustix::process::Signal::TERM).expect("the program is there");
        until("the program's verdict", || self.result())
    }
}

fn threads(pid: u32) -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether somebody holds a thread: stopped, or traced.
fn still(pid: u32, thread: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap_or_default();
    let value = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("").trim().to_owned();
    let stopped = value("State:").to_lowercase().starts_with('t');
    format!("stopped {stopped}, traced by {}", value("TracerPid:"))
}
