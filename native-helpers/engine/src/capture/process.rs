//! The state of one process besides its memory contents and its descriptors' kinds.

use std::collections::HashMap;
use std::io;

use torpor_sys::arch::USER_CS;
use torpor_sys::ids;
use torpor_sys::memory::{Kcmp, kcmp};
use torpor_sys::ptrace;

use super::collect::Collector;
use super::{cgroup, files, keyrings, locks, memory, memory_policy, namespaces, refusal, thread};
use crate::blocker::Obstacle;
use crate::freeze::FrozenProcess;
use crate::inject::{Batch, InjectError, Injector, Remote};
use crate::model::{Descriptor, Folders, Pid, PosixTimer, Process, SignalAction};
use crate::proc::{self, stat::Stat, status::Status};

const LIMITS: u32 = 16;
const MEMBARRIER_GET_REGISTRATIONS: u64 = 1 << 9;

/// Reads a stopped process. `earlier` are the processes read before, to find what it shares with them;
/// `children` are those of its own.
pub fn capture(
    collector: &mut Collector,
    frozen: &FrozenProcess,
    earlier: &[Process],
    parent_in_tree: bool,
    children: &[Pid],
) -> Result<Process, CaptureProcessError> {
    let pid = frozen.pid;
    let stat = &frozen.stat;
    let job = collector.unreported.get(&pid).copied();
    let mut process = Process {
        pid,
        ppid: if parent_in_tree { stat.ppid } else { 0 },
        pgid: stat.pgid,
        sid: stat.sid,
        exit_status: frozen.is_zombie().then_some(stat.exit_code),
        ended_ids: None,
        exit_signal: stat.exit_signal.max(0),
        stopped: frozen.stopped,
        stop_reported: frozen.stopped.is_some() && job.is_some_and(|j| !j.stopped),
        continued: job.is_some_and(|j| j.continued),
        comm: stat.comm.clone(),
        files_owner: pid,
        fs_owner: pid,
        sighand_owner: pid,
        mm_owner: pid,
        mm: None,
        threads: Vec::new(),
        leader_exit: None,
        fds: Vec::new(),
        cwd: None,
        root: None,
        umask: 0o22,
        actions: vec![SignalAction::default(); 64],
        pending: Vec::new(),
        itimers: Vec::new(),
        posix_timers: Vec::new(),
        limits: Vec::new(),
        oom_score_adj: 0,
        personality: 0,
        subreaper: false,
        dumpable: 1,
        thp_disabled: false,
        coredump_filter: None,
        locks: Vec::new(),
        sem_undo: Vec::new(),
        namespaces: Default::default(),
        uts: None,
        own_namespaces: Vec::new(),
        cgroups: Vec::new(),
        login_uid: None,
        autogroup_nice: 0,
        membarrier: 0,
    };
    let Some(leader) = frozen.leader() else {
        process.ended_ids = Status::of(pid).ok().map(|status| (status.uids, status.gids));
        return Ok(process);
    };
    if leader.tid != pid {
        process.leader_exit = Some(stat.exit_code);
    }
    // A leader that has ended has no memory and no descriptors: any living thread shows them.
    let task = leader.tid;
    let status = Status::of(task)?;
    process.umask = status.umask;
    process.thp_disabled = !status.thp_enabled;
    if status.shared_pending != 0 {
        process.pending = thread::siginfos(ptrace::pending_signals(leader.tid, true)?);
    }
    process.oom_score_adj = number(task, "oom_score_adj").unwrap_or(0) as i32;
    process.personality =
        u32::from_str_radix(proc::read(task, "personality").unwrap_or_default().trim(), 16).unwrap_or(0);
    process.login_uid =
        number(task, "loginuid").and_then(|n| u32::try_from(n).ok()).filter(|n| *n != u32::MAX);
    process.autogroup_nice = autogroup_nice(task);
    process.coredump_filter =
        proc::read(task, "coredump_filter").ok().and_then(|t| u32::from_str_radix(t.trim(), 16).ok());

    for other in earlier.iter().filter(|p| p.exit_status.is_none()) {
        let same = |what| kcmp(other.task(), task, what, 0, 0).map(|o| o.is_eq()).unwrap_or(false);
        for (what, owner) in [
            (Kcmp::Vm, &mut process.mm_owner),
            (Kcmp::Files, &mut process.files_owner),
            (Kcmp::Fs, &mut process.fs_owner),
            (Kcmp::Sighand, &mut process.sighand_owner),
        ] {
            if *owner == pid && same(what) {
                *owner = other.pid;
            }
        }
    }

    namespaces::note(collector, frozen, &mut process)?;
    if process.mm_owner != pid {
        let subject = "the process".into();
        collector.block(pid, &stat.comm, subject, refusal::shared_address_space(process.mm_owner))?;
        return Ok(process);
    }
    let vmas = frozen.vmas()?;
    let mut dispatch = HashMap::new();
    for t in &frozen.threads {
        let Some((what, now)) = thread::dispatch(task, t.tid)? else { continue };
        if now {
            let subject = format!("thread {}", t.tid);
            collector.block(pid, &stat.comm, subject, refusal::dispatched())?;
            return Ok(process);
        }
        dispatch.insert(t.tid, what);
    }
    if let Some(t) = frozen.threads.iter().find(|t| t.regs.cs != USER_CS) {
        collector.block(pid, &stat.comm, format!("thread {}", t.tid), refusal::code_32bit())?;
        return Ok(process);
    }
    let mut injector = Injector::new(task, vmas)?;
    for t in &frozen.threads {
        let first = process.threads.first().map(|t| t.switches.clone());
        let mut thread = thread::capture(pid, t, first.as_ref(), &mut injector)?;
        thread.switches.dispatch = dispatch.get(&t.tid).copied();
        thread.personality.take_if(|own| *own == process.personality);
        if keyrings::any(collector) {
            let mut remote = injector.thread(t);
            thread.keyrings = keyrings::of_thread(collector, &mut remote)?;
            remote.finish()?;
        }
        process.threads.push(thread);
    }
    namespaces::note_threads(collector, frozen)?;
    {
        let mut remote = injector.thread(leader);
        let OfMemory { brk, switches, own_segments } = ask_process(&mut remote, &mut process)?;
        if own_segments {
            collector.block(pid, &stat.comm, "the process".into(), refusal::local_segments())?;
        }
        job_reports(&mut remote, children, &mut collector.unreported)?;
        process.limits = limits(task, &mut remote)?;
        let lock_future = memory::lock_future(&mut remote, task, &status)?;
        let policies = memory_policy::of_mappings(&mut remote, vmas)?;
        if let Some(name) = namespaces::not_ours(task, "uts") {
            let names = namespaces::uts_names(&mut remote, task)?;
            process.uts = Some(namespaces::uts(collector, task, name, names)?);
        }
        remote.release_scratch()?;
        remote.finish()?;
        if process.mm_owner == pid {
            let mut mm = memory::describe(collector, pid, task, &Stat::of(task)?, vmas, brk, lock_future)?;
            (mm.deny_write_execute, mm.ksm_merge) = (switches.deny_write_execute, switches.ksm_merge);
            mm.thp_disable = switches.thp_disable;
            mm.policies = policies;
            process.mm = Some(mm);
        }
    }

    if !collector.in_capsule {
        cgroup::note(&mut process, frozen)?;
    }
    process.cwd = Some(files::directory(collector, task, "cwd")?);
    process.root = Some(files::directory(collector, task, "root")?);
    for thread in process.threads.iter_mut().filter(|t| t.tid != task) {
        if kcmp(task, thread.tid, Kcmp::Fs, 0, 0).is_ok_and(|o| o.is_ne()) {
            thread.folders = Some(Folders {
                cwd: files::directory(collector, thread.tid, "cwd")?,
                root: files::directory(collector, thread.tid, "root")?,
                umask: Status::of(thread.tid)?.umask,
            });
        }
    }
    for facts in frozen.descriptors()? {
        let (fd, info) = (facts.fd, &facts.info);
        let close_on_exec = info.flags & libc::O_CLOEXEC != 0;
        match collector.descriptor_with(task, facts) {
            Ok(file) => {
                process.fds.push(Descriptor { fd, file, close_on_exec });
                process.locks.extend(locks::of(info, fd, file));
            }
            Err(obstacle) => {
                let subject = format!("descriptor {fd} → {}", facts.target);
                collector.block(pid, &stat.comm, subject, obstacle)?;
            }
        }
    }
    Ok(process)
}

#[derive(Debug, thiserror::Error)]
pub enum CaptureProcessError {
    #[error(transparent)]
    Inject(#[from] InjectError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
}

/// What a parent could still wait for of a child.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobReport {
    stopped: bool,
    continued: bool,
}

/// Asks a parent, without taking them, for changes of its children's job state that it has not waited for yet. Our own
/// tracing does not show there (waitid(2) of a real parent sees the job-control state only).
fn job_reports(
    remote: &mut Remote<'_>,
    children: &[Pid],
    unreported: &mut HashMap<Pid, JobReport>,
) -> Result<(), InjectError> {
    /// A `siginfo_t` each.
    const ANSWER: u64 = 128;
    const AT_ONCE: usize = 100;
    let options = libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    for some in children.chunks(AT_ONCE) {
        let scratch = remote.scratch()?;
        remote.write(scratch, &vec![0; some.len() * ANSWER as usize])?;
        let mut batch = Batch::default();
        for (child, at) in some.iter().zip((scratch..).step_by(ANSWER as usize)) {
            batch.call(libc::SYS_waitid, [libc::P_PID as u64, *child as u64, at, options as u64, 0, 0]);
        }
        // An error, ECHILD, is of a child of a thread that waits for its own only; then nothing is written.
        remote.run(&batch)?;
        for (child, at) in some.iter().zip((scratch..).step_by(ANSWER as usize)) {
            let [_, code] = remote.read_words(at)?;
            let code = code as i32;
            let report =
                JobReport { stopped: code == libc::CLD_STOPPED, continued: code == libc::CLD_CONTINUED };
            unreported.insert(*child, report);
        }
    }
    Ok(())
}

/// /proc/PID/autogroup: `/autogroup-12 nice 0`.
fn autogroup_nice(pid: Pid) -> i32 {
    let text = proc::read(pid, "autogroup").unwrap_or_default();
    text.trim().rsplit_once("nice ").and_then(|(_, n)| n.parse().ok()).unwrap_or(0)
}

fn number(pid: Pid, name: &str) -> Option<i64> {
    proc::read(pid, name).ok()?.trim().parse().ok()
}

/// What a process tells of its memory.
struct OfMemory {
    brk: u64,
    switches: memory::Switches,
    /// It has a table of segments of its own (modify_ldt(2)).
    own_segments: bool,
}

/// What only the process itself can tell: break, timers, dispositions, flags of prctl.
fn ask_process(remote: &mut Remote<'_>, process: &mut Process) -> Result<OfMemory, InjectError> {
    const ACTION: u64 = 32;
    const INTERVAL: u64 = 32;
    let mut timers = timers(process.task());
    let mut batch = Batch::default();
    let actions = remote.scratch()?;
    // All of them: a default disposition can have flags and a mask too.
    for signal in 1..=64 {
        batch.call(libc::SYS_rt_sigaction, [signal, 0, actions + (signal - 1) * ACTION, 8, 0, 0]);
    }
    let itimers = actions + 64 * ACTION;
    for which in 0..3 {
        batch.call(libc::SYS_getitimer, [which, itimers + which * INTERVAL, 0, 0, 0, 0]);
    }
    let subreaper = itimers + 3 * INTERVAL;
    batch.call(libc::SYS_prctl, [libc::PR_GET_CHILD_SUBREAPER as u64, subreaper, 0, 0, 0, 0]);
    let dumpable = batch.call(libc::SYS_prctl, [libc::PR_GET_DUMPABLE as u64, 0, 0, 0, 0, 0]);
    let brk = batch.call(libc::SYS_brk, [0; 6]);
    // What follows is not known to every kernel.
    let rest = batch.call(libc::SYS_membarrier, [MEMBARRIER_GET_REGISTRATIONS, 0, 0, 0, 0, 0]);
    const READ_LDT: u64 = 0;
    batch.call(libc::SYS_modify_ldt, [READ_LDT, subreaper + 8, 8, 0, 0, 0]);
    memory::ask_switches(&mut batch);
    let mut answers = remote.run(&batch)?;
    let mut newer = answers.split_off(rest).into_iter().map(|answer| answer.unwrap_or(0) as u32);
    let answers = answers.into_iter().collect::<io::Result<Vec<u64>>>();
    let answers = answers.map_err(|source| InjectError::Io { tid: process.task(), source })?;

    let words: Vec<u64> = remote
        .read_vec(actions, (subreaper + 8 - actions) as usize)?
        .chunks_exact(8)
        .map(|w| u64::from_le_bytes(w.try_into().expect("8 bytes")))
        .collect();
    let (dispositions, rest) = words.split_at(64 * ACTION as usize / 8);
    process.actions = dispositions
        .chunks_exact(4)
        .map(|w| SignalAction { handler: w[0], flags: w[1], restorer: w[2], mask: w[3] })
        .collect();
    let ns = |seconds: u64, micros: u64| (seconds * 1_000_000 + micros) * 1000;
    process.itimers =
        rest[..3 * INTERVAL as usize / 8].chunks_exact(4).map(|w| (ns(w[0], w[1]), ns(w[2], w[3]))).collect();
    process.subreaper = rest[3 * INTERVAL as usize / 8] as u32 != 0;
    process.dumpable = answers[dumpable] as u32;
    // Linux 6.3 and later.
    process.membarrier = newer.next().unwrap_or(0);
    // Bytes read: none where there is no table.
    let own_segments = newer.next().unwrap_or(0) != 0;
    let switches = memory::Switches::read(newer);

    // A few at a time: programs can have thousands.
    for some in timers.chunks_mut(256) {
        let mut batch = Batch::default();
        for (i, timer) in some.iter().enumerate() {
            let at = actions + i as u64 * INTERVAL;
            batch.call(libc::SYS_timer_gettime, [timer.id as u64, at, 0, 0, 0, 0]);
            batch.call(libc::SYS_timer_getoverrun, [timer.id as u64, 0, 0, 0, 0, 0]);
        }
        let answers = remote.run_all(&batch)?;
        for (i, timer) in some.iter_mut().enumerate() {
            let [is, ins, vs, vns] = remote.read_words(actions + i as u64 * INTERVAL)?;
            timer.interval_ns = is * 1_000_000_000 + ins;
            timer.remaining_ns = vs * 1_000_000_000 + vns;
            timer.overrun = answers[i * 2 + 1] as i32;
        }
    }
    process.posix_timers = timers;
    Ok(OfMemory { brk: answers[brk], switches, own_segments })
}

/// The limits; asked of the process itself where we may not look (another uid, no CAP_SYS_RESOURCE).
fn limits(pid: Pid, remote: &mut Remote<'_>) -> Result<Vec<(u64, u64)>, InjectError> {
    let mut all = Vec::new();
    for resource in 0..LIMITS {
        if let Ok(limit) = ids::limit(pid, resource) {
            all.push(limit);
            continue;
        }
        let scratch = remote.scratch()?;
        remote
            .call(libc::SYS_prlimit64, [0, u64::from(resource), 0, scratch, 0, 0])?
            .map_err(|source| InjectError::Io { tid: pid, source })?;
        let [soft, hard] = remote.read_words(scratch)?;
        all.push((soft, hard));
    }
    Ok(all)
}

/// /proc/PID/timers: the timers that timer_create(2) made, without their times.
fn timers(pid: Pid) -> Vec<PosixTimer> {
    let mut all: Vec<PosixTimer> = Vec::new();
    for line in proc::read(pid, "timers").unwrap_or_default().lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if key == "ID" {
            all.push(PosixTimer {
                id: value.parse().unwrap_or(0),
                clock: 0,
                signal: 0,
                notify: 0,
                notify_tid: 0,
                value: 0,
                interval_ns: 0,
                remaining_ns: 0,
                overrun: 0,
            });
            continue;
        }
        let Some(timer) = all.last_mut() else { continue };
        match key {
            // "signal: 14/00007ffc…"
            "signal" => {
                if let Some((signal, pointer)) = value.split_once('/') {
                    timer.signal = signal.parse().unwrap_or(0);
                    timer.value = u64::from_str_radix(pointer, 16).unwrap_or(0);
                }
            }
            // "notify: signal/tid.1234" or "none/pid.1234"
            "notify" => {
                let (how, whom) = value.split_once('/').unwrap_or((value, ""));
                timer.notify = match how {
                    "signal" => libc::SIGEV_SIGNAL,
                    "thread" => libc::SIGEV_THREAD,
                    _ => libc::SIGEV_NONE,
                };
                if let Some(tid) = whom.strip_prefix("tid.") {
                    timer.notify |= libc::SIGEV_THREAD_ID;
                    timer.notify_tid = tid.parse().unwrap_or(0);
                }
            }
            "ClockID" => timer.clock = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    all
}
