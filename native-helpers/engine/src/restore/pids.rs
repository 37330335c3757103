//! Numbers of processes: those that the tree needs, and free ones.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::RestoreError;
use crate::model::{Pid, SystemState};
use crate::proc::stat::Stat;

/// How long a PID may stay taken by a process that has ended: init reaps orphans only after a while.
pub const REAP_LIMIT: Duration = Duration::from_secs(10);
/// How long one may be taken by a process that lives: on a busy machine most come and go within less.
const PASSING_LIMIT: Duration = Duration::from_secs(1);

/// PIDs for intermediates: not of the tree, and not there now.
pub fn free(state: &SystemState) -> impl FnMut() -> Pid + use<> {
    let used: HashSet<Pid> = state
        .processes
        .iter()
        .flat_map(|p| [p.pid, p.pgid, p.sid].into_iter().chain(p.threads.iter().map(|t| t.tid)))
        .collect();
    let limit = std::fs::read_to_string("/proc/sys/kernel/pid_max")
        .ok()
        .and_then(|t| t.trim().parse::<Pid>().ok())
        .unwrap_or(32768);
    let mut next = limit - 1;
    move || {
        while used.contains(&next) || std::path::Path::new(&format!("/proc/{next}")).exists() {
            next -= 1;
        }
        next -= 1;
        next + 1
    }
}

/// Waits for PIDs that only a zombie still holds, or a process that lives no longer than most.
pub fn await_free(pids: &[Pid]) -> Result<(), RestoreError> {
    let begun = Instant::now();
    // Whoever called us waits for the end of this very process, so that it can't give its number away.
    let own = [std::process::id() as Pid, rustix::thread::gettid().as_raw_nonzero().get()];
    if let Some(pid) = pids.iter().copied().find(|pid| own.contains(pid)) {
        return Err(RestoreError::OwnPid { pid });
    }
    for &pid in pids {
        while let Ok(stat) = Stat::of(pid) {
            let limit = if stat.is_zombie() { REAP_LIMIT } else { PASSING_LIMIT };
            if begun.elapsed() > limit {
                return Err(RestoreError::PidTaken { pid, comm: stat.comm });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_has_a_number_of_the_tree_says_so_at_once() {
        let own = std::process::id() as Pid;
        let begun = Instant::now();
        let error = await_free(&[own]).expect_err("its own number");
        assert_eq!(error.code(), "pid-taken");
        assert!(error.to_string().contains("call it again"), "{error}");
        assert!(begun.elapsed() < REAP_LIMIT);
    }

    #[test]
    fn a_number_that_somebody_passing_has_is_waited_for() {
        let mut passing = std::process::Command::new("sleep").arg("0.2").spawn().expect("sleep");
        let pid = passing.id() as Pid;
        let reaper = std::thread::spawn(move || passing.wait());
        await_free(&[pid]).expect("free once it has ended");
        reaper.join().expect("reaped").expect("waited for");
    }

    #[test]
    fn a_number_that_somebody_keeps_is_refused() {
        let mut keeping = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let error = await_free(&[keeping.id() as Pid]);
        keeping.kill().expect("killed");
        keeping.wait().expect("reaped");
        assert!(matches!(error, Err(RestoreError::PidTaken { comm, .. }) if comm == "sleep"));
    }
}
