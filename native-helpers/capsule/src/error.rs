//! What can go wrong with a capsule, in words that an admin can act on.
//!
//! The enum crosses process borders (init and the guardian report to the caller over a pipe), so it
//! is serializable and keeps `errno` values instead of `io::Error`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The helper's error codes, as its callers know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    Usage,
    NoSuchCapsule,
    Busy,
    Cancelled,
    Resource,
    NotPermitted,
    Internal,
}

impl ErrorCode {
    /// The word in `{"type":"error","code":…}`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NoSuchCapsule => "no-such-capsule",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Resource => "resource",
            Self::NotPermitted => "not-permitted",
            Self::Internal => "internal",
        }
    }

    /// The helper's exit status for this code.
    pub fn exit_status(self) -> i32 {
        match self {
            Self::Usage => 2,
            Self::NoSuchCapsule => 5,
            Self::Busy | Self::Cancelled | Self::Resource => 6,
            Self::NotPermitted => 7,
            Self::Internal => 70,
        }
    }
}

/// An `errno` that survives serialization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // std appends "(os error N)", which tells an admin nothing.
        let text = std::io::Error::from_raw_os_error(self.0).to_string();
        f.write_str(text.split(" (os error").next().unwrap_or(&text))
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(error: rustix::io::Errno) -> Self {
        Self(error.raw_os_error())
    }
}

/// Why a capsule could not be made, found, entered or asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CapsuleError {
    #[error(
        "\"{id}\" is not a capsule id: use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit"
    )]
    BadId { id: String },
    #[error("no command was given")]
    NoCommand,
    #[error("the environment entry {entry:?} has no '=' or holds a NUL byte")]
    BadEnvironment { entry: String },
    #[error("a terminal of {columns}x{rows} is not possible: both must be between 1 and 1000")]
    BadSize { columns: u16, rows: u16 },
    #[error("a display of \"{size}\" is not possible: give WIDTHxHEIGHT in pixels, from 64x64 to 7680x4320")]
    BadDisplaySize { size: String },
    #[error("a private display needs a /tmp of the capsule's own: its X server's socket lies there")]
    DisplayOnHostTmp,
    #[error(
        "a private display needs TigerVNC's X server (Xtigervnc), which is not in PATH: {}",
        crate::display::REMEDY
    )]
    DisplayServerMissing,
    #[error("the private display's X server did not start: {detail}")]
    DisplayFailed { detail: String },
    #[error("there is no user \"{user}\" on this machine")]
    UnknownUser { user: String },
    #[error("the command \"{command}\" was not found{searched}")]
    CommandNotFound { command: String, searched: String },
    #[error("the command \"{command}\" can't be executed: {errno}")]
    CommandNotExecutable { command: String, errno: Errno },
    #[error("the working folder \"{folder}\" can't be entered inside the capsule: {errno}{hint}")]
    WorkingFolder { folder: String, errno: Errno, hint: String },
    #[error("capsule \"{id}\" is already running; stop it first or choose another id")]
    InUse { id: String },
    #[error("there is no running capsule \"{id}\"")]
    NotFound { id: String },
    #[error("capsule \"{id}\" ended while it was being asked")]
    Ended { id: String },
    #[error("this needs {right}, which this process does not have ({step}: {errno}){remedy}")]
    NotPermitted { step: String, right: String, errno: Errno, remedy: String },
    #[error(
        "this kernel has no time namespaces ({errno}), so the application's clocks can't go on where they stood"
    )]
    NoTimeNamespace { errno: Errno },
    #[error("the clocks can't be set to the image's time: {errno}")]
    ClockRange { errno: Errno },
    #[error(
        "the application keeps more than {limit_mib} MiB of files in its capsule's own /tmp and /dev/shm, which an image can't hold in this version; have it keep them in another folder"
    )]
    TooManyTemporaryFiles { limit_mib: usize },
    #[error("{step} \"{path}\": {errno}")]
    Path { step: String, path: String, errno: Errno },
    #[error("{step}: {errno}")]
    Step { step: String, errno: Errno },
    #[error("the capsule's init ended before its program ran{detail}")]
    InitDied { detail: String },
    #[error("the worker inside capsule \"{id}\" ended without a result{detail}")]
    WorkerDied { id: String, detail: String },
    #[error("the capsule's init answered: {message}")]
    Refused { message: String },
    #[error("cancelled; nothing was left behind")]
    Cancelled,
    /// What the caller's build or work closure failed with, passed through untouched.
    #[error("{}", build_message(.failure))]
    Build { failure: serde_json::Value },
}

fn build_message(failure: &serde_json::Value) -> String {
    failure.get("message").and_then(|m| m.as_str()).map_or_else(|| failure.to_string(), str::to_owned)
}

impl CapsuleError {
    /// The code that the helper's callers see. For [`CapsuleError::Build`] the caller looks into
    /// its own failure instead.
    pub fn code(&self) -> ErrorCode {
        use CapsuleError as E;
        match self {
            E::BadId { .. }
            | E::NoCommand
            | E::BadEnvironment { .. }
            | E::BadSize { .. }
            | E::BadDisplaySize { .. }
            | E::DisplayOnHostTmp
            | E::UnknownUser { .. }
            | E::CommandNotFound { .. }
            | E::CommandNotExecutable { .. }
            | E::WorkingFolder { .. } => ErrorCode::Usage,
            E::InUse { .. } => ErrorCode::Busy,
            E::NotFound { .. } | E::Ended { .. } => ErrorCode::NoSuchCapsule,
            E::NotPermitted { .. } => ErrorCode::NotPermitted,
            E::Cancelled => ErrorCode::Cancelled,
            E::NoTimeNamespace { .. }
            | E::ClockRange { .. }
            | E::TooManyTemporaryFiles { .. }
            | E::DisplayServerMissing
            | E::DisplayFailed { .. } => ErrorCode::Resource,
            E::Path { errno, .. } | E::Step { errno, .. } => match errno.0 {
                libc::EPERM | libc::EACCES => ErrorCode::NotPermitted,
                _ => ErrorCode::Resource,
            },
            E::InitDied { .. } | E::WorkerDied { .. } | E::Refused { .. } | E::Build { .. } => {
                ErrorCode::Internal
            }
        }
    }

    pub(crate) fn step(step: impl Into<String>, errno: impl Into<Errno>) -> Self {
        Self::Step { step: step.into(), errno: errno.into() }
    }

    pub(crate) fn path(
        step: impl Into<String>,
        path: impl AsRef<std::path::Path>,
        errno: impl Into<Errno>,
    ) -> Self {
        Self::Path {
            step: step.into(),
            path: path.as_ref().to_string_lossy().into_owned(),
            errno: errno.into(),
        }
    }
}

pub type Result<T, E = CapsuleError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_thing_and_the_reason() {
        let error = CapsuleError::path("create the folder", "/run/x", Errno(libc::EROFS));
        assert_eq!(error.to_string(), "create the folder \"/run/x\": Read-only file system");
        assert_eq!(error.code().exit_status(), 6);
        let error = CapsuleError::InUse { id: "ward".into() };
        assert_eq!(
            error.to_string(),
            "capsule \"ward\" is already running; stop it first or choose another id"
        );
        assert_eq!(error.code().as_str(), "busy");
    }

    #[test]
    fn errors_survive_the_pipe() {
        let error = CapsuleError::CommandNotExecutable { command: "x".into(), errno: Errno(13) };
        let line = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<CapsuleError>(&line).unwrap(), error);
    }
}
