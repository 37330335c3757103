//! The boot image format: one file that holds one point of an application's life.
//!
//! ```text
//!  0 ┌───────────────────────────────┐
//!    │ header                 4 KiB  │ magic, version, ids, section table, BLAKE3
//!    ├───────────────────────────────┤
//!    │ system state                  │ opaque bytes of the caller, BLAKE3 in the header
//!    ├───────────────────────────────┤
//!    │ page index                    │ 64 bytes per block, BLAKE3 in the header
//!    ├───────────────────────────────┤
//!    │ physical memory               │ blocks of up to 64 pages, XXH3-128 in the index
//!    ├───────────────────────────────┤
//!    │ virtual memory                │ the same for pages that were in swap
//!    ├───────────────────────────────┤
//!    │ footer                 4 KiB  │ commit record: content hash, length, BLAKE3
//!    └───────────────────────────────┘
//! ```
//!
//! The crate makes no system calls of its own and has no `unsafe`: it reads from a [`Source`] and
//! writes to a [`Sink`]. Durability (fallocate, O_DIRECT, fsync, rename) belongs to the caller.
//! `docs/image-format.md` describes every byte.
//!
//! Writing: [`Plan`] → [`Layout`] (sizes known before the first byte) → [`ImageWriter`] fed with the
//! blocks of [`Layout::blocks`] in order, each encoded by a [`BlockEncoder`] → [`Summary`].
//!
//! Reading: [`ImageReader::open`] checks everything but the memory blocks; [`ImageReader::read_block`]
//! checks each block as it is read; [`ImageReader::verify`] reads all of them; [`ImageChain`] follows
//! the parents of an incremental image.

#![forbid(unsafe_code)]

pub mod cbor;
mod chain;
mod decode;
mod encode;
mod entry;
mod error;
mod header;
mod identity;
mod index;
mod limits;
mod page_buffer;
mod plan;
mod reader;
mod run;
mod scan;
mod storage;
mod stored_once;
mod stream;
mod summary;

mod writer;

pub use chain::{ChainBuf, ChainPart, ImageChain, NoParents, ParentLookup};
pub use decode::BlockDecoder;
pub use encode::{BlockEncoder, Compression, EncodedBlock, block_checksum};
pub use entry::{BlockEntry, Codec};
pub use error::{ImageError, PlanError, WriteError};
pub use header::{Arch, HeaderInfo, ParentRef, SectionSizes};
pub use identity::{ContentHash, ImageId};
pub use index::PageLocation;
pub use limits::{
    BLOCK_PAGES, CHUNK_LEN, FORMAT_MAJOR, FORMAT_MINOR, MAX_CHAIN_LEN, MAX_INDEX_LEN, MAX_PAGE,
    MAX_STATE_LEN, PAGE_SIZE,
};
pub use page_buffer::PageBuffer;
pub use plan::{Layout, PageRun, PageSource, Plan, PlannedBlock, PlannedBlocks, Section};
pub use reader::{BlockBuf, ImageReader};
pub use run::BlockRun;
pub use scan::{VerifyProgress, VerifyReport};
pub use storage::{Sink, Source};
pub use summary::Summary;
pub use writer::{ImageWriter, WriteOptions};
