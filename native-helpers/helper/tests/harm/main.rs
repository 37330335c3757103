//! The promise: never harm. A program that checks itself is captured again and again, and must not be able to
//! tell; and the helper is killed before every system call that it makes, in turn, and must leave the tree as it
//! was: no stopped thread, no injected mapping, no descriptor, no twin, no file.
//!
//! And what is taken from an earlier image because nobody has written it since is so.
//!
//! And each image is one instant: a program that writes all its memory all the time goes on from it.
//!
//! TORPOR_CAPTURES says how often each program is captured (30 and 6), TORPOR_EVERY that each so-manieth system call is
//! tried (1: all of them).

mod checker;
#[path = "../states/helper.rs"]
mod helper;
mod instants;
#[path = "../programs/running.rs"]
#[expect(dead_code, reason = "shared with the suite of real programs, which needs more of it")]
mod running;
mod stepper;
mod tracked;
#[path = "../states/tree.rs"]
#[expect(dead_code, reason = "shared with the state suite, which looks at more")]
mod tree;

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use checker::Checker;
use running::Way;
use stepper::Outcome;

/// One at a time: a busy machine only makes it slower.
static ONE: Mutex<()> = Mutex::new(());

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn a_program_that_checks_itself_notices_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut checker = Checker::start();
    let before = checker.picture();
    for round in 0..number("TORPOR_CAPTURES", 30) {
        checker.running.take(if round % 3 == 2 { Way::Stop } else { Way::Leave });
        checker.goes_on(&format!("after capture {round}"));
    }
    assert_eq!(tree::differences(&before, &checker.picture()), None);
    assert_eq!(checker.verdict(), "PASS");
}

#[test]
fn each_image_is_a_state_that_the_program_really_had() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    instants::judge(number("TORPOR_CAPTURES", 6));
}

#[test]
fn what_is_noted_as_unwritten_is_right_whatever_a_program_does() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    tracked::judge_everything();
}

#[test]
fn a_chain_of_tracked_images_has_the_bytes_of_a_complete_one() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    tracked::judge_at_random(number("TORPOR_CAPTURES", 12));
}

#[test]
fn captures_are_right_whatever_becomes_of_the_tracker() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    tracked::judge_losses();
}

#[test]
fn a_tracking_capture_killed_at_any_system_call_leaves_the_tree_as_it_was() {
    killed_at_every_call(&["--track"]);
}

#[test]
fn a_capture_killed_at_any_system_call_leaves_the_tree_as_it_was() {
    killed_at_every_call(&[]);
}

#[test]
fn an_eager_capture_killed_at_any_system_call_leaves_the_tree_as_it_was() {
    killed_at_every_call(&["--eager"]);
}

fn killed_at_every_call(more: &[&str]) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut checker = Checker::start();
    let before = checker.picture();
    let images = checker.running.path("images");
    fs::create_dir(&images).unwrap();
    let every = number("TORPOR_EVERY", 41);
    let mut at = number("TORPOR_FROM", 1);
    loop {
        let image = images.join("image.torpor");
        let mut command = Command::new(helper::binary());
        command
            .args(["capture", "--pid", &checker.running.root.to_string(), "--image"])
            .arg(&image)
            .args(more);
        let said = checker.running.path("said");
        let file = fs::File::create(&said).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let outcome = stepper::run(&mut command, at);
        let when = format!("killed at system call {at}");
        // It lives as long as the program where an image was made; then it is ended here.
        if image.exists()
            && let Some(tracker) = tracked::tracker(checker.running.root)
        {
            let tracker = rustix::process::Pid::from_raw(tracker as i32).expect("a PID");
            let _ = rustix::process::kill_process(tracker, rustix::process::Signal::KILL);
        }
        let mut last = None;
        for _ in 0..400 {
            last = differences(&before, &checker);
            if last.is_none() || checker.result().is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(last.is_none(), "{when}: {:?}, {:?}{last:?}", outcome, checker.result());
        checker.goes_on(&when);
        // All of an image or nothing.
        let left: Vec<_> = fs::read_dir(&images).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(left.is_empty() || left == ["image.torpor"], "{when}: files are left: {left:?}");
        if image.exists() {
            let path = image.to_str().expect("a path in UTF-8");
            helper::call(&["verify", "--image", path])
                .done("verify")
                .unwrap_or_else(|e| panic!("{when}: {e}"));
            fs::remove_file(&image).unwrap();
        }
        if let Outcome::Ended { status, calls } = outcome {
            let said = fs::read_to_string(&said).unwrap_or_default();
            assert_eq!(status, Some(0), "the helper failed after {calls} system calls: {said}");
            let mode = if more.contains(&"--eager") { "eager" } else { "copy-on-write" };
            assert!(said.contains(&format!("\"mode\":\"{mode}\"")), "not {mode}: {said}");
            assert!(at > 500, "the helper made {calls} system calls only");
            eprintln!("killed before each {every}th of {calls} system calls");
            break;
        }
        at += every;
    }
    assert_eq!(checker.verdict(), "PASS");
}

fn differences(before: &tree::Picture, checker: &Checker) -> Option<String> {
    tree::differences(before, &checker.picture())
}
