//! The program of this suite (tests/lazy/changing.c): built, started, and what it says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::program::eventually;

/// Builds the program, once.
pub fn binary() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lazy/changing.c");
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("changing");
        let done = Command::new("cc")
            .args(["-std=gnu11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&binary, &source])
            .status()
            .expect("run the C compiler");
        assert!(done.success(), "changing.c does not compile");
        binary
    };
    BUILT.get_or_init(build).clone()
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
