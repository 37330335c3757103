//! Why a command failed: a code for programs, a message for an admin, and what stood in the way.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use torpor_capsule::{BuildFailure, CapsuleError};
use torpor_engine::blocker::Blocker;
use torpor_engine::capture::CaptureError;
use torpor_engine::freeze::FreezeError;
use torpor_engine::inspect::InspectError;
use torpor_engine::restore::RestoreError;
use torpor_engine::store::StoreError;
use torpor_image::{ImageError, PlanError};

use crate::exit::ErrorCode;

/// The error line, without its type. It also travels from a worker inside a capsule to the caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: ErrorCode,
    pub message: String,
    #[serde(default)]
    pub blockers: Vec<Value>,
}

impl Failure {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), blockers: Vec::new() }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(ErrorCode::Usage, message)
    }

    pub fn blocked(blockers: &[Blocker]) -> Failure {
        let first = blockers.first().map(|b| format!("{} ({}), {}: {}", b.comm, b.pid, b.subject, b.message));
        let rest = match blockers.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let what = first.unwrap_or_else(|| "the tree holds something of an unknown kind".into());
        Failure {
            code: ErrorCode::Blocked,
            message: format!("this can't be captured, nothing was touched: {what}{rest}"),
            blockers: blockers.iter().filter_map(|b| serde_json::to_value(b).ok()).collect(),
        }
    }

    /// A refusal of the system, with what was being done.
    pub fn io(what: &str, error: &io::Error) -> Failure {
        Failure::new(of_errno(error), format!("{what}: {error}"))
    }
}

fn of_errno(error: &io::Error) -> ErrorCode {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ErrorCode::NotPermitted,
        Some(libc::ENOSPC | libc::EDQUOT) => ErrorCode::NoRoom,
        Some(libc::ESRCH) => ErrorCode::NoSuchProcess,
        _ => ErrorCode::Resource,
    }
}

impl From<CaptureError> for Failure {
    fn from(e: CaptureError) -> Failure {
        let code = match &e {
            CaptureError::Freeze(freeze) => return of_freeze(freeze, e.to_string()),
            CaptureError::Blocked(blockers) => return Failure::blocked(blockers),
            CaptureError::Store(_) => {
                let CaptureError::Store(store) = e else { unreachable!("just matched") };
                return store.into();
            }
            CaptureError::State(io) => of_errno(io),
            CaptureError::OtherTree(_) | CaptureError::ParentState(_) => ErrorCode::Incompatible,
            CaptureError::Parent(_) => ErrorCode::Damaged,
            CaptureError::Ended => ErrorCode::NoSuchProcess,
            CaptureError::Full => ErrorCode::NoRoom,
            CaptureError::Cancelled => ErrorCode::Cancelled,
            CaptureError::Plan(PlanError::StateTooLarge { .. } | PlanError::TooManyBlocks { .. })
            | CaptureError::Write(_)
            | CaptureError::Random(_) => ErrorCode::Resource,
            _ => ErrorCode::Internal,
        };
        Failure::new(code, e.to_string())
    }
}

fn of_freeze(e: &FreezeError, message: String) -> Failure {
    let code = match e {
        FreezeError::NoSuchProcess(_) => ErrorCode::NoSuchProcess,
        FreezeError::NotPermitted(_) => ErrorCode::NotPermitted,
        FreezeError::WouldNotStop { .. } | FreezeError::ForksTooFast => ErrorCode::Busy,
        FreezeError::Traced { pid, comm, tracer } => {
            return Failure::blocked(&[Blocker {
                code: "traced",
                pid: *pid,
                comm: comm.clone(),
                subject: "the process".into(),
                message: format!("it is being traced by process {tracer}"),
                remedy: "end the debugger or tracer first".into(),
            }]);
        }
        FreezeError::Vfork { pid, comm, .. } => return Failure::blocked(&[vfork_blocker(*pid, comm)]),
        FreezeError::Thread { source, .. } | FreezeError::Tree(source) => of_errno(source),
    };
    Failure::new(code, message)
}

fn vfork_blocker(pid: i32, comm: &str) -> Blocker {
    Blocker::of_process(pid, comm, torpor_engine::inspect::vfork_obstacle())
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Failure {
        let code = match &e {
            StoreError::NoRoom { .. } => ErrorCode::NoRoom,
            StoreError::NoName { .. } => ErrorCode::Usage,
            StoreError::Io { source, .. } => of_errno(source),
            StoreError::NoFolder { .. }
            | StoreError::NotAFolder { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Exists { .. } => ErrorCode::Resource,
        };
        Failure::new(code, e.to_string())
    }
}

impl From<InspectError> for Failure {
    fn from(e: InspectError) -> Failure {
        let code = match &e {
            InspectError::NoSuchProcess(_) | InspectError::Thread { .. } => ErrorCode::NoSuchProcess,
            InspectError::Empty => ErrorCode::NoSuchCapsule,
            InspectError::NotPermitted(_) => ErrorCode::NotPermitted,
            InspectError::Tree(source) => of_errno(source),
        };
        Failure::new(code, e.to_string())
    }
}

impl From<RestoreError> for Failure {
    fn from(e: RestoreError) -> Failure {
        Failure::new(ErrorCode::from_word(e.code()), e.to_string())
    }
}

impl From<ImageError> for Failure {
    fn from(e: ImageError) -> Failure {
        Failure::new(ErrorCode::from_word(e.code()), e.to_string())
    }
}

impl From<CapsuleError> for Failure {
    fn from(e: CapsuleError) -> Failure {
        if let CapsuleError::Build { failure } = &e
            && let Ok(failure) = serde_json::from_value(failure.clone())
        {
            return failure;
        }
        Failure::new(ErrorCode::from_word(e.code().as_str()), e.to_string())
    }
}

impl From<Failure> for BuildFailure {
    fn from(failure: Failure) -> BuildFailure {
        BuildFailure(serde_json::to_value(failure).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_back_from_a_capsule_as_it_was() {
        let blocker = Blocker {
            code: "device",
            pid: 7,
            comm: "viewer".into(),
            subject: "descriptor 5 → /dev/dri/card0".into(),
            message: "the device is open".into(),
            remedy: "close it".into(),
        };
        let failure = Failure::blocked(&[blocker.clone(), blocker]);
        let BuildFailure(sent) = failure.clone().into();
        assert_eq!(Failure::from(CapsuleError::Build { failure: sent }), failure);
        assert_eq!(
            failure.message,
            "this can't be captured, nothing was touched: viewer (7), descriptor 5 → /dev/dri/card0: the device is open (and 1 more)"
        );
    }

    #[test]
    fn a_full_disk_and_a_missing_right_are_told_apart() {
        let code = |errno| of_errno(&io::Error::from_raw_os_error(errno));
        assert_eq!(code(libc::ENOSPC), ErrorCode::NoRoom);
        assert_eq!(code(libc::EPERM), ErrorCode::NotPermitted);
        assert_eq!(code(libc::EIO), ErrorCode::Resource);
    }
}
