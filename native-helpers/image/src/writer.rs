//! Writes an image from front to back with bounded memory (at most two chunks of 4 MiB): memory blocks
//! as they come, index entries beside them, header next to last, footer last.

use crate::encode::{
    BlockEncoder, Compression, EncodedBlock, block_checksum, check_fits, close_gaps, zero_pages,
};
use crate::entry::{BlockEntry, Codec};
use crate::error::WriteError;
use crate::header::{Footer, Header, HeaderInfo, Part, SectionSizes};
use crate::limits::{BLOCK_LEN, CHUNK_LEN, ENTRY_LEN, HEADER_LEN, PAGE, PAGE_SIZE};
use crate::page_buffer::PageBuffer;
use crate::plan::{Layout, PlannedBlock, PlannedBlocks, Section};
use crate::storage::Sink;
use crate::stored_once::{Contents, StoredOnce};
use crate::stream::{DataStream, IndexStream, io_error};
use crate::summary::Summary;

/// How an image is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// For [`ImageWriter::write_pages`] and [`ImageWriter::fill_block`]; blocks that were encoded elsewhere are taken as they are.
    pub compression: Compression,
}

/// Writes one image to a [`Sink`]. Blocks come in the order of [`Layout::blocks`], the state at any
/// time; dropping the writer before [`ImageWriter::finish`] leaves a file that no reader accepts.
pub struct ImageWriter<S: Sink> {
    out: DataStream<S>,
    info: HeaderInfo,
    layout: Layout,
    plan: PlannedBlocks,
    /// The block that must come now.
    next: Option<PlannedBlock>,
    compression: Compression,
    encoder: BlockEncoder,
    /// Pages that are to be compressed; taken away while they are.
    pages: Option<PageBuffer>,
    state: Option<(u64, [u8; 32])>,
    index: IndexStream,
    stored: StoredOnce,
    sizes: [SectionSizes; 2],
    /// Where virtual memory begins, once its first block came.
    virtual_offset: Option<u64>,
    /// A call failed: what the file holds is unknown, so nothing may follow.
    failed: bool,
}

impl<S: Sink> ImageWriter<S> {
    /// A writer; nothing is written yet.
    ///
    /// # Panics
    /// If `info` contradicts itself about parent and chain length: a defect of the caller.
    pub fn new(sink: S, info: HeaderInfo, layout: Layout, options: WriteOptions) -> Self {
        assert_eq!(info.parent.is_some(), info.chain_len > 1, "chain length and parent don't fit");
        let mut plan = layout.blocks();
        Self {
            out: DataStream::new(sink, layout.data_offset()),
            index: IndexStream::new(layout.index_offset()),
            info,
            next: plan.next(),
            plan,
            compression: options.compression,
            encoder: BlockEncoder::new(options.compression),
            pages: None,
            state: None,
            stored: StoredOnce::default(),
            sizes: Default::default(),
            virtual_offset: None,
            failed: false,
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
        if self.failed {
            return Err(WriteError::FailedBefore);
        }
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
            let offset = HEADER_LEN as u64 + written;
            let result = self.out.sink.write_all_at(&chunk[..room], offset);
            result.map_err(io_error("the system state")).inspect_err(|_| self.failed = true)?;
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
    ) -> Result<(), WriteError> {
        let mut encoder = std::mem::replace(&mut self.encoder, BlockEncoder::new(Compression::None));
        let appended = self.append(&encoder.encode(planned, present, pages));
        self.encoder = encoder;
        appended
    }

    /// Appends the next planned block without a buffer of the caller's: `fill` gets room for all planned
    /// pages (what it holds is arbitrary), puts those that are there at its start, in ascending order,
    /// and returns the bitmap of those; the others are absent from the image. Without compression, the
    /// pages are written from where `fill` put them. If `fill` fails, the block still is the next one.
    ///
    /// # Errors
    /// As [`ImageWriter::append`], or what `fill` returned.
    ///
    /// # Panics
    /// If `fill` returns pages outside the plan.
    pub fn fill_block<E: From<WriteError>>(
        &mut self,
        planned: &PlannedBlock,
        fill: impl FnOnce(&mut [u8]) -> Result<u64, E>,
    ) -> Result<(), E> {
        self.check_next(planned)?;
        let room = planned.page_count() * PAGE_SIZE;
        if self.compression != Compression::None {
            let mut pages = self.pages.take().unwrap_or_else(|| PageBuffer::new(BLOCK_LEN));
            let filled = fill(&mut pages[..room]).and_then(|present| {
                let len = present.count_ones() as usize * PAGE_SIZE;
                Ok(self.write_pages(planned, present, &pages[..len])?)
            });
            self.pages = Some(pages);
            return filled;
        }
        self.enter(planned.section)?;
        let pages = self.out.reserve(room).inspect_err(|_| self.failed = true)?;
        let present = fill(pages)?;
        check_fits(planned, present);
        let zero = zero_pages(present, pages);
        close_gaps(present, zero, pages);
        let data = present & !zero;
        let stored = &pages[..data.count_ones() as usize * PAGE_SIZE];
        let mut entry = BlockEntry { data, zero, ..without_bytes(planned, Codec::Empty) };
        if data != 0 {
            entry.codec = Codec::Raw;
            entry.stored_len = stored.len() as u32;
            entry.checksum = block_checksum(stored);
        }
        Ok(self.place(planned.section, entry, |out| out.commit(entry.stored_len as usize))?)
    }

    /// Notes that the next planned block's pages vanished before they could be read.
    ///
    /// # Errors
    /// As [`ImageWriter::append`].
    pub fn mark_absent(&mut self, planned: &PlannedBlock) -> Result<(), WriteError> {
        self.append(&EncodedBlock::absent(planned))
    }

    /// Notes that the next planned block's pages are in the parent image.
    ///
    /// # Errors
    /// As [`ImageWriter::append`].
    pub fn mark_in_parent(&mut self, planned: &PlannedBlock) -> Result<(), WriteError> {
        self.append(&EncodedBlock::in_parent(planned))
    }

    /// Appends the next planned block.
    ///
    /// # Errors
    /// If it is not the next one, refers to a parent that the image doesn't have, or the sink fails.
    pub fn append(&mut self, block: &EncodedBlock<'_>) -> Result<(), WriteError> {
        let EncodedBlock { planned, codec, data, zero, checksum, stored } = block;
        self.check_next(planned)?;
        if *codec == Codec::InParent && self.info.parent.is_none() {
            return Err(WriteError::NoParent);
        }
        self.enter(planned.section)?;
        let entry = BlockEntry {
            data: *data,
            zero: *zero,
            stored_len: stored.len() as u32,
            checksum: *checksum,
            ..without_bytes(planned, *codec)
        };
        self.place(planned.section, entry, |out| out.append(stored, *codec == Codec::Raw))
    }

    fn check_next(&self, planned: &PlannedBlock) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::FailedBefore);
        }
        if self.next.as_ref() != Some(planned) {
            return Err(WriteError::OutOfPlan { space: planned.space, page: planned.base_page });
        }
        Ok(())
    }

    /// Virtual memory begins on a page boundary of its own.
    fn enter(&mut self, section: Section) -> Result<(), WriteError> {
        if section == Section::Virtual && self.virtual_offset.is_none() {
            self.out.pad().inspect_err(|_| self.failed = true)?;
            self.virtual_offset = Some(self.out.position());
        }
        Ok(())
    }

    /// Has the next block's bytes written, unless the file has them already, and adds the block to the page index,
    /// unless all of it is absent. `write` says at which offset it wrote.
    fn place(
        &mut self,
        section: Section,
        mut entry: BlockEntry,
        write: impl FnOnce(&mut DataStream<S>) -> Result<u64, WriteError>,
    ) -> Result<(), WriteError> {
        if entry.stored_len > 0 {
            let contents = Contents::of(section, &entry);
            let known = self.stored.find(&contents);
            entry.duplicate = known.is_some();
            entry.offset = match known {
                Some(offset) => offset,
                None => {
                    let offset = write(&mut self.out).inspect_err(|_| self.failed = true)?;
                    self.stored.add(contents, offset);
                    offset
                }
            };
        }
        self.next = self.plan.next();
        let BlockEntry { codec, data, zero, .. } = entry;
        if data | zero == 0 {
            return Ok(());
        }
        self.index.push(&mut self.out.sink, &entry.to_bytes()).inspect_err(|_| self.failed = true)?;
        let sizes = &mut self.sizes[section as usize];
        sizes.blocks += 1;
        sizes.zero_pages += u64::from(zero.count_ones());
        match codec {
            Codec::InParent => sizes.parent_pages += u64::from(data.count_ones()),
            _ => sizes.stored_pages += u64::from(data.count_ones()),
        }
        Ok(())
    }

    /// Bytes of the file that were handed to the sink or wait for it: memory blocks and padding.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.out.position() - self.layout.data_offset()
    }

    /// Writes what is still in memory, the rest of the index, the header and, last, the footer.
    /// Returns the summary and the sink.
    ///
    /// # Errors
    /// If planned blocks or the state are missing, or the sink fails.
    pub fn finish(mut self) -> Result<(Summary, S), WriteError> {
        if self.failed {
            return Err(WriteError::FailedBefore);
        }
        let missing = u64::from(self.next.is_some()) + self.plan.by_ref().count() as u64;
        if missing > 0 {
            return Err(WriteError::PlanNotDone { missing });
        }
        let (state_len, state_hash) = self.state.ok_or(WriteError::StateNotOnce)?;
        self.out.pad()?;
        self.out.flush()?;
        let data_end = self.out.position();
        let data_start = self.layout.data_offset();
        let virtual_start = self.virtual_offset.unwrap_or(data_end);
        let blocks: u64 = self.sizes.iter().map(|sizes| u64::from(sizes.blocks)).sum();
        let index_hash = self.index.finish(&mut self.out.sink, self.layout.index_span())?;
        let part = |offset, len, span| Part { offset, len, span };
        let header = Header {
            info: self.info,
            file_len: data_end + HEADER_LEN as u64,
            state: part(HEADER_LEN as u64, state_len, self.layout.state_span()),
            state_hash,
            index: part(self.layout.index_offset(), blocks * ENTRY_LEN as u64, self.layout.index_span()),
            index_hash,
            physical: part(data_start, virtual_start - data_start, virtual_start - data_start),
            physical_sizes: self.sizes[0],
            virtual_: part(virtual_start, data_end - virtual_start, data_end - virtual_start),
            virtual_sizes: self.sizes[1],
        };
        let header_bytes = header.to_bytes();
        let content_hash = Header::content_hash(&header_bytes);
        let footer = Footer { image_id: self.info.image_id, content_hash, file_len: header.file_len };
        self.out.sink.flush().map_err(io_error("memory"))?;
        write_page(&mut self.out.sink, &header_bytes, 0, "the header")?;
        write_page(&mut self.out.sink, &footer.to_bytes(), data_end, "the footer")?;
        let sum = |field: fn(&SectionSizes) -> u64| self.sizes.iter().map(field).sum::<u64>() * PAGE;
        let summary = Summary {
            id: self.info.image_id,
            content_hash,
            file_len: header.file_len,
            state_bytes: state_len,
            physical_bytes: self.sizes[0].bytes(),
            virtual_bytes: self.sizes[1].bytes(),
            stored_bytes: data_end - data_start,
            zero_bytes: sum(|sizes| sizes.zero_pages),
            parent_bytes: sum(|sizes| sizes.parent_pages),
            blocks,
        };
        Ok((summary, self.out.sink))
    }
}

/// The index entry of a block that adds nothing to the file.
fn without_bytes(planned: &PlannedBlock, codec: Codec) -> BlockEntry {
    BlockEntry {
        space: planned.space,
        base_page: planned.base_page,
        codec,
        duplicate: false,
        data: 0,
        zero: 0,
        offset: 0,
        stored_len: 0,
        checksum: 0,
    }
}

fn write_page(
    sink: &mut impl Sink,
    bytes: &[u8; HEADER_LEN],
    offset: u64,
    what: &'static str,
) -> Result<(), WriteError> {
    let mut page = PageBuffer::new(HEADER_LEN);
    page.copy_from_slice(bytes);
    sink.write_all_at(&page, offset).map_err(io_error(what))
}
