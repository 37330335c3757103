//! The helper's voice: one JSON object per line on standard output, the last of them the result.
//!
//! Nobody may be listening any more: an operation that has begun is finished all the same, and a closed
//! pipe is not an error.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::Failure;

/// Progress within a phase is told at most this often.
const INTERVAL: Duration = Duration::from_millis(100);

/// Writes lines, and thins out progress.
pub struct Output<W> {
    out: W,
    closed: bool,
    last_phase: String,
    last_told: Option<Instant>,
}

#[derive(Serialize)]
struct Tagged<'a, T> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'static str>,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step<'a> {
    phase: &'a str,
    done_bytes: u64,
    total_bytes: u64,
}

impl<W: Write> Output<W> {
    pub fn new(out: W) -> Output<W> {
        Output { out, closed: false, last_phase: String::new(), last_told: None }
    }

    /// The last line of a command that has done what it was asked for.
    pub fn result(&mut self, command: &'static str, body: &impl Serialize) {
        self.line(&Tagged { r#type: "result", command: Some(command), body });
    }

    /// The last line of one that has not.
    pub fn error(&mut self, failure: &Failure) {
        self.line(&Tagged { r#type: "error", command: None, body: failure });
    }

    /// Each new phase, its end, and now and then what is between.
    pub fn progress(&mut self, phase: &str, done_bytes: u64, total_bytes: u64) {
        let now = Instant::now();
        let due = self.last_phase != phase
            || done_bytes == total_bytes
            || self.last_told.is_none_or(|told| now.duration_since(told) >= INTERVAL);
        if due {
            self.last_phase.replace_range(.., phase);
            self.last_told = Some(now);
            self.line(&Tagged {
                r#type: "progress",
                command: None,
                body: &Step { phase, done_bytes, total_bytes },
            });
        }
    }

    fn line(&mut self, line: &impl Serialize) {
        if self.closed {
            return;
        }
        // One write per line, so that a reader never sees half of one for long.
        let written = serde_json::to_vec(line).map_err(std::io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            self.out.write_all(&text)?;
            self.out.flush()
        });
        if let Err(error) = written {
            tracing::debug!(%error, "nobody reads the output any more");
            self.closed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ErrorCode;

    fn lines(output: Output<Vec<u8>>) -> Vec<serde_json::Value> {
        String::from_utf8(output.out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    #[test]
    fn a_phase_is_told_at_its_start_and_end_but_not_at_every_step() {
        let mut output = Output::new(Vec::new());
        output.progress("freeze", 0, 0);
        for done in 0..=1000 {
            output.progress("memory", done, 1000);
        }
        let told = lines(output);
        assert_eq!(
            told[0],
            serde_json::json!({"type": "progress", "phase": "freeze", "doneBytes": 0, "totalBytes": 0})
        );
        assert_eq!(told[1]["phase"], "memory");
        assert_eq!(told.last().unwrap()["doneBytes"], 1000);
        assert!(told.len() < 20, "{}", told.len());
    }

    #[test]
    fn result_and_error_have_the_form_of_the_contract() {
        let mut output = Output::new(Vec::new());
        output.result("verify", &serde_json::json!({"ok": true}));
        output.error(&Failure::new(ErrorCode::NoRoom, "full"));
        let told = lines(output);
        assert_eq!(told[0], serde_json::json!({"type": "result", "command": "verify", "ok": true}));
        assert_eq!(
            told[1],
            serde_json::json!({"type": "error", "code": "no-room", "message": "full", "blockers": []})
        );
    }

    #[test]
    fn a_closed_pipe_is_no_panic() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut output = Output::new(writer);
        output.progress("freeze", 0, 0);
        output.result("check", &serde_json::json!({}));
        assert!(output.closed);
    }
}
