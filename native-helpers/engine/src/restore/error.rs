//! Why a restore fails, and the word for it.

use std::io;

use torpor_image::{ImageError, cbor};

use super::build::STAGE_LIMIT;
use crate::model::Pid;

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the system state can't be read: {0}")]
    State(#[from] cbor::CborError),
    #[error("the system state makes no sense: {0}")]
    Malformed(&'static str),
    #[error("the image was taken on {found}, this machine is {expected}")]
    OtherMachine { found: String, expected: String },
    #[error("the image was taken under kernel {kernel}, which has another vDSO, {why}; restore it there")]
    OtherVdso { kernel: String, why: String },
    #[error("making the vDSO of process {pid} lead to this kernel's: {source}")]
    Vdso { pid: Pid, source: io::Error },
    #[error("PID {pid} is taken by {comm}; end it, or restore into a capsule, where every PID is free")]
    PidTaken { pid: Pid, comm: String },
    #[error(
        "PID {pid} of the tree is the one that this helper happens to have; call it again, or restore into a capsule"
    )]
    OwnPid { pid: Pid },
    #[error("opening {description}: {source}")]
    File { description: String, source: io::Error },
    #[error(
        "{path} has changed since the image was taken, and the program runs from it; restore the file, or start the program anew"
    )]
    FileChanged { path: String },
    #[error(
        "changed on disk since the image was taken: {paths}; bring them back as they were, or restore with changed files let be"
    )]
    FilesChanged { paths: String },
    #[error("making the capsule's temporary files anew: {0}")]
    Scratch(io::Error),
    #[error("making shared memory: {source}")]
    SharedMemory { source: io::Error },
    #[error("the image holds {kind}, which this version can't restore")]
    Unsupported { kind: String },
    #[error("the image was taken with a terminal; restore it into a capsule")]
    NoTerminal,
    #[error("making process {pid}: {source}")]
    Fork { pid: Pid, source: io::Error },
    #[error("system call {number} refused while rebuilding the tree (arguments {args:x?}): {source}")]
    Call { number: i64, args: [u64; 6], source: io::Error },
    #[error("a process ended while the tree was being rebuilt ({how})")]
    Died { how: String },
    #[error("the tree did not get through stage {stage} within {}s", STAGE_LIMIT.as_secs())]
    Stuck { stage: usize },
    #[error("loading memory of space {space}: {source}")]
    Load { space: u32, source: io::Error },
    #[error("starting the process that brings in the memory: {0}")]
    Pager(io::Error),
    #[error("letting process {pid} go on: {source}")]
    Resume { pid: Pid, source: io::Error },
    #[error("not permitted: {0}; run the helper as root")]
    NotPermitted(String),
    #[error("cancelled; nothing was restored")]
    Cancelled,
    #[error("preparing the restore: {0}")]
    Prepare(#[from] io::Error),
}

impl RestoreError {
    /// Whether the kernel says that a PID is in use of which /proc knew nothing.
    pub fn is_lingering_pid(&self) -> bool {
        matches!(
            self,
            RestoreError::Fork { source, .. } | RestoreError::Call { number: libc::SYS_clone3, source, .. }
                if source.raw_os_error() == Some(libc::EEXIST)
        )
    }

    /// The stable word for the error that the helper prints.
    pub fn code(&self) -> &'static str {
        match self {
            RestoreError::Image(e) => e.code(),
            RestoreError::State(_) | RestoreError::Malformed(_) => "damaged",
            RestoreError::OtherMachine { .. }
            | RestoreError::OtherVdso { .. }
            | RestoreError::Unsupported { .. } => "incompatible",
            RestoreError::PidTaken { .. } | RestoreError::OwnPid { .. } => "pid-taken",
            RestoreError::File { .. }
            | RestoreError::FileChanged { .. }
            | RestoreError::FilesChanged { .. }
            | RestoreError::NoTerminal => "resource",
            RestoreError::Scratch(_) | RestoreError::SharedMemory { .. } | RestoreError::Load { .. } => {
                "resource"
            }
            RestoreError::NotPermitted(_) => "not-permitted",
            RestoreError::Cancelled => "cancelled",
            RestoreError::Fork { source, .. } => match source.raw_os_error() {
                Some(libc::EPERM) => "not-permitted",
                Some(libc::EEXIST) => "pid-taken",
                _ => "resource",
            },
            e if e.is_lingering_pid() => "pid-taken",
            RestoreError::Call { .. }
            | RestoreError::Died { .. }
            | RestoreError::Stuck { .. }
            | RestoreError::Resume { .. }
            | RestoreError::Pager(_)
            | RestoreError::Vdso { .. }
            | RestoreError::Prepare(_) => "resource",
        }
    }
}
