//! Whether an image holds one instant: the program (tests/programs/instants.c) writes all of its memory all the time
//! in a pattern that tells, is captured while it does, and goes on from each image.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::checker::compiled;
use crate::helper::{call, call_with};
use crate::running::{Running, folder, until};

/// Turns of its processes between a restore and the first that it can tell of.
const UNTOLD: u64 = 8;

struct Instants(Running);

impl Instants {
    fn number(&self, file: &str) -> Option<u64> {
        let bytes = fs::read(self.0.path(file)).ok()?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// The turn that the program has told last.
    fn turn(&self) -> u64 {
        self.number("turn").unwrap_or(0)
    }

    fn result(&self) -> Option<String> {
        fs::read_to_string(self.0.path("result")).ok()
    }

    /// It goes on until every process has checked all that it has, several times.
    fn goes_on(&self, when: &str) {
        let aim = self.turn() + 64;
        until(&format!("{when}: the program goes on"), || {
            if let Some(result) = self.result() {
                panic!("{when}: {result}");
            }
            (self.turn() >= aim).then_some(())
        });
    }
}

impl Running {
    /// Captures the program while it runs on, and has its writes noted.
    fn track(&self, image: &Path) {
        let image = image.to_str().expect("a path in UTF-8");
        let report = call(&["capture", "--pid", &self.root.to_string(), "--image", image, "--track"]);
        let report = report.done("capture").unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        assert_eq!(report["tracked"], true, "{report}");
    }

    /// Captures the program while it runs on, ends it by force, and restores it. The image stays, to be the parent
    /// of the next one; `between` is called while nothing of the program runs.
    pub fn undo(
        &mut self,
        image: &Path,
        parent: Option<&Path>,
        lazy: bool,
        between: impl FnOnce(),
    ) -> serde_json::Value {
        let word = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let mut args =
            ["capture", "--pid", &self.root.to_string(), "--image", &word(image)].map(str::to_owned).to_vec();
        args.extend(parent.into_iter().flat_map(|parent| ["--parent".to_owned(), word(parent)]));
        let report = call(&args).done("capture").unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        self.end();
        between();
        let from = if lazy { "0" } else { "1000000000" };
        let args = ["restore", "--image", &word(image), "--in-place"];
        if let Err(error) = call_with(&args, &[("TORPOR_LAZY_FROM_BYTES", from)]).done("restore") {
            panic!("{error}\n{}", self.log());
        }
        assert!(self.runs(), "the restored program is gone\n{}", self.log());
        report
    }
}

/// Takes it through as many captures, every second one with the one before as its parent, and of three restores one
/// with memory that is paged in.
pub fn judge(rounds: usize) {
    let folder = folder();
    let mut command = Command::new(compiled("instants"));
    command.arg(folder.path());
    let mut program = Instants(Running::start(folder, &mut command));
    program.goes_on("at first");
    for round in 0..rounds {
        let when = format!("capture {round}");
        let image = program.0.path(&format!("{round}.torpor"));
        let before = program.0.path(&format!("{}.torpor", round.wrapping_sub(1)));
        let parent = (round % 2 == 1).then_some(before.as_path());
        // What it writes from here on is noted: the image that builds on this one needs no copy of the tree.
        let tracked = round % 4 == 1;
        if tracked {
            fs::remove_file(&before).expect("remove an image of an earlier life");
            program.0.track(&before);
        }
        let (earliest, first, turn) = (program.turn(), program.0.path("first"), program.0.path("turn"));
        let mut latest = 0;
        let report = program.0.undo(&image, parent, round % 3 == 2, || {
            latest = fs::read(&turn).ok().and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes);
            let _ = fs::remove_file(&first);
        });
        assert_eq!(report["mode"], "copy-on-write", "{when}: {report}");
        assert_eq!(report["parentId"].is_string(), parent.is_some(), "{when}: {report}");
        let laps = report["phases"].as_array().expect("its phases");
        assert_eq!(laps.iter().any(|lap| lap["name"] == "copies"), tracked, "{when}: {report}");
        let woken = until(&format!("{when}: the program tells its turn"), || {
            if let Some(result) = program.result() {
                panic!("{when}: {result}");
            }
            program.number("first")
        });
        assert!(
            (earliest..=latest + UNTOLD).contains(&woken),
            "{when}: woken in turn {woken}, but captured between {earliest} and {latest}"
        );
        program.goes_on(&when);
        if round % 2 == 1 {
            fs::remove_file(&before).expect("remove the parent");
            fs::remove_file(&image).expect("remove the image");
        }
    }
    let root = rustix::process::Pid::from_raw(program.0.root as i32).expect("a PID");
    rustix::process::kill_process(root, rustix::process::Signal::TERM).expect("the program is there");
    assert_eq!(until("the program's verdict", || program.result()), "PASS");
}
