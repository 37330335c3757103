//! Changes images and makes all their hashes right again: what a forger could do, so that the checks
//! behind the hashes are tested too.

use torpor_image::PAGE_SIZE;

/// Where the fields of the header lie; the numbers of `docs/image-format.md`.
pub mod field {
    pub const MAJOR: usize = 8;
    pub const MINOR: usize = 10;
    pub const ARCH: usize = 12;
    pub const PAGE_SIZE: usize = 16;
    pub const CHAIN_LEN: usize = 20;
    pub const FILE_LEN: usize = 32;
    pub const PARENT_ID: usize = 64;
    pub const STATE: usize = 128;
    pub const INDEX: usize = 192;
    pub const PHYSICAL: usize = 256;
    pub const VIRTUAL: usize = 320;
}

pub fn get(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap())
}

pub fn put(file: &mut [u8], at: usize, value: u64) {
    file[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Where the page index lies.
pub fn index_at(file: &[u8]) -> usize {
    get(file, field::INDEX + 8) as usize
}

/// Computes all hashes anew, from the header's checksum to the commit record, where the header's own
/// numbers let it.
pub fn reseal(file: &mut [u8]) {
    for section in [field::STATE, field::INDEX] {
        let (offset, span) = (get(file, section + 8) as usize, get(file, section + 24) as usize);
        if let Some(bytes) = offset.checked_add(span).and_then(|end| file.get(offset..end)) {
            let hash = *blake3::hash(bytes).as_bytes();
            file[section + 32..section + 64].copy_from_slice(&hash);
        }
    }
    seal(&mut file[..PAGE_SIZE]);
    let content_hash = *blake3::hash(&file[..PAGE_SIZE]).as_bytes();
    let footer = file.len() - PAGE_SIZE;
    file[footer + 32..footer + 64].copy_from_slice(&content_hash);
    seal(&mut file[footer..]);
}

fn seal(page: &mut [u8]) {
    let sum = *blake3::hash(&page[..PAGE_SIZE - 32]).as_bytes();
    page[PAGE_SIZE - 32..].copy_from_slice(&sum);
}
