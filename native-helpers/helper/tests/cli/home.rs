//! Torpor's folders for one test.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::call::{Answer, Call};
use crate::program::Store;

/// A TORPOR_HOME; what still runs in it is ended with it.
pub struct Home(Store);

impl Home {
    pub fn new() -> Home {
        Home(Store::new())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn call(&self, args: &[&str]) -> Answer {
        Call::start(Some(self.path()), args).end()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.file(name)
    }

    /// A file in the runtime folder of a capsule.
    pub fn json(&self, capsule: &str, name: &str) -> Option<Value> {
        let path = self.path().join("run/capsules").join(capsule).join(name);
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let capsules = std::fs::read_dir(self.path().join("run/capsules"));
        for entry in capsules.into_iter().flatten().flatten() {
            let record = std::fs::read(entry.path().join("capsule.json")).unwrap_or_default();
            let record: Value = serde_json::from_slice(&record).unwrap_or_default();
            if let Some(pid) = record["initPid"].as_i64()
                && !entry.path().join("exit.json").exists()
            {
                let _ = std::process::Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status();
            }
        }
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}
