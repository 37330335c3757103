//! What stands in the way of a capture, in words that an admin can act on.

use serde::Serialize;

/// One thing that can't be captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// A stable word for programs: `device`, `socket-outside`, `io-uring` …
    pub code: &'static str,
    pub pid: i32,
    pub comm: String,
    /// Which descriptor, mapping or attribute it is.
    pub subject: String,
    /// Why it can't be captured.
    pub message: String,
    /// What the admin can do.
    pub remedy: String,
}

impl Blocker {
    /// What stands in the way of a process as a whole.
    pub fn of_process(pid: i32, comm: &str, obstacle: Obstacle) -> Blocker {
        let (code, message, remedy) = match obstacle {
            Obstacle::Unsupported { code, message, remedy } => (code, message, remedy),
            Obstacle::Io(e) => ("process", e.to_string(), String::new()),
        };
        Blocker { code, pid, comm: comm.to_owned(), subject: "the process".into(), message, remedy }
    }
}

/// Why a piece of state could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// It is of a kind that can't be captured: becomes a [`Blocker`].
    #[error("{message}")]
    Unsupported { code: &'static str, message: String, remedy: String },
    /// The system refused something that should have worked.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Obstacle {
    pub fn unsupported(
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Obstacle {
        Obstacle::Unsupported { code, message: message.into(), remedy: remedy.into() }
    }
}
