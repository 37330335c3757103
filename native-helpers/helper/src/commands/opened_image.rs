//! An image file, opened and checked as far as it can be without reading its memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use torpor_engine::model::SystemState;
use torpor_image::{Arch, ContentHash, ImageChain, ImageId, ImageReader, cbor};

use crate::exit::ErrorCode;
use crate::failure::Failure;

/// The image with its parents, which are looked for in its own folder, then in `folders`.
pub fn open_chain(path: &Path, folders: &[PathBuf]) -> Result<ImageChain<File>, Failure> {
    let beside = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let find = |id: ImageId, _: ContentHash| {
        for folder in std::iter::once(&beside).chain(folders) {
            if let Some(found) = find_image(folder, id)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    ImageChain::open(open_file(path)?, find).map_err(|e| named(path, e.into()))
}

/// The file of a folder whose header has this id; that it is whole is seen when it is opened as an image.
fn find_image(folder: &Path, id: ImageId) -> io::Result<Option<File>> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        // Where the header has the id: docs/image-format.md.
        let mut found = [0u8; 16];
        if file.read_exact_at(&mut found, 48).is_ok() && found == id.0 {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

pub fn open(path: &Path) -> Result<ImageReader<File>, Failure> {
    ImageReader::open(open_file(path)?).map_err(|e| named(path, e.into()))
}

fn open_file(path: &Path) -> Result<File, Failure> {
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
    Ok(file)
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
