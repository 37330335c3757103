//! Loads the pages of an image into processes and shared objects that are laid out and wait.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

use torpor_image::{BlockEntry, ChainBuf, ImageChain, ImageReader, Section};
use torpor_sys::memory;

use super::RestoreError;
use super::files::Files;
use super::hints::Hints;
use super::lazy::LazyPlan;
use super::sharing::{Sharing, StoredPages};
use crate::model::{Backing, FileKind, Pid, Space, SpaceId, SystemState};
use crate::progress::{Observer, Phase};
use crate::ranges::Ranges;
use crate::swap::{self, PutBack};

const PAGE: u64 = 4096;

/// Where the pages of a space go.
#[derive(Debug)]
enum Destination {
    Process {
        pid: Pid,
        /// For what was in swap.
        put_back: Option<PutBack>,
        /// Private file mappings, where a page of zeros hides a page of the file.
        over_files: Ranges,
    },
    File(File),
}

/// Says what will be loaded, so that the disk begins with it.
pub fn announce(chain: &ImageChain<File>, later: Option<&LazyPlan>) {
    let image = chain.youngest();
    Hints::new(image, (0..image.blocks().len()).filter(|i| !later.is_some_and(|plan| plan.is_later(*i))));
}

/// Loads the pages that processes are to share, in a round of [`Sharing`], into those that wait for them.
pub fn load_shared(
    chain: &ImageChain<File>,
    sharing: &Sharing,
    round: usize,
    observer: &mut Observer<'_>,
) -> Result<(), RestoreError> {
    let image = chain.youngest();
    let mut buf = ChainBuf::default();
    for pid in &sharing.rounds[round] {
        let destination = Destination::Process { pid: *pid, put_back: None, over_files: Ranges::default() };
        for load in sharing.node(*pid).iter().flat_map(|node| &node.loads) {
            let wanted = |i: &usize| {
                let entry = &image.blocks()[*i];
                entry.pages() & load.pages.mask(entry.base_page) != 0
            };
            let mut hints = Hints::new(image, blocks_of(image, load.space).filter(wanted));
            for i in blocks_of(image, load.space).filter(wanted) {
                if observer.cancelled() {
                    return Err(RestoreError::Cancelled);
                }
                let entry = &image.blocks()[i];
                let wanted = load.pages.mask(entry.base_page);
                hints.reads(i);
                let pages = chain.read_block(i, &mut buf)?;
                destination
                    .write(entry, pages, wanted, load.hiding.mask(entry.base_page))
                    .map_err(|source| RestoreError::Load { space: load.space, source })?;
            }
        }
    }
    Ok(())
}

/// Loads everything that is not in place yet, but what comes later.
pub fn load(
    chain: &ImageChain<File>,
    state: &SystemState,
    files: &Files,
    later: Option<&LazyPlan>,
    sharing: &Sharing,
    observer: &mut Observer<'_>,
) -> Result<(), RestoreError> {
    let image = chain.youngest();
    let swapped = image.block_range(Section::Virtual);
    let to_swap = !swapped.is_empty() && swap::is_there();
    let destinations = destinations(state, files, to_swap)?;
    let is_later = |i: usize| later.is_some_and(|plan| plan.is_later(i));
    let blocks = || image.blocks().iter().enumerate().filter(|(i, _)| !is_later(*i));
    let total = blocks().map(|(_, b)| b.data_pages() as u64 * PAGE).sum();
    let mut buf = ChainBuf::default();
    let mut done = 0;
    let mut hints = Hints::new(image, blocks().map(|(i, _)| i));
    for (i, entry) in blocks() {
        if observer.cancelled() {
            return Err(RestoreError::Cancelled);
        }
        hints.reads(i);
        if files.is_loaded(entry.space) {
            continue;
        }
        let own = !sharing.present(entry.space).map_or(0, |pages| pages.mask(entry.base_page));
        let copies = sharing.copies(entry.space).iter();
        let copies = copies.map(|(space, pages)| (*space, pages.mask(entry.base_page)));
        let mut targets = Vec::new();
        for (space, wanted) in std::iter::once((entry.space, own)).chain(copies) {
            let destination =
                destinations.get(&space).ok_or(RestoreError::Malformed("pages of an unknown space"))?;
            if entry.pages() & wanted != 0 {
                targets.push((space, destination, wanted));
            }
        }
        if !targets.is_empty() {
            let pages = chain.read_block(i, &mut buf)?;
            for (space, destination, wanted) in targets {
                destination
                    .write(entry, pages, wanted, destination.hiding(entry))
                    .map_err(|source| RestoreError::Load { space, source })?;
                if to_swap && swapped.contains(&i) {
                    destination.put_back(entry.base_page, entry.data & wanted);
                }
            }
        }
        done += entry.data_pages() as u64 * PAGE;
        observer.tell(Phase::Load, done, total);
    }
    Ok(())
}

/// Loads executables that have no name any more, before any process is made: only a file that nobody has open
/// for writing can be executed.
pub fn executables(
    chain: &ImageChain<File>,
    state: &SystemState,
    files: &mut Files,
) -> Result<(), RestoreError> {
    let image = chain.youngest();
    let executables = state.processes.iter().filter_map(|p| p.mm.as_ref()?.exe);
    let spaces: HashSet<SpaceId> = executables
        .filter_map(|id| match &state.files.get(id as usize)?.kind {
            FileKind::Unlinked { space, .. } => Some(*space),
            FileKind::Path(_) => files.content_of(id),
            _ => None,
        })
        // A memfd may be open for writing.
        .filter(|id| matches!(state.spaces.get(*id as usize), Some(Space::FileContent { .. })))
        .collect();
    let mut buf = ChainBuf::default();
    for space in spaces {
        let failed = |source| RestoreError::Load { space, source };
        let Some(fd) = files.spaces.get(&space) else { continue };
        let destination = Destination::File(File::from(fd.try_clone().map_err(failed)?));
        for (i, entry) in image.blocks().iter().enumerate().filter(|(_, e)| e.space == space) {
            let pages = chain.read_block(i, &mut buf)?;
            destination.write(entry, pages, u64::MAX, 0).map_err(failed)?;
        }
        drop(destination);
        files.set_loaded(space).map_err(failed)?;
    }
    Ok(())
}

/// What an image has of a space.
pub fn stored_pages(image: &ImageReader<File>, space: SpaceId) -> StoredPages {
    let (mut all, mut data) = (Vec::new(), Vec::new());
    for i in blocks_of(image, space) {
        let entry = &image.blocks()[i];
        let run = |(first, count): (u64, u64)| (entry.base_page + first, entry.base_page + first + count);
        all.extend(runs(entry.pages()).map(run));
        data.extend(runs(entry.data).map(run));
    }
    StoredPages { all: all.into_iter().collect(), data: data.into_iter().collect() }
}

/// The blocks of a space, in both sections.
fn blocks_of(image: &ImageReader<File>, space: SpaceId) -> impl Iterator<Item = usize> {
    [Section::Physical, Section::Virtual].into_iter().flat_map(move |section| {
        let range = image.block_range(section);
        let blocks = &image.blocks()[range.clone()];
        let first = blocks.partition_point(|b| b.space < space);
        let end = blocks.partition_point(|b| b.space <= space);
        range.start + first..range.start + end
    })
}

/// `to_swap` says that some of the pages were in swap.
fn destinations(
    state: &SystemState,
    files: &Files,
    to_swap: bool,
) -> Result<HashMap<SpaceId, Destination>, RestoreError> {
    let mut all = HashMap::new();
    let put_back = |pid| if to_swap { PutBack::into(pid) } else { None };
    for (id, space) in state.spaces.iter().enumerate() {
        let id = id as SpaceId;
        let destination = match space {
            Space::AddressSpace { pid } => {
                let mm = state.processes.iter().find(|p| p.pid == *pid).and_then(|p| p.mm.as_ref());
                let over_files = mm
                    .iter()
                    .flat_map(|mm| &mm.mappings)
                    .filter(|m| !m.shared && !matches!(m.backing, Backing::Anonymous { .. }))
                    .map(|m| (m.start / PAGE, m.end / PAGE))
                    .collect();
                Destination::Process { pid: *pid, put_back: put_back(*pid), over_files }
            }
            Space::SharedMemory(_) | Space::FileContent { .. } => {
                let Some(fd) = files.spaces.get(&id) else { continue };
                let fd = fd.try_clone().map_err(|source| RestoreError::Load { space: id, source })?;
                Destination::File(File::from(fd))
            }
        };
        all.insert(id, destination);
    }
    Ok(all)
}

impl Destination {
    /// Pages of zeros that have to be written, because a page of a file would be there else.
    fn hiding(&self, entry: &BlockEntry) -> u64 {
        match self {
            Destination::Process { over_files, .. } if entry.zero != 0 => over_files.mask(entry.base_page),
            _ => 0,
        }
    }

    /// Puts pages of a window that were just written into swap.
    fn put_back(&self, base_page: u64, pages: u64) {
        let runs = runs(pages).map(|(first, count)| (base_page + first, count));
        match self {
            Destination::Process { put_back, .. } => {
                if let Some(process) = put_back {
                    process.pages(runs);
                }
            }
            Destination::File(file) => {
                runs.for_each(|(page, count)| swap::put_back_object(file.as_fd(), page, count));
            }
        }
    }

    /// Writes the pages `wanted` of a block, of those that are zeros only those in `hiding`.
    fn write(&self, entry: &BlockEntry, pages: &[u8], wanted: u64, hiding: u64) -> io::Result<()> {
        for (first, count) in runs(entry.data & wanted) {
            let before = entry.data & ((1 << first) - 1);
            let at = before.count_ones() as usize * PAGE as usize;
            let len = (count * PAGE) as usize;
            self.put((entry.base_page + first) * PAGE, &pages[at..at + len])?;
        }
        let zeros = [0u8; PAGE as usize];
        for (first, count) in runs(entry.zero & wanted & hiding) {
            for page in entry.base_page + first..entry.base_page + first + count {
                self.put(page * PAGE, &zeros)?;
            }
        }
        Ok(())
    }

    fn put(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self {
            Destination::Process { pid, .. } => memory::write(*pid, offset, data),
            Destination::File(file) => {
                // The last page of a file may reach beyond its end.
                let size = rustix::fs::fstat(file)?.st_size as u64;
                let len = (data.len() as u64).min(size.saturating_sub(offset)) as usize;
                match file.write_all_at(&data[..len], offset) {
                    // Huge-page files take no write(2).
                    Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                        let mut mapping = memory::Mapping::file(file.as_fd(), size as usize, true)?;
                        let at = offset as usize;
                        mapping.bytes_mut()[at..at + len].copy_from_slice(&data[..len]);
                        Ok(())
                    }
                    other => other.map_err(|e| {
                        io::Error::new(e.kind(), format!("{e} (descriptor {})", file.as_raw_fd()))
                    }),
                }
            }
        }
    }
}

/// The runs of ones in a bitmap: (first bit, count).
fn runs(mut bits: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut at = 0u32;
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let skip = bits.trailing_zeros();
        let ones = (bits >> skip).trailing_ones();
        let first = at + skip;
        at = first + ones;
        bits = if skip + ones >= 64 { 0 } else { bits >> (skip + ones) };
        Some((u64::from(first), u64::from(ones)))
    })
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_of_a_bitmap() {
        assert_eq!(runs(0b0110_0001).collect::<Vec<_>>(), [(0, 1), (5, 2)]);
        assert_eq!(runs(u64::MAX).collect::<Vec<_>>(), [(0, 64)]);
        assert_eq!(runs(1 << 63).collect::<Vec<_>>(), [(63, 1)]);
        assert_eq!(runs(0).count(), 0);
    }
}
