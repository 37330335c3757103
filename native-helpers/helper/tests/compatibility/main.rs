//! docs/compatibility.md says what works and what doesn't. It is made here, from the very lists that the state
//! suite and the programs' suite run, and from the engine's own words for what it refuses: this test fails
//! where the file says something else. `npm run compatibility` writes it.

mod blockers;
mod document;

use std::fs;
use std::path::{Path, PathBuf};

/// One state of the list: its name, its program and the program's arguments.
pub struct State {
    pub name: &'static str,
    pub program: &'static str,
    pub args: &'static [&'static str],
}

/// One real program: its title, the command that tells its version, and what it is doing when it is captured.
pub struct Program {
    pub title: &'static str,
    pub version: &'static str,
    pub how: &'static str,
}

macro_rules! states {
    ($($name:ident: $program:ident $([$($arg:literal),*])? $($moving:ident)?;)*) => {
        pub const STATES: &[State] = &[$(State {
            name: stringify!($name),
            program: stringify!($program),
            args: &[$($($arg),*)?],
        }),*];
    };
}

macro_rules! carried {
    ($($name:ident)*) => { pub const CARRIED: &[&str] = &[$(stringify!($name)),*]; };
}

macro_rules! open {
    ($($name:ident: $reason:literal;)*) => {
        pub const OPEN: &[(&str, &str)] = &[$((stringify!($name), $reason)),*];
    };
}

macro_rules! refused {
    ($($name:ident => $code:literal;)*) => {
        pub const REFUSED: &[(&str, &str)] = &[$((stringify!($name), $code)),*];
    };
}

macro_rules! blocked {
    ($($name:ident: $program:ident $([$($arg:literal),*])? => $code:literal $($by:ident)?;)*) => {
        pub const BLOCKED: &[(State, &str, bool)] = &[$((
            State { name: stringify!($name), program: stringify!($program), args: &[$($($arg),*)?] },
            $code,
            // Whether a capture alone names it.
            !<[&str]>::is_empty(&[$(stringify!($by))?]),
        )),*];
    };
}

/// How the suites themselves are tried is nothing for the document.
macro_rules! broken {
    ($($anything:tt)*) => {};
}

macro_rules! ways {
    ($($anything:tt)*) => {};
}

macro_rules! programs {
    ($($name:ident: $module:ident, $title:literal, $version:literal, $how:literal;)*) => {
        pub const PROGRAMS: &[Program] =
            &[$(Program { title: $title, version: $version, how: $how }),*];
    };
}

/// What becomes of a program that only runs of `large-programs` take.
pub enum LargeResult {
    Works,
    /// Refused, by this word.
    Blocker(&'static str),
}
use LargeResult::{Blocker, Works};

macro_rules! large_programs {
    ($($name:ident: $module:ident, $title:literal, $version:literal, $result:expr, $how:literal;)*) => {
        pub const LARGE_PROGRAMS: &[(Program, LargeResult)] =
            &[$((Program { title: $title, version: $version, how: $how }, $result)),*];
    };
}

include!("../states/list.rs");
include!("../programs/list.rs");

pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_document_says_what_the_suites_and_the_engine_say() {
    let file = checkout().join("docs/compatibility.md");
    if std::env::var_os("TORPOR_WRITE_COMPATIBILITY").is_some() {
        fs::write(&file, document::render(&document::versions())).expect("write the document");
        return;
    }
    let there = fs::read_to_string(&file).expect("read docs/compatibility.md");
    // Versions are those of the machine that wrote it.
    let wanted = document::render("");
    let (there, wanted) = (document::without_versions(&there), document::without_versions(&wanted));
    let differs = there.lines().zip(wanted.lines()).find(|(there, wanted)| there != wanted);
    assert!(
        there == wanted,
        "docs/compatibility.md is out of date; `npm run compatibility` writes it anew. First difference: {differs:?}"
    );
}

#[test]
fn every_state_has_one_result() {
    for state in STATES {
        let results = [
            CARRIED.contains(&state.name),
            OPEN.iter().any(|(name, _)| *name == state.name),
            REFUSED.iter().any(|(name, _)| *name == state.name),
        ];
        assert_eq!(results.iter().filter(|is| **is).count(), 1, "{} is in none or in several", state.name);
    }
}

#[test]
fn every_blocker_of_the_suites_is_in_the_engines_words() {
    let known = blockers::all();
    let large = LARGE_PROGRAMS.iter().filter_map(|(_, result)| match result {
        Blocker(code) => Some(code),
        Works => None,
    });
    for code in
        REFUSED.iter().map(|(_, code)| code).chain(BLOCKED.iter().map(|(_, code, _)| code)).chain(large)
    {
        assert!(known.iter().any(|blocker| blocker.code == *code), "the engine has no words for {code}");
    }
}
