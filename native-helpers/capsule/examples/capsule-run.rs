//! Drives the library from a shell, for trying it out and for the integration tests:
//!
//! ```text
//! capsule-run run     RUN ID [tty=COLSxROWS] [user=U] [cwd=D] [env=K=V]… [tmp=host] -- CMD ARG…
//! capsule-run toy     RUN ID MODE       a restore whose tree is one forked process
//! capsule-run inside  RUN ID CMD ARG…   runs a command in the capsule's namespaces
//! capsule-run state   RUN ID [frozen]   the terminal's state as JSON
//! capsule-run status  RUN ID
//! capsule-run end     RUN ID REASON
//! capsule-run list    RUN | sweep RUN | remove RUN ID
//! ```
//!
//! Results are JSON on standard output; the exit status is the error's.

use serde_json::{Value, json};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::exit;
use torpor_capsule::create::Background;
use torpor_capsule::{
    BuildContext, BuildFailure, Built, Capsule, CapsuleError, CapsuleId, Clocks, EnterOptions, Io, Program,
    SavedTerminal, Spec, TemporaryFiles, WindowSize, control, enter, registry,
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["run", run, id, ref rest @ ..] => start(run, id, rest),
        ["toy", run, id, mode] => toy(run, id, mode),
        ["inside", run, id, command, ref rest @ ..] => inside(run, id, command, rest),
        ["state", run, id, ref rest @ ..] => {
            let request = control::Request::TerminalState { frozen: rest == ["frozen"] };
            ask(run, id).and_then(|mut c| Ok(json!(c.ask(&request)?.terminal)))
        }
        ["status", run, id] => ask(run, id).and_then(|mut c| Ok(json!(c.status()?))),
        ["end", run, id, reason] => ask(run, id).and_then(|mut c| Ok(json!(c.end(reason)?))),
        ["list", run] => Ok(registry::list(Path::new(run))
            .iter()
            .map(|e| json!({ "id": e.id.as_str(), "state": format!("{:?}", e.state) }))
            .collect()),
        ["sweep", run] => Ok(json!(registry::sweep_stale(Path::new(run)))),
        ["remove", run, id] => {
            CapsuleId::new(id).and_then(|id| registry::remove(Path::new(run), &id)).map(|()| Value::Null)
        }
        _ => {
            eprintln!("usage: see the first lines of examples/capsule-run.rs");
            exit(2);
        }
    };
    let _ = match &outcome {
        Ok(value) => writeln!(std::io::stdout(), "{value}"),
        Err(error) => {
            let line = json!({ "error": error.to_string(), "code": error.code().as_str() });
            writeln!(std::io::stdout(), "{line}")
        }
    };
    exit(outcome.err().map_or(0, |error| error.code().exit_status()));
}

fn ask(run: &str, id: &str) -> Result<control::Client, CapsuleError> {
    control::Client::connect(Path::new(run), &CapsuleId::new(id)?)
}

fn start(run: &str, id: &str, rest: &[&str]) -> Result<Value, CapsuleError> {
    let (options, command) = rest.split_at(rest.iter().position(|w| *w == "--").unwrap_or(rest.len()));
    let mut spec = Spec::new(CapsuleId::new(id)?, run, Io::Log);
    let mut program = Program::new(command.iter().skip(1));
    for option in options {
        match option.split_once('=') {
            Some(("tty", size)) => spec.io = Io::Terminal(parse_size(size)),
            Some(("display", size)) => spec.io = Io::Display(size.parse()?),
            Some(("user", user)) => program.user = Some(user.into()),
            Some(("cwd", folder)) => program.cwd = Some(folder.into()),
            Some(("env", entry)) => program.env.add(entry.as_ref())?,
            Some(("tmp", "host")) => spec.temporary_files = TemporaryFiles::Host,
            Some(("monotonic", ns)) => {
                let ns = ns.parse().unwrap_or(0);
                spec.clocks = Clocks::ContinueAt { monotonic_ns: ns, boottime_ns: ns };
            }
            _ => {
                eprintln!("unknown option {option}");
                exit(2);
            }
        }
    }
    let capsule = Capsule::create(&spec, &program)?;
    Ok(json!(capsule.record))
}

fn parse_size(text: &str) -> WindowSize {
    let (columns, rows) = text.split_once('x').unwrap_or(("80", "24"));
    WindowSize { columns: columns.parse().unwrap_or(0), rows: rows.parse().unwrap_or(0) }
}

/// A restore in miniature: the "engine" is a closure that forks. Reads a saved terminal (as
/// printed by `state`) from standard input when MODE is `terminal`.
fn toy(run: &str, id: &str, mode: &str) -> Result<Value, CapsuleError> {
    let mut spec = Spec::new(CapsuleId::new(id)?, run, Io::Log);
    if mode == "terminal" {
        let saved: SavedTerminal = serde_json::from_reader(std::io::stdin()).expect("a saved terminal");
        spec.io = Io::RestoredTerminal(saved);
    }
    spec.clocks = Clocks::ContinueAt { monotonic_ns: 5_000_000_000_000, boottime_ns: 6_000_000_000_000 };
    spec.restored_from = Some("0123456789abcdef0123456789abcdef".into());
    // A file opened before must stay readable inside, wherever its path leads there.
    let opened = std::fs::File::open("/proc/self/cmdline").expect("a file");
    let capsule = Capsule::create_for_restore(
        &spec,
        None,
        &mut |line| println!("{line}"),
        |context: &mut BuildContext<'_>| {
            context.reporter.progress("build", 1, 2);
            if mode == "fail" {
                return Err(BuildFailure(json!({ "code": "damaged", "message": "the toy is broken" })));
            }
            if mode == "panic" {
                silent_panic();
            }
            let child = fork_child(context, mode);
            if mode == "hang" {
                while !context.reporter.is_cancelled() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                std::thread::sleep(std::time::Duration::from_secs(60));
            }
            let length = std::io::Read::bytes(&opened).count();
            let background: Vec<Box<dyn Background>> = match mode {
                "background" => vec![Box::new(Countdown::new())],
                _ => Vec::new(),
            };
            Ok(Built { root_pid: child, result: json!({ "readLength": length }), background })
        },
    )?;
    Ok(json!({ "record": capsule.record, "result": capsule.result }))
}

/// Work for init's loop: steps by itself three times, then waits for its pipe (whose other end it
/// holds too, so that it becomes ready), and is done.
struct Countdown {
    left: u32,
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Countdown {
    fn new() -> Self {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        Self { left: 3, reader, writer }
    }
}

impl Background for Countdown {
    fn owned_descriptors(&self) -> Vec<RawFd> {
        vec![self.reader.as_raw_fd(), self.writer.as_raw_fd()]
    }

    fn wait_for(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.reader.as_fd()]
    }

    fn step(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        if self.left == 0 {
            rustix::io::write(&self.writer, b"x").expect("a pipe with room");
        }
        true
    }

    fn has_more(&self) -> bool {
        self.left > 0
    }
}

/// `std::process` makes the child here; it stays this process' (init's) child, and init waits for it.
#[allow(clippy::zombie_processes)]
fn fork_child(context: &BuildContext<'_>, mode: &str) -> i32 {
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "echo restored; read line; echo got $line; sleep 1000"]);
    if let (Some(terminal), "terminal") = (context.terminal, mode) {
        let end = || std::process::Stdio::from(terminal.as_fd().try_clone_to_owned().expect("a descriptor"));
        command.stdin(end()).stdout(end()).stderr(end());
    } else {
        command.args(["sh"]).stdin(std::process::Stdio::null());
        if mode != "short" {
            command.args(["x"]);
        }
        command = std::process::Command::new("/bin/sleep");
        command.arg(if mode == "short" { "0.3" } else { "1000" });
    }
    let child = command.spawn().expect("a child");
    i32::try_from(child.id()).expect("a PID")
}

fn inside(run: &str, id: &str, command: &str, rest: &[&str]) -> Result<Value, CapsuleError> {
    let id = CapsuleId::new(id)?;
    let (_, record) = registry::find(Path::new(run), &id)?;
    enter(&record, &EnterOptions::default(), &mut |line| println!("{line}"), |reporter| {
        reporter.progress("state", 0, 0);
        if command == "panic" {
            silent_panic();
        }
        let output = std::process::Command::new(command)
            .args(rest)
            .output()
            .map_err(|error| BuildFailure(json!({ "message": error.to_string() })))?;
        Ok(json!({ "pid": std::process::id(), "output": String::from_utf8_lossy(&output.stdout) }))
    })
}

/// A panic without the message that would stand in the midst of a test run's output.
fn silent_panic() -> ! {
    std::panic::resume_unwind(Box::new("asked for"))
}
