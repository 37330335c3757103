//! Reads all of an image and checks every byte of it.

use crate::codec::is_zero;
use crate::error::ImageError;
use crate::limits::{CHUNK_LEN, PAGE, PAGE_SIZE};
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
    /// Reads every block in file order with large aligned reads, checks and decodes it, and checks that
    /// what lies between blocks is zero. `progress` is called after each block; `Err` from it ends the
    /// verification with that error.
    ///
    /// # Errors
    /// The first damage that is found, what the store says, or what `progress` returned.
    pub fn verify<E: From<ImageError>>(
        &self,
        mut progress: impl FnMut(VerifyProgress) -> Result<(), E>,
    ) -> Result<VerifyReport, E> {
        let [physical, virtual_] = [Section::Physical, Section::Virtual].map(|section| self.part(section));
        let start = physical.offset;
        let end = virtual_.offset + virtual_.span;
        let mut window = Window::new(self.source(), start, end);
        let mut buf = BlockBuf::new();
        let mut position = start;
        for (block, entry) in self.blocks().iter().enumerate() {
            if !entry.has_stored_bytes() || entry.duplicate {
                continue;
            }
            window.check_zero(position, entry.offset)?;
            let stored = window.get(entry.offset, entry.stored_len as usize)?;
            buf.decoder.decode(entry, stored, &mut buf.pages).map_err(block_damaged(block, entry))?;
            position = entry.offset + u64::from(entry.stored_len);
            progress(VerifyProgress { done_bytes: position - start, total_bytes: end - start })?;
        }
        window.check_zero(position, end)?;
        progress(VerifyProgress { done_bytes: end - start, total_bytes: end - start })?;
        Ok(VerifyReport { blocks: self.blocks().len() as u64, bytes: self.file_len() })
    }
}

/// A part of the file in memory that moves forward with what is asked for.
struct Window<'s, S> {
    source: &'s S,
    buffer: PageBuffer,
    /// The file's range that `buffer` holds; begins at a page boundary.
    offset: u64,
    filled: usize,
    end: u64,
}

impl<'s, S: Source> Window<'s, S> {
    fn new(source: &'s S, start: u64, end: u64) -> Self {
        let room = CHUNK_LEN.min((end - start) as usize);
        Self { source, buffer: PageBuffer::new(room), offset: start, filled: 0, end }
    }

    /// `len` bytes at `offset`; both lie within the sections, and a block is smaller than the buffer.
    fn get(&mut self, offset: u64, len: usize) -> Result<&[u8], ImageError> {
        if offset < self.offset || offset + len as u64 > self.offset + self.filled as u64 {
            self.offset = offset / PAGE * PAGE;
            self.filled = self.buffer.len().min((self.end - self.offset) as usize);
            read(self.source, &mut self.buffer[..self.filled], self.offset, self.end + PAGE)?;
        }
        let at = (offset - self.offset) as usize;
        Ok(&self.buffer[at..at + len])
    }

    /// Padding: less than a page, which the index's checks made sure of.
    fn check_zero(&mut self, from: u64, to: u64) -> Result<(), ImageError> {
        debug_assert!(to - from < PAGE_SIZE as u64);
        if from < to && !is_zero(self.get(from, (to - from) as usize)?) {
            return Err(ImageError::PaddingDamaged { offset: from });
        }
        Ok(())
    }
}
