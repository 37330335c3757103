//! Waiting for what the kernel is about to do, while a program stands still.
//!
//! The shortest sleep takes 50 µs and more (the timer's slack, and a processor that has to be woken), most of what is
//! waited for a tenth of that: so it is looked for again at once a few times. To offer the processor to others instead
//! (sched_yield(2)) is no way: on a busy machine that takes tens of milliseconds.

use std::time::Duration;

/// How often it is looked for at once: some 20 µs.
const LOOKS: u32 = 40;
const SHORTEST: Duration = Duration::from_micros(10);
const LONGEST: Duration = Duration::from_micros(200);

/// One waiting, in short naps that get longer.
#[derive(Debug, Default)]
pub struct Nap {
    looks: u32,
    next: Option<Duration>,
}

impl Nap {
    pub fn rest(&mut self) {
        if self.looks < LOOKS {
            self.looks += 1;
            std::hint::spin_loop();
            return;
        }
        let nap = self.next.unwrap_or(SHORTEST);
        std::thread::sleep(nap);
        self.next = Some((nap * 2).min(LONGEST));
    }
}
