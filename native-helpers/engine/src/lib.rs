//! The capture and restore engine.
//!
//! [`capture::capture`] takes a running process tree into a boot image; [`restore`] builds a running tree
//! from one. The engine works in the namespaces of its caller: PIDs, paths and clocks are those that the
//! tree itself sees (the helper enters a capsule's namespaces first).

pub mod blocker;
pub mod capture;
pub mod freeze;
mod hierarchy;
pub mod inject;
pub mod inspect;
mod intermediate;
pub mod model;

pub mod network_lock;
mod own_namespace;
mod pace;
pub mod pager;
mod patience;
pub mod proc;
pub mod progress;
pub(crate) mod ranges;
pub mod restore;
mod rseq;
pub mod store;
pub(crate) mod swap;
pub mod trace;
pub mod tracking;
mod tty;
pub(crate) mod vdso;
pub mod vm_flags;
