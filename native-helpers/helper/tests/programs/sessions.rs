//! What people leave open: a terminal session, an agent with keys.

use std::fs;
use std::process::Command;

use crate::running::{Running, folder, output, program, until, ways};

pub fn tmux() {
    let binary = program("tmux", &[]);
    let folder = folder();
    let makefile = "all: $(addprefix piece,$(shell seq 1 2000))\npiece%:\n\t@sleep 0.05; echo $* >> done\n";
    fs::write(folder.path().join("Makefile"), makefile).unwrap();
    let mut command = Command::new(&binary);
    command.args(["-S", "socket", "-f", "/dev/null", "-D"]).env_remove("TMUX").env("TERM", "xterm-256color");
    let folder_name = &folder.path().to_str().expect("a path in UTF-8").to_owned();
    let mut server = Running::start(folder, &mut command);
    let socket = server.path("socket");
    let tmux = |args: &[&str]| output(Command::new(&binary).arg("-S").arg(&socket).args(args));
    let shows = |window: &str, text: &str| {
        until(&format!("{window} shows {text}"), || {
            tmux(&["capture-pane", "-p", "-t", window]).contains(text).then_some(())
        });
    };
    until("tmux listens", || socket.exists().then_some(()));
    tmux(&["new-session", "-d", "-c", folder_name, "-s", "s", "-x", "100", "-y", "30", "bash --norc"]);
    tmux(&["new-window", "-c", folder_name, "-t", "s:", "bash --norc"]);
    tmux(&["new-window", "-c", folder_name, "-t", "s:", "bash --norc"]);
    tmux(&["send-keys", "-t", "s:0", "vim -u NONE letter", "Enter"]);
    tmux(&["send-keys", "-t", "s:1", "make -j2", "Enter"]);
    tmux(&["send-keys", "-t", "s:2", "word=kept", "Enter"]);
    shows("s:0", "[New");
    tmux(&["send-keys", "-t", "s:0", "iDear reader,"]);
    shows("s:0", "Dear reader,");
    let done = server.path("done");
    let pieces = || -> Vec<u32> {
        let text = fs::read_to_string(&done).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until("make works", || (!pieces().is_empty()).then_some(()));
    for (round, way) in ways(false).enumerate() {
        server.take(way);
        let before = pieces().len();
        until("make goes on", || (pieces().len() > before).then_some(()));
        // A line each: no word is cut in two at a line's end.
        tmux(&["send-keys", "-t", "s:0", &format!("again{round}."), "Enter"]);
        shows("s:0", &format!("again{round}."));
        tmux(&["send-keys", "-t", "s:2", &format!("echo round{round}-$word"), "Enter"]);
        shows("s:2", &format!("round{round}-kept"));
        // A new size reaches the shell by SIGWINCH, some time after the command that sets it.
        let width = 90 - round;
        tmux(&["resize-window", "-t", "s:2", "-x", &width.to_string()]);
        until(&format!("the shell knows of {width} columns"), || {
            tmux(&["send-keys", "-t", "s:2", "echo now=$COLUMNS.", "Enter"]);
            tmux(&["capture-pane", "-p", "-t", "s:2"]).contains(&format!("now={width}.")).then_some(())
        });
    }
    tmux(&["send-keys", "-t", "s:0", "Escape", "gg"]);
    shows("s:0", "Dear reader,again0.");
    let mut all = pieces();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "make did a piece twice");
}

pub fn ssh_agent() {
    let folder = folder();
    let (key, public) = (folder.path().join("key"), folder.path().join("key.pub"));
    let socket = folder.path().join("socket");
    let mut command = Command::new(program("ssh-agent", &[]));
    command.arg("-D").arg("-a").arg(&socket);
    let mut agent = Running::start(folder, &mut command);
    until("the agent listens", || socket.exists().then_some(()));
    output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
    output(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket));
    // From here on only the agent's memory has it.
    fs::remove_file(&key).unwrap();
    for way in ways(true) {
        agent.take(way);
        let listed = output(Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket));
        assert!(listed.contains("ED25519"), "{listed}");
        // Signs and verifies.
        output(Command::new("ssh-add").arg("-T").arg(&public).env("SSH_AUTH_SOCK", &socket));
    }
}
