//! Applications of which a part is in swap. The swap is a file of the test's own.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::home::{Home, text};
use crate::lazy::{Ending, Load, compiled};
use crate::program::{Program, eventually};

const MIB: u64 = 1 << 20;
/// What is private, half of it in swap; and a sixth as much shared, half of that in swap.
const SIZE: u64 = 96;

/// Swap in use as long as this lives, and no longer: the process that takes it out of use waits for our end, also where
/// we are killed.
struct Swap {
    _alone: MutexGuard<'static, ()>,
    guard: Child,
}

static ONE: Mutex<()> = Mutex::new(());

impl Swap {
    fn on() -> Swap {
        let alone = none();
        let script = r#"
            file=$(mktemp /var/tmp/torpor-test-swap.XXXXXX) && fallocate -l 256M "$file" && mkswap "$file" >&2 &&
                swapon "$file" && echo on
            cat > /dev/null
            swapoff "$file"; rm -f "$file"
        "#;
        let mut guard = Command::new("setsid")
            .args(["sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the swap's guard");
        let mut word = [0u8; 2];
        let said = guard.stdout.as_mut().expect("a pipe").read_exact(&mut word);
        assert!(said.is_ok() && &word == b"on", "no swap file can be used here (fallocate, mkswap, swapon)");
        Swap { _alone: alone, guard }
    }
}

/// No test makes swap as long as this lives.
pub fn none() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Swap {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// The program (tests/lazy/swapped.c) with its memory where it wants it.
fn started(load: &Load) -> Program {
    let program = Program::start(&[text(&compiled("swapped")), text(load.folder()), &SIZE.to_string()]);
    load.await_ready();
    eventually("half of its memory is in swap", || in_swap(program.pid()) == (SIZE + SIZE / 6) / 2 * MIB);
    program
}

/// What smaps says: private memory and shared memory, in bytes.
fn in_swap(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix("Swap:"));
    value.and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn resident(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    value.and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Equal within 5 %.
#[track_caller]
fn assert_near(what: &str, is: u64, was: u64) {
    assert!(is.abs_diff(was) <= was / 20, "{what}: {} KiB, and was {} KiB", is >> 10, was >> 10);
}

fn capture(home: &Home, pid: i32, image: &Path, more: &[&str]) -> Value {
    home.call(&[&["capture", "--pid", &pid.to_string(), "--image", text(image)], more].concat()).result()
}

/// An image of the program, which has ended.
fn ended(home: &Home, program: &mut Program) -> PathBuf {
    let image = home.file("ended.torpor");
    capture(home, program.pid(), &image, &["--stop"]);
    program.assert_ended();
    image
}

#[test]
fn a_capture_leaves_in_swap_what_is_there() {
    let swap = Swap::on();
    let (home, load) = (Home::new(), Load::new());
    let program = started(&load);
    let (swapped, before) = (in_swap(program.pid()), resident(program.pid()));
    for (mode, more) in [("copy-on-write", &[][..]), ("eager", &["--eager"])] {
        let image = home.file(mode);
        let report = capture(&home, program.pid(), &image, more);
        assert_eq!(report["mode"], mode, "{report}");
        assert_near("resident after a capture", resident(program.pid()), before);
        assert_near("in swap after a capture", in_swap(program.pid()), swapped);
        assert_near("virtual memory", report["sizes"]["virtualBytes"].as_u64().expect("a number"), swapped);
        let shown = home.call(&["show", "--image", text(&image)]).result();
        assert_eq!(shown["sizes"], report["sizes"]);
    }
    load.tell("go");
    load.assert_passes();
    drop(program);
    drop(swap);
}

#[test]
fn inspect_tells_the_kernels_numbers() {
    let swap = Swap::on();
    let (home, load) = (Home::new(), Load::new());
    let program = started(&load);
    let found = home.call(&["inspect", "--pid", &program.pid().to_string()]).result();
    let told = |name: &str| found["sizes"][name].as_u64().expect("a number");
    assert_near("virtual memory", told("virtualBytes"), in_swap(program.pid()));
    drop(program);
    drop(swap);
}

#[test]
fn a_restore_puts_back_into_swap_what_was_there() {
    let swap = Swap::on();
    for eager in [true, false] {
        let (home, load) = (Home::new(), Load::new());
        let mut program = started(&load);
        let swapped = in_swap(program.pid());
        let image = ended(&home, &mut program);
        let way: &[&str] = if eager { &["--eager"] } else { &[] };
        let restored =
            home.call(&[&["restore", "--in-place", "--image", text(&image)], way].concat()).result();
        let _ending = Ending(program.pid());
        assert_eq!(restored["mode"], if eager { "eager" } else { "lazy" });
        // The shared part counts by what is in swap, mapped or not.
        eventually("what was in swap is there again", || in_swap(program.pid()) * 20 >= swapped * 19);
        load.tell("go");
        load.assert_passes();
    }
    drop(swap);
}

#[test]
fn what_was_in_swap_comes_back_where_there_is_none() {
    let (home, load) = (Home::new(), Load::new());
    let swap = Swap::on();
    let mut program = started(&load);
    let image = ended(&home, &mut program);
    drop(swap);
    home.call(&["restore", "--in-place", "--image", text(&image)]).result();
    let _ending = Ending(program.pid());
    load.tell("go");
    load.assert_passes();
}
