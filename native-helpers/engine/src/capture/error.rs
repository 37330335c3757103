//! Why a capture fails.

use std::io;

use torpor_image::{PlanError, WriteError, cbor};

use super::process::CaptureProcessError;
use super::write::WritePagesError;
use crate::blocker::Blocker;
use crate::freeze::FreezeError;
use crate::inject::InjectError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("stopping the tree: {0}")]
    Freeze(#[from] FreezeError),
    #[error("{} can't be captured; nothing was touched", summary(.0))]
    Blocked(Vec<Blocker>),
    #[error("reading the state: {0}")]
    State(#[from] io::Error),
    #[error("reading the state: {0}")]
    Process(String),
    #[error("the process ended while it was being captured")]
    Ended,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("planning the image: {0}")]
    Plan(#[from] PlanError),
    #[error("encoding the state: {0}")]
    Encode(#[from] cbor::CborError),
    #[error("writing the image: {0}")]
    Write(WriteError),
    #[error("no room: the store filled up while the image was being written; the application runs on")]
    Full,
    #[error("reading memory: {0}")]
    Read(WritePagesError),
    #[error("the parent image is of another tree: {0}; nothing was written")]
    OtherTree(String),
    #[error("reading the parent image: {0}")]
    Parent(#[from] torpor_image::ImageError),
    #[error("the parent image's system state can't be read: {0}")]
    ParentState(cbor::CborError),
    #[error("cancelled; the application runs on and no image was made")]
    Cancelled,
    #[error("no random number for the image id: {0}")]
    Random(io::Error),
}

fn summary(blockers: &[Blocker]) -> String {
    match blockers {
        [] => "something".into(),
        [one] => format!("{} of process {} ({})", one.subject, one.pid, one.comm),
        [one, rest @ ..] => {
            format!("{} of process {} ({}) and {} more", one.subject, one.pid, one.comm, rest.len())
        }
    }
}

impl From<WriteError> for CaptureError {
    fn from(e: WriteError) -> CaptureError {
        let mut source: Option<&dyn std::error::Error> = Some(&e);
        while let Some(error) = source {
            if let Some(io) = error.downcast_ref::<io::Error>()
                && matches!(io.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
            {
                return CaptureError::Full;
            }
            source = error.source();
        }
        CaptureError::Write(e)
    }
}

impl From<WritePagesError> for CaptureError {
    fn from(e: WritePagesError) -> CaptureError {
        match e {
            WritePagesError::Write(e) => e.into(),
            WritePagesError::Cancelled => CaptureError::Cancelled,
            e => CaptureError::Read(e),
        }
    }
}

impl From<CaptureProcessError> for CaptureError {
    fn from(e: CaptureProcessError) -> CaptureError {
        match e {
            CaptureProcessError::Inject(InjectError::Ended { .. }) => CaptureError::Ended,
            CaptureProcessError::Io(e) => CaptureError::State(e),
            e => CaptureError::Process(e.to_string()),
        }
    }
}
