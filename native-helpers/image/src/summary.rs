//! What a writer tells: what became of the image.

use crate::identity::{ContentHash, ImageId};

/// What became of an image. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub id: ImageId,
    /// What a child image names this one by, with the id.
    pub content_hash: ContentHash,
    /// The file's real length; cut off what was allocated behind it.
    pub file_len: u64,
    pub state_bytes: u64,
    /// Memory that was resident, stored or not.
    pub physical_bytes: u64,
    /// Memory that was in swap, stored or not.
    pub virtual_bytes: u64,
    /// What the memory takes in the file, padding included.
    pub stored_bytes: u64,
    /// Memory that was left out because it is zero.
    pub zero_bytes: u64,
    /// Memory that was left out because the parent has it.
    pub parent_bytes: u64,
    /// Entries of the page index.
    pub blocks: u64,
}
