//! Files, directories and devices of the file system, with and without a name.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use serde_bytes::ByteBuf;

use super::super::{collect::Collector, locks, memory, refusal};
use super::{Subject, device, pipe, pty};
use crate::blocker::Obstacle;
use crate::model::{
    Backing, FileHandle, FileId, FileKind, FileMarks, OpenFile, PathFile, Pid, RemovedNode, Space,
};
use crate::proc;
use crate::proc::fdinfo::FdInfo;
use crate::proc::maps::{self, Vma};
use crate::restore::unnamed;

const DELETED: &str = " (deleted)";
/// `TMPFILE` bit of O_TMPFILE, without O_DIRECTORY.
const O_TMPFILE_BIT: i32 = 0o20000000;

/// Captures what a path stands for.
pub fn capture(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let kind = FileType::from_raw_mode(s.stat.st_mode);
    if s.info.flags & libc::O_PATH != 0 && !matches!(kind, FileType::RegularFile | FileType::Directory) {
        // Only a place, whatever is there.
        return Ok(FileKind::Path(node(s.target, s.stat, s.dup.as_fd())?));
    }
    match kind {
        FileType::RegularFile => regular(collector, s),
        FileType::Directory => folder(s.target, s.stat, Some(s.dup.as_fd())),
        FileType::Fifo => pipe::fifo(s, node(s.target, s.stat, s.dup.as_fd())?),
        FileType::CharacterDevice => character_device(collector, s),
        _ => Err(refused(s)),
    }
}

fn regular(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    if let Some(file) = found(s.target, s.stat, Some(s.dup.as_fd()))? {
        return Ok(FileKind::Path(file));
    }
    unlinked(collector, s.target, s.stat, || Ok(readable(s)?), s.info.flags & O_TMPFILE_BIT != 0)
}

fn folder(target: &str, stat: &Stat, fd: Option<BorrowedFd<'_>>) -> Result<FileKind, Obstacle> {
    Ok(match found(target, stat, fd)? {
        Some(file) => FileKind::Path(file),
        None => FileKind::UnlinkedDirectory {
            path: target.trim_end_matches(DELETED).to_owned(),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            inode: (stat.st_dev, stat.st_ino),
        },
    })
}

/// A descriptor of the same inode that can be read, whatever the description's own mode is.
fn readable(s: &Subject<'_>) -> io::Result<OwnedFd> {
    unnoticed(&format!("/proc/self/fd/{}", s.dup.as_raw_fd()))
}

/// A file to be read without a trace in its time of the last access, where we may: as its owner, or with CAP_FOWNER.
fn unnoticed(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty());
    Ok(opened.or_else(|_| rustix::fs::open(path, flags, Mode::empty()))?)
}

/// A regular file that has no name any more: its bytes become a space of the image.
fn unlinked(
    collector: &mut Collector,
    target: &str,
    stat: &Stat,
    file: impl FnOnce() -> Result<OwnedFd, Obstacle>,
    tmpfile: bool,
) -> Result<FileKind, Obstacle> {
    let size = stat.st_size as u64;
    let mut marks = FileMarks { times: None, attributes: Vec::new() };
    // Opening it would break a lease of the program, and wait until it, which stands still, gives it up.
    let own =
        if collector.is_leased(stat.st_ino)? { Some(own_reader(collector, target, stat)?) } else { None };
    let borrowed = own.is_some();
    let file = || {
        let file = own.map_or_else(file, Ok)?;
        marks = self::marks(stat, file.as_fd());
        Ok(file)
    };
    let space =
        collector.inode_space((stat.st_dev, stat.st_ino), file, size, || Space::FileContent { size })?;
    if borrowed {
        collector.read_as_borrowed(space);
    }
    Ok(FileKind::Unlinked {
        space,
        path: target.trim_end_matches(DELETED).to_owned(),
        size,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        tmpfile: tmpfile || target.trim_end_matches(DELETED).ends_with(&format!("/#{}", stat.st_ino)),
        marks,
    })
}

/// A description of the tree's own that a file can be read by.
fn own_reader(collector: &mut Collector, target: &str, stat: &Stat) -> Result<OwnedFd, Obstacle> {
    for pid in collector.pids.clone() {
        for fd in proc::numbers(pid, "fd").unwrap_or_default() {
            let there = rustix::fs::stat(format!("/proc/{pid}/fd/{fd}"));
            if there.is_ok_and(|s| (s.st_dev, s.st_ino) == (stat.st_dev, stat.st_ino))
                && is_readable(FdInfo::of(pid, fd)?.flags)
            {
                return Ok(collector.borrow_descriptor(pid, fd)?);
            }
        }
    }
    Err(refusal::leased(target))
}

/// Whether a descriptor with these flags can be read from.
fn is_readable(flags: i32) -> bool {
    flags & libc::O_PATH == 0 && flags & libc::O_ACCMODE != libc::O_WRONLY
}

/// What stands in the way of reading an open file that has no name, by a lease that was taken through it.
pub fn refuse_leased(target: &str, stat: &Stat, info: &FdInfo) -> Option<Obstacle> {
    let unlinked = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 0;
    (unlinked && !is_readable(info.flags) && locks::has_lease(info)).then(|| refusal::leased(target))
}

/// Times and extended attributes; those that can't be read stay behind.
fn marks(stat: &Stat, file: BorrowedFd<'_>) -> FileMarks {
    let ns = |s: i64, n: u64| s * 1_000_000_000 + n as i64;
    let times = (ns(stat.st_atime, stat.st_atime_nsec), ns(stat.st_mtime, stat.st_mtime_nsec));
    let mut attributes = Vec::new();
    let mut names = vec![0u8; 65536];
    let len = rustix::fs::flistxattr(file, names.as_mut_slice()).unwrap_or(0);
    for name in names[..len].split(|b| *b == 0).filter_map(|n| std::str::from_utf8(n).ok()) {
        let mut value = vec![0u8; 65536];
        if !name.is_empty()
            && let Ok(len) = rustix::fs::fgetxattr(file, name, value.as_mut_slice())
        {
            attributes.push((name.to_owned(), ByteBuf::from(&value[..len])));
        }
    }
    FileMarks { times: Some(times), attributes }
}

/// The path file when `path` still leads to this very inode.
fn located(path: &str, stat: &Stat) -> Option<PathFile> {
    let there = rustix::fs::lstat(path).ok()?;
    (there.st_dev == stat.st_dev && there.st_ino == stat.st_ino).then(|| PathFile::of(path, stat))
}

/// How a file that still has a name is found again: under the one that it was opened by, under another of the
/// same folder, by its handle, or under another name nearby. `None` where it has no name any more.
fn found(path: &str, stat: &Stat, fd: Option<BorrowedFd<'_>>) -> Result<Option<PathFile>, Obstacle> {
    if let Some(file) = located(path, stat) {
        return Ok(Some(file));
    }
    let gone = path.trim_end_matches(DELETED);
    if of_process(gone, stat) {
        // A file of a process that has ended: one like it is made for a moment.
        return Ok(Some(PathFile { removed: Some(RemovedNode::default()), ..PathFile::of(gone, stat) }));
    }
    if stat.st_nlink == 0 {
        return Ok(None);
    }
    // A name that is no text is there, but can't be written down.
    let opened_as = (path.ends_with(DELETED) || !path.contains(char::REPLACEMENT_CHARACTER)).then_some(gone);
    let opened_as = opened_as.map(str::to_owned);
    let mut handled = None;
    if let Some((kind, bytes)) = fd.and_then(|fd| torpor_sys::fd::handle_of(fd).ok()) {
        let handle = Some(FileHandle { kind, bytes });
        let file = PathFile { handle, opened_as: opened_as.clone(), ..PathFile::of(gone, stat) };
        if let Ok(found) = unnamed::by_handle(&file, libc::O_PATH) {
            // The kernel may know a name. Asked before any folder is read, of which who watches it would hear.
            let name = std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
            if let Some(file) = name.to_str().and_then(|name| located(name, stat)) {
                return Ok(Some(PathFile { opened_as, ..file }));
            }
            handled = Some(file);
        }
    }
    if let Some(file) = beside(gone, stat) {
        return Ok(Some(PathFile { opened_as, ..file }));
    }
    if handled.is_some() {
        return Ok(handled);
    }
    // Not every file system has handles (an overlay), and some are not mounted any more.
    match nearby(gone, (stat.st_dev, stat.st_ino)).and_then(|other| located(&other, stat)) {
        Some(file) => Ok(Some(PathFile { opened_as, ..file })),
        None if path.ends_with(DELETED) && fd.is_some_and(was_of_lower_layer) => Ok(None),
        None => Err(refusal::unreachable(gone)),
    }
}

/// Whether what has lost its name is of an overlay: a removed file of a lower layer keeps its name there, and says so,
/// though nobody can find it by that.
fn was_of_lower_layer(fd: BorrowedFd<'_>) -> bool {
    /// OVERLAYFS_SUPER_MAGIC (include/uapi/linux/magic.h).
    const OVERLAY: u64 = 0x794c_7630;
    rustix::fs::fstatfs(fd).is_ok_and(|fs| fs.f_type as u64 == OVERLAY)
}

/// What stands in the way of finding an open file again that `target` does not lead to.
pub fn refuse_unreachable(target: &str, stat: &Stat, fd: BorrowedFd<'_>) -> Option<Obstacle> {
    found(target, stat, Some(fd)).err()
}

/// How many entries of folders are looked at for another name of a file.
const NEARBY: usize = 10_000;

/// A name of an inode in the folder of `path`, below it, or in or below those above it: as far as a bounded search
/// gets.
pub fn nearby(path: &str, inode: (u64, u64)) -> Option<String> {
    let mut left = NEARBY;
    let mut seen: Option<&std::path::Path> = None;
    for above in std::path::Path::new(path).ancestors().skip(1).filter(|above| above.parent().is_some()) {
        let mut folders = vec![above.to_owned()];
        while let Some(folder) = folders.pop() {
            if seen.is_some_and(|seen| seen == folder) {
                continue;
            }
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                left = left.checked_sub(1)?;
                let Ok(stat) = rustix::fs::lstat(entry.path()) else { continue };
                if (stat.st_dev, stat.st_ino) == inode {
                    return entry.path().to_str().map(str::to_owned);
                }
                if stat.st_dev == inode.0 && FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    folders.push(entry.path());
                }
            }
        }
        seen = Some(above);
    }
    None
}

/// Another name of the same file in the folder where it was opened: so is every POSIX semaphore made, under a
/// name that nobody knows and then by a link.
fn beside(path: &str, stat: &Stat) -> Option<PathFile> {
    use std::os::unix::fs::DirEntryExt;
    let folder = std::path::Path::new(path).parent()?;
    std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| entry.ino() == stat.st_ino)
        .find_map(|entry| located(entry.path().to_str()?, stat))
}

fn of_process(path: &str, stat: &Stat) -> bool {
    let number = path.strip_prefix("/proc/").is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()));
    number && rustix::fs::stat("/proc").is_ok_and(|proc| proc.st_dev == stat.st_dev)
}

/// A file without contents of its own: by its name, or what it takes to make one like it.
fn node(path: &str, stat: &Stat, fd: BorrowedFd<'_>) -> Result<PathFile, Obstacle> {
    if let Some(file) = found(path, stat, Some(fd))? {
        return Ok(file);
    }
    let link = rustix::fs::readlinkat(fd, "", Vec::new());
    let link = link.map_or(String::new(), |l| l.to_string_lossy().into_owned());
    let removed = RemovedNode { device: stat.st_rdev, uid: stat.st_uid, gid: stat.st_gid, link };
    Ok(PathFile { removed: Some(removed), ..PathFile::of(path.trim_end_matches(DELETED), stat) })
}

fn character_device(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    if let Some(pty) = pty::capture(collector, s)? {
        return Ok(FileKind::Pty(Box::new(pty)));
    }
    if collector.in_capsule && refusal::is_terminal(s.stat.st_mode, s.stat.st_rdev) {
        return Ok(FileKind::CapsuleTerminal);
    }
    let rdev = s.stat.st_rdev;
    let obstacle = match device::has_to_be_asked(rdev) {
        true => device::refuse(s.pid, s.target, rdev, s.info, s.dup)?,
        false => refusal::device(s.target, rdev),
    };
    if let Some(obstacle) = obstacle {
        return Err(obstacle);
    }
    let settings = device::settings(rdev, s.dup.as_fd())?;
    Ok(FileKind::Path(PathFile { settings, ..node(s.target, s.stat, s.dup.as_fd())? }))
}

fn refused(s: &Subject<'_>) -> Obstacle {
    refusal::file(s.target, s.stat.st_mode, s.stat.st_rdev).unwrap_or_else(|| refusal::other(s.target))
}

/// A memfd (memfd_create(2)).
pub fn memfd(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let name = s.target.trim_start_matches("/memfd:").trim_end_matches(DELETED).to_owned();
    // A description of our own: looking for what is in it moves the position.
    let file = readable(s).or_else(|_| s.dup.try_clone())?;
    let space = memory::memfd_space(collector, file, name)?;
    Ok(FileKind::SharedMemory { space })
}

/// The working directory or root directory of a process.
pub fn directory(collector: &mut Collector, pid: Pid, link: &str) -> Result<FileId, Obstacle> {
    let target = proc::link(pid, link)?;
    let stat = rustix::fs::stat(format!("/proc/{pid}/{link}")).map_err(io::Error::from)?;
    collector.plain(format!("directory {target} {}:{}", stat.st_dev, stat.st_ino), |_| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(format!("/proc/{pid}/{link}"), flags, Mode::empty()).ok();
        let kind = folder(&target, &stat, fd.as_ref().map(AsFd::as_fd))?;
        // O_PATH: whoever watches the folder is not to hear of it.
        Ok(plain(libc::O_PATH | libc::O_DIRECTORY, kind, &target))
    })
}

/// The executable of a process.
pub fn executable(collector: &mut Collector, pid: Pid) -> Result<FileId, Obstacle> {
    let link = proc::link(pid, "exe")?;
    inode(collector, &link, libc::O_RDONLY, &format!("/proc/{pid}/exe"))
}

/// What `/proc/PID/maps` tells of the file behind a mapping, and how it must be open for that. The name is part of it,
/// because a file system may show one device and inode number for several files (btrfs, overlayfs).
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct MappedFile {
    dev: u64,
    ino: u64,
    flags: i32,
    name: String,
}

/// The files behind mappings, looked at before the processes are stopped: a program has hundreds of libraries, and
/// each takes several calls. Found again by what /proc/PID/maps says of them then, so that one that was replaced or
/// removed meanwhile is not taken for another.
#[derive(Debug, Default)]
pub struct Surveyed {
    files: HashMap<MappedFile, (String, OpenFile)>,
    /// The mappings of each process.
    pub maps: HashMap<Pid, maps::Known>,
}

impl Surveyed {
    pub fn of(pids: &[Pid]) -> Surveyed {
        let mut all = HashMap::new();
        let known = |pid: &Pid| maps::Known::of(*pid).ok().map(|known| (*pid, known));
        let maps: HashMap<Pid, maps::Known> = pids.iter().filter_map(known).collect();
        for (pid, known) in &maps {
            for vma in known.vmas() {
                if vma.shared || !vma.name.starts_with('/') || vma.name.ends_with(DELETED) {
                    continue;
                }
                let key = MappedFile::of(vma, libc::O_RDONLY);
                if all.contains_key(&key) {
                    continue;
                }
                let Ok(file) = named(&memory::map_file_link(*pid, vma)) else { continue };
                let Ok(stat) = rustix::fs::fstat(&file) else { continue };
                if let Some(path) = located(&vma.name, &stat) {
                    let inode = inode_key(&stat, libc::O_RDONLY);
                    all.insert(key, (inode, plain(libc::O_RDONLY, FileKind::Path(path), &vma.name)));
                }
            }
        }
        Surveyed { files: all, maps }
    }
}

impl MappedFile {
    fn of(vma: &Vma, flags: i32) -> MappedFile {
        MappedFile { dev: vma.dev, ino: vma.ino, flags, name: vma.name.clone() }
    }
}

/// The file behind a mapping.
pub fn mapped(collector: &mut Collector, pid: Pid, vma: &Vma) -> Result<Backing, Obstacle> {
    // A shared mapping may be made writable when the file was open for it, also while it is read-only now.
    let writable = || memory::map_file_writable(pid, vma).unwrap_or(false);
    let flags = if vma.shared && (vma.write || writable()) { libc::O_RDWR } else { libc::O_RDONLY };
    // A library has several mappings in each process: its file is opened for the first one.
    let key = MappedFile::of(vma, flags);
    let file = match collector.mapped.get(&key) {
        Some(file) => *file,
        None => {
            let file = match collector.surveyed.files.remove(&key) {
                Some((inode, file)) => collector.plain(inode, |_| Ok(file))?,
                None => inode(collector, &vma.name, flags, &memory::map_file_link(pid, vma))?,
            };
            collector.mapped.insert(key, file);
            file
        }
    };
    Ok(Backing::File { file, offset: vma.offset })
}

/// A description for an inode that is used without a descriptor.
fn inode(collector: &mut Collector, path: &str, flags: i32, link: &str) -> Result<FileId, Obstacle> {
    let file = named(link)?;
    let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
    collector.plain(inode_key(&stat, flags), |collector| {
        let kind = match found(path, &stat, Some(file.as_fd()))? {
            Some(file) => FileKind::Path(file),
            None if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice => {
                return Err(refusal::device_memory(path));
            }
            None => unlinked(collector, path, &stat, || Ok(unnoticed(link)?), false)?,
        };
        Ok(plain(flags, kind, path))
    })
}

/// What a link of /proc leads to, only by its name: opening it would break a lease of the program, or tell whoever
/// watches it.
fn named(link: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// What tells descriptions of inodes apart ([`Collector::plain`]).
fn inode_key(stat: &Stat, flags: i32) -> String {
    format!("inode {}:{} {flags:o}", stat.st_dev, stat.st_ino)
}

fn plain(flags: i32, kind: FileKind, description: &str) -> OpenFile {
    OpenFile { flags, position: 0, owner: (0, 0, 0), kind, description: description.to_owned() }
}
