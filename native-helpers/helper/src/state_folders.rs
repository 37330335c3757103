//! Where Torpor keeps what it knows while the machine runs.

use std::path::PathBuf;

/// The runtime folder: `$TORPOR_HOME/run`, or `/run/torpor`.
pub fn run() -> PathBuf {
    match std::env::var_os("TORPOR_HOME") {
        Some(home) if !home.is_empty() => PathBuf::from(home).join("run"),
        _ => PathBuf::from("/run/torpor"),
    }
}
