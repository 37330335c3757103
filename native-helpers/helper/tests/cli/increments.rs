//! `capture --parent`: only what has changed is written, the images of a chain belong together, and whatever
//! is wrong with a parent is said before anything is made.

use std::path::Path;

use crate::call::{Answer, call};
use crate::program::{Program, Store};

fn capture(program: &Program, image: &Path, parent: Option<&Path>) -> Answer {
    let pid = program.pid().to_string();
    let mut args = vec!["capture", "--pid", &pid, "--image", image.to_str().expect("text")];
    if let Some(parent) = parent {
        args.extend(["--parent", parent.to_str().expect("text")]);
    }
    call(&args)
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let (mut program, store) = (Program::with_memory(32), Store::new());
    let (first, second) = (store.file("first.torpor"), store.file("second.torpor"));
    let whole = capture(&program, &first, None).result();
    let increment = capture(&program, &second, Some(&first)).result();
    assert_eq!(increment["parentId"], whole["imageId"]);
    let bytes = |report: &serde_json::Value| report["fileBytes"].as_u64().expect("a number");
    assert!(bytes(&increment) * 20 < bytes(&whole), "{} of {} bytes", bytes(&increment), bytes(&whole));
    assert_eq!(increment["sizes"]["virtualBytes"], whole["sizes"]["virtualBytes"]);
    let physical = |report: &serde_json::Value| report["sizes"]["physicalBytes"].as_u64().expect("a number");
    assert!(physical(&increment).abs_diff(physical(&whole)) < 1 << 20);
    let shown = call(&["show", "--image", second.to_str().unwrap()]).result();
    assert_eq!(shown["parentId"], whole["imageId"]);
    assert!(shown["rootCommand"][0].as_str().unwrap().ends_with("python3"), "{shown}");
    // Without the parent, nothing is made.
    std::fs::write(&first, "not an image").unwrap();
    let pid = program.pid().to_string();
    call(&["capture", "--pid", &pid, "--image", store.file("last.torpor").to_str().unwrap(), "--stop"])
        .result();
    program.assert_ended();
    let error =
        call(&["restore", "--in-place", "--image", second.to_str().unwrap()]).error(4, "parent-missing");
    assert!(error["message"].as_str().unwrap().contains(whole["imageId"].as_str().unwrap()), "{error}");
}

#[test]
fn a_parent_of_another_tree_is_refused() {
    let (program, other, store) = (Program::sleep(), Program::sleep(), Store::new());
    let (first, second) = (store.file("first.torpor"), store.file("second.torpor"));
    capture(&other, &first, None).result();
    let error = capture(&program, &second, Some(&first)).error(4, "incompatible");
    assert!(error["message"].as_str().unwrap().contains("of another tree"), "{error}");
    assert_eq!(store.names(), ["first.torpor"]);
}

#[test]
fn a_parent_that_is_missing_or_damaged_is_refused() {
    let (program, store) = (Program::sleep(), Store::new());
    let (first, second) = (store.file("first.torpor"), store.file("second.torpor"));
    capture(&program, &second, Some(&first)).error(4, "parent-missing");
    capture(&program, &first, None).result();
    capture(&program, &second, Some(&first)).result();
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let third = store.file("third.torpor");
    for parent in [&first, &second] {
        capture(&program, &third, Some(parent)).error(4, "damaged");
    }
    assert_eq!(store.names(), ["first.torpor", "second.torpor"]);
}

#[test]
fn a_chain_that_is_long_enough_is_followed_by_a_complete_image() {
    let (program, store) = (Program::sleep(), Store::new());
    let file = |n: u32| store.file(&format!("{n:02}.torpor"));
    capture(&program, &file(1), None).result();
    for n in 2..=16 {
        assert!(capture(&program, &file(n), Some(&file(n - 1))).result()["parentId"].is_string(), "{n}");
    }
    let complete = capture(&program, &file(17), Some(&file(16))).result();
    assert!(complete["parentId"].is_null());
    assert!(complete["notes"][0].as_str().unwrap().starts_with("complete, without a parent"), "{complete}");
}

#[test]
fn a_flattened_image_needs_no_parent() {
    let (mut program, store) = (Program::with_memory(8), Store::new());
    let (first, second, flat) = (store.file("1.torpor"), store.file("2.torpor"), store.file("flat.torpor"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let whole = capture(&program, &first, None).result();
    let pid = program.pid().to_string();
    let increment =
        call(&["capture", "--pid", &pid, "--image", &text(&second), "--parent", &text(&first), "--stop"])
            .result();
    program.assert_ended();
    assert_eq!(call(&["verify", "--image", &text(&second)]).result()["parents"], 1);
    let report = call(&["flatten", "--image", &text(&second), "--output", &text(&flat)]).result();
    assert_eq!(report["flattenedId"], increment["imageId"]);
    assert_eq!(report["parents"], 1);
    assert_ne!(report["imageId"], increment["imageId"]);
    call(&["flatten", "--image", &text(&second), "--output", &text(&flat)]).error(6, "resource");
    let instead = store.file("instead.torpor");
    let kept =
        call(&["flatten", "--image", &text(&second), "--output", &text(&instead), "--keep-id"]).result();
    assert_eq!(kept["imageId"], increment["imageId"]);
    assert_eq!(call(&["verify", "--image", &text(&instead)]).result()["parents"], 0);
    std::fs::remove_file(&instead).unwrap();

    // A byte of the parent's memory: it lies between the index and the footer.
    let mut bytes = std::fs::read(&first).unwrap();
    let at = bytes.len() - (1 << 20);
    bytes[at] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    let error = call(&["verify", "--image", &text(&second)]).error(4, "damaged");
    let told = format!("image {}, which it builds on", whole["imageId"].as_str().unwrap());
    assert!(error["message"].as_str().unwrap().contains(&told), "{error}");
    let other = store.file("other.torpor");
    call(&["flatten", "--image", &text(&second), "--output", &text(&other)]).error(4, "damaged");
    assert!(!other.exists());
    std::fs::remove_file(&first).unwrap();
    call(&["verify", "--image", &text(&second)]).error(4, "parent-missing");

    std::fs::remove_file(&second).unwrap();
    let shown = call(&["show", "--image", &text(&flat)]).result();
    assert!(shown["parentId"].is_null(), "{shown}");
    assert_eq!(shown["sizes"]["physicalBytes"], increment["sizes"]["physicalBytes"]);
    assert_eq!(call(&["verify", "--image", &text(&flat)]).result()["parents"], 0);
    let restored = call(&["restore", "--in-place", "--image", &text(&flat)]).result();
    assert_eq!(restored["rootPid"].to_string(), pid);
    // SAFETY: the process that this test has started and restored.
    assert_eq!(unsafe { libc::kill(pid.parse().unwrap(), libc::SIGKILL) }, 0);
}
