//! The programs of this suite (tests/lazy): built, started, and what they say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::program::eventually;

/// Builds one of the programs, once.
pub fn compiled(name: &'static str) -> PathBuf {
    static BUILT: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !built.contains(&name) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/lazy/{name}.c"));
        let done = Command::new("cc")
            .args(["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
            .args([&binary, &source])
            .status()
            .expect("run the C compiler");
        assert!(done.success(), "{name}.c does not compile");
        built.push(name);
    }
    binary
}

/// The program of most tests.
pub fn binary() -> PathBuf {
    compiled("changing")
}

/// The folder through which the program is told and tells. Not in /tmp, which a capsule has of its own.
pub struct Load(tempfile::TempDir);

impl Load {
    pub fn new() -> Load {
        Load(tempfile::tempdir_in("/var/tmp").expect("a folder"))
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn tell(&self, name: &str) {
        std::fs::write(self.file(name), "").expect("tell the program");
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    #[track_caller]
    pub fn await_ready(&self) {
        eventually("the program is ready", || self.file("ready").exists());
    }

    /// All of its memory was right, whatever it did to it.
    #[track_caller]
    pub fn assert_passes(&self) {
        eventually("the program has a result", || self.said("result").ends_with('\n'));
        assert_eq!(self.said("result"), "PASS\n");
    }

    /// What is left of its memory is right still.
    #[track_caller]
    pub fn assert_still_right(&self) {
        let before = self.said("checked").len();
        self.tell("again");
        eventually("the program has checked once more", || self.said("checked").len() > before);
        assert_eq!(self.said("result"), "PASS\n");
    }

    /// It was given no wrong byte before it ended.
    #[track_caller]
    pub fn assert_saw_nothing_wrong(&self) {
        let said = self.said("result");
        assert!(said.is_empty() || said == "PASS\n", "{said}");
    }
}
