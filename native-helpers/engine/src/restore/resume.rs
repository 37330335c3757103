//! The last step: lets every thread go on where it was, with the region gone.
//!
//! All threads wait at the last barrier. They are stopped there under ptrace; one write opens the barrier
//! for all of them, which is the commit: from then on each would go on by itself, through its prepared
//! signal frame, even if we died (the region would then stay mapped, which harms nobody). While we live,
//! each is watched to the end of its rt_sigreturn, the region is unmapped, and the thread gets its
//! registers exactly as captured, with the kernel's note of an interrupted system call.

use std::io;
use std::time::Duration;

use torpor_sys::arch::USER_CS;
use torpor_sys::ptrace::{self, Wait, user_regs_struct};

use crate::freeze::{self, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, FrozenThread};
use crate::inject::Injector;
use crate::model::{Pid, Process, Registers, Thread};
use crate::proc::{maps, stat::Stat, tree};

const USER_SS: u64 = 0x2b;

/// The register set as ptrace takes it.
pub fn user_registers(r: &Registers) -> user_regs_struct {
    user_regs_struct {
        r15: r.r15,
        r14: r.r14,
        r13: r.r13,
        r12: r.r12,
        rbp: r.rbp,
        rbx: r.rbx,
        r11: r.r11,
        r10: r.r10,
        r9: r.r9,
        r8: r.r8,
        rax: r.rax,
        rcx: r.rcx,
        rdx: r.rdx,
        rsi: r.rsi,
        rdi: r.rdi,
        orig_rax: r.orig_rax,
        rip: r.rip,
        cs: USER_CS,
        eflags: r.eflags,
        rsp: r.rsp,
        ss: USER_SS,
        fs_base: r.fs_base,
        gs_base: r.gs_base,
        ds: 0,
        es: 0,
        fs: 0,
        gs: 0,
    }
}

/// The registers that a captured thread gets: a call with a restart block, which died with the old
/// thread, is made again from its arguments instead.
fn exact(regs: &Registers) -> user_regs_struct {
    let mut regs = user_registers(regs);
    if regs.orig_rax as i64 >= 0 && regs.rax as i64 == ERESTART_RESTARTBLOCK {
        regs.rax = ERESTARTNOHAND as u64;
        // What was left of a sleep has been written where the caller wanted it (nanosleep(2)).
        match regs.orig_rax as i64 {
            libc::SYS_nanosleep if regs.rsi != 0 => regs.rdi = regs.rsi,
            libc::SYS_clock_nanosleep if regs.r10 != 0 => regs.rdx = regs.r10,
            _ => {}
        }
    }
    regs
}

/// The same for a thread that nobody watches: an interrupted call is repeated by going back to it.
pub fn restarted(regs: &user_regs_struct) -> user_regs_struct {
    let mut regs = *regs;
    if regs.orig_rax as i64 >= 0 {
        match regs.rax as i64 {
            freeze::ERESTARTSYS | freeze::ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => {
                regs.rax = regs.orig_rax;
                regs.rip -= 2;
            }
            _ => {}
        }
    }
    regs
}

/// Becomes the tracer of every thread of a process that waits at a barrier.
pub fn seize(process: &Process) -> io::Result<()> {
    let filtered = process.threads.iter().any(|t| t.seccomp != crate::model::Seccomp::None);
    let mut options = ptrace::O_TRACESYSGOOD;
    if filtered {
        options |= ptrace::O_SUSPEND_SECCOMP;
    }
    for thread in &process.threads {
        ptrace::seize(thread.tid, options)?;
    }
    Ok(())
}

/// Stops every seized thread of a process at its barrier.
pub fn stop(process: &Process) -> io::Result<()> {
    for thread in &process.threads {
        ptrace::interrupt(thread.tid)?;
        await_stop(thread.tid)?;
    }
    Ok(())
}

fn await_stop(tid: Pid) -> io::Result<()> {
    loop {
        match ptrace::wait(tid)? {
            Wait::Event { event: ptrace::EVENT_STOP, .. } => return Ok(()),
            Wait::Exited(_) | Wait::Killed(_) => {
                return Err(io::Error::other("it ended before it could resume"));
            }
            _ => ptrace::cont(tid, 0)?,
        }
    }
}

/// Takes every thread of a process from the opened barrier to where it was captured; all are stopped then.
pub fn arrive(process: &Process, region: (u64, u64)) -> io::Result<()> {
    let (leader, others) = process.threads.split_first().ok_or(io::ErrorKind::InvalidData)?;
    // The leader waits for the others, so it comes last.
    for thread in others.iter().chain([leader]) {
        run_to_sigreturn(thread.tid)?;
    }
    if process.leader_exit.is_some() {
        await_end_of_leader(process.pid)?;
    }
    if process.posix_timers.iter().any(|timer| timer.tells_ended_thread(process)) {
        await_end_of_others(process)?;
    }
    let vmas = maps::maps(process.task())?;
    let mut injector = Injector::new(process.task(), &vmas).map_err(io::Error::other)?;
    for thread in others {
        settle(thread)?;
    }
    let frozen = FrozenThread::at(leader.tid, exact(&leader.regs), leader.signal_mask);
    let mut remote = injector.thread(&frozen);
    remote
        .call(libc::SYS_munmap, [region.0, region.1, 0, 0, 0, 0])
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
    remote.finish().map_err(io::Error::other)?;
    // Last of all: nobody makes calls for them any more.
    for thread in &process.threads {
        if let Some((selector, offset, len)) = thread.switches.dispatch {
            let conf = ptrace::DispatchConfiguration { mode: 1, selector, offset, len };
            ptrace::set_dispatch_configuration(thread.tid, &conf)?;
        }
    }
    Ok(())
}

/// A leader that had ended ends again, before the region that it runs in goes.
fn await_end_of_leader(pid: Pid) -> io::Result<()> {
    for _ in 0..10_000 {
        if Stat::of_thread(pid, pid)?.is_zombie() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Err(io::Error::other("its first thread does not end"))
}

/// Threads that were there for the moment only end before the region that they run in goes.
fn await_end_of_others(process: &Process) -> io::Result<()> {
    for _ in 0..10_000 {
        let known = |tid: &Pid| *tid == process.pid || process.threads.iter().any(|t| t.tid == *tid);
        if tree::threads(process.pid)?.iter().all(known) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Err(io::Error::other("a thread that was there for the moment does not end"))
}

fn run_to_sigreturn(tid: Pid) -> io::Result<()> {
    let mut returning = false;
    loop {
        ptrace::cont_to_syscall(tid)?;
        match ptrace::wait(tid)? {
            Wait::Syscall if returning => return Ok(()),
            Wait::Syscall => {
                let regs = ptrace::registers(tid)?;
                returning = regs.orig_rax as i64 == libc::SYS_rt_sigreturn;
            }
            Wait::Exited(_) | Wait::Killed(_) => return Err(io::Error::other("it ended while resuming")),
            Wait::Signal(_) | Wait::Event { .. } => {}
        }
    }
}

/// Stops a thread on its way out of the kernel and gives it its exact registers.
fn settle(thread: &Thread) -> io::Result<()> {
    ptrace::interrupt(thread.tid)?;
    ptrace::cont(thread.tid, 0)?;
    loop {
        match ptrace::wait(thread.tid)? {
            Wait::Event { event: ptrace::EVENT_STOP, .. } => break,
            Wait::Exited(_) | Wait::Killed(_) => return Err(io::Error::other("it ended while resuming")),
            _ => ptrace::cont(thread.tid, 0)?,
        }
    }
    ptrace::set_registers(thread.tid, &exact(&thread.regs))
}

/// Lets a process go: from here it lives by itself.
pub fn release(process: &Process) {
    for thread in &process.threads {
        let _ = ptrace::detach(thread.tid, 0);
    }
}

/// Puts a process that waits at a barrier into the job-control state that it was in (signal(7)): stopped, or
/// continued with its parent yet to be told. It runs on under trace, and stops for good when it is let go
/// (ptrace(2), "Group-stop"). Done while every parent still blocks SIGCHLD and before it sets its disposition,
/// which drops those that come of this.
pub fn job_state(process: &Process) -> io::Result<()> {
    if let Some(signal) = process.stopped {
        // The members of an orphaned group can't be stopped by the terminal's signals any more.
        let done = signal != libc::SIGSTOP && stop_group(process, signal)?;
        if !done {
            stop_group(process, libc::SIGSTOP)?;
        }
    } else if process.continued {
        stop_group(process, libc::SIGSTOP)?;
        torpor_sys::clone::kill(process.pid, libc::SIGCONT)?;
        // Whoever is traced stops once more, to tell of the end of the stop (ptrace(2), PTRACE_EVENT_STOP).
        for thread in &process.threads {
            await_stop(thread.tid)?;
            ptrace::cont(thread.tid, 0)?;
        }
    }
    Ok(())
}

/// Has all threads take part in a stop by `signal`, and run on under trace; false where it had no effect.
fn stop_group(process: &Process, signal: i32) -> io::Result<bool> {
    // One thread takes the signal; any other is told of the stop by the kernel.
    let first = process.threads.first().map_or(process.pid, |t| t.tid);
    torpor_sys::clone::tgkill(process.pid, first, libc::SIGSTOP)?;
    loop {
        match ptrace::wait(first)? {
            Wait::Signal(libc::SIGSTOP) => break,
            Wait::Exited(_) | Wait::Killed(_) => return Err(io::ErrorKind::NotFound.into()),
            _ => ptrace::cont(first, 0)?,
        }
    }
    let mask = ptrace::signal_mask(first)?;
    if signal != libc::SIGSTOP {
        // A signal put in its place is held back where it is blocked.
        ptrace::set_signal_mask(first, !(1 << (signal - 1)))?;
    }
    // Either it stops, or it comes to its next system call.
    ptrace::cont_to_syscall_with(first, signal)?;
    let stopped = loop {
        match ptrace::wait(first)? {
            Wait::Event { event: ptrace::EVENT_STOP, .. } => break true,
            Wait::Syscall => break false,
            Wait::Exited(_) | Wait::Killed(_) => return Err(io::ErrorKind::NotFound.into()),
            _ => ptrace::cont_to_syscall_with(first, 0)?,
        }
    };
    if signal != libc::SIGSTOP {
        ptrace::set_signal_mask(first, mask)?;
    }
    let others = process.threads.iter().map(|t| t.tid).filter(|tid| stopped && *tid != first);
    for tid in others {
        await_stop(tid)?;
        ptrace::cont(tid, 0)?;
    }
    ptrace::cont(first, 0)?;
    Ok(stopped)
}

/// Sends on threads of a process that the kernel has stopped to tell us of a SIGCONT that one of them has queued
/// (ptrace(2), PTRACE_EVENT_STOP).
pub fn send_on(process: &Process) {
    for thread in &process.threads {
        if let Ok(Some(Wait::Event { .. } | Wait::Signal(_))) = ptrace::try_wait(thread.tid) {
            let _ = ptrace::cont(thread.tid, 0);
        }
    }
}

/// Kills a process under trace and takes it out of the process table.
pub fn abandon(process: &Process) {
    let _ = torpor_sys::clone::kill(process.pid, libc::SIGKILL);
    for thread in process.threads.iter().rev() {
        for _ in 0..1000 {
            match ptrace::try_wait(thread.tid) {
                Ok(Some(Wait::Exited(_) | Wait::Killed(_))) | Err(_) => break,
                Ok(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }
}
