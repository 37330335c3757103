//! The capsule's temporary files with their contents, as they travel with the terminal's state.
//!
//! For what applications usually keep in `/tmp`: little. Beyond [`CONTENTS_MAX`] a capture is refused
//! with a message, because an image without these files could not be restored.

use super::{ScratchEntry, ScratchKind, finish, open, recreate, survey};
use crate::error::{CapsuleError, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most bytes that are kept, holes and zeros not counted. Init holds them in memory for a moment.
pub const CONTENTS_MAX: usize = 8 << 20;
const CHUNK: usize = 64 << 10;

/// Files of one life for the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFiles {
    pub entries: Vec<ScratchEntry>,
    chunks: Vec<Chunk>,
}

/// A piece of a file that is not all zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Chunk {
    /// Index into the entries.
    entry: usize,
    offset: u64,
    #[serde(with = "crate::terminal::bytes")]
    bytes: Vec<u8>,
}

impl SavedFiles {
    /// Reads everything on the capsule's own file systems. The tree must be frozen.
    ///
    /// # Errors
    /// When a file can't be read, or there is too much.
    pub fn save() -> Result<Self> {
        let mut saved = Self { entries: survey()?.entries, chunks: Vec::new() };
        let mut total = 0;
        for index in 0..saved.entries.len() {
            saved.read(index, &mut total)?;
        }
        Ok(saved)
    }

    fn read(&mut self, entry: usize, total: &mut usize) -> Result<()> {
        let (path, size) = match &self.entries[entry] {
            ScratchEntry { path, kind: ScratchKind::File { size, .. }, .. } => (path, *size),
            _ => return Ok(()),
        };
        let failed = |e| CapsuleError::path("read", path, e);
        let file = File::open(path).map_err(failed)?;
        let mut at = 0;
        let mut buffer = vec![0; CHUNK];
        while at < size {
            // A file may be one large hole: the next data is asked for, not searched.
            match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => at = data / CHUNK as u64 * CHUNK as u64,
                Err(_) => break,
            }
            let length = file.read_at(&mut buffer, at).map_err(failed)?;
            if length == 0 {
                break;
            }
            if buffer[..length].iter().any(|byte| *byte != 0) {
                *total += length;
                if *total > CONTENTS_MAX {
                    return Err(CapsuleError::TooManyTemporaryFiles { limit_mib: CONTENTS_MAX >> 20 });
                }
                self.chunks.push(Chunk { entry, offset: at, bytes: buffer[..length].to_vec() });
            }
            at += length as u64;
        }
        Ok(())
    }

    /// Makes all of it again.
    ///
    /// # Errors
    /// When an entry lies outside of the capsule's own file systems, or does not fit together.
    pub fn restore(&self) -> Result<()> {
        recreate(&self.entries)?;
        for chunk in &self.chunks {
            let entry = self.entries.get(chunk.entry).filter(|entry| match entry.kind {
                ScratchKind::File { size, .. } => {
                    chunk.offset.checked_add(chunk.bytes.len() as u64).is_some_and(|end| end <= size)
                }
                _ => false,
            });
            let Some(entry) = entry else {
                return Err(CapsuleError::step("restore temporary files", crate::error::Errno(libc::EINVAL)));
            };
            File::from(open(entry)?)
                .write_all_at(&chunk.bytes, chunk.offset)
                .map_err(|e| CapsuleError::path("write", &entry.path, e))?;
        }
        finish(&self.entries)
    }
}
