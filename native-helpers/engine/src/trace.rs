//! How long the steps of an operation take: what `--trace` prints and the benchmarks read.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use torpor_sys::ids;

/// One step that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lap {
    pub name: Cow<'static, str>,
    /// Its length in microseconds.
    pub us: u64,
}

/// What all threads of this process, and those that are over, have spent on processors (clock_gettime(2)).
pub fn processor_time() -> Duration {
    Duration::from_nanos(ids::clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID) as u64)
}

/// Times steps that follow each other.
#[derive(Debug)]
pub struct Stopwatch {
    since: Instant,
    laps: Vec<Lap>,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch { since: Instant::now(), laps: Vec::new() }
    }

    /// Ends a step; the next one begins.
    pub fn lap(&mut self, name: &'static str) {
        let now = Instant::now();
        self.laps.push(Lap { name: name.into(), us: now.duration_since(self.since).as_micros() as u64 });
        self.since = now;
    }

    pub fn laps(self) -> Vec<Lap> {
        self.laps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_follow_each_other() {
        let mut watch = Stopwatch::start();
        watch.lap("first");
        std::thread::sleep(std::time::Duration::from_millis(2));
        watch.lap("second");
        let laps = watch.laps();
        assert_eq!(laps.iter().map(|l| &*l.name).collect::<Vec<_>>(), ["first", "second"]);
        assert!(laps[1].us >= 2000, "{laps:?}");
    }
}
