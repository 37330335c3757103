//! Names of unix sockets in the file system: bound where the original was, with its mode and owner, and
//! removed again where the original's name was gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use torpor_sys::socket as sys;

use crate::model::socket::{SocketFile, sun_path};
use crate::proc::diag;

/// What is put right once all sockets are there.
#[derive(Debug, Default)]
pub struct Names {
    /// Names to remove.
    gone: Vec<PathBuf>,
    /// What was in the way, and where it belongs.
    aside: Vec<(PathBuf, PathBuf)>,
    /// Folders that were made for a name.
    folders: Vec<PathBuf>,
}

impl Drop for Names {
    fn drop(&mut self) {
        for path in self.gone.drain(..) {
            let _ = std::fs::remove_file(path);
        }
        for (from, to) in self.aside.drain(..) {
            let _ = std::fs::rename(from, to);
        }
        for folder in self.folders.drain(..).rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

impl Names {
    /// Binds a socket to its name; `file` tells of one in the file system, `stays` whether it keeps it.
    pub fn bind(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &[u8],
        file: Option<&SocketFile>,
        stays: bool,
    ) -> io::Result<()> {
        let path = sun_path(name);
        if path.is_empty() || path[0] == 0 {
            return sys::bind(fd, name);
        }
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let folder = file.map_or("/", |f| f.folder.as_str());
        let full = Path::new(folder).join(path);
        if let Some(parent) = full.parent() {
            self.make_folders(parent)?;
        }
        let exists = stays && file.is_none_or(|f| f.exists);
        self.clear(&full, exists)?;
        within(folder, || sys::bind(fd, name))?;
        if !exists {
            self.gone.push(full);
        } else if let Some(file) = file {
            std::os::unix::fs::lchown(&full, Some(file.uid), Some(file.gid))?;
            rustix::fs::chmod(&full, Mode::from_raw_mode(file.mode)).map_err(io::Error::from)?;
        }
        Ok(())
    }

    fn make_folders(&mut self, folder: &Path) -> io::Result<()> {
        if folder.as_os_str().is_empty() || folder.exists() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make_folders(parent)?;
        }
        std::fs::create_dir(folder)?;
        self.folders.push(folder.to_owned());
        Ok(())
    }

    /// Makes way: a socket file that nobody uses goes, anything else stays, or stands aside for a moment.
    fn clear(&mut self, path: &Path, exists: bool) -> io::Result<()> {
        let Ok(stat) = rustix::fs::lstat(path) else { return Ok(()) };
        let socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        let used = socket
            && diag::unix()?.values().any(|u| u.file.is_some_and(|(ino, _)| ino == stat.st_ino as u32));
        if exists && socket && !used {
            return std::fs::remove_file(path);
        }
        if exists {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(".torpor-aside");
        let aside = PathBuf::from(aside);
        std::fs::rename(path, &aside)?;
        self.aside.push((aside, path.to_owned()));
        Ok(())
    }
}

/// Does something with another working directory, for names that are relative.
pub fn within<T>(folder: &str, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let here = rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::chdir(folder)?;
    let result = act();
    rustix::process::fchdir(here.as_fd())?;
    result
}
