//! The working set of an image: which blocks a program touched first after it was woken, kept beside the
//! image for the next wake (docs/image-format.md, "Working set").
//!
//! It is a hint: one that is damaged, of another image or not there costs time and nothing else.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use torpor_image::{ContentHash, ImageId, ImageReader, block_checksum};

const MAGIC: [u8; 8] = *b"TORPORWS";
const VERSION: u32 = 1;
/// Magic, version, number of blocks, image id, content hash, faults.
const HEAD_LEN: usize = 8 + 4 + 4 + 16 + 32 + 8;
const CHECKSUM_LEN: usize = 16;
/// 16 GiB of memory; more is no working set.
const MAX_BLOCKS: usize = 65_536;
/// What the file's name has behind the image's.
pub const SUFFIX: &str = ".ws";

/// Where the working set of one image is.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    image: OsString,
    /// Device and inode of the image.
    inode: (u64, u64),
    id: ImageId,
    content: ContentHash,
}

/// Blocks of the image in the order in which they were first touched, and how many faults waited for the
/// image at the last wake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkingSet {
    pub blocks: Vec<u32>,
    pub faults: u64,
}

impl Place {
    /// Beside the image at `path`.
    ///
    /// # Errors
    /// Where its folder can't be opened.
    pub fn beside(path: &Path, image: &ImageReader<File>) -> io::Result<Place> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let meta = image.source().metadata()?;
        Ok(Place {
            folder: rustix::fs::open(folder, flags, Mode::empty())?,
            image: name.to_owned(),
            inode: (meta.dev(), meta.ino()),
            id: image.info().image_id,
            content: image.content_hash(),
        })
    }

    pub(super) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    fn name(&self, suffix: &str) -> OsString {
        let mut name = OsString::from(if suffix == SUFFIX { "" } else { "." });
        name.push(&self.image);
        name.push(suffix);
        name
    }

    /// What was recorded, if there is something that can be used.
    pub fn read(&self, blocks_of_image: usize) -> Option<WorkingSet> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.folder, self.name(SUFFIX), flags, Mode::empty()).ok()?;
        let mut bytes = Vec::new();
        let most = (HEAD_LEN + MAX_BLOCKS * 4 + CHECKSUM_LEN) as u64;
        File::from(file).take(most + 1).read_to_end(&mut bytes).ok()?;
        decode(&bytes, self.id, self.content, blocks_of_image)
    }

    /// Records it, in one step.
    ///
    /// # Errors
    /// Where it can't be written, or where the image is no longer at its place; nothing is left then.
    pub fn write(&self, set: &WorkingSet) -> io::Result<()> {
        let stat = rustix::fs::statat(&self.folder, &self.image, AtFlags::SYMLINK_NOFOLLOW)?;
        if (stat.st_dev, stat.st_ino) != self.inode {
            return Err(io::ErrorKind::NotFound.into());
        }
        let temporary = self.name(".ws-new");
        let written = self.write_as(&temporary, set);
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        }
        written
    }

    fn write_as(&self, temporary: &OsStr, set: &WorkingSet) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.folder, temporary, flags, Mode::from_raw_mode(0o600))?;
        File::from(file).write_all(&encode(set, self.id, self.content))?;
        Ok(rustix::fs::renameat(&self.folder, temporary, &self.folder, self.name(SUFFIX))?)
    }
}

fn encode(set: &WorkingSet, id: ImageId, content: ContentHash) -> Vec<u8> {
    let blocks = &set.blocks[..set.blocks.len().min(MAX_BLOCKS)];
    let mut bytes = Vec::with_capacity(HEAD_LEN + blocks.len() * 4 + CHECKSUM_LEN);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((blocks.len() as u32).to_le_bytes());
    bytes.extend(id.0);
    bytes.extend(content.0);
    bytes.extend(set.faults.to_le_bytes());
    bytes.extend(blocks.iter().flat_map(|b| b.to_le_bytes()));
    let checksum = block_checksum(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], id: ImageId, content: ContentHash, blocks_of_image: usize) -> Option<WorkingSet> {
    let (head, rest) = bytes.split_at_checked(HEAD_LEN)?;
    let half = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
    let known = head[..8] == MAGIC && half(8) == VERSION;
    let ours = head[16..32] == id.0 && head[32..64] == content.0;
    let count = half(12) as usize;
    if !known || !ours || count > MAX_BLOCKS || rest.len() != count * 4 + CHECKSUM_LEN {
        return None;
    }
    let (signed, checksum) = bytes.split_at(bytes.len() - CHECKSUM_LEN);
    if block_checksum(signed).to_le_bytes() != checksum {
        return None;
    }
    let blocks: Vec<u32> =
        rest[..count * 4].as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    if blocks.iter().any(|b| *b as usize >= blocks_of_image) {
        return None;
    }
    Some(WorkingSet { blocks, faults: u64::from_le_bytes(head[64..72].try_into().expect("8 bytes")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_of_another_image_is_not_used() {
        let (id, content) = (ImageId([1; 16]), ContentHash([2; 32]));
        let set = WorkingSet { blocks: vec![5, 3, 9], faults: 3 };
        let bytes = encode(&set, id, content);
        assert_eq!(decode(&bytes, id, content, 10), Some(set));
        assert_eq!(decode(&bytes, id, content, 9), None);
        assert_eq!(decode(&bytes, ImageId([3; 16]), content, 10), None);
        assert_eq!(decode(&bytes, id, ContentHash([3; 32]), 10), None);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(decode(&damaged, id, content, 10), None, "byte {at}");
            assert_eq!(decode(&bytes[..at], id, content, 10), None, "cut at {at}");
        }
    }
}
