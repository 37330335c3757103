//! A process' command line, which lies in its memory.

use std::fs::File;

use torpor_engine::model::{AddressSpace, Process};
use torpor_image::{BlockBuf, ImageReader, PAGE_SIZE, PageLocation};

/// A command line longer than this is cut.
const MAX_LEN: u64 = 64 << 10;

/// The arguments as they stood in memory at the capture; empty where they can't be read.
pub fn command_line(image: &ImageReader<File>, process: &Process) -> Vec<String> {
    let Some(mm) = &process.mm else { return Vec::new() };
    let Some(len) = mm.arg_end.checked_sub(mm.arg_start).filter(|len| *len > 0) else { return Vec::new() };
    let Some(bytes) = read(image, mm, mm.arg_start, len.min(MAX_LEN)) else { return Vec::new() };
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    bytes.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The space that has a page: another one where it is shared copy-on-write.
fn holder(mm: &AddressSpace, page: u64) -> u32 {
    let has = |pages: &[u64]| {
        pages
            .as_chunks::<2>()
            .0
            .iter()
            .any(|[first, count]| page.checked_sub(*first).is_some_and(|n| n < *count))
    };
    mm.inherits.iter().find(|i| has(&i.pages)).map_or(mm.space, |i| i.space)
}

fn read(image: &ImageReader<File>, mm: &AddressSpace, start: u64, len: u64) -> Option<Vec<u8>> {
    let page_size = PAGE_SIZE as u64;
    let end = start.checked_add(len)?;
    let mut buf = BlockBuf::new();
    let mut bytes = Vec::new();
    for page in start / page_size..end.div_ceil(page_size) {
        let contents = match image.find(holder(mm, page), page)? {
            PageLocation::Zero { .. } => [0; PAGE_SIZE],
            PageLocation::Stored { block, slot } => {
                let data = image.read_block(block, &mut buf).ok()?;
                *data.get(slot * PAGE_SIZE..)?.first_chunk()?
            }
            PageLocation::InParent { .. } => return None,
        };
        let first = start.saturating_sub(page * page_size).min(page_size) as usize;
        let last = (end - page * page_size).min(page_size) as usize;
        bytes.extend_from_slice(&contents[first..last]);
    }
    Some(bytes)
}
