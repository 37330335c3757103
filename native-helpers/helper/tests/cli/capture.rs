//! `capture`: what it refuses, and that whatever goes wrong leaves the program running and no file behind.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::call::{Call, call};
use crate::program::{Program, Store, eventually};

fn arguments<'a>(pid: &'a str, image: &'a Path) -> [&'a str; 5] {
    ["capture", "--pid", pid, "--image", image.to_str().expect("text")]
}

#[test]
fn a_capture_tells_what_it_did_and_leaves_the_program_running() {
    let (program, store) = (Program::sleep(), Store::new());
    let (pid, image) = (program.pid().to_string(), store.file("a.torpor"));
    let mut args = arguments(&pid, &image).to_vec();
    args.extend(["--meta", "application=ward", "--meta", "label=a=b", "--compress", "lz4"]);
    let answer = call(&args);
    let phases: Vec<Value> =
        answer.lines.iter().filter(|l| l["type"] == "progress").map(|l| l["phase"].clone()).collect();
    assert!(phases.contains(&"freeze".into()) && phases.contains(&"memory".into()), "{phases:?}");
    let report = answer.result();
    assert_eq!(
        (&report["stopped"], &report["processes"], &report["compress"]),
        (&false.into(), &1.into(), &"lz4".into())
    );
    assert_eq!(report["image"], image.to_str().unwrap());
    assert_eq!(report["fileBytes"].as_u64().unwrap(), std::fs::metadata(&image).unwrap().len());
    assert_eq!(store.names(), ["a.torpor"]);
    assert_eq!(program.status_field("TracerPid"), 0);
    let shown = call(&["show", "--image", image.to_str().unwrap()]).result();
    assert_eq!(shown["meta"], serde_json::json!({"application": "ward", "label": "a=b"}));
}

#[test]
fn trace_prints_how_long_each_phase_took() {
    let (program, store) = (Program::sleep(), Store::new());
    let (pid, image) = (program.pid().to_string(), store.file("a.torpor"));
    let mut args = arguments(&pid, &image).to_vec();
    args.push("--trace");
    let answer = call(&args);
    for phase in ["freeze", "state", "memory", "commit", "all"] {
        assert!(answer.log.lines().any(|l| l.starts_with(phase) && l.ends_with(" ms")), "{}", answer.log);
    }
    answer.result();
}

#[test]
fn stop_ends_the_program() {
    let (mut program, store) = (Program::sleep(), Store::new());
    let (pid, image) = (program.pid().to_string(), store.file("a.torpor"));
    let mut args = arguments(&pid, &image).to_vec();
    args.push("--stop");
    assert_eq!(call(&args).result()["stopped"], true);
    program.assert_ended();
}

#[test]
fn an_image_is_never_overwritten() {
    let (program, store) = (Program::sleep(), Store::new());
    let image = store.file("a.torpor");
    std::fs::write(&image, "precious").unwrap();
    let error = call(&arguments(&program.pid().to_string(), &image)).error(6, "resource");
    assert!(
        error["message"].as_str().unwrap().ends_with("exists already; images are never overwritten"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&image).unwrap(), "precious");
}

#[test]
fn a_missing_folder_is_named() {
    let (program, store) = (Program::sleep(), Store::new());
    let error =
        call(&arguments(&program.pid().to_string(), &store.file("none/a.torpor"))).error(6, "resource");
    assert!(error["message"].as_str().unwrap().contains("there is no such folder"), "{error}");
    std::fs::write(store.file("none"), "").unwrap();
    let error =
        call(&arguments(&program.pid().to_string(), &store.file("none/a.torpor"))).error(6, "resource");
    assert!(error["message"].as_str().unwrap().contains("is not a folder"), "{error}");
}

#[test]
fn a_blocked_program_is_not_even_stopped() {
    let (program, store) = (Program::that_blocks(), Store::new());
    let pid = program.pid().to_string();
    let inspected = call(&["inspect", "--pid", &pid]).result();
    let answer = call(&arguments(&pid, &store.file("a.torpor")));
    assert!(answer.lines.iter().all(|l| l["phase"] != "freeze"), "{answer:?}");
    let error = answer.error(3, "blocked");
    let blocker = &error["blockers"][0];
    assert_eq!((&blocker["pid"], &blocker["comm"]), (&program.pid().into(), &"sh".into()), "{error}");
    assert!(
        blocker["subject"].as_str().unwrap().starts_with("descriptor 3 → /dev/cpu_dma_latency"),
        "{error}"
    );
    assert!(blocker["remedy"].is_string() && blocker["message"].is_string(), "{error}");
    // The same words before and at the attempt.
    assert!(inspected["blockers"].as_array().unwrap().contains(blocker), "{inspected}\n{blocker}");
    program.assert_runs_on();
    assert!(store.names().is_empty());
}

#[test]
fn the_helper_refuses_its_own_ancestors_and_process_1() {
    let store = Store::new();
    let image = store.file("a.torpor");
    let own = std::process::id().to_string();
    let error = call(&arguments(&own, &image)).error(3, "blocked");
    let codes: Vec<&Value> = error["blockers"].as_array().unwrap().iter().map(|b| &b["code"]).collect();
    assert!(codes.contains(&&Value::from("self")), "{error}");
    let error = call(&arguments("1", &image)).error(3, "blocked");
    let codes: Vec<&Value> = error["blockers"].as_array().unwrap().iter().map(|b| &b["code"]).collect();
    assert!(codes.contains(&&Value::from("init")), "{error}");
    assert!(store.names().is_empty());
}

/// Starts a capture of a large program and waits until it writes.
fn capture_under_way(program: &Program, image: &Path) -> Call {
    let pid = program.pid().to_string();
    let mut args = arguments(&pid, image).to_vec();
    // Slow enough to be caught in the middle.
    args.extend(["--compress", "zstd"]);
    let mut call = Call::start(None, &args);
    assert!(call.wait_for(|line| line["phase"] == "memory"), "{:?}", call.end());
    call
}

#[test]
fn a_cancelled_capture_leaves_nothing_behind() {
    let (program, store) = (Program::with_memory(300), Store::new());
    let call = capture_under_way(&program, &store.file("a.torpor"));
    signal(call.pid(), "TERM");
    call.end().error(6, "cancelled");
    program.assert_runs_on();
    assert!(store.names().is_empty(), "{:?}", store.names());
}

#[test]
fn a_capture_at_a_rate_takes_its_time_and_can_be_cancelled() {
    let (program, store) = (Program::with_memory(64), Store::new());
    let (pid, image) = (program.pid().to_string(), store.file("a.torpor"));
    // More than a minute for all of it.
    let args = [&arguments(&pid, &image)[..], &["--rate", "1"]].concat();
    let mut call = Call::start(None, &args);
    let far = |line: &Value| line["doneBytes"].as_u64().is_some_and(|done| done > 0);
    assert!(call.wait_for(|line| line["phase"] == "memory" && far(line)), "{:?}", call.end());
    program.assert_runs_on();
    signal(call.pid(), "TERM");
    let answer = call.end();
    let most = answer.lines.iter().filter_map(|line| line["doneBytes"].as_u64()).max();
    assert!(most.is_some_and(|done| done < 60 << 20), "{most:?}");
    answer.error(6, "cancelled");
    assert!(store.names().is_empty(), "{:?}", store.names());
    for wrong in [&["--rate", "0"][..], &["--rate", "5", "--stop"], &["--rate", "5", "--eager"]] {
        crate::call::call(&[&arguments(&pid, &image)[..], wrong].concat()).error(2, "usage");
    }
    crate::call::call(&[&arguments(&pid, &image)[..], &["--rate", "5000"]].concat()).result();
    program.assert_runs_on();
}

#[test]
fn a_killed_helper_leaves_nothing_behind() {
    let (program, store) = (Program::with_memory(300), Store::new());
    let call = capture_under_way(&program, &store.file("a.torpor"));
    signal(call.pid(), "KILL");
    assert_eq!(call.end().status, None);
    program.assert_runs_on();
    assert!(store.names().is_empty(), "{:?}", store.names());
    let twins = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", program.pid())).unwrap();
    assert_eq!(twins, "");
}

#[test]
fn a_store_without_room_is_no_harm() {
    let (program, store) = (Program::with_memory(64), Store::new());
    let small = SmallStore::mount(store.path());
    let error = call(&arguments(&program.pid().to_string(), &store.file("a.torpor"))).error(6, "no-room");
    assert!(error["message"].as_str().unwrap().starts_with("no room for"), "{error}");
    program.assert_runs_on();
    assert!(store.names().is_empty(), "{:?}", store.names());
    drop(small);
}

#[test]
fn memory_that_a_fork_does_not_keep_is_written_while_stopped() {
    const ADVICE: [(&str, i32); 2] = [("MADV_DONTFORK", 10), ("MADV_WIPEONFORK", 18)];
    for (name, advice) in ADVICE {
        let program = Program::start(&[
            "python3",
            "-c",
            &format!(
                "import mmap, time\n\
                 held = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n\
                 held.write(b'x' * (1 << 20)); held.madvise({advice})\n\
                 while True: time.sleep(0.01)"
            ),
        ]);
        eventually("the advice", || {
            let maps = std::fs::read_to_string(format!("/proc/{}/smaps", program.pid())).unwrap_or_default();
            maps.lines().any(|l| l.starts_with("VmFlags") && (l.contains(" dc") || l.contains(" wf")))
        });
        let store = Store::new();
        let report = call(&arguments(&program.pid().to_string(), &store.file("a.torpor"))).result();
        let note = report["notes"][0].as_str().unwrap_or_default();
        assert!(report["mode"] == "eager" && note.contains("a fork does not keep"), "{name}: {report}");
        program.assert_runs_on();
    }
}

fn signal(pid: i32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// A file system of 16 MiB over a folder.
struct SmallStore<'a>(&'a Path);

impl SmallStore<'_> {
    fn mount(path: &Path) -> SmallStore<'_> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "torpor-test"]).arg(path).status();
        assert!(mounted.expect("mount").success(), "mounting needs root");
        SmallStore(path)
    }
}

impl Drop for SmallStore<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_helper_that_is_killed_leaves_connections_out_of_the_tree_alive() {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!(
        "import socket\nheld = bytearray(b'torpor') * (400 * 1048576 // 6)\n\
         peer = socket.create_connection(('127.0.0.1', {}))\n\
         for line in peer.makefile('rb'): peer.sendall(line.upper())",
        listener.local_addr().unwrap().port()
    );
    let (program, store) = (Program::start(&["python3", "-c", &script]), Store::new());
    let mut peer = listener.accept().unwrap().0;
    peer.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut answers = BufReader::new(peer.try_clone().unwrap());
    let mut echo = |line: &str| {
        peer.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        answer
    };
    assert_eq!(echo("before\n"), "BEFORE\n");

    let (pid, image) = (program.pid().to_string(), store.file("a.torpor"));
    let mut args = arguments(&pid, &image).to_vec();
    args.push("--stop");
    let mut helper = Call::start(None, &args);
    assert!(helper.wait_for(|line| line["phase"] == "memory"), "it never got to the memory");
    drop(helper);
    assert_eq!(echo("after\n"), "AFTER\n");
    assert_eq!(store.names(), Vec::<String>::new());
}
