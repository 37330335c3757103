//! `restore`: in place and into capsules, with what was captured.

use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::call::{Call, call};
use crate::home::{Home, text};
use crate::program::{Program, Store, end, eventually};

fn session_and_foreground(pid: &Value) -> (String, String, String) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or("").to_owned();
    (field(6), field(7), field(8))
}

#[test]
fn a_restored_program_has_its_pid_and_runs() {
    let (mut program, store) = (Program::sleep(), Store::new());
    let pid = program.pid();
    let (image, pidfile) = (store.file("a.torpor"), store.file("root.pid"));
    call(&["capture", "--pid", &pid.to_string(), "--image", text(&image), "--stop"]).result();
    program.assert_ended();

    let restored =
        call(&["restore", "--in-place", "--image", text(&image), "--pidfile", text(&pidfile)]).result();
    assert_eq!((&restored["rootPid"], &restored["capsule"]), (&pid.into(), &Value::Null));
    assert!(restored["firstInstructionMs"].as_f64() > Some(0.0));
    assert_eq!(std::fs::read_to_string(&pidfile).unwrap(), format!("{pid}\n"));
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap(), "sleep\x001000\x00");

    // Its PID is taken now: a second one is refused, and the first is left alone.
    let again = call(&["restore", "--in-place", "--image", text(&image)]).error(6, "pid-taken");
    assert!(again["message"].as_str().unwrap().contains(&pid.to_string()), "{again}");
    assert!(std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|m| m.nlink() > 0));
    end(pid);
}

#[test]
fn one_image_is_woken_twice_and_keeps_its_terminal_and_clock() {
    let home = Home::new();
    let script = "while read -r line; do echo \"heard $line\"; done";
    let started = home.call(&["run", "--capsule", "ward", "--tty", "--", "sh", "-c", script]).result();
    eventually("the shell waits", || {
        std::fs::read_to_string(format!("/proc/{}/stat", started["rootPid"]))
            .is_ok_and(|s| s.contains(") S "))
    });
    let before = session_and_foreground(&started["rootPid"]);
    let image = home.file("a.torpor");
    home.call(&["capture", "--capsule", "ward", "--image", text(&image), "--stop"]).result();
    for capsule in ["first", "second"] {
        let restored = home.call(&["restore", "--image", text(&image), "--capsule", capsule]).result();
        assert_eq!(restored["capsule"], capsule);
        let record = home.json(capsule, "capsule.json").unwrap();
        assert_eq!((&record["rootPid"], &record["initPid"]), (&restored["rootPid"], &restored["initPid"]));
        assert_eq!((&record["rootPidInside"], &record["tty"]), (&2.into(), &true.into()), "{record}");
        assert_eq!(record["restoredFrom"], restored["imageId"]);
        let (session, terminal, foreground) = session_and_foreground(&restored["rootPid"]);
        assert_eq!(session, restored["rootPid"].to_string());
        assert_eq!((&terminal, &foreground), (&before.1, &restored["rootPid"].to_string()));
    }
    // Both live, each by itself.
    for capsule in ["first", "second"] {
        let found = home.call(&["inspect", "--capsule", capsule]).result();
        assert_eq!(found["processes"].as_array().unwrap().len(), 1, "{found}");
    }
}

#[test]
fn a_cancelled_restore_leaves_no_capsule() {
    let (program, home) = (Program::with_memory(300), Home::new());
    let image = home.file("a.torpor");
    call(&["capture", "--pid", &program.pid().to_string(), "--image", text(&image)]).result();
    let mut restore =
        Call::start(Some(home.path()), &["restore", "--eager", "--image", text(&image), "--capsule", "ward"]);
    assert!(restore.wait_for(|line| line["phase"] == "load"));
    let _ = std::process::Command::new("kill").args(["-s", "TERM", &restore.pid().to_string()]).status();
    restore.end().error(6, "cancelled");
    assert!(home.json("ward", "capsule.json").is_none());
    program.assert_runs_on();
}

#[test]
fn a_killed_restore_leaves_no_half_built_tree() {
    let (mut program, store) = (Program::with_memory(300), Store::new());
    let (pid, image) = (program.pid(), store.file("a.torpor"));
    call(&["capture", "--pid", &pid.to_string(), "--image", text(&image), "--stop"]).result();
    program.assert_ended();
    let mut restore = Call::start(None, &["restore", "--in-place", "--eager", "--image", text(&image)]);
    assert!(restore.wait_for(|line| line["phase"] == "load"));
    let _ = std::process::Command::new("kill").args(["-s", "KILL", &restore.pid().to_string()]).status();
    assert_eq!(restore.end().status, None);
    eventually("nothing of the tree is left", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        // Gone, or not reaped yet.
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
}
