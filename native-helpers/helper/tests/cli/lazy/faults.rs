//! What goes wrong outside while memory is brought in: the disk fails, memory runs out. The program ends, somebody is
//! told, and it has never seen a wrong byte.

use std::path::PathBuf;

use serde_json::Value;

use super::failing_disk::FailingDisk;
use super::{Ending, Load, captured_in_capsule, captured_in_place, is_gone, pager, restore_in_place};
use crate::home::{Home, text};
use crate::program::eventually;
use crate::swap;

/// More than a restore reads before its program runs, less than all.
const HEALTHY: u64 = 40 << 20;

fn report(home: &Home) -> Value {
    let folder = std::fs::read_dir(home.path().join("run/failed")).expect("a report");
    let report = folder.flatten().next().expect("a report");
    serde_json::from_slice(&std::fs::read(report.path()).expect("read it")).expect("JSON")
}

#[test]
fn a_disk_that_fails_ends_the_tree_and_is_reported() {
    let (home, load) = (Home::new(), Load::new());
    let (pid, _, image) = captured_in_place(&home, &load, 128);
    let disk = FailingDisk::of(&image, HEALTHY);
    load.tell("go");
    let ending = Ending(pid);
    restore_in_place(&home, &disk.file());
    eventually("the program has ended", || is_gone(pid));
    pager::await_end(&disk.file());
    load.assert_saw_nothing_wrong();
    let report = report(&home);
    assert_eq!(report["rootPid"], pid);
    assert!(report["reason"].as_str().is_some_and(|r| r.contains("can't be read")), "{report}");
    drop(ending);
    // The image itself is whole: from another disk the program comes back.
    let _ending = Ending(pid);
    restore_in_place(&home, &image);
    load.assert_passes();
}

#[test]
fn a_disk_that_fails_ends_the_capsule_and_is_reported() {
    let (home, load) = (Home::new(), Load::new());
    let image = captured_in_capsule(&home, &load, 128);
    let disk = FailingDisk::of(&image, HEALTHY);
    load.tell("go");
    home.call(&["restore", "--capsule", "second", "--image", text(&disk.file())]).result();
    eventually("the capsule has ended", || home.json("second", "exit.json").is_some());
    let exit = home.json("second", "exit.json").expect("just seen");
    assert!(exit["reason"].as_str().is_some_and(|r| r.contains("can't be read")), "{exit}");
    pager::await_end(&disk.file());
    load.assert_saw_nothing_wrong();
}

#[test]
fn a_disk_that_fails_before_the_program_runs_fails_the_restore() {
    let (home, load) = (Home::new(), Load::new());
    let (pid, _, image) = captured_in_place(&home, &load, 64);
    let disk = FailingDisk::of(&image, 16 << 10);
    home.call(&["restore", "--in-place", "--image", text(&disk.file())]).error(6, "resource");
    assert!(is_gone(pid));
    pager::await_end(&disk.file());
}

/// A memory cgroup of the test's own, of either version.
struct Limited {
    folder: PathBuf,
    limit: &'static str,
}

impl Limited {
    fn new() -> Limited {
        let mounts = std::fs::read_to_string("/proc/mounts").expect("the mounts");
        let mut words = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let first = words.clone().find(|w| w[2] == "cgroup" && w[3].split(',').any(|o| o == "memory"));
        let (root, limit) = match first {
            Some(words) => (words[1].to_owned(), "memory.limit_in_bytes"),
            None => {
                let second = words.find(|w| w[2] == "cgroup2").expect("no cgroups are mounted here");
                (second[1].to_owned(), "memory.max")
            }
        };
        let folder = PathBuf::from(root).join(format!("torpor-test-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("make a memory cgroup");
        Limited { folder, limit }
    }

    fn set(&self, bytes: u64) {
        std::fs::write(self.folder.join(self.limit), bytes.to_string()).expect("limit its memory");
    }

    fn take_in(&self, pid: i32) {
        std::fs::write(self.folder.join("cgroup.procs"), pid.to_string()).expect("move the program");
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Processes that were killed leave it a little later.
        for _ in 0..200 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_tree_whose_memory_runs_out_ends() {
    let _none = swap::none();
    let (home, load, group) = (Home::new(), Load::new(), Limited::new());
    let mut program =
        crate::program::Program::start(&[text(&super::load::binary()), text(load.folder()), "128"]);
    let pid = program.pid();
    load.await_ready();
    group.take_in(pid);
    let image = home.file("a.torpor");
    home.call(&["capture", "--pid", &pid.to_string(), "--image", text(&image), "--stop"]).result();
    program.assert_ended();
    drop(program);
    group.set(48 << 20);
    load.tell("go");
    let _ending = Ending(pid);
    restore_in_place(&home, &image);
    eventually("the program has ended", || is_gone(pid));
    pager::await_end(&image);
    load.assert_saw_nothing_wrong();
    assert!(!load.file("result").exists(), "it had not enough memory to come so far");
}
