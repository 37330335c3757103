//! Running something inside a living capsule.

use crate::world::world;
use std::os::fd::AsFd;

#[test]
fn a_worker_sees_what_the_application_sees() {
    let Some(world) = world() else { return };
    let record = world
        .say("run", &["a", "tty=80x24", "monotonic=7000000000000", "--", "sh", "-c", "sleep 1000"])
        .record();
    let said = world.say(
        "inside",
        &["a", "sh", "-c", "ps -eo pid=,comm=; cut -d. -f1 /proc/uptime; ls /run/torpor-capsule"],
    );
    assert_eq!(said.lines[0]["type"], "progress");
    let output = said.last()["output"].as_str().unwrap();
    let lines: Vec<Vec<&str>> = output.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["1", "torpor-init"]);
    assert_eq!(lines[1], [record.root_pid_inside.to_string().as_str(), "sh"]);
    let uptime: u64 = lines.last().unwrap()[0].parse().unwrap();
    assert!((7000..7060).contains(&uptime), "{output}");
    assert!(said.last()["pid"].as_i64().unwrap() > 2);
    // And nothing of it stays.
    let said = world.say("inside", &["a", "ps", "-eo", "comm="]);
    let output = said.last()["output"].as_str().unwrap();
    assert_eq!(output.lines().filter(|l| *l == "capsule-run").count(), 1, "{output}");
}

#[test]
fn a_worker_s_failure_is_the_caller_s_answer() {
    let Some(world) = world() else { return };
    world.shell("a", "sleep 1000");
    let said = world.say("inside", &["a", "/no/such/program"]);
    assert_eq!(said.last()["error"], "No such file or directory (os error 2)");
    let said = world.say("inside", &["a", "panic"]);
    assert_eq!(said.last()["error"], "the worker inside capsule \"a\" ended without a result");
    assert_eq!(said.status, 70);
    assert_eq!(world.say("status", &["a"]).status, 0);
}

#[test]
fn a_worker_dies_with_its_caller() {
    let Some(world) = world() else { return };
    world.shell("a", "sleep 1000");
    let mut command = world.command("inside", &["a", "sleep", "999"]);
    let mut caller = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let workers = || {
        let said = world.say("inside", &["a", "sh", "-c", "ps -eo args= | grep -c '^sleep 999'"]);
        said.last()["output"].as_str().map(|n| n.trim().to_owned())
    };
    world.until("the worker", || (workers().as_deref() == Some("1")).then_some(()));
    caller.kill().unwrap();
    caller.wait().unwrap();
    world.until("the worker's end", || {
        let said = world.say("inside", &["a", "sh", "-c", "ps -eo comm= | grep -c capsule-run"]);
        (said.last()["output"].as_str().map(str::trim) == Some("1")).then_some(())
    });
    assert_eq!(world.say("status", &["a"]).status, 0);
}

#[test]
fn a_cancelled_worker_may_clean_up() {
    use torpor_capsule::{CapsuleError, EnterOptions, enter};
    let Some(world) = world() else { return };
    let record = world.shell("a", "sleep 1000");
    let (wish, wisher) = rustix::pipe::pipe().unwrap();
    let (cleaned, cleaner) = rustix::pipe::pipe().unwrap();
    let cleanup = || {
        let _ = rustix::io::write(&cleaner, b"cleanup ");
    };
    let options = EnterOptions { cancel: Some(wish.as_fd()), cleanup: Some(&cleanup) };
    let mut cancel = |_: &serde_json::Value| {
        let _ = rustix::io::write(&wisher, b"stop");
    };
    let polite = enter(&record, &options, &mut cancel, |reporter| {
        reporter.progress("memory", 0, 1);
        while !reporter.is_cancelled() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = rustix::io::write(&cleaner, b"polite ");
        Err(torpor_capsule::BuildFailure(serde_json::json!({ "code": "cancelled" })))
    });
    assert_eq!(
        polite.unwrap_err(),
        CapsuleError::Build { failure: serde_json::json!({ "code": "cancelled" }) }
    );
    let options = EnterOptions { cancel: None, ..options };
    let crashed = enter(&record, &options, &mut |_| {}, |_| std::process::abort());
    assert_eq!(
        crashed.unwrap_err(),
        CapsuleError::WorkerDied { id: "a".into(), detail: " (SIGABRT)".into() }
    );
    drop(cleaner);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(cleaned), &mut said).unwrap();
    assert_eq!(said, "polite cleanup ");
}

#[test]
fn no_capsule_no_entrance() {
    let Some(world) = world() else { return };
    for verb in ["inside", "status"] {
        let said = world.say(verb, &["ghost", "true"][..if verb == "inside" { 2 } else { 1 }]);
        assert_eq!(said.last()["error"], "there is no running capsule \"ghost\"");
        assert_eq!((said.status, said.last()["code"].as_str()), (5, Some("no-such-capsule")));
    }
}

#[test]
fn the_capsules_own_temporary_files_are_found_and_made_again() {
    use torpor_capsule::{EnterOptions, enter, scratch};
    let Some(world) = world() else { return };
    let script = "mkdir /tmp/d; echo hello > /tmp/d/f; ln -s d /tmp/l; echo x > /dev/shm/s; sleep 1000";
    let first = world.shell("first", script);
    let mut entries = Vec::new();
    world.until("the files", || {
        let found = enter(&first, &EnterOptions::default(), &mut |_| {}, |_| {
            assert!(scratch::contains(std::path::Path::new("/tmp")));
            assert!(!scratch::contains(std::path::Path::new("/etc")));
            Ok(serde_json::to_value(scratch::survey().unwrap().entries).unwrap())
        });
        entries = serde_json::from_value(found.unwrap()).unwrap();
        (entries.len() == 4).then_some(())
    });
    let second = world.shell("second", "sleep 1000");
    enter(&second, &EnterOptions::default(), &mut |_| {}, |_| {
        scratch::recreate(&entries).unwrap();
        let file = entries.iter().find(|e| e.path.ends_with("d/f")).unwrap();
        rustix::io::write(scratch::open(file).unwrap(), b"HELLO").unwrap();
        scratch::finish(&entries).unwrap();
        Ok(serde_json::Value::Null)
    })
    .unwrap();
    let said = world.say("inside", &["second", "sh", "-c", "cat /tmp/l/f; stat -c %s /dev/shm/s"]);
    assert_eq!(said.last()["output"], "HELLO\u{0}2\n");
}
