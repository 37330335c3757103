//! Image files in a folder: allocated in one call, written without a name, and linked in whole and durable.
//!
//! A file made with O_TMPFILE (open(2)) has no name until it is complete, so that a helper which is killed
//! leaves nothing behind. Where the file system can't do that, a hidden temporary name and a rename.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: there is no such folder; create it or name another")]
    NoFolder { path: PathBuf },
    #[error("{path} is not a folder")]
    NotAFolder { path: PathBuf },
    #[error("{path} is read-only")]
    ReadOnly { path: PathBuf },
    #[error("{path} exists already; images are never overwritten")]
    Exists { path: PathBuf },
    #[error("no room for {needed} bytes in {path}; free some space or choose another store")]
    NoRoom { path: PathBuf, needed: u64 },
    #[error("{path} is not the path of a file")]
    NoName { path: PathBuf },
    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

/// The place where an image is going to be: a folder that was opened early, and a name in it.
#[derive(Debug)]
pub struct ImagePlace {
    folder: OwnedFd,
    name: String,
    path: PathBuf,
}

impl ImagePlace {
    /// Opens the folder of `path` and checks that nothing is there under its name.
    pub fn open(path: &Path) -> Result<ImagePlace, StoreError> {
        let no_name = || StoreError::NoName { path: path.to_owned() };
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(no_name)?.to_owned();
        let parent = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let folder =
            rustix::fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| match e {
                    rustix::io::Errno::NOENT => StoreError::NoFolder { path: parent.to_owned() },
                    rustix::io::Errno::NOTDIR => StoreError::NotAFolder { path: parent.to_owned() },
                    e => StoreError::Io { what: "opening", path: parent.to_owned(), source: e.into() },
                })?;
        let place = ImagePlace { folder, name, path: path.to_owned() };
        match rustix::fs::statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(StoreError::Exists { path: path.to_owned() }),
            Err(_) => Ok(place),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file and allocates `bound` bytes for it.
    pub fn create(&self, bound: u64) -> Result<NewImage<'_>, StoreError> {
        let mode = Mode::RUSR | Mode::WUSR;
        let base = OFlags::RDWR | OFlags::CLOEXEC;
        let attempts = [OFlags::TMPFILE | OFlags::DIRECT, OFlags::TMPFILE];
        let unnamed =
            attempts.iter().find_map(|f| rustix::fs::openat(&self.folder, ".", base | *f, mode).ok());
        let (file, temporary) = match unnamed {
            Some(fd) => (File::from(fd), None),
            None => {
                let temporary = format!(".{}.{}.tmp", self.name, std::process::id());
                let fd =
                    rustix::fs::openat(&self.folder, &temporary, base | OFlags::CREATE | OFlags::EXCL, mode)
                        .map_err(|e| match e {
                            rustix::io::Errno::ROFS => StoreError::ReadOnly { path: self.path.clone() },
                            rustix::io::Errno::NOSPC => {
                                StoreError::NoRoom { path: self.path.clone(), needed: bound }
                            }
                            e => self.io("creating", e.into()),
                        })?;
                (File::from(fd), Some(temporary))
            }
        };
        let image = NewImage { place: self, file, temporary, committed: false };
        match rustix::fs::fallocate(&image.file, FallocateFlags::empty(), 0, bound) {
            // A file system that can't allocate ahead: the room is found out while writing.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(image),
            Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG) => {
                Err(StoreError::NoRoom { path: self.path.clone(), needed: bound })
            }
            Err(e) => Err(self.io("allocating room for", e.into())),
        }
    }

    fn io(&self, what: &'static str, source: io::Error) -> StoreError {
        StoreError::Io { what, path: self.path.clone(), source }
    }
}

/// An image file that is not there yet; dropped before [`NewImage::commit`], it never was.
#[derive(Debug)]
pub struct NewImage<'a> {
    place: &'a ImagePlace,
    pub file: File,
    temporary: Option<String>,
    committed: bool,
}

impl NewImage<'_> {
    /// Cuts the file to its real length, makes it durable and gives it its name.
    pub fn commit(mut self, len: u64) -> Result<(), StoreError> {
        let place = self.place;
        self.file.set_len(len).map_err(|e| place.io("cutting", e))?;
        self.file.sync_all().map_err(|e| place.io("syncing", e))?;
        let exists = || StoreError::Exists { path: place.path.clone() };
        let named = match &self.temporary {
            None => link_in(&self.file, place),
            Some(temporary) => rustix::fs::renameat_with(
                &place.folder,
                temporary,
                &place.folder,
                &place.name,
                RenameFlags::NOREPLACE,
            ),
        };
        named.map_err(
            |e| if e == rustix::io::Errno::EXIST { exists() } else { place.io("naming", e.into()) },
        )?;
        self.committed = true;
        rustix::fs::fsync(&place.folder).map_err(|e| place.io("syncing the folder of", e.into()))
    }
}

impl Drop for NewImage<'_> {
    fn drop(&mut self) {
        if let (false, Some(temporary)) = (self.committed, &self.temporary) {
            let _ = rustix::fs::unlinkat(&self.place.folder, temporary, AtFlags::empty());
        }
    }
}

fn link_in(file: &File, place: &ImagePlace) -> rustix::io::Result<()> {
    rustix::fs::linkat(file, "", &place.folder, &place.name, AtFlags::EMPTY_PATH).or_else(|e| {
        if e == rustix::io::Errno::EXIST {
            return Err(e);
        }
        // Without CAP_DAC_READ_SEARCH.
        let own = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        rustix::fs::linkat(CWD, own, &place.folder, &place.name, AtFlags::SYMLINK_FOLLOW)
    })
}
