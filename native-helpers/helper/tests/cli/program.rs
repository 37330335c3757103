//! Programs to be captured.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program without ties to the test: no terminal, nobody's pipes. Ended on drop.
pub struct Program(Child);

/// Ends a restored process, which is nobody's child.
pub fn end(pid: i32) {
    let _ = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status();
}

impl Program {
    pub fn start(words: &[&str]) -> Program {
        let mut command = Command::new("setsid");
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        let program = Program(command.spawn().expect("start a program"));
        // setsid becomes the program; before, it is not what the test wants to see.
        let name = Path::new(words[0]).file_name().expect("a name").to_owned();
        let comm = format!("/proc/{}/comm", program.pid());
        eventually("the program runs", || {
            let comm = std::fs::read_to_string(&comm).unwrap_or_default();
            name.to_string_lossy().starts_with(comm.trim())
        });
        program
    }

    pub fn sleep() -> Program {
        Program::start(&["sleep", "1000"])
    }

    /// One that holds so many bytes which no compression or zero page makes disappear from memory.
    pub fn with_memory(mib: usize) -> Program {
        let script = format!(
            "import time\nheld = bytearray(b'torpor') * ({mib} * 1048576 // 6)\nwhile True: time.sleep(0.01)"
        );
        let program = Program::start(&["python3", "-c", &script]);
        eventually("the program holds its memory", || program.status_field("VmRSS") >= mib as u64 * 1000);
        // It sleeps only when it has written all of it.
        let before = program.status_field("voluntary_ctxt_switches");
        eventually("the program sleeps", || program.status_field("voluntary_ctxt_switches") > before + 5);
        program
    }

    /// One that has something open which can't be captured.
    pub fn that_blocks() -> Program {
        let program =
            Program::start(&["sh", "-c", "exec 3<>/dev/cpu_dma_latency; while :; do sleep 0.05; done"]);
        let descriptor = format!("/proc/{}/fd/3", program.pid());
        eventually("the program has its device open", || std::fs::read_link(&descriptor).is_ok());
        program
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// The number of a field in /proc/PID/status.
    pub fn status_field(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let value = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|v| v.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Nobody traces or stops it, and it does what it did before.
    #[track_caller]
    pub fn assert_runs_on(&self) {
        eventually("nobody traces the program", || self.status_field("TracerPid") == 0);
        let before = self.status_field("voluntary_ctxt_switches");
        eventually("the program runs on", || self.status_field("voluntary_ctxt_switches") > before);
    }

    /// Waits until it is gone.
    #[track_caller]
    pub fn assert_ended(&mut self) {
        eventually("the program has ended", || matches!(self.0.try_wait(), Ok(Some(_))));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Polls, with a bound.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder for images, gone with the test.
pub struct Store(tempfile::TempDir);

impl Store {
    pub fn new() -> Store {
        // Not in /tmp, of which a capsule has one of its own.
        Store(tempfile::tempdir_in("/var/tmp").expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Everything in it, hidden files too.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("list the folder");
        let mut names: Vec<String> =
            entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
