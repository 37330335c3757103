//! Reads an image as hostile input: bounds, then checksums, then decoding, with memory that the file's
//! real length bounds.

use std::io;
use std::ops::Range;

use crate::decode::{BlockDecoder, check_stored};
use crate::encode::is_zero;
use crate::entry::{BlockEntry, Codec};
use crate::error::ImageError;
use crate::header::{Arch, Footer, HEADER_MAGIC, Header, HeaderInfo, Part, SectionSizes};
use crate::identity::ContentHash;
use crate::index::{PageIndex, PageLocation, SectionClaim};
use crate::limits::{
    BLOCK_LEN, CHUNK_LEN, ENTRY_LEN, HEADER_LEN, MAX_INDEX_LEN, MAX_STATE_LEN, PAGE, PAGE_SIZE,
};
use crate::page_buffer::PageBuffer;
use crate::plan::Section;
use crate::storage::Source;

/// An image that was found whole but for its memory blocks, which are checked as they are read.
pub struct ImageReader<S: Source> {
    source: S,
    header: Header,
    content_hash: ContentHash,
    index: PageIndex,
}

/// Buffers and decoder for reading blocks, to be kept between them. One per thread.
pub struct BlockBuf {
    pub(crate) stored: PageBuffer,
    pub(crate) pages: PageBuffer,
    pub(crate) decoder: BlockDecoder,
}

impl BlockBuf {
    /// Room for one block.
    #[must_use]
    pub fn new() -> Self {
        // A packed block may begin and end within a page.
        Self {
            stored: PageBuffer::new(BLOCK_LEN + 2 * PAGE_SIZE),
            pages: PageBuffer::new(BLOCK_LEN),
            decoder: BlockDecoder::default(),
        }
    }

    /// The first `len` bytes of the pages that [`ImageReader::read_block`] put here and returned.
    ///
    /// # Panics
    /// If no block has so many: a defect of the caller.
    #[must_use]
    pub fn pages(&self, len: usize) -> &[u8] {
        &self.pages[..len]
    }
}

impl Default for BlockBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Source> ImageReader<S> {
    /// Opens an image: header, footer, bounds of all parts, hashes of system state and page index,
    /// and the index itself are checked before it returns.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn open(source: S) -> Result<Self, ImageError> {
        let file_len = source.len().map_err(|source| ImageError::Io { offset: 0, source })?;
        let (header_bytes, header) = read_header(&source, file_len)?;
        check_bounds(&header, file_len)?;
        let content_hash = Header::content_hash(&header_bytes);
        check_footer(&source, &header, content_hash)?;
        let state_damaged = |reason| ImageError::StateDamaged { reason };
        hash_part(&source, &header.state, &header.state_hash, state_damaged, |_| ())?;
        let index_damaged = |reason| ImageError::IndexDamaged { reason };
        // Entries are decoded as they are hashed, so that the index is in memory once. What is wrong with
        // one of them counts only if the hash is right.
        let mut entries = Vec::with_capacity(header.index.len as usize / ENTRY_LEN);
        let mut first_error = None;
        hash_part(&source, &header.index, &header.index_hash, index_damaged, |chunk| {
            for entry in chunk.as_chunks::<ENTRY_LEN>().0 {
                match BlockEntry::from_bytes(entry) {
                    Ok(entry) => entries.push(entry),
                    Err(reason) => first_error = first_error.or(Some(reason)),
                }
            }
        })?;
        if let Some(reason) = first_error {
            return Err(index_damaged(reason));
        }
        let index = PageIndex::new(
            entries,
            &SectionClaim { part: header.physical, sizes: header.physical_sizes },
            &SectionClaim { part: header.virtual_, sizes: header.virtual_sizes },
            header.info.parent.is_some(),
        )
        .map_err(index_damaged)?;
        Ok(Self { source, header, content_hash, index })
    }

    /// Refuses an image of another kind of machine.
    ///
    /// # Errors
    /// [`ImageError::WrongArch`].
    pub fn require_arch(&self, expected: Arch) -> Result<(), ImageError> {
        let found = self.header.info.arch;
        if found == expected {
            return Ok(());
        }
        Err(ImageError::WrongArch { found: found.to_string(), expected: expected.to_string() })
    }

    /// What the caller said of the image when it was written.
    #[must_use]
    pub fn info(&self) -> &HeaderInfo {
        &self.header.info
    }

    /// What a child image names this one by, with the id.
    #[must_use]
    pub fn content_hash(&self) -> ContentHash {
        self.content_hash
    }

    /// The file's length in bytes.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.header.file_len
    }

    /// Bytes of system state.
    #[must_use]
    pub fn state_len(&self) -> u64 {
        self.header.state.len
    }

    /// Pages of a memory section.
    #[must_use]
    pub fn sizes(&self, section: Section) -> SectionSizes {
        match section {
            Section::Physical => self.header.physical_sizes,
            Section::Virtual => self.header.virtual_sizes,
        }
    }

    /// The system state, read and checked once more.
    ///
    /// # Errors
    /// If it can't be read or changed since the image was opened.
    pub fn state_bytes(&self) -> Result<Vec<u8>, ImageError> {
        let mut state = Vec::with_capacity(self.header.state.len as usize);
        let damaged = |reason| ImageError::StateDamaged { reason };
        hash_part(&self.source, &self.header.state, &self.header.state_hash, damaged, |chunk| {
            state.extend_from_slice(chunk);
        })?;
        Ok(state)
    }

    /// All blocks: physical memory's, then virtual memory's, each sorted by space and page.
    #[must_use]
    pub fn blocks(&self) -> &[BlockEntry] {
        self.index.entries()
    }

    /// Which of [`ImageReader::blocks`] are of `section`.
    #[must_use]
    pub fn block_range(&self, section: Section) -> Range<usize> {
        self.index.range(section)
    }

    /// The section that a block belongs to.
    #[must_use]
    pub fn section_of(&self, block: usize) -> Section {
        self.index.section_of(block)
    }

    /// The blocks that speak of pages `base_page` to `base_page + 63`, a multiple of 64: one or two.
    pub fn window(&self, space: u32, base_page: u64) -> impl Iterator<Item = usize> + use<S> {
        self.index.window(space, base_page)
    }

    /// Where a page is, if the image has it.
    #[must_use]
    pub fn find(&self, space: u32, page: u64) -> Option<PageLocation> {
        self.index.find(space, page)
    }

    /// Reads and checks one block. Returns its data pages in ascending order (see
    /// [`BlockEntry::data`]), 4096 bytes each; nothing for blocks without stored bytes.
    ///
    /// # Errors
    /// [`ImageError::BlockDamaged`], or what the store says.
    ///
    /// # Panics
    /// If there is no such block: a defect of the caller.
    pub fn read_block<'b>(&self, block: usize, buf: &'b mut BlockBuf) -> Result<&'b [u8], ImageError> {
        let entry = &self.index.entries()[block];
        let stored_len = entry.stored_len as usize;
        if !entry.has_stored_bytes() {
            return Ok(&[]);
        }
        if entry.codec == Codec::Raw {
            // No copy: the pages are what is stored.
            read(&self.source, &mut buf.pages[..stored_len], entry.offset, self.header.file_len)?;
            check_stored(entry, &buf.pages[..stored_len]).map_err(block_damaged(block, entry))?;
            return Ok(&buf.pages[..stored_len]);
        }
        let start = entry.offset / PAGE * PAGE;
        let skip = (entry.offset - start) as usize;
        let span = (skip + stored_len).next_multiple_of(PAGE_SIZE);
        read(&self.source, &mut buf.stored[..span], start, self.header.file_len)?;
        let len = buf
            .decoder
            .decode(entry, &buf.stored[skip..skip + stored_len], &mut buf.pages)
            .map_err(block_damaged(block, entry))?;
        Ok(&buf.pages[..len])
    }

    /// What the image is read from.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    pub(crate) fn part(&self, section: Section) -> Part {
        match section {
            Section::Physical => self.header.physical,
            Section::Virtual => self.header.virtual_,
        }
    }
}

pub(crate) fn block_damaged(block: usize, entry: &BlockEntry) -> impl Fn(&'static str) -> ImageError {
    let (space, page, offset) = (entry.space, entry.base_page, entry.offset);
    move |reason| ImageError::BlockDamaged { block, space, page, offset, reason }
}

pub(crate) fn read(
    source: &impl Source,
    buf: &mut [u8],
    offset: u64,
    expected: u64,
) -> Result<(), ImageError> {
    source.read_exact_at(buf, offset).map_err(|error| match error.kind() {
        // It got shorter since it was opened.
        io::ErrorKind::UnexpectedEof => {
            ImageError::Truncated { expected, actual: source.len().unwrap_or(offset) }
        }
        _ => ImageError::Io { offset, source: error },
    })
}

fn read_header(source: &impl Source, file_len: u64) -> Result<([u8; HEADER_LEN], Header), ImageError> {
    let mut page = PageBuffer::new(HEADER_LEN);
    let have = file_len.min(HEADER_LEN as u64) as usize;
    read(source, &mut page[..have], 0, HEADER_LEN as u64)?;
    if have < HEADER_LEN {
        return Err(if have >= 8 && page[..8] == HEADER_MAGIC {
            ImageError::Truncated { expected: 2 * HEADER_LEN as u64, actual: file_len }
        } else {
            ImageError::NotABootImage
        });
    }
    let bytes = *page.first_chunk().expect("a whole page");
    Ok((bytes, Header::from_bytes(&bytes)?))
}

/// Every part must begin where the one before it ends, and the last must end where the file does.
fn check_bounds(header: &Header, file_len: u64) -> Result<(), ImageError> {
    let damaged = |reason| ImageError::HeaderDamaged { reason };
    let mut end = HEADER_LEN as u64;
    for part in [header.state, header.index, header.physical, header.virtual_] {
        if part.offset != end || !part.span.is_multiple_of(PAGE) || part.len > part.span {
            return Err(damaged("its sections are not one after the other"));
        }
        end = end.checked_add(part.span).ok_or(damaged("its sections pass any file's end"))?;
    }
    if end.checked_add(HEADER_LEN as u64) != Some(header.file_len) {
        return Err(damaged("its sections don't fit the file's length"));
    }
    if header.file_len > file_len {
        return Err(ImageError::Truncated { expected: header.file_len, actual: file_len });
    }
    if header.file_len < file_len {
        return Err(ImageError::TrailingBytes { expected: header.file_len, actual: file_len });
    }
    if [header.physical, header.virtual_].iter().any(|part| part.len != part.span) {
        return Err(damaged("its memory sections have bytes that mean nothing"));
    }
    if header.state.span > MAX_STATE_LEN {
        return Err(damaged("its system state is larger than any image's may be"));
    }
    if header.index.span > MAX_INDEX_LEN || !header.index.len.is_multiple_of(ENTRY_LEN as u64) {
        return Err(damaged("its page index is larger than any image's may be, or cut"));
    }
    Ok(())
}

fn check_footer(source: &impl Source, header: &Header, content_hash: ContentHash) -> Result<(), ImageError> {
    let mut page = PageBuffer::new(HEADER_LEN);
    read(source, &mut page, header.file_len - HEADER_LEN as u64, header.file_len)?;
    let footer = Footer::from_bytes(page.first_chunk().expect("a whole page"))?;
    let expected = Footer { image_id: header.info.image_id, content_hash, file_len: header.file_len };
    if footer != expected {
        return Err(ImageError::FooterDamaged { reason: "the commit record is of another image" });
    }
    Ok(())
}

/// Reads a part in chunks, hands on the bytes that mean something, and checks the rest to be zero and
/// the hash of all.
fn hash_part(
    source: &impl Source,
    part: &Part,
    expected: &[u8; 32],
    damaged: impl Fn(&'static str) -> ImageError,
    mut take: impl FnMut(&[u8]),
) -> Result<(), ImageError> {
    let mut buffer = PageBuffer::new(CHUNK_LEN.min(part.span as usize));
    let mut hasher = blake3::Hasher::new();
    let mut done = 0;
    let mut padding_is_zero = true;
    while done < part.span {
        let chunk_len = buffer.len().min((part.span - done) as usize);
        let chunk = &mut buffer[..chunk_len];
        read(source, chunk, part.offset + done, part.offset + part.span)?;
        hasher.update(chunk);
        let used = part.len.saturating_sub(done).min(chunk_len as u64) as usize;
        take(&chunk[..used]);
        padding_is_zero &= is_zero(&chunk[used..]);
        done += chunk_len as u64;
    }
    if hasher.finalize() != *expected {
        return Err(damaged("its checksum does not match"));
    }
    if !padding_is_zero {
        return Err(damaged("bytes behind its end are not zero"));
    }
    Ok(())
}
