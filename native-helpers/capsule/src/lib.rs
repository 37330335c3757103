//! A capsule: what an application's process tree runs in.
//!
//! A capsule has PID, mount, IPC and time namespaces of its own, a devpts instance of its own, a
//! cgroup where the machine offers one, and an *init*: PID 1 in it, which holds the terminal's
//! master side, reaps, forwards signals and reports how the application ended. It is built anew for
//! every life of an application and never stored.
//!
//! ```text
//!  caller (helper)                guardian                      init (PID 1)        root (PID 2)
//!  ───────────────                ────────                      ────────────        ────────────
//!  claim the folder ── fork ───►  unshare pid, time
//!  wait for report                fork ──────────────────────►  unshare mount, ipc
//!       ▲                         watches caller and init       mounts, PTY, sockets
//!       │                                                       fork ─────────────► exec, or the
//!       │                                                       (or: build)         engine's tree
//!       │                         writes capsule.json  ◄─────── commit
//!       └── started ───────────── exits
//!                                                               event loop … exit.json
//! ```
//!
//! Until the commit the guardian undoes everything when the caller dies or init fails: there is no
//! half-built capsule. After it, init belongs to nobody but its application.
//!
//! Where things are: [`create`] starts capsules, [`registry`] finds them, [`enter`] runs something
//! inside one, [`control`] asks a running init, [`attach`] is the terminal protocol, [`terminal`]
//! the terminal's state.

#![deny(unsafe_code)]

pub mod attach;
pub mod cgroup;
pub mod control;
pub mod create;
pub mod display;
pub mod enter;
pub mod error;
pub mod pty;
pub mod record;
pub mod registry;
pub mod report;
pub mod runtime_folder;
pub mod scratch;
pub mod spec;
pub mod terminal;
pub mod user;

mod guardian;
mod init;
mod mounts;
mod namespaces;
mod program;
mod raw;
mod timestamp;
mod unread_input;

pub use create::{Background, BuildContext, BuildFailure, Built, Capsule};
pub use display::DisplaySize;
pub use enter::{EnterOptions, enter};
pub use error::{CapsuleError, ErrorCode};
pub use mounts::CONTROL_FOLDERS;
pub use pty::{Termios, WindowSize};
pub use record::{CapsuleRecord, ExitRecord};
pub use registry::{Entry, EntryState};
pub use report::Reporter;
pub use spec::{CapsuleId, Clocks, Environment, Io, Program, Spec, TemporaryFiles};
pub use terminal::SavedTerminal;
