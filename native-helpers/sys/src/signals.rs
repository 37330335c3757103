//! Signal masks, and the rseq registration that glibc makes for every thread.

use std::io;
use std::mem::MaybeUninit;

/// Signals blocked for as long as this lives.
#[derive(Debug)]
pub struct Blocked {
    before: libc::sigset_t,
}

/// Blocks every signal of this thread.
pub fn block_all() -> io::Result<Blocked> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are written by the calls before they are read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        if libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Blocked { before: before.assume_init() })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: `before` is the mask that the kernel gave us.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// Ends glibc's rseq registration of this thread: the kernel would write to its memory after that has
/// been unmapped. For a forked child that never returns to the C library.
pub fn forget_rseq() {
    const UNREGISTER: i32 = 1;
    const SIGNATURE: u32 = 0x5305_3053;
    // SAFETY: the symbols, where the C library has them, are a ptrdiff_t and an unsigned int (rseq in
    // glibc 2.35 and later); the area they describe lies at that offset from the thread pointer.
    unsafe {
        let offset = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()).cast::<isize>();
        if offset.is_null() {
            return;
        }
        let thread_pointer: usize;
        std::arch::asm!("mov {}, fs:0", out(reg) thread_pointer);
        let area = thread_pointer.wrapping_add_signed(*offset);
        // The registered length is 32 in every glibc so far, also where __rseq_size says less.
        libc::syscall(libc::SYS_rseq, area, 32, UNREGISTER, SIGNATURE);
    }
}

/// Gives these signals their default effect on this process.
pub fn reset(signals: &[i32]) {
    for signal in signals {
        // SAFETY: SIG_DFL is a valid disposition for any signal that has one.
        unsafe { libc::signal(*signal, libc::SIG_DFL) };
    }
}

/// Makes these signals be ignored by this process.
pub fn ignore(signals: &[i32]) {
    for signal in signals {
        // SAFETY: SIG_IGN is a valid disposition for any signal that has one.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}
