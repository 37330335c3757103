//! Makes what has no name any more: files, folders and nodes, under the name that they had, or one beside it
//! where that is taken; the names go again once everything is open.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, StatVfsMountFlags, Timespec, Timestamps, Uid, XattrFlags,
};

use crate::model::{FileMarks, PathFile};

const O_TMPFILE: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Names that were made, and for what.
#[derive(Debug, Default)]
pub struct Unnamed {
    /// Names to remove, and whether they are folders.
    names: Vec<(String, bool)>,
    /// Folders by the path that they had, and by their inodes where these are known; nodes by their inodes.
    folders: HashMap<String, String>,
    inodes: HashMap<(u64, u64), String>,
    nodes: HashMap<(u64, u64), String>,
    /// Folders that something is made in for a moment, with the times that they had.
    times: HashMap<String, Timestamps>,
    /// Folders in mounts that are read-only, each once more in one that is not.
    twins: HashMap<String, OwnedFd>,
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        self.remove_names();
    }
}

impl Unnamed {
    pub fn remove_names(&mut self) {
        // The innermost first.
        for (path, directory) in std::mem::take(&mut self.names).into_iter().rev() {
            let _ = remove(&self.writable(&path), directory);
        }
        self.folders.clear();
        self.inodes.clear();
        self.nodes.clear();
        // Nothing was changed in them, as far as anybody else is concerned.
        for (folder, times) in std::mem::take(&mut self.times) {
            let folder = self.writable(&format!("{folder}/."));
            let _ = rustix::fs::utimensat(rustix::fs::CWD, folder, &times, AtFlags::empty());
        }
        self.twins.clear();
    }

    /// Removes the name of the file that was made last, so that the next one can have it.
    pub fn remove_last(&mut self) -> io::Result<()> {
        self.names.pop().map_or(Ok(()), |(path, directory)| remove(&self.writable(&path), directory))
    }

    /// Whether a name that was made is in a mount that is read-only: what it leads to is opened by that name.
    pub fn is_read_only(&self, path: &str) -> bool {
        self.twins.contains_key(parent(path))
    }

    /// Where something with this path can be made and removed.
    fn writable(&self, path: &str) -> String {
        match (self.twins.get(parent(path)), path.rsplit_once('/')) {
            (Some(twin), Some((_, name))) => format!("/proc/self/fd/{}/{name}", twin.as_raw_fd()),
            _ => path.to_owned(),
        }
    }

    /// The name that was made last.
    pub fn last(&self) -> Option<&str> {
        self.names.last().map(|(path, _)| path.as_str())
    }

    /// Takes note of a new name, before it is there.
    fn will_make(&mut self, path: &str, directory: bool) {
        let folder = parent(path);
        let own = self.names.iter().any(|(name, is_folder)| *is_folder && name == folder);
        if !own
            && !self.times.contains_key(folder)
            && let Ok(stat) = rustix::fs::stat(folder)
        {
            let time = |tv_sec: i64, ns: u64| Timespec { tv_sec, tv_nsec: ns as i64 };
            let times = Timestamps {
                last_access: time(stat.st_atime, stat.st_atime_nsec),
                last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
            };
            self.times.insert(folder.to_owned(), times);
        }
        if !self.twins.contains_key(folder)
            && rustix::fs::statvfs(folder).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
            && let Ok(name) = std::ffi::CString::new(folder)
            && let Ok(twin) = torpor_sys::mounts::writable_twin(&name)
        {
            self.twins.insert(folder.to_owned(), twin);
        }
        self.names.push((path.to_owned(), directory));
    }

    /// A regular file, open for both directions. `flags` are those of the description that it is made for:
    /// an O_TMPFILE one is made with them and comes second.
    pub fn file(&mut self, path: &str, flags: i32, tmpfile: bool) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
        let path = self.placed(path)?;
        let folder = parent(&path);
        let mode = Mode::RUSR | Mode::WUSR;
        if tmpfile && flags & O_TMPFILE != 0 {
            let kept = libc::O_ACCMODE | libc::O_SYNC | libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOATIME;
            let folder = std::ffi::CString::new(folder)?;
            let fd = torpor_sys::fd::open(&folder, flags & kept | libc::O_TMPFILE, 0o600)?;
            return Ok((super::files::reopen(fd.as_fd(), libc::O_RDWR)?, Some(fd)));
        }
        if tmpfile {
            let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
            return Ok((rustix::fs::open(folder, flags, mode)?, None));
        }
        let path = free_name(&path);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        self.will_make(&path, false);
        Ok((rustix::fs::open(self.writable(&path), flags, mode)?, None))
    }

    /// Gives a file that has other names one more, for a moment.
    pub fn name(&mut self, file: BorrowedFd<'_>, path: &str) -> io::Result<String> {
        let number = format!("/proc/self/fd/{}", file.as_raw_fd());
        let path = free_name(&self.placed(path)?);
        self.will_make(&path, false);
        rustix::fs::linkat(rustix::fs::CWD, number, rustix::fs::CWD, &path, AtFlags::SYMLINK_FOLLOW)?;
        Ok(path)
    }

    /// A folder; the path is where it is for now. `inode` tells folders of the same name, where it is known.
    pub fn folder(
        &mut self,
        path: &str,
        inode: (u64, u64),
        mode: u32,
        uid: u32,
        gid: u32,
    ) -> io::Result<String> {
        let known = if inode == (0, 0) { None } else { self.inodes.get(&inode).cloned() };
        let others = |made: &String| self.inodes.values().any(|other| other == made);
        let made = match known.or_else(|| self.folders.get(path).filter(|made| !others(made)).cloned()) {
            Some(made) => made,
            None => {
                let free = free_name(&self.placed(path)?);
                self.make_folder(path, free)?
            }
        };
        if inode != (0, 0) {
            self.inodes.insert(inode, made.clone());
        }
        let writable = self.writable(&made);
        rustix::fs::chown(&writable, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        rustix::fs::chmod(&writable, Mode::from_raw_mode(mode))?;
        Ok(made)
    }

    /// A FIFO, device, symbolic link or socket; the path is where it is for now.
    pub fn node(&mut self, file: &PathFile) -> io::Result<String> {
        let key = (file.dev, file.ino);
        if let Some(made) = self.nodes.get(&key) {
            return Ok(made.clone());
        }
        let node = file.removed.clone().unwrap_or_default();
        let path = free_name(&self.placed(&file.path)?);
        let kind = FileType::from_raw_mode(file.mode);
        let mode = Mode::from_raw_mode(file.mode & 0o7777);
        self.will_make(&path, false);
        let writable = self.writable(&path);
        if kind == FileType::Symlink {
            rustix::fs::symlink(&node.link, &writable)?;
        } else {
            rustix::fs::mknodat(rustix::fs::CWD, &writable, kind, mode, node.device)?;
        }
        self.nodes.insert(key, path.clone());
        let owner = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
        rustix::fs::chownat(rustix::fs::CWD, &writable, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
        if kind != FileType::Symlink {
            rustix::fs::chmod(&writable, mode)?;
        }
        Ok(path)
    }

    /// The path with the folders above it there: those that are gone too are made as well.
    fn placed(&mut self, path: &str) -> io::Result<String> {
        let Some((folder, name)) = path.rsplit_once('/') else { return Ok(path.to_owned()) };
        if folder.is_empty() {
            return Ok(path.to_owned());
        }
        if let Some(made) = self.folders.get(folder) {
            return Ok(format!("{made}/{name}"));
        }
        if Path::new(folder).is_dir() {
            return Ok(path.to_owned());
        }
        let free = free_name(&self.placed(folder)?);
        let made = self.make_folder(folder, free)?;
        Ok(format!("{made}/{name}"))
    }

    fn make_folder(&mut self, path: &str, free: String) -> io::Result<String> {
        self.will_make(&free, true);
        rustix::fs::mkdir(self.writable(&free), Mode::RWXU)?;
        self.folders.insert(path.to_owned(), free.clone());
        Ok(free)
    }
}

/// Opens a file by its handle, through any mount of its file system.
pub fn by_handle(file: &PathFile, flags: i32) -> io::Result<OwnedFd> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "it is not there any more, under any name");
    let handle = file.handle.as_ref().ok_or_else(gone)?;
    for mount in crate::proc::mount_points(file.dev)? {
        let Ok(mount) = std::ffi::CString::new(mount) else { continue };
        let flags = flags & !libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let fd = torpor_sys::fd::open_by_handle(&mount, handle.kind, &handle.bytes, flags);
        // Something else may be mounted there by now, with files of its own.
        if let Ok(fd) = fd
            && super::files::inode(&fd).is_ok_and(|inode| inode == (file.dev, file.ino))
        {
            return Ok(fd);
        }
    }
    Err(gone())
}

/// Sets times and extended attributes, once the contents are there.
pub fn mark(fd: BorrowedFd<'_>, marks: &FileMarks) -> io::Result<()> {
    for (name, value) in &marks.attributes {
        rustix::fs::fsetxattr(fd, name.as_str(), value, XattrFlags::empty())?;
    }
    let Some((access, change)) = marks.times else { return Ok(()) };
    const SECOND: i64 = 1_000_000_000;
    let time = |ns: i64| Timespec { tv_sec: ns.div_euclid(SECOND), tv_nsec: ns.rem_euclid(SECOND) };
    rustix::fs::futimens(fd, &Timestamps { last_access: time(access), last_modification: time(change) })?;
    Ok(())
}

fn remove(path: &str, directory: bool) -> io::Result<()> {
    if directory { std::fs::remove_dir(path) } else { std::fs::remove_file(path) }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("/", |(f, _)| if f.is_empty() { "/" } else { f })
}

/// The path itself when it is free, else one beside it.
fn free_name(path: &str) -> String {
    if rustix::fs::lstat(path).is_err() {
        return path.to_owned();
    }
    (0..).map(|n| format!("{path}.torpor{n}")).find(|p| rustix::fs::lstat(p).is_err()).unwrap_or_default()
}
