//! One entry of the page index: 64 bytes that say which pages a block holds and where they lie.

use crate::limits::{BLOCK_PAGES, ENTRY_LEN, MAX_PAGE, PAGE_SIZE};

/// How a block's pages are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Nothing is stored: all its pages are zero.
    Empty = 0,
    /// The pages as they are, at a multiple of 4 KiB.
    Raw = 1,
    /// One LZ4 block (without a frame).
    Lz4 = 2,
    /// One Zstandard frame.
    Zstd = 3,
    /// Nothing is stored: the parent image has the pages.
    InParent = 4,
}

impl Codec {
    fn from_u8(value: u8) -> Option<Self> {
        [Self::Empty, Self::Raw, Self::Lz4, Self::Zstd, Self::InParent]
            .into_iter()
            .find(|codec| *codec as u8 == value)
    }
}

/// What the page index says of one block: up to 64 pages of one window of 64 pages of one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockEntry {
    /// An address space, a shared memory object or a file's contents: the caller's numbering.
    pub space: u32,
    /// How the pages are stored.
    pub codec: Codec,
    /// The stored bytes are those of an earlier block, which has the same pages' contents.
    pub duplicate: bool,
    /// First page of the window; a multiple of 64.
    pub base_page: u64,
    /// Bit *n*: the contents of page `base_page + n` are stored (or in the parent), in this order.
    pub data: u64,
    /// Bit *n*: page `base_page + n` is all zeros, and not stored.
    pub zero: u64,
    /// Where the stored bytes begin, from the file's start; 0 where nothing is stored.
    pub offset: u64,
    /// How many bytes are stored.
    pub stored_len: u32,
    /// XXH3-128 of the stored bytes; 0 where nothing is stored.
    pub checksum: u128,
}

const FLAG_DUPLICATE: u16 = 1;

impl BlockEntry {
    /// All pages that the block speaks of.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.data | self.zero
    }

    /// How many pages have stored contents (or contents in the parent): 0 to 64.
    #[must_use]
    pub fn data_pages(&self) -> usize {
        self.data.count_ones() as usize
    }

    /// Where `page`'s contents are among the block's data pages (0 to 63), if they are.
    #[must_use]
    pub fn slot_of(&self, page: u64) -> Option<usize> {
        let bit = page.checked_sub(self.base_page).filter(|n| *n < BLOCK_PAGES as u64)?;
        (self.data >> bit & 1 == 1).then(|| (self.data & ((1 << bit) - 1)).count_ones() as usize)
    }

    /// Whether bytes of the file belong to this block (perhaps shared with an earlier one).
    #[must_use]
    pub fn has_stored_bytes(&self) -> bool {
        matches!(self.codec, Codec::Raw | Codec::Lz4 | Codec::Zstd)
    }

    pub(crate) fn to_bytes(self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        let flags = if self.duplicate { FLAG_DUPLICATE } else { 0 };
        bytes[0..4].copy_from_slice(&self.space.to_le_bytes());
        bytes[4] = self.codec as u8;
        bytes[6..8].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.base_page.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.data.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.zero.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.offset.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[48..64].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// Decodes an entry and checks all that can be checked without its neighbours.
    pub(crate) fn from_bytes(bytes: &[u8; ENTRY_LEN]) -> Result<Self, &'static str> {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let flags = u16::from_le_bytes([bytes[6], bytes[7]]);
        let entry = Self {
            space: u32_at(0),
            codec: Codec::from_u8(bytes[4]).ok_or("a block has an unknown encoding")?,
            duplicate: flags & FLAG_DUPLICATE != 0,
            base_page: u64_at(8),
            data: u64_at(16),
            zero: u64_at(24),
            offset: u64_at(32),
            stored_len: u32_at(40),
            checksum: u128::from_le_bytes(bytes[48..64].try_into().expect("sixteen bytes")),
        };
        if flags & !FLAG_DUPLICATE != 0 || bytes[5] != 0 || u32_at(44) != 0 {
            return Err("a block has unknown flags");
        }
        entry.check()?;
        Ok(entry)
    }

    fn check(&self) -> Result<(), &'static str> {
        if !self.base_page.is_multiple_of(BLOCK_PAGES as u64) || self.base_page >= MAX_PAGE {
            return Err("a block begins at an impossible page");
        }
        if self.data & self.zero != 0 || self.pages() == 0 {
            return Err("a block has contradictory or no pages");
        }
        let full = self.data_pages() * PAGE_SIZE;
        let stored = self.stored_len as usize;
        let sane = match self.codec {
            Codec::Empty => self.data == 0,
            Codec::InParent => self.zero == 0,
            Codec::Raw => full > 0 && stored == full && self.offset.is_multiple_of(PAGE_SIZE as u64),
            Codec::Lz4 | Codec::Zstd => full > 0 && stored > 0 && stored < full,
        };
        let nothing = self.offset == 0 && stored == 0 && self.checksum == 0 && !self.duplicate;
        if !sane || (!self.has_stored_bytes() && !nothing) {
            return Err("a block's length does not fit its pages");
        }
        Ok(())
    }
}
