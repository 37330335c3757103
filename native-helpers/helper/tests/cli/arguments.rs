//! Usage errors, help, and an output that nobody reads.

use std::process::{Command, Stdio};

use crate::call::{binary, call};
use crate::program::Store;

#[test]
fn a_wrong_command_line_is_a_json_error() {
    for args in [
        &["nap"][..],
        &[],
        &["capture", "--pid", "7"],
        &["inspect", "--pid", "seven"],
        &["inspect", "--pid", "1", "--capsule", "a"],
        &["restore", "--image", "x"],
        &["run", "--capsule", "Upper Case", "--", "true"],
    ] {
        let answer = call(args);
        assert_eq!(answer.lines.len(), 1, "{answer:?}");
        answer.error(2, "usage");
    }
}

#[test]
fn help_and_version_are_text_for_people() {
    for option in ["--help", "--version"] {
        let output = Command::new(binary()).arg(option).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("torpor-helper"));
    }
}

#[test]
fn a_reader_that_went_away_changes_nothing() {
    let mut child =
        Command::new(binary()).arg("check").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn check_says_what_is_missing_for_what() {
    let report = call(&["check"]).result();
    let features = report["features"].as_array().unwrap();
    assert!(features.len() > 10);
    for feature in features {
        assert!(feature["ok"] == true || feature["remedy"].is_string(), "{feature}");
        assert!(feature["neededFor"].is_string(), "{feature}");
    }
    assert_eq!(report["arch"], std::env::consts::ARCH);
}

#[test]
fn what_is_not_there_is_named() {
    // PIDs are below 2^22.
    let error = call(&["inspect", "--pid", "4194304"]).error(5, "no-such-process");
    assert_eq!(error["message"], "there is no process 4194304");
    let store = Store::new();
    let image = store.file("image.torpor");
    let image = image.to_str().unwrap();
    call(&["capture", "--pid", "4194304", "--image", image]).error(5, "no-such-process");
    call(&["inspect", "--capsule", "nobody-has-this-name"]).error(5, "no-such-capsule");
    call(&["capture", "--capsule", "nobody-has-this-name", "--image", image]).error(5, "no-such-capsule");
    assert!(store.names().is_empty());
}
