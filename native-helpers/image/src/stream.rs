//! Gathers what is written into large aligned chunks: one stream for both memory sections, one for the
//! page index.

use std::io;

use crate::error::WriteError;
use crate::limits::{CHUNK_LEN, ENTRY_LEN, PAGE_SIZE};
use crate::page_buffer::PageBuffer;
use crate::storage::Sink;

pub(crate) fn io_error(what: &'static str) -> impl Fn(io::Error) -> WriteError {
    move |source| WriteError::Io { what, source }
}

/// Both memory sections: bytes one after the other, handed to the sink in large aligned chunks.
pub(crate) struct DataStream<S> {
    pub sink: S,
    /// None once the sink failed: what it had of the file is unknown, so nothing may follow.
    chunk: Option<PageBuffer>,
    fill: usize,
    chunk_offset: u64,
}

impl<S: Sink> DataStream<S> {
    pub(crate) fn new(sink: S, offset: u64) -> Self {
        Self { sink, chunk: Some(PageBuffer::new(CHUNK_LEN)), fill: 0, chunk_offset: offset }
    }

    /// Where in the file the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.chunk_offset + self.fill as u64
    }

    /// Appends `bytes`, on a page boundary if so wanted, and says where they begin.
    pub(crate) fn append(&mut self, mut bytes: &[u8], aligned: bool) -> Result<u64, WriteError> {
        if aligned {
            self.pad()?;
        }
        let offset = self.position();
        while !bytes.is_empty() {
            let fill = self.fill;
            let room = &mut self.chunk()?[fill..];
            let used = bytes.len().min(room.len());
            room[..used].copy_from_slice(&bytes[..used]);
            bytes = &bytes[used..];
            self.advance(used)?;
        }
        Ok(offset)
    }

    /// Room for `len` bytes (a block's at most) on a page boundary, to be filled in place; what it holds
    /// is arbitrary. [`DataStream::commit`] makes what was filled part of the stream.
    pub(crate) fn reserve(&mut self, len: usize) -> Result<&mut [u8], WriteError> {
        self.pad()?;
        if self.chunk()?.len() - self.fill < len {
            self.flush()?;
        }
        let fill = self.fill;
        Ok(&mut self.chunk()?[fill..fill + len])
    }

    /// Keeps the first `len` bytes of what was reserved, and says where they are.
    pub(crate) fn commit(&mut self, len: usize) -> Result<u64, WriteError> {
        let offset = self.position();
        self.advance(len)?;
        Ok(offset)
    }

    /// Fills up to the next page boundary with zeros.
    pub(crate) fn pad(&mut self) -> Result<(), WriteError> {
        let (start, end) = (self.fill, self.fill.next_multiple_of(PAGE_SIZE));
        self.chunk()?[start..end].fill(0);
        self.advance(end - start)
    }

    /// Hands what there is to the sink; after [`DataStream::pad`], so that it is whole pages.
    pub(crate) fn flush(&mut self) -> Result<(), WriteError> {
        debug_assert!(self.fill.is_multiple_of(PAGE_SIZE));
        if self.fill == 0 {
            return self.chunk().map(drop);
        }
        let chunk = self.chunk.take().ok_or(WriteError::FailedBefore)?;
        let chunk = self.sink.write_chunk(chunk, self.fill, self.chunk_offset).map_err(io_error("memory"))?;
        self.chunk = Some(chunk);
        self.chunk_offset += self.fill as u64;
        self.fill = 0;
        Ok(())
    }

    fn chunk(&mut self) -> Result<&mut PageBuffer, WriteError> {
        self.chunk.as_mut().ok_or(WriteError::FailedBefore)
    }

    fn advance(&mut self, len: usize) -> Result<(), WriteError> {
        self.fill += len;
        // A sink may give back larger chunks than it took.
        if self.fill == self.chunk()?.len() { self.flush() } else { Ok(()) }
    }
}

/// The page index: grows beside the data, hashed as it goes.
pub(crate) struct IndexStream {
    chunk: PageBuffer,
    fill: usize,
    start: u64,
    written: u64,
    hasher: blake3::Hasher,
}

impl IndexStream {
    /// The entries of 1 GiB of memory: seldom written, little to hold.
    const CHUNK: usize = 256 << 10;

    pub(crate) fn new(start: u64) -> Self {
        Self {
            chunk: PageBuffer::new(Self::CHUNK),
            fill: 0,
            start,
            written: 0,
            hasher: blake3::Hasher::new(),
        }
    }

    pub(crate) fn push(&mut self, sink: &mut impl Sink, entry: &[u8; ENTRY_LEN]) -> Result<(), WriteError> {
        self.chunk[self.fill..self.fill + ENTRY_LEN].copy_from_slice(entry);
        self.fill += ENTRY_LEN;
        if self.fill == self.chunk.len() { self.flush(sink) } else { Ok(()) }
    }

    fn flush(&mut self, sink: &mut impl Sink) -> Result<(), WriteError> {
        self.hasher.update(&self.chunk[..self.fill]);
        sink.write_all_at(&self.chunk[..self.fill], self.start + self.written)
            .map_err(io_error("the page index"))?;
        self.written += self.fill as u64;
        self.fill = 0;
        Ok(())
    }

    /// Fills the reserved room with zeros, as the plan may have promised more blocks than came, and
    /// returns the hash of all of it.
    pub(crate) fn finish(&mut self, sink: &mut impl Sink, span: u64) -> Result<[u8; 32], WriteError> {
        while self.written < span {
            let end = self.chunk.len().min((span - self.written) as usize);
            self.chunk[self.fill..end].fill(0);
            self.fill = end;
            self.flush(sink)?;
        }
        Ok(*self.hasher.finalize().as_bytes())
    }
}
