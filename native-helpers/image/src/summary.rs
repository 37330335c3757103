//! What a writer tells: where a block was put, and what became of the image.

use crate::entry::Codec;
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

/// Where a block was put, for [`crate::EncodedBlock::duplicate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    pub(crate) codec: Codec,
    pub(crate) data: u64,
    pub(crate) zero: u64,
    pub(crate) offset: u64,
    pub(crate) stored_len: u32,
    pub(crate) checksum: u128,
}

impl Placement {
    pub(crate) fn page_count(&self) -> usize {
        (self.data | self.zero).count_ones() as usize
    }

    /// This block's pattern of zero pages, laid over the pages `present` of another block.
    pub(crate) fn spread_zero(&self, present: u64) -> u64 {
        let (mut mine, mut theirs, mut zero) = (self.data | self.zero, present, 0);
        while mine != 0 && theirs != 0 {
            if self.zero & mine & mine.wrapping_neg() != 0 {
                zero |= theirs & theirs.wrapping_neg();
            }
            mine &= mine - 1;
            theirs &= theirs - 1;
        }
        zero
    }
}
