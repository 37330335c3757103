//! Restore: from a boot image to a running tree.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use serde::Serialize;
use torpor_image::{ImageError, ImageReader};

use crate::progress::Observer;

/// What to restore, and where.
pub struct Request<'a> {
    /// The opened image; its header, index and state have been checked.
    pub image: &'a ImageReader<std::fs::File>,
    /// Read all memory before the first instruction.
    pub eager: bool,
    /// Into the caller's namespaces with a root that becomes an ordinary, detached process.
    pub in_place: bool,
    /// Descriptors that the restoring side supplies: `terminal` is the slave side of the capsule's PTY.
    pub external: HashMap<String, OwnedFd>,
}

/// What was restored. Times in milliseconds since the call.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub image_id: String,
    pub root_pid: i32,
    pub first_instruction_ms: f64,
    pub duration_ms: f64,
    pub processes: usize,
    pub mode: &'static str,
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl RestoreError {
    /// The stable word for the error that the helper prints.
    pub fn code(&self) -> &'static str {
        match self {
            RestoreError::Image(e) => e.code(),
        }
    }
}

/// Restores a tree.
///
/// # Errors
/// On any error nothing of the tree is left.
pub fn restore(request: Request<'_>, observer: &mut Observer<'_>) -> Result<Report, RestoreError> {
    let _ = (request, observer);
    todo!()
}
