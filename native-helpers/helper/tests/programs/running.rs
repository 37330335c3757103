//! One real program in a folder of its own: started detached, taken through captures and restores while it
//! works, and cleared away whatever happens.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::DirEntryExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::helper::call;
use crate::tree;

const GONE_LIMIT: Duration = Duration::from_secs(20);
/// Longest wait for a program to get ready, to answer, to go on.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often each program is taken through; TORPOR_ROUNDS asks for more.
pub fn rounds() -> usize {
    std::env::var("TORPOR_ROUNDS").ok().map_or(3, |n| n.parse().expect("TORPOR_ROUNDS is a number"))
}

/// One way through a capture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// Captured and ended, restored.
    Stop,
    /// Captured while it runs on.
    Leave,
    /// Captured while it runs on, ended by force, and restored: what it did meanwhile is undone.
    Back,
}

/// The ways of a number of rounds; `Back` only where nothing outside of the program remembers more than it does.
pub fn ways(back: bool) -> impl Iterator<Item = Way> {
    let last = if back { Way::Back } else { Way::Stop };
    [Way::Stop, Way::Leave, last].into_iter().cycle().take(rounds())
}

pub struct Running {
    pub root: u32,
    folder: tempfile::TempDir,
    child: Option<Child>,
    meta: &'static [&'static str],
    images: usize,
    /// Names of shared memory that were there before it.
    shared_before: HashSet<PathBuf>,
}

/// What outlives a program that is killed.
#[derive(Default)]
struct Shared {
    names: HashSet<PathBuf>,
    /// System V ids.
    segments: HashSet<i32>,
}

/// Where shm_open(3) keeps its names.
const SHARED_MEMORY: &str = "/dev/shm";

/// An empty folder that every user may use, for a program's files.
pub fn folder() -> tempfile::TempDir {
    // Not /tmp: it is short of room on some machines, and a redis of full size needs 500 MB twice.
    let folder =
        tempfile::Builder::new().prefix("torpor-program-").tempdir_in("/var/tmp").expect("create a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(folder.path(), open).expect("open the folder to every user");
    folder
}

/// A port that nobody uses, outside the range that the kernel gives to clients, which could take it while the
/// program is away.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1000) as u16 * 10;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The file of a program, searched in PATH and then in `places`.
pub fn program(name: &str, places: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        // Those are tools of ours, and the Node among them is newer than what systems have.
        .filter(|folder| !folder.components().any(|part| part.as_os_str() == "node_modules"))
        .chain(places.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed; `npm run setup -- --tests` brings it"))
}

impl Running {
    /// Starts a command, whose working directory becomes the folder.
    pub fn start(folder: tempfile::TempDir, command: &mut Command) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // Restored trees and orphans come to this process, which reaps them: PID 1 may take seconds.
            let me = rustix::process::getpid();
            rustix::process::set_child_subreaper(Some(me)).expect("become a subreaper");
            // SAFETY: it closes nothing, it only marks descriptors to be closed by an exec.
            unsafe { libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
        });
        let log = File::create(folder.path().join("log")).expect("create the program's log");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(folder.path().join("log"), open).expect("open the log to every user");
        command
            .current_dir(folder.path())
            .env("TORPOR_PROGRAM", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log);
        // SAFETY: setsid is safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(())
            });
        }
        let names = fs::read_dir(SHARED_MEMORY).into_iter().flatten().flatten();
        let shared_before = names.map(|name| name.path()).collect();
        let child = command.spawn().expect("start the program");
        Self { root: child.id(), folder, child: Some(child), meta: &[], images: 0, shared_before }
    }

    /// Connections of clients out of the tree come back broken off.
    pub fn resetting_connections(mut self) -> Self {
        self.meta = &["--meta", "connections=reset"];
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes the program through a capture and, where that ends it, a restore.
    pub fn take(&mut self, way: Way) {
        self.images += 1;
        let image = self.path(&format!("image-{}.torpor", self.images));
        let image = image.to_str().expect("a path in UTF-8");
        let pid = self.root.to_string();
        let members = self.members();
        let mut args = vec!["capture", "--pid", &pid, "--image", image];
        args.extend(self.meta);
        if way == Way::Stop {
            args.push("--stop");
        }
        if let Err(error) = call(&args).done("capture") {
            panic!("{way:?}, round {}: {error}\n{}", self.images, self.log());
        }
        match way {
            Way::Leave => {
                assert!(self.runs(), "round {}: the capture ended the program\n{}", self.images, self.log());
                fs::remove_file(image).expect("remove the image");
                return;
            }
            Way::Stop => self.await_gone(&members),
            Way::Back => self.end(),
        }
        let restored = call(&["restore", "--image", image, "--in-place"]).done("restore");
        if let Err(error) = restored {
            panic!("{way:?}, round {}: {error}", self.images);
        }
        fs::remove_file(image).expect("remove the image");
        assert!(self.runs(), "round {}: the restored program is gone\n{}", self.images, self.log());
    }

    pub fn runs(&mut self) -> bool {
        if let Some(child) = &mut self.child {
            if matches!(child.try_wait(), Ok(None)) {
                return true;
            }
            self.child = None;
        }
        reap(self.root);
        matches!(tree::state_of(self.root), Some(state) if state != 'Z' && state != 'X')
    }

    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// All of its processes.
    pub fn members(&self) -> Vec<u32> {
        // The descendants too: some programs write over their environment.
        let mut members = tree::members(self.folder.path().to_str().expect("a path in UTF-8"));
        members.extend(tree::descendants(self.root));
        members.sort_unstable();
        members.dedup();
        members
    }

    fn await_gone(&mut self, pids: &[u32]) {
        let started = Instant::now();
        loop {
            self.runs();
            reap_orphans();
            let left: Vec<u32> = pids.iter().copied().filter(|pid| tree::state_of(*pid).is_some()).collect();
            if left.is_empty() {
                return;
            }
            assert!(started.elapsed() < GONE_LIMIT, "still there {GONE_LIMIT:?} after the end: {left:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Shared memory that these processes map: names that were not there before the program, and System V ids.
    fn shared_memory_of(&self, members: &[u32]) -> Shared {
        let mut shared = Shared::default();
        let mut inodes = HashSet::new();
        for maps in members.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/maps")).ok()) {
            for line in maps.lines() {
                let mut words = line.split_whitespace().skip(4);
                let (Some(inode), Some(path)) =
                    (words.next().and_then(|w| w.parse::<u64>().ok()), words.next())
                else {
                    continue;
                };
                // A semaphore is mapped by the name that sem_open(3) gave it before it was whole: the inode tells.
                if path.starts_with(SHARED_MEMORY) {
                    inodes.insert(inode);
                } else if path.starts_with("/SYSV") {
                    shared.segments.insert(inode as i32);
                }
            }
        }
        for name in fs::read_dir(SHARED_MEMORY).into_iter().flatten().flatten() {
            if inodes.contains(&name.ino()) && !self.shared_before.contains(&name.path()) {
                shared.names.insert(name.path());
            }
        }
        shared
    }

    /// Ends it by force.
    pub fn end(&mut self) {
        self.kill();
    }

    /// Kills all of it; tells the shared memory that it had.
    fn kill(&mut self) -> Shared {
        let mut shared = Shared::default();
        // Twice: a process may be born while the first look is taken.
        for _ in 0..2 {
            let members = self.members();
            let more = self.shared_memory_of(&members);
            shared.names.extend(more.names);
            shared.segments.extend(more.segments);
            for pid in members.iter().filter_map(|pid| Pid::from_raw(*pid as i32)) {
                let _ = kill_process(pid, Signal::KILL);
            }
            self.await_gone(&members);
        }
        shared
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        // A killed program does not remove it itself (PostgreSQL, browsers).
        let shared = self.kill();
        for name in shared.names {
            let _ = fs::remove_file(name);
        }
        for segment in shared.segments {
            // SAFETY: no pointers are passed.
            unsafe { libc::shmctl(segment, libc::IPC_RMID, std::ptr::null_mut()) };
        }
    }
}

/// Takes the end of every process that has come to us from a program's session, also of those that were born
/// after the last look. A PID of a zombie is a PID taken.
fn reap_orphans() {
    let me = std::process::id();
    let session =
        |pid: u32| Pid::from_raw(pid as i32).and_then(|pid| rustix::process::getsid(Some(pid)).ok());
    for pid in tree::descendants(me) {
        if tree::state_of(pid) == Some('Z') && session(pid) != session(me) {
            reap(pid);
        }
    }
}

fn reap(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Asks until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command to its end and gives what it wrote; its failure is the test's.
pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("run a command");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
