//! Capsules on a real kernel: made, used and ended through `examples/capsule-run`, so that every
//! capsule comes from a fresh single-threaded process, as the helper is one.

mod enter;
mod restore;
mod run;
mod terminal;
mod world;
