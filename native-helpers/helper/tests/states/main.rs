//! The state suite: one small C program per kind of state, captured and restored on the real kernel.
//!
//! `tests/states/*.c` hold the programs; each says in its first lines what state it holds. Every test
//! here takes one of them through `capture --stop` and `restore --in-place`; TORPOR_STATES picks
//! another way (`leave`, `twice`, `again`, `revive`, `eager`, `lazy`, `full` for all, `dry` for none), and a
//! representative few go through all ways in every run. TORPOR_HELPER names another helper to judge.

mod helper;
mod judge;
mod program;
mod tree;

use judge::{Case, Mode, NamedBy, judge, judge_blocked, judge_broken, judge_in};

/// One test per line: `name: program [arguments]`, and `moving` for a program that never stands
/// still, so that it can't be compared from outside.
macro_rules! states {
    ($($name:ident: $program:ident $([$($arg:literal),*])? $($moving:ident)?;)*) => {
        const STATES: &[(&str, Case)] = &[$((
            stringify!($name),
            Case {
                program: stringify!($program),
                args: &[$($($arg),*)?],
                still: <[&str]>::is_empty(&[$(stringify!($moving))?]),
            },
        )),*];
    };
}

/// The states of the list that are tests in every run.
macro_rules! carried {
    ($($name:ident)*) => {
        mod state {
            $(#[test]
            fn $name() {
                super::judge(super::case(stringify!($name)));
            })*
        }
    };
}

/// States that the engine does not carry yet, with the reason: `name: "reason"`. They are tests only with the
/// feature `open-states`; a state that passes there leaves this list.
macro_rules! open {
    ($($name:ident: $reason:literal;)*) => {
        const OPEN: &[(&str, &str)] = &[$((stringify!($name), $reason)),*];
        #[cfg(feature = "open-states")]
        mod open_state {
            $(#[test]
            fn $name() {
                super::judge(super::case(stringify!($name)));
            })*
        }
    };
}

/// States that the engine does not carry yet and says so before it touches anything: `name => blocker code`.
macro_rules! refused {
    ($($name:ident => $code:literal;)*) => {
        mod refused_state {
            $(#[test]
            fn $name() {
                let case = super::case(stringify!($name));
                super::judge_blocked(case.program, case.args, $code, super::NamedBy::Both);
            })*
        }
    };
}

/// One test per line: `name: program [arguments] => blocker code`.
macro_rules! blocked {
    ($($name:ident: $program:ident $([$($arg:literal),*])? => $code:literal $($by:ident)?;)*) => {
        const BLOCKED: &[&str] = &[$(stringify!($program)),*];
        mod blocked {
            $(#[test]
            fn $name() {
                let by = super::NamedBy::of(&[$(stringify!($by))?]);
                super::judge_blocked(stringify!($program), &[$($($arg),*)?], $code, by);
            })*
        }
    };
}

/// Programs whose --break must be noticed.
macro_rules! broken {
    ($($name:ident: $program:ident $([$($arg:literal),*])?;)*) => {
        mod a_ruined_state_is_noticed {
            $(#[test]
            fn $name() {
                super::judge_broken(stringify!($program), &[$($($arg,)*)? "--break"]);
            })*
        }
    };
}

/// A few states in every other way.
macro_rules! ways {
    ($($way:ident = $mode:ident: $($name:ident)*;)*) => {
        $(mod $way {
            $(#[test]
            fn $name() {
                super::judge_in(super::case(stringify!($name)), super::Mode::$mode);
            })*
        })*
    };
}

fn case(name: &str) -> Case {
    STATES.iter().find(|(known, _)| *known == name).expect("a state of the list").1
}

include!("list.rs");

/// A program that nobody runs is worth nothing.
#[test]
fn every_program_is_in_the_list() {
    for entry in std::fs::read_dir(program::sources()).expect("the folder of the programs") {
        let path = entry.expect("a folder entry").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        if path.extension().is_some_and(|extension| extension == "c") && name != "state" {
            let listed = STATES.iter().any(|(_, case)| case.program == name);
            assert!(listed || BLOCKED.contains(&name), "{name}.c is in no list");
        }
    }
    for (name, reason) in OPEN {
        assert!(!reason.is_empty() && !case(name).program.is_empty(), "{name} is open without a reason");
    }
}
