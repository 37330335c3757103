//! Reads neighbouring blocks with one request: for whoever brings memory in behind a program that runs.

use std::ops::Range;

use crate::decode::{BlockDecoder, check_stored};
use crate::entry::Codec;
use crate::error::ImageError;
use crate::limits::{BLOCK_LEN, PAGE, PAGE_SIZE};
use crate::page_buffer::PageBuffer;
use crate::reader::{ImageReader, block_damaged, read};
use crate::storage::Source;

/// Stored bytes of a run at most (but for a page at either end, which it may share with its neighbours).
/// O_DIRECT has nearly its full throughput with it, and what waits for a page waits for two at most.
const RUN_LEN: usize = 1 << 20;
/// Blocks of a run at most: bounds what compressed ones may become.
const RUN_BLOCKS: usize = 16;

/// Blocks that were read together, checked and decoded. Kept between reads, one for each that is under way.
pub struct BlockRun {
    stored: PageBuffer,
    decoded: PageBuffer,
    decoder: BlockDecoder,
    room: usize,
    blocks: Vec<(u32, Pages)>,
}

/// Where the pages of a block are.
enum Pages {
    /// They are what is stored.
    Stored(Range<usize>),
    Decoded(Range<usize>),
}

impl BlockRun {
    /// Room for one run; memory is taken only as far as it is used.
    #[must_use]
    pub fn new() -> Self {
        Self::of(RUN_BLOCKS)
    }

    /// Room for so many blocks, less than of a whole run perhaps.
    #[must_use]
    pub fn of(blocks: usize) -> Self {
        let room = blocks.clamp(1, RUN_BLOCKS);
        Self {
            stored: PageBuffer::new(RUN_LEN.min(room * BLOCK_LEN) + 2 * PAGE_SIZE),
            decoded: PageBuffer::new(room * BLOCK_LEN),
            decoder: BlockDecoder::default(),
            room,
            blocks: Vec::with_capacity(room),
        }
    }

    /// How many blocks it has room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room
    }

    /// How many blocks it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// One of its blocks: the number, and its data pages as [`ImageReader::read_block`] returns them.
    ///
    /// # Panics
    /// If it doesn't hold so many: a defect of the caller.
    #[must_use]
    pub fn get(&self, at: usize) -> (u32, &[u8]) {
        let (number, pages) = &self.blocks[at];
        let pages = match pages {
            Pages::Stored(range) => &self.stored[range.clone()],
            Pages::Decoded(range) => &self.decoded[range.clone()],
        };
        (*number, pages)
    }

    /// The data pages of block `number`, if it holds that.
    #[must_use]
    pub fn find(&self, number: u32) -> Option<&[u8]> {
        let at = self.blocks.iter().position(|(n, _)| *n == number)?;
        Some(self.get(at).1)
    }
}

impl Default for BlockRun {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Source> ImageReader<S> {
    /// How many of the first of `blocks` (numbers of [`ImageReader::blocks`]) one request brings in: those
    /// whose bytes follow each other in the file, up to 1 MiB. At least one, where there is one.
    ///
    /// # Panics
    /// If there is no such block: a defect of the caller.
    #[must_use]
    pub fn run_of(&self, mut blocks: impl Iterator<Item = u32>) -> usize {
        let entry = |number: u32| &self.blocks()[number as usize];
        let Some(first) = blocks.next().map(entry) else { return 0 };
        if !first.has_stored_bytes() {
            return 1;
        }
        let mut end = first.offset + u64::from(first.stored_len);
        let follows = |number: u32| {
            let next = entry(number);
            // Less than a page of padding lies between neighbours.
            let near = next.has_stored_bytes() && next.offset >= end && next.offset - end < PAGE;
            end = next.offset + u64::from(next.stored_len);
            near && end - first.offset <= RUN_LEN as u64
        };
        1 + blocks.take(RUN_BLOCKS - 1).map(follows).take_while(|follows| *follows).count()
    }

    /// Reads `blocks`, no more than [`ImageReader::run_of`] says, checks and decodes them into `run`. The
    /// bytes come from `source`: the image's own file, opened in another way perhaps.
    ///
    /// # Errors
    /// [`ImageError::BlockDamaged`], or what the store says.
    ///
    /// # Panics
    /// If there is no such block, or one request can't bring them in: a defect of the caller.
    pub fn read_run(
        &self,
        source: &impl Source,
        blocks: &[u32],
        run: &mut BlockRun,
    ) -> Result<(), ImageError> {
        run.blocks.clear();
        let entries = || blocks.iter().map(|number| (*number, &self.blocks()[*number as usize]));
        let mut stored = entries().filter(|(_, e)| e.has_stored_bytes()).map(|(_, e)| e);
        let start = stored.clone().next().map_or(0, |e| e.offset / PAGE * PAGE);
        if let Some(last) = stored.next_back() {
            let span = (last.offset + u64::from(last.stored_len)).next_multiple_of(PAGE) - start;
            read(source, &mut run.stored[..span as usize], start, self.file_len())?;
        }
        let mut filled = 0;
        for (number, entry) in entries() {
            let damaged = block_damaged(number as usize, entry);
            let len = entry.stored_len as usize;
            let pages = if !entry.has_stored_bytes() {
                Pages::Stored(0..0)
            } else {
                let at = (entry.offset - start) as usize;
                if entry.codec == Codec::Raw {
                    check_stored(entry, &run.stored[at..at + len]).map_err(damaged)?;
                    Pages::Stored(at..at + len)
                } else {
                    let room = &mut run.decoded[filled..];
                    let stored = &run.stored[at..at + len];
                    let decoded = run.decoder.decode(entry, stored, room).map_err(damaged)?;
                    filled += decoded;
                    Pages::Decoded(filled - decoded..filled)
                }
            };
            run.blocks.push((number, pages));
        }
        Ok(())
    }
}
