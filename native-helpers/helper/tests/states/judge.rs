//! The ways a state program is taken through capture and restore, and what must hold in each.

use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use crate::helper::{call, call_with};
use crate::program::{Program, Verdict};
use crate::tree;

/// One way through capture and restore.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// No capture at all: the program itself is tried.
    Dry,
    /// Captured and ended, restored, goes on. What every program is judged by.
    Stop,
    /// Captured twice in a row, and the original goes on.
    Leave,
    /// Captured and left running, captured again and ended; the second image goes on.
    Twice,
    /// Captured, restored, captured again, restored again.
    Again,
    /// Two lives from one image, one after the other.
    Revive,
    /// Captured and left running, captured again as what has changed and ended; the pair goes on.
    Increment,
    /// As Stop, with everything written while frozen and read before resuming.
    Eager,
    /// As Stop, with memory paged in behind the program, however little there is.
    Lazy,
    /// As Again, each time as if under a kernel with another vDSO; the second one's lacks every function.
    OtherVdso,
}

const ALL: [Mode; 8] = [
    Mode::Stop,
    Mode::Leave,
    Mode::Twice,
    Mode::Again,
    Mode::Revive,
    Mode::Increment,
    Mode::Eager,
    Mode::Lazy,
];

/// What a program is started with and what is looked at.
#[derive(Clone, Copy)]
pub struct Case {
    pub program: &'static str,
    pub args: &'static [&'static str],
    /// Whether the picture of the tree from outside must be the same (not so for a program that
    /// never stands still).
    pub still: bool,
}

/// Two programs at once, whatever the number of test threads: the machine that runs this is small.
struct Places {
    free: Mutex<u32>,
    changed: Condvar,
}

static PLACES: Places = Places { free: Mutex::new(2), changed: Condvar::new() };

struct Place;

impl Place {
    fn take() -> Self {
        let free = PLACES.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            PLACES.changed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        PLACES.changed.notify_one();
    }
}

/// The machine's pool of huge pages. One program at a time that has to do with it, and afterwards it has the size
/// again that it had: not the program itself puts it back, since another life of it may be to come.
struct HugePages {
    before: String,
    _alone: MutexGuard<'static, ()>,
}

impl HugePages {
    const POOL: &str = "/proc/sys/vm/nr_hugepages";
    /// The programs use up to three; a restore may need them while the captured ones are not free yet.
    const WANTED: u32 = 8;

    fn kept_for(program: &str) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        if !program.starts_with("mem_huge") {
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::fs::read_to_string(Self::POOL).ok()?;
        if before.trim().parse::<u32>().is_ok_and(|pages| pages < Self::WANTED) {
            // Without the right to, the program says what it misses.
            let _ = std::fs::write(Self::POOL, Self::WANTED.to_string());
        }
        Some(Self { before, _alone: alone })
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let now = std::fs::read_to_string(Self::POOL).unwrap_or_default();
        if now != self.before {
            // Pages still in use go when they are free.
            let _ = std::fs::write(Self::POOL, &self.before);
        }
    }
}

/// What a program sees of control groups changes when another one makes a hierarchy: one at a time.
fn alone_with_cgroups(program: &str) -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    program.contains("cgroup").then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

fn prepare() -> Place {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Restored trees and orphans then come to this process, which reaps them at once; PID 1 may
        // take seconds, and a PID of a zombie is a PID taken.
        let me = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(me)).expect("become a subreaper");
        // A program must not inherit what this process happens to have been started with.
        // SAFETY: it closes nothing, it only marks descriptors to be closed by an exec.
        unsafe { libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
    });
    Place::take()
}

/// Judges a program in the main mode, or in those that TORPOR_STATES asks for: `dry`, `full`, or
/// the name of a mode.
pub fn judge(case: Case) {
    let asked = std::env::var("TORPOR_STATES").unwrap_or_default();
    let modes: Vec<Mode> = match asked.as_str() {
        "" => vec![Mode::Stop],
        "dry" => vec![Mode::Dry],
        "full" => ALL.to_vec(),
        name => ALL.into_iter().filter(|mode| format!("{mode:?}").eq_ignore_ascii_case(name)).collect(),
    };
    assert!(!modes.is_empty(), "TORPOR_STATES={asked}: no such mode");
    for mode in modes {
        judge_in(case, mode);
    }
}

/// Judges a program in one mode.
pub fn judge_in(case: Case, mode: Mode) {
    let dry = std::env::var("TORPOR_STATES").as_deref() == Ok("dry");
    let mode = if dry { Mode::Dry } else { mode };
    let _pool = HugePages::kept_for(case.program);
    let _groups = alone_with_cgroups(case.program);
    let _place = prepare();
    let mut program = match Program::start(case.program, case.args) {
        Ok(program) => program,
        Err(reason) if reason.starts_with("SKIP ") => return skip(&reason[5..]),
        Err(reason) => panic!("{}: does not get ready: {reason}", case.program),
    };
    match walk(&mut program, case, mode) {
        Ok(Verdict::Pass) => {}
        Ok(Verdict::Skip(reason)) => skip(&reason),
        Err(reason) => panic!("{} ({mode:?}): {reason}", case.program),
    }
}

/// A missing capability is said aloud; where CI runs as root it is a failure.
fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
    assert!(std::env::var_os("TORPOR_SKIP_FAILS").is_none(), "skipped: {reason}");
}

fn walk(program: &mut Program, case: Case, mode: Mode) -> Result<Verdict, String> {
    let (first, second) = (program.path("first.torpor"), program.path("second.torpor"));
    match mode {
        Mode::Dry => {}
        Mode::Stop => {
            let before = picture(program, case);
            capture(program, &first, &["--stop"])?;
            std::thread::sleep(absence(case));
            restore(program, &first, &[])?;
            compare(program, case, &before)?;
        }
        Mode::Eager => {
            let before = picture(program, case);
            capture(program, &first, &["--stop", "--eager"])?;
            restore(program, &first, &["--eager"])?;
            compare(program, case, &before)?;
        }
        Mode::Lazy => {
            let before = picture(program, case);
            capture(program, &first, &["--stop"])?;
            let result = restore_with(program, &first, &[], &[("TORPOR_LAZY_FROM_BYTES", "0")])?;
            if result["mode"] != "lazy" {
                return Err(format!("not restored lazily: {result}"));
            }
            compare(program, case, &before)?;
        }
        Mode::Leave => {
            let before = picture(program, case);
            capture(program, &first, &[])?;
            compare(program, case, &before)?;
            capture(program, &second, &[])?;
            compare(program, case, &before)?;
        }
        Mode::Twice => {
            let before = picture(program, case);
            capture(program, &first, &[])?;
            capture(program, &second, &["--stop"])?;
            restore(program, &second, &[])?;
            compare(program, case, &before)?;
        }
        Mode::Increment => {
            let before = picture(program, case);
            capture(program, &first, &[])?;
            capture(program, &second, &["--stop", "--parent", first.to_str().expect("UTF-8")])?;
            restore(program, &second, &[])?;
            compare(program, case, &before)?;
        }
        Mode::Again => {
            let before = picture(program, case);
            capture(program, &first, &["--stop"])?;
            restore(program, &first, &[])?;
            capture(program, &second, &["--stop"])?;
            restore(program, &second, &[])?;
            compare(program, case, &before)?;
        }
        Mode::OtherVdso => {
            // From outside it looks different: the vDSO is somewhere else.
            capture(program, &first, &["--stop"])?;
            restore_elsewhere(program, &first, "other")?;
            capture(program, &second, &["--stop"])?;
            restore_elsewhere(program, &second, "lacking")?;
        }
        Mode::Revive => {
            let before = picture(program, case);
            capture(program, &first, &["--stop"])?;
            restore(program, &first, &[])?;
            program.end();
            restore(program, &first, &[])?;
            compare(program, case, &before)?;
        }
    }
    program.go_on()
}

/// How long a program is to be away, whose peers have something to do meanwhile.
fn absence(case: Case) -> Duration {
    if case.args.contains(&"3s") { Duration::from_secs(3) } else { Duration::ZERO }
}

fn picture(program: &Program, case: Case) -> tree::Picture {
    if case.still { tree::picture(program.root) } else { tree::Picture::new() }
}

fn compare(program: &Program, case: Case, before: &tree::Picture) -> Result<(), String> {
    let after = picture(program, case);
    match tree::differences(before, &after) {
        None => Ok(()),
        Some(text) => Err(format!("the tree looks different from outside:{text}")),
    }
}

fn capture(program: &mut Program, image: &Path, more: &[&str]) -> Result<(), String> {
    let pid = program.root.to_string();
    let mut members = tree::members(program.marker());
    members.retain(|pid| *pid != program.root);
    let mut args = vec!["capture", "--pid", &pid, "--image", image.to_str().expect("UTF-8")];
    args.extend(more);
    call(&args).done("capture")?;
    if more.contains(&"--stop") {
        members.push(program.root);
        return program.await_gone(&members);
    }
    if program.runs() { Ok(()) } else { Err("the capture ended the program".to_owned()) }
}

fn restore(program: &mut Program, image: &Path, more: &[&str]) -> Result<(), String> {
    restore_with(program, image, more, &[]).map(drop)
}

fn restore_with(
    program: &mut Program,
    image: &Path,
    more: &[&str],
    variables: &[(&str, &str)],
) -> Result<serde_json::Value, String> {
    let pidfile = program.path("pidfile");
    let mut args = vec![
        "restore",
        "--image",
        image.to_str().expect("UTF-8"),
        "--in-place",
        "--pidfile",
        pidfile.to_str().expect("UTF-8"),
    ];
    args.extend(more);
    let result = call_with(&args, variables).done("restore")?;
    let text = std::fs::read_to_string(&pidfile).map_err(|error| format!("the pidfile: {error}"))?;
    let root = program.root.to_string();
    if text.trim() != root || result["rootPid"] != program.root {
        return Err(format!("restored as {result}, pidfile {text:?}, but it was PID {root}"));
    }
    if program.runs() { Ok(result) } else { Err("the restored program is gone".to_owned()) }
}

/// Restores as if under a kernel with another vDSO. On a busy machine a thread that does nothing but read clocks may
/// have been in the vDSO nevertheless: such an image is refused there, and good on its own kernel.
fn restore_elsewhere(program: &mut Program, image: &Path, vdso: &str) -> Result<(), String> {
    for _ in 0..10 {
        match restore_with(program, image, &[], &[("TORPOR_VDSO", vdso)]) {
            Err(reason) if reason.contains("in the middle of it") => {
                restore(program, image, &[])?;
                std::fs::remove_file(image).map_err(|error| error.to_string())?;
                capture(program, image, &["--stop"])?;
            }
            outcome => return outcome.map(drop),
        }
    }
    Err("a thread was within the vDSO ten times".to_owned())
}

/// Who names a blocker.
#[derive(Clone, Copy, PartialEq)]
pub enum NamedBy {
    /// Inspect beforehand, and a capture.
    Both,
    /// A capture only: what nothing but a stopped program tells.
    Capture,
}

impl NamedBy {
    /// As a line of the list has it: `at_capture`, or nothing.
    pub fn of(words: &[&str]) -> Self {
        match words {
            [] => Self::Both,
            ["at_capture"] => Self::Capture,
            other => panic!("{other:?} is no way to name a blocker"),
        }
    }
}

/// A program whose state can't be captured: `inspect` names the blocker, `capture` exits 3 with the
/// same blocker and no file, and the program goes on.
pub fn judge_blocked(program: &'static str, args: &'static [&'static str], code: &str, by: NamedBy) {
    let _place = prepare();
    let case = Case { program, args, still: true };
    let mut program = match Program::start(program, args) {
        Ok(program) => program,
        Err(reason) if reason.starts_with("SKIP ") => return skip(&reason[5..]),
        Err(reason) => panic!("{}: does not get ready: {reason}", case.program),
    };
    if std::env::var("TORPOR_STATES").as_deref() != Ok("dry") {
        refuse(&mut program, case, code, by).unwrap_or_else(|reason| panic!("{}: {reason}", case.program));
    }
    match program.go_on() {
        Ok(Verdict::Pass) => {}
        Ok(Verdict::Skip(reason)) => skip(&reason),
        Err(reason) => panic!("{}: after the refusal: {reason}", case.program),
    }
}

fn refuse(program: &mut Program, case: Case, code: &str, by: NamedBy) -> Result<(), String> {
    let before = picture(program, case);
    let pid = program.root.to_string();
    let inspected = call(&["inspect", "--pid", &pid]).done("inspect")?;
    let names = |value: &serde_json::Value| {
        value["blockers"].as_array().is_some_and(|all| all.iter().any(|one| one["code"] == code))
    };
    if by == NamedBy::Both && !names(&inspected) {
        return Err(format!("inspect names no {code}: {}", inspected["blockers"]));
    }
    let image = program.path("first.torpor");
    let answer = call(&["capture", "--pid", &pid, "--image", image.to_str().expect("UTF-8")]);
    if answer.status != Some(3) || answer.last["code"] != "blocked" || !names(&answer.last) {
        return Err(format!("capture does not refuse: {}", answer.describe()));
    }
    if image.exists() {
        return Err("a refused capture left a file behind".to_owned());
    }
    compare(program, case, &before)
}

/// A program that ruins its own state has to notice: otherwise its check checks nothing.
pub fn judge_broken(program: &'static str, args: &'static [&'static str]) {
    let _place = prepare();
    let mut program = Program::start(program, args).unwrap_or_else(|reason| panic!("{reason}"));
    match program.go_on() {
        Err(reason) => assert!(reason.starts_with("FAIL"), "no verdict: {reason}"),
        Ok(_) => panic!("the ruined state was not noticed"),
    }
}
