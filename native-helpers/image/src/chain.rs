//! An incremental image with its parents: found, checked to be the right ones, and resolved.

use std::io;

use crate::entry::Codec;
use crate::error::ImageError;
use crate::identity::{ContentHash, ImageId};
use crate::limits::{MAX_CHAIN_LEN, PAGE_SIZE};
use crate::reader::{BlockBuf, ImageReader};
use crate::storage::Source;

/// Finds a parent image; the caller knows its stores.
pub trait ParentLookup<S> {
    /// The image with this id and content hash, if it is anywhere. The hash is checked by the chain.
    ///
    /// # Errors
    /// What the store says.
    fn find_parent(&mut self, id: ImageId, content_hash: ContentHash) -> io::Result<Option<S>>;
}

impl<S, F: FnMut(ImageId, ContentHash) -> io::Result<Option<S>>> ParentLookup<S> for F {
    fn find_parent(&mut self, id: ImageId, content_hash: ContentHash) -> io::Result<Option<S>> {
        self(id, content_hash)
    }
}

/// Knows no parents: only complete images can be opened with it.
pub struct NoParents;

impl<S> ParentLookup<S> for NoParents {
    fn find_parent(&mut self, _: ImageId, _: ContentHash) -> io::Result<Option<S>> {
        Ok(None)
    }
}

/// An image and the parents that it builds on, youngest first.
pub struct ImageChain<S: Source> {
    images: Vec<ImageReader<S>>,
}

/// Pages of one window that one block of one image of the chain holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainPart {
    /// Which image of the chain: 0 is the youngest.
    pub image: usize,
    /// Which block of it.
    pub block: usize,
    /// Bit *n*: page `base_page + n` is stored in that block.
    pub data: u64,
    /// Bit *n*: page `base_page + n` is all zeros.
    pub zero: u64,
}

/// Buffers for reading blocks of a chain, to be kept between them. One per thread.
#[derive(Default)]
pub struct ChainBuf {
    block: BlockBuf,
    /// Pages gathered from several blocks.
    pages: Vec<u8>,
}

impl<S: Source> ImageChain<S> {
    /// Opens an image and its parents, and checks that every page which is said to be in a parent is
    /// there.
    ///
    /// # Errors
    /// What is wrong with the image or a parent; [`ImageError::ParentMissing`] and
    /// [`ImageError::ParentMismatch`] where the right parent isn't there.
    pub fn open(source: S, mut lookup: impl ParentLookup<S>) -> Result<Self, ImageError> {
        let mut images = vec![ImageReader::open(source)?];
        while let Some(parent) = images[images.len() - 1].info().parent {
            if images.len() == MAX_CHAIN_LEN {
                return Err(ImageError::ChainTooLong);
            }
            let id = parent.id;
            let found = lookup
                .find_parent(id, parent.content_hash)
                .map_err(|source| ImageError::Io { offset: 0, source })?
                .ok_or(ImageError::ParentMissing { id })?;
            let reader = ImageReader::open(found)
                .map_err(|source| ImageError::ParentUnusable { id, source: Box::new(source) })?;
            if reader.content_hash() != parent.content_hash || reader.info().image_id != id {
                let (expected, found) = (parent.content_hash, reader.content_hash());
                return Err(ImageError::ParentMismatch { id, expected, found });
            }
            if reader.info().chain_len + 1 != images[images.len() - 1].info().chain_len {
                return Err(ImageError::HeaderDamaged { reason: "it miscounts its parents" });
            }
            images.push(reader);
        }
        let chain = Self { images };
        chain.check_parent_pages()?;
        Ok(chain)
    }

    /// The images, youngest first; never empty.
    #[must_use]
    pub fn images(&self) -> &[ImageReader<S>] {
        &self.images
    }

    /// The youngest image: the one that was opened.
    #[must_use]
    pub fn youngest(&self) -> &ImageReader<S> {
        &self.images[0]
    }

    /// Where in the chain the pages of block `block` of the youngest image are. One part for blocks
    /// with bytes of their own or none, perhaps several for one that is in the parent.
    ///
    /// # Panics
    /// If there is no such block: a defect of the caller.
    #[must_use]
    pub fn resolve(&self, block: usize) -> Vec<ChainPart> {
        let mut parts = Vec::with_capacity(1);
        let entry = &self.youngest().blocks()[block];
        self.collect(0, block, entry.pages(), &mut parts);
        parts
    }

    /// Reads and checks block `block` of the youngest image, wherever in the chain its pages are. Returns its
    /// data pages in ascending order (see [`crate::BlockEntry::data`]); those that a parent knows to be zeros
    /// are among them.
    ///
    /// # Errors
    /// As [`ImageReader::read_block`], of any image of the chain.
    ///
    /// # Panics
    /// If there is no such block: a defect of the caller.
    pub fn read_block<'b>(&self, block: usize, buf: &'b mut ChainBuf) -> Result<&'b [u8], ImageError> {
        let entry = &self.youngest().blocks()[block];
        if entry.codec != Codec::InParent {
            return self.youngest().read_block(block, &mut buf.block);
        }
        buf.pages.clear();
        buf.pages.resize(entry.data_pages() * PAGE_SIZE, 0);
        for part in self.resolve(block).into_iter().filter(|part| part.data != 0) {
            let image = &self.images[part.image];
            let from = &image.blocks()[part.block];
            let stored = image.read_block(part.block, &mut buf.block)?;
            for page in (0..64).filter(|n| part.data >> n & 1 == 1).map(|n| entry.base_page + n) {
                if let (Some(slot), Some(to)) = (from.slot_of(page), entry.slot_of(page)) {
                    buf.pages[to * PAGE_SIZE..][..PAGE_SIZE]
                        .copy_from_slice(&stored[slot * PAGE_SIZE..][..PAGE_SIZE]);
                }
            }
        }
        Ok(&buf.pages)
    }

    fn collect(&self, image: usize, block: usize, pages: u64, parts: &mut Vec<ChainPart>) {
        let entry = &self.images[image].blocks()[block];
        if entry.codec != Codec::InParent {
            parts.push(ChainPart { image, block, data: entry.data & pages, zero: entry.zero & pages });
            return;
        }
        // At most MAX_CHAIN_LEN deep.
        let parent = image + 1;
        for candidate in self.images[parent].window(entry.space, entry.base_page) {
            let wanted = self.images[parent].blocks()[candidate].pages() & pages;
            if wanted != 0 {
                self.collect(parent, candidate, wanted, parts);
            }
        }
    }

    fn check_parent_pages(&self) -> Result<(), ImageError> {
        for (child, parent) in self.images.iter().zip(&self.images[1..]) {
            for entry in child.blocks().iter().filter(|entry| entry.codec == Codec::InParent) {
                let window = parent.window(entry.space, entry.base_page);
                let there = window.fold(0, |there, block| there | parent.blocks()[block].pages());
                let missing = entry.data & !there;
                if missing != 0 {
                    return Err(ImageError::ParentLacksPage {
                        id: parent.info().image_id,
                        space: entry.space,
                        page: entry.base_page + u64::from(missing.trailing_zeros()),
                    });
                }
            }
        }
        Ok(())
    }
}
