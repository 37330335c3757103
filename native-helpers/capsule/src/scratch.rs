//! Files on the capsule's own temporary file systems (`/tmp`, `/dev/shm`), which end with a life and
//! must be there in the next.
//!
//! This module knows names, kinds and attributes. At a capture: [`survey`], inside the capsule, while
//! the tree is frozen. At a restore, before the tree is built: [`recreate`], then contents into
//! [`open`]ed files, then [`finish`] (times change with every write). The engine keeps the contents as
//! pages of the image.
//!
//! What an image says is not believed: every path is resolved beneath the file system it names,
//! through no link, so that a forged entry can't reach a file of the host's.

use crate::cgroup::unescape;
use crate::error::{CapsuleError, Errno, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The mount source that marks a file system as the capsule's own: the host's `/tmp` may be a tmpfs
/// too.
pub(crate) const MOUNT_SOURCE: &std::ffi::CStr = c"torpor";
/// More than any application keeps there; a flood of names is refused instead of filling an image.
const ENTRIES_MAX: usize = 100_000;

/// One name on a temporary file system. Folders come before what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScratchEntry {
    /// Absolute, as the application sees it.
    #[serde(with = "path_bytes")]
    pub path: PathBuf,
    pub kind: ScratchKind,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified_s: i64,
    pub modified_ns: i64,
}

/// What the name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum ScratchKind {
    Folder,
    /// `inode` tells which open descriptors and mappings are of this file.
    File {
        size: u64,
        inode: u64,
    },
    /// Another name of an earlier file.
    HardLink {
        #[serde(with = "path_bytes")]
        to: PathBuf,
    },
    SymbolicLink {
        #[serde(with = "path_bytes")]
        target: PathBuf,
    },
    Fifo,
}

/// Paths need not be UTF-8.
mod path_bytes {
    use super::{OsStrExt, OsStringExt, PathBuf};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(path.as_os_str().as_bytes(), serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Ok(std::ffi::OsString::from_vec(bytes).into())
    }
}

/// What is on the capsule's own file systems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub entries: Vec<ScratchEntry>,
    /// Sockets and device nodes: their owners bring them back, or nobody does.
    pub left_out: Vec<PathBuf>,
}

/// The places where the calling process sees file systems of a capsule's own.
pub fn places() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut places: Vec<PathBuf> = mounts.lines().filter_map(own_place).collect();
    places.dedup();
    places
}

fn own_place(line: &str) -> Option<PathBuf> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = filesystem.split(' ');
    let ours = fields.next() == Some("tmpfs") && fields.next() == MOUNT_SOURCE.to_str().ok();
    ours.then(|| mount.split(' ').nth(4).map(unescape))?
}

/// Lists everything on the capsule's own file systems.
///
/// # Errors
/// When something can't be looked at, or there is too much of it.
pub fn survey() -> Result<Survey> {
    survey_of(&places())
}

fn survey_of(places: &[PathBuf]) -> Result<Survey> {
    let mut survey = Survey::default();
    for place in places {
        let device = fs::metadata(place).map_err(|e| CapsuleError::path("examine", place, e))?.dev();
        let mut walk = Walk { survey: &mut survey, device, files: HashMap::new() };
        walk.folder(place)?;
    }
    Ok(survey)
}

struct Walk<'a> {
    survey: &'a mut Survey,
    device: u64,
    /// The first name of each file that has several.
    files: HashMap<u64, PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path) -> Result<()> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |e: std::io::Error| CapsuleError::path("examine", &path, e)
        };
        let mut names: Vec<PathBuf> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(failed(folder))?;
        names.sort();
        for path in names {
            let found = fs::symlink_metadata(&path).map_err(failed(&path))?;
            // Something mounted there is not ours (the control folder's fall-back place is).
            if found.dev() != self.device {
                continue;
            }
            let kind = match FileType::from_raw_mode(found.mode()) {
                FileType::Directory => ScratchKind::Folder,
                FileType::RegularFile => self.file(&path, &found),
                FileType::Symlink => {
                    ScratchKind::SymbolicLink { target: fs::read_link(&path).map_err(failed(&path))? }
                }
                FileType::Fifo => ScratchKind::Fifo,
                _ => {
                    self.survey.left_out.push(path);
                    continue;
                }
            };
            if self.survey.entries.len() >= ENTRIES_MAX {
                return Err(CapsuleError::Path {
                    step: format!("too many files (over {ENTRIES_MAX}) in the capsule's"),
                    path: folder.to_string_lossy().into_owned(),
                    errno: Errno(libc::E2BIG),
                });
            }
            let is_folder = kind == ScratchKind::Folder;
            self.survey.entries.push(ScratchEntry {
                path: path.clone(),
                kind,
                mode: found.mode() & 0o7777,
                uid: found.uid(),
                gid: found.gid(),
                modified_s: found.mtime(),
                modified_ns: found.mtime_nsec(),
            });
            if is_folder {
                self.folder(&path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, found: &fs::Metadata) -> ScratchKind {
        if found.nlink() > 1 {
            if let Some(first) = self.files.get(&found.ino()) {
                return ScratchKind::HardLink { to: first.clone() };
            }
            self.files.insert(found.ino(), path.to_owned());
        }
        ScratchKind::File { size: found.size(), inode: found.ino() }
    }
}

/// Makes all entries anew; files get their size and no contents.
///
/// # Errors
/// When an entry lies outside of the capsule's own file systems or can't be made.
pub fn recreate(entries: &[ScratchEntry]) -> Result<()> {
    let roots = Roots::open(&places())?;
    entries.iter().try_for_each(|entry| roots.make(entry))
}

/// Opens a recreated file for its contents.
///
/// # Errors
/// See [`recreate`].
pub fn open(entry: &ScratchEntry) -> Result<OwnedFd> {
    Roots::open(&places())?.open_file(&entry.path)
}

/// Sets times, last of all; also permissions, because a folder may be read-only.
///
/// # Errors
/// See [`recreate`].
pub fn finish(entries: &[ScratchEntry]) -> Result<()> {
    let roots = Roots::open(&places())?;
    // From the inside out: making a file changes its folder's time.
    entries.iter().rev().try_for_each(|entry| roots.finish(entry))
}

struct Roots(Vec<(PathBuf, OwnedFd)>);

impl Roots {
    fn open(places: &[PathBuf]) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |place: &PathBuf| match rustix::fs::open(place, flags, Mode::empty()) {
            Ok(root) => Ok((place.clone(), root)),
            Err(errno) => Err(CapsuleError::path("open", place, errno)),
        };
        places.iter().map(open).collect::<Result<_>>().map(Self)
    }

    /// The entry's folder, opened through no link, and its last name.
    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p std::ffi::OsStr)> {
        let outside =
            || CapsuleError::path("outside of the capsule's own file systems:", path, Errno(libc::EXDEV));
        let (root, inside) = self
            .0
            .iter()
            .find_map(|(place, root)| Some((root, path.strip_prefix(place).ok()?)))
            .ok_or_else(outside)?;
        if !inside.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(outside());
        }
        let (Some(folder), Some(name)) = (inside.parent(), inside.file_name()) else { return Err(outside()) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        beneath(root, folder, OFlags::PATH | OFlags::DIRECTORY)
            .map(|folder| (folder, name))
            .map_err(|e| CapsuleError::path("open the folder of", path, e))
    }

    fn open_file(&self, path: &Path) -> Result<OwnedFd> {
        let (folder, name) = self.parent(path)?;
        beneath(&folder, Path::new(name), OFlags::RDWR).map_err(|e| CapsuleError::path("open", path, e))
    }

    fn make(&self, entry: &ScratchEntry) -> Result<()> {
        let (folder, name) = self.parent(&entry.path)?;
        // A program can only become that of a process where somebody may execute it (prctl(2), PR_SET_MM).
        let private = Mode::from_raw_mode(0o600 | entry.mode & 0o111);
        let made = match &entry.kind {
            ScratchKind::Folder => rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o700)),
            ScratchKind::File { size, .. } => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                rustix::fs::openat(&folder, name, flags, private)
                    .and_then(|file| rustix::fs::ftruncate(&file, *size))
            }
            ScratchKind::HardLink { to } => {
                let (first, first_name) = self.parent(to)?;
                rustix::fs::linkat(&first, first_name, &folder, name, AtFlags::empty())
            }
            ScratchKind::SymbolicLink { target } => rustix::fs::symlinkat(target, &folder, name),
            ScratchKind::Fifo => rustix::fs::mknodat(&folder, name, FileType::Fifo, private, 0),
        };
        made.map_err(|e| CapsuleError::path("make anew", &entry.path, e))
    }

    fn finish(&self, entry: &ScratchEntry) -> Result<()> {
        let (folder, name) = self.parent(&entry.path)?;
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = (rustix::fs::Uid::from_raw(entry.uid), rustix::fs::Gid::from_raw(entry.gid));
        let finish = || -> rustix::io::Result<()> {
            rustix::fs::chownat(&folder, name, Some(uid), Some(gid), no_follow)?;
            if !matches!(entry.kind, ScratchKind::SymbolicLink { .. }) {
                // After the owner, whose change clears set-user-id bits. The name is no link: it was
                // made here, and nobody else is in the capsule yet.
                rustix::fs::chmodat(
                    &folder,
                    name,
                    Mode::from_raw_mode(entry.mode & 0o7777),
                    AtFlags::empty(),
                )?;
            }
            let modified = Timespec { tv_sec: entry.modified_s, tv_nsec: entry.modified_ns };
            let times = Timestamps { last_access: modified, last_modification: modified };
            rustix::fs::utimensat(&folder, name, &times, no_follow)
        };
        finish().map_err(|e| CapsuleError::path("set the attributes of", &entry.path, e))
    }
}

fn beneath(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Whether a path is on one of the capsule's own file systems, as seen by the calling process.
pub fn contains(path: &Path) -> bool {
    let device = |p: &Path| rustix::fs::statat(CWD, p, AtFlags::empty()).ok().map(|s| s.st_dev);
    let on = device(path);
    on.is_some() && places().iter().any(|place| device(place) == on)
}

#[cfg(test)]
mod tests;
