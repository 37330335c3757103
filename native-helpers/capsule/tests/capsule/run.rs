//! Programs in capsules: how they start, what they see, how they end.

use crate::world::world;
use std::fs;
use torpor_capsule::{EntryState, registry};

#[test]
fn how_a_program_ends_is_written_down() {
    let Some(world) = world() else { return };
    for (id, command, status, signal) in [
        ("true", &["true"][..], Some(0), None),
        ("false", &["false"], Some(1), None),
        ("seven", &["sh", "-c", "exit 7"], Some(7), None),
        ("segv", &["sh", "-c", "kill -SEGV $$"], None, Some("SIGSEGV")),
        ("kill", &["sh", "-c", "kill -KILL $$"], None, Some("SIGKILL")),
    ] {
        world.say("run", &[&[id, "--"], command].concat()).record();
        let exit = world.exit(id);
        assert_eq!((exit.exit_status, exit.signal_name.as_deref()), (status, signal), "{id}");
    }
}

#[test]
fn nothing_is_left_after_the_end_but_the_records() {
    let Some(world) = world() else { return };
    let record = world.shell("a", "sleep 1000 & setsid sleep 1000 & exit 0");
    world.exit("a");
    let mut left: Vec<String> = fs::read_dir(world.folder("a"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["capsule.json", "ctl", "exit.json", "init.log", "lock"]);
    assert_eq!(fs::read_to_string(world.folder("a").join("init.log")).unwrap(), "");
    assert_eq!(registry::start_ticks(record.root_pid), None);
    if let Some(group) = record.cgroup {
        assert!(!group.parent().unwrap().exists(), "the cgroup is still there");
    }
    // The id is free again, and a new life starts without the old one's exit.
    world.shell("a", "sleep 1000");
    assert_eq!((world.entry("a").state, world.entry("a").exit), (EntryState::Alive, None));
}

#[test]
fn a_program_starts_on_a_clean_ground() {
    let Some(world) = world() else { return };
    let script = "exec > /run/torpor-capsule/noted; tty; ls /proc/self/fd | wc -l; umask; \
        grep -E 'Sig(Blk|Ign)' /proc/self/status; ulimit -Sn; cat /proc/self/oom_score_adj; env | sort; echo end";
    let mut command = world.command("run", &["a", "tty=80x24", "env=MINE=a=b", "--", "sh", "-c", script]);
    command.env("SECRET", "of the caller").env("TERM", "dumb");
    assert!(command.output().unwrap().status.success());
    world.exit("a");
    let text = world.noted("a", "noted");
    let lines: Vec<&str> = text.lines().collect();
    // `ls` has its folder open, besides 0 to 2.
    assert_eq!(lines[..2], ["/dev/pts/0", "4"], "{text}");
    assert_eq!(lines[2..4], ["0022", "SigBlk:\t0000000000000000"], "{text}");
    assert_eq!(lines[4..7], ["SigIgn:\t0000000000000000", "1024", "0"], "{text}");
    for wanted in [
        "MINE=a=b",
        "TERM=xterm-256color",
        "HOME=/root",
        "USER=root",
        "TORPOR_CAPSULE=a",
        "TORPOR_SOCKET=/run/torpor-capsule/control.sock",
    ] {
        assert!(lines.contains(&wanted), "{wanted} in {text}");
    }
    assert!(!text.contains("SECRET"), "{text}");
}

#[test]
fn only_the_capsules_own_processes_are_seen() {
    let Some(world) = world() else { return };
    let record =
        world.shell("a", "ps -eo pid=,ppid=,sid=,tty=,comm= > /run/torpor-capsule/noted; sleep 1000");
    let text = world.noted("a", "noted");
    let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["1", "0", "1", "?", "torpor-init"]);
    assert_eq!(rows[1], ["2", "1", "2", "pts/0", "sh"]);
    assert_eq!(rows.len(), 3, "{text}");
    assert_eq!(record.root_pid_inside, 2);
    let stat = fs::read_to_string(format!("/proc/{}/comm", record.root_pid)).unwrap();
    assert_eq!(stat, "sh\n");
}

#[test]
fn sigterm_to_init_reaches_the_root() {
    let Some(world) = world() else { return };
    let record = world.shell(
        "a",
        "trap 'exit 42' TERM; echo ready > /run/torpor-capsule/noted; while :; do sleep 0.05; done",
    );
    world.noted("a", "noted");
    let init = rustix::process::Pid::from_raw(record.init_pid).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::HUP).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::INT).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::TERM).unwrap();
    assert_eq!(world.exit("a").exit_status, Some(42));
}

#[test]
fn sigkill_of_init_takes_everything_and_a_sweep_cleans_up() {
    let Some(world) = world() else { return };
    let record = world.shell("a", "setsid sleep 1000 & sleep 1000");
    let group = record.cgroup.clone();
    let init = rustix::process::Pid::from_raw(record.init_pid).unwrap();
    rustix::process::kill_process(init, rustix::process::Signal::KILL).unwrap();
    world.until("the end", || (world.entry("a").state == EntryState::Ended).then_some(()));
    assert_eq!(registry::start_ticks(record.root_pid), None);
    assert_eq!(world.entry("a").exit, None);
    world.until("the sweep", || {
        world.say("sweep", &[]);
        group.as_ref().is_none_or(|g| !g.parent().unwrap().exists()).then_some(())
    });
    assert!(!world.folder("a").exists());
}

#[test]
fn orphans_are_reaped() {
    let Some(world) = world() else { return };
    world.shell(
        "a",
        "for i in 1 2 3 4 5; do (sh -c 'exit 3' & ) ; done; sleep 0.2; \
        ps -eo stat=,comm= > /run/torpor-capsule/noted; sleep 1000",
    );
    let text = world.noted("a", "noted");
    assert!(!text.lines().any(|l| l.trim_start().starts_with('Z')), "{text}");
}

#[test]
fn an_id_in_use_is_refused_and_its_owner_unharmed() {
    let Some(world) = world() else { return };
    world.shell("a", "sleep 1000");
    let said = world.say("run", &["a", "--", "true"]);
    assert_eq!((said.status, said.last()["code"].as_str()), (6, Some("busy")));
    assert_eq!(said.last()["error"], "capsule \"a\" is already running; stop it first or choose another id");
    assert_eq!(world.entry("a").state, EntryState::Alive);
    assert_eq!(world.say("status", &["a"]).last()["rootPidInside"], 2);
}

#[test]
fn what_cannot_start_is_named_and_leaves_nothing() {
    let Some(world) = world() else { return };
    for (rest, status, message) in [
        (
            &["user=nobody-of-this-name", "--", "true"][..],
            2,
            "there is no user \"nobody-of-this-name\" on this machine",
        ),
        (
            &["--", "no-such-program-here"],
            2,
            "the command \"no-such-program-here\" was not found in PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)",
        ),
        (&["--", "/no/such/file"], 2, "the command \"/no/such/file\" was not found"),
        (&["--", "/etc/passwd"], 2, "the command \"/etc/passwd\" can't be executed: Permission denied"),
        (
            &["cwd=/no/such/folder", "--", "true"],
            2,
            "the working folder \"/no/such/folder\" can't be entered inside the capsule: No such file or directory",
        ),
        (
            &["cwd=/tmp/mine", "--", "true"],
            2,
            "the working folder \"/tmp/mine\" can't be entered inside the capsule: No such file or directory; \
             the capsule has a /tmp of its own, so keep the application's files elsewhere or let it use the host's /tmp",
        ),
        (&["--"], 2, "no command was given"),
        (
            &["env=NOVALUE", "--", "true"],
            2,
            "the environment entry \"NOVALUE\" has no '=' or holds a NUL byte",
        ),
        (&["tty=0x0", "--", "true"], 2, "a terminal of 0x0 is not possible: both must be between 1 and 1000"),
        (
            &["display=1280x8", "--", "true"],
            2,
            "a display of \"1280x8\" is not possible: give WIDTHxHEIGHT in pixels, from 64x64 to 7680x4320",
        ),
    ] {
        let said = world.say("run", &[&["a"], rest].concat());
        assert_eq!((said.status, said.last()["error"].as_str()), (status, Some(message)), "{rest:?}");
        assert!(!world.folder("a").exists(), "{rest:?}");
    }
    if let Some(tree) = torpor_capsule::cgroup::find_root() {
        let key = world.cgroup_key();
        let groups = fs::read_dir(tree.join("torpor")).into_iter().flatten().flatten();
        assert!(!groups.map(|g| g.file_name()).any(|name| name.to_string_lossy().ends_with(&key)));
    }
}

#[test]
fn a_frozen_application_ends_too() {
    let Some(world) = world() else { return };
    for (id, kill) in [("asked", false), ("killed", true)] {
        let record = world.shell(id, "sleep 1000");
        let Some(group) = record.cgroup else {
            eprintln!("SKIPPED: this machine has no writable cgroup version 2 tree");
            return;
        };
        fs::write(group.join("cgroup.freeze"), "1").unwrap();
        world.until("the freeze", || {
            fs::read_to_string(group.join("cgroup.events")).ok()?.contains("frozen 1").then_some(())
        });
        // Init answers while its application is frozen.
        assert_eq!(world.say("status", &[id]).status, 0);
        if kill {
            let init = rustix::process::Pid::from_raw(record.init_pid).unwrap();
            rustix::process::kill_process(init, rustix::process::Signal::KILL).unwrap();
            world.until("the end", || (world.entry(id).state == EntryState::Ended).then_some(()));
        } else {
            world.say("end", &[id, "test"]);
            world.exit(id);
        }
        assert_eq!(registry::start_ticks(record.root_pid), None);
    }
}

#[test]
fn another_user_owns_its_terminal() {
    let Some(world) = world() else { return };
    world.say(
        "run",
        &["a", "tty=80x24", "user=54321:54322", "--", "sh", "-c", "id; echo mine > /dev/tty; sleep 1000"],
    );
    let mut client = world.attach("a", 80, 24);
    client.until_text("uid=54321 gid=54322 groups=54322");
    client.until_text("mine");
}

#[test]
fn without_a_terminal_output_goes_to_a_log() {
    let Some(world) = world() else { return };
    world
        .say("run", &["a", "--", "sh", "-c", "echo out; echo err >&2; readlink /proc/self/fd/1; wc -c"])
        .record();
    world.exit("a");
    let log = fs::read_to_string(world.folder("a").join("output.log")).unwrap();
    assert_eq!(log, "out\nerr\n/run/torpor-capsule/output.log\n0\n");
    assert!(!world.folder("a").join("attach.sock").exists());
}

#[test]
fn the_log_is_kept_below_a_size() {
    let Some(world) = world() else { return };
    let script = "head -c 10000000 /dev/zero | tr '\\0' x; sleep 4; echo after";
    world.say("run", &["a", "--", "sh", "-c", script]).record();
    let folder = world.folder("a");
    world.until("the log being put aside", || folder.join("ctl/output.log.1").exists().then_some(()));
    world.exit("a");
    assert_eq!(fs::read_to_string(folder.join("output.log")).unwrap(), "after\n");
    assert!(fs::metadata(folder.join("ctl/output.log.1")).unwrap().len() <= 8 << 20);
}

#[test]
fn temporary_names_are_free_unless_the_host_s_are_wanted() {
    let Some(world) = world() else { return };
    let mark = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    let name = mark.path().to_str().unwrap();
    world.say("run", &["a", "--", "test", "-e", name]).record();
    assert_eq!(world.exit("a").exit_status, Some(1));
    world.say("run", &["b", "tmp=host", "--", "test", "-e", name]).record();
    assert_eq!(world.exit("b").exit_status, Some(0));
    for (id, script) in
        [("c", "touch /tmp/x /dev/shm/y && test $(stat -c %a /tmp) = 1777"), ("d", "! ls /tmp/* /dev/shm/*")]
    {
        world.say("run", &[id, "--", "sh", "-c", script]).record();
        assert_eq!(world.exit(id).exit_status, Some(0), "{script}");
    }
}

#[test]
fn clocks_go_on_at_the_given_time() {
    let Some(world) = world() else { return };
    let script = "import time; print(time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), \
        file=open('/run/torpor-capsule/noted', 'w'))";
    for (id, start) in [("past", 3.0), ("future", 123_456_789.0)] {
        let option = format!("monotonic={}", start * 1e9);
        let said = world.say("run", &[id, &option, "--", "python3", "-c", script]);
        assert!(said.record().notes.is_empty(), "{said:?}");
        let noted = world.noted(id, "noted");
        for clock in noted.split_whitespace() {
            let shown: f64 = clock.parse().unwrap();
            assert!((start..start + 30.0).contains(&shown), "{noted}");
        }
    }
}

#[test]
fn an_end_on_request_names_its_reason() {
    let Some(world) = world() else { return };
    world.shell("a", "trap '' TERM; sleep 1000");
    assert_eq!(world.say("end", &["a", "hibernated"]).status, 0);
    let exit = world.exit("a");
    assert_eq!((exit.signal, exit.reason.as_deref()), (Some(9), Some("hibernated")));
}
