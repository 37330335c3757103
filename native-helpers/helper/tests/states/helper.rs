//! Calls of torpor-helper, with a time limit, as any other program would make them.

use std::ffi::OsStr;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(90);

/// How a call ended: its exit status and the last JSON line it wrote.
pub struct Answer {
    pub status: Option<i32>,
    pub last: Value,
    pub log: String,
}

impl Answer {
    /// Ok when the call succeeded, otherwise what it said.
    pub fn done(self, what: &str) -> Result<Value, String> {
        if self.status == Some(0) && self.last["type"] == "result" {
            return Ok(self.last);
        }
        Err(format!("{what}: {}", self.describe()))
    }

    pub fn describe(&self) -> String {
        let status = self.status.map_or("killed".to_owned(), |status| format!("exit {status}"));
        let log: Vec<&str> = self.log.lines().rev().take(12).collect();
        let log: Vec<&str> = log.into_iter().rev().collect();
        format!("{status}, {}\n{}", self.last, log.join("\n"))
    }
}

/// The helper that is judged.
pub fn binary() -> PathBuf {
    std::env::var_os("TORPOR_HELPER")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_torpor-helper")), PathBuf::from)
}

/// Runs the helper with these arguments.
pub fn call<S: AsRef<OsStr>>(args: &[S]) -> Answer {
    call_with(args, &[])
}

/// The same with variables of the environment.
pub fn call_with<S: AsRef<OsStr>>(args: &[S], variables: &[(&str, &str)]) -> Answer {
    let mut child = Command::new(binary())
        .args(args)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start torpor-helper");
    let read = |mut pipe: Box<dyn Read + Send>| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        receiver
    };
    let stdout = read(Box::new(child.stdout.take().expect("a pipe")));
    let stderr = read(Box::new(child.stderr.take().expect("a pipe")));
    let started = Instant::now();
    let status = loop {
        let ended =
            child.try_wait().unwrap_or_else(|e| panic!("waiting for torpor-helper {}: {e}", child.id()));
        match ended {
            Some(status) => break status.code(),
            None if started.elapsed() > LIMIT => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    // A restored program must not hold the helper's pipes open: then the end never comes.
    let patience = Duration::from_secs(5);
    let never =
        |what: &str| format!("torpor-helper {} has ended ({status:?}), but its {what} has not", child.id());
    let stdout = stdout.recv_timeout(patience).unwrap_or_else(|_| panic!("{}", never("output")));
    let log = stderr.recv_timeout(patience).unwrap_or_else(|_| panic!("{}", never("log")));
    let last = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
    Answer { status, last: last.unwrap_or(Value::Null), log }
}
