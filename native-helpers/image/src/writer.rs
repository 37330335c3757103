//! Writes an image from front to back with bounded memory (two chunks of 4 MiB): memory blocks as they
//! come, index entries beside them, header next to last, footer last.

use std::io;

use crate::codec::{BlockEncoder, Compression, EncodedBlock};
use crate::entry::{BlockEntry, Codec};
use crate::error::WriteError;
use crate::header::{Footer, Header, HeaderInfo, Part, SectionSizes};
use crate::identity::{ContentHash, ImageId};
use crate::limits::{CHUNK_LEN, ENTRY_LEN, HEADER_LEN, PAGE, PAGE_SIZE};
use crate::page_buffer::PageBuffer;
use crate::plan::{Layout, PlannedBlock, PlannedBlocks, Section};
use crate::storage::Sink;

/// How an image is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// For [`ImageWriter::write_pages`]; blocks that were encoded elsewhere are taken as they are.
    pub compression: Compression,
}

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

/// Where a block was put, for [`EncodedBlock::duplicate`].
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

/// Writes one image to a [`Sink`]. Blocks come in the order of [`Layout::blocks`], the state at any
/// time; dropping the writer before [`ImageWriter::finish`] leaves a file that no reader accepts.
pub struct ImageWriter<S: Sink> {
    out: DataStream<S>,
    info: HeaderInfo,
    layout: Layout,
    plan: PlannedBlocks,
    encoder: BlockEncoder,
    state: Option<(u64, [u8; 32])>,
    index: IndexStream,
    sizes: [SectionSizes; 2],
    /// Where virtual memory begins, once its first block came.
    virtual_offset: Option<u64>,
    data_end: u64,
}

impl<S: Sink> ImageWriter<S> {
    /// A writer; nothing is written yet.
    ///
    /// # Panics
    /// If `info` contradicts itself about parent and chain length: a defect of the caller.
    pub fn new(sink: S, info: HeaderInfo, layout: Layout, options: WriteOptions) -> Self {
        assert_eq!(info.parent.is_some(), info.chain_len > 1, "chain length and parent don't fit");
        Self {
            out: DataStream::new(sink, layout.data_offset()),
            index: IndexStream::new(layout.index_offset()),
            info,
            plan: layout.blocks(),
            encoder: BlockEncoder::new(options.compression),
            state: None,
            sizes: Default::default(),
            virtual_offset: None,
            data_end: layout.data_offset(),
            layout,
        }
    }

    /// Writes the system state, at any time, once. It may be shorter than planned.
    ///
    /// # Errors
    /// If it is longer than planned, was written before, or the sink fails.
    pub fn write_state(&mut self, state: &[u8]) -> Result<(), WriteError> {
        let len = state.len() as u64;
        let span = self.layout.state_span();
        if self.state.is_some() {
            return Err(WriteError::StateNotOnce);
        }
        if len > span {
            return Err(WriteError::StateTooLong { len, planned: span });
        }
        let mut hasher = blake3::Hasher::new();
        let mut chunk = PageBuffer::new(CHUNK_LEN.min(span as usize));
        let mut written = 0u64;
        let mut rest = state;
        while written < span {
            let room = chunk.len().min((span - written) as usize);
            let used = rest.len().min(room);
            chunk[..used].copy_from_slice(&rest[..used]);
            chunk[used..room].fill(0);
            rest = &rest[used..];
            hasher.update(&chunk[..room]);
            chunk = self
                .out
                .sink
                .write_chunk(chunk, room, HEADER_LEN as u64 + written)
                .map_err(io_error("the system state"))?;
            written += room as u64;
        }
        self.state = Some((len, *hasher.finalize().as_bytes()));
        Ok(())
    }

    /// Encodes and appends the next planned block. `present` says which of its pages are in `pages`
    /// (ascending, 4096 bytes each); planned pages that are not are absent from the image.
    ///
    /// # Errors
    /// As [`ImageWriter::append`].
    ///
    /// # Panics
    /// As [`BlockEncoder::encode`].
    pub fn write_pages(
        &mut self,
        planned: &PlannedBlock,
        present: u64,
        pages: &[u8],
    ) -> Result<Placement, WriteError> {
        let encoded = self.encoder.encode(planned, present, pages);
        self.append(&encoded)
    }

    /// Notes that the next planned block's pages vanished before they could be read.
    ///
    /// # Errors
    /// As [`ImageWriter::append`].
    pub fn mark_absent(&mut self, planned: &PlannedBlock) -> Result<(), WriteError> {
        self.append(&EncodedBlock::absent(planned)).map(drop)
    }

    /// Notes that the next planned block's pages are in the parent image.
    ///
    /// # Errors
    /// As [`ImageWriter::append`].
    pub fn mark_in_parent(&mut self, planned: &PlannedBlock) -> Result<(), WriteError> {
        self.append(&EncodedBlock::in_parent(planned)).map(drop)
    }

    /// Appends the next planned block.
    ///
    /// # Errors
    /// If it is not the next one, refers to a parent that the image doesn't have, or the sink fails.
    pub fn append(&mut self, block: &EncodedBlock<'_>) -> Result<Placement, WriteError> {
        let planned = &block.planned;
        if self.plan.next().as_ref() != Some(planned) {
            return Err(WriteError::OutOfPlan { space: planned.space, page: planned.base_page });
        }
        if block.codec == Codec::InParent && self.info.parent.is_none() {
            return Err(WriteError::NoParent);
        }
        if planned.section == Section::Virtual && self.virtual_offset.is_none() {
            self.virtual_offset = Some(self.end_physical()?);
        }
        let (offset, stored_len) = match block.duplicate_of {
            Some(of) => (of.offset, of.stored_len),
            None if block.stored.is_empty() => (0, 0),
            None => {
                let offset = self.out.append(&block.stored, block.codec == Codec::Raw)?;
                (offset, block.stored.len() as u32)
            }
        };
        let (data, zero) = (block.data, block.zero);
        let placement =
            Placement { codec: block.codec, data, zero, offset, stored_len, checksum: block.checksum };
        if data | zero == 0 {
            return Ok(placement);
        }
        let entry = BlockEntry {
            space: planned.space,
            codec: block.codec,
            duplicate: block.duplicate_of.is_some() && stored_len > 0,
            base_page: planned.base_page,
            data,
            zero,
            offset,
            stored_len,
            checksum: block.checksum,
        };
        self.index.push(&mut self.out.sink, &entry.to_bytes())?;
        let sizes = &mut self.sizes[planned.section as usize];
        sizes.blocks += 1;
        sizes.zero_pages += u64::from(zero.count_ones());
        match block.codec {
            Codec::InParent => sizes.parent_pages += u64::from(data.count_ones()),
            _ => sizes.stored_pages += u64::from(data.count_ones()),
        }
        Ok(placement)
    }

    /// Bytes of the file that were handed to the sink or wait for it: memory blocks and padding.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.out.position() - self.layout.data_offset()
    }

    fn end_physical(&mut self) -> Result<u64, WriteError> {
        self.out.pad()?;
        Ok(self.out.position())
    }

    /// Writes what is still in memory, the rest of the index, the header and, last, the footer.
    /// Returns the summary and the sink.
    ///
    /// # Errors
    /// If planned blocks or the state are missing, or the sink fails.
    pub fn finish(mut self) -> Result<(Summary, S), WriteError> {
        let missing = self.plan.by_ref().count() as u64;
        if missing > 0 {
            return Err(WriteError::PlanNotDone { missing });
        }
        let (state_len, state_hash) = self.state.ok_or(WriteError::StateNotOnce)?;
        self.out.pad()?;
        self.out.flush()?;
        self.data_end = self.out.position();
        let data_start = self.layout.data_offset();
        let virtual_start = self.virtual_offset.unwrap_or(self.data_end);
        let blocks: u64 = self.sizes.iter().map(|sizes| u64::from(sizes.blocks)).sum();
        let index_hash = self.index.finish(&mut self.out.sink, self.layout.index_span())?;
        let part = |offset, len, span| Part { offset, len, span };
        let header = Header {
            info: self.info,
            file_len: self.data_end + HEADER_LEN as u64,
            state: part(HEADER_LEN as u64, state_len, self.layout.state_span()),
            state_hash,
            index: part(self.layout.index_offset(), blocks * ENTRY_LEN as u64, self.layout.index_span()),
            index_hash,
            physical: part(data_start, virtual_start - data_start, virtual_start - data_start),
            physical_sizes: self.sizes[0],
            virtual_: part(virtual_start, self.data_end - virtual_start, self.data_end - virtual_start),
            virtual_sizes: self.sizes[1],
        };
        let header_bytes = header.to_bytes();
        let content_hash = Header::content_hash(&header_bytes);
        let footer = Footer { image_id: self.info.image_id, content_hash, file_len: header.file_len };
        write_page(&mut self.out.sink, &header_bytes, 0, "the header")?;
        write_page(&mut self.out.sink, &footer.to_bytes(), self.data_end, "the footer")?;
        let sum = |field: fn(&SectionSizes) -> u64| self.sizes.iter().map(field).sum::<u64>() * PAGE;
        let summary = Summary {
            id: self.info.image_id,
            content_hash,
            file_len: header.file_len,
            state_bytes: state_len,
            physical_bytes: self.sizes[0].bytes(),
            virtual_bytes: self.sizes[1].bytes(),
            stored_bytes: self.data_end - data_start,
            zero_bytes: sum(|sizes| sizes.zero_pages),
            parent_bytes: sum(|sizes| sizes.parent_pages),
            blocks,
        };
        Ok((summary, self.out.sink))
    }
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> WriteError {
    move |source| WriteError::Io { what, source }
}

fn write_page(
    sink: &mut impl Sink,
    bytes: &[u8; HEADER_LEN],
    offset: u64,
    what: &'static str,
) -> Result<(), WriteError> {
    let mut page = PageBuffer::new(HEADER_LEN);
    page.copy_from_slice(bytes);
    sink.write_chunk(page, HEADER_LEN, offset).map_err(io_error(what)).map(drop)
}

/// Both memory sections: bytes one after the other, handed to the sink in large aligned chunks.
struct DataStream<S> {
    sink: S,
    /// Taken away only while the sink has it; empty after the sink failed.
    chunk: PageBuffer,
    fill: usize,
    chunk_offset: u64,
}

impl<S: Sink> DataStream<S> {
    fn new(sink: S, offset: u64) -> Self {
        Self { sink, chunk: PageBuffer::new(CHUNK_LEN), fill: 0, chunk_offset: offset }
    }

    fn position(&self) -> u64 {
        self.chunk_offset + self.fill as u64
    }

    /// Appends `bytes`, on a page boundary if so wanted, and says where they begin.
    fn append(&mut self, mut bytes: &[u8], aligned: bool) -> Result<u64, WriteError> {
        if aligned {
            self.pad()?;
        }
        let offset = self.position();
        while !bytes.is_empty() {
            let used = bytes.len().min(self.chunk.len() - self.fill);
            self.chunk[self.fill..self.fill + used].copy_from_slice(&bytes[..used]);
            self.fill += used;
            bytes = &bytes[used..];
            if self.fill == self.chunk.len() {
                self.flush()?;
            }
        }
        Ok(offset)
    }

    /// Fills up to the next page boundary with zeros.
    fn pad(&mut self) -> Result<(), WriteError> {
        let end = self.fill.next_multiple_of(PAGE_SIZE);
        self.chunk[self.fill..end].fill(0);
        self.fill = end;
        if self.fill == self.chunk.len() { self.flush() } else { Ok(()) }
    }

    /// Hands a whole number of pages to the sink.
    fn flush(&mut self) -> Result<(), WriteError> {
        if self.fill == 0 {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, PageBuffer::new(0));
        self.chunk =
            self.sink.write_chunk(chunk, self.fill, self.chunk_offset).map_err(io_error("memory"))?;
        self.chunk_offset += self.fill as u64;
        self.fill = 0;
        Ok(())
    }
}

/// The page index: grows beside the data, hashed as it goes.
struct IndexStream {
    chunk: PageBuffer,
    fill: usize,
    start: u64,
    written: u64,
    hasher: blake3::Hasher,
}

impl IndexStream {
    /// Entries of 1 GiB of memory: seldom written, little to hold.
    const CHUNK: usize = 256 << 10;

    fn new(start: u64) -> Self {
        Self {
            chunk: PageBuffer::new(Self::CHUNK),
            fill: 0,
            start,
            written: 0,
            hasher: blake3::Hasher::new(),
        }
    }

    fn push(&mut self, sink: &mut impl Sink, entry: &[u8; ENTRY_LEN]) -> Result<(), WriteError> {
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

    /// Fills the reserved room with zeros, as the plan may have promised more blocks than came.
    fn finish(&mut self, sink: &mut impl Sink, span: u64) -> Result<[u8; 32], WriteError> {
        while self.written < span {
            let end = self.chunk.len().min((span - self.written) as usize);
            self.chunk[self.fill..end].fill(0);
            self.fill = end;
            self.flush(sink)?;
        }
        Ok(*self.hasher.finalize().as_bytes())
    }
}
