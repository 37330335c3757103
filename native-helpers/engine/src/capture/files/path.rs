//! Files, directories and devices of the file system, with and without a name.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FileType, Stat};

use super::super::{collect::Collector, memory, refusal};
use super::{Subject, pipe, pty};
use crate::blocker::Obstacle;
use crate::model::{Backing, FileId, FileKind, OpenFile, PathFile, Pid, Space};
use crate::proc;
use crate::proc::maps::Vma;

const DELETED: &str = " (deleted)";
/// `TMPFILE` bit of O_TMPFILE, without O_DIRECTORY.
const O_TMPFILE_BIT: i32 = 0o20000000;

/// Captures what a path stands for.
pub fn capture(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    if s.info.flags & libc::O_PATH != 0
        && let Some(file) = located(s.target, s.stat)
    {
        return Ok(FileKind::Path(file));
    }
    let kind = FileType::from_raw_mode(s.stat.st_mode);
    match kind {
        FileType::RegularFile => regular(collector, s),
        FileType::Directory => match located(s.target, s.stat) {
            Some(file) => Ok(FileKind::Path(file)),
            None => Ok(FileKind::UnlinkedDirectory {
                path: s.target.trim_end_matches(DELETED).to_owned(),
                mode: s.stat.st_mode & 0o7777,
                uid: s.stat.st_uid,
                gid: s.stat.st_gid,
            }),
        },
        FileType::Fifo => pipe::fifo(s, named(s.target, s.stat)?),
        FileType::CharacterDevice => device(collector, s),
        FileType::Symlink => Ok(FileKind::Path(named(s.target, s.stat)?)),
        _ => Err(refused(s)),
    }
}

fn regular(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    if let Some(file) = located(s.target, s.stat).or_else(|| linked(s.target, s.stat)) {
        return Ok(FileKind::Path(file));
    }
    unlinked(collector, s.target, s.stat, || Ok(readable(s)?), s.info.flags & O_TMPFILE_BIT != 0)
}

/// A descriptor of the same inode that can be read, whatever the description's own mode is.
fn readable(s: &Subject<'_>) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    Ok(File::open(format!("/proc/self/fd/{}", s.dup.as_raw_fd()))?.into())
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
    let space =
        collector.inode_space((stat.st_dev, stat.st_ino), file, size, || Space::FileContent { size })?;
    Ok(FileKind::Unlinked {
        space,
        path: target.trim_end_matches(DELETED).to_owned(),
        size,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        tmpfile: tmpfile || target.contains("/#"),
    })
}

/// The path file when `path` still leads to this very inode.
fn located(path: &str, stat: &Stat) -> Option<PathFile> {
    let there = rustix::fs::lstat(path).ok()?;
    (there.st_dev == stat.st_dev && there.st_ino == stat.st_ino).then(|| path_file(path, stat))
}

/// The path file of an inode whose last known name is gone, while it has another one in the same folder: so is
/// every POSIX semaphore made, under a name that nobody knows and then by a link.
fn linked(target: &str, stat: &Stat) -> Option<PathFile> {
    if stat.st_nlink == 0 {
        return None;
    }
    let folder = Path::new(target.trim_end_matches(DELETED)).parent()?;
    std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| entry.ino() == stat.st_ino)
        .find_map(|entry| located(entry.path().to_str()?, stat))
}

fn named(path: &str, stat: &Stat) -> Result<PathFile, Obstacle> {
    located(path, stat).ok_or_else(|| refusal::unlinked_special(path.trim_end_matches(DELETED)))
}

fn path_file(path: &str, stat: &Stat) -> PathFile {
    PathFile {
        path: path.to_owned(),
        mode: stat.st_mode,
        dev: stat.st_dev,
        ino: stat.st_ino,
        size: stat.st_size as u64,
        mtime_ns: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
    }
}

fn device(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    if let Some(pty) = pty::capture(collector, s)? {
        return Ok(FileKind::Pty(Box::new(pty)));
    }
    if collector.in_capsule && refusal::is_terminal(s.stat.st_mode, s.stat.st_rdev) {
        return Ok(FileKind::CapsuleTerminal);
    }
    match refusal::device(s.target, s.stat.st_rdev) {
        None => Ok(FileKind::Path(named(s.target, s.stat)?)),
        Some(obstacle) => Err(obstacle),
    }
}

fn refused(s: &Subject<'_>) -> Obstacle {
    refusal::file(s.target, s.stat.st_mode, s.stat.st_rdev).unwrap_or_else(|| refusal::other(s.target))
}

/// A memfd (memfd_create(2)).
pub fn memfd(collector: &mut Collector, s: &Subject<'_>) -> Result<FileKind, Obstacle> {
    let name = s.target.trim_start_matches("/memfd:").trim_end_matches(DELETED).to_owned();
    let space = memory::memfd_space(collector, s.dup.as_fd().try_clone_to_owned()?, name)?;
    Ok(FileKind::SharedMemory { space })
}

/// The working directory or root directory of a process.
pub fn directory(collector: &mut Collector, pid: Pid, link: &str) -> Result<FileId, Obstacle> {
    let target = proc::link(pid, link)?;
    let stat = rustix::fs::stat(format!("/proc/{pid}/{link}")).map_err(io::Error::from)?;
    collector.plain(format!("directory {target} {}:{}", stat.st_dev, stat.st_ino), |_| {
        let kind = match located(&target, &stat) {
            Some(file) => FileKind::Path(file),
            None => FileKind::UnlinkedDirectory {
                path: target.trim_end_matches(DELETED).to_owned(),
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
            },
        };
        Ok(plain(libc::O_RDONLY | libc::O_DIRECTORY, kind, &target))
    })
}

/// The executable of a process.
pub fn executable(collector: &mut Collector, pid: Pid) -> Result<FileId, Obstacle> {
    let link = proc::link(pid, "exe")?;
    inode(collector, &link, libc::O_RDONLY, || File::open(format!("/proc/{pid}/exe")))
}

/// The file behind a mapping.
pub fn mapped(collector: &mut Collector, pid: Pid, vma: &Vma) -> Result<Backing, Obstacle> {
    // A shared mapping may be written when the file was open for it, also while it is read-only now.
    let flags = if vma.shared && (vma.write || vma.has("mw")) { libc::O_RDWR } else { libc::O_RDONLY };
    let file = inode(collector, &vma.name, flags, || memory::map_file(pid, vma))?;
    Ok(Backing::File { file, offset: vma.offset })
}

/// A description for an inode that is used without a descriptor.
fn inode(
    collector: &mut Collector,
    path: &str,
    flags: i32,
    open: impl FnOnce() -> io::Result<File>,
) -> Result<FileId, Obstacle> {
    let file = open()?;
    let meta = file.metadata()?;
    let key = format!("inode {}:{} {flags:o}", meta.dev(), meta.ino());
    collector.plain(key, |collector| {
        let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
        let kind = match located(path, &stat) {
            Some(file) => FileKind::Path(file),
            None if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice => {
                return Err(refusal::device_memory(path));
            }
            None => match linked(path, &stat) {
                Some(file) => FileKind::Path(file),
                None => unlinked(collector, path, &stat, || Ok(file.into()), false)?,
            },
        };
        Ok(plain(flags, kind, path))
    })
}

fn plain(flags: i32, kind: FileKind, description: &str) -> OpenFile {
    OpenFile { flags, position: 0, owner: (0, 0, 0), kind, description: description.to_owned() }
}
