//! A bound for system calls that wait: a timer whose signal interrupts them again and again.
//!
//! wait4(2) has no time limit of its own. To look again and again instead is dear: a thread that spins keeps the
//! processor from the one that it waits for, and one that naps gives its own away to whoever else is there, for
//! milliseconds on a busy machine; who waits in the kernel is woken by what it waits for, and at once.

use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::time::Duration;

use crate::check;

/// While this lives, calls of the thread that made it that wait come back with `EINTR` after each interval, at the
/// latest. More than once, since one signal may come right before the call.
#[derive(Debug)]
pub struct Ticks(libc::timer_t);

impl Ticks {
    /// Starts them for the calling thread.
    ///
    /// # Errors
    /// What timer_create(2) says, `EAGAIN` where the user has too many signals queued.
    pub fn every(interval: Duration) -> io::Result<Ticks> {
        let signal = signal()?;
        // SAFETY: all zeroes are a valid event; what is used of it is set below.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = rustix::thread::gettid().as_raw_nonzero().get();
        let mut timer = MaybeUninit::uninit();
        // SAFETY: both outlive the call, which sets the timer where it succeeds.
        let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr()) };
        check(made.into())?;
        // SAFETY: it was set.
        let ticks = Ticks(unsafe { timer.assume_init() });
        let time = libc::timespec {
            tv_sec: interval.as_secs() as libc::time_t,
            tv_nsec: interval.subsec_nanos().into(),
        };
        let times = libc::itimerspec { it_interval: time, it_value: time };
        // SAFETY: the timer is there, and `times` outlives the call.
        let set = unsafe { libc::timer_settime(ticks.0, 0, &raw const times, std::ptr::null_mut()) };
        check(set.into())?;
        Ok(ticks)
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        // SAFETY: the timer is ours, and deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// The signal that is used for it, with a handler that does nothing, not blocked in this thread.
fn signal() -> io::Result<i32> {
    static HANDLED: OnceLock<()> = OnceLock::new();
    let signal = libc::SIGRTMAX() - 1;
    if HANDLED.get().is_none() {
        // SAFETY: all-zero is a valid sigaction: no flags (SA_RESTART least of all), an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        // SAFETY: `nothing` does nothing, and `action` outlives the call.
        let set = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
        check(set.into())?;
        HANDLED.get_or_init(|| ());
    }
    let mut only = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is made by the first call before the others use it.
    unsafe {
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, only.as_ptr(), std::ptr::null_mut());
    }
    Ok(signal)
}

extern "C" fn nothing(_signal: i32) {}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_wait_that_would_take_for_ever_comes_back() {
        let _alone = crate::tests::alone();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let ticks = Ticks::every(Duration::from_millis(5)).unwrap();
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(crate::ptrace::wait_until_interrupted(child.id() as i32).unwrap(), None);
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        drop(ticks);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
