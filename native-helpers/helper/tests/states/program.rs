//! One running state program: built from its C source, started in a session of its own, told to go
//! on, judged, and cleared away whatever happens.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getsid, kill_process, waitpid};

use crate::tree;

const READY_LIMIT: Duration = Duration::from_secs(60);
const VERDICT_LIMIT: Duration = Duration::from_secs(60);
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// Where the C sources are.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/states")
}

/// Compiles the program, unless a binary newer than its sources is there.
fn build(name: &str) -> PathBuf {
    // One compiler at a time: tests that share a program must not write it at once.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("states");
    fs::create_dir_all(&folder).expect("create the folder for the programs");
    let binary = folder.join(name);
    let source = sources().join(format!("{name}.c"));
    let inputs = [source.clone(), sources().join("state.c"), sources().join("state.h")];
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let built = modified(&binary);
    if built.is_some() && inputs.iter().all(|input| modified(input) < built) {
        return binary;
    }
    let text = fs::read_to_string(&source).expect("read the program's source");
    // A line "// build: FLAGS" in a program adds to the compiler's flags.
    let extra = text.lines().find_map(|line| line.strip_prefix("// build: ")).unwrap_or("");
    let output = Command::new("cc")
        .args(["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&binary)
        .args([&inputs[0], &inputs[1]])
        .args(extra.split_whitespace())
        .args(["-lrt", "-lm"])
        .output()
        .expect("run the C compiler");
    assert!(
        output.status.success(),
        "{name}.c does not compile:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    binary
}

/// A started program and its folder. Dropping it ends every process that belongs to it.
pub struct Program {
    pub root: u32,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

pub enum Verdict {
    Pass,
    Skip(String),
}

impl Program {
    /// Starts the program and waits until it says that its state is set up.
    pub fn start(name: &str, args: &[&str]) -> Result<Self, String> {
        let binary = build(name);
        let folder = tempfile::Builder::new()
            .prefix("torpor-state-")
            .tempdir()
            .expect("create a folder for the program");
        // A program that changes its uid still has to reach its folder.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(folder.path(), open).expect("open the folder to every user");
        let log = File::create(folder.path().join("log")).expect("create the program's log");
        // setsid(1) executes the program in its own process: the PID stays the child's.
        let child = Command::new("setsid")
            .arg(&binary)
            .arg(folder.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .expect("start the program");
        let mut program = Self { root: child.id(), folder, child: Some(child) };
        program.await_ready()?;
        Ok(program)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What every command line and environment of this program's processes holds.
    pub fn marker(&self) -> &str {
        self.folder.path().to_str().expect("a folder name in UTF-8")
    }

    fn await_ready(&mut self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            if self.path("ready").exists() {
                return Ok(());
            }
            if self.path("result").exists() || !self.runs() {
                return Err(self.result());
            }
            if started.elapsed() > READY_LIMIT {
                return Err(format!("not ready within {READY_LIMIT:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the root process is there and no zombie. Reaps it where it is our child.
    pub fn runs(&mut self) -> bool {
        if let Some(child) = &mut self.child {
            if matches!(child.try_wait(), Ok(None)) {
                return true;
            }
            self.child = None;
        }
        reap(self.root);
        tree::lives(self.root)
    }

    /// Waits until none of these processes is left, not even as a zombie.
    pub fn await_gone(&mut self, pids: &[u32]) -> Result<(), String> {
        let started = Instant::now();
        loop {
            self.runs();
            for pid in pids {
                reap(*pid);
            }
            let left: Vec<u32> = pids.iter().copied().filter(|pid| tree::state_of(*pid).is_some()).collect();
            if left.is_empty() {
                return Ok(());
            }
            if started.elapsed() > GONE_LIMIT {
                return Err(format!("still there {GONE_LIMIT:?} after the end: {left:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Tells the program to go on, and waits for its verdict and its end.
    pub fn go_on(&mut self) -> Result<Verdict, String> {
        let root = Pid::from_raw(self.root as i32).expect("a PID");
        kill_process(root, Signal::TERM)
            .map_err(|error| format!("the program is gone: {error}; {}", self.result()))?;
        let started = Instant::now();
        while self.runs() {
            if started.elapsed() > VERDICT_LIMIT {
                return Err(format!(
                    "no verdict within {VERDICT_LIMIT:?}; {}; {}",
                    self.result(),
                    tree::describe(self.root)
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let result = self.result();
        if result == "PASS" {
            Ok(Verdict::Pass)
        } else if let Some(reason) = result.strip_prefix("SKIP ") {
            Ok(Verdict::Skip(reason.to_owned()))
        } else {
            Err(result)
        }
    }

    fn result(&self) -> String {
        match fs::read_to_string(self.path("result")) {
            Ok(text) if !text.is_empty() => text.trim_end().to_owned(),
            _ => {
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                format!("ended without a verdict; its output: {:?}", log.trim_end())
            }
        }
    }

    /// Ends all that belongs to the program, at once.
    pub fn end(&mut self) {
        // Twice: a process may be born while the first look is taken.
        for _ in 0..2 {
            let members = tree::members(self.marker());
            for pid in &members {
                if let Some(pid) = Pid::from_raw(*pid as i32) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            let _ = self.await_gone(&members);
        }
    }
}

impl Program {
    /// Takes away what a program that failed has left mounted in its folder.
    fn unmount(&self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| point.starts_with(self.marker())) {
            let _ = Command::new("umount").args(["--lazy", point]).status();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
        clear_names(self.root);
        self.unmount();
    }
}

/// Removes what outlives a process: the SysV objects and the names that a program made from its PID.
fn clear_names(root: u32) {
    for (table, option) in [("shm", "-M"), ("sem", "-S"), ("msg", "-Q")] {
        let text = fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap_or_default();
        for key in [0x7000_0000 + root, 0x7100_0000 + root] {
            if text.lines().any(|line| line.split_whitespace().next() == Some(&key.to_string())) {
                let _ = Command::new("ipcrm").args([option, &format!("{key:#x}")]).status();
            }
        }
    }
    let prefix = format!("torpor-state-{root}");
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = fs::remove_file(entry.path());
        }
    }
    for end in ["", "-empty"] {
        if let Ok(name) = CString::new(format!("/{prefix}{end}")) {
            // SAFETY: the name is a valid string; an unknown name is an error without effect.
            unsafe { libc::mq_unlink(name.as_ptr()) };
        }
    }
}

/// Orphans come to this process, which is a subreaper: takes the end of this one, if it is ours. Not of one in our own
/// session: once a PID is free it may become that of a helper or a compiler that another test waits for.
fn reap(pid: u32) {
    let ours = getsid(None).ok();
    if let Some(pid) = Pid::from_raw(pid as i32).filter(|pid| getsid(Some(*pid)).ok() != ours) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}
