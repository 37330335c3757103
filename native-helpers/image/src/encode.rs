//! From pages to stored bytes. Encoding depends on nothing but its input, so that blocks can be encoded on
//! several threads and appended in order by another.

use std::borrow::Cow;

use twox_hash::XxHash3_128;

use crate::entry::Codec;
use crate::limits::PAGE_SIZE;
use crate::plan::{PageSource, PlannedBlock};

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
}

impl<'a> EncodedBlock<'a> {
    fn without_bytes(planned: &PlannedBlock, codec: Codec, data: u64, zero: u64) -> Self {
        Self { planned: *planned, codec, data, zero, checksum: 0, stored: Cow::Borrowed(&[]) }
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

/// Encodes blocks; keeps its buffers between them. One per thread.
pub struct BlockEncoder {
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// A block's pages without the zero ones.
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl BlockEncoder {
    /// An encoder for `compression`.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self { compression, zstd: None, plain: Vec::new(), packed: Vec::new() }
    }

    /// Encodes the pages of `planned` that are in the bitmap `present` (a part of `planned.pages`;
    /// the others are absent from the image). `pages` holds them in ascending order, 4096 bytes each.
    /// Zero pages are left out. The result lies in `pages` or in the encoder's buffers;
    /// [`EncodedBlock::into_owned`] sets it free. The same input gives the same result.
    ///
    /// # Panics
    /// If `present` and `pages` don't fit the plan: a defect of the caller.
    #[must_use]
    pub fn encode<'a>(
        &'a mut self,
        planned: &PlannedBlock,
        present: u64,
        pages: &'a [u8],
    ) -> EncodedBlock<'a> {
        check_fits(planned, present);
        assert_eq!(pages.len(), present.count_ones() as usize * PAGE_SIZE, "pages missing or too many");
        let zero = zero_pages(present, pages);
        let data = present & !zero;
        if data == 0 {
            return EncodedBlock::without_bytes(planned, Codec::Empty, 0, zero);
        }
        let plain = if zero == 0 {
            pages
        } else {
            self.plain.resize(data.count_ones() as usize * PAGE_SIZE, 0);
            copy_data_pages(present, zero, pages, &mut self.plain);
            &self.plain
        };
        let (codec, stored) = match compress(self.compression, &mut self.zstd, plain, &mut self.packed) {
            Some((codec, len)) => (codec, &self.packed[..len]),
            None => (Codec::Raw, plain),
        };
        let checksum = block_checksum(stored);
        let stored = Cow::Borrowed(stored);
        EncodedBlock { planned: *planned, codec, data, zero, checksum, stored }
    }
}

/// Fills the start of `packed` with the compressed form and says its length, if it saves an eighth or
/// more: less is not worth decoding it.
fn compress(
    compression: Compression,
    zstd: &mut Option<zstd::bulk::Compressor<'static>>,
    plain: &[u8],
    packed: &mut Vec<u8>,
) -> Option<(Codec, usize)> {
    let worthwhile = plain.len() - plain.len() / 8;
    let (codec, len) = match compression {
        Compression::None => return None,
        Compression::Lz4 => {
            let room = lz4_flex::block::get_maximum_output_size(plain.len());
            if packed.len() < room {
                packed.resize(room, 0);
            }
            (Codec::Lz4, lz4_flex::block::compress_into(plain, packed).ok()?)
        }
        Compression::Zstd => {
            if zstd.is_none() {
                *zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
            }
            // Room for what is worthwhile only: the compressor gives up where it would pass it.
            packed.resize(worthwhile, 0);
            (Codec::Zstd, zstd.as_mut()?.compress_to_buffer(plain, &mut packed[..]).ok()?)
        }
    };
    (len <= worthwhile).then_some((codec, len))
}

/// Refuses pages that the plan doesn't have: a defect of the caller.
pub(crate) fn check_fits(planned: &PlannedBlock, present: u64) {
    assert_eq!(present & !planned.pages, 0, "pages outside the plan");
    assert_eq!(planned.source, PageSource::Stored, "the plan has these pages in the parent");
}

/// The lowest page of each that is left in a bitmap, as bits.
fn bits(mut rest: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let bit = rest & rest.wrapping_neg();
        rest ^= bit;
        (bit != 0).then_some(bit)
    })
}

/// Which of the pages `present` are all zeros.
pub(crate) fn zero_pages(present: u64, pages: &[u8]) -> u64 {
    let pages = pages.chunks_exact(PAGE_SIZE);
    bits(present).zip(pages).fold(0, |zero, (bit, page)| if is_zero(page) { zero | bit } else { zero })
}

/// Copies the pages `present` that are not in `zero` to `out`, one after the other.
pub(crate) fn copy_data_pages(present: u64, zero: u64, pages: &[u8], out: &mut [u8]) {
    let data = bits(present).zip(pages.chunks_exact(PAGE_SIZE)).filter(|(bit, _)| zero & bit == 0);
    data.zip(out.chunks_exact_mut(PAGE_SIZE)).for_each(|((_, page), out)| out.copy_from_slice(page));
}

/// [`copy_data_pages`] within one buffer.
pub(crate) fn close_gaps(present: u64, zero: u64, pages: &mut [u8]) {
    let mut to = 0;
    for (n, bit) in bits(present).enumerate() {
        if zero & bit == 0 {
            let from = n * PAGE_SIZE;
            if from != to {
                pages.copy_within(from..from + PAGE_SIZE, to);
            }
            to += PAGE_SIZE;
        }
    }
}

/// Compares the bytes with themselves, 16 further on: if the first 16 are zero and no byte differs from
/// the one 16 before it, all are zero. That makes it one memcmp, which uses the widest vectors there are;
/// most pages that are not zero are left at once.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let head = bytes.len().min(16);
    bytes[..head].iter().all(|byte| *byte == 0) && bytes[head..] == bytes[..bytes.len() - head]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_makes_it_not_zero() {
        for len in [0, 1, 15, 16, 17, 100, PAGE_SIZE] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes), "{len}");
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn gaps_close_in_place_as_in_a_copy() {
        let present = 0b1011_0110_u64;
        for zero in [0, 0b10, 0b1000_0000, 0b0011_0010, present] {
            let pages: Vec<u8> = (0..5u8).flat_map(|n| [n + 1; PAGE_SIZE]).collect();
            let kept = (present & !zero).count_ones() as usize * PAGE_SIZE;
            let mut copied = vec![0; kept];
            copy_data_pages(present, zero, &pages, &mut copied);
            let mut moved = pages;
            close_gaps(present, zero, &mut moved);
            assert!(moved[..kept] == copied, "{zero:b}");
        }
    }
}
