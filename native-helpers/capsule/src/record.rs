//! The two files that a capsule leaves in its runtime folder: `capsule.json` and `exit.json`.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `capsule.json`: written once the program runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapsuleRecord {
    pub id: String,
    /// PIDs as the caller's PID namespace sees them.
    pub init_pid: i32,
    pub root_pid: i32,
    /// The root's PID inside the capsule.
    pub root_pid_inside: i32,
    /// Field 22 of init's `/proc/PID/stat`: with `init_pid` and `boot_id` it names init for good.
    pub init_start_ticks: u64,
    pub boot_id: String,
    pub started_at: String,
    pub command: Vec<String>,
    pub tty: bool,
    pub display: Option<String>,
    pub restored_from: Option<String>,
    /// The cgroup v2 folder that holds the application and not init; for freezing.
    pub cgroup: Option<PathBuf>,
    /// Where the application sees `ctl/` (TORPOR_SOCKET lies in it).
    pub control_folder: Option<PathBuf>,
    /// What this machine could not give, in words.
    pub notes: Vec<String>,
}

/// `exit.json`: how the application's root process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitRecord {
    pub ended_at: String,
    pub exit_status: Option<i32>,
    pub signal: Option<i32>,
    pub signal_name: Option<String>,
    /// Why, when it was ended on purpose (for instance "hibernated").
    pub reason: Option<String>,
}

/// `SIGSEGV` for 11, and so on.
pub fn signal_name(signal: i32) -> Option<String> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let index = usize::try_from(signal).ok()?.checked_sub(1)?;
    match NAMES.get(index) {
        Some(name) => Some(format!("SIG{name}")),
        None if (34..=64).contains(&signal) => Some(format!("SIGRTMIN+{}", signal - 34)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(libc::SIGSEGV).as_deref(), Some("SIGSEGV"));
        assert_eq!(signal_name(libc::SIGSYS).as_deref(), Some("SIGSYS"));
        assert_eq!(signal_name(libc::SIGKILL).as_deref(), Some("SIGKILL"));
        assert_eq!(signal_name(36).as_deref(), Some("SIGRTMIN+2"));
        assert_eq!(signal_name(0), None);
        assert_eq!(signal_name(99), None);
    }
}
