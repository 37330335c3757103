//! Writes the pages of a capture: reads them from the (stopped or twin) processes, block by block.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use torpor_image::{
    BlockEncoder, Compression, EncodedBlock, ImageWriter, Layout, PageSource, PlannedBlock, Section, Sink,
    WriteError,
};

use super::collect::Content;
use super::encoding;
use super::kept::KeptPages;
use super::pages::Run;
use crate::model::SpaceId;
use crate::pace::Rate;
use crate::progress::{Observer, Phase};
use crate::swap::{self, PutBack};

const PAGE: u64 = 4096;
/// How long a cancelled capture may go unnoticed while it waits.
const NAP: Duration = Duration::from_millis(50);

/// Where the pages of each space are read from.
#[derive(Debug)]
pub enum Pages {
    /// The memory of a process that does not run.
    Process {
        mem: File,
        put_back: Option<PutBack>,
    },
    Content(Content),
    /// Copied while the tree was stopped.
    Kept(KeptPages),
}

#[derive(Debug, thiserror::Error)]
pub enum WritePagesError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cancelled")]
    Cancelled,
    #[error("reading memory of space {space} at page {page}: {source}")]
    Read { space: SpaceId, page: u64, source: io::Error },
}

impl Pages {
    pub fn process(pid: i32) -> io::Result<Pages> {
        let put_back = PutBack::into(pid);
        Ok(Pages::Process { mem: File::open(format!("/proc/{pid}/mem"))?, put_back })
    }

    /// Copies the given pages of a content into our memory.
    pub fn keep(content: &Content, runs: &[Run]) -> io::Result<Pages> {
        let mut kept = KeptPages::with_room(runs.iter().map(|run| run.pages).sum());
        for run in runs {
            kept.add(run.start_page, run.pages, |bytes| {
                read_to_end_of_file(content.file.as_fd(), bytes, run.start_page * PAGE)
            })?;
            if run.swapped {
                swap::put_back_object(content.file.as_fd(), run.start_page, run.pages);
            }
        }
        Ok(Pages::Kept(kept))
    }

    /// Reads `runs` (first page, pages), one after the other; the mask says by order which pages are there.
    pub fn read(&self, runs: &[(u64, u64)], buf: &mut [u8]) -> io::Result<()> {
        match self {
            Pages::Process { mem, .. } => {
                // Not process_vm_readv(2): it pins pages, and the kernel gives a process copies of its own of
                // what it shares copy-on-write before they are pinned.
                let mut at = 0;
                for (page, n) in runs {
                    let len = (n * PAGE) as usize;
                    mem.read_exact_at(&mut buf[at..at + len], page * PAGE)?;
                    at += len;
                }
                Ok(())
            }
            Pages::Kept(kept) => {
                let mut at = 0;
                for (page, n) in runs {
                    let len = (n * PAGE) as usize;
                    kept.read(*page, *n, &mut buf[at..at + len])?;
                    at += len;
                }
                Ok(())
            }
            Pages::Content(content) => {
                let file = content.file.as_fd();
                let mut at = 0;
                for (page, n) in runs {
                    let len = (n * PAGE) as usize;
                    read_to_end_of_file(file, &mut buf[at..at + len], page * PAGE)?;
                    at += len;
                }
                Ok(())
            }
        }
    }

    /// Reads the pages of a block, and says which were there.
    fn take(&self, block: &PlannedBlock, buf: &mut [u8]) -> Result<u64, WritePagesError> {
        let runs: Vec<(u64, u64)> = block.runs().collect();
        self.read(&runs, buf).map_err(|source| WritePagesError::Read {
            space: block.space,
            page: block.base_page,
            source,
        })?;
        if block.section == Section::Virtual {
            self.put_back(&runs);
        }
        Ok(block.pages)
    }

    /// Puts pages that were in swap, and have been read now, back there.
    fn put_back(&self, runs: &[(u64, u64)]) {
        match self {
            Pages::Process { put_back, .. } => {
                if let Some(process) = put_back {
                    process.pages(runs.iter().copied());
                }
            }
            Pages::Content(content) => {
                for (page, count) in runs {
                    swap::put_back_object(content.file.as_fd(), *page, *count);
                }
            }
            // They went when they were copied.
            Pages::Kept(_) => {}
        }
    }
}

/// pread(2) that fills what lies behind the end of the file with zeros.
pub(super) fn read_to_end_of_file(file: impl AsFd, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match rustix::io::pread(&file, &mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    buf[done..].fill(0);
    Ok(())
}

/// Writes all blocks of the layout, of the memory that is read no more than the rate allows. Those that are to be
/// compressed are read and encoded by a thread for each processor.
pub fn write_pages<S: Sink>(
    writer: &mut ImageWriter<S>,
    layout: &Layout,
    sources: &HashMap<SpaceId, Pages>,
    compression: Compression,
    rate: Option<&Rate>,
    observer: &mut Observer<'_>,
) -> Result<(), WritePagesError> {
    let mut steps = Steps { total: layout.stored_pages() * PAGE, done: 0, rate, observer };
    if compression == Compression::None {
        for block in layout.blocks() {
            steps.begin()?;
            write_block(writer, &block, sources)?;
            steps.end(&block)?;
        }
        return Ok(());
    }
    encoding::in_order(
        &layout.blocks(),
        compression,
        |encoder, block, buf| encode_block(encoder, block, sources, buf),
        |block, encoded| {
            steps.begin()?;
            writer.append(encoded)?;
            steps.end(block)
        },
    )
}

/// What goes on besides, from block to block.
struct Steps<'a, 'b> {
    total: u64,
    done: u64,
    rate: Option<&'a Rate>,
    observer: &'a mut Observer<'b>,
}

impl Steps<'_, '_> {
    fn begin(&self) -> Result<(), WritePagesError> {
        if self.observer.cancelled() { Err(WritePagesError::Cancelled) } else { Ok(()) }
    }

    /// Tells how far it is, and waits where that is further than the rate allows.
    fn end(&mut self, block: &PlannedBlock) -> Result<(), WritePagesError> {
        if block.source == PageSource::InParent {
            return Ok(());
        }
        self.done += block.page_count() as u64 * PAGE;
        self.observer.tell(Phase::Memory, self.done, self.total);
        while let Some(wait) = self.rate.map(|rate| rate.wait(self.done)).filter(|wait| !wait.is_zero()) {
            self.begin()?;
            std::thread::sleep(wait.min(NAP));
        }
        Ok(())
    }
}

fn write_block<S: Sink>(
    writer: &mut ImageWriter<S>,
    block: &PlannedBlock,
    sources: &HashMap<SpaceId, Pages>,
) -> Result<(), WritePagesError> {
    if block.source == PageSource::InParent {
        writer.mark_in_parent(block)?;
        return Ok(());
    }
    let Some(pages) = sources.get(&block.space) else {
        writer.mark_absent(block)?;
        return Ok(());
    };
    writer.fill_block(block, |buf| pages.take(block, buf))?;
    Ok(())
}

fn encode_block(
    encoder: &mut BlockEncoder,
    block: &PlannedBlock,
    sources: &HashMap<SpaceId, Pages>,
    buf: &mut [u8],
) -> Result<EncodedBlock<'static>, WritePagesError> {
    if block.source == PageSource::InParent {
        return Ok(EncodedBlock::in_parent(block));
    }
    let Some(pages) = sources.get(&block.space) else { return Ok(EncodedBlock::absent(block)) };
    let room = &mut buf[..block.page_count() * PAGE as usize];
    let present = pages.take(block, room)?;
    Ok(encoder.encode(block, present, room).into_owned())
}
