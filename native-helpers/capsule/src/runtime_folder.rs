//! A capsule's runtime folder, `<run>/capsules/<ID>/`: who owns an id, and what lies there.
//!
//! ```text
//! lock          held (flock) by init for as long as the capsule lives
//! capsule.json  once the program runs        exit.json  once it has ended
//! attach.sock   the terminal                 init.sock  questions to init (root only)
//! init.log      init's own messages          output.log what a program without terminal printed
//! ctl/          seen inside the capsule; the agent listens on ctl/control.sock, the server of a
//!               private display on ctl/display.sock
//! ```
//!
//! The lock is what makes an id exclusive: it dies with its holders, so no crash can leave it
//! behind, and no PID has to be trusted. All of it happens through descriptors, because inside the
//! capsule's mount namespace the folder's path may be hidden.

use crate::error::{CapsuleError, Errno, Result};
use crate::spec::CapsuleId;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const LOCK: &str = "lock";
pub const CAPSULE_JSON: &str = "capsule.json";
pub const EXIT_JSON: &str = "exit.json";
pub const ATTACH_SOCKET: &str = "attach.sock";
pub const INIT_SOCKET: &str = "init.sock";
pub const INIT_LOG: &str = "init.log";
pub const OUTPUT_LOG: &str = "output.log";
pub const OUTPUT_LOG_OLD: &str = "output.log.1";
pub const CONTROL_FOLDER: &str = "ctl";
pub const CONTROL_SOCKET: &str = "control.sock";
/// Where viewers of a private display connect, in [`CONTROL_FOLDER`].
pub const DISPLAY_SOCKET: &str = "display.sock";

/// The folder of all capsules.
pub fn capsules_folder(run_folder: &Path) -> PathBuf {
    run_folder.join("capsules")
}

/// The folder of one capsule.
pub fn folder_of(run_folder: &Path, id: &CapsuleId) -> PathBuf {
    capsules_folder(run_folder).join(id.as_str())
}

/// A claimed folder. Dropping it lets go of the id unless a forked process holds it too.
#[derive(Debug)]
pub struct RuntimeFolder {
    path: PathBuf,
    folder: OwnedFd,
    lock: OwnedFd,
}

impl RuntimeFolder {
    /// Takes the id: creates the folder, or cleans what an ended capsule of the same id left.
    ///
    /// # Errors
    /// [`CapsuleError::InUse`] when a capsule of that id is starting or running.
    pub fn claim(run_folder: &Path, id: &CapsuleId) -> Result<Self> {
        let all = capsules_folder(run_folder);
        create_folder(&all, 0o755)?;
        let all = all.canonicalize().map_err(|e| CapsuleError::path("find the folder", &all, e))?;
        let path = all.join(id.as_str());
        // A reader's probe holds the lock for an instant: being refused once means little.
        for _ in 0..20 {
            match Self::try_claim(&path)? {
                Some(claimed) => {
                    claimed.clean()?;
                    return Ok(claimed);
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(CapsuleError::InUse { id: id.to_string() })
    }

    fn try_claim(path: &Path) -> Result<Option<Self>> {
        create_folder(path, 0o700)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(CapsuleError::path("open the folder", path, errno)),
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = match rustix::fs::openat(&folder, LOCK, flags, Mode::from_raw_mode(0o600)) {
            Ok(lock) => lock,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(CapsuleError::path("open the lock in", path, errno)),
        };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        // Between opening and locking, a cleaner may have removed the folder: then this lock
        // guards a file that nobody else will ever see.
        let here = rustix::fs::statat(CWD, path.join(LOCK), AtFlags::SYMLINK_NOFOLLOW);
        let ours =
            rustix::fs::fstat(&lock).map_err(|e| CapsuleError::path("examine the lock in", path, e))?;
        Ok(here.is_ok_and(|s| (s.st_dev, s.st_ino) == (ours.st_dev, ours.st_ino)).then(|| Self {
            path: path.to_owned(),
            folder,
            lock,
        }))
    }

    /// Removes what an earlier life left. `ctl/` stays: the agent may be listening there already.
    fn clean(&self) -> Result<()> {
        for name in [CAPSULE_JSON, EXIT_JSON, ATTACH_SOCKET, INIT_SOCKET, INIT_LOG, OUTPUT_LOG] {
            self.unlink(name);
        }
        let control = self.path.join(CONTROL_FOLDER);
        create_folder(&control, 0o755)?;
        for name in [OUTPUT_LOG, OUTPUT_LOG_OLD, DISPLAY_SOCKET] {
            let _ = fs::remove_file(control.join(name));
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn control_folder(&self) -> PathBuf {
        self.path.join(CONTROL_FOLDER)
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The descriptors that must stay open for the claim to hold.
    pub fn descriptors(&self) -> [i32; 2] {
        [self.folder.as_raw_fd(), self.lock.as_raw_fd()]
    }

    /// A path that leads into the folder from whatever mount namespace this process is in.
    pub fn path_through_descriptor(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()))
    }

    pub fn unlink(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.folder, name, AtFlags::empty());
    }

    /// Opens a file of the folder for appending.
    pub fn open_log(&self, name: &str) -> Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.folder, name, flags, Mode::from_raw_mode(0o600))
            .map_err(|e| CapsuleError::path("open the log", self.path.join(name), e))
    }

    /// Writes a JSON file so that a reader sees all of it or none.
    pub fn write_json(&self, name: &str, value: &impl serde::Serialize) -> Result<()> {
        let failed = |errno: Errno| CapsuleError::path("write", self.path.join(name), errno);
        let mut text = serde_json::to_vec(value).map_err(|_| failed(Errno(libc::EINVAL)))?;
        text.push(b'\n');
        let temporary = format!(".{name}.tmp");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let write = || -> std::io::Result<()> {
            let file = rustix::fs::openat(&self.folder, &temporary, flags, Mode::from_raw_mode(0o600))?;
            std::io::Write::write_all(&mut fs::File::from(file), &text)?;
            Ok(rustix::fs::renameat(&self.folder, &temporary, &self.folder, name)?)
        };
        write().map_err(|error| {
            self.unlink(&temporary);
            failed(error.into())
        })
    }

    /// For the caller, after a guardian that may or may not have been able to clean up.
    pub fn remove_if_left(&self) {
        if self.path.exists() {
            self.remove();
        }
    }

    /// Removes the folder and all in it. Ends with the lock, so that nobody claims a half-removed
    /// folder.
    pub fn remove(&self) {
        if let Err(error) = remove_folder(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the capsule's folder could not be removed");
        }
    }
}

fn remove_folder(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == LOCK {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(path.join(LOCK))?;
    fs::remove_dir(path)
}

fn create_folder(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|e| CapsuleError::path("create the folder", path, e))
}

/// Connects to a socket of a capsule's folder. A socket's address holds 107 bytes; a descriptor's
/// path is short whatever the folder's.
///
/// # Errors
/// Those of opening and connecting.
pub fn connect(folder: &Path, socket: &str) -> std::io::Result<std::os::unix::net::UnixStream> {
    let opened = fs::File::open(folder)?;
    std::os::unix::net::UnixStream::connect(format!("/proc/self/fd/{}/{socket}", opened.as_raw_fd()))
}

/// Whether some process holds the lock of a capsule's folder.
pub fn is_held(folder: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(folder.join(LOCK), flags, Mode::empty())
        .is_ok_and(|lock| rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> CapsuleId {
        CapsuleId::new(name).unwrap()
    }

    #[test]
    fn an_id_has_one_owner() {
        let run = tempfile::tempdir().unwrap();
        let first = RuntimeFolder::claim(run.path(), &id("a")).unwrap();
        assert!(is_held(first.path()));
        let second = RuntimeFolder::claim(run.path(), &id("a"));
        assert!(matches!(second, Err(CapsuleError::InUse { .. })), "{second:?}");
        let path = first.path().to_owned();
        drop(first);
        assert!(!is_held(&path));
        RuntimeFolder::claim(run.path(), &id("a")).unwrap();
    }

    #[test]
    fn a_new_life_starts_with_a_clean_folder_but_keeps_the_agents_socket() {
        let run = tempfile::tempdir().unwrap();
        let first = RuntimeFolder::claim(run.path(), &id("a")).unwrap();
        first.write_json(EXIT_JSON, &1).unwrap();
        let socket = first.control_folder().join(CONTROL_SOCKET);
        fs::write(&socket, "").unwrap();
        let exit = first.path().join(EXIT_JSON);
        assert!(exit.exists());
        drop(first);
        let second = RuntimeFolder::claim(run.path(), &id("a")).unwrap();
        assert!(!exit.exists() && socket.exists());
        second.remove();
        assert!(!second.path().exists());
    }
}
