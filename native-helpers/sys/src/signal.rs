//! The wish to stop: SIGTERM and SIGINT become a flag to look at and a descriptor to wait for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static WAKE: OnceLock<OwnedFd> = OnceLock::new();

/// Made by [`stop_request`].
#[derive(Debug, Clone, Copy)]
pub struct StopRequest {
    wake: BorrowedFd<'static>,
}

impl StopRequest {
    /// True once SIGTERM or SIGINT has arrived.
    pub fn flag(self) -> &'static AtomicBool {
        &REQUESTED
    }

    pub fn is_set(self) -> bool {
        REQUESTED.load(Ordering::Relaxed)
    }

    /// Readable once one has arrived, and for ever after.
    pub fn descriptor(self) -> BorrowedFd<'static> {
        self.wake
    }
}

/// Takes SIGTERM and SIGINT over for this process. System calls that wait are interrupted (no SA_RESTART),
/// so that whoever loops around them gets to look at the flag.
///
/// # Errors
/// What eventfd(2) or sigaction(2) say.
pub fn stop_request() -> io::Result<StopRequest> {
    if WAKE.get().is_none() {
        let fd = rustix::event::eventfd(
            0,
            rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK,
        )?;
        // Set once: a second caller finds it above.
        let _ = WAKE.set(fd);
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: all-zero is a valid sigaction: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as extern "C" fn(i32) as usize;
        // SAFETY: `note` only does what signal-safety(7) allows, and `action` outlives the call.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let wake = WAKE.get().ok_or(io::ErrorKind::Other)?.as_fd();
    Ok(StopRequest { wake })
}

extern "C" fn note(_signal: i32) {
    REQUESTED.store(true, Ordering::Relaxed);
    let Some(fd) = WAKE.get() else { return };
    let one = 1u64.to_ne_bytes();
    // SAFETY: errno is this thread's; write(2) reads the 8 bytes, and the interrupted code must not see the
    // errno of a write that it did not make.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len());
        *errno = before;
    }
}
