//! Capsules through the command line: run, inspect, capture, and how they end.

use std::path::Path;

use serde_json::Value;

use crate::call::Call;
use crate::home::{Home, text};
use crate::program::eventually;

fn comm(pid: &Value) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

const LOOP: [&str; 3] = ["sh", "-c", "while :; do sleep 0.05; done"];

#[test]
fn a_capsule_runs_is_inspected_and_ends_with_its_program() {
    let home = Home::new();
    let started = home.call(&[&["run", "--capsule", "ward", "--tty", "--"][..], &LOOP].concat()).result();
    assert_eq!(started["capsule"], "ward");
    assert_eq!(comm(&started["rootPid"]), "sh");
    home.call(&["run", "--capsule", "ward", "--", "true"]).error(6, "busy");

    let found = home.call(&["inspect", "--capsule", "ward"]).result();
    // The caller's numbers.
    assert_eq!(found["rootPid"], started["rootPid"]);
    assert_eq!(found["processes"][0]["ppid"], started["initPid"]);
    assert_eq!(found["blockers"], serde_json::json!([]), "{found}");
    assert!(found["sizes"]["physicalBytes"].as_u64().unwrap() > 0);
    // The same tree by its PID.
    let found = home.call(&["inspect", "--pid", &started["rootPid"].to_string()]).result();
    assert_eq!(found["rootPid"], started["rootPid"]);

    let image = home.file("a.torpor");
    let report = home
        .call(&["capture", "--capsule", "ward", "--image", text(&image), "--meta", "application=ward"])
        .result();
    assert_eq!(report["stopped"], false);
    assert_eq!(comm(&started["rootPid"]), "sh");
    let shown = home.call(&["show", "--image", text(&image), "--tree"]).result();
    assert_eq!((&shown["terminal"], &shown["application"]["id"]), (&true.into(), &"ward".into()));
    assert_eq!(shown["tree"]["processes"][0]["pid"], 2);
    assert_eq!(shown["tree"]["terminal"]["columns"], 80);

    let image = home.file("b.torpor");
    let report = home.call(&["capture", "--capsule", "ward", "--image", text(&image), "--stop"]).result();
    assert_eq!(report["stopped"], true);
    let exit = home.json("ward", "exit.json").expect("the end is written down before the capture returns");
    assert_eq!(exit["reason"], "hibernated");
    eventually("the root is gone", || comm(&started["rootPid"]) != "sh");
    home.call(&["inspect", "--capsule", "ward"]).error(5, "no-such-capsule");
}

#[test]
fn a_capsules_blocker_is_named_in_the_callers_numbers() {
    let home = Home::new();
    let script = "exec 3</proc/self/ns/net; while :; do sleep 0.05; done";
    let started = home.call(&["run", "--capsule", "ward", "--", "sh", "-c", script]).result();
    eventually("the program has it open", || {
        Path::new(&format!("/proc/{}/fd/3", started["rootPid"])).is_symlink()
    });
    let image = home.file("a.torpor");
    let error = home.call(&["capture", "--capsule", "ward", "--image", text(&image)]).error(3, "blocked");
    assert_eq!(error["blockers"][0]["pid"], started["rootPid"]);
    assert_eq!(comm(&started["rootPid"]), "sh");
    assert!(!image.exists());
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let home = Home::new();
    let error = home.call(&["run", "--capsule", "ward", "--", "no-such-program-anywhere"]).error(2, "usage");
    assert!(error["message"].as_str().unwrap().contains("no-such-program-anywhere"), "{error}");
    assert!(home.json("ward", "capsule.json").is_none());
}

#[test]
fn a_killed_helper_leaves_a_capsule_as_it_was() {
    let home = Home::new();
    let script = "import time\nheld = bytearray(b'torpor') * (50 << 20)\nwhile True: time.sleep(0.01)";
    let started = home.call(&["run", "--capsule", "ward", "--tty", "--", "python3", "-c", script]).result();
    let pid = &started["rootPid"];
    let status = |field: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let value = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
        value.and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    eventually("the program holds its memory", || status("VmRSS") > 300_000);
    let image = home.file("a.torpor");
    let args = ["capture", "--capsule", "ward", "--compress", "zstd", "--image", text(&image)];
    let mut capture = Call::start(Some(home.path()), &args);
    assert!(capture.wait_for(|line| line["phase"] == "memory"));
    let _ = std::process::Command::new("kill").args(["-s", "KILL", &capture.pid().to_string()]).status();
    assert_eq!(capture.end().status, None);
    eventually("nobody traces the program", || status("TracerPid") == 0);
    let before = status("voluntary_ctxt_switches");
    eventually("the program runs on", || status("voluntary_ctxt_switches") > before);
    assert!(!image.exists());
    // And the capsule can be captured again.
    home.call(&args).result();
}
