//! `verify` and `show`, and every command on an image that is not what it should be.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use torpor_image::{Arch, HeaderInfo, ImageId, ImageWriter, Layout, Plan, WriteOptions};

use crate::call::call;
use crate::program::{Program, Store};

struct Captured {
    bytes: Vec<u8>,
    report: Value,
    pid: i32,
}

/// An image of a `sleep`, made once.
fn captured() -> &'static Captured {
    static IMAGE: OnceLock<Captured> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let (program, store) = (Program::sleep(), Store::new());
        let path = store.file("a.torpor");
        let pid = program.pid();
        let report = call(&["capture", "--pid", &pid.to_string(), "--image", text(&path)]).result();
        Captured { bytes: std::fs::read(&path).unwrap(), report, pid }
    })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Every command that reads an image has to refuse this one, with this code.
#[track_caller]
fn assert_refused(bytes: &[u8], code: &str) {
    let store = Store::new();
    let path = store.file("a.torpor");
    std::fs::write(&path, bytes).unwrap();
    for command in [&["verify"][..], &["show"], &["restore", "--in-place"]] {
        let mut args = command.to_vec();
        args.extend(["--image", text(&path)]);
        let error = call(&args).error(4, code);
        assert!(error["message"].as_str().unwrap().contains("a.torpor"), "{error}");
    }
    assert_eq!(store.names(), ["a.torpor"]);
}

#[test]
fn a_good_image_is_verified_and_shown() {
    let captured = captured();
    let store = Store::new();
    let path = store.file("a.torpor");
    std::fs::write(&path, &captured.bytes).unwrap();

    let verified = call(&["verify", "--image", text(&path)]).result();
    assert_eq!((&verified["ok"], &verified["imageId"]), (&true.into(), &captured.report["imageId"]));
    assert_eq!(verified["bytes"].as_u64().unwrap(), captured.bytes.len() as u64);

    let shown = call(&["show", "--image", text(&path)]).result();
    for key in ["imageId", "sizes", "fileBytes", "processes", "threads", "compress"] {
        assert_eq!(shown[key], captured.report[key], "{key}");
    }
    assert_eq!(shown["rootComm"], "sleep");
    assert_eq!(shown["rootCommand"], serde_json::json!(["sleep", "1000"]));
    assert_eq!((&shown["formatVersion"], &shown["parentId"]), (&1.into(), &Value::Null));
    assert!(shown["createdAt"].as_str().unwrap().ends_with('Z'));
    assert!(shown.get("tree").is_none() && shown.get("memory").is_none() && shown.get("files").is_none());
}

#[test]
fn all_of_an_image_can_be_seen() {
    let captured = captured();
    let store = Store::new();
    let path = store.file("a.torpor");
    std::fs::write(&path, &captured.bytes).unwrap();
    let shown = call(&["show", "--image", text(&path), "--tree", "--memory", "--files"]).result();

    let process = &shown["tree"]["processes"][0];
    assert_eq!((&process["pid"], &process["comm"]), (&captured.pid.into(), &"sleep".into()));
    let thread = &process["threads"][0];
    assert!(thread["regs"]["rip"].as_str().unwrap().starts_with("0x"), "{thread}");
    assert!(
        thread["xstate"]["bytes"].as_u64().unwrap() > 500 && thread["xstate"]["blake3"].is_string(),
        "{thread}"
    );
    assert!(thread["credentials"]["uids"].is_array(), "{thread}");
    assert!(shown["tree"]["origin"]["bootId"].is_string());

    let mappings = shown["memory"]["addressSpaces"][0]["mappings"].as_array().unwrap();
    assert!(mappings.len() > 5 && mappings[0]["start"].as_str().unwrap().starts_with("0x"), "{mappings:?}");
    let bytes: u64 = shown["memory"]["spaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["physicalBytes"].as_u64().unwrap())
        .sum();
    assert_eq!(bytes, shown["sizes"]["physicalBytes"].as_u64().unwrap());

    let descriptors = shown["files"]["tables"][0]["descriptors"].as_array().unwrap();
    let numbers: Vec<&Value> = descriptors.iter().map(|d| &d["fd"]).collect();
    assert_eq!(numbers[..3], [0, 1, 2], "{descriptors:?}");
    let file = descriptors[0]["file"].as_u64().unwrap() as usize;
    assert_eq!(shown["files"]["files"][file]["description"], "/dev/null");

    let full = call(&["show", "--image", text(&path), "--tree", "--full"]).result();
    let thread = &full["tree"]["processes"][0]["threads"][0];
    assert_eq!(
        thread["xstate"]["hex"].as_str().unwrap().len() as u64,
        2 * thread["xstate"]["bytes"].as_u64().unwrap()
    );
}

#[test]
fn a_cut_image_is_refused() {
    let bytes = &captured().bytes;
    for len in [bytes.len() - 1, bytes.len() - 4096, bytes.len() / 2, 8192, 4096, 4095] {
        assert_refused(&bytes[..len], "damaged");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_refused(&longer, "damaged");
}

#[test]
fn a_flipped_bit_is_found() {
    let bytes = &captured().bytes;
    // Header, system state, footer: refused by all. (The magic makes it foreign.)
    for at in [100, 4096 + 10, bytes.len() - 4000] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert_refused(&flipped, "damaged");
    }
    // In memory, verify finds it and names the block.
    let mut flipped = bytes.clone();
    let at = bytes.len() - 2 * 4096;
    flipped[at] ^= 1;
    let store = Store::new();
    let path = store.file("a.torpor");
    std::fs::write(&path, flipped).unwrap();
    let error = call(&["verify", "--image", text(&path)]).error(4, "damaged");
    assert!(error["message"].as_str().unwrap().contains("damaged"), "{error}");
}

#[test]
fn what_is_no_image_is_foreign() {
    assert_refused(b"", "foreign");
    assert_refused(b"#!/bin/sh\n", "foreign");
    assert_refused(&vec![0; 100_000], "foreign");
}

#[test]
fn an_image_that_is_not_there_is_a_missing_resource() {
    let store = Store::new();
    for command in [&["verify"][..], &["show"], &["restore", "--in-place"]] {
        let mut args = command.to_vec();
        let path = store.file("none.torpor");
        args.extend(["--image", text(&path)]);
        call(&args).error(6, "resource");
    }
}

/// A well-formed image around any system state.
fn forged(state: &[u8], arch: Arch) -> Vec<u8> {
    let layout = Layout::new(Plan { state_len: state.len() as u64, runs: Vec::new() }).unwrap();
    let info =
        HeaderInfo { image_id: ImageId([7; 16]), parent: None, chain_len: 1, arch, created_at_unix_ms: 0 };
    let mut bytes = Vec::new();
    let mut writer = ImageWriter::new(&mut bytes, info, layout, WriteOptions::default());
    writer.write_state(state).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn a_state_that_makes_no_sense_is_damage() {
    // Valid checksums around rubbish, an empty map, and deep nesting.
    for state in [&b"\xff\xff\xff"[..], b"\xa0", &[0x81; 5000], b""] {
        assert_refused(&forged(state, Arch::HOST), "damaged");
    }
}

#[test]
fn an_image_of_another_machine_is_not_restored() {
    let store = Store::new();
    let path = store.file("a.torpor");
    std::fs::write(&path, forged(b"\xa0", Arch::AARCH64)).unwrap();
    call(&["restore", "--image", text(&path), "--in-place"]).error(4, "incompatible");
    call(&["restore", "--image", text(&path), "--capsule", "a"]).error(4, "incompatible");
}
