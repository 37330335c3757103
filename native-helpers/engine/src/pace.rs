//! How hard the calling thread presses for the processor: harder while an application stands still for it, less
//! while it works behind one that runs.

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{current_timer_slack, set_current_timer_slack};

/// setpriority(2): the most favourable.
const URGENT: i32 = -20;
/// Behind what people wait for, before what nobody does.
const BACKGROUND: i32 = 5;
/// Nanoseconds that a sleep may be late; the default of 50,000 is more than most of our waits.
const PROMPT: u64 = 1;

/// A pace kept until it is dropped. Where the thread may not change it (no CAP_SYS_NICE) nothing changes.
#[derive(Debug)]
pub struct Pace {
    nice: Option<i32>,
    slack: Option<u64>,
}

impl Pace {
    /// For the time in which an application stands still.
    pub fn urgent() -> Pace {
        let slack = current_timer_slack().ok().filter(|_| set_current_timer_slack(Some(prompt())).is_ok());
        Pace { nice: set(URGENT), slack }
    }

    /// For work that an application does not wait for.
    pub fn background() -> Pace {
        Pace { nice: set(BACKGROUND), slack: None }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        if let Some(nice) = self.nice {
            let _ = setpriority_process(None, nice);
        }
        if let Some(slack) = self.slack {
            let _ = set_current_timer_slack(std::num::NonZeroU64::new(slack));
        }
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
    }
}
