//! What a caller asks for: a capsule's id, folder, terminal, clocks, and the program to run in it.

use crate::display::DisplaySize;
use crate::error::{CapsuleError, Result};
use crate::pty::WindowSize;
use crate::terminal::SavedTerminal;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest id: it becomes a folder, a cgroup and a part of image names.
const ID_MAX: usize = 64;
/// Largest terminal side; keeps the screen's memory bounded.
pub const TERMINAL_SIDE_MAX: u16 = 1000;

/// A validated capsule id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CapsuleId(String);

impl CapsuleId {
    /// # Errors
    /// When `id` is not `[a-z0-9][a-z0-9._-]{0,63}`.
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        let first = id.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if first && rest && id.len() <= ID_MAX { Ok(Self(id)) } else { Err(CapsuleError::BadId { id }) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CapsuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CapsuleId {
    type Error = CapsuleError;

    fn try_from(id: String) -> Result<Self> {
        Self::new(id)
    }
}

impl From<CapsuleId> for String {
    fn from(id: CapsuleId) -> Self {
        id.0
    }
}

/// What the capsule's monotonic and boot-time clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// What the caller sees: a fresh application.
    AsCaller,
    /// They go on at these values (nanoseconds): a restored application.
    ContinueAt { monotonic_ns: i64, boottime_ns: i64 },
}

/// Where the capsule's `/tmp` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TemporaryFiles {
    /// A tmpfs of its own, empty at start: names in it are always free.
    #[default]
    Private,
    /// The host's `/tmp`.
    Host,
}

/// What the application's standard descriptors are.
#[derive(Clone, Debug, PartialEq)]
pub enum Io {
    /// A new pseudo-terminal, always `/dev/pts/0` inside.
    Terminal(WindowSize),
    /// A pseudo-terminal that shows what it showed when the image was taken.
    RestoredTerminal(SavedTerminal),
    /// No terminal: input from `/dev/null`, output to `output.log`.
    Log,
    /// A private display of that size; input from `/dev/null`, output to `output.log`.
    Display(DisplaySize),
}

impl Io {
    /// The terminal's size, when there is a terminal.
    pub fn size(&self) -> Option<WindowSize> {
        match self {
            Self::Terminal(size) => Some(*size),
            Self::RestoredTerminal(saved) => Some(saved.size),
            Self::Log | Self::Display(_) => None,
        }
    }
}

/// A capsule to be created.
#[derive(Clone, Debug)]
pub struct Spec {
    pub id: CapsuleId,
    /// The agent's runtime folder (`/run/torpor` or `$TORPOR_HOME/run`).
    pub run_folder: PathBuf,
    pub io: Io,
    pub clocks: Clocks,
    pub temporary_files: TemporaryFiles,
    /// What `capsule.json` says about the command and the image it came from.
    pub command: Vec<String>,
    pub restored_from: Option<String>,
}

impl Spec {
    pub fn new(id: CapsuleId, run_folder: impl Into<PathBuf>, io: Io) -> Self {
        Self {
            id,
            run_folder: run_folder.into(),
            io,
            clocks: Clocks::AsCaller,
            temporary_files: TemporaryFiles::default(),
            command: Vec::new(),
            restored_from: None,
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if matches!(self.io, Io::Display(_)) && self.temporary_files == TemporaryFiles::Host {
            return Err(CapsuleError::DisplayOnHostTmp);
        }
        if let Some(WindowSize { columns, rows }) = self.io.size() {
            let fits = |side: u16| (1..=TERMINAL_SIDE_MAX).contains(&side);
            if !fits(columns) || !fits(rows) {
                return Err(CapsuleError::BadSize { columns, rows });
            }
        }
        Ok(())
    }
}

/// `NAME=VALUE` pairs given by the caller; they win over the capsule's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// # Errors
    /// When the entry has no `=`, an empty name, or a NUL byte.
    pub fn add(&mut self, entry: &std::ffi::OsStr) -> Result<()> {
        let bytes = entry.as_bytes();
        let bad = || CapsuleError::BadEnvironment { entry: entry.to_string_lossy().into_owned() };
        let at = bytes.iter().position(|b| *b == b'=').filter(|at| *at > 0).ok_or_else(bad)?;
        if bytes.contains(&0) {
            return Err(bad());
        }
        self.set(std::ffi::OsStr::from_bytes(&bytes[..at]), std::ffi::OsStr::from_bytes(&bytes[at + 1..]));
        Ok(())
    }

    /// Sets one variable, replacing an earlier value.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let name = name.into();
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value.into()));
    }

    pub fn get(&self, name: &str) -> Option<&std::ffi::OsStr> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_os_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = &(OsString, OsString)> {
        self.0.iter()
    }
}

/// The program that becomes the application's root process.
#[derive(Clone, Debug)]
pub struct Program {
    /// Argument vector; the first is looked up in the application's `PATH`. No shell.
    pub argv: Vec<OsString>,
    pub env: Environment,
    /// Working folder; the user's home when not given.
    pub cwd: Option<PathBuf>,
    /// `name` or `uid[:gid]`; the caller's own user when not given.
    pub user: Option<String>,
    /// Rings of io_uring can't be captured: without this the program is told that there are none, and uses what
    /// it would on an older kernel.
    pub allow_io_uring: bool,
}

impl Program {
    pub fn new(argv: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Environment::default(),
            cwd: None,
            user: None,
            allow_io_uring: false,
        }
    }

    #[must_use]
    pub fn in_folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.cwd = Some(folder.as_ref().to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn ids_are_safe_as_file_names() {
        for good in ["a", "0", "ward-board", "a.b_c-1", &"x".repeat(64)] {
            assert!(CapsuleId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "_a", "A", "a/b", "a b", "ä", "a\0", &"x".repeat(65)] {
            assert!(CapsuleId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_later_variable_replaces_an_earlier_one() {
        let mut env = Environment::default();
        env.add(OsStr::new("A=1")).unwrap();
        env.add(OsStr::new("A=2=3")).unwrap();
        assert_eq!(env.get("A"), Some(OsStr::new("2=3")));
        assert_eq!(env.iter().count(), 1);
        assert!(env.add(OsStr::new("=x")).is_err());
        assert!(env.add(OsStr::new("x")).is_err());
    }

    #[test]
    fn a_display_needs_the_capsules_own_tmp() {
        let size = "1280x800".parse().unwrap();
        let mut spec = Spec::new(CapsuleId::new("a").unwrap(), "/run/x", Io::Display(size));
        assert_eq!(spec.validate(), Ok(()));
        spec.temporary_files = TemporaryFiles::Host;
        assert_eq!(spec.validate(), Err(CapsuleError::DisplayOnHostTmp));
    }
}
