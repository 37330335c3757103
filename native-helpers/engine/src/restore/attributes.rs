//! Attributes of processes and threads: names, limits, timers, signals, scheduling, credentials.
//!
//! Order matters: what needs privileges comes before the credentials, strict seccomp comes last.

use std::os::fd::AsRawFd;

use super::RestoreError;
use super::plan::Planner;
use super::region::List;
use crate::model::{
    Credentials, FileId, FileKind, Folders, Namespace, Pid, PosixTimer, Process, Seccomp, Siginfo, Switches,
    Thread,
};

const PR_TIMER_CREATE_RESTORE_IDS: u64 = 77;
const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const LAST_CAP_LIMIT: u32 = 64;
const IOPRIO_WHO_PROCESS: u64 = 1;
const SECCOMP_SET_MODE_FILTER: u64 = 1;

/// Attributes of the process as a whole; run by its leader.
pub fn process(planner: &mut Planner<'_>, list: &mut List, process: &Process) -> Result<(), RestoreError> {
    // The children are stopped by now.
    for child in planner.state.processes.iter().filter(|c| c.ppid == process.pid && c.stop_reported) {
        let options = libc::WSTOPPED | libc::WNOHANG | libc::__WALL;
        list.try_call(libc::SYS_waitid, &[libc::P_PID as u64, child.pid as u64, 0, options as u64, 0]);
    }
    for command in (0..32).map(|bit| 1 << bit).filter(|bit| process.membarrier & bit != 0) {
        list.try_call(libc::SYS_membarrier, &[u64::from(command), 0, 0]);
    }
    list.call(libc::SYS_umask, &[u64::from(process.umask)]);
    actions(planner, list, process);
    timers(planner, list, process);
    for (resource, (soft, hard)) in process.limits.iter().enumerate() {
        let limit = if resource as u32 == libc::RLIMIT_SIGPENDING {
            // More may wait than a limit allows that was lowered since: as many as can be until all of it is queued.
            let own = torpor_sys::ids::limit(0, libc::RLIMIT_SIGPENDING).map_or(0, |(_, hard)| hard);
            planner.region.words(&[own.max(*hard), own.max(*hard)])
        } else {
            planner.region.words(&[*soft, *hard])
        };
        // Raising a hard limit takes CAP_SYS_RESOURCE; then the limit of the restoring side stays.
        list.try_call(libc::SYS_prlimit64, &[0, resource as u64, limit, 0]);
    }
    Ok(())
}

/// The limit of queued signals, once they are. Nobody is refused to lower one.
pub fn queue_limit(planner: &mut Planner<'_>, list: &mut List, process: &Process) {
    let resource = libc::RLIMIT_SIGPENDING;
    if let Some((soft, hard)) = process.limits.get(resource as usize) {
        let limit = planner.region.words(&[*soft, *hard]);
        list.try_call(libc::SYS_prlimit64, &[0, u64::from(resource), limit, 0]);
    }
}

/// Folders that a thread has for itself.
pub fn own_folders(planner: &mut Planner<'_>, list: &mut List, folders: &Folders) {
    list.call(libc::SYS_unshare, &[libc::CLONE_FS as u64]);
    enter(planner, list, Some(folders.root), Some(folders.cwd));
    list.call(libc::SYS_umask, &[u64::from(folders.umask)]);
}

/// Root, working directory and namespace, by descriptors that are still open; before the others are closed.
pub fn directories(planner: &mut Planner<'_>, list: &mut List, process: &Process) {
    if let Some(uts) = process.uts.and_then(|id| planner.files.get(id)) {
        list.call(libc::SYS_setns, &[uts.as_raw_fd() as u64, libc::CLONE_NEWUTS as u64]);
    }
    for id in &process.own_namespaces {
        let kind = planner.state.files.get(*id as usize).map(|f| &f.kind);
        if let (Some(FileKind::Namespace(own)), Some(fd)) = (kind, planner.files.get(*id))
            && !matches!(own, Namespace::User(_))
        {
            list.call(libc::SYS_setns, &[fd.as_raw_fd() as u64, own.clone_flag() as u64]);
        }
    }
    enter(planner, list, process.root, process.cwd);
}

fn enter(planner: &mut Planner<'_>, list: &mut List, root: Option<FileId>, cwd: Option<FileId>) {
    let fd = |id: Option<u32>| id.and_then(|id| planner.files.get(id)).map(|fd| fd.as_raw_fd() as u64);
    let root_path = root.and_then(|id| planner.state.files.get(id as usize)).map(|f| f.description.as_str());
    let (root, cwd) = (fd(root), fd(cwd));
    if let Some(root) = root
        && root_path != Some("/")
    {
        let dot = planner.region.string(".");
        list.call(libc::SYS_fchdir, &[root]);
        list.call(libc::SYS_chroot, &[dot]);
    }
    if let Some(cwd) = cwd {
        list.call(libc::SYS_fchdir, &[cwd]);
    }
}

/// Only a process itself may set its loginuid; while the descriptors of the restoring side are still open.
pub fn login(planner: &mut Planner<'_>, list: &mut List, process: &Process) {
    let Some(uid) = process.login_uid else { return };
    let own = crate::proc::read(std::process::id() as i32, "loginuid").unwrap_or_default();
    if own.trim() == uid.to_string() {
        return;
    }
    let text = uid.to_string();
    let path = planner.region.string(&format!("/proc/{}/loginuid", process.pid));
    let data = planner.region.data(text.as_bytes(), 1);
    let fd = planner.stages.base_fd as u64 - 1;
    // It is always there where it was read; a kernel without audit never gets here.
    planner.open_then_keep(list, libc::SYS_openat, &[libc::AT_FDCWD as u64, path, libc::O_WRONLY as u64, 0]);
    // Without CAP_AUDIT_CONTROL it stays what it is.
    list.try_call(libc::SYS_write, &[fd, data, text.len() as u64]);
    list.call(libc::SYS_close, &[fd]);
}

fn actions(planner: &mut Planner<'_>, list: &mut List, process: &Process) {
    // Ignoring it for a moment discards the SIGCHLDs of zombies and stand-ins made while building.
    let ignore = planner.region.words(&[libc::SIG_IGN as u64, 0, 0, 0]);
    list.call(libc::SYS_rt_sigaction, &[libc::SIGCHLD as u64, ignore, 0, 8]);
    // The same for the SIGCONT of a process that has been stopped and continued again.
    list.call(libc::SYS_rt_sigaction, &[libc::SIGCONT as u64, ignore, 0, 8]);
    let default = planner.region.words(&[0, 0, 0, 0]);
    for (i, action) in process.actions.iter().enumerate().take(64) {
        let signal = i as u64 + 1;
        if signal == libc::SIGKILL as u64 || signal == libc::SIGSTOP as u64 {
            continue;
        }
        // The helper's own dispositions (SIGPIPE) were inherited.
        let new = if *action == Default::default() {
            default
        } else {
            planner.region.words(&[action.handler, action.flags, action.restorer, action.mask])
        };
        list.call(libc::SYS_rt_sigaction, &[signal, new, 0, 8]);
    }
}

/// The timer that a signal in a queue comes from: si_code SI_TIMER, and its id (sigaction(2)).
fn timer_of(info: &Siginfo) -> Option<i32> {
    const SI_TIMER: i32 = -2;
    let word = |at: usize| info.0.get(at..at + 4).map(|b| i32::from_ne_bytes(b.try_into().expect("4 bytes")));
    (word(8) == Some(SI_TIMER)).then(|| word(16).unwrap_or(-1))
}

fn waits(process: &Process, timer: &PosixTimer) -> bool {
    let queues = process.threads.iter().map(|t| &t.pending).chain([&process.pending]);
    queues.flatten().any(|info| info.signal() == timer.signal && timer_of(info) == Some(timer.id))
}

fn timespec(ns: u64) -> [u64; 2] {
    [ns / 1_000_000_000, ns % 1_000_000_000]
}

fn timers(planner: &mut Planner<'_>, list: &mut List, process: &Process) {
    for (which, (interval, value)) in process.itimers.iter().enumerate() {
        // At zero with an interval it has gone off, and its signal is still on the way: the next tick.
        let value = if *value == 0 { interval } else { value };
        if *value != 0 {
            let timeval = |ns: u64| [ns / 1_000_000_000, ns % 1_000_000_000 / 1000];
            let [is, iu] = timeval(*interval);
            let [vs, vu] = timeval((*value).max(1000));
            let value = planner.region.words(&[is, iu, vs, vu]);
            list.call(libc::SYS_setitimer, &[which as u64, value, 0]);
        }
    }
    if process.posix_timers.is_empty() {
        return;
    }
    // Since Linux 6.15 an id can be asked for; before, ids count up from 0 for a new process.
    list.try_call(libc::SYS_prctl, &[PR_TIMER_CREATE_RESTORE_IDS, 1]);
    for timer in &process.posix_timers {
        let mut event = timer.value.to_le_bytes().to_vec();
        event.extend(timer.signal.to_le_bytes());
        event.extend(timer.notify.to_le_bytes());
        let thread = planner.notified_thread(list, process, timer);
        event.extend(thread.to_le_bytes());
        event.resize(64, 0);
        let event = planner.region.data(&event, 8);
        let id = planner.region.data(&timer.id.to_le_bytes(), 8);

        list.call(libc::SYS_timer_create, &[timer.clock as u64, event, id]);
        // One whose signal waits goes off again at once, so that it counts overruns as before.
        let waiting = waits(process, timer);
        let remaining = if waiting { 1 } else { timer.remaining_ns };
        if remaining != 0 {
            let [is, ins] = timespec(timer.interval_ns);
            let [vs, vns] = timespec(remaining);
            let value = planner.region.words(&[is, ins, vs, vns]);
            list.call(libc::SYS_timer_settime, &[timer.id as u64, 0, value, 0]);
        }
    }
    list.try_call(libc::SYS_prctl, &[PR_TIMER_CREATE_RESTORE_IDS, 0]);
    planner.end_notified(list);
}

/// Attributes of one thread; run by the thread itself.
pub fn thread(planner: &mut Planner<'_>, list: &mut List, process: &Process, thread: &Thread) {
    let region = &mut planner.region;
    let name = match &thread.raw_name {
        Some(name) => region.data(&[name.as_slice(), &[0]].concat(), 1),
        None => region.string(&thread.comm),
    };
    list.call(libc::SYS_prctl, &[libc::PR_SET_NAME as u64, name]);
    let personality = thread.personality.unwrap_or(process.personality);
    list.call(libc::SYS_personality, &[u64::from(personality)]);
    list.call(libc::SYS_set_tid_address, &[thread.clear_child_tid]);
    let (head, len) = thread.robust_list;
    if head != 0 {
        list.call(libc::SYS_set_robust_list, &[head, len]);
    }
    let (address, size, signature, _) = thread.rseq;
    if address != 0 {
        list.call(libc::SYS_rseq, &[address, u64::from(size), 0, u64::from(signature)]);
    }
    let affinity = region.data(&thread.affinity, 8);
    // CPUs that this machine lacks are left out by the kernel; none left is refused, and does not matter.
    list.try_call(libc::SYS_sched_setaffinity, &[0, thread.affinity.len() as u64, affinity]);
    let s = &thread.sched;
    const SCHED_FLAG_UTIL_CLAMP: u64 = 0x60;
    let (clamp, size) = if s.clamps.is_some() { (SCHED_FLAG_UTIL_CLAMP, 56) } else { (0, 48) };
    let (util_min, util_max) = s.clamps.unwrap_or_default();
    let attr = region.words(&[
        size | u64::from(s.policy) << 32,
        s.flags | clamp,
        u64::from(s.nice as u32) | u64::from(s.priority) << 32,
        s.runtime,
        s.deadline,
        s.period,
        u64::from(util_min) | u64::from(util_max) << 32,
    ]);
    list.try_call(libc::SYS_sched_setattr, &[0, attr, 0]);
    list.try_call(libc::SYS_ioprio_set, &[IOPRIO_WHO_PROCESS, 0, u64::from(thread.io_priority)]);
    list.try_call(libc::SYS_prctl, &[libc::PR_SET_TIMERSLACK as u64, thread.timer_slack_ns]);
    switches(list, &thread.switches);
    if let Some(policy) = &thread.memory_policy {
        let (nodes, limit) = super::layout::nodes(planner, policy);
        list.try_call(libc::SYS_set_mempolicy, &[u64::from(policy.mode), nodes, limit]);
    }
    // Either of the two gives the right to set a filter; none has an effect as long as the thread is traced.
    let unprivileged = thread.credentials.no_new_privs;
    if !unprivileged {
        filters(planner, list, &thread.seccomp);
    }
    credentials(planner, list, process, &thread.credentials);
    dumpable(list, process);
    if thread.parent_death_signal != 0 {
        list.call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as u64, thread.parent_death_signal as u64]);
    }
    list.call(libc::SYS_arch_prctl, &[ARCH_SET_FS, thread.regs.fs_base]);
    list.call(libc::SYS_arch_prctl, &[ARCH_SET_GS, thread.regs.gs_base]);
    queue_signals(planner, list, process.pid, Some(thread.tid), &thread.pending);
    if unprivileged {
        filters(planner, list, &thread.seccomp);
    }
    if thread.seccomp == Seccomp::Strict {
        list.call(libc::SYS_prctl, &[libc::PR_SET_SECCOMP as u64, 1]);
    }
}

/// What is still seen of a first thread that has ended: its name, and the credentials that kill(2) goes by,
/// which are taken to be those of a living thread.
pub fn ended_leader(planner: &mut Planner<'_>, list: &mut List, process: &Process, living: &Thread) {
    let name = planner.region.string(&process.comm);
    list.call(libc::SYS_prctl, &[libc::PR_SET_NAME as u64, name]);
    credentials(planner, list, process, &living.credentials);
    dumpable(list, process);
}

/// It is the process', and each thread that changes its credentials resets it: the last of them sets it again.
fn dumpable(list: &mut List, process: &Process) {
    list.try_call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as u64, u64::from(process.dumpable)]);
}

/// What prctl(2) switches per thread.
fn switches(list: &mut List, s: &Switches) {
    const PR_SET_IO_FLUSHER: u64 = 57;
    const PR_SET_SPECULATION_CTRL: u64 = 53;
    const ARCH_SET_CPUID: u64 = 0x1012;
    if let Some(early) = s.memory_failure {
        let policy = if early { libc::PR_MCE_KILL_EARLY } else { libc::PR_MCE_KILL_LATE };
        let (what, how) = (libc::PR_MCE_KILL as u64, libc::PR_MCE_KILL_SET as u64);
        list.call(libc::SYS_prctl, &[what, how, policy as u64, 0, 0]);
    }
    if s.io_flusher {
        list.try_call(libc::SYS_prctl, &[PR_SET_IO_FLUSHER, 1, 0, 0, 0]);
    }
    if s.no_tsc {
        list.call(libc::SYS_prctl, &[libc::PR_SET_TSC as u64, libc::PR_TSC_SIGSEGV as u64]);
    }
    if s.no_cpuid {
        list.try_call(libc::SYS_arch_prctl, &[ARCH_SET_CPUID, 0]);
    }
    for (which, control) in &s.speculation {
        list.try_call(
            libc::SYS_prctl,
            &[PR_SET_SPECULATION_CTRL, u64::from(*which), u64::from(*control), 0, 0],
        );
    }
}

/// Queues signals to this thread or process; all are blocked here, so they wait.
pub fn queue_signals(
    planner: &mut Planner<'_>,
    list: &mut List,
    pid: Pid,
    tid: Option<Pid>,
    pending: &[Siginfo],
) {
    for info in pending.iter().filter(|info| timer_of(info).is_none()) {
        let signal = info.signal() as u64;
        let data = planner.region.data(&info.0, 8);
        match tid {
            Some(tid) => list.call(libc::SYS_rt_tgsigqueueinfo, &[pid as u64, tid as u64, signal, data]),
            None => list.call(libc::SYS_rt_sigqueueinfo, &[pid as u64, signal, data]),
        };
    }
}

/// Ids are those that the restoring side sees: they are taken before the process enters its user namespace, where it
/// has all capabilities at first, those that it had outside are gone, and some ids may have no name.
fn credentials(planner: &mut Planner<'_>, list: &mut List, process: &Process, c: &Credentials) {
    let groups: Vec<u8> = c.groups.iter().flat_map(|g| g.to_le_bytes()).collect();
    let groups = planner.region.data(&groups, 8);
    list.call(libc::SYS_setgroups, &[c.groups.len() as u64, groups]);
    // Capabilities survive the change of ids, and are set to what they were afterwards.
    let keep = u64::from(SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP);
    list.try_call(libc::SYS_prctl, &[libc::PR_SET_SECUREBITS as u64, keep]);
    let user_namespace = process.own_namespaces.iter().find_map(|id| planner.stages.user_namespaces.get(id));
    if user_namespace.is_none() {
        drop_bounding(list, c);
    }
    ids(list, c.uids, c.gids);
    if let Some(namespace) = user_namespace {
        list.call(libc::SYS_setns, &[*namespace as u64, libc::CLONE_NEWUSER as u64]);
        drop_bounding(list, c);
    }
    let header = planner.region.data(&[0x2008_0522u32.to_le_bytes(), 0u32.to_le_bytes()].concat(), 8);
    let mut capset = |list: &mut List, effective: u64, permitted: u64, inheritable: u64| {
        let mut raw = Vec::new();
        for half in [0, 32] {
            for set in [effective, permitted, inheritable] {
                raw.extend(((set >> half) as u32).to_le_bytes());
            }
        }
        let data = planner.region.data(&raw, 8);
        list.call(libc::SYS_capset, &[header, data]);
    };
    // With the inheritable set in place first, while CAP_SETPCAP is still effective.
    if c.securebits != 0 {
        list.call(libc::SYS_prctl, &[libc::PR_SET_SECUREBITS as u64, u64::from(c.securebits)]);
    } else {
        list.try_call(libc::SYS_prctl, &[libc::PR_SET_SECUREBITS as u64, 0]);
    }
    capset(list, c.cap_effective, c.cap_permitted, c.cap_inheritable);
    for cap in 0..LAST_CAP_LIMIT {
        if c.cap_ambient & (1 << cap) != 0 {
            list.call(
                libc::SYS_prctl,
                &[libc::PR_CAP_AMBIENT as u64, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(cap)],
            );
        }
    }
    if c.no_new_privs {
        list.call(libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as u64, 1]);
    }
}

/// Users and groups: real, effective, saved, file system.
pub fn ids(list: &mut List, uids: [u32; 4], gids: [u32; 4]) {
    let [r, e, s, f] = gids.map(u64::from);
    list.call(libc::SYS_setresgid, &[r, e, s]);
    list.call(libc::SYS_setfsgid, &[f]);
    let [r, e, s, f] = uids.map(u64::from);
    list.call(libc::SYS_setresuid, &[r, e, s]);
    list.call(libc::SYS_setfsuid, &[f]);
}

fn drop_bounding(list: &mut List, c: &Credentials) {
    for cap in 0..LAST_CAP_LIMIT {
        if c.cap_bounding & (1 << cap) == 0 {
            list.try_call(libc::SYS_prctl, &[libc::PR_CAPBSET_DROP as u64, u64::from(cap)]);
        }
    }
}

/// Installs the filters; the helper has suspended them for as long as it traces the thread.
fn filters(planner: &mut Planner<'_>, list: &mut List, seccomp: &Seccomp) {
    let Seccomp::Filter(filters) = seccomp else { return };
    for filter in filters {
        let program = planner.region.data(&filter.program, 8);
        let fprog = planner.region.words(&[(filter.program.len() / 8) as u64, program]);
        list.call(libc::SYS_seccomp, &[SECCOMP_SET_MODE_FILTER, filter.flags, fprog]);
    }
}
