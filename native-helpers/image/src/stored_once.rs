//! Bytes that the file has already, so that blocks with the same contents are stored once.

use std::collections::HashMap;

use crate::entry::{BlockEntry, Codec};
use crate::plan::Section;

/// How many blocks are remembered: a bounded part of the writer's memory, whatever the image's size. It is 16 GiB of
/// memory without two blocks alike; of what comes after that, only repetitions of it are found.
const REMEMBERED: usize = 1 << 16;

/// What two blocks have in common whose stored bytes are the same. That these are is known by their checksum of 128
/// bits: of all blocks that an image can have, two different ones have the same one by chance once in 10^25 images
/// of 256 GiB. Nobody gains by making two on purpose: only the application's own memory would come back as another
/// part of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contents {
    section: Section,
    codec: Codec,
    data_pages: u32,
    stored_len: u32,
    checksum: u128,
}

impl Contents {
    /// Of a block of a section that is in the file, or is to be.
    pub fn of(section: Section, block: &BlockEntry) -> Contents {
        let BlockEntry { codec, data, stored_len, checksum, .. } = *block;
        Contents { section, codec, data_pages: data.count_ones(), stored_len, checksum }
    }
}

/// Where blocks are whose contents may come again.
#[derive(Debug, Default)]
pub struct StoredOnce(HashMap<Contents, u64>);

impl StoredOnce {
    /// The offset of earlier bytes that are the same.
    pub fn find(&self, contents: &Contents) -> Option<u64> {
        self.0.get(contents).copied()
    }

    /// Remembers bytes that have just been written at `offset`.
    pub fn add(&mut self, contents: Contents, offset: u64) {
        if self.0.len() < REMEMBERED {
            self.0.insert(contents, offset);
        }
    }
}
