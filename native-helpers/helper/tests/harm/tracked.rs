//! What the kernel has noted as unwritten is right: the program (tests/programs/tracked.c) does all kinds of things to
//! its memory between a capture and the next one that builds on it, and knows from outside what it has to find.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use torpor_image::{ChainBuf, ImageChain};

use crate::checker::compiled;
use crate::helper::call;
use crate::running::{Running, folder, until};
use crate::tree;

pub struct Tracked {
    running: Running,
    orders: u64,
    images: usize,
}

impl Tracked {
    pub fn start() -> Tracked {
        let folder = folder();
        let mut command = Command::new(compiled("tracked"));
        // The kernel would write into the memory of a program that does nothing, with the number of its processor.
        command.arg(folder.path()).env("GLIBC_TUNABLES", "glibc.pthread.rseq=0");
        let program = Tracked { running: Running::start(folder, &mut command), orders: 0, images: 0 };
        program.await_answers();
        program
    }

    fn answer(&self, pid: u32) -> Option<String> {
        let text = fs::read_to_string(self.running.path(&format!("answer-{pid}"))).ok()?;
        let (number, text) = text.trim().split_once(' ')?;
        (number.parse() == Ok(self.orders)).then(|| text.to_owned())
    }

    /// The program's own, not its tracker.
    fn processes(&self) -> Vec<u32> {
        let mut all = tree::descendants(self.running.root);
        all.insert(self.running.root);
        all.into_iter().collect()
    }

    /// What each process says to the last order.
    fn await_answers(&self) -> Vec<String> {
        until("each process answers", || {
            let members = self.processes();
            let alive = members.iter().filter(|pid| tree::state_of(**pid).is_some_and(|s| s != 'Z'));
            alive.map(|pid| self.answer(*pid)).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())
        })
    }

    fn order(&mut self, word: &str, seed: u64) -> Vec<String> {
        self.orders += 1;
        let new = self.running.path("order.new");
        fs::write(&new, format!("{} {word} {seed}", self.orders)).expect("write an order");
        fs::rename(new, self.running.path("order")).expect("give an order");
        self.await_answers()
    }

    #[track_caller]
    pub fn obeys(&mut self, word: &str, seed: u64) {
        let answers = self.order(word, seed);
        assert!(answers.iter().all(|answer| answer == "OK"), "{word} {seed}: {answers:?}");
    }

    fn image(&self, number: usize) -> PathBuf {
        self.running.path(&format!("{number}.torpor"))
    }

    /// Captures it; the image is the next one of the chain, where there is one.
    pub fn capture(&mut self, more: &[&str]) -> Value {
        let (parent, image) = (self.image(self.images), self.image(self.images + 1));
        let pid = self.running.root.to_string();
        let mut args = vec!["capture", "--pid", &pid, "--image", text(&image)];
        if self.images > 0 {
            args.extend(["--parent", text(&parent)]);
        }
        args.extend(more);
        let report = call(&args).done("capture").unwrap_or_else(|e| panic!("{e}\n{}", self.running.log()));
        self.images += 1;
        report
    }

    /// Ends it and goes on from an image.
    pub fn restore(&mut self, number: usize) {
        self.running.end();
        let image = self.image(number);
        call(&["restore", "--in-place", "--image", text(&image)])
            .done("restore")
            .unwrap_or_else(|e| panic!("{e}\n{}", self.running.log()));
        assert!(self.running.runs());
    }

    fn signal(&self, signal: Signal) {
        for pid in self.processes() {
            kill_process(Pid::from_raw(pid as i32).expect("a PID"), signal).expect("the program is there");
        }
    }

    /// Ends whoever notes its writes, and waits until it is gone.
    pub fn lose_tracker(&self) {
        let tracker = tracker(self.running.root).expect("a tracker");
        kill_process(Pid::from_raw(tracker as i32).expect("a PID"), Signal::KILL)
            .expect("the tracker is there");
        self.await_no_tracker();
    }

    fn await_no_tracker(&self) {
        until("the tracker is gone", || tracker(self.running.root).is_none().then_some(()));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// The process that listens for the helpers of this tree: its descriptor has the inode of the name.
pub fn tracker(root: u32) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/unix").expect("the table of sockets");
    let ending = format!(".{root}");
    let mine = |line: &&str| line.contains("@torpor-tracker.") && line.ends_with(&ending);
    let sockets: Vec<String> = table
        .lines()
        .filter(mine)
        .filter_map(|line| Some(format!("socket:[{}]", line.split_ascii_whitespace().nth(6)?)))
        .collect();
    let has_one = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
    };
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(has_one)
}

#[track_caller]
fn pages(report: &Value, how: &str) -> u64 {
    report["parentPages"][how].as_u64().unwrap_or_else(|| panic!("no {how} pages: {report}"))
}

/// All pages of all spaces that are not zeros.
fn memory(image: &Path) -> BTreeMap<(u32, u64), Vec<u8>> {
    let folder = image.parent().expect("a folder");
    let chain = ImageChain::open(File::open(image).expect("the image"), |id: torpor_image::ImageId, _| {
        for entry in
            fs::read_dir(folder)?.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "torpor"))
        {
            let file = File::open(entry.path())?;
            if torpor_image::ImageReader::open(file.try_clone()?)
                .is_ok_and(|found| found.info().image_id == id)
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    })
    .expect("a chain");
    let mut memory = BTreeMap::new();
    let mut buf = ChainBuf::default();
    for (number, entry) in chain.youngest().blocks().iter().enumerate() {
        let stored = chain.read_block(number, &mut buf).expect("a block");
        for page in (0..64).map(|n| entry.base_page + n) {
            if let Some(slot) = entry.slot_of(page) {
                let bytes = &stored[slot * 4096..][..4096];
                if bytes.iter().any(|byte| *byte != 0) {
                    memory.insert((entry.space, page), bytes.to_vec());
                }
            }
        }
    }
    memory
}

/// Everything that can be done, once; and the check notices when it is not undone.
pub fn judge_everything() {
    let mut program = Tracked::start();
    assert_eq!(program.capture(&["--track"])["tracked"], true);
    program.obeys("every", 11);
    program.obeys("fork", 0);
    program.obeys("every", 12);
    let report = program.capture(&[]);
    assert!(pages(&report, "tracked") > 100, "{report}");
    program.obeys("check", 0);
    program.obeys("every", 13);
    let report = program.capture(&[]);
    assert!(pages(&report, "tracked") > 100, "{report}");
    program.obeys("check", 0);
    program.restore(3);
    program.obeys("check", 0);
    program.await_no_tracker();
    // The check would notice.
    program.restore(2);
    let answers = program.order("check", 0);
    assert!(answers.iter().all(|answer| answer.starts_with("FAIL an area is")), "{answers:?}");
}

/// A chain has the very bytes of a complete image, round after round.
pub fn judge_at_random(rounds: usize) {
    let mut program = Tracked::start();
    program.capture(&["--track"]);
    let seed = std::env::var("TORPOR_SEED").map_or(1, |text| text.parse().expect("a number"));
    let mut tracked = 0;
    for round in 1..=rounds {
        let when = format!("round {round} of seed {seed}");
        if round == 2 {
            program.obeys("fork", 0);
        }
        program.obeys("random", seed * 1000 + round as u64);
        program.signal(Signal::STOP);
        let report = program.capture(&[]);
        assert_eq!(report["tracked"], true, "{when}: {report}");
        // The longest chain is followed by a complete image.
        if report["parentId"].is_string() {
            tracked += pages(&report, "tracked");
        }
        let whole = program.running.path("whole.torpor");
        let pid = program.running.root.to_string();
        call(&["capture", "--pid", &pid, "--image", text(&whole), "--eager"])
            .done("capture")
            .expect("captured");
        program.signal(Signal::CONT);
        let (chain, whole_memory) = (memory(&program.image(program.images)), memory(&whole));
        let differing: Vec<_> = whole_memory
            .iter()
            .filter(|(page, bytes)| chain.get(page) != Some(bytes))
            .map(|(page, _)| page)
            .chain(chain.keys().filter(|page| !whole_memory.contains_key(page)))
            .collect();
        assert!(whole_memory.len() > 300 && differing.is_empty(), "{when}: {differing:x?}");
        fs::remove_file(whole).expect("remove the image");
        if round % 5 == 0 {
            program.restore(program.images);
            // Its image is of a stopped program.
            program.signal(Signal::CONT);
            program.obeys("check", 0);
            let report = program.capture(&[]);
            if report["parentId"].is_string() {
                assert!(
                    pages(&report, "tracked") == 0 && pages(&report, "compared") > 300,
                    "{when}: {report}"
                );
            }
        }
    }
    assert!(tracked > 200 * rounds as u64, "{tracked} pages in all");
}

/// Whatever becomes of the tracker, captures stay right, and it leaves nothing.
pub fn judge_losses() {
    let mut program = Tracked::start();
    program.capture(&["--track"]);
    program.obeys("random", 5);
    program.lose_tracker();
    program.obeys("random", 6);
    let report = program.capture(&[]);
    assert!(pages(&report, "tracked") == 0 && report["tracked"] == true, "{report}");
    assert!(
        report["notes"][0].as_str().is_some_and(|note| note.starts_with("all memory was compared")),
        "{report}"
    );
    program.obeys("random", 7);
    // One that is not asked for the other's sake changes nothing.
    let aside = program.running.path("aside.torpor");
    let pid = program.running.root.to_string();
    call(&["capture", "--pid", &pid, "--image", text(&aside)]).done("capture").expect("captured");
    call(&["inspect", "--pid", &pid]).done("inspect").expect("inspected");
    program.obeys("random", 8);
    // Nothing is known since the image before the last.
    program.images -= 1;
    fs::remove_file(program.image(2)).expect("remove the image");
    let report = program.capture(&[]);
    assert_eq!(pages(&report, "tracked"), 0, "{report}");
    program.obeys("random", 9);
    let report = program.capture(&["--stop"]);
    assert!(pages(&report, "tracked") > 100 && report["tracked"] == false, "{report}");
    program.await_no_tracker();
    program.restore(program.images);
    program.obeys("check", 0);
}
