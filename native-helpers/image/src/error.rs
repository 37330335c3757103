//! What can be wrong with a plan, with writing an image, and with an image that is read.

use std::io;

use crate::identity::{ContentHash, ImageId};
use crate::limits::{FORMAT_MAJOR, MAX_CHAIN_LEN, MAX_STATE_LEN, PAGE_SIZE};

/// Why an image can't be read. Messages are for an admin; offsets are bytes from the file's start.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("this is not a boot image (it does not begin like one)")]
    NotABootImage,
    #[error(
        "the image has format version {found}, this program reads version {FORMAT_MAJOR}; use the release of Torpor that wrote it, or a later one"
    )]
    WrongVersion { found: u16 },
    #[error("the image was captured on a machine of architecture {found}, this machine is {expected}")]
    WrongArch { found: String, expected: String },
    #[error("the image has memory pages of {found} bytes, this program works with {PAGE_SIZE}")]
    WrongPageSize { found: u32 },
    #[error("the image is cut short: it has {actual} bytes, it should have {expected}")]
    Truncated { expected: u64, actual: u64 },
    #[error(
        "the image is {actual} bytes long, but its header speaks of {expected}: something was added to it"
    )]
    TrailingBytes { expected: u64, actual: u64 },
    #[error("the image's header is damaged: {reason}")]
    HeaderDamaged { reason: &'static str },
    #[error("the image was never completed, or its end is damaged: {reason}")]
    FooterDamaged { reason: &'static str },
    #[error("the image's system state is damaged: {reason}")]
    StateDamaged { reason: &'static str },
    #[error("the image's page index is damaged: {reason}")]
    IndexDamaged { reason: &'static str },
    #[error(
        "block {block} of the image is damaged (space {space}, page {page:#x}, at byte {offset}): {reason}"
    )]
    BlockDamaged { block: usize, space: u32, page: u64, offset: u64, reason: &'static str },
    #[error("the image is damaged: unused bytes at {offset} are not zero")]
    PaddingDamaged { offset: u64 },
    #[error("the parent image {id} can't be found, and this image is incomplete without it")]
    ParentMissing { id: ImageId },
    #[error(
        "the parent image {id} is not the one that this image was built on (expected content {expected}, found {found})"
    )]
    ParentMismatch { id: ImageId, expected: ContentHash, found: ContentHash },
    #[error("page {page:#x} of space {space} should be in the parent image {id}, but is not there")]
    ParentLacksPage { id: ImageId, space: u32, page: u64 },
    #[error("the image has more than {} parents one after the other", MAX_CHAIN_LEN - 1)]
    ChainTooLong,
    #[error("the parent image {id} can't be used: {source}")]
    ParentUnusable { id: ImageId, source: Box<ImageError> },
    #[error("reading the image failed at byte {offset}: {source}")]
    Io { offset: u64, source: io::Error },
}

impl ImageError {
    /// The error code of the helper's contract: `damaged`, `foreign` (not a boot image),
    /// `incompatible` (another version or kind of machine), `parent-missing`, or `resource` where the
    /// store could not be read.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotABootImage => "foreign",
            Self::WrongVersion { .. } | Self::WrongArch { .. } | Self::WrongPageSize { .. } => "incompatible",
            Self::ParentMissing { .. } | Self::ParentMismatch { .. } => "parent-missing",
            Self::ParentUnusable { source, .. } => source.code(),
            Self::Io { .. } => "resource",
            Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::HeaderDamaged { .. }
            | Self::FooterDamaged { .. }
            | Self::StateDamaged { .. }
            | Self::IndexDamaged { .. }
            | Self::BlockDamaged { .. }
            | Self::PaddingDamaged { .. }
            | Self::ParentLacksPage { .. }
            | Self::ChainTooLong => "damaged",
        }
    }
}

/// Why a plan can't become an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the system state has {len} bytes, an image holds at most {MAX_STATE_LEN}")]
    StateTooLarge { len: u64 },
    #[error("page {page:#x} of space {space} is planned twice")]
    Overlap { space: u32, page: u64 },
    #[error("pages from {page:#x} of space {space} lie outside any address space")]
    PageOutOfRange { space: u32, page: u64 },
    #[error("the memory takes more than {max} blocks, the most that an image holds")]
    TooManyBlocks { max: u64 },
}

/// Why an image can't be written. All but `Io` are defects of the caller.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("writing {what} of the image failed: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("the block of space {space} at page {page:#x} is not the next one of the plan")]
    OutOfPlan { space: u32, page: u64 },
    #[error(
        "the image is to be finished, but {missing} planned blocks were neither written nor marked absent"
    )]
    PlanNotDone { missing: u64 },
    #[error("the system state has {len} bytes, {planned} were planned")]
    StateTooLong { len: u64, planned: u64 },
    #[error("the system state was not written, or written twice")]
    StateNotOnce,
    #[error("an earlier write of the image failed")]
    FailedBefore,
    #[error("a block refers to the parent image, but the image has none")]
    NoParent,
}
