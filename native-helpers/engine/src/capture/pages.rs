//! Which pages of a space hold something that the file system or the kernel would not give back.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use torpor_sys::fd;

use crate::model::{Backing, Mapping};
use crate::proc::pagemap::{self, FILE, Found, GUARD, PFNZERO, PRESENT, SWAPPED, Scan, TRACKED, WRITTEN};
use crate::ranges::Ranges;
use crate::swap;

const PAGE: u64 = 4096;
/// A run of pages with contents of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub start_page: u64,
    pub pages: u64,
    /// In swap at the time of the capture.
    pub swapped: bool,
}

/// The pages of an address space's private mappings that are the process' own: anonymous and present or
/// swapped, the zero page left out. `pid` may be the process or a copy-on-write twin of it, `holders` are the mappings
/// that [`holds_own_pages`] is true of.
pub fn own_pages(pid: i32, holders: &[Holder]) -> io::Result<Vec<Run>> {
    find_own_pages(pid, holders, None)
}

/// The same, and in one walk those of the pages that are protected from being written without notice.
pub fn own_and_protected_pages(pid: i32, holders: &[Holder]) -> io::Result<(Vec<Run>, Ranges)> {
    let mut protected = Ranges::default();
    let own = find_own_pages(pid, holders, Some(&mut protected))?;
    Ok((own, protected))
}

fn find_own_pages(pid: i32, holders: &[Holder], mut protected: Option<&mut Ranges>) -> io::Result<Vec<Run>> {
    let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
    let mut runs = Vec::new();
    let mut scan = true;
    for holder in holders {
        if scan {
            match scan_range(&pagemap, holder, &mut runs, protected.as_deref_mut()) {
                Ok(()) => continue,
                // A kernel before 6.7.
                Err(e) if e.raw_os_error() == Some(libc::ENOTTY) => scan = false,
                Err(e) => return Err(e),
            }
        }
        read_entries(&pagemap, holder.start, holder.end, &mut runs)?;
    }
    Ok(runs)
}

/// Guard regions, which a scan takes for pages in swap: cuts them out of the runs, and gives their
/// (start, end).
pub fn take_guards(pid: i32, runs: &mut Vec<Run>) -> io::Result<Vec<(u64, u64)>> {
    /// Documentation/admin-guide/mm/pagemap.rst.
    const PM_GUARD_REGION: u64 = 1 << 58;
    if !runs.iter().any(|r| r.swapped) {
        return Ok(Vec::new());
    }
    let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
    let mut guards: Vec<(u64, u64)> = Vec::new();
    let mut kept = Vec::with_capacity(runs.len());
    for run in runs.drain(..) {
        if !run.swapped {
            push(&mut kept, run.start_page, run.pages, false);
            continue;
        }
        let mut raw = vec![0u8; run.pages as usize * 8];
        pagemap.read_exact_at(&mut raw, run.start_page * 8)?;
        for (page, entry) in (run.start_page..).zip(raw.chunks_exact(8)) {
            if u64::from_le_bytes(entry.try_into().expect("8 bytes")) & PM_GUARD_REGION == 0 {
                push(&mut kept, page, 1, true);
                continue;
            }
            match guards.last_mut() {
                Some((_, end)) if *end == page * PAGE => *end += PAGE,
                _ => guards.push((page * PAGE, (page + 1) * PAGE)),
            }
        }
    }
    *runs = kept;
    Ok(guards)
}

/// Guard regions in shared mappings (Linux 6.15): (start, end).
pub fn shared_guards(pid: i32, mappings: &[Mapping]) -> io::Result<Vec<(u64, u64)>> {
    let mut guards = Vec::new();
    let in_shared = |m: &&Mapping| {
        m.shared && !m.has("ht") && matches!(m.backing, Backing::File { .. } | Backing::SharedMemory { .. })
    };
    let pagemap = pagemap::open(pid)?;
    for mapping in mappings.iter().filter(in_shared) {
        let wanted = Scan { with: GUARD, tell: GUARD, ..Scan::default() };
        let mut tell = |found: Found| guards.push((found.start, found.end));
        match pagemap::scan(&pagemap, mapping.start, mapping.end, &wanted, &mut tell) {
            // A kernel that does not know the category, or no scan, has none.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => break,
            other => other?,
        }
    }
    Ok(guards)
}

/// `runs` without the pages of `taken`.
pub fn without(runs: Vec<Run>, taken: &Ranges) -> Vec<Run> {
    if taken.is_empty() {
        return runs;
    }
    let mut left = Vec::new();
    for run in runs {
        let pages: Ranges = std::iter::once((run.start_page, run.start_page + run.pages)).collect();
        let end = run.start_page + run.pages;
        for (start, end) in pages.difference(&taken.within(run.start_page, end)).iter() {
            left.push(Run { start_page: start, pages: end - start, swapped: run.swapped });
        }
    }
    left
}

/// A mapping that can hold pages of the process' own.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    start: u64,
    end: u64,
    /// Its pages are nobody else's.
    anonymous: bool,
}

impl Holder {
    pub fn of(mapping: &Mapping) -> Option<Holder> {
        let anonymous = matches!(mapping.backing, Backing::Anonymous { .. });
        holds_own_pages(mapping).then_some(Holder { start: mapping.start, end: mapping.end, anonymous })
    }
}

/// Whether pages of this mapping can be the process' own.
pub fn holds_own_pages(m: &Mapping) -> bool {
    // The kernel may take droppable pages away at any time. They hold the state of random generators (getrandom of
    // the vDSO), which two lives of one image must not have in common.
    !m.shared
        && !m.has("dp")
        && matches!(
            m.backing,
            Backing::Anonymous { .. } | Backing::File { .. } | Backing::SharedMemory { .. }
        )
}

fn scan_range(
    pagemap: &File,
    holder: &Holder,
    runs: &mut Vec<Run>,
    mut protected: Option<&mut Ranges>,
) -> io::Result<()> {
    // The kernel looks at each page, besides its entry, to tell whether it is of a file: that takes thrice as long.
    let file = if holder.anonymous { 0 } else { FILE };
    let noted = if protected.is_some() { TRACKED | WRITTEN } else { 0 };
    let own =
        Scan { without: file | PFNZERO, any_of: PRESENT | SWAPPED, tell: SWAPPED | noted, ..Scan::default() };
    pagemap::scan(pagemap, holder.start, holder.end, &own, &mut |Found { start, end, categories }| {
        push(runs, start / PAGE, (end - start) / PAGE, categories & SWAPPED != 0);
        if let Some(protected) = protected.as_deref_mut().filter(|_| categories & noted == TRACKED) {
            protected.push(start / PAGE, end / PAGE);
        }
    })
}

/// The same from the plain array of /proc/PID/pagemap (proc(5)), which does not tell the zero page.
fn read_entries(pagemap: &File, start: u64, end: u64, runs: &mut Vec<Run>) -> io::Result<()> {
    let mut buf = vec![0u8; 64 * 1024];
    let mut page = start / PAGE;
    let last = end / PAGE;
    while page < last {
        let want = (((last - page) * 8) as usize).min(buf.len());
        pagemap.read_exact_at(&mut buf[..want], page * 8)?;
        for entry in buf[..want].chunks_exact(8) {
            let entry = u64::from_le_bytes(entry.try_into().expect("8 bytes"));
            let (present, swapped, file) = (entry >> 63 & 1, entry >> 62 & 1, entry >> 61 & 1);
            if (present | swapped) == 1 && file == 0 {
                push(runs, page, 1, swapped == 1);
            }
            page += 1;
        }
    }
    Ok(())
}

fn push(runs: &mut Vec<Run>, start_page: u64, pages: u64, swapped: bool) {
    if let Some(last) = runs.last_mut()
        && last.start_page + last.pages == start_page
        && last.swapped == swapped
    {
        last.pages += pages;
        return;
    }
    runs.push(Run { start_page, pages, swapped });
}

/// The pages of a file that hold data (SEEK_DATA, SEEK_HOLE of lseek(2)), whole ones where the file system
/// does not tell.
pub fn data_pages(file: impl AsFd, size: u64) -> io::Result<Vec<Run>> {
    use rustix::fs::{SeekFrom, seek};
    let mut runs = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match seek(&file, SeekFrom::Data(at)) {
            Ok(offset) => offset,
            Err(rustix::io::Errno::NXIO) => break,
            Err(rustix::io::Errno::INVAL) => {
                push(&mut runs, at / PAGE, (size - at).div_ceil(PAGE), false);
                break;
            }
            Err(e) => return Err(e.into()),
        };
        let hole = seek(&file, SeekFrom::Hole(data))?.min(size);
        let (first, end) = (data / PAGE, hole.div_ceil(PAGE));
        if end > first {
            push(&mut runs, first, end - first, false);
        }
        at = hole.max(data + 1);
    }
    Ok(runs)
}

/// The pages of a file that are not all zeros, by reading all of it: the same without moving the position of a
/// description that is not ours.
pub fn read_data_pages(file: impl AsFd, size: u64) -> io::Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut buffer = vec![0u8; 256 * PAGE as usize];
    for at in (0..size).step_by(buffer.len()) {
        let len = (size - at).min(buffer.len() as u64) as usize;
        super::write::read_to_end_of_file(&file, &mut buffer[..len], at)?;
        for (number, page) in (at / PAGE..).zip(buffer[..len].chunks(PAGE as usize)) {
            if page.iter().any(|byte| *byte != 0) {
                push(&mut runs, number, 1, false);
            }
        }
    }
    Ok(runs)
}

/// Marks pages of a shared memory object that are in swap. (Of a file on a disk, what is not in memory is on the disk.)
pub fn mark_swapped(file: &impl AsFd, runs: Vec<Run>) -> io::Result<Vec<Run>> {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    if runs.is_empty() || rustix::fs::fstatfs(file)?.f_type != TMPFS_MAGIC || !swap::is_there() {
        return Ok(runs);
    }
    let mut marked = Vec::with_capacity(runs.len());
    for run in &runs {
        mark(file.as_fd(), run.start_page, run.pages, &mut marked)?;
    }
    Ok(marked)
}

/// Halves what is in part in swap, until it is not.
fn mark(file: BorrowedFd<'_>, start_page: u64, pages: u64, marked: &mut Vec<Run>) -> io::Result<()> {
    let Ok(found) = fd::cached(file, start_page * PAGE, pages * PAGE) else {
        // The kernel doesn't tell.
        push(marked, start_page, pages, false);
        return Ok(());
    };
    if found.evicted == 0 || found.there == 0 || pages == 1 {
        push(marked, start_page, pages, found.evicted != 0);
        return Ok(());
    }
    let half = pages / 2;
    mark(file, start_page, half, marked)?;
    mark(file, start_page + half, pages - half, marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_runs_merge_only_within_a_section() {
        let mut runs = Vec::new();
        push(&mut runs, 1, 2, false);
        push(&mut runs, 3, 1, false);
        push(&mut runs, 4, 1, true);
        assert_eq!(
            runs,
            [Run { start_page: 1, pages: 3, swapped: false }, Run { start_page: 4, pages: 1, swapped: true }]
        );
    }

    #[test]
    fn the_holes_of_a_sparse_file_are_left_out() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"x", 512 * 1024).unwrap();
        let runs = data_pages(&file, 1 << 20).unwrap();
        let pages: u64 = runs.iter().map(|r| r.pages).sum();
        assert!(runs.iter().any(|r| r.start_page <= 128 && 128 < r.start_page + r.pages), "{runs:?}");
        assert!(pages < 256, "{runs:?}");
    }
}
