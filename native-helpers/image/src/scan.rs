//! Reads blocks in file order with large reads: for restoring all of an image at once, and for checking
//! every byte of it.

use std::ops::Range;

use crate::decode::check_stored;
use crate::encode::is_zero;
use crate::entry::{BlockEntry, Codec};
use crate::error::ImageError;
use crate::limits::{CHUNK_LEN, PAGE};
use crate::page_buffer::PageBuffer;
use crate::plan::Section;
use crate::reader::{BlockBuf, ImageReader, block_damaged, read};
use crate::storage::Source;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Bytes of memory sections that were checked.
    pub done_bytes: u64,
    /// Bytes of both memory sections in the file.
    pub total_bytes: u64,
}

/// What a verification read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyReport {
    /// Entries of the page index.
    pub blocks: u64,
    /// The file's length.
    pub bytes: u64,
}

impl<S: Source> ImageReader<S> {
    /// Reads, checks and decodes the blocks `range` in order, with aligned reads of up to 4 MiB, and
    /// gives each to `visit`: its number, its entry, and its data pages in ascending order (none for
    /// blocks without stored bytes). The pages of a block that is stored as it is are not copied.
    /// An `Err` of `visit` ends it.
    ///
    /// # Errors
    /// The first damage that is found, what the store says, or what `visit` returned.
    ///
    /// # Panics
    /// If `range` passes [`ImageReader::blocks`]: a defect of the caller.
    pub fn scan<E: From<ImageError>>(
        &self,
        range: Range<usize>,
        mut visit: impl FnMut(usize, &BlockEntry, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut window = Window::over(self);
        let mut buf = BlockBuf::new();
        for block in range {
            let entry = &self.blocks()[block];
            let pages = if entry.duplicate {
                // Lies behind: the window only moves forward.
                self.read_block(block, &mut buf)?
            } else {
                window.block(block, entry, &mut buf)?
            };
            visit(block, entry, pages)?;
        }
        Ok(())
    }

    /// Reads every block in file order, checks and decodes it, and checks that what lies between blocks
    /// is zero. With [`ImageReader::open`] that is every byte of the file. `progress` is called after
    /// each block; an `Err` from it ends the verification.
    ///
    /// # Errors
    /// The first damage that is found, what the store says, or what `progress` returned.
    pub fn verify<E: From<ImageError>>(
        &self,
        mut progress: impl FnMut(VerifyProgress) -> Result<(), E>,
    ) -> Result<VerifyReport, E> {
        let mut window = Window::over(self);
        let mut buf = BlockBuf::new();
        let (start, end) = (window.offset, window.end);
        let mut position = start;
        for (block, entry) in self.blocks().iter().enumerate() {
            // A duplicate's entry was compared with that of the block which has the bytes.
            if !entry.has_stored_bytes() || entry.duplicate {
                continue;
            }
            window.check_zero(position, entry.offset)?;
            window.block(block, entry, &mut buf)?;
            position = entry.offset + u64::from(entry.stored_len);
            progress(VerifyProgress { done_bytes: position - start, total_bytes: end - start })?;
        }
        window.check_zero(position, end)?;
        progress(VerifyProgress { done_bytes: end - start, total_bytes: end - start })?;
        Ok(VerifyReport { blocks: self.blocks().len() as u64, bytes: self.file_len() })
    }
}

/// A part of the memory sections in memory, which moves forward with what is asked for.
struct Window<'s, S> {
    source: &'s S,
    buffer: PageBuffer,
    /// The file's range that `buffer` holds; begins at a page boundary.
    offset: u64,
    filled: usize,
    /// Where the sections end.
    end: u64,
}

impl<'s, S: Source> Window<'s, S> {
    fn over(reader: &'s ImageReader<S>) -> Self {
        let start = reader.part(Section::Physical).offset;
        let last = reader.part(Section::Virtual);
        let end = last.offset + last.span;
        let room = (end - start).min(CHUNK_LEN as u64) as usize;
        Self { source: reader.source(), buffer: PageBuffer::new(room), offset: start, filled: 0, end }
    }

    /// `len` bytes at `offset`; both lie within the sections, and a block is smaller than the buffer.
    fn get(&mut self, offset: u64, len: usize) -> Result<&[u8], ImageError> {
        if offset < self.offset || offset + len as u64 > self.offset + self.filled as u64 {
            self.offset = offset / PAGE * PAGE;
            self.filled = (self.end - self.offset).min(self.buffer.len() as u64) as usize;
            read(self.source, &mut self.buffer[..self.filled], self.offset, self.end + PAGE)
                .inspect_err(|_| self.filled = 0)?;
        }
        let at = (offset - self.offset) as usize;
        Ok(&self.buffer[at..at + len])
    }

    /// The data pages of a block that has bytes of its own, or none.
    fn block<'b>(
        &'b mut self,
        block: usize,
        entry: &BlockEntry,
        buf: &'b mut BlockBuf,
    ) -> Result<&'b [u8], ImageError> {
        if !entry.has_stored_bytes() {
            return Ok(&[]);
        }
        let stored = self.get(entry.offset, entry.stored_len as usize)?;
        if entry.codec == Codec::Raw {
            check_stored(entry, stored).map_err(block_damaged(block, entry))?;
            return Ok(stored);
        }
        let len = buf.decoder.decode(entry, stored, &mut buf.pages).map_err(block_damaged(block, entry))?;
        Ok(&buf.pages[..len])
    }

    /// Padding between blocks: less than a page, which the checks of the index made sure of.
    fn check_zero(&mut self, from: u64, to: u64) -> Result<(), ImageError> {
        if from < to && !is_zero(self.get(from, (to - from) as usize)?) {
            return Err(ImageError::PaddingDamaged { offset: from });
        }
        Ok(())
    }
}
