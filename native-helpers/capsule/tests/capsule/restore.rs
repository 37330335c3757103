//! Capsules whose tree comes from a closure, as the engine's restore does it.

use crate::world::world;
use std::os::fd::AsFd;
use std::process::Stdio;
use torpor_capsule::EntryState;

#[test]
fn a_tree_built_by_a_closure_lives_in_a_capsule_of_its_own() {
    let Some(world) = world() else { return };
    let said = world.say("toy", &["a", "plain"]);
    let record = said.record();
    assert_eq!(said.lines[0]["type"], "progress");
    assert!(
        said.last()["result"]["readLength"].as_u64().unwrap() > 10,
        "descriptors opened before are usable"
    );
    assert_eq!(record.root_pid_inside, 2);
    assert_eq!(record.restored_from.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    assert!(!record.tty);
    assert_eq!(world.entry("a").state, EntryState::Alive);
    let inside = world
        .say("inside", &["a", "sh", "-c", "ps -o args= 2; cut -d. -f1 /proc/uptime; ls /proc/1/fd | wc -l"]);
    let output = inside.last()["output"].as_str().unwrap();
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(lines[0], "/bin/sleep 1000");
    assert!((6000..6060).contains(&lines[1].parse::<u64>().unwrap()), "{output}");
    // 0 to 2, folder, lock, log, signals, init.sock: nothing of the caller's.
    assert_eq!(lines[2], "8", "{output}");
}

#[test]
fn its_end_is_written_down_too() {
    let Some(world) = world() else { return };
    world.say("toy", &["a", "short"]).record();
    assert_eq!(world.exit("a").exit_status, Some(0));
}

#[test]
fn a_failed_build_leaves_nothing_and_tells_why() {
    let Some(world) = world() else { return };
    let said = world.say("toy", &["a", "fail"]);
    assert_eq!(said.last()["error"], "the toy is broken");
    assert!(!world.folder("a").exists());
    let said = world.say("toy", &["a", "panic"]);
    let message = said.last()["error"].as_str().unwrap();
    assert!(message.starts_with("the capsule's init ended before its program ran"), "{message}");
    assert!(!world.folder("a").exists());
}

#[test]
fn a_caller_killed_during_the_build_leaves_nothing() {
    let Some(world) = world() else { return };
    let mut command = world.command("toy", &["a", "hang"]);
    let mut caller = command.stdout(Stdio::null()).spawn().unwrap();
    let folder = world.folder("a");
    world.until("the build", || folder.join("init.sock").exists().then_some(()));
    assert_eq!(world.entry("a").state, EntryState::Starting);
    std::thread::sleep(std::time::Duration::from_millis(100));
    caller.kill().unwrap();
    caller.wait().unwrap();
    world.until("the clean-up", || (!folder.exists()).then_some(()));
    world.shell("a", "sleep 1000");
}

#[test]
fn a_guardian_killed_during_the_build_leaves_nothing() {
    let Some(world) = world() else { return };
    let mut command = world.command("toy", &["a", "hang"]);
    let mut caller = command.stdout(Stdio::null()).spawn().unwrap();
    let folder = world.folder("a");
    world.until("the build", || folder.join("init.sock").exists().then_some(()));
    let children = format!("/proc/{0}/task/{0}/children", caller.id());
    let guardian = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
    let guardian = rustix::process::Pid::from_raw(guardian).unwrap();
    rustix::process::kill_process(guardian, rustix::process::Signal::KILL).unwrap();
    assert_eq!(caller.wait().unwrap().code(), Some(70));
    assert!(!folder.exists());
    world.until("the sweep of its cgroup", || {
        world.say("sweep", &[]);
        let tree = torpor_capsule::cgroup::find_root()?;
        let groups = std::fs::read_dir(tree.join("torpor")).into_iter().flatten().flatten();
        let key = format!("a@{}", world.cgroup_key());
        (!groups.map(|g| g.file_name()).any(|name| *name == *key)).then_some(())
    });
}

#[test]
fn a_cancelled_build_leaves_nothing() {
    use torpor_capsule::{BuildFailure, Built, Capsule, CapsuleError, CapsuleId, Io, Spec};
    let Some(world) = world() else { return };
    let (wish, wisher) = rustix::pipe::pipe().unwrap();
    let spec = Spec::new(CapsuleId::new("a").unwrap(), world.run(), Io::Log);
    let outcome = Capsule::create_for_restore(
        &spec,
        Some(wish.as_fd()),
        // The first progress shows that it builds.
        &mut |_| {
            let _ = rustix::io::write(&wisher, b"stop");
        },
        |context| -> Result<Built, BuildFailure> {
            context.reporter.progress("build", 0, 1);
            loop {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        },
    );
    assert_eq!(outcome.unwrap_err(), CapsuleError::Cancelled);
    assert!(!world.folder("a").exists());
}

#[test]
fn init_does_work_in_the_background() {
    let Some(world) = world() else { return };
    world.say("toy", &["a", "background"]).record();
    world.until("the work's end", || {
        (world.say("status", &["a"]).last()["backgroundTasks"] == 0).then_some(())
    });
    assert_eq!(world.entry("a").state, EntryState::Alive);
}

#[test]
fn a_terminal_shows_what_it_showed_and_unread_input_is_read() {
    let Some(world) = world() else { return };
    let script = "printf 'before the \\033[1mimage\\033[0m\\n\\033]2;a title\\007'; stty -echo; echo ready; sleep 1000";
    world.say("run", &["a", "tty=100x30", "--", "sh", "-c", script]).record();
    let mut client = world.attach("a", 0, 0);
    client.until_text("ready");
    client.type_in("typed ahead\nunfinished");
    // Input goes through init to the terminal; an answered question proves that it has.
    world.until("the input's arrival", || {
        let state = world.say("state", &["a", "frozen"]);
        (state.last()["unreadInput"] == "dHlwZWQgYWhlYWQKdW5maW5pc2hlZA==").then_some(())
    });
    let state = world.say("state", &["a", "frozen"]).last().to_string();

    let record = world.say_with_input("toy", &["b", "terminal"], &state).record();
    assert!(record.tty);
    let mut client = world.attach("b", 0, 0);
    client.until_text("got typed ahead");
    let text = client.text();
    for wanted in ["before the \x1b[0;1mimage\x1b[0m", "\x1b]2;a title\x07", "ready", "restored"] {
        assert!(text.contains(wanted), "{wanted:?} in {}", text.escape_debug());
    }
    assert_eq!(text.matches("before the").count(), 1);
    let status = world.say("status", &["b"]);
    assert_eq!(
        (&status.last()["size"]["columns"], &status.last()["title"]),
        (&100.into(), &"a title".into())
    );
    let again = world.say("state", &["b", "frozen"]);
    let terminal = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["termios"].clone();
    assert_eq!(again.last()["termios"], terminal(&state));
    assert_eq!(again.last()["unreadInput"], "dW5maW5pc2hlZA==");
}

#[test]
fn a_reader_that_is_not_frozen_does_not_hang_init() {
    let Some(world) = world() else { return };
    world.shell("a", "echo ready > /run/torpor-capsule/noted; while :; do read line; done");
    world.noted("a", "noted");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(world.say("state", &["a", "frozen"]).status, 0);
    assert_eq!(world.say("status", &["a"]).status, 0);
}
