//! Lazy restores: a program that runs while its memory is paged in, and does to it what it likes.
//!
//! Every byte is checked by the program itself (tests/lazy/changing.c). What may go wrong is made to: a damaged
//! block, a killed pager. Then the program ends; it is never given a wrong byte.

mod failing_disk;
mod faults;
mod load;
mod pager;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use load::{Load, compiled};
use serde_json::Value;

use crate::home::{Home, text};
use crate::program::{Program, eventually};

/// A tree in place, captured and ended. Its root's PID, its descriptors, and the image.
fn captured_in_place(home: &Home, load: &Load, mib: usize) -> (i32, Vec<(String, String)>, PathBuf) {
    let mut program = Program::start(&[text(&load::binary()), text(load.folder()), &mib.to_string()]);
    load.await_ready();
    let descriptors = pager::descriptors(program.pid());
    let image = home.file("a.torpor");
    home.call(&["capture", "--pid", &program.pid().to_string(), "--image", text(&image), "--stop"]).result();
    program.assert_ended();
    (program.pid(), descriptors, image)
}

fn captured_in_capsule(home: &Home, load: &Load, mib: usize) -> PathBuf {
    let program = load::binary();
    let command = [text(&program), text(load.folder()), &mib.to_string()];
    home.call(&[&["run", "--capsule", "first", "--"][..], &command].concat()).result();
    load.await_ready();
    let image = home.file("a.torpor");
    home.call(&["capture", "--capsule", "first", "--image", text(&image), "--stop"]).result();
    image
}

fn restore_in_place(home: &Home, image: &Path) -> Value {
    let restored = home.call(&["restore", "--in-place", "--image", text(image)]).result();
    assert_eq!(restored["mode"], "lazy", "{restored}");
    let phases = restored["phases"].as_array().expect("the phases of the restore");
    let names: Vec<&str> = phases.iter().filter_map(|phase| phase["name"].as_str()).collect();
    assert!(names.starts_with(&["prepare", "state"]) && names.contains(&"pager"), "{names:?}");
    restored
}

/// Ends a restored tree when the test does.
pub struct Ending(pub i32);

impl Drop for Ending {
    fn drop(&mut self) {
        for pid in std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0))
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            pager::signal(pid, "KILL");
        }
        pager::signal(self.0, "KILL");
    }
}

fn is_gone(pid: i32) -> bool {
    // Gone, or not reaped yet.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn damage(image: &Path) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(image).expect("open the image");
    let at = file.metadata().expect("its size").len() * 3 / 4;
    let mut byte = [0u8];
    file.read_exact_at(&mut byte, at).expect("read the image");
    file.write_all_at(&[byte[0] ^ 1], at).expect("damage the image");
}

#[test]
fn a_program_changes_memory_that_is_not_there_yet() {
    let (home, load) = (Home::new(), Load::new());
    let (pid, descriptors, image) = captured_in_place(&home, &load, 256);
    load.tell("go");
    let _ending = Ending(pid);
    restore_in_place(&home, &image);
    load.assert_passes();
    // Nothing of it stays.
    pager::await_end(&image);
    assert!(!pager::has_missing_memory(pid));
    assert_eq!(pager::descriptors(pid), descriptors);
    load.assert_still_right();
}

#[test]
fn it_does_so_in_a_capsule() {
    let (home, load) = (Home::new(), Load::new());
    let image = captured_in_capsule(&home, &load, 256);
    load.tell("go");
    let restored = home.call(&["restore", "--capsule", "second", "--image", text(&image)]).result();
    assert_eq!(restored["mode"], "lazy", "{restored}");
    let found = home.call(&["inspect", "--capsule", "second"]).result();
    assert_eq!(found["blockers"], serde_json::json!([]), "{found}");
    load.assert_passes();
    pager::await_end(&image);
    load.assert_still_right();
    // Its init holds nothing of it any more.
    let init = i32::try_from(restored["initPid"].as_i64().expect("a PID")).expect("a PID");
    eventually("init has let go", || {
        !pager::descriptors(init).iter().any(|(_, target)| target.contains("userfault"))
    });
}

#[test]
fn a_capture_right_after_a_restore_has_all_memory() {
    let (home, load) = (Home::new(), Load::new());
    let (pid, _, image) = captured_in_place(&home, &load, 192);
    let _ending = Ending(pid);
    restore_in_place(&home, &image);
    let second = home.file("b.torpor");
    home.call(&["capture", "--pid", &pid.to_string(), "--image", text(&second), "--stop"]).result();
    eventually("the program has ended", || is_gone(pid));
    std::fs::remove_file(&image).expect("remove the first image");
    home.call(&["restore", "--in-place", "--eager", "--image", text(&second)]).result();
    load.tell("go");
    load.assert_passes();
}

#[test]
fn a_capture_of_a_capsule_right_after_its_restore_has_all_memory() {
    let (home, load) = (Home::new(), Load::new());
    let image = captured_in_capsule(&home, &load, 192);
    home.call(&["restore", "--capsule", "second", "--image", text(&image)]).result();
    let second = home.file("b.torpor");
    home.call(&["capture", "--capsule", "second", "--image", text(&second), "--stop"]).result();
    home.call(&["restore", "--capsule", "third", "--eager", "--image", text(&second)]).result();
    load.tell("go");
    load.assert_passes();
}

#[test]
fn a_chain_of_images_comes_in_behind_the_program_too() {
    let (home, load) = (Home::new(), Load::new());
    let mut program = Program::start(&[text(&load::binary()), text(load.folder()), "128"]);
    load.await_ready();
    let (pid, mut parent) = (program.pid().to_string(), Vec::new());
    let images = ["a.torpor", "b.torpor", "c.torpor"].map(|name| home.file(name));
    for image in &images {
        let stop = if image == &images[2] { &["--stop"][..] } else { &[] };
        let args = [&["capture", "--pid", &pid, "--image", text(image)], &parent[..], stop].concat();
        let report = home.call(&args).result();
        assert_eq!(report["parentId"].is_string(), !parent.is_empty(), "{report}");
        parent = vec!["--parent", text(image)];
    }
    program.assert_ended();
    load.tell("go");
    {
        let _ending = Ending(program.pid());
        restore_in_place(&home, &images[2]);
        load.assert_passes();
        pager::await_end(&images[2]);
        load.assert_still_right();
    }
    assert!(home.file("c.torpor.ws").exists(), "what was touched first");
    // A damaged parent is noticed as late, and ends the program.
    eventually("the program has ended", || is_gone(program.pid()));
    std::fs::remove_file(load.file("result")).expect("forget the result");
    damage(&images[0]);
    let _ending = Ending(program.pid());
    restore_in_place(&home, &images[2]);
    eventually("the program has ended", || is_gone(program.pid()));
    pager::await_end(&images[2]);
    load.assert_saw_nothing_wrong();
}

#[test]
fn a_damaged_block_ends_the_tree_and_is_reported() {
    let (home, load) = (Home::new(), Load::new());
    let (pid, _, image) = captured_in_place(&home, &load, 128);
    damage(&image);
    load.tell("go");
    let _ending = Ending(pid);
    restore_in_place(&home, &image);
    eventually("the program has ended", || is_gone(pid));
    pager::await_end(&image);
    load.assert_saw_nothing_wrong();
    let folder = home.path().join("run/failed");
    let report = std::fs::read_dir(folder).expect("a report").flatten().next().expect("a report");
    let report: Value =
        serde_json::from_slice(&std::fs::read(report.path()).expect("read it")).expect("JSON");
    assert_eq!(report["rootPid"], pid);
    assert!(report["reason"].as_str().is_some_and(|r| r.contains("damaged")), "{report}");
}

#[test]
fn a_damaged_block_ends_the_capsule_and_is_reported() {
    let (home, load) = (Home::new(), Load::new());
    let image = captured_in_capsule(&home, &load, 128);
    damage(&image);
    load.tell("go");
    home.call(&["restore", "--capsule", "second", "--image", text(&image)]).result();
    eventually("the capsule has ended", || home.json("second", "exit.json").is_some());
    let exit = home.json("second", "exit.json").expect("just seen");
    assert!(exit["reason"].as_str().is_some_and(|r| r.contains("damaged")), "{exit}");
    load.assert_saw_nothing_wrong();
    pager::await_end(&image);
}

#[test]
fn a_killed_pager_ends_the_tree() {
    let (home, load) = (Home::new(), Load::new());
    let (pid, _, image) = captured_in_place(&home, &load, 512);
    load.tell("go");
    let _ending = Ending(pid);
    restore_in_place(&home, &image);
    assert!(pager::kill(&image), "the pager was done too early for this test");
    eventually("the program has ended", || is_gone(pid));
    pager::await_end(&image);
    load.assert_saw_nothing_wrong();
}

#[test]
fn a_killed_pager_ends_the_capsule_even_together_with_its_keeper() {
    for with_keeper in [false, true] {
        let (home, load) = (Home::new(), Load::new());
        let image = captured_in_capsule(&home, &load, 512);
        load.tell("go");
        home.call(&["restore", "--capsule", "second", "--image", text(&image)]).result();
        if with_keeper {
            pager::named("torpor-keeper", &image).into_iter().for_each(|pid| pager::signal(pid, "KILL"));
        }
        assert!(pager::kill(&image), "the pager was done too early for this test");
        eventually("the capsule has ended", || home.json("second", "exit.json").is_some());
        let exit = home.json("second", "exit.json").expect("just seen");
        assert!(exit["reason"].as_str().is_some_and(|r| r.contains("killed")), "{exit}");
        load.assert_saw_nothing_wrong();
        pager::await_end(&image);
    }
}

#[test]
fn what_was_touched_first_is_remembered_and_a_ruined_memory_of_it_does_no_harm() {
    let (home, load) = (Home::new(), Load::new());
    let (pid, _, image) = captured_in_place(&home, &load, 64);
    load.tell("go");
    let kept = home.file("a.torpor.ws");
    for ruined in [false, true, false] {
        if ruined {
            std::fs::write(&kept, [7u8; 300]).expect("ruin the working set");
        }
        {
            let _ending = Ending(pid);
            restore_in_place(&home, &image);
            load.assert_passes();
            pager::await_end(&image);
        }
        eventually("the program has ended", || is_gone(pid));
        std::fs::remove_file(load.file("result")).expect("forget the result");
        let recorded = std::fs::read(&kept).expect("a working set beside the image");
        assert!(recorded.starts_with(b"TORPORWS"), "it is written anew");
    }
}

#[test]
fn little_memory_is_read_at_once() {
    let home = Home::new();
    let program = Program::sleep();
    let image = home.file("a.torpor");
    home.call(&["capture", "--pid", &program.pid().to_string(), "--image", text(&image), "--stop"]).result();
    drop(program);
    let restored = home.call(&["restore", "--capsule", "ward", "--image", text(&image)]).result();
    assert_eq!(restored["mode"], "eager");
    // Nothing that anybody has to know.
    assert_eq!(restored["notes"], serde_json::json!([]));
}
