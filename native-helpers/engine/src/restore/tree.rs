//! The processes of a tree that is being built, as the helper sees them.

use std::io;
use std::time::{Duration, Instant};

use torpor_sys::clone::{Forked, fork_with_tid};
use torpor_sys::ptrace::{self, Wait};

use super::build::{Build, STAGE_LIMIT};
use super::plan::Planned;
use super::{RestoreError, resume, runner};
use crate::model::{Pid, Process, Siginfo, SystemState};
use crate::proc::stat::Stat;

/// The processes being made.
pub struct Tree<'a> {
    state: &'a SystemState,
    tops: Vec<Pid>,
    stand_ins: Vec<Pid>,
    seized: Vec<Pid>,
    /// What could not be had again, but harms nobody.
    pub notes: Vec<String>,
}

impl<'a> Tree<'a> {
    pub fn new(state: &'a SystemState) -> Tree<'a> {
        Tree { state, tops: Vec::new(), stand_ins: Vec::new(), seized: Vec::new(), notes: Vec::new() }
    }

    fn living(&self) -> impl Iterator<Item = &'a Process> + use<'a> {
        self.state.processes.iter().filter(|p| p.exit_status.is_none())
    }

    /// Forks the topmost processes; each leaves for the runner at once.
    pub fn fork(&mut self, build: &Build, planned: &Planned) -> Result<(), RestoreError> {
        let blocked = torpor_sys::signals::block_all()?;
        for (pid, list) in &planned.tops {
            if self.outlives_parent(*pid) {
                fork_orphan(build, *pid, *list)?;
                self.tops.push(*pid);
                continue;
            }
            match fork_top(build, *pid, *list) {
                Ok(child) if planned.stand_ins.contains(pid) => self.stand_ins.push(child),
                Ok(child) => self.tops.push(child),
                Err(source) => return Err(RestoreError::Fork { pid: *pid, source }),
            }
        }
        drop(blocked);
        Ok(())
    }

    /// Whether a process gets a signal when its parent ends, which we are about to: it has to be somebody
    /// else's child by then.
    fn outlives_parent(&self, pid: Pid) -> bool {
        let asks = |p: &Process| p.threads.iter().any(|t| t.parent_death_signal != 0);
        self.state.processes.iter().any(|p| p.pid == pid && asks(p))
    }

    /// How a topmost process ended, if one did.
    pub fn ended(&self) -> Option<String> {
        self.tops.iter().find_map(|pid| {
            let stat = Stat::of(*pid).ok();
            match stat {
                Some(stat) if !stat.is_zombie() => None,
                Some(stat) => Some(format!("process {pid}, status {:#x}", stat.exit_code)),
                None => Some(format!("process {pid}")),
            }
        })
    }

    /// Zombies must be such before their parents go on.
    pub fn await_zombies(&self) -> Result<(), RestoreError> {
        let deadline = Instant::now() + STAGE_LIMIT;
        for p in self.state.processes.iter().filter(|p| p.exit_status.is_some()) {
            while Stat::of(p.pid).is_ok_and(|s| !s.is_zombie()) {
                if Instant::now() > deadline {
                    return Err(RestoreError::Stuck { stage: 2 });
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        Ok(())
    }

    pub fn seize(&mut self) -> Result<(), RestoreError> {
        for p in self.living() {
            resume::seize(p).map_err(|source| RestoreError::Resume { pid: p.pid, source })?;
            self.seized.push(p.pid);
        }
        Ok(())
    }

    pub fn job_states(&self) -> Result<(), RestoreError> {
        for p in self.living() {
            resume::job_state(p).map_err(|source| RestoreError::Resume { pid: p.pid, source })?;
        }
        Ok(())
    }

    pub fn reap_stand_ins(&mut self) {
        for pid in self.stand_ins.drain(..) {
            let _ = ptrace::wait(pid);
        }
    }

    /// Of those that are traced, sends on whom a SIGCONT in its queue has stopped.
    pub fn send_on(&self) {
        let queued = |list: &[Siginfo]| list.iter().any(|s| s.signal() == libc::SIGCONT);
        let stops = |p: &&Process| queued(&p.pending) || p.threads.iter().any(|t| queued(&t.pending));
        for p in self.living().filter(|p| self.seized.contains(&p.pid)).filter(stops) {
            resume::send_on(p);
        }
    }

    /// What is set through /proc from outside.
    pub fn write_outside_attributes(&self) {
        for p in self.living() {
            // Always: our own has been inherited.
            let _ = std::fs::write(format!("/proc/{}/oom_score_adj", p.pid), p.oom_score_adj.to_string());
            if p.autogroup_nice != 0 && p.sid == p.pid {
                let _ = std::fs::write(format!("/proc/{}/autogroup", p.pid), p.autogroup_nice.to_string());
            }
            if let Some(filter) = p.coredump_filter {
                let _ = std::fs::write(format!("/proc/{}/coredump_filter", p.pid), format!("{filter:#x}"));
            }
        }
    }

    pub fn stop(&self) -> Result<(), RestoreError> {
        for p in self.living() {
            resume::stop(p).map_err(|source| RestoreError::Resume { pid: p.pid, source })?;
        }
        Ok(())
    }

    pub fn arrive(&self, region: (u64, u64)) -> Result<(), RestoreError> {
        // Who shares a descriptor table goes before its owner, who waits for all users of it.
        let owners = |own: bool| self.living().filter(move |p| (p.files_owner == p.pid) == own);
        for p in owners(false).chain(owners(true)) {
            resume::arrive(p, region).map_err(|source| RestoreError::Resume { pid: p.pid, source })?;
        }
        Ok(())
    }

    pub fn let_go(self: &mut Tree<'a>) {
        for p in self.living() {
            resume::release(p);
        }
        self.seized.clear();
        self.tops.clear();
    }

    /// Leaves nothing of a failed restore. What we trace is killed; the rest has read end-of-file at its
    /// barrier and ends by itself; our own children are reaped.
    pub fn abandon(&mut self) {
        for p in self.living().filter(|p| self.seized.contains(&p.pid)) {
            resume::abandon(p);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        for pid in self.tops.drain(..).chain(self.stand_ins.drain(..)) {
            while Instant::now() < deadline {
                match ptrace::try_wait(pid) {
                    Ok(Some(Wait::Exited(_) | Wait::Killed(_))) | Err(_) => break,
                    Ok(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        }
    }
}

/// Makes a process with a chosen PID that leaves for the runner.
fn fork_top(build: &Build, pid: Pid, list: u64) -> io::Result<Pid> {
    // SAFETY: the child does nothing but enter the runner.
    match unsafe { fork_with_tid(pid) }? {
        Forked::Child => {
            torpor_sys::signals::forget_rseq();
            // SAFETY: we are the forked child, the region and the list were prepared for it.
            unsafe { runner::enter(build.region.base(), list) }
        }
        Forked::Parent(child) => Ok(child),
    }
}

/// The same by way of a child that ends: it falls to init, or to whoever takes in our orphans.
fn fork_orphan(build: &Build, pid: Pid, list: u64) -> Result<(), RestoreError> {
    let failed = |source| RestoreError::Fork { pid, source };
    // SAFETY: the child makes a child of its own and ends.
    match unsafe { fork_with_tid(0) }.map_err(failed)? {
        Forked::Child => {
            let outcome = fork_top(build, pid, list);
            torpor_sys::clone::exit_now(outcome.map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |_| 0))
        }
        Forked::Parent(between) => match ptrace::wait(between).map_err(failed)? {
            Wait::Exited(0) => Ok(()),
            Wait::Exited(errno) => Err(failed(io::Error::from_raw_os_error(errno))),
            _ => Err(failed(io::Error::other("the process that was to make it was killed"))),
        },
    }
}
