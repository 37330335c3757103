//! The document's text.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::{
    BLOCKED, CARRIED, LARGE_PROGRAMS, LargeResult, OPEN, PROGRAMS, REFUSED, STATES, State, blockers, checkout,
};

const HEADING: &str = "## Tested with";

/// Which states stand together: the first part of their names, and the group's title.
const GROUPS: &[(&str, &[&str])] = &[
    ("Processes and processors", &["proc", "cpu"]),
    ("Threads", &["thread"]),
    ("Credentials, limits, scheduling", &["cred"]),
    ("Signals", &["sig"]),
    ("Timers", &["timer"]),
    ("System calls in progress", &["call"]),
    ("Memory", &["mem"]),
    ("Files and locks", &["file", "lock", "many"]),
    ("Pipes and event descriptors", &["pipe", "fifo", "event"]),
    ("Terminals", &["tty"]),
    ("Sockets", &["unix", "tcp", "udp", "socket", "vsock"]),
    ("IPC", &["ipc"]),
    ("Namespaces and cgroups", &["ns", "cgroup"]),
];

/// The whole document, with this list of versions.
pub fn render(versions: &str) -> String {
    let mut text = String::from(
        "# Compatibility\n\n\
         <!-- Written by `npm run compatibility`, from the lists of the test suites and the engine's own words. \
         `npm test` fails where this file says something else. -->\n\n\
         What Torpor captures and restores, and what it refuses. Each line is a test that `npm test` runs (but for the large programs, see there): \
         **works** means that it passed; **blocker** means that `inspect` names it beforehand (or a \
         capture, where only the stopped program tells), a capture refuses, and the program runs on; **not yet** is a known gap.\n\n",
    );
    let _ = writeln!(text, "{HEADING}\n\n{versions}");
    programs(&mut text);
    states(&mut text);
    words(&mut text);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The document without what differs from machine to machine.
pub fn without_versions(text: &str) -> String {
    let Some((before, rest)) = text.split_once(HEADING) else { return text.to_owned() };
    let after = rest.find("\n## ").map_or("", |at| &rest[at..]);
    format!("{before}{after}")
}

/// The machine that the suites run on.
pub fn versions() -> String {
    let mut text = String::new();
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system =
        system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("").trim_matches('"');
    let _ = writeln!(text, "- Linux {kernel}, {system}");
    let mut asked = BTreeSet::new();
    for program in PROGRAMS.iter().filter(|program| asked.insert(program.version)) {
        let said = version(program.version);
        let said = said.unwrap_or_else(|| panic!("{} tells no version", program.version));
        let _ = writeln!(text, "- {said}");
    }
    // Not on every machine.
    for (program, _) in LARGE_PROGRAMS {
        if asked.insert(program.version)
            && let Some(said) = version(program.version)
        {
            let _ = writeln!(text, "- {said}");
        }
    }
    text
}

/// The first line with a number in what a command says, or else in what it complains of; `None` where there is no such program.
fn version(command: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", command])
        .env("PATH", format!("{path}:/usr/sbin:/usr/local/go/bin:/usr/lib/postgresql/15/bin"))
        .env("QT_QPA_PLATFORM", "offscreen")
        .output()
        .expect("ask for a version");
    // As sh(1) ends when it does not find a command.
    if output.status.code() == Some(127) {
        return None;
    }
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()))?.trim();
    let name = command.split_whitespace().next().unwrap_or_default();
    Some(if line.to_lowercase().contains(name) { line.to_owned() } else { format!("{name}: {line}") })
}

fn programs(text: &mut String) {
    text.push_str(
        "## Programs\n\nEach under load, through captures that end it and captures that leave it running, \
         restored with the same process ids, and judged by what its users would notice. Connections of \
         clients that are not part of the tree come back as broken off (`--meta connections=reset`), and the \
         clients connect again.\n\n| program | result | how |\n| --- | --- | --- |\n",
    );
    for program in PROGRAMS {
        let _ = writeln!(text, "| {} | works | {} |", program.title, program.how);
    }
    text.push_str(
        "\n### Large programs\n\nTaken through the same on an Xvnc that is part of the tree, but not by `npm test`, \
         which does not install them: `npm run setup -- --large-programs`, then `cargo test --features \
         large-programs --test programs` in `native-helpers/helper`. Their sandboxes and crash handlers make \
         orphans, which belong to the tree in a capsule or under a subreaper.\n\n\
         | program | result | how |\n| --- | --- | --- |\n",
    );
    for (program, result) in LARGE_PROGRAMS {
        let result = match result {
            LargeResult::Works => "works".to_owned(),
            LargeResult::Blocker(code) => format!("blocker `{code}`"),
        };
        let _ = writeln!(text, "| {} | {result} | {} |", program.title, program.how);
    }
    text.push('\n');
}

fn states(text: &mut String) {
    text.push_str("## Kinds of state\n");
    let mut shown = BTreeSet::new();
    for (title, kinds) in GROUPS {
        let _ = writeln!(text, "\n### {title}\n\n| state | what | result |\n| --- | --- | --- |");
        for state in STATES.iter().filter(|state| kinds.contains(&kind(state.name))) {
            shown.insert(state.name);
            row(text, state, &result(state.name));
        }
    }
    let left: Vec<&str> =
        STATES.iter().map(|state| state.name).filter(|name| !shown.contains(name)).collect();
    assert!(left.is_empty(), "states without a group in the document: {left:?}");
    text.push_str("\n### What can't be captured\n\n| state | what | result |\n| --- | --- | --- |\n");
    for (state, code, at_capture) in BLOCKED {
        let by = if *at_capture { ", named by a capture" } else { "" };
        row(text, state, &format!("blocker `{code}`{by}"));
    }
    text.push('\n');
}

fn row(text: &mut String, state: &State, result: &str) {
    let arguments = state.args.join(" ");
    let what = purpose(state.program);
    let what = if arguments.is_empty() { what } else { format!("{what} Here: {arguments}.") };
    let _ = writeln!(text, "| `{}` | {} | {result} |", state.name, what.replace('|', "\\|"));
}

fn kind(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

fn result(name: &str) -> String {
    let of =
        |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    match (of(OPEN), of(REFUSED)) {
        (Some(reason), _) => format!("not yet: {reason}"),
        (None, Some(code)) => format!("blocker `{code}`"),
        (None, None) => {
            assert!(CARRIED.contains(&name), "{name} has no result");
            "works".to_owned()
        }
    }
}

/// What a state program says of itself in its first lines.
fn purpose(program: &str) -> String {
    let file = checkout().join(format!("tests/states/{program}.c"));
    let source = fs::read_to_string(&file).expect("read a state program");
    let lines: Vec<&str> = source
        .lines()
        .take_while(|line| line.starts_with("//") && !line.starts_with("// build:"))
        .map(|line| line.trim_start_matches('/').trim())
        .collect();
    assert!(!lines.is_empty(), "{program}.c does not say what it holds");
    without_arguments(&lines.join(" "))
}

/// A remark in brackets on what the program's arguments mean: which they are stands behind.
fn without_arguments(text: &str) -> String {
    let start = ["(argument", "(Argument"].iter().find_map(|mark| text.find(mark));
    let Some(start) = start else { return text.to_owned() };
    let Some(end) = text[start..].find(')') else { return text.to_owned() };
    format!("{}{}", text[..start].trim_end(), &text[start + end + 1..])
}

fn words(text: &mut String) {
    text.push_str(
        "## Blockers\n\nThe words of `torpor inspect`, `torpor-helper inspect` and of a refused capture. \
         Nothing has been touched when they appear.\n\n\
         | code | what stands in the way | what to do |\n| --- | --- | --- |\n",
    );
    for blocker in blockers::all() {
        let _ = writeln!(text, "| `{}` | {} | {} |", blocker.code, blocker.message, blocker.remedy);
    }
}
