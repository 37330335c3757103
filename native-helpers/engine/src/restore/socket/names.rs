//! Names of unix sockets in the file system: bound where the original was, with its mode and owner, and
//! removed again where the original's name was gone.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
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
    /// By the number of a socket whose name goes again: its file.
    files: HashMap<RawFd, OwnedFd>,
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
            let file = rustix::fs::open(&full, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            self.files.insert(fd.as_raw_fd(), file);
            self.gone.push(full);
        } else if let Some(file) = file {
            std::os::unix::fs::lchown(&full, Some(file.uid), Some(file.gid))?;
            rustix::fs::chmod(&full, Mode::from_raw_mode(file.mode)).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// An address that leads to this socket alone, whoever else has had its name.
    pub fn address(&self, socket: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
        match self.files.get(&socket.as_raw_fd()) {
            Some(file) => {
                let path = format!("/proc/self/fd/{}\0", file.as_raw_fd());
                [&(libc::AF_UNIX as u16).to_ne_bytes()[..], path.as_bytes()].concat()
            }
            None => name.to_vec(),
        }
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
        if self.gone.iter().any(|gone| gone == path) {
            // Of another one of ours that has lost the same name.
            return std::fs::remove_file(path);
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
