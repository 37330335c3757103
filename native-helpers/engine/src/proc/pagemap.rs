//! PAGEMAP_SCAN: which pages of an address space are of which kind, and protecting those that were written
//! (Documentation/admin-guide/mm/pagemap.rst), Linux 6.7.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use torpor_sys::fd::ioctl_struct;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u64 = 0xc060_6610;
/// PM_SCAN_WP_MATCHING.
const PROTECT_MATCHING: u64 = 1;

/// The mapping's writes can be tracked: it is registered with a userfaultfd for that.
pub const TRACKED: u64 = 1 << 0;
/// Not protected: written since it was, or never protected.
pub const WRITTEN: u64 = 1 << 1;
/// Of a file or of shared memory.
pub const FILE: u64 = 1 << 2;
pub const PRESENT: u64 = 1 << 3;
pub const SWAPPED: u64 = 1 << 4;
/// The shared page of zeros.
pub const PFNZERO: u64 = 1 << 5;
/// In a guard region (madvise(2), MADV_GUARD_INSTALL); Linux 6.15.
pub const GUARD: u64 = 1 << 8;

/// Regions that one call can tell of: as many as the kernel collects before it hands them out. With room for more it
/// goes on by itself, and tells some regions twice and others never (seen on Linux 6.18).
const REGIONS: usize = 512;
/// A call holds the lock that mmap(2) and munmap(2) of the program wait for: it looks at no more than this.
const STRETCH: u64 = 128 << 20;

/// Which pages are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scan {
    /// All of these.
    pub with: u64,
    /// None of these.
    pub without: u64,
    /// At least one of these, where any is named.
    pub any_of: u64,
    /// What is told of each region.
    pub tell: u64,
    /// Protect what is found, in the same step. (Never without a list of what that was, so that a page without
    /// contents is never protected: the kernel would make page tables for it.)
    pub protect: bool,
}

/// Neighbouring pages of the same kind.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    pub start: u64,
    pub end: u64,
    pub categories: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Arguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Opens /proc/PID/pagemap: it stays with the memory that the process has now.
pub fn open(pid: i32) -> io::Result<File> {
    File::open(format!("/proc/{pid}/pagemap"))
}

/// Tells of all regions in `start..end` that are asked for, in order; neighbours may come in pieces.
///
/// # Errors
/// What the kernel says: ENOTTY before Linux 6.7.
pub fn scan(
    pagemap: &File,
    start: u64,
    end: u64,
    wanted: &Scan,
    tell: &mut dyn FnMut(Found),
) -> io::Result<()> {
    let mut regions = [Found::default(); REGIONS];
    let mut at = start;
    while at < end {
        let until = end.min(at.saturating_add(STRETCH));
        let mut args = Arguments {
            size: size_of::<Arguments>() as u64,
            flags: if wanted.protect { PROTECT_MATCHING } else { 0 },
            start: at,
            end: until,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            category_inverted: wanted.without,
            category_mask: wanted.with | wanted.without,
            category_anyof_mask: wanted.any_of,
            return_mask: wanted.tell,
            ..Arguments::default()
        };
        let n = ioctl_struct(pagemap.as_fd(), PAGEMAP_SCAN, &mut args)? as usize;
        regions[..n].iter().copied().for_each(&mut *tell);
        if args.walk_end <= at {
            break;
        }
        at = args.walk_end;
    }
    Ok(())
}
