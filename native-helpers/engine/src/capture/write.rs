//! Writes the pages of a capture: reads them from the (stopped or twin) processes, block by block.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use torpor_image::{ImageWriter, Layout, PageSource, Section, Sink, WriteError};

use super::collect::Content;
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
    /// Copied while the tree was stopped: (first page, bytes of whole pages), in order.
    Kept(Vec<(u64, Vec<u8>)>),
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
        let mut kept = Vec::new();
        for run in runs {
            let mut bytes = vec![0u8; (run.pages * PAGE) as usize];
            read_to_end_of_file(content.file.as_fd(), &mut bytes, run.start_page * PAGE)?;
            if run.swapped {
                swap::put_back_object(content.file.as_fd(), run.start_page, run.pages);
            }
            kept.push((run.start_page, bytes));
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
                    let found = kept
                        .iter()
                        .find(|(start, b)| *start <= *page && page - start + n <= b.len() as u64 / PAGE);
                    let (start, bytes) = found.ok_or(io::ErrorKind::UnexpectedEof)?;
                    let from = ((page - start) * PAGE) as usize;
                    buf[at..at + len].copy_from_slice(&bytes[from..from + len]);
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
fn read_to_end_of_file(file: impl AsFd, buf: &mut [u8], offset: u64) -> io::Result<()> {
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

/// Writes all blocks of the layout, of the memory that is read no more than the rate allows.
pub fn write_pages<S: Sink>(
    writer: &mut ImageWriter<S>,
    layout: &Layout,
    sources: &HashMap<SpaceId, Pages>,
    rate: Option<&Rate>,
    observer: &mut Observer<'_>,
) -> Result<(), WritePagesError> {
    let total = layout.stored_pages() * PAGE;
    let mut done = 0;
    for block in layout.blocks() {
        if observer.cancelled() {
            return Err(WritePagesError::Cancelled);
        }
        if block.source == PageSource::InParent {
            writer.mark_in_parent(&block)?;
            continue;
        }
        let Some(pages) = sources.get(&block.space) else {
            writer.mark_absent(&block)?;
            continue;
        };
        let runs: Vec<(u64, u64)> = block.runs().collect();
        writer.fill_block(&block, |buf| match pages.read(&runs, buf) {
            Ok(()) => Ok(block.pages),
            Err(source) => Err(WritePagesError::Read { space: block.space, page: block.base_page, source }),
        })?;
        if block.section == Section::Virtual {
            pages.put_back(&runs);
        }
        done += block.page_count() as u64 * PAGE;
        observer.tell(Phase::Memory, done, total);
        while let Some(wait) = rate.map(|rate| rate.wait(done)).filter(|wait| !wait.is_zero()) {
            if observer.cancelled() {
                return Err(WritePagesError::Cancelled);
            }
            std::thread::sleep(wait.min(NAP));
        }
    }
    Ok(())
}
