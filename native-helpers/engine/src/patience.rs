//! Waiting for a thread to stop or to end, as long as one is willing to, while a program stands still.

use std::io;
use std::time::Duration;

use torpor_sys::ptrace::{self, Wait};
use torpor_sys::ticks::Ticks;

/// How often whoever waits gets to look whether to go on waiting.
const TICK: Duration = Duration::from_millis(10);
/// The same where the kernel refuses the timer, each time by a sleep.
const NAP: Duration = Duration::from_micros(50);

/// The waits of one thread of ours that belong together.
#[derive(Debug)]
pub struct Patience(Option<Ticks>);

impl Patience {
    pub fn new() -> Patience {
        Patience(Ticks::every(TICK).ok())
    }

    /// The thread's next stop or end; `None` where a while has passed without.
    ///
    /// # Errors
    /// ECHILD where it is nobody that can be waited for.
    pub fn wait(&self, tid: i32) -> io::Result<Option<Wait>> {
        if self.0.is_some() {
            return ptrace::wait_until_interrupted(tid);
        }
        let event = ptrace::try_wait(tid)?;
        if event.is_none() {
            std::thread::sleep(NAP);
        }
        Ok(event)
    }
}
