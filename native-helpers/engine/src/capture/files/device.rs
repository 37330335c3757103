//! Character devices whose nodes can be opened again, though a number alone does not tell it: consoles, which have
//! settings, and nodes that only become something once a program has made it of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;
use std::time::Duration;

use serde_bytes::ByteBuf;

use super::super::refusal;
use crate::blocker::Obstacle;
use crate::model::Pid;
use crate::model::pty::Settings;
use crate::proc::{self, fdinfo::FdInfo};
use crate::tty;

const TUN: (u32, u32) = (10, 200);
const FUSE: (u32, u32) = (10, 229);
const KDGETMODE: u64 = 0x4b3b;
const VT_GETMODE: u64 = 0x5601;
const KD_TEXT: i32 = 0;

/// Whether what is open there decides, and not only what device it is.
pub fn has_to_be_asked(rdev: u64) -> bool {
    let device = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    device == TUN || device == FUSE || is_console(rdev)
}

/// A virtual console, or what /dev/console stands for (Documentation/admin-guide/devices.txt of the kernel).
fn is_console(rdev: u64) -> bool {
    matches!((rustix::fs::major(rdev), rustix::fs::minor(rdev)), (4, 0..=63) | (5, 1))
}

/// What stands in the way of capturing such a device that is open in `pid`.
///
/// # Errors
/// Where the kernel does not tell.
pub fn refuse(
    pid: Pid,
    target: &str,
    rdev: u64,
    info: &FdInfo,
    fd: &OwnedFd,
) -> io::Result<Option<Obstacle>> {
    if is_console(rdev) {
        return refuse_console(target, fd.as_fd());
    }
    let plain = match (rustix::fs::major(rdev), rustix::fs::minor(rdev)) {
        // Which network it would make an interface in was decided when it was opened.
        TUN => info.field("iff").is_some_and(|name| name.trim().is_empty()) && in_our_network(pid),
        FUSE => is_not_mounted(fd)?,
        _ => false,
    };
    Ok(if plain { None } else { refusal::device(target, rdev) })
}

fn in_our_network(pid: Pid) -> bool {
    let own = std::fs::read_link("/proc/self/ns/net").ok();
    own.is_some_and(|own| proc::link(pid, "ns/net").is_ok_and(|its| own.to_str() == Some(its.as_str())))
}

/// Whether a /dev/fuse belongs to no file system. A read that is too short for any request says so and takes none.
fn is_not_mounted(fd: &OwnedFd) -> io::Result<bool> {
    let fd = fd.try_clone()?;
    let (tell, told) = mpsc::channel();
    // One that is about to be mounted may have whoever asks wait for that (Linux 6.18): not us.
    std::thread::spawn(move || tell.send(rustix::io::read(&fd, &mut [0u8; 1]).err()));
    Ok(told.recv_timeout(Duration::from_millis(200)) == Ok(Some(rustix::io::Errno::PERM)))
}

fn refuse_console(target: &str, fd: BorrowedFd<'_>) -> io::Result<Option<Obstacle>> {
    if tty::controls_somebody(fd)? {
        return Ok(Some(refusal::terminal(target)));
    }
    let Ok(settings) = tty::termios(fd) else {
        // Hung up: nobody can be given such a one.
        return Ok(Some(refusal::terminal(target)));
    };
    if settings.line != 0 {
        return Ok(Some(refusal::line_discipline(target)));
    }
    // A display server has the keyboard and the screen, and is asked when others are to be shown.
    let mut mode = KD_TEXT;
    let graphics = torpor_sys::fd::ioctl_struct(fd, KDGETMODE, &mut mode).is_ok() && mode != KD_TEXT;
    // struct vt_mode: the first byte is who switches, 0 for the kernel (VT_AUTO).
    let mut switching = [0u8; 8];
    let asked = torpor_sys::fd::ioctl_struct(fd, VT_GETMODE, &mut switching).is_ok() && switching[0] != 0;
    Ok((graphics || asked).then(|| refusal::console(target)))
}

/// The settings that a console is to have again; `None` of another device.
///
/// # Errors
/// Where the kernel does not tell.
pub fn settings(rdev: u64, fd: BorrowedFd<'_>) -> io::Result<Option<Settings>> {
    if !is_console(rdev) {
        return Ok(None);
    }
    Ok(Some(Settings { termios: ByteBuf::from(tty::termios(fd)?.bytes()), window: tty::window(fd)? }))
}
