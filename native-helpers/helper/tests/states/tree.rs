//! What /proc says of a program's processes: who they are, and a picture of each to compare the
//! tree before a capture with the tree after the restore.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The state letter of a process, None when there is no such process.
pub fn state_of(pid: u32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// Whether any thread of a process has not ended yet; its first one may have.
pub fn lives(pid: u32) -> bool {
    numbers(&format!("/proc/{pid}/task")).iter().any(|tid| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).unwrap_or_default();
        let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, Some(state) if state != 'Z' && state != 'X')
    })
}

/// The fields of stat from the state on (field 3 of proc(5) is index 0).
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The processes below and including root.
pub fn descendants(root: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> =
        pids().into_iter().filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?))).collect();
    let mut found = BTreeSet::new();
    let mut queue = vec![root];
    while let Some(parent) = queue.pop() {
        if state_of(parent).is_some() && found.insert(parent) {
            queue.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        }
    }
    found
}

/// All processes that belong to a program: whoever has the marker in its command line or environment
/// (orphans too, and what a failed restore may have left), and their descendants.
pub fn members(marker: &str) -> Vec<u32> {
    let mut found = BTreeSet::new();
    for pid in pids() {
        // By way of the threads: a first one that has ended shows neither.
        let named = numbers(&format!("/proc/{pid}/task")).into_iter().take(2).any(|tid| {
            ["cmdline", "environ"].iter().any(|file| {
                fs::read(format!("/proc/{pid}/task/{tid}/{file}"))
                    .is_ok_and(|bytes| bytes.windows(marker.len()).any(|w| w == marker.as_bytes()))
            })
        });
        if named && pid != std::process::id() {
            found.extend(descendants(pid));
        }
    }
    found.into_iter().collect()
}

/// Where a process hangs, for a message.
pub fn describe(root: u32) -> String {
    let read =
        |file: &str| fs::read_to_string(format!("/proc/{root}/{file}")).unwrap_or_default().trim().to_owned();
    format!(
        "state {:?}, wchan {:?}, syscall {:?}",
        state_of(root).unwrap_or('-'),
        read("wchan"),
        read("syscall")
    )
}

/// All that can be seen of a tree from outside and must not differ after a restore.
pub type Picture = BTreeMap<String, String>;

pub fn picture(root: u32) -> Picture {
    let mut picture = Picture::new();
    for pid in descendants(root) {
        picture_process(pid, pid == root, &mut picture);
    }
    picture
}

fn picture_process(pid: u32, is_root: bool, picture: &mut Picture) {
    let base = format!("/proc/{pid}");
    let mut put = |key: &str, value: String| {
        picture.insert(format!("{pid} {key}"), value);
    };
    let Some(stat) = stat(pid) else { return };
    if stat[0] == "Z" && !lives(pid) {
        put("zombie", stat.last().cloned().unwrap_or_default());
        put("stat", format!("pgrp {} session {}", stat[2], stat[3]));
        return;
    }
    if !is_root {
        put("parent", stat[1].clone());
    }
    put("stat", format!("pgrp {} session {} tty {} tpgid {}", stat[2], stat[3], stat[4], stat[5]));
    put("scheduling", format!("nice {} rt {} policy {}", stat[16], stat[37], stat[38]));
    for file in ["cmdline", "environ", "auxv"] {
        let bytes = fs::read(format!("{base}/{file}")).unwrap_or_default();
        put(file, bytes.escape_ascii().to_string());
    }
    for file in
        ["limits", "oom_score_adj", "personality", "timerslack_ns", "coredump_filter", "uid_map", "gid_map"]
    {
        put(file, fs::read_to_string(format!("{base}/{file}")).unwrap_or_default());
    }
    for link in ["exe", "cwd", "root"] {
        put(link, target(&format!("{base}/{link}")));
    }
    put("maps", maps(&fs::read_to_string(format!("{base}/maps")).unwrap_or_default()));
    for fd in numbers(&format!("{base}/fd")) {
        let info = fs::read_to_string(format!("{base}/fdinfo/{fd}")).unwrap_or_default();
        let value = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim();
        // O_LARGEFILE says how a descriptor was opened, and means nothing on a 64-bit system.
        let mut flags = i64::from_str_radix(value("flags:"), 8).unwrap_or(-1) & !0o100000;
        // A file that was made without a name, and got one later, can't be opened as one that has none (O_TMPFILE).
        if fs::metadata(format!("{base}/fd/{fd}")).is_ok_and(|file| file.is_file() && file.nlink() > 0) {
            flags &= !0o20200000;
        }
        let link = target(&format!("{base}/fd/{fd}"));
        put(&format!("fd {fd}"), format!("{link} at {} flags {flags:#o}", value("pos:")));
    }
    for thread in numbers(&format!("{base}/task")) {
        let task = format!("{base}/task/{thread}");
        let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
        let kept: Vec<&str> = status
            .lines()
            .filter(|line| {
                let key = line.split(':').next().unwrap_or("");
                // What a thread that has ended had blocked means nothing.
                if key == "SigBlk" && status.contains("State:\tZ") {
                    return false;
                }
                key.starts_with("Cap")
                    || key.starts_with("Seccomp")
                    || [
                        "Name",
                        "Umask",
                        "Uid",
                        "Gid",
                        "Groups",
                        "SigBlk",
                        "SigIgn",
                        "SigCgt",
                        "SigPnd",
                        "ShdPnd",
                        "NoNewPrivs",
                        "THP_enabled",
                        "Cpus_allowed",
                    ]
                    .contains(&key)
            })
            .collect();
        put(&format!("thread {thread}"), kept.join("\n"));
    }
}

/// A link's target without the inode numbers of nameless things.
fn target(link: &str) -> String {
    let target = fs::read_link(Path::new(link));
    let text = target.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    match text.split_once(":[") {
        Some((kind, _)) if !text.starts_with('/') => kind.to_owned(),
        // Files of O_TMPFILE are called after their inode; a name that is taken by now can't be had again.
        _ => match (text.strip_suffix(" (deleted)"), text.rsplit_once("/#")) {
            (Some(_), Some((folder, _))) => format!("{folder}/# (deleted)"),
            // The number of a terminal whose master is gone is free for the next one.
            (Some(path), None) if path.starts_with("/dev/pts/") => "/dev/pts/# (deleted)".to_owned(),
            (Some(path), None) => {
                let kept = path.trim_end_matches(|c: char| c.is_ascii_digit());
                format!("{} (deleted)", kept.strip_suffix(".torpor").unwrap_or(path))
            }
            _ => text,
        },
    }
}

fn numbers(folder: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    found.sort_unstable();
    found
}

/// The mappings without inodes, neighbours that the kernel may or may not have merged as one.
fn maps(text: &str) -> String {
    struct Map {
        start: u64,
        end: u64,
        perms: String,
        offset: u64,
        path: String,
    }
    let mut merged: Vec<Map> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let range = words.next().unwrap_or("");
        let Some((start, end)) = range.split_once('-') else { continue };
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
        let map = Map {
            start: number(start),
            end: number(end),
            perms: words.next().unwrap_or("").to_owned(),
            offset: number(words.next().unwrap_or("")),
            path: without_socket_number(words.skip(2).collect::<Vec<_>>().join(" ")),
        };
        if let Some(last) = merged.last_mut() {
            let continues = map.path.is_empty() || last.offset + (last.end - last.start) == map.offset;
            if last.end == map.start && last.perms == map.perms && last.path == map.path && continues {
                last.end = map.end;
                continue;
            }
        }
        merged.push(map);
    }
    let lines: Vec<String> = merged
        .iter()
        .map(|m| format!("{:x}-{:x} {} {:x} {}", m.start, m.end, m.perms, m.offset, m.path))
        .collect();
    lines.join("\n")
}

/// A mapped socket is named by its inode, which a new one has of its own.
fn without_socket_number(path: String) -> String {
    if path.starts_with("socket:[") { "socket".to_owned() } else { path }
}

/// The differences of two pictures, line by line, None when there are none.
pub fn differences(before: &Picture, after: &Picture) -> Option<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut text = String::new();
    for key in keys {
        let (was, is) = (before.get(key), after.get(key));
        if was == is {
            continue;
        }
        match (was, is) {
            (Some(was), Some(is)) => {
                let (old, new): (Vec<_>, Vec<_>) = (was.lines().collect(), is.lines().collect());
                for line in old.iter().filter(|line| !new.contains(line)) {
                    text += &format!("\n  {key}: was {line}");
                }
                for line in new.iter().filter(|line| !old.contains(line)) {
                    text += &format!("\n  {key}: is  {line}");
                }
            }
            (Some(was), None) => text += &format!("\n  {key}: gone, was {was}"),
            (None, Some(is)) => text += &format!("\n  {key}: new, is {is}"),
            (None, None) => {}
        }
    }
    (!text.is_empty()).then_some(text)
}
