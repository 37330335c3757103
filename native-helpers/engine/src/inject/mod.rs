//! System calls made by a stopped process on our behalf, such that our death at any moment does it no harm.
//!
//! The kernel lets a tracee run when its tracer dies. So a thread whose registers we have changed must at
//! every moment be on a path that ends where it was stopped. That path is the *stub*: a few instructions
//! in the unused tail of the vDSO's last page (written through /proc/PID/mem, which makes the page private
//! to the process; nothing ever runs there otherwise):
//!
//! ```text
//! call:  syscall                       ← rip for a call; we watch its entry and exit
//! wait:  until a guest has raised a flag
//! tail:  munmap(scratch)               ← not reached while we live
//!        rt_sigprocmask(SIG_SETMASK, mask of this thread)
//!        every register changed ← its value when the thread was stopped
//!        jmp where it was stopped (iretq where the thread single-steps itself)
//! fork:  syscall; if 0: exit_group(0); signal; wait for the child; jmp tail
//! single: syscall; signal; jmp tail
//! batch: syscall for each row of a table in scratch memory; signal; jmp tail
//! ```
//!
//! Each stop costs a turn of the scheduler, twice. So a thread tells by one stop that it has done what it was to do:
//! it sends itself a signal, the one signal that is not blocked meanwhile, and stops where that is about to be
//! delivered. That is one that the program would not notice (by default ignored, without a handler, not pending): if we
//! are dead by then it has no effect. Where there is no such signal, entry and exit of each call are watched instead.
//!
//! No instruction of it changes flags, writes to the stack or needs memory besides its own page. While we live
//! the thread never gets to `tail`: it is stopped again and gets its registers back exactly, the kernel's
//! own notes about a system call to restart included.

mod batch;
mod limits;
mod stub;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use torpor_sys::arch::USER_CS;
use torpor_sys::memory;
use torpor_sys::ptrace::{self, Wait, user_regs_struct};

pub use self::batch::Batch;
pub use self::stub::is_left;
use self::stub::{
    End, EndOf, FLAG_OFFSET, FORK_OFFSET, Owner, SINGLE_OFFSET, STUB_ROOM, SYSCALL_LEN, TRAP_FLAG,
    TRAP_OFFSET, WAIT_OFFSET, assemble,
};
use crate::freeze::FrozenThread;
use crate::proc::maps::Vma;
use crate::proc::status::Status;

/// Room for results of injected calls in the process.
pub const SCRATCH_LEN: u64 = 64 * 1024;
const ALL_SIGNALS: u64 = u64::MAX;

#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    #[error("process {pid} has no executable page with room for {STUB_ROOM} unused bytes")]
    NoRoom { pid: i32 },
    #[error("process {pid} has no free range of addresses for {SCRATCH_LEN} bytes")]
    NoScratch { pid: i32 },
    #[error("thread {tid} ended while it was being asked for its state")]
    Ended { tid: i32 },
    #[error("thread {tid} could not run what it was asked for: it got signal {signal} there")]
    Fault { tid: i32, signal: i32 },
    #[error("thread {tid} runs 32-bit code and can't be asked for its state")]
    Not64Bit { tid: i32 },
    #[error("asking thread {tid} of its state: {source}")]
    Io { tid: i32, source: io::Error },
}

/// Where in one process injected calls run. Its bytes are put back on drop.
#[derive(Debug)]
pub struct Injector {
    pid: i32,
    memory: File,
    stub: u64,
    original: Vec<u8>,
    scratch: u64,
    scratch_mapped: bool,
    anchor: Option<Anchor>,
}

/// The thread that has mapped the scratch memory, parked between two lendings: if we die, it unmaps that, and waits
/// before until a guest, another thread that is lent, is not in the middle of a batch there.
#[derive(Debug)]
struct Anchor {
    tid: i32,
    saved: user_regs_struct,
    mask: u64,
    at_signal: bool,
    held_back: Vec<i32>,
    end: Option<End>,
    /// If we die, it waits for the flag; else it goes at once.
    waits: bool,
}

/// One thread lent for injected calls; it gets its own state back on [`Remote::finish`] or drop.
pub struct Remote<'a> {
    injector: &'a mut Injector,
    /// Where this thread's stub is: the first one's, or beside it the others', one after the other.
    stub: u64,
    tid: i32,
    saved: user_regs_struct,
    mask: u64,
    /// How it tells that it is done, where it can.
    end: Option<End>,
    begun: bool,
    /// Its signals are blocked, but for that one.
    blocked: bool,
    /// A guest's flag is up: the anchor need not wait for it.
    raised: bool,
    /// Stopped where a signal was about to be delivered, which is as good a place to leave from as an
    /// interruption: the kernel looks at the registers anew.
    at_signal: bool,
    /// A SIGSTOP that arrived meanwhile and is sent again at the end.
    held_back: Vec<i32>,
    finished: bool,
}

impl Injector {
    /// Finds room for the stub and for scratch memory in a stopped process.
    pub fn new(pid: i32, vmas: &[Vma]) -> Result<Injector, InjectError> {
        let io = |source| InjectError::Io { tid: pid, source };
        let memory =
            OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem")).map_err(io)?;
        let vdso = vmas.iter().filter(|v| v.name == "[vdso]");
        let others =
            vmas.iter().filter(|v| v.exec && v.read && !v.write && !v.shared && v.name.starts_with('/'));
        let mut page = vec![0u8; 4096];
        for vma in vdso.chain(others) {
            if memory.read_exact_at(&mut page, vma.end - 4096).is_err() {
                continue;
            }
            let (start, stubs) = stub::room(&page);
            let stubs = stubs.min(2);
            if stubs > 0 {
                let scratch = hole(vmas, SCRATCH_LEN).ok_or(InjectError::NoScratch { pid })?;
                return Ok(Injector {
                    pid,
                    memory,
                    stub: vma.end - 4096 + start as u64,
                    // Nothing was there, or what an earlier helper has left.
                    original: vec![0; stubs * STUB_ROOM],
                    scratch,
                    scratch_mapped: false,
                    anchor: None,
                });
            }
        }
        Err(InjectError::NoRoom { pid })
    }

    /// Lends a thread for calls.
    pub fn thread(&mut self, thread: &FrozenThread) -> Remote<'_> {
        if let Some(anchor) = self.anchor.take_if(|anchor| anchor.tid == thread.tid) {
            return Remote::of_anchor(self, anchor);
        }
        let guest = self.anchor.is_some();
        let stub = self.stub + if guest { STUB_ROOM as u64 } else { 0 };
        // Without, each call is watched.
        let end = thread.facts(self.pid).ok().and_then(|facts| end(&facts.status, thread.mask));
        Remote {
            injector: self,
            stub,
            tid: thread.tid,
            saved: thread.regs,
            mask: thread.mask,
            end,
            begun: false,
            blocked: false,
            raised: guest,
            at_signal: false,
            held_back: Vec::new(),
            finished: false,
        }
    }

    /// From now on the anchor, if we die, waits until the flag is up.
    fn let_anchor_wait(&mut self) -> io::Result<()> {
        let Some(anchor) = self.anchor.as_mut().filter(|anchor| !anchor.waits) else { return Ok(()) };
        anchor.waits = true;
        park(anchor.tid, &anchor.saved, self.stub + WAIT_OFFSET)
    }

    /// The process that the calls are made in.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        if let Some(anchor) = self.anchor.take() {
            drop(Remote::of_anchor(self, anchor));
        }
        // Only bytes that nobody runs; a process that is gone has none.
        let _ = self.memory.write_all_at(&self.original, self.stub);
    }
}

impl Remote<'_> {
    fn io(&self) -> impl Fn(io::Error) -> InjectError + use<> {
        io_of(self.tid)
    }

    /// Never by a signal: for calls that take signals themselves, which that might be one of.
    pub fn without_signal(mut self) -> Self {
        self.end = None;
        self
    }

    /// Writes the stub for this thread. A guest is at its tail then, where it does not need the scratch memory, and the
    /// anchor does not go before the flag is up, which the tail sees to.
    fn begin(&mut self) -> Result<(), InjectError> {
        if self.begun {
            return Ok(());
        }
        if self.saved.cs != USER_CS {
            return Err(InjectError::Not64Bit { tid: self.tid });
        }
        let owner = self.owner();
        let stub = assemble(self.stub, self.injector.scratch, &self.saved, self.mask, owner, self.end);
        self.injector.memory.write_all_at(&stub, self.stub).map_err(self.io())?;
        self.begun = true;
        if owner == Owner::Guest {
            park(self.tid, &self.saved, self.stub + SYSCALL_LEN).map_err(self.io())?;
            self.injector.let_anchor_wait().map_err(self.io())?;
        }
        Ok(())
    }

    /// Lowers a guest's flag: from here on it may use the scratch memory.
    fn lower(&mut self) -> Result<(), InjectError> {
        if self.raised {
            self.write(self.injector.scratch + FLAG_OFFSET, &[0; 8])?;
            self.raised = false;
        }
        Ok(())
    }

    /// Blocks the thread's signals, once it is on the stub's path, which gives it its mask back.
    fn block(&mut self) -> Result<(), InjectError> {
        if !self.blocked {
            let but = self.end.map_or(0, |end| 1 << (end.signal - 1));
            ptrace::set_signal_mask(self.tid, ALL_SIGNALS & !but).map_err(self.io())?;
            self.blocked = true;
        }
        Ok(())
    }

    fn owner(&self) -> Owner {
        if self.is_anchor() { Owner::Anchor } else { Owner::Guest }
    }

    /// Whether this is the first thread lent, which maps the scratch memory.
    fn is_anchor(&self) -> bool {
        self.stub == self.injector.stub
    }

    /// Makes one system call in the thread.
    ///
    /// # Errors
    /// The call's own errno is in the inner result; the outer tells that it could not be made.
    pub fn call(&mut self, number: i64, args: [u64; 6]) -> Result<io::Result<u64>, InjectError> {
        self.begin()?;
        self.lower()?;
        match self.end {
            Some(_) => self.call_once(SINGLE_OFFSET, EndOf::Single, (number, args)),
            None => self.call_watched(self.stub, (number, args)),
        }
    }

    /// Makes a fork-like call; the child, should it ever run by itself, just exits.
    pub fn call_fork(&mut self, number: i64, args: [u64; 6]) -> Result<io::Result<u64>, InjectError> {
        self.begin()?;
        self.lower()?;
        match self.end {
            Some(_) => self.call_once(FORK_OFFSET, EndOf::Fork, (number, args)),
            None => self.call_watched(self.stub + FORK_OFFSET, (number, args)),
        }
    }

    fn call_once(
        &mut self,
        entry: u64,
        of: EndOf,
        call: (i64, [u64; 6]),
    ) -> Result<io::Result<u64>, InjectError> {
        self.go(&with_call(&self.saved, self.stub + entry, call))?;
        let regs = self.await_end(of)?;
        Ok(answer(regs.rbx as i64))
    }

    fn call_watched(&mut self, rip: u64, call: (i64, [u64; 6])) -> Result<io::Result<u64>, InjectError> {
        if !self.blocked {
            // At the tail, whose path is right also while signals come.
            park(self.tid, &self.saved, self.stub + SYSCALL_LEN).map_err(self.io())?;
            self.block()?;
        }
        self.at_signal = false;
        let result = call_at(self.tid, &self.saved, rip, call, &mut self.held_back);
        self.finished |= matches!(result, Err(InjectError::Ended { .. }));
        result
    }

    /// Has the thread run an entry of its stub that ends with its signal.
    fn go(&mut self, regs: &user_regs_struct) -> Result<(), InjectError> {
        self.at_signal = false;
        ptrace::set_registers(self.tid, regs).map_err(self.io())?;
        self.block()?;
        ptrace::cont(self.tid, 0).map_err(self.io())
    }

    /// Waits until it is there: its registers then, from which it would go on to the tail.
    fn await_end(&mut self, of: EndOf) -> Result<user_regs_struct, InjectError> {
        let at = self.stub + of.offset(self.owner());
        loop {
            match ptrace::wait(self.tid).map_err(self.io())? {
                Wait::Signal(signal) if self.end.is_some_and(|end| end.signal == signal) => {
                    let regs = ptrace::registers(self.tid).map_err(self.io())?;
                    if regs.rip == at {
                        self.at_signal = true;
                        return Ok(regs);
                    }
                    // Somebody else's comes without an effect, as it would have, unless it was to wait.
                    if self.mask & 1 << (signal - 1) != 0 {
                        self.held_back.push(signal);
                    }
                }
                Wait::Signal(signal) if is_fault(signal) => {
                    return Err(InjectError::Fault { tid: self.tid, signal });
                }
                Wait::Signal(signal) => self.held_back.push(signal),
                Wait::Exited(_) | Wait::Killed(_) => {
                    self.finished = true;
                    return Err(InjectError::Ended { tid: self.tid });
                }
                Wait::Event { .. } | Wait::Syscall => {}
            }
            ptrace::cont(self.tid, 0).map_err(self.io())?;
        }
    }

    /// Makes a call in another thread, stopped and traced by us, that has a copy of the stub: one forked off
    /// this one.
    pub fn call_in(&self, tid: i32, number: i64, args: [u64; 6]) -> Result<io::Result<u64>, InjectError> {
        call_at(tid, &self.saved, self.stub, (number, args), &mut Vec::new())
    }

    /// Has such a thread begin a fork-like call. Others can be asked meanwhile; then comes [`Forking::finish`].
    pub fn start_fork_in(&self, tid: i32, number: i64, args: [u64; 6]) -> Result<Forking, InjectError> {
        let mut regs = with_call(&self.saved, self.stub + TRAP_OFFSET, (number, args));
        regs.r12 = libc::SYS_getpid as u64;
        ptrace::set_registers(tid, &regs).map_err(io_of(tid))?;
        ptrace::cont(tid, 0).map_err(io_of(tid))?;
        Ok(Forking { tid })
    }

    /// Has such a thread begin two calls, the second one with one argument; then comes [`Errand::finish`].
    pub fn start_two_in(
        &self,
        tid: i32,
        (number, args): (i64, [u64; 6]),
        (second, arg): (i64, u64),
    ) -> Result<Errand, InjectError> {
        let mut regs = with_call(&self.saved, self.stub + TRAP_OFFSET, (number, args));
        (regs.r12, regs.r13) = (second as u64, arg);
        ptrace::set_registers(tid, &regs).map_err(io_of(tid))?;
        ptrace::cont(tid, 0).map_err(io_of(tid))?;
        Ok(Errand { tid })
    }

    /// Maps scratch memory into the process, once, and gives its address. It is zeroed.
    pub fn scratch(&mut self) -> Result<u64, InjectError> {
        if !self.injector.scratch_mapped {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            let address = self.injector.scratch;
            let args = [address, SCRATCH_LEN, prot as u64, flags as u64, u64::MAX, 0];
            let mut mapped = self.call(libc::SYS_mmap, args)?;
            if mapped.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::ENOMEM)) {
                let raised = limits::raise(self)?;
                mapped = self.call(libc::SYS_mmap, args)?;
                limits::put_back(self, &raised)?;
            }
            mapped.map_err(self.io())?;
            self.injector.scratch_mapped = true;
        }
        Ok(self.injector.scratch)
    }

    /// Unmaps the scratch memory; to be called on the last thread lent.
    pub fn release_scratch(&mut self) -> Result<(), InjectError> {
        if self.injector.scratch_mapped {
            self.call(libc::SYS_munmap, [self.injector.scratch, SCRATCH_LEN, 0, 0, 0, 0])?
                .map_err(self.io())?;
            self.injector.scratch_mapped = false;
        }
        Ok(())
    }

    /// Reads from the process.
    pub fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), InjectError> {
        memory::read(self.injector.pid, address, buf).map_err(self.io())
    }

    /// Reads little-endian words from the process.
    pub fn read_words<const N: usize>(&self, address: u64) -> Result<[u64; N], InjectError> {
        let bytes = self.read_vec(address, N * 8)?;
        Ok(std::array::from_fn(|i| u64::from_le_bytes(bytes[i * 8..][..8].try_into().expect("8 bytes"))))
    }

    /// Reads `len` bytes from the process.
    pub fn read_vec(&self, address: u64, len: usize) -> Result<Vec<u8>, InjectError> {
        let mut bytes = vec![0u8; len];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes to the process (scratch memory only).
    pub fn write(&self, address: u64, data: &[u8]) -> Result<(), InjectError> {
        memory::write(self.injector.pid, address, data).map_err(self.io())
    }

    /// Gives the thread its own registers and mask back; it stays stopped. Whoever has mapped the scratch memory
    /// stays at its tail instead, until it is lent again and has released it.
    pub fn finish(mut self) -> Result<(), InjectError> {
        if self.injector.scratch_mapped && self.is_anchor() && !self.finished {
            if self.injector.original.len() >= 2 * STUB_ROOM {
                self.finished = true;
                self.injector.anchor = Some(Anchor {
                    tid: self.tid,
                    saved: self.saved,
                    mask: self.mask,
                    at_signal: self.at_signal,
                    held_back: std::mem::take(&mut self.held_back),
                    end: self.end,
                    waits: false,
                });
                return Ok(());
            }
            // No room for the stub of another thread beside this one's.
            self.release_scratch()?;
        }
        self.restore()
    }

    fn of_anchor(injector: &mut Injector, anchor: Anchor) -> Remote<'_> {
        Remote {
            stub: injector.stub,
            injector,
            tid: anchor.tid,
            saved: anchor.saved,
            mask: anchor.mask,
            end: anchor.end,
            begun: true,
            blocked: true,
            raised: false,
            at_signal: anchor.at_signal,
            held_back: anchor.held_back,
            finished: false,
        }
    }

    fn restore(&mut self) -> Result<(), InjectError> {
        if self.begun && !self.is_anchor() && !self.raised {
            // One that is gone has taken its memory with it.
            let _ = self.write(self.injector.scratch + FLAG_OFFSET, &[1; 8]);
            self.raised = true;
        }
        if self.finished || !self.begun {
            return Ok(());
        }
        self.finished = true;
        if !self.at_signal {
            self.interrupt()?;
        }
        // In this order: at the tail a signal does no harm, and a thread on its own path must not have them blocked.
        ptrace::set_signal_mask(self.tid, self.mask).map_err(self.io())?;
        ptrace::set_registers(self.tid, &self.saved).map_err(self.io())?;
        for signal in self.held_back.drain(..) {
            let _ = torpor_sys::clone::tgkill(self.injector.pid, self.tid, signal);
        }
        Ok(())
    }

    /// Stops the thread inside the kernel's signal handling: only there does it look at the registers for a
    /// system call to restart.
    fn interrupt(&mut self) -> Result<(), InjectError> {
        ptrace::interrupt(self.tid).map_err(self.io())?;
        ptrace::cont(self.tid, 0).map_err(self.io())?;
        loop {
            match ptrace::wait(self.tid).map_err(self.io())? {
                Wait::Event { event: ptrace::EVENT_STOP, .. } => return Ok(()),
                Wait::Exited(_) | Wait::Killed(_) => return Err(InjectError::Ended { tid: self.tid }),
                Wait::Signal(signal) => {
                    self.held_back.push(signal);
                    ptrace::cont(self.tid, 0).map_err(self.io())?;
                }
                _ => ptrace::cont(self.tid, 0).map_err(self.io())?,
            }
        }
    }
}

impl Drop for Remote<'_> {
    fn drop(&mut self) {
        if !self.finished && self.begun && self.is_anchor() {
            let _ = self.release_scratch();
        }
        let _ = self.restore();
    }
}

/// A copy of a process in the middle of a fork-like call.
#[must_use]
pub struct Forking {
    tid: i32,
}

/// A copy of a process in the middle of two calls.
#[must_use]
pub struct Errand {
    tid: i32,
}

impl Errand {
    /// Waits until both calls have returned, and gives what they did.
    ///
    /// # Errors
    /// As of [`Remote::call`].
    pub fn finish(self) -> Result<[io::Result<u64>; 2], InjectError> {
        loop {
            match ptrace::wait(self.tid).map_err(io_of(self.tid))? {
                Wait::Signal(libc::SIGTRAP) => {
                    let regs = ptrace::registers(self.tid).map_err(io_of(self.tid))?;
                    return Ok([answer(regs.rbx as i64), answer(regs.rax as i64)]);
                }
                Wait::Exited(_) | Wait::Killed(_) => return Err(InjectError::Ended { tid: self.tid }),
                _ => ptrace::cont(self.tid, 0).map_err(io_of(self.tid))?,
            }
        }
    }
}

impl Forking {
    /// Waits until the other process is there, and gives its number. Who was to fork stays within the call.
    ///
    /// # Errors
    /// As of [`Remote::call`].
    pub fn finish(self) -> Result<io::Result<u64>, InjectError> {
        loop {
            match ptrace::wait(self.tid).map_err(io_of(self.tid))? {
                Wait::Event { event: ptrace::EVENT_FORK | ptrace::EVENT_CLONE, .. } => {
                    return ptrace::event_message(self.tid).map(Ok).map_err(io_of(self.tid));
                }
                // It could not.
                Wait::Signal(libc::SIGTRAP) => {
                    let regs = ptrace::registers(self.tid).map_err(io_of(self.tid))?;
                    return Ok(answer(regs.rbx as i64));
                }
                Wait::Exited(_) | Wait::Killed(_) => return Err(InjectError::Ended { tid: self.tid }),
                _ => ptrace::cont(self.tid, 0).map_err(io_of(self.tid))?,
            }
        }
    }
}

/// The flags of a thread without its own single steps: their SIGTRAP, blocked as all signals are, would end it. The
/// stub's tail sets the flag again.
fn unstepped(saved: &user_regs_struct) -> u64 {
    saved.eflags & !TRAP_FLAG
}

/// Has a stopped thread go on at `rip`, with its own registers besides, should we let go of it.
fn park(tid: i32, saved: &user_regs_struct, rip: u64) -> io::Result<()> {
    ptrace::set_registers(
        tid,
        &user_regs_struct { rip, orig_rax: u64::MAX, eflags: unstepped(saved), ..*saved },
    )
}

/// The registers for a call with the stub's instruction at `rip`.
fn with_call(saved: &user_regs_struct, rip: u64, (number, args): (i64, [u64; 6])) -> user_regs_struct {
    let mut regs = *saved;
    regs.rip = rip;
    regs.eflags = unstepped(saved);
    regs.orig_rax = u64::MAX;
    regs.rax = number as u64;
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
    regs
}

/// A signal by which a thread with this status and mask can tell that it is done, unnoticed by its program: ignored
/// unless it has a handler (signal(7)), and not pending. One that is blocked might be waited for: only where nothing
/// else is there; whoever sends it meanwhile, it is sent again ([`Remote::await_end`]).
fn end(status: &Status, mask: u64) -> Option<End> {
    let taken = status.caught | status.pending | status.shared_pending;
    let free = |taken: u64| {
        [libc::SIGURG, libc::SIGWINCH].into_iter().find(|signal| taken & (1 << (signal - 1)) == 0)
    };
    Some(End { tid: *status.ns_pids.last()?, signal: free(taken | mask).or_else(|| free(taken))? })
}

/// Makes one call with the stub's instruction at `rip`; signals that can't be blocked are kept for later.
fn call_at(
    tid: i32,
    saved: &user_regs_struct,
    rip: u64,
    call: (i64, [u64; 6]),
    held_back: &mut Vec<i32>,
) -> Result<io::Result<u64>, InjectError> {
    start_at(tid, saved, rip, call, held_back)?;
    finish_at(tid, held_back)
}

fn io_of(tid: i32) -> impl Fn(io::Error) -> InjectError + Copy {
    move |source| match source.raw_os_error() {
        Some(libc::ESRCH) => InjectError::Ended { tid },
        _ => InjectError::Io { tid, source },
    }
}

/// The thread is in the kernel afterwards.
fn start_at(
    tid: i32,
    saved: &user_regs_struct,
    rip: u64,
    call: (i64, [u64; 6]),
    held_back: &mut Vec<i32>,
) -> Result<(), InjectError> {
    ptrace::set_registers(tid, &with_call(saved, rip, call)).map_err(io_of(tid))?;
    ptrace::cont_to_syscall(tid).map_err(io_of(tid))?;
    await_syscall(tid, held_back)?;
    ptrace::cont_to_syscall(tid).map_err(io_of(tid))
}

fn finish_at(tid: i32, held_back: &mut Vec<i32>) -> Result<io::Result<u64>, InjectError> {
    await_syscall(tid, held_back)?;
    let ret = ptrace::registers(tid).map_err(io_of(tid))?.rax as i64;
    Ok(answer(ret))
}

/// Whether a signal that comes to a thread with all of them blocked is one that its next instruction would only raise
/// again.
fn is_fault(signal: i32) -> bool {
    matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE)
}

/// Waits for the thread's next stop at the entry or the exit of a call.
fn await_syscall(tid: i32, held_back: &mut Vec<i32>) -> Result<(), InjectError> {
    loop {
        match ptrace::wait(tid).map_err(io_of(tid))? {
            Wait::Syscall => return Ok(()),
            Wait::Exited(_) | Wait::Killed(_) => return Err(InjectError::Ended { tid }),
            Wait::Signal(signal) if is_fault(signal) => return Err(InjectError::Fault { tid, signal }),
            // Only SIGSTOP can't be blocked.
            Wait::Signal(signal) => held_back.push(signal),
            Wait::Event { .. } => {}
        }
        ptrace::cont_to_syscall(tid).map_err(io_of(tid))?;
    }
}

/// What a system call returned, as the kernel puts it into rax.
fn answer(ret: i64) -> io::Result<u64> {
    if (-4095..0).contains(&ret) { Err(io::Error::from_raw_os_error(-ret as i32)) } else { Ok(ret as u64) }
}

/// The highest free range of `len` bytes below the top of user addresses, away from its neighbours so that
/// no stack grows into it.
pub fn hole(vmas: &[Vma], len: u64) -> Option<u64> {
    const TOP: u64 = 0x7fff_ff00_0000;
    const MARGIN: u64 = 1 << 24;
    let mut end = TOP;
    for vma in vmas.iter().rev() {
        if vma.start >= TOP {
            continue;
        }
        if vma.end + MARGIN + len + MARGIN <= end {
            return Some((end - MARGIN - len) & !0xfff);
        }
        end = end.min(vma.start);
    }
    (end > MARGIN * 2 + len).then(|| (end - MARGIN - len) & !0xfff)
}
