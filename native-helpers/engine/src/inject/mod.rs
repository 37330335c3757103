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
//! fork:  syscall; if 0: exit_group(0) else wait for the child; jmp tail
//! batch: syscall for each row of a table in scratch memory; then jmp tail
//! ```
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

use torpor_sys::memory;
use torpor_sys::ptrace::{self, Wait, user_regs_struct};

pub use self::batch::Batch;
pub use self::stub::is_left;
use self::stub::{
    BATCH_OFFSET, FLAG_OFFSET, FORK_OFFSET, Owner, STUB_ROOM, SYSCALL_LEN, TRAP_FLAG, WAIT_OFFSET, assemble,
};
use crate::freeze::FrozenThread;
use crate::proc::maps::Vma;

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
}

/// One thread lent for injected calls; it gets its own state back on [`Remote::finish`] or drop.
pub struct Remote<'a> {
    injector: &'a mut Injector,
    /// Where this thread's stub is: the first one's, or beside it the others', one after the other.
    stub: u64,
    tid: i32,
    saved: user_regs_struct,
    mask: u64,
    begun: bool,
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
        let stub = self.stub + if self.anchor.is_some() { STUB_ROOM as u64 } else { 0 };
        Remote {
            injector: self,
            stub,
            tid: thread.tid,
            saved: thread.regs,
            mask: thread.mask,
            begun: false,
            at_signal: false,
            held_back: Vec::new(),
            finished: false,
        }
    }

    /// Says whether the anchor, if we die, waits for a guest.
    fn let_anchor_wait(&self, waits: bool) -> io::Result<()> {
        let Some(anchor) = &self.anchor else { return Ok(()) };
        park(anchor.tid, &anchor.saved, self.stub + if waits { WAIT_OFFSET } else { SYSCALL_LEN })
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

    /// Writes the stub for this thread and blocks its signals.
    fn begin(&mut self) -> Result<(), InjectError> {
        if self.begun {
            return Ok(());
        }
        let owner = if self.is_anchor() { Owner::Anchor } else { Owner::Guest };
        let stub = assemble(self.stub, self.injector.scratch, &self.saved, self.mask, owner);
        self.injector.memory.write_all_at(&stub, self.stub).map_err(self.io())?;
        if owner == Owner::Guest {
            self.write(self.injector.scratch + FLAG_OFFSET, &[0; 8])?;
        }
        self.park()?;
        self.begun = true;
        if owner == Owner::Guest {
            self.injector.let_anchor_wait(true).map_err(self.io())?;
        }
        ptrace::set_signal_mask(self.tid, ALL_SIGNALS).map_err(self.io())
    }

    /// Leaves the thread at the tail: what would run if we died right now.
    fn park(&self) -> Result<(), InjectError> {
        park(self.tid, &self.saved, self.stub + SYSCALL_LEN).map_err(self.io())
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
        self.call_at(self.stub, number, args)
    }

    /// Makes a fork-like call; the child, should it ever run by itself, just exits.
    pub fn call_fork(&mut self, number: i64, args: [u64; 6]) -> Result<io::Result<u64>, InjectError> {
        self.begin()?;
        self.call_at(self.stub + FORK_OFFSET, number, args)
    }

    /// Makes a call in another thread, stopped and traced by us, that has a copy of the stub: one forked off
    /// this one.
    pub fn call_in(&self, tid: i32, number: i64, args: [u64; 6]) -> Result<io::Result<u64>, InjectError> {
        call_at(tid, &self.saved, self.stub, (number, args), &mut Vec::new())
    }

    /// Has such a thread begin a fork-like call. Others can be asked meanwhile; then comes [`Forking::finish`].
    pub fn start_fork_in(&self, tid: i32, number: i64, args: [u64; 6]) -> Result<Forking, InjectError> {
        start_at(tid, &self.saved, self.stub + FORK_OFFSET, (number, args), &mut Vec::new())?;
        Ok(Forking { tid })
    }

    fn call_at(&mut self, rip: u64, number: i64, args: [u64; 6]) -> Result<io::Result<u64>, InjectError> {
        self.at_signal = false;
        let result = call_at(self.tid, &self.saved, rip, (number, args), &mut self.held_back);
        self.finished |= matches!(result, Err(InjectError::Ended { .. }));
        result
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
            begun: true,
            at_signal: anchor.at_signal,
            held_back: anchor.held_back,
            finished: false,
        }
    }

    fn restore(&mut self) -> Result<(), InjectError> {
        if self.begun && !self.is_anchor() {
            // One that is gone has taken its memory with it.
            let _ = self.injector.let_anchor_wait(false);
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

/// A thread in the middle of a call.
#[must_use]
pub struct Forking {
    tid: i32,
}

impl Forking {
    /// Waits until the call has returned.
    ///
    /// # Errors
    /// As of [`Remote::call`].
    pub fn finish(self) -> Result<io::Result<u64>, InjectError> {
        finish_at(self.tid, &mut Vec::new())
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
    (number, args): (i64, [u64; 6]),
    held_back: &mut Vec<i32>,
) -> Result<(), InjectError> {
    let mut regs = *saved;
    regs.rip = rip;
    regs.eflags = unstepped(saved);
    regs.orig_rax = u64::MAX;
    regs.rax = number as u64;
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
    ptrace::set_registers(tid, &regs).map_err(io_of(tid))?;
    ptrace::cont_to_syscall(tid).map_err(io_of(tid))?;
    await_syscall(tid, held_back)?;
    ptrace::cont_to_syscall(tid).map_err(io_of(tid))
}

fn finish_at(tid: i32, held_back: &mut Vec<i32>) -> Result<io::Result<u64>, InjectError> {
    await_syscall(tid, held_back)?;
    let ret = ptrace::registers(tid).map_err(io_of(tid))?.rax as i64;
    Ok(answer(ret))
}

/// Waits for the thread's next stop at the entry or the exit of a call.
fn await_syscall(tid: i32, held_back: &mut Vec<i32>) -> Result<(), InjectError> {
    loop {
        match ptrace::wait(tid).map_err(io_of(tid))? {
            Wait::Syscall => return Ok(()),
            Wait::Exited(_) | Wait::Killed(_) => return Err(InjectError::Ended { tid }),
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
