//! How hard the calling thread presses for the processor and the disk: harder while an application stands still for it,
//! less while it works behind one that runs.

use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{current_timer_slack, set_current_timer_slack};
use torpor_sys::ids::{RealTime, io_priority, set_io_priority};

/// setpriority(2): the most favourable.
const URGENT: i32 = -20;
/// Behind what people wait for, before what nobody does.
const BACKGROUND: i32 = 5;
/// ioprio_set(2): best effort, the last level. Not idle: where the disk is never that, a capture would never end.
const BACKGROUND_IO: u32 = 2 << 13 | 7;
/// Nanoseconds that a sleep may be late; the default of 50,000 is more than most of our waits.
const PROMPT: u64 = 1;

/// A pace kept until it is dropped. Where the thread may not change it (no CAP_SYS_NICE) nothing changes.
#[derive(Debug)]
pub struct Pace {
    nice: Option<i32>,
    io: Option<u32>,
    slack: Option<u64>,
    real_time: Option<RealTime>,
}

impl Pace {
    /// For the time in which an application stands still.
    pub fn urgent() -> Pace {
        let slack = current_timer_slack().ok().filter(|_| set_current_timer_slack(Some(prompt())).is_ok());
        Pace { nice: set(URGENT), io: None, slack, real_time: None }
    }

    /// For the moments in which all that an application waits for is us. On a busy machine whoever is woken waits for
    /// milliseconds, however urgent, until the one that has the processor has had its share of it; not so a real-time
    /// thread, and we are woken hundreds of times. The lowest one: those that others have come first.
    pub fn immediate() -> Pace {
        let mut pace = Pace::urgent();
        pace.real_time = RealTime::begin().ok();
        pace
    }

    /// For work that an application does not wait for.
    pub fn background() -> Pace {
        let io = io_priority(0).ok().filter(|_| set_io_priority(BACKGROUND_IO).is_ok());
        Pace { nice: set(BACKGROUND), io, slack: None, real_time: None }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.real_time = None;
        if let Some(nice) = self.nice {
            let _ = setpriority_process(None, nice);
        }
        if let Some(io) = self.io {
            let _ = set_io_priority(io);
        }
        if let Some(slack) = self.slack {
            let _ = set_current_timer_slack(std::num::NonZeroU64::new(slack));
        }
    }
}

/// So many bytes in a second and no more, from now on.
#[derive(Debug)]
pub struct Rate {
    bytes_per_second: u64,
    begun: Instant,
}

impl Rate {
    pub fn of(bytes_per_second: u64) -> Rate {
        Rate { bytes_per_second: bytes_per_second.max(1), begun: Instant::now() }
    }

    /// How long whoever has done so many bytes by now has to wait.
    pub fn wait(&self, done: u64) -> Duration {
        self.due(done).saturating_sub(self.begun.elapsed())
    }

    /// When so many may be done at the earliest.
    fn due(&self, done: u64) -> Duration {
        Duration::from_secs_f64(done as f64 / self.bytes_per_second as f64)
    }
}

fn set(nice: i32) -> Option<i32> {
    let before = getpriority_process(None).ok()?;
    setpriority_process(None, nice).ok().map(|()| before)
}

fn prompt() -> std::num::NonZeroU64 {
    std::num::NonZeroU64::new(PROMPT).expect("not zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_what_it_was_afterwards() {
        let before = (getpriority_process(None).unwrap(), current_timer_slack().unwrap());
        let pace = Pace::urgent();
        assert_ne!(current_timer_slack().unwrap(), before.1);
        drop(pace);
        assert_eq!((getpriority_process(None).unwrap(), current_timer_slack().unwrap()), before);
        let before = io_priority(0).unwrap();
        let pace = Pace::background();
        assert_eq!(io_priority(0).unwrap(), BACKGROUND_IO);
        let inherited = std::thread::spawn(|| io_priority(0)).join().unwrap().unwrap();
        assert_eq!(inherited, BACKGROUND_IO);
        drop(pace);
        assert_eq!(io_priority(0).unwrap(), before);
    }

    #[test]
    fn what_is_begun_at_an_immediate_pace_has_an_ordinary_one() {
        use torpor_sys::ids::sched_attr;
        let before = sched_attr(0).unwrap();
        let pace = Pace::immediate();
        if pace.real_time.is_some() {
            assert_eq!(sched_attr(0).unwrap().policy, libc::SCHED_RR as u32);
            let other = std::thread::spawn(|| sched_attr(0)).join().unwrap().unwrap();
            assert_eq!((other.policy, other.nice), (libc::SCHED_OTHER as u32, 0));
        }
        drop(pace);
        let after = sched_attr(0).unwrap();
        assert_eq!((after.policy, after.flags, after.nice), (before.policy, before.flags, before.nice));
    }

    #[test]
    fn a_rate_makes_wait_for_what_is_done_too_early() {
        let rate = Rate::of(50_000_000);
        assert_eq!(rate.due(100_000_000), Duration::from_secs(2));
        assert!(rate.wait(100_000_000_000) > Duration::from_secs(1900));
        assert_eq!(rate.wait(0), Duration::ZERO);
    }
}
