//! An image file, opened and checked as far as it can be without reading its memory.

use std::fs::File;
use std::io;
use std::path::Path;

use torpor_engine::model::SystemState;
use torpor_image::{Arch, ImageReader, cbor};

use crate::exit::ErrorCode;
use crate::failure::Failure;

pub fn open(path: &Path) -> Result<ImageReader<File>, Failure> {
    let failed = |e: &io::Error| {
        let code = match e.kind() {
            io::ErrorKind::PermissionDenied => ErrorCode::NotPermitted,
            _ => ErrorCode::Resource,
        };
        Failure::new(code, format!("opening the image {}: {e}", path.display()))
    };
    let file = File::open(path).map_err(|e| failed(&e))?;
    let kind = file.metadata().map_err(|e| failed(&e))?;
    if !kind.is_file() {
        return Err(Failure::new(ErrorCode::Foreign, format!("{} is not a file", path.display())));
    }
    ImageReader::open(file).map_err(|e| named(path, e.into()))
}

/// The decoded system state.
pub fn state(path: &Path, image: &ImageReader<File>) -> Result<SystemState, Failure> {
    let bytes = image.state_bytes().map_err(|e| named(path, e.into()))?;
    let state: SystemState = cbor::from_slice(&bytes).map_err(|e| {
        let message = format!("the image's system state can't be understood: {e}");
        named(path, Failure::new(ErrorCode::Damaged, message))
    })?;
    if state.processes.is_empty() {
        let message = "the image's system state holds no process";
        return Err(named(path, Failure::new(ErrorCode::Damaged, message)));
    }
    Ok(state)
}

/// Refuses an image of another kind of machine.
pub fn require_this_machine(path: &Path, image: &ImageReader<File>) -> Result<(), Failure> {
    image.require_arch(Arch::HOST).map_err(|e| named(path, e.into()))
}

/// Says which file the failure is about, once.
pub fn named(path: &Path, failure: Failure) -> Failure {
    if failure.message.starts_with(&*path.to_string_lossy()) {
        return failure;
    }
    Failure { message: format!("{}: {}", path.display(), failure.message), ..failure }
}
