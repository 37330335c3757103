//! Header and footer of the file: 4 KiB each, fixed fields, little-endian, the last 32 bytes a BLAKE3
//! checksum of the rest. Magic, version and checksum stay where they are in every future version.

use std::fmt;

use crate::error::ImageError;
use crate::identity::{ContentHash, ImageId};
use crate::limits::{FORMAT_MAJOR, FORMAT_MINOR, HEADER_LEN, MAX_CHAIN_LEN, PAGE_SIZE};

/// First bytes of the file. The first is no text, the last two are altered by a transfer as text.
pub(crate) const HEADER_MAGIC: [u8; 8] = *b"\x89TORPOR\n";
const FOOTER_MAGIC: [u8; 8] = *b"\x89TORPEND";
const SUM_AT: usize = HEADER_LEN - 32;
const SECTIONS_AT: usize = 128;
const SECTION_LEN: usize = 64;

/// The kind of processor that an image's state is for; the number is ELF's `e_machine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arch(pub u16);

impl Arch {
    pub const X86_64: Self = Self(62);
    pub const AARCH64: Self = Self(183);

    /// The architecture that this program was built for (0 where the format has no number for it).
    pub const HOST: Self = if cfg!(target_arch = "x86_64") {
        Self::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Self::AARCH64
    } else {
        Self(0)
    };
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::X86_64 => f.write_str("x86_64"),
            Self::AARCH64 => f.write_str("aarch64"),
            Self(other) => write!(f, "number {other}"),
        }
    }
}

/// The parent of an incremental image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentRef {
    /// The parent's id.
    pub id: ImageId,
    /// The parent's content hash, so that another file with the same id is not taken for it.
    pub content_hash: ContentHash,
}

/// What the caller says of an image when it is written, and gets back when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderInfo {
    /// Random, never reused.
    pub image_id: ImageId,
    /// None: the image is complete by itself.
    pub parent: Option<ParentRef>,
    /// How many images the chain has, this one included: 1 without a parent, up to [`MAX_CHAIN_LEN`].
    pub chain_len: u32,
    /// What the registers in the system state are of.
    pub arch: Arch,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_at_unix_ms: u64,
}

/// Pages of one memory section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SectionSizes {
    /// Entries of the page index.
    pub blocks: u32,
    /// Pages whose contents are in this file.
    pub stored_pages: u64,
    /// Pages that are all zeros, not stored.
    pub zero_pages: u64,
    /// Pages whose contents are in the parent image.
    pub parent_pages: u64,
}

impl SectionSizes {
    /// Bytes of memory that these pages are, stored or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let pages = self.stored_pages.saturating_add(self.zero_pages).saturating_add(self.parent_pages);
        pages.saturating_mul(PAGE_SIZE as u64)
    }
}

/// Where one part of the file lies; all in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Part {
    pub offset: u64,
    /// Bytes that mean something.
    pub len: u64,
    /// Bytes up to the next part, a multiple of 4 KiB.
    pub span: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub info: HeaderInfo,
    pub file_len: u64,
    pub state: Part,
    pub state_hash: [u8; 32],
    pub index: Part,
    pub index_hash: [u8; 32],
    pub physical: Part,
    pub physical_sizes: SectionSizes,
    pub virtual_: Part,
    pub virtual_sizes: SectionSizes,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut page = Page([0; HEADER_LEN]);
        page.put(0, &HEADER_MAGIC);
        page.put(8, &FORMAT_MAJOR.to_le_bytes());
        page.put(10, &FORMAT_MINOR.to_le_bytes());
        page.put(12, &self.info.arch.0.to_le_bytes());
        page.put(16, &(PAGE_SIZE as u32).to_le_bytes());
        page.put(20, &self.info.chain_len.to_le_bytes());
        page.put(24, &self.info.created_at_unix_ms.to_le_bytes());
        page.put(32, &self.file_len.to_le_bytes());
        page.put(48, &self.info.image_id.0);
        if let Some(parent) = self.info.parent {
            page.put(64, &parent.id.0);
            page.put(80, &parent.content_hash.0);
        }
        for (n, part) in [self.state, self.index, self.physical, self.virtual_].into_iter().enumerate() {
            let at = SECTIONS_AT + n * SECTION_LEN;
            page.put(at, &(n as u32 + 1).to_le_bytes());
            page.put(at + 8, &part.offset.to_le_bytes());
            page.put(at + 16, &part.len.to_le_bytes());
            page.put(at + 24, &part.span.to_le_bytes());
        }
        page.put(SECTIONS_AT + 32, &self.state_hash);
        page.put(SECTIONS_AT + SECTION_LEN + 32, &self.index_hash);
        for (n, sizes) in [(2, self.physical_sizes), (3, self.virtual_sizes)] {
            let at = SECTIONS_AT + n * SECTION_LEN;
            page.put(at + 4, &sizes.blocks.to_le_bytes());
            page.put(at + 32, &sizes.stored_pages.to_le_bytes());
            page.put(at + 40, &sizes.zero_pages.to_le_bytes());
            page.put(at + 48, &sizes.parent_pages.to_le_bytes());
        }
        page.seal()
    }

    /// Decodes a header; bounds between its parts are the reader's to check.
    pub(crate) fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Result<Self, ImageError> {
        let damaged = |reason| ImageError::HeaderDamaged { reason };
        let page = Page(*bytes);
        if bytes[..8] != HEADER_MAGIC {
            return Err(ImageError::NotABootImage);
        }
        if !page.is_sealed() {
            return Err(damaged("its checksum does not match"));
        }
        if page.u16(8) != FORMAT_MAJOR {
            return Err(ImageError::WrongVersion { found: page.u16(8) });
        }
        if page.u32(16) != PAGE_SIZE as u32 {
            return Err(ImageError::WrongPageSize { found: page.u32(16) });
        }
        for n in 0..4 {
            if page.u32(SECTIONS_AT + n * SECTION_LEN) != n as u32 + 1 {
                return Err(damaged("its section table is out of order"));
            }
        }
        let part = |n: usize| {
            let at = SECTIONS_AT + n * SECTION_LEN;
            Part { offset: page.u64(at + 8), len: page.u64(at + 16), span: page.u64(at + 24) }
        };
        let sizes = |n: usize| {
            let at = SECTIONS_AT + n * SECTION_LEN;
            SectionSizes {
                blocks: page.u32(at + 4),
                stored_pages: page.u64(at + 32),
                zero_pages: page.u64(at + 40),
                parent_pages: page.u64(at + 48),
            }
        };
        let parent = ParentRef { id: ImageId(page.array(64)), content_hash: ContentHash(page.array(80)) };
        let info = HeaderInfo {
            image_id: ImageId(page.array(48)),
            parent: (parent.id.0 != [0; 16] || parent.content_hash.0 != [0; 32]).then_some(parent),
            chain_len: page.u32(20),
            arch: Arch(page.u16(12)),
            created_at_unix_ms: page.u64(24),
        };
        if info.chain_len > MAX_CHAIN_LEN as u32 {
            return Err(ImageError::ChainTooLong);
        }
        if (info.chain_len > 1) != info.parent.is_some() || info.chain_len == 0 {
            return Err(damaged("it contradicts itself about its parent"));
        }
        Ok(Self {
            info,
            file_len: page.u64(32),
            state: part(0),
            state_hash: page.array(SECTIONS_AT + 32),
            index: part(1),
            index_hash: page.array(SECTIONS_AT + SECTION_LEN + 32),
            physical: part(2),
            physical_sizes: sizes(2),
            virtual_: part(3),
            virtual_sizes: sizes(3),
        })
    }

    /// The hash that names the image's contents, given the header's bytes.
    pub(crate) fn content_hash(bytes: &[u8; HEADER_LEN]) -> ContentHash {
        ContentHash(*blake3::hash(bytes).as_bytes())
    }
}

/// The commit record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub image_id: ImageId,
    pub content_hash: ContentHash,
    pub file_len: u64,
}

impl Footer {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut page = Page([0; HEADER_LEN]);
        page.put(0, &FOOTER_MAGIC);
        page.put(8, &self.file_len.to_le_bytes());
        page.put(16, &self.image_id.0);
        page.put(32, &self.content_hash.0);
        page.seal()
    }

    pub(crate) fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Result<Self, ImageError> {
        let page = Page(*bytes);
        if bytes[..8] != FOOTER_MAGIC {
            return Err(ImageError::FooterDamaged { reason: "the commit record is not there" });
        }
        if !page.is_sealed() {
            return Err(ImageError::FooterDamaged { reason: "the commit record's checksum does not match" });
        }
        Ok(Self {
            file_len: page.u64(8),
            image_id: ImageId(page.array(16)),
            content_hash: ContentHash(page.array(32)),
        })
    }
}

/// A page of fixed fields with its checksum at the end.
struct Page([u8; HEADER_LEN]);

impl Page {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn seal(mut self) -> [u8; HEADER_LEN] {
        let sum = blake3::hash(&self.0[..SUM_AT]);
        self.put(SUM_AT, sum.as_bytes());
        self.0
    }

    fn is_sealed(&self) -> bool {
        blake3::hash(&self.0[..SUM_AT]) == self.array::<32>(SUM_AT)
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().expect("the field lies within the page")
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}
