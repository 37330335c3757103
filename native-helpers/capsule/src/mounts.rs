//! What the capsule sees of the file system: the host's, with the few places replaced that belong
//! to one life of one application.
//!
//! | place | is |
//! | --- | --- |
//! | `/proc` | of the capsule's PID namespace |
//! | `/dev/pts`, `/dev/ptmx` | a devpts instance of its own, so that the terminal is `/dev/pts/0` |
//! | `/dev/shm`, `/tmp` | empty tmpfs (`/tmp` on request the host's) |
//! | `/dev/mqueue` | of the capsule's IPC namespace, where the host has the folder |
//! | `/run/torpor-capsule` | the runtime folder's `ctl/`: the control socket's path is the same in each life |
//!
//! `/run/torpor-capsule` is created on the host (an empty folder) because a mount needs a place;
//! where the host's root is read-only the control folder is `/dev/shm/torpor-capsule` instead.

use crate::error::{CapsuleError, Errno, Result};
use crate::spec::TemporaryFiles;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use std::ffi::CStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Where an application finds the files of its capsule: the control socket, and the log of its output. The second
/// where the first can't be made.
pub const CONTROL_FOLDERS: [&str; 2] = ["/run/torpor-capsule", "/dev/shm/torpor-capsule"];

/// What came of it.
pub struct Mounted {
    /// Where `ctl/` is inside.
    pub control_folder: Option<PathBuf>,
    pub notes: Vec<String>,
}

/// Builds the capsule's view in the calling process' fresh mount namespace.
pub fn build(control_folder: &Path, temporary_files: TemporaryFiles) -> Result<Mounted> {
    let mut notes = Vec::new();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|errno| CapsuleError::step("make the capsule's mounts private", errno))?;
    // Opened now: the mounts below may hide its path. Opened here: a bind mount's source must
    // belong to this mount namespace.
    let control = rustix::fs::open(
        control_folder,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )
    .map_err(|errno| CapsuleError::path("open the control folder", control_folder, errno))?;

    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_new(c"proc", "/proc", quiet, None)?;
    mount_terminals()?;
    redirect_ptmx()?;

    if Path::new("/dev/shm").is_dir() {
        mount_scratch("/dev/shm")?;
    } else {
        notes.push("this machine has no /dev/shm: POSIX shared memory will not work".into());
    }
    if Path::new("/dev/mqueue").is_dir() && mount_new(c"mqueue", "/dev/mqueue", quiet, None).is_err() {
        notes.push("no POSIX message queues of its own".into());
    }
    if temporary_files == TemporaryFiles::Private {
        if Path::new("/tmp").is_dir() {
            mount_scratch("/tmp")?;
        } else {
            notes.push("this machine has no /tmp".into());
        }
    }

    let source = PathBuf::from(format!("/proc/self/fd/{}", control.as_raw_fd()));
    let control_folder = CONTROL_FOLDERS
        .into_iter()
        .find(|point| bind_folder(&source, Path::new(point)).is_ok())
        .map(PathBuf::from);
    if control_folder.is_none() {
        notes.push("no place for the control socket: the application can't ask for a checkpoint".into());
    }
    Ok(Mounted { control_folder, notes })
}

fn bind_folder(source: &Path, point: &Path) -> std::io::Result<()> {
    match fs::create_dir(point) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    Ok(mount_bind(source, point)?)
}

/// Terminals of the capsule's own, writable for the group `tty` (5 everywhere) as on any system. In a
/// user namespace that has no such group the kernel refuses the option.
fn mount_terminals() -> Result<()> {
    let mount_with =
        |options| mount_new(c"devpts", "/dev/pts", MountFlags::NOSUID | MountFlags::NOEXEC, Some(options));
    mount_with(c"newinstance,ptmxmode=0666,mode=620,gid=5").or_else(|error| match error {
        CapsuleError::Step { errno: Errno(libc::EINVAL), .. } => {
            mount_with(c"newinstance,ptmxmode=0666,mode=620")
        }
        error => Err(error),
    })
}

/// A host's `/dev/ptmx` may be a device node; a program that opens it must get a terminal of this
/// instance. Where it is a link to `pts/ptmx` it already does.
fn redirect_ptmx() -> Result<()> {
    match fs::symlink_metadata("/dev/ptmx") {
        Ok(found) if found.file_type().is_char_device() => mount_bind("/dev/pts/ptmx", "/dev/ptmx")
            .map_err(|errno| CapsuleError::path("redirect", "/dev/ptmx", errno)),
        _ => Ok(()),
    }
}

/// A temporary file system whose contents belong to the application's state ([`crate::scratch`]).
fn mount_scratch(point: &str) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount_from(crate::scratch::MOUNT_SOURCE, c"tmpfs", point, flags, Some(c"mode=1777"))
}

fn mount_new(kind: &CStr, point: &str, flags: MountFlags, options: Option<&CStr>) -> Result<()> {
    mount_from(kind, kind, point, flags, options)
}

fn mount_from(
    source: &CStr,
    kind: &CStr,
    point: &str,
    flags: MountFlags,
    options: Option<&CStr>,
) -> Result<()> {
    mount(source, point, kind, flags, options).map_err(|errno| {
        let step = format!("mount {} on {point}", kind.to_string_lossy());
        match errno {
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => CapsuleError::NotPermitted {
                step,
                right: "the right to mount (CAP_SYS_ADMIN, and a container that does not mask /proc)".into(),
                errno: errno.into(),
                remedy: String::new(),
            },
            errno => CapsuleError::step(step, errno),
        }
    })
}
