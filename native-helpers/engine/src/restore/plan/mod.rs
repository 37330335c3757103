//! Turns the state of each process into the lists that it runs.
//!
//! A process goes through three stages, each ended by a barrier at which the helper waits for all:
//! 1. it exists, with its children, its session and the descriptors inherited from the helper (and what its
//!    children share with it of its memory: `sharing` tells how);
//! 2. its descriptors have their numbers, its mappings are laid out (writable), its threads exist; the
//!    helper then loads the memory;
//! 3. everything else: protections, credentials, timers, queued signals. Behind the third barrier, which
//!    is opened by one write for all, nothing can fail any more but the taking of leases.

mod descriptors;
mod room;

use std::collections::HashMap;
use std::os::fd::AsRawFd;

use torpor_sys::arch::{self, AltStack};
use torpor_sys::clone::CloneArgs;

use super::files::Files;
use super::handed::Handed;
use super::lineage::{Lineage, Step, Top};
use super::region::{List, Region};
use super::runner::{Kind, OP_LEN};
use super::sharing::Sharing;
use super::{RestoreError, attributes, keyrings, layout, lazy, leases, queues, sysv_ipc};
use crate::model::{FileId, FileKind, Pid, PosixTimer, Process, SystemState, Thread, pty};
pub use room::{highest_fd, numbers, raise_descriptor_limit, region_len};

/// Addresses below this can't be mapped (vm.mmap_min_addr), so unmapping begins at 0 and says nothing.
const TASK_SIZE: u64 = 0x7fff_ffff_f000;

/// Numbers that all lists agree on.
#[derive(Debug)]
pub struct Stages {
    /// Counters of arrivals at barriers 1 to 3, and of departures from the last.
    pub arrived: [u64; 3],
    /// Read ends of the barriers' pipes, the same numbers in every process.
    pub barriers: [i32; 3],
    /// Their write ends in the helper.
    pub releases: [i32; 3],
    /// A byte that nobody looks at.
    pub scratch: u64,
    /// The lowest number of the descriptors that are ours alone; the one below it is never taken.
    pub base_fd: i32,
    /// The number behind them; [`i32::MAX`] where nobody of the tree has any number above.
    pub end_fd: i32,
    /// Numbers of user namespaces, which stay open up to the last barrier.
    pub user_namespaces: HashMap<FileId, i32>,
    /// One for each round of loading pages that are to be shared, before the first barrier.
    pub rounds: Vec<Round>,
}

/// A barrier at which those wait that load pages in the same round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub arrived: u64,
    pub barrier: i32,
    pub release: i32,
}

/// What has been planned.
#[derive(Debug, Default)]
pub struct Planned {
    /// PID and first list of what the helper makes itself.
    pub tops: Vec<(Pid, u64)>,
    /// How many arrive at each barrier.
    pub expected: [u64; 3],
    /// Stand-ins made by the helper, which it reaps.
    pub stand_ins: Vec<Pid>,
    /// By process whose memory comes later: where the number of the descriptor of its page faults is told.
    pub userfaults: Vec<(Pid, u64)>,
}

pub struct Planner<'a> {
    pub state: &'a SystemState,
    pub files: &'a Files,
    pub lineage: &'a Lineage,
    pub sharing: &'a Sharing,
    pub region: &'a mut Region,
    pub stages: &'a Stages,
    /// Processes whose memory comes later.
    pub lazy: &'a [Pid],
    planned: Planned,
    /// First lists by PID.
    lists: HashMap<Pid, u64>,
    /// Threads that have ended but are to be told by timers of the process in work: number then, number of the
    /// stand-in, and the word that has it end.
    notified: Vec<(Pid, Pid, u64)>,
    /// Counters of departures from the last barrier, by owner of the descriptor table.
    departed: HashMap<Pid, u64>,
    handed: Handed,
}

impl<'a> Planner<'a> {
    pub fn new(
        state: &'a SystemState,
        files: &'a Files,
        lineage: &'a Lineage,
        sharing: &'a Sharing,
        region: &'a mut Region,
        stages: &'a Stages,
        lazy: &'a [Pid],
    ) -> Planner<'a> {
        let handed = Handed::plan(state, files, region);
        Planner {
            handed,
            state,
            files,
            lineage,
            sharing,
            region,
            stages,
            lazy,
            planned: Planned::default(),
            lists: HashMap::new(),
            notified: Vec::new(),
            departed: HashMap::new(),
        }
    }

    /// Plans every process; children first, since their lists are named by their makers'.
    pub fn plan(mut self) -> Result<Planned, RestoreError> {
        let state = self.state;
        let order = self.order();
        for pid in order {
            if let Some(process) = state.processes.iter().find(|p| p.pid == pid) {
                let list = self.process(process)?;
                self.lists.insert(pid, list);
            }
        }
        for top in &self.lineage.tops {
            match top {
                Top::Process(pid) => self.planned.tops.push((*pid, self.lists[pid])),
                Top::SessionStandIn { pid, makes } => {
                    let mut list = List::default();
                    self.begin(&mut list, *pid)?;
                    list.call(libc::SYS_setsid, &[]);
                    for child in makes {
                        self.make(&mut list, *child, self.lists[child], libc::SIGCHLD, 0);
                    }
                    self.arrive(&mut list, 0);
                    list.exit(0);
                    let address = self.region.place(&list);
                    self.planned.tops.push((*pid, address));
                    self.planned.stand_ins.push(*pid);
                }
            }
        }
        Ok(self.planned)
    }

    /// Every process after those that it makes.
    fn order(&self) -> Vec<Pid> {
        let mut order = Vec::new();
        let mut stack: Vec<(Pid, bool)> = Vec::new();
        for top in &self.lineage.tops {
            match top {
                Top::Process(pid) => stack.push((*pid, false)),
                Top::SessionStandIn { makes, .. } => stack.extend(makes.iter().map(|p| (*p, false))),
            }
        }
        while let Some((pid, made)) = stack.pop() {
            if made {
                order.push(pid);
                continue;
            }
            stack.push((pid, true));
            for step in self.lineage.steps.get(&pid).into_iter().flatten() {
                match step {
                    Step::Make(child) | Step::MakeOrphan { pid: child, .. } => stack.push((*child, false)),
                    Step::SessionStandIn { makes, .. } => stack.extend(makes.iter().map(|p| (*p, false))),
                    Step::Session | Step::StandIn { .. } => {}
                }
            }
        }
        order
    }

    fn process(&mut self, process: &Process) -> Result<u64, RestoreError> {
        let mut list = List::default();
        self.begin(&mut list, process.pid)?;
        if process.subreaper {
            list.call(libc::SYS_prctl, &[libc::PR_SET_CHILD_SUBREAPER as u64, 1]);
        }
        // Before it makes anybody: who inherits of it has them then.
        keyrings::process(self, &mut list, process)?;
        let mut stand_ins = Vec::new();
        for step in self.lineage.steps.get(&process.pid).cloned().unwrap_or_default() {
            match step {
                Step::Session => {
                    list.call(libc::SYS_setsid, &[]);
                    // Before it makes anybody: members of a session inherit its terminal at birth.
                    if let Some((terminal, _)) = self.terminal_of(process) {
                        list.call(libc::SYS_ioctl, &[terminal, libc::TIOCSCTTY, 0]);
                    }
                }
                Step::Make(child) => {
                    let signal = self.exit_signal(child);
                    let shared = self.shared_tables(process, child);
                    self.make(&mut list, child, self.lists[&child], signal, shared);
                }
                Step::SessionStandIn { pid, makes } => {
                    let mut leader = List::default();
                    leader.call(libc::SYS_setsid, &[]);
                    for child in makes {
                        let signal = self.exit_signal(child);
                        self.make(&mut leader, child, self.lists[&child], signal, 0);
                    }
                    leader.exit(0);
                    let leader = self.region.place(&leader);
                    self.make(&mut list, pid, leader, libc::SIGCHLD, 0);
                    list.call(libc::SYS_wait4, &[pid as u64, 0, 0, 0]);
                }
                Step::MakeOrphan { intermediate, pid } => {
                    let mut between = List::default();
                    let signal = self.exit_signal(pid);
                    self.make(&mut between, pid, self.lists[&pid], signal, 0);
                    between.exit(0);
                    let between = self.region.place(&between);
                    self.make(&mut list, intermediate, between, libc::SIGCHLD, 0);
                    list.call(libc::SYS_wait4, &[intermediate as u64, 0, 0, 0]);
                }
                Step::StandIn { pid } => {
                    let mut stand_in = List::default();
                    stand_in.call(libc::SYS_setpgid, &[0, 0]);
                    self.arrive(&mut stand_in, 0);
                    self.arrive(&mut stand_in, 1);
                    stand_in.exit(0);
                    let address = self.region.place(&stand_in);
                    self.make(&mut list, pid, address, libc::SIGCHLD, 0);
                    stand_ins.push(pid);
                }
            }
        }
        if process.pgid == process.pid && process.sid != process.pid {
            list.call(libc::SYS_setpgid, &[0, 0]);
        }
        if let Some(status) = process.exit_status {
            self.zombie(&mut list, process, status);
            return Ok(self.region.place(&list));
        }
        self.arrive(&mut list, 0);
        if process.pgid != process.pid && process.pgid != 0 {
            let joined = [0, process.pgid as u64];
            if self.lineage.pids.contains(&process.pgid) {
                list.call(libc::SYS_setpgid, &joined);
            } else {
                // A group led from outside, when it is still there.
                list.try_call(libc::SYS_setpgid, &joined);
            }
        }
        self.descriptors(&mut list, process)?;
        // Before a change of root may hide /proc.
        attributes::login(self, &mut list, process);
        attributes::directories(self, &mut list, process);
        let later = self.lazy.contains(&process.pid);
        let keeping = self.sharing.keeping(process, later);
        layout::map(self, &mut list, process, &keeping)?;
        let userfault = later.then(|| lazy::open(&mut list));
        sysv_ipc::adjust(self, &mut list, process);
        let departed = self.departures(process.files_owner);
        let living_leader = usize::from(process.leader_exit.is_none());
        for thread in process.threads.iter().skip(living_leader) {
            let address = self.thread(process, thread, departed)?;
            self.make_thread(&mut list, thread.tid, address);
        }
        self.arrive(&mut list, 1);
        sysv_ipc::last_used(self, &mut list, process);
        let userfault = userfault.map(|op| lazy::close(&mut list, op));
        // All groups are there now; its leader made itself the foreground by taking the terminal.
        if let Some((terminal, foreground)) = self.terminal_of(process)
            && foreground > 0
        {
            let group = self.region.data(&foreground.to_le_bytes(), 4);
            list.try_call(libc::SYS_ioctl, &[terminal, libc::TIOCSPGRP, group]);
        }
        for pid in stand_ins {
            list.call(libc::SYS_wait4, &[pid as u64, 0, 0, 0]);
        }
        self.late_descriptors(&mut list, process)?;
        if process.files_owner == process.pid {
            // Nobody needs them any more; closing a file later would take the process' locks on it away.
            self.close_own(&mut list, 3 + self.stages.user_namespaces.len() as u64);
        }
        layout::finish(self, &mut list, process, &keeping)?;
        attributes::process(self, &mut list, process)?;
        let leader = process.threads.first().ok_or(RestoreError::Malformed("a process without threads"))?;
        if process.leader_exit.is_none() {
            keyrings::thread(self, &mut list, process, leader)?;
            attributes::thread(self, &mut list, process, leader);
        }
        attributes::queue_signals(self, &mut list, process.pid, None, &process.pending);
        self.locks(&mut list, process);
        self.positions(&mut list, process);
        queues::notifications(self, &mut list, process);
        self.arrive(&mut list, 2);
        attributes::queue_limit(self, &mut list, process);
        leases::take(&mut list, process);
        if process.files_owner == process.pid {
            // Whoever uses the table has passed the last barrier before its descriptor goes.
            let others: usize = self
                .state
                .processes
                .iter()
                .filter(|p| p.files_owner == process.pid && p.exit_status.is_none())
                .map(|p| p.threads.len())
                .sum();
            list.push(Kind::Await, 0, 0, &[departed, (others - living_leader) as u64]);
            self.close_own(&mut list, 0);
        } else {
            list.push(Kind::Add, 0, 0, &[departed, 1]);
        }
        match process.leader_exit {
            None => self.go(&mut list, leader),
            Some(status) => {
                attributes::ended_leader(self, &mut list, process, leader);
                list.call(libc::SYS_exit, &[(status >> 8 & 0xff) as u64]);
            }
        }
        let address = self.region.place(&list);
        if let Some(op) = userfault {
            self.planned.userfaults.push((process.pid, lazy::descriptor_word(address, op)));
        }
        Ok(address)
    }

    /// Closes the descriptors that are ours alone, but for the first ones.
    fn close_own(&self, list: &mut List, kept: u64) {
        let last =
            if self.stages.end_fd == i32::MAX { u64::from(u32::MAX) } else { self.stages.end_fd as u64 - 1 };
        list.call(libc::SYS_close_range, &[self.stages.base_fd as u64 + kept, last, 0]);
    }

    /// The clone flags for tables that a child shares with its maker.
    fn shared_tables(&self, maker: &Process, child: Pid) -> u64 {
        let Some(child) = self.state.processes.iter().find(|p| p.pid == child) else { return 0 };
        let mut flags = 0;
        if child.files_owner != child.pid && child.files_owner == maker.files_owner {
            flags |= libc::CLONE_FILES;
        }
        if child.fs_owner != child.pid && child.fs_owner == maker.fs_owner {
            flags |= libc::CLONE_FS;
        }
        flags as u64
    }

    /// The terminal of the session that a process leads: its descriptor in the helper, and the group that
    /// was in the foreground.
    fn terminal_of(&self, process: &Process) -> Option<(u64, Pid)> {
        if process.sid != process.pid {
            return None;
        }
        if let Some(terminal) = self.state.terminal.as_ref().filter(|t| t.session == process.sid) {
            let id = self.state.files.iter().position(|f| f.kind == FileKind::CapsuleTerminal)?;
            return Some((self.files.get(id as u32)?.as_raw_fd() as u64, terminal.foreground));
        }
        let pty = self.pty_of(process.sid)?;
        Some((self.files.slave(pty.index)?.as_raw_fd() as u64, pty.foreground))
    }

    /// The pseudo-terminal of the tree that controls a session.
    fn pty_of(&self, session: Pid) -> Option<&'a pty::Master> {
        self.state.files.iter().find_map(|f| match &f.kind {
            FileKind::Pty(pty) => match &**pty {
                pty::Pty::Master(master) if master.session == session => Some(master),
                _ => None,
            },
            _ => None,
        })
    }

    fn exit_signal(&self, pid: Pid) -> i32 {
        self.state.processes.iter().find(|p| p.pid == pid).map_or(libc::SIGCHLD, |p| p.exit_signal)
    }

    /// Unmaps all but the region and what is to be shared (the first of each line still has the helper's
    /// memory), and waits for the pages that those it makes are to share with it.
    fn begin(&mut self, list: &mut List, pid: Pid) -> Result<(), RestoreError> {
        let node = self.sharing.node(pid);
        let areas = node.map_or(&[][..], |n| &n.areas);
        let (base, len) = (self.region.base(), self.region.len() as u64);
        let mut kept: Vec<(u64, u64)> = areas.iter().filter(|a| !a.fresh).map(|a| (a.start, a.end)).collect();
        kept.push((base, base + len));
        kept.sort_unstable();
        let mut at = 0;
        for (start, end) in kept.into_iter().chain([(TASK_SIZE, TASK_SIZE)]) {
            if at < start {
                list.call(libc::SYS_munmap, &[at, start - at]);
            }
            at = end;
        }
        // Only the helper may hold these: their end-of-file is what tells that it is gone.
        for fd in self.stages.releases.iter().copied().chain(self.stages.rounds.iter().map(|r| r.release)) {
            list.try_call(libc::SYS_close, &[fd as u64]);
        }
        for area in areas.iter().filter(|a| a.fresh) {
            layout::map_part(self, list, &area.like, area.start, area.end)?;
        }
        if let Some(node) = node.filter(|n| !n.loads.is_empty()) {
            let round = &self.stages.rounds[node.round];
            list.push(Kind::Add, 0, 0, &[round.arrived, 1]);
            list.push(Kind::Barrier, 0, 0, &[round.barrier as u64, self.stages.scratch]);
        }
        Ok(())
    }

    /// Makes a process with a chosen PID that goes on at `list`.
    fn make(&mut self, list: &mut List, pid: Pid, address: u64, exit_signal: i32, flags: u64) {
        let tid = self.region.data(&pid.to_le_bytes(), 8);
        let args = CloneArgs {
            flags,
            exit_signal: exit_signal as u64,
            set_tid: tid,
            set_tid_size: 1,
            ..CloneArgs::default()
        };
        let args = clone_args(self.region, &args);
        let len = size_of::<CloneArgs>() as u64;
        list.push(Kind::Clone, 0, libc::SYS_clone3 as u64, &[args, len, address]);
    }

    fn make_thread(&mut self, list: &mut List, tid: Pid, address: u64) {
        let flags = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM;
        self.make(list, tid, address, 0, flags as u64);
    }

    /// The thread that a timer is to tell (SIGEV_THREAD_ID). One that has ended since it was made lives for the
    /// moment again, by its number where that is free: timer_create(2) wants to see it.
    pub fn notified_thread(&mut self, list: &mut List, process: &Process, timer: &PosixTimer) -> Pid {
        if !timer.tells_ended_thread(process) {
            return timer.notify_tid;
        }
        if let Some((_, now, _)) = self.notified.iter().find(|(then, ..)| *then == timer.notify_tid) {
            return *now;
        }
        let used = |tid: Pid| {
            self.lineage.pids.contains(&tid)
                || self.notified.iter().any(|(_, now, _)| *now == tid)
                || self.state.processes.iter().flat_map(|p| &p.threads).any(|t| t.tid == tid)
                || std::path::Path::new(&format!("/proc/{tid}")).exists()
        };
        let free = std::iter::once(timer.notify_tid).chain(300..1 << 22).find(|tid| !used(*tid));
        let now = free.unwrap_or(timer.notify_tid);
        let go = self.region.word();
        let mut stand_in = List::default();
        stand_in.push(Kind::Await, 0, 0, &[go, 1]);
        stand_in.call(libc::SYS_exit, &[0]);
        let address = self.region.place(&stand_in);
        self.make_thread(list, now, address);
        self.notified.push((timer.notify_tid, now, go));
        now
    }

    /// Has the stand-ins of threads that timers tell end as well.
    pub fn end_notified(&mut self, list: &mut List) {
        for (.., go) in self.notified.drain(..) {
            list.push(Kind::Add, 0, 0, &[go, 1]);
        }
    }

    /// Tells of the arrival at a barrier and waits there.
    fn arrive(&mut self, list: &mut List, stage: usize) {
        self.planned.expected[stage] += 1;
        list.push(Kind::Add, 0, 0, &[self.stages.arrived[stage], 1]);
        list.push(Kind::Barrier, 0, 0, &[self.stages.barriers[stage] as u64, self.stages.scratch]);
    }

    /// A process that has ended and was not waited for: ends the same way at stage 2, when its group and
    /// session are right.
    fn zombie(&mut self, list: &mut List, process: &Process, status: i32) {
        let name = self.region.string(&process.comm);
        list.call(libc::SYS_prctl, &[libc::PR_SET_NAME as u64, name]);
        self.arrive(list, 0);
        if process.pgid != process.pid && process.pgid != 0 {
            list.try_call(libc::SYS_setpgid, &[0, process.pgid as u64]);
        }
        if let Some((uids, gids)) = process.ended_ids {
            attributes::ids(list, uids, gids);
        }
        self.planned.expected[1] += 1;
        list.push(Kind::Add, 0, 0, &[self.stages.arrived[1], 1]);
        let signal = status & 0x7f;
        if signal != 0 {
            // No core file for a death that is only played.
            let none = self.region.words(&[0, 0]);
            list.call(libc::SYS_prlimit64, &[0, u64::from(libc::RLIMIT_CORE), none, 0]);
            let default = self.region.words(&[0, 0, 0, 0]);
            list.try_call(libc::SYS_rt_sigaction, &[signal as u64, default, 0, 8]);
            let mask = self.region.words(&[0]);
            list.call(libc::SYS_rt_sigprocmask, &[libc::SIG_SETMASK as u64, mask, 0, 8]);
            list.call(libc::SYS_kill, &[process.pid as u64, signal as u64]);
        }
        list.exit((status >> 8 & 0xff) as u64);
    }

    /// Locks, through the descriptors that they were taken with.
    fn locks(&mut self, list: &mut List, process: &Process) {
        const F_OFD_SETLK: i32 = 37;
        for lock in &process.locks {
            let fd = lock.fd as u64;
            let kind = if lock.exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
            match lock.kind.as_str() {
                "flock" => {
                    let how = if lock.exclusive { libc::LOCK_EX } else { libc::LOCK_SH } | libc::LOCK_NB;
                    list.call(libc::SYS_flock, &[fd, how as u64]);
                }
                leases::KIND => {}
                kind_of_lock => {
                    // struct flock: l_type, l_whence, l_start, l_len, l_pid
                    let words = [kind as u64, lock.start, lock.len, 0];
                    let flock = self.region.words(&words);
                    let command = if kind_of_lock == "ofd" { F_OFD_SETLK } else { libc::F_SETLK };
                    list.call(libc::SYS_fcntl, &[fd, command as u64, flock]);
                }
            }
        }
    }

    /// A range of addresses that no process of the tree uses, nor the region.
    pub fn free_range(&self, len: u64) -> u64 {
        // Above what mmap(2) gives without being asked, aligned for any huge page but the largest.
        const ALIGN: u64 = 2 << 20;
        let spaces = self.state.processes.iter().filter_map(|p| p.mm.as_ref());
        let mut taken: Vec<(u64, u64)> =
            spaces.flat_map(|mm| mm.mappings.iter().map(|m| (m.start, m.end))).collect();
        taken.push((self.region.base(), self.region.base() + self.region.len() as u64));
        taken.sort_unstable();
        let mut at = ALIGN;
        for (start, end) in taken {
            if at + len <= start {
                break;
            }
            at = at.max(end.next_multiple_of(ALIGN));
        }
        at
    }

    /// A call that returns a descriptor, moved to the number that is never taken.
    pub fn open_then_keep(&mut self, list: &mut List, number: i64, args: &[u64]) {
        list.call(number, args);
        // The two ops behind these learn the number as their first argument.
        list.push(Kind::Store, (2 * OP_LEN + 16) as u32, 0, &[]);
        list.push(Kind::Store, (2 * OP_LEN + 16) as u32, 0, &[]);
        list.call(libc::SYS_dup3, &[0, self.stages.base_fd as u64 - 1, 0]);
        list.call(libc::SYS_close, &[0]);
    }

    pub fn file(&self, id: u32) -> Result<&'a crate::model::OpenFile, RestoreError> {
        self.state.files.get(id as usize).ok_or(RestoreError::Malformed("a descriptor without a file"))
    }

    fn departures(&mut self, owner: Pid) -> u64 {
        if let Some(word) = self.departed.get(&owner) {
            return *word;
        }
        let word = self.region.word();
        self.departed.insert(owner, word);
        word
    }

    fn thread(&mut self, process: &Process, thread: &Thread, departed: u64) -> Result<u64, RestoreError> {
        let mut list = List::default();
        if let Some(folders) = &thread.folders {
            // While their descriptors are open.
            attributes::own_folders(self, &mut list, folders);
        }
        self.arrive(&mut list, 1);
        keyrings::thread(self, &mut list, process, thread)?;
        attributes::thread(self, &mut list, process, thread);
        self.arrive(&mut list, 2);
        list.push(Kind::Add, 0, 0, &[departed, 1]);
        self.go(&mut list, thread);
        Ok(self.region.place(&list))
    }

    /// The last op: continues where the thread was.
    fn go(&mut self, list: &mut List, thread: &Thread) {
        let regs = super::resume::user_registers(&thread.regs);
        let regs = super::resume::restarted(&regs);
        let (address, flags, size) = thread.alt_stack;
        let stack = AltStack { address, flags, size };
        let room = self.region.reserve_at(1024 + thread.xstate.len(), 64);
        let frame = arch::signal_frame(room, &regs, thread.signal_mask, stack, &thread.xstate);
        self.region.fill(room, &frame);
        list.push(Kind::Sigreturn, 0, 0, &[room + 8]);
    }
}

fn clone_args(region: &mut Region, args: &CloneArgs) -> u64 {
    region.words(&[
        args.flags,
        args.pidfd,
        args.child_tid,
        args.parent_tid,
        args.exit_signal,
        args.stack,
        args.stack_size,
        args.tls,
        args.set_tid,
        args.set_tid_size,
        args.cgroup,
    ])
}
