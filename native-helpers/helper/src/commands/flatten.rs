//! `flatten`: writes an image that builds on others anew, as one that builds on none. The originals stay as they are.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use torpor_engine::store::ImagePlace;
use torpor_image::{
    ChainBuf, Codec, Compression, HeaderInfo, ImageChain, ImageError, ImageId, ImageWriter, Layout,
    PAGE_SIZE, PageRun, PageSource, Plan, PlannedBlock, Summary, WriteError, WriteOptions,
};

use super::opened_image;
use crate::arguments::FlattenArguments;
use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of the new image: what has other bytes is another image, unless it is to take the original's place.
    image_id: String,
    image: PathBuf,
    flattened_id: String,
    /// How many images the original builds on.
    parents: usize,
    file_bytes: u64,
    duration_ms: f64,
}

/// Why a block could not be copied.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Read(#[from] ImageError),
}

pub fn run(arguments: &FlattenArguments, session: &mut Session) -> Result<Report, Failure> {
    let begun = Instant::now();
    let path = &arguments.image;
    let output =
        std::path::absolute(&arguments.output).map_err(|e| Failure::io("finding the current folder", &e))?;
    let place = ImagePlace::open(&output)?;
    let chain = opened_image::open_chain(path, &[])?;
    opened_image::state(path, chain.youngest())?;
    let state = chain.youngest().state_bytes().map_err(|e| opened_image::named(path, e.into()))?;
    let planned = Plan { state_len: state.len() as u64, runs: runs(&chain) };
    let layout = Layout::new(planned).map_err(|e| Failure::new(ErrorCode::Resource, e.to_string()))?;
    let new = place.create(layout.file_len_bound())?;
    let summary = copy(&chain, &state, layout, &new.file, arguments.keep_id, session)
        .map_err(|e| opened_image::named(path, e))?;
    new.commit(summary.file_len)?;
    Ok(Report {
        image_id: summary.id.to_string(),
        image: output,
        flattened_id: chain.youngest().info().image_id.to_string(),
        parents: chain.images().len() - 1,
        file_bytes: summary.file_len,
        duration_ms: begun.elapsed().as_secs_f64() * 1e3,
    })
}

/// All pages of the youngest image, each to be stored.
fn runs(chain: &ImageChain<File>) -> Vec<PageRun> {
    let image = chain.youngest();
    let mut runs = Vec::new();
    for (number, block) in image.blocks().iter().enumerate() {
        let planned = PlannedBlock {
            section: image.section_of(number),
            space: block.space,
            base_page: block.base_page,
            pages: block.pages(),
            source: PageSource::Stored,
        };
        runs.extend(planned.runs().map(|(start_page, pages)| PageRun {
            space: planned.space,
            start_page,
            pages,
            section: planned.section,
            source: PageSource::Stored,
        }));
    }
    runs
}

fn copy(
    chain: &ImageChain<File>,
    state: &[u8],
    layout: Layout,
    file: &File,
    keep_id: bool,
    session: &mut Session,
) -> Result<Summary, Failure> {
    let image_id = if keep_id { chain.youngest().info().image_id } else { new_id()? };
    let info = HeaderInfo { image_id, parent: None, chain_len: 1, ..*chain.youngest().info() };
    let options = WriteOptions { compression: compression(chain) };
    let (blocks, total) = (layout.blocks(), layout.stored_pages() * PAGE_SIZE as u64);
    let mut writer = ImageWriter::new(file, info, layout, options);
    let mut buf = ChainBuf::default();
    let mut done = 0;
    writer.write_state(state).map_err(|e| written(&e))?;
    for planned in blocks {
        if session.stop.is_set() {
            return Err(Failure::new(ErrorCode::Cancelled, "cancelled; no image was made"));
        }
        let copied = writer.fill_block(&planned, |room| {
            gather(chain, &planned, &mut buf, room)?;
            Ok(planned.pages)
        });
        copied.map_err(|e| match e {
            CopyError::Write(e) => written(&e),
            CopyError::Read(e) => e.into(),
        })?;
        done += (planned.page_count() * PAGE_SIZE) as u64;
        session.step("memory", done, total);
    }
    let (summary, _) = writer.finish().map_err(|e| written(&e))?;
    Ok(summary)
}

fn new_id() -> Result<ImageId, Failure> {
    let mut id = [0; 16];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Failure::io("making an image id", &e.into()))?;
    Ok(ImageId(id))
}

/// Puts the pages of a block together, from wherever in the chain they are.
fn gather(
    chain: &ImageChain<File>,
    planned: &PlannedBlock,
    buf: &mut ChainBuf,
    room: &mut [u8],
) -> Result<(), CopyError> {
    room.fill(0);
    let image = chain.youngest();
    for number in image.window(planned.space, planned.base_page) {
        let block = &image.blocks()[number];
        let wanted = block.data & planned.pages;
        if wanted == 0 {
            continue;
        }
        let stored = chain.read_block(number, buf)?;
        for bit in (0..64u64).filter(|bit| wanted >> bit & 1 == 1) {
            let Some(from) = block.slot_of(planned.base_page + bit) else { continue };
            let to = (planned.pages & ((1 << bit) - 1)).count_ones() as usize;
            room[to * PAGE_SIZE..][..PAGE_SIZE].copy_from_slice(&stored[from * PAGE_SIZE..][..PAGE_SIZE]);
        }
    }
    Ok(())
}

/// As the images of the chain are compressed.
fn compression(chain: &ImageChain<File>) -> Compression {
    let uses = |codec| chain.images().iter().any(|i| i.blocks().iter().any(|block| block.codec == codec));
    if uses(Codec::Zstd) {
        Compression::Zstd
    } else if uses(Codec::Lz4) {
        Compression::Lz4
    } else {
        Compression::None
    }
}

fn written(e: &WriteError) -> Failure {
    let full = std::error::Error::source(e)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|io| matches!(io.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)));
    let code = if full { ErrorCode::NoRoom } else { ErrorCode::Resource };
    Failure::new(code, format!("writing the complete image: {e}; nothing was made"))
}
