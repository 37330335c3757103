//! Stops a whole process tree, such that nothing born meanwhile escapes, and lets it run again.
//!
//! Every thread is seized (ptrace(2), PTRACE_SEIZE) with the fork and clone options on, so that whatever a
//! thread creates before it stops is ours from its first instruction; the tree is listed again until a
//! pass finds nothing new. ptrace is used rather than the cgroup freezer because the kernel lets go of
//! every tracee when the tracer dies: a helper that is killed leaves nothing frozen.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use torpor_sys::arch::USER_CS;
use torpor_sys::memory;
use torpor_sys::ptrace::{self, Wait, user_regs_struct};

use crate::patience::Patience;
use crate::proc::maps::{self, Vma};
use crate::proc::task::{DescriptorFacts, TaskFacts};
use crate::proc::{stat::Stat, status::Status, tree};
use crate::{inject, rseq, vdso};

/// How long a thread may take to stop. Uninterruptible sleep (a dead network file system, vfork) is what
/// makes it longer; the tree is let go then.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How long a thread may take to stop before we look what it waits for.
const LOOK_AFTER: Duration = Duration::from_millis(20);
/// How long a vfork(2) in progress may take in all: it ends when the child executes a program.
const VFORK_LIMIT: Duration = Duration::from_secs(5);
/// io_pgetevents(2), which the libc crate lacks.
const SYS_IO_PGETEVENTS: i64 = 333;
/// How long a thread that was stopped within the vDSO runs on before it is stopped again: first, at most, and in all.
const MOMENT: Duration = Duration::from_micros(20);
const LONGEST_MOMENT: Duration = Duration::from_millis(2);
const VDSO_LIMIT: Duration = Duration::from_millis(20);
/// Passes over the tree before we say that it forks faster than we can stop it.
const PASS_LIMIT: usize = 10_000;

const OPTIONS: u32 =
    ptrace::O_TRACESYSGOOD | ptrace::O_TRACEFORK | ptrace::O_TRACEVFORK | ptrace::O_TRACECLONE;

/// Linux-internal "restart unless a handler runs" (include/linux/errno.h), as ptrace shows it in rax.
pub const ERESTARTSYS: i64 = -512;
pub const ERESTARTNOINTR: i64 = -513;
pub const ERESTARTNOHAND: i64 = -514;
pub const ERESTART_RESTARTBLOCK: i64 = -516;

/// Which processes to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A process and its descendants.
    Tree(i32),
    /// Everything in this PID namespace but its init and the given process (the helper's own worker).
    Namespace { besides: i32 },
}

impl Target {
    /// The processes as they are now.
    pub fn list(self) -> io::Result<Vec<i32>> {
        match self {
            Target::Tree(root) => tree::descendants(root),
            Target::Namespace { besides } => tree::everyone_but(&[1, besides]),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    #[error("there is no process {0}")]
    NoSuchProcess(i32),
    #[error("process {pid} ({comm}) is traced by process {tracer}; end the debugger first")]
    Traced { pid: i32, comm: String, tracer: i32 },
    #[error("not permitted to stop process {0}; run the helper as root")]
    NotPermitted(i32),
    #[error("thread {tid} of process {pid} did not stop within {}s; it waits in the kernel ({wchan})", STOP_LIMIT.as_secs())]
    WouldNotStop { pid: i32, tid: i32, wchan: String },
    #[error("process {pid} ({comm}) waits in vfork(2) for a child that runs in its memory")]
    Vfork { pid: i32, tid: i32, comm: String },
    #[error("the tree makes processes faster than they can be stopped")]
    ForksTooFast,
    #[error("stopping thread {tid}: {source}")]
    Thread { tid: i32, source: io::Error },
    #[error("reading the process tree: {0}")]
    Tree(#[from] io::Error),
}

#[derive(Debug)]
pub struct FrozenThread {
    pub tid: i32,
    /// As they will be when the thread goes on.
    pub regs: user_regs_struct,
    pub mask: u64,
    /// `regs` differ from the kernel's and are written when the thread is let go.
    patched: bool,
    facts: OnceLock<TaskFacts>,
}

#[derive(Debug)]
pub struct FrozenProcess {
    pub pid: i32,
    pub stat: Stat,
    /// Empty for a zombie.
    pub threads: Vec<FrozenThread>,
    /// The signal that it is stopped by (job control), when it is.
    pub stopped: Option<i32>,
    /// What its mappings were before it was stopped, where that was looked at.
    maps_before: maps::Known,
    vmas: OnceLock<Arc<[Vma]>>,
    descriptors: OnceLock<Vec<DescriptorFacts>>,
}

impl FrozenThread {
    /// A thread that somebody else has stopped, with the registers that it is to go on with.
    pub fn at(tid: i32, regs: user_regs_struct, mask: u64) -> FrozenThread {
        FrozenThread { tid, regs, mask, patched: false, facts: OnceLock::new() }
    }

    /// What /proc tells of it, read once.
    ///
    /// # Errors
    /// Of reading, where it was killed meanwhile.
    pub fn facts(&self, pid: i32) -> io::Result<&TaskFacts> {
        once(&self.facts, || TaskFacts::of(pid, self.tid))
    }
}

impl FrozenProcess {
    pub fn is_zombie(&self) -> bool {
        self.threads.is_empty()
    }

    /// Its mappings, read once: they stay what they are as long as it is stopped, and their reading takes a
    /// good part of the pause.
    ///
    /// # Errors
    /// Of reading `/proc/PID/maps`; ESRCH for a zombie.
    pub fn vmas(&self) -> io::Result<&[Vma]> {
        once(&self.vmas, || self.maps_before.now(self.task()?)).map(|all| &**all)
    }

    /// What /proc tells of its descriptors, by number; read once.
    ///
    /// # Errors
    /// Of reading; ESRCH for a zombie.
    pub fn descriptors(&self) -> io::Result<&[DescriptorFacts]> {
        once(&self.descriptors, || DescriptorFacts::all(self.task()?)).map(Vec::as_slice)
    }

    /// Reads ahead what will be asked for, beside whoever asks: an error is told to that one.
    pub fn read_ahead(&self) {
        // From behind, so that the two meet only once where there are many.
        for thread in self.threads.iter().rev() {
            let _ = thread.facts(self.pid);
        }
        if !self.is_zombie() {
            let _ = self.descriptors();
            // Of the first process these are what is asked for first.
            let _ = self.vmas();
        }
    }

    fn task(&self) -> io::Result<i32> {
        Ok(self.leader().ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?.tid)
    }

    /// The thread to make system calls with.
    pub fn leader(&self) -> Option<&FrozenThread> {
        self.threads.first()
    }
}

/// A stopped tree. Dropping it lets the tree go on.
#[derive(Debug, Default)]
pub struct Frozen {
    pub processes: Vec<FrozenProcess>,
    /// Threads under trace, also those not sorted into `processes` yet: (process, thread).
    held: HashMap<i32, Held>,
    since: Option<Instant>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    pid: i32,
    stopped: bool,
    stop_signal: i32,
    /// Its registers, where they were read since it has stopped.
    regs: Option<user_regs_struct>,
}

impl Frozen {
    /// Stops the tree. A vfork in progress is waited for, while the tree runs.
    ///
    /// # Errors
    /// On any error the tree runs on as before.
    pub fn freeze(target: Target) -> Result<Frozen, FreezeError> {
        Frozen::with_patience(target, Duration::ZERO)
    }

    /// The same for a tree that is about to end. Nobody notices that it takes up to 20 ms longer where threads were
    /// stopped within the vDSO, so these run on until they are out of it.
    ///
    /// # Errors
    /// As [`Frozen::freeze`].
    pub fn freeze_for_good(target: Target) -> Result<Frozen, FreezeError> {
        Frozen::with_patience(target, VDSO_LIMIT)
    }

    fn with_patience(target: Target, within_vdso: Duration) -> Result<Frozen, FreezeError> {
        let deadline = Instant::now() + VFORK_LIMIT;
        loop {
            match Frozen::attempt(target, within_vdso) {
                Err(FreezeError::Vfork { tid, .. }) if await_vfork(tid, deadline) => {}
                outcome => return outcome,
            }
        }
    }

    fn attempt(target: Target, within_vdso: Duration) -> Result<Frozen, FreezeError> {
        let mut frozen = Frozen::default();
        frozen.since = Some(Instant::now());
        let mut pids = Vec::new();
        let mut all_stopped = None;
        let mut moment = MOMENT;
        for pass in 0.. {
            if pass == PASS_LIMIT {
                return Err(FreezeError::ForksTooFast);
            }
            let list = target.list().map_err(|e| match target {
                Target::Tree(pid) if e.kind() == io::ErrorKind::NotFound => FreezeError::NoSuchProcess(pid),
                _ => FreezeError::Tree(e),
            })?;
            let mut news = Vec::new();
            for pid in &list {
                news.extend(frozen.seize_threads(*pid)?);
            }
            frozen.wait_for(&news)?;
            pids = list;
            if news.is_empty() {
                let since = *all_stopped.get_or_insert_with(Instant::now);
                if !frozen.leave(since, within_vdso, &mut moment)? {
                    break;
                }
            }
        }
        for pid in pids {
            frozen.admit(pid)?;
        }
        if let Target::Tree(root) = target
            && !frozen.processes.iter().any(|p| p.pid == root && !p.is_zombie())
        {
            return Err(FreezeError::NoSuchProcess(root));
        }
        Ok(frozen)
    }

    /// Says what mappings the processes had before they were stopped.
    pub fn note_maps(&mut self, mut before: HashMap<i32, maps::Known>) {
        for process in &mut self.processes {
            process.maps_before = before.remove(&process.pid).unwrap_or_default();
        }
    }

    /// How long the tree has been stopped.
    pub fn pause(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |s| s.elapsed())
    }

    /// Seizes and interrupts the threads of a process that are not held yet.
    fn seize_threads(&mut self, pid: i32) -> Result<Vec<i32>, FreezeError> {
        let mut news = Vec::new();
        let Ok(tids) = tree::threads(pid) else { return Ok(news) };
        for tid in tids {
            if self.held.contains_key(&tid) {
                continue;
            }
            match ptrace::seize(tid, OPTIONS) {
                Ok(()) => {}
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => continue,
                Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
                    let Ok(stat) = Stat::of_thread(pid, tid) else { continue };
                    if stat.is_zombie() {
                        continue;
                    }
                    let tracer = Status::of_thread(pid, tid).map_or(0, |s| s.tracer);
                    if tracer == 0 {
                        return Err(FreezeError::NotPermitted(pid));
                    }
                    if tracer != own_tid() {
                        return Err(FreezeError::Traced { pid, comm: stat.comm, tracer });
                    }
                    // Born of a thread that we hold, and attached at birth.
                }
                Err(source) => return Err(FreezeError::Thread { tid, source }),
            }
            self.held.insert(tid, Held { pid, ..Held::default() });
            match ptrace::interrupt(tid) {
                Ok(()) => {}
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                Err(source) => return Err(FreezeError::Thread { tid, source }),
            }
            news.push(tid);
        }
        Ok(news)
    }

    /// Waits until each of these threads has stopped or ended.
    fn wait_for(&mut self, tids: &[i32]) -> Result<(), FreezeError> {
        if tids.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let deadline = begun + STOP_LIMIT;
        let patience = Patience::new();
        for &tid in tids {
            loop {
                match patience.wait(tid) {
                    Ok(Some(event)) => {
                        if self.note(tid, event)? {
                            break;
                        }
                    }
                    Ok(None) => {
                        let pid = self.held.get(&tid).map_or(tid, |h| h.pid);
                        if begun.elapsed() > LOOK_AFTER && tree::waits_in_vfork(pid, tid) {
                            let comm = Stat::of(pid).map_or(String::new(), |s| s.comm);
                            return Err(FreezeError::Vfork { pid, tid, comm });
                        }
                        if Instant::now() > deadline {
                            let wchan = crate::proc::read(pid, &format!("task/{tid}/wchan"))
                                .unwrap_or_else(|_| "unknown".into());
                            return Err(FreezeError::WouldNotStop { pid, tid, wchan });
                        }
                    }
                    // Reaped by somebody else or never ours: it has ended.
                    Err(_) => {
                        self.held.remove(&tid);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets threads run on for a moment that were stopped within the vDSO, whose code and data are the kernel's, or on
    /// the way back from what an earlier helper, which was killed, had them do, and stops them again; false where there
    /// are none, or the first of these do not come out. (Single steps would leave them with a trap flag, were we killed.)
    fn leave(
        &mut self,
        since: Instant,
        within_vdso: Duration,
        moment: &mut Duration,
    ) -> Result<bool, FreezeError> {
        let stopped = self.held.iter_mut().filter(|(_, held)| held.stopped && held.stop_signal == 0);
        let mut within = Vec::new();
        let mut pages = HashMap::new();
        for (tid, held) in stopped {
            held.regs = ptrace::registers(*tid).ok();
            let Some(regs) = held.regs else { continue };
            match way_out(held.pid, *tid, &regs, &mut pages) {
                // Its code is about to be written over.
                Some(Way::Back) if since.elapsed() > STOP_LIMIT => {
                    let wchan = "on its way back from an earlier helper".into();
                    return Err(FreezeError::WouldNotStop { pid: held.pid, tid: *tid, wchan });
                }
                Some(Way::Vdso) if since.elapsed() >= within_vdso => {}
                Some(_) => within.push((*tid, regs)),
                None => {}
            }
        }
        if within.is_empty() {
            return Ok(false);
        }
        let tids: Vec<i32> = within.iter().map(|(tid, _)| *tid).collect();
        for tid in &tids {
            if let Some(held) = self.held.get_mut(tid) {
                (held.stopped, held.regs) = (false, None);
            }
            // One that is gone is found so below.
            let _ = ptrace::cont(*tid, 0);
        }
        std::thread::sleep(*moment);
        for tid in &tids {
            let _ = ptrace::interrupt(*tid);
        }
        self.wait_for(&tids)?;
        let ran = |(tid, before): &(i32, user_regs_struct)| {
            ptrace::registers(*tid)
                .map_or(true, |now| (now.rip, now.rax, now.rdx) != (before.rip, before.rax, before.rdx))
        };
        if !within.iter().all(ran) {
            // It got no processor.
            *moment = (*moment * 2).min(LONGEST_MOMENT);
        }
        Ok(true)
    }

    /// Takes in one stop; true when the thread stays stopped (or is gone).
    fn note(&mut self, tid: i32, event: Wait) -> Result<bool, FreezeError> {
        // Any trap takes a pending interruption away (ptrace_stop() in the kernel's signal.c), so that it is asked for
        // again before the thread goes on.
        let go_on = |signal| match ptrace::interrupt(tid).and_then(|()| ptrace::cont(tid, signal)) {
            Err(e) if e.raw_os_error() != Some(libc::ESRCH) => Err(FreezeError::Thread { tid, source: e }),
            _ => Ok(false),
        };
        match event {
            Wait::Event { event: ptrace::EVENT_STOP, signal } => {
                if let Some(held) = self.held.get_mut(&tid) {
                    held.stopped = true;
                    held.stop_signal = if signal == libc::SIGTRAP { 0 } else { signal };
                }
                Ok(true)
            }
            Wait::Exited(_) | Wait::Killed(_) => {
                self.held.remove(&tid);
                Ok(true)
            }
            // A child was made: it is traced, and the next pass finds it. Its maker is still inside the
            // system call; it stops on its way out.
            Wait::Event { .. } | Wait::Syscall => go_on(0),
            // The signal takes its effect (a handler's frame is set up), then the thread stops.
            Wait::Signal(signal) => go_on(signal),
        }
    }

    /// Sorts a stopped process in, with the registers of its threads.
    fn admit(&mut self, pid: i32) -> Result<(), FreezeError> {
        let Ok(stat) = Stat::of(pid) else { return Ok(()) };
        let mut threads = Vec::new();
        let mut stopped = None;
        for tid in tree::threads(pid).unwrap_or_default() {
            let Some(held) = self.held.get(&tid).copied().filter(|h| h.stopped) else { continue };
            if held.stop_signal != 0 {
                stopped = Some(held.stop_signal);
            }
            let read = || {
                let regs = held.regs.map_or_else(|| ptrace::registers(tid), Ok)?;
                Ok((regs, ptrace::signal_mask(tid)?))
            };
            let (mut regs, mask) = read().map_err(|source| FreezeError::Thread { tid, source })?;
            // 32-bit system calls have other numbers.
            let patched =
                regs.cs == USER_CS && (restart_instead_of_eintr(&mut regs) | rseq::abort(tid, &mut regs));
            threads.push(FrozenThread { tid, regs, mask, patched, facts: OnceLock::new() });
        }
        // Injected calls are ours, not the program's: its filters rest as long as we trace it.
        if Status::of(pid).is_ok_and(|s| s.seccomp != 0) {
            for thread in &threads {
                let options = OPTIONS | ptrace::O_SUSPEND_SECCOMP;
                ptrace::set_options(thread.tid, options)
                    .map_err(|source| FreezeError::Thread { tid: thread.tid, source })?;
            }
        }
        if threads.is_empty() && !stat.is_zombie() {
            // It ended while the others were being stopped.
            return Ok(());
        }
        self.processes.push(FrozenProcess {
            pid,
            stat,
            threads,
            stopped,
            maps_before: maps::Known::default(),
            vmas: OnceLock::new(),
            descriptors: OnceLock::new(),
        });
        Ok(())
    }

    /// Lets the tree go on as it was.
    pub fn thaw(mut self) -> Duration {
        let pause = self.pause();
        self.release();
        pause
    }

    /// Kills every process of the tree; they are reaped as tracees, so that nothing of them is left but
    /// what their own parents have to collect.
    pub fn kill(mut self) {
        for process in &self.processes {
            let _ = torpor_sys::clone::kill(process.pid, libc::SIGKILL);
        }
        let tids: Vec<i32> = self.held.keys().copied().collect();
        let (leaders, others): (Vec<i32>, Vec<i32>) =
            tids.into_iter().partition(|tid| self.held.get(tid).is_some_and(|h| h.pid == *tid));
        let deadline = Instant::now() + STOP_LIMIT;
        let patience = Patience::new();
        for tid in others.into_iter().chain(leaders.into_iter().rev()) {
            while Instant::now() < deadline {
                match patience.wait(tid) {
                    Ok(Some(Wait::Exited(_) | Wait::Killed(_))) | Err(_) => break,
                    Ok(Some(_)) => {
                        let _ = ptrace::cont(tid, 0);
                    }
                    Ok(None) => {}
                }
            }
        }
        self.held.clear();
    }

    fn release(&mut self) {
        for process in &self.processes {
            for thread in &process.threads {
                if thread.patched {
                    let _ = ptrace::set_registers(thread.tid, &thread.regs);
                }
            }
        }
        // Who has not stopped may be waiting for one that has.
        let (stopped, running): (Vec<_>, Vec<_>) = self.held.drain().partition(|(_, held)| held.stopped);
        for (tid, held) in stopped.into_iter().chain(running) {
            if !held.stopped {
                // Only a stopped tracee can be detached; bounded, since it has been interrupted.
                let deadline = Instant::now() + Duration::from_millis(200);
                while Instant::now() < deadline && matches!(ptrace::try_wait(tid), Ok(None)) {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
            let _ = ptrace::detach(tid, 0);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.release();
    }
}

/// Waits until a thread that we could not stop is out of its vfork, and lets it go; false when it takes too long
/// (the kernel lets it go when we end).
fn await_vfork(tid: i32, deadline: Instant) -> bool {
    while Instant::now() < deadline {
        match ptrace::try_wait(tid) {
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Ok(Some(Wait::Exited(_) | Wait::Killed(_))) | Err(_) => return true,
            Ok(Some(_)) => {
                let _ = ptrace::detach(tid, 0);
                return true;
            }
        }
    }
    false
}

/// What is there, or what `read` gives, which stays. Two that ask at once may both read.
fn once<T>(cell: &OnceLock<T>, read: impl FnOnce() -> io::Result<T>) -> io::Result<&T> {
    match cell.get() {
        Some(there) => Ok(there),
        None => read().map(|new| cell.get_or_init(|| new)),
    }
}

/// What a thread is to come out of before it is looked at.
enum Way {
    Vdso,
    /// A stub (see [`crate::inject`]) that an earlier helper has left.
    Back,
}

const PAGE: usize = 4096;

/// Pages of code by process and address. Many threads wait in the same one.
type Pages = HashMap<(i32, u64), Option<Box<[u8; PAGE]>>>;

/// What a stopped thread has to come out of. The vDSO is told by its code, since a program may have moved it.
fn way_out(pid: i32, tid: i32, regs: &user_regs_struct, pages: &mut Pages) -> Option<Way> {
    const ENOUGH: usize = 16;
    let offset = regs.rip as usize % PAGE;
    let start = regs.rip - offset as u64;
    let read = || {
        let mut page = Box::new([0u8; PAGE]);
        memory::read(tid, start, &mut page[..]).ok().map(|()| page)
    };
    let page = &pages.entry((pid, start)).or_insert_with(read).as_ref()?[..];
    if inject::is_left(page, offset) {
        return Some(Way::Back);
    }
    let there = &page[offset..(offset + ENOUGH).min(PAGE)];
    let is_there = |code: &[u8]| code.get(offset..).is_some_and(|code| code.starts_with(there));
    vdso::own()?.code.chunks(PAGE).any(is_there).then_some(Way::Vdso)
}

fn own_tid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Some system calls answer EINTR to any interruption, even one without a handler (signal(7)). The stop
/// that we caused must not show: the call is made again, unless a handler runs first.
fn restart_instead_of_eintr(regs: &mut user_regs_struct) -> bool {
    const NEVER_RESTARTED: [i64; 22] = [
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_pwait2,
        libc::SYS_semop,
        libc::SYS_semtimedop,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_io_getevents,
        SYS_IO_PGETEVENTS,
        libc::SYS_read,
        // Sockets with a time limit (SO_RCVTIMEO, SO_SNDTIMEO).
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_recvmmsg,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_connect,
        libc::SYS_fallocate,
    ];
    let hit = regs.rax as i64 == -i64::from(libc::EINTR) && NEVER_RESTARTED.contains(&(regs.orig_rax as i64));
    if hit {
        regs.rax = ERESTARTNOHAND as u64;
    }
    hit
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Its shell is in fork(2) at most moments, and waits for the child in between.
    #[test]
    fn a_process_that_forks_all_the_time_is_stopped_at_any_moment() {
        let mut shell =
            Command::new("sh").args(["-c", "while :; do (:); done"]).spawn().expect("start a shell");
        let outcomes: Vec<_> = (0..300)
            .map(|_| Frozen::freeze(Target::Tree(shell.id() as i32)).map(Frozen::thaw))
            .take_while(Result::is_ok)
            .collect();
        shell.kill().and_then(|()| shell.wait()).expect("end the shell");
        assert_eq!(outcomes.len(), 300, "a thread did not stop");
    }
}
