//! Calls of torpor-helper, with a time limit.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);

pub fn binary() -> PathBuf {
    std::env::var_os("TORPOR_HELPER")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_torpor-helper")), PathBuf::from)
}

/// How a call ended.
#[derive(Debug)]
pub struct Answer {
    /// `None` when a signal ended it.
    pub status: Option<i32>,
    pub lines: Vec<Value>,
    pub log: String,
}

impl Answer {
    /// The last line.
    pub fn last(&self) -> &Value {
        self.lines.last().unwrap_or(&Value::Null)
    }

    #[track_caller]
    pub fn result(self) -> Value {
        assert_eq!((self.status, &self.last()["type"]), (Some(0), &"result".into()), "{self:?}");
        self.last().clone()
    }

    /// The error line, after checking status and code.
    #[track_caller]
    pub fn error(self, status: i32, code: &str) -> Value {
        let last = self.last();
        assert_eq!(last["type"], "error", "{self:?}");
        assert_eq!((self.status, &last["code"]), (Some(status), &code.into()), "{self:?}");
        assert!(last["message"].as_str().is_some_and(|m| !m.is_empty()), "{self:?}");
        self.last().clone()
    }
}

/// A call that is under way.
pub struct Call {
    child: Child,
    lines: Receiver<Value>,
    log: Receiver<String>,
    seen: Vec<Value>,
}

impl Call {
    pub fn start(home: Option<&Path>, args: &[impl AsRef<OsStr>]) -> Call {
        let mut command = Command::new(binary());
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(home) = home {
            command.env("TORPOR_HOME", home);
        }
        let mut child = command.spawn().expect("start torpor-helper");
        let (tell, lines) = channel();
        let stdout = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"));
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let (tell, log) = channel();
        let mut stderr = child.stderr.take().expect("a pipe");
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            let _ = tell.send(text);
        });
        Call { child, lines, log, seen: Vec::new() }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for a line that `wanted` accepts; false when the call ended without one.
    pub fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> bool {
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            let found = wanted(&line);
            self.seen.push(line);
            if found {
                return true;
            }
        }
        false
    }

    /// Waits for its end.
    pub fn end(mut self) -> Answer {
        self.wait_for(|_| false);
        let status = self.child.wait().expect("wait for torpor-helper").code();
        let log = self.log.recv_timeout(LIMIT).unwrap_or_default();
        Answer { status, lines: std::mem::take(&mut self.seen), log }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Calls the helper and waits for its end.
pub fn call(args: &[impl AsRef<OsStr>]) -> Answer {
    Call::start(None, args).end()
}
