//! From stored bytes to pages: checksum first, then decoding into a buffer of known size.

use crate::encode::block_checksum;
use crate::entry::{BlockEntry, Codec};
use crate::limits::{BLOCK_LEN, PAGE_SIZE};

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
