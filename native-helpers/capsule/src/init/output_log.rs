//! What a program without terminal prints: `output.log`, kept below a size.
//!
//! The file lies in `ctl/`, because the application writes to it directly (a plain file is what a
//! capture handles best, and no reader can block the application), and so its path inside is the
//! same in each life: `/run/torpor-capsule/output.log`. `<folder>/output.log` is a link to it. When
//! it grows beyond [`SIZE_MAX`] it is copied to `output.log.1` and emptied; what is printed between
//! those two steps is lost.

use crate::error::{CapsuleError, Result};
use crate::runtime_folder::{CONTROL_FOLDER, OUTPUT_LOG, OUTPUT_LOG_OLD, RuntimeFolder};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Size at which a log is put aside; together with the old one at most about twice this.
pub const SIZE_MAX: u64 = 8 << 20;
/// How often the size is looked at, in milliseconds.
pub const CHECK_EVERY_MS: i64 = 2_000;

/// Creates the log where the application sees it.
pub fn open(folder: &RuntimeFolder, inside: Option<&Path>, owner: Option<u32>) -> Result<File> {
    let path = match inside {
        Some(inside) => inside.join(OUTPUT_LOG),
        None => folder.path_through_descriptor(CONTROL_FOLDER).join(OUTPUT_LOG),
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let log = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))
        .map_err(|e| CapsuleError::path("open the log", &path, e))?;
    if let Some(uid) = owner {
        let _ = rustix::fs::fchown(&log, Some(rustix::fs::Uid::from_raw(uid)), None);
    }
    let target = format!("{CONTROL_FOLDER}/{OUTPUT_LOG}");
    let _ = rustix::fs::symlinkat(target, folder.as_fd(), OUTPUT_LOG);
    Ok(log.into())
}

/// Puts the log aside when it is too large.
pub fn limit(log: &File, folder: &RuntimeFolder) {
    if log.metadata().is_ok_and(|m| m.len() > SIZE_MAX)
        && let Err(error) = put_aside(log, folder)
    {
        tracing::warn!(%error, "the output log could not be put aside");
    }
}

fn put_aside(log: &File, folder: &RuntimeFolder) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let name = format!("{CONTROL_FOLDER}/{OUTPUT_LOG_OLD}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let old = rustix::fs::openat(folder.as_fd(), &name, flags, Mode::from_raw_mode(0o600))?;
    let mut old = File::from(old);
    // The end is what a reader wants; a burst may have made it far larger.
    let mut at = log.metadata()?.len().saturating_sub(SIZE_MAX);
    let mut chunk = vec![0; 64 << 10];
    loop {
        let length = log.read_at(&mut chunk, at)?;
        if length == 0 {
            break;
        }
        io::Write::write_all(&mut old, &chunk[..length])?;
        at += length as u64;
    }
    rustix::fs::ftruncate(log.as_fd(), 0)?;
    Ok(())
}
