//! `restore` where files are not on disk what they were when the image was taken.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::call::call;
use crate::home::{Home, text};
use crate::program::{Program, Store, end, eventually};

#[test]
fn a_program_whose_file_has_changed_is_not_restored() {
    let store = Store::new();
    let copy = store.file("program");
    std::fs::copy("/bin/sleep", &copy).unwrap();
    let mut program = Program::start(&[text(&copy), "1000"]);
    let path = store.file("a.torpor");
    call(&["capture", "--pid", &program.pid().to_string(), "--image", text(&path), "--stop"]).result();
    program.assert_ended();
    std::fs::OpenOptions::new().append(true).open(&copy).unwrap().set_len(100_000).unwrap();
    let error = call(&["restore", "--in-place", "--image", text(&path)]).error(6, "resource");
    assert!(error["message"].as_str().unwrap().contains("has changed since the image was taken"), "{error}");
}

#[test]
fn changed_files_are_told_refused_or_let_be() {
    let store = Store::new();
    let (data, log) = (store.file("data"), store.file("log"));
    std::fs::write(&data, "as it was\n").unwrap();
    let script = format!("exec 3<>{} 4>>{}; while :; do sleep 0.05; done", text(&data), text(&log));
    let mut program = Program::start(&["sh", "-c", &script]);
    eventually("the program has both open", || {
        Path::new(&format!("/proc/{}/fd/4", program.pid())).is_symlink()
    });
    let image = store.file("a.torpor");
    call(&["capture", "--pid", &program.pid().to_string(), "--image", text(&image), "--stop"]).result();
    program.assert_ended();
    let restore = |more: &[&str]| call(&[&["restore", "--in-place", "--image", text(&image)], more].concat());
    let notes_of = |more: &[&str]| {
        let report = restore(more).result();
        end(report["rootPid"].as_i64().unwrap() as i32);
        report["notes"].clone()
    };

    OpenOptions::new().append(true).open(&log).unwrap().write_all(b"a line more\n").unwrap();
    assert_eq!(notes_of(&["--changed-files", "refuse"]), serde_json::json!([]));

    std::fs::write(&data, "otherwise\n").unwrap();
    let said = format!("changed on disk since the image was taken: {}", text(&data));
    assert_eq!(notes_of(&[]), serde_json::json!([said]));
    assert_eq!(notes_of(&["--changed-files", "continue"]), serde_json::json!([]));
    let error = restore(&["--changed-files", "refuse"]).error(6, "resource");
    assert!(error["message"].as_str().unwrap().starts_with(&said), "{error}");
}

#[test]
fn a_program_and_a_library_in_the_capsules_own_folder_come_back() {
    let home = Home::new();
    let script = "cp /bin/sleep /tmp/program; cp /lib/x86_64-linux-gnu/libz.so.1 /tmp; \
                  LD_PRELOAD=/tmp/libz.so.1 exec /tmp/program 1000";
    let started = home.call(&["run", "--capsule", "ward", "--", "sh", "-c", script]).result();
    let comm =
        |pid: &serde_json::Value| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    eventually("it runs", || comm(&started["rootPid"]) == "program\n");
    let image = home.file("a.torpor");
    home.call(&["capture", "--capsule", "ward", "--image", text(&image), "--stop"]).result();
    for again in ["ward.1", "ward.2"] {
        let report = home.call(&["restore", "--image", text(&image), "--capsule", again]).result();
        assert_eq!(comm(&report["rootPid"]), "program\n");
        let exe = std::fs::read_link(format!("/proc/{}/exe", report["rootPid"])).unwrap();
        assert_eq!(exe, Path::new("/tmp/program"));
    }
}
