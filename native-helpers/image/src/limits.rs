//! The numbers of the format: sizes that the file is built from, and bounds for what is believed.

/// Bytes per page, and the alignment of every part of the file. Images of machines with other page
/// sizes are refused.
pub const PAGE_SIZE: usize = 4096;

/// [`PAGE_SIZE`] as a file length.
pub(crate) const PAGE: u64 = PAGE_SIZE as u64;

/// Pages per block at most: as many as a `u64` bitmap has bits, 256 KiB. Large enough that the index
/// is 1/4096 of the memory, small enough that one page fault of a lazy restore reads it at once.
pub const BLOCK_PAGES: usize = 64;

/// Bytes of the pages of a full block.
pub(crate) const BLOCK_LEN: usize = BLOCK_PAGES * PAGE_SIZE;

/// Major version: a reader refuses every other one.
pub const FORMAT_MAJOR: u16 = 1;

/// Minor version: a reader accepts newer ones, which only fill what was reserved.
pub const FORMAT_MINOR: u16 = 0;

/// Bytes of system state at most (64 MiB). It is decoded into structures several times its size,
/// and a hostile image may cost at most 256 MiB of memory in all. Memory contents are never part of
/// it: a tree of 1,000 processes with 300 mappings each takes about 40 MiB.
pub const MAX_STATE_LEN: u64 = 64 << 20;

/// Bytes of page index at most (64 MiB): it is held in memory while an image is open. Enough for
/// one million blocks, 256 GiB of densely used memory.
pub const MAX_INDEX_LEN: u64 = 64 << 20;

/// Images in a chain of parents at most, the youngest included: each costs an index in memory and a
/// look-up per block.
pub const MAX_CHAIN_LEN: usize = 16;

/// Page numbers are below this: addresses have 64 bits, pages 12 of them.
pub const MAX_PAGE: u64 = 1 << 52;

/// Bytes of the header and of the footer.
pub(crate) const HEADER_LEN: usize = PAGE_SIZE;

/// Bytes of one entry of the page index.
pub(crate) const ENTRY_LEN: usize = 64;

/// Bytes that the writer gathers before it calls the sink, and that sequential reads ask for at once:
/// large enough for the full throughput of O_DIRECT.
pub const CHUNK_LEN: usize = 4 << 20;
