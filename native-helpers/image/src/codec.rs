//! From pages to stored bytes and back. Encoding is a pure function of its input, so that blocks can be
//! encoded on several threads and appended in order by another.

use std::borrow::Cow;

use twox_hash::XxHash3_128;

use crate::entry::{BlockEntry, Codec};
use crate::limits::{BLOCK_LEN, PAGE_SIZE};
use crate::plan::{PageSource, PlannedBlock};
use crate::writer::Placement;

/// How hard to try to make blocks smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Store pages as they are: the fastest to write and to page in.
    #[default]
    None,
    /// LZ4: cheap, for memory with much structure.
    Lz4,
    /// Zstandard at level 1: smaller, several times slower.
    Zstd,
}

/// Level of Zstandard: speed matters more than the last percent of size.
const ZSTD_LEVEL: i32 = 1;

/// The checksum of a block: XXH3-128 of its stored bytes. It finds damage; it is no protection against
/// someone who forges an image. `docs/image-format.md` has the reasons and the speeds.
#[must_use]
pub fn block_checksum(stored: &[u8]) -> u128 {
    XxHash3_128::oneshot(stored)
}

/// A block that is ready to be appended.
#[derive(Debug, Clone)]
pub struct EncodedBlock<'a> {
    pub(crate) planned: PlannedBlock,
    pub(crate) codec: Codec,
    pub(crate) data: u64,
    pub(crate) zero: u64,
    pub(crate) checksum: u128,
    pub(crate) stored: Cow<'a, [u8]>,
    pub(crate) duplicate_of: Option<Placement>,
}

impl<'a> EncodedBlock<'a> {
    fn without_bytes(planned: &PlannedBlock, codec: Codec, data: u64, zero: u64) -> Self {
        Self {
            planned: *planned,
            codec,
            data,
            zero,
            checksum: 0,
            stored: Cow::Borrowed(&[]),
            duplicate_of: None,
        }
    }

    /// A block all of whose pages vanished before they could be read: it leaves no trace.
    #[must_use]
    pub fn absent(planned: &PlannedBlock) -> Self {
        Self::without_bytes(planned, Codec::Empty, 0, 0)
    }

    /// A block whose planned pages are all in the parent image.
    #[must_use]
    pub fn in_parent(planned: &PlannedBlock) -> Self {
        Self::without_bytes(planned, Codec::InParent, planned.pages, 0)
    }

    /// A block whose pages `present` have the same contents, in the same order, as the block that was
    /// appended as `of`, such as memory that a fork left shared.
    ///
    /// # Panics
    /// If `present` is not within the plan or has another number of pages: a defect of the caller.
    #[must_use]
    pub fn duplicate(planned: &PlannedBlock, present: u64, of: &Placement) -> Self {
        assert_eq!(present & !planned.pages, 0, "pages outside the plan");
        assert_eq!(present.count_ones() as usize, of.page_count(), "the blocks differ in size");
        let zero = of.spread_zero(present);
        Self {
            codec: of.codec,
            checksum: of.checksum,
            duplicate_of: Some(*of),
            ..Self::without_bytes(planned, of.codec, present & !zero, zero)
        }
    }

    /// Makes the block independent of the buffer that its pages came from.
    #[must_use]
    pub fn into_owned(self) -> EncodedBlock<'static> {
        EncodedBlock { stored: Cow::Owned(self.stored.into_owned()), ..self }
    }

    /// Bytes that the block will add to the file, without padding.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        self.stored.len()
    }
}

/// Encodes blocks; keeps the compressor's working memory between them. One per thread.
pub struct BlockEncoder {
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl BlockEncoder {
    /// An encoder for `compression`.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self { compression, zstd: None }
    }

    /// Encodes the pages of `planned` that are in the bitmap `present` (a part of `planned.pages`;
    /// the others are absent from the image). `pages` holds them in ascending order, 4096 bytes each.
    /// Zero pages are left out. The result borrows `pages` where they are stored as they are.
    ///
    /// # Panics
    /// If `present` and `pages` don't fit the plan: a defect of the caller.
    #[must_use]
    pub fn encode<'a>(&mut self, planned: &PlannedBlock, present: u64, pages: &'a [u8]) -> EncodedBlock<'a> {
        assert_eq!(present & !planned.pages, 0, "pages outside the plan");
        assert_eq!(planned.source, PageSource::Stored, "the plan has these pages in the parent");
        assert_eq!(pages.len(), present.count_ones() as usize * PAGE_SIZE, "pages missing or too many");
        let zero = zero_pages(present, pages);
        let data = present & !zero;
        if data == 0 {
            return EncodedBlock::without_bytes(planned, Codec::Empty, 0, zero);
        }
        let plain = if zero == 0 { Cow::Borrowed(pages) } else { Cow::Owned(squeeze(present, zero, pages)) };
        let (codec, stored) = match self.compress(&plain) {
            Some((codec, bytes)) => (codec, Cow::Owned(bytes)),
            None => (Codec::Raw, plain),
        };
        let checksum = block_checksum(&stored);
        EncodedBlock { planned: *planned, codec, data, zero, checksum, stored, duplicate_of: None }
    }

    /// The compressed form, if it saves an eighth or more: less is not worth decoding it.
    fn compress(&mut self, plain: &[u8]) -> Option<(Codec, Vec<u8>)> {
        let worthwhile = plain.len() - plain.len() / 8;
        let (codec, mut bytes, len) = match self.compression {
            Compression::None => return None,
            Compression::Lz4 => {
                let mut bytes = vec![0; lz4_flex::block::get_maximum_output_size(plain.len())];
                let len = lz4_flex::block::compress_into(plain, &mut bytes).ok()?;
                (Codec::Lz4, bytes, len)
            }
            Compression::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                // Room for what is worthwhile only: the compressor gives up where it would pass it.
                let mut bytes = vec![0; worthwhile];
                let len = self.zstd.as_mut()?.compress_to_buffer(plain, &mut bytes[..]).ok()?;
                (Codec::Zstd, bytes, len)
            }
        };
        if len > worthwhile {
            return None;
        }
        bytes.truncate(len);
        Some((codec, bytes))
    }
}

/// [`BlockEncoder::encode`] for one block.
///
/// # Panics
/// As [`BlockEncoder::encode`].
#[must_use]
pub fn encode_block<'a>(
    planned: &PlannedBlock,
    present: u64,
    pages: &'a [u8],
    compression: Compression,
) -> EncodedBlock<'a> {
    BlockEncoder::new(compression).encode(planned, present, pages)
}

/// Which of the pages `present` are all zeros.
fn zero_pages(present: u64, pages: &[u8]) -> u64 {
    let mut rest = present;
    let mut zero = 0;
    for page in pages.chunks_exact(PAGE_SIZE) {
        let bit = rest & rest.wrapping_neg();
        if is_zero(page) {
            zero |= bit;
        }
        rest &= !bit;
    }
    zero
}

/// Looks at 128 bytes at a time: the compiler makes vector code of the inner loop, and most pages that
/// are not zero are left after the first step.
pub(crate) fn is_zero(page: &[u8]) -> bool {
    let mut chunks = page.chunks_exact(128);
    chunks.all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
        && chunks.remainder().iter().all(|byte| *byte == 0)
}

fn squeeze(present: u64, zero: u64, pages: &[u8]) -> Vec<u8> {
    let kept = (present & !zero).count_ones() as usize;
    let mut out = Vec::with_capacity(kept * PAGE_SIZE);
    let mut rest = present;
    for page in pages.chunks_exact(PAGE_SIZE) {
        let bit = rest & rest.wrapping_neg();
        if zero & bit == 0 {
            out.extend_from_slice(page);
        }
        rest &= !bit;
    }
    out
}

/// Decodes blocks; keeps the decompressor's working memory between them. One per thread.
#[derive(Default)]
pub struct BlockDecoder {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl BlockDecoder {
    /// Checks the stored bytes of `entry` against its checksum and writes its data pages, in ascending
    /// order, to the start of `pages`, which must have room for them (256 KiB always do). Returns the
    /// bytes written. For a block without stored bytes that is 0.
    ///
    /// # Errors
    /// What is wrong with the block, in a few words.
    ///
    /// # Panics
    /// If `pages` is too small: a defect of the caller.
    pub fn decode(
        &mut self,
        entry: &BlockEntry,
        stored: &[u8],
        pages: &mut [u8],
    ) -> Result<usize, &'static str> {
        if !entry.has_stored_bytes() {
            return Ok(0);
        }
        check_stored(entry, stored)?;
        let len = entry.data_pages() * PAGE_SIZE;
        debug_assert!(len <= BLOCK_LEN);
        let out = &mut pages[..len];
        let written = match entry.codec {
            Codec::Raw => {
                out.copy_from_slice(stored);
                len
            }
            Codec::Lz4 => lz4_flex::block::decompress_into(stored, out)
                .map_err(|_| "its bytes are not what its encoding says")?,
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = Some(zstd::bulk::Decompressor::new().map_err(|_| "no memory to decode it")?);
                }
                let zstd = self.zstd.as_mut().expect("made above");
                zstd.decompress_to_buffer(stored, out)
                    .map_err(|_| "its bytes are not what its encoding says")?
            }
            Codec::Empty | Codec::InParent => 0,
        };
        if written != len {
            return Err("it decodes to the wrong length");
        }
        Ok(len)
    }
}

/// Checks stored bytes against the index.
pub(crate) fn check_stored(entry: &BlockEntry, stored: &[u8]) -> Result<(), &'static str> {
    if stored.len() != entry.stored_len as usize || block_checksum(stored) != entry.checksum {
        return Err("its checksum does not match");
    }
    Ok(())
}
