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
    /// Folders that were made for a name.
    folders: Vec<PathBuf>,
    /// By the number of a socket that goes by its name no longer: its file.
    files: HashMap<RawFd, OwnedFd>,
}

impl Drop for Names {
    fn drop(&mut self) {
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
        let name = fitting(name);
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let folder = file.map_or("/", |f| f.folder.as_str());
        let full = Path::new(folder).join(path);
        if let Some(parent) = full.parent() {
            self.make_folders(parent)?;
        }
        let exists = stays && file.is_none_or(|f| f.exists);
        let aside = make_way(&full, exists)?;
        let bound = within(folder, || sys::bind(fd, name)).and_then(|()| match file {
            Some(file) if exists => own(&full, file),
            None if exists => Ok(()),
            _ => self.lose(fd, &full, file.filter(|_| stays)),
        });
        if let Some(aside) = aside {
            std::fs::rename(aside, &full)?;
        }
        bound
    }

    /// Takes its name from a socket that was bound to it; its file may have another one.
    fn lose(&mut self, fd: BorrowedFd<'_>, full: &Path, file: Option<&SocketFile>) -> io::Result<()> {
        let held = rustix::fs::open(full, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let moved = file.and_then(|file| Some((Path::new(file.moved.as_ref()?), file)));
        match moved {
            Some((to, file)) if is_free(to)? && std::fs::rename(full, to).is_ok() => own(to, file)?,
            _ => std::fs::remove_file(full)?,
        }
        self.files.insert(fd.as_raw_fd(), held?);
        Ok(())
    }

    /// An address that leads to this socket alone, whoever else has had its name.
    pub fn address(&self, socket: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
        match self.files.get(&socket.as_raw_fd()) {
            Some(file) => {
                let path = format!("/proc/self/fd/{}\0", file.as_raw_fd());
                [&(libc::AF_UNIX as u16).to_ne_bytes()[..], path.as_bytes()].concat()
            }
            None => fitting(name).to_vec(),
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
}

/// getsockname(2) tells a name that fills its room with a NUL behind it, with which it does not fit again.
pub fn fitting(name: &[u8]) -> &[u8] {
    &name[..name.len().min(size_of::<libc::sockaddr_un>())]
}

/// Makes way: a socket file that nobody uses goes, anything else stays, or stands aside for a moment, where this says.
fn make_way(path: &Path, exists: bool) -> io::Result<Option<PathBuf>> {
    if rustix::fs::lstat(path).is_err() {
        return Ok(None);
    }
    if exists {
        if !is_left_over(path)? {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        return std::fs::remove_file(path).map(|()| None);
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".torpor-aside");
    let aside = PathBuf::from(aside);
    std::fs::rename(path, &aside)?;
    Ok(Some(aside))
}

/// Whether this is the file of a socket that nobody has any more.
fn is_left_over(path: &Path) -> io::Result<bool> {
    let Ok(stat) = rustix::fs::lstat(path) else { return Ok(false) };
    let socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    let used = || {
        diag::unix().map(|all| all.values().any(|u| u.file.is_some_and(|(ino, _)| ino == stat.st_ino as u32)))
    };
    Ok(socket && !used()?)
}

/// Whether a socket's file can have this name.
fn is_free(path: &Path) -> io::Result<bool> {
    Ok(rustix::fs::lstat(path).is_err() || is_left_over(path)?)
}

/// Owner and mode of a socket's file.
fn own(path: &Path, file: &SocketFile) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(file.uid), Some(file.gid))?;
    Ok(rustix::fs::chmod(path, Mode::from_raw_mode(file.mode))?)
}

/// Does something with another working directory, for names that are relative.
pub fn within<T>(folder: &str, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let here = rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::chdir(folder)?;
    let result = act();
    rustix::process::fchdir(here.as_fd())?;
    result
}
