//! Real programs, each captured under load and restored, going on with its work: what the engine is for.
//!
//! Every test takes one program through a few rounds (TORPOR_ROUNDS asks for more) and judges it by what its
//! users would notice. `list.rs` names them; docs/compatibility.md is written from that list.

#[path = "../states/helper.rs"]
mod helper;
mod running;
#[path = "../states/tree.rs"]
#[expect(dead_code, reason = "shared with the state suite, which compares whole trees")]
mod tree;

mod databases;
mod displays;
#[cfg_attr(not(feature = "large-programs"), expect(dead_code, reason = "its tests run where asked for only"))]
mod large;
mod runtimes;
mod sessions;
mod web;

use std::sync::{Mutex, PoisonError};

/// One at a time: each has a load of its own, and the machine that runs this is small.
static ONE: Mutex<()> = Mutex::new(());

macro_rules! programs {
    ($($name:ident: $module:ident, $title:literal, $version:literal, $how:literal;)*) => {
        $(#[test]
        fn $name() {
            let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            $module::$name();
        })*
    };
}

macro_rules! large_programs {
    ($($name:ident: $module:ident, $title:literal, $version:literal, $result:expr, $how:literal;)*) => {
        $(#[cfg(feature = "large-programs")]
        #[test]
        fn $name() {
            let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            $module::$name();
        })*
    };
}

include!("list.rs");
