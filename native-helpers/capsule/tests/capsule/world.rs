//! A runtime folder of a test's own, with a time limit, that leaves nothing behind.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use torpor_capsule::attach::{Client, Frame};
use torpor_capsule::{CapsuleId, CapsuleRecord, Entry, EntryState, ExitRecord, WindowSize, registry};

/// No test may take longer: then its capsules are killed, which ends whatever waits for them.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// For a single step; generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(15);

pub struct World {
    folder: tempfile::TempDir,
    over: Arc<AtomicBool>,
}

/// What `capsule-run` said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub lines: Vec<Value>,
}

impl Said {
    pub fn last(&self) -> &Value {
        self.lines.last().unwrap_or(&Value::Null)
    }

    pub fn record(&self) -> CapsuleRecord {
        assert_eq!(self.status, 0, "{self:?}");
        let value = self.last();
        serde_json::from_value(value.get("record").unwrap_or(value).clone()).expect("a capsule's record")
    }
}

/// Skips visibly without root: namespaces need it.
pub fn world() -> Option<World> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: capsules need root");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (run, ended) = (folder.path().to_owned(), over.clone());
    thread::spawn(move || {
        let until = Instant::now() + TIME_LIMIT;
        while Instant::now() < until {
            if ended.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        eprintln!("the time limit is over");
        kill_all(&run);
    });
    Some(World { folder, over })
}

fn kill_all(run: &Path) {
    for entry in registry::list(run).iter().filter(|e| e.state == EntryState::Alive) {
        let pid = entry.record.as_ref().and_then(|r| rustix::process::Pid::from_raw(r.init_pid));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        kill_all(self.run());
        let until = Instant::now() + Duration::from_secs(5);
        while registry::list(self.run()).iter().any(|e| e.state != EntryState::Ended)
            && Instant::now() < until
        {
            thread::sleep(Duration::from_millis(10));
        }
        registry::sweep_stale(self.run());
    }
}

impl World {
    pub fn run(&self) -> &Path {
        self.folder.path()
    }

    pub fn folder(&self, id: &str) -> PathBuf {
        self.run().join("capsules").join(id)
    }

    /// The example as a command, its runtime folder filled in.
    pub fn command(&self, verb: &str, rest: &[&str]) -> Command {
        let mut program = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        let mut command = Command::new(program.join("examples/capsule-run"));
        command.arg(verb).arg(self.run()).args(rest).stdin(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    pub fn say(&self, verb: &str, rest: &[&str]) -> Said {
        said(self.command(verb, rest).output().expect("examples/capsule-run; cargo test builds it"))
    }

    pub fn say_with_input(&self, verb: &str, rest: &[&str], input: &str) -> Said {
        let mut command = self.command(verb, rest);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        said(child.wait_with_output().unwrap())
    }

    /// What ends the names of this runtime folder's cgroups.
    pub fn cgroup_key(&self) -> String {
        let record = self.say("run", &["probe", "--", "true"]).record();
        self.exit("probe");
        let name = record.cgroup.and_then(|g| Some(g.parent()?.file_name()?.to_str()?.to_owned()));
        name.and_then(|n| Some(n.rsplit_once('@')?.1.to_owned())).unwrap_or_else(|| "none".into())
    }

    /// Runs a shell script on an 80x24 terminal.
    pub fn shell(&self, id: &str, script: &str) -> CapsuleRecord {
        self.say("run", &[id, "tty=80x24", "--", "sh", "-c", script]).record()
    }

    pub fn entry(&self, id: &str) -> Entry {
        let id = CapsuleId::new(id).unwrap();
        registry::list(self.run()).into_iter().find(|e| e.id == id).expect("an entry")
    }

    /// Waits for the capsule's end.
    pub fn exit(&self, id: &str) -> ExitRecord {
        let exit = self.until("the capsule's end", || self.entry(id).exit);
        self.until("init's end", || (self.entry(id).state == EntryState::Ended).then_some(()));
        exit
    }

    pub fn until<T>(&self, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = check() {
                return found;
            }
            assert!(Instant::now() < until, "waited too long for {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the file, inside the control folder, holds something, and returns it.
    pub fn noted(&self, id: &str, name: &str) -> String {
        let path = self.folder(id).join("ctl").join(name);
        self.until(name, || std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')))
    }

    pub fn attach(&self, id: &str, columns: u16, rows: u16) -> Attached {
        self.connect(id, &Frame::Attach(WindowSize { columns, rows }))
    }

    pub fn connect(&self, id: &str, first: &Frame) -> Attached {
        let mut client = Client::connect(&self.folder(id)).unwrap();
        client.stream().set_read_timeout(Some(PATIENCE)).unwrap();
        client.send(first).unwrap();
        Attached { client, seen: Vec::new(), text: Vec::new() }
    }
}

fn said(output: Output) -> Said {
    Said {
        status: output.status.code().unwrap_or(-1),
        lines: output.stdout.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect(),
    }
}

/// An attached client that remembers what it was sent.
pub struct Attached {
    pub client: Client,
    pub seen: Vec<Frame>,
    /// Snapshots and output, one after the other.
    pub text: Vec<u8>,
}

impl Attached {
    pub fn next(&mut self) -> Frame {
        let frame = self.client.receive().expect("a frame in time").expect("not the end");
        if let Frame::Snapshot(bytes) | Frame::Output(bytes) = &frame {
            self.text.extend_from_slice(bytes);
        }
        self.seen.push(frame.clone());
        frame
    }

    /// Reads on until the text holds `wanted`.
    pub fn until_text(&mut self, wanted: &str) {
        let mut searched = 0;
        while !self.text[searched..].windows(wanted.len()).any(|w| w == wanted.as_bytes()) {
            // Megabytes may come: what has been searched is not searched again.
            searched = self.text.len().saturating_sub(wanted.len());
            self.next();
        }
    }

    pub fn until_frame(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next();
            if wanted(&frame) {
                return frame;
            }
        }
    }

    pub fn type_in(&mut self, text: &str) {
        self.client.send(&Frame::Input(text.into())).unwrap();
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}
