//! ptrace(2), as the engine uses it: seize, interrupt, read and write registers, run to the next stop.
//!
//! Every function takes a thread id as the caller's PID namespace numbers it. The caller must be the
//! tracer thread; the kernel answers `ESRCH` otherwise.

use std::io;
use std::mem::{MaybeUninit, size_of};

use crate::check;

pub use libc::{user_fpregs_struct, user_regs_struct};

/// Options of PTRACE_SETOPTIONS (ptrace(2)).
pub const O_TRACESYSGOOD: u32 = 1;
pub const O_TRACEFORK: u32 = 1 << 1;
pub const O_TRACEVFORK: u32 = 1 << 2;
pub const O_TRACECLONE: u32 = 1 << 3;
pub const O_EXITKILL: u32 = 1 << 20;
pub const O_SUSPEND_SECCOMP: u32 = 1 << 21;

/// Value of `status >> 16` for a PTRACE_EVENT_STOP.
pub const EVENT_STOP: i32 = 128;
/// Value of `status >> 16` for PTRACE_EVENT_FORK, _VFORK and _CLONE.
pub const EVENT_FORK: i32 = 1;
pub const EVENT_VFORK: i32 = 2;
pub const EVENT_CLONE: i32 = 3;

const NT_PRSTATUS: usize = 1;
const NT_X86_XSTATE: usize = 0x202;
const PTRACE_GETSIGMASK: u32 = 0x420a;
const PTRACE_SETSIGMASK: u32 = 0x420b;
const PTRACE_SECCOMP_GET_FILTER: u32 = 0x420c;
const PTRACE_SECCOMP_GET_METADATA: u32 = 0x420d;
const PTRACE_GET_RSEQ_CONFIGURATION: u32 = 0x420f;
const PTRACE_PEEKSIGINFO: u32 = 0x4209;
const PEEKSIGINFO_SHARED: u32 = 1;

fn request(req: u32, tid: i32, addr: usize, data: usize) -> io::Result<i64> {
    // SAFETY: a raw ptrace request; callers below pass pointers that are valid for the request's reads
    // and writes, and the kernel checks the target.
    check(unsafe { libc::syscall(libc::SYS_ptrace, req as libc::c_long, tid as libc::c_long, addr, data) })
}

/// PTRACE_SEIZE: becomes the tracer without stopping the thread.
pub fn seize(tid: i32, options: u32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, options as usize).map(drop)
}

/// PTRACE_INTERRUPT: asks a seized thread to stop; the stop is reported by [`wait`].
pub fn interrupt(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0).map(drop)
}

/// PTRACE_SETOPTIONS on a stopped tracee.
pub fn set_options(tid: i32, options: u32) -> io::Result<()> {
    request(libc::PTRACE_SETOPTIONS, tid, 0, options as usize).map(drop)
}

/// PTRACE_DETACH: lets the thread run on. `signal` is delivered to it, 0 for none.
pub fn detach(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, 0, signal as usize).map(drop)
}

/// PTRACE_CONT with `signal` (0 for none).
pub fn cont(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT, tid, 0, signal as usize).map(drop)
}

/// PTRACE_SYSCALL: runs to the next system call entry or exit.
pub fn cont_to_syscall(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, 0, 0).map(drop)
}

/// The same with a signal that takes effect first.
pub fn cont_to_syscall_with(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, 0, signal as usize).map(drop)
}

/// PTRACE_GETEVENTMSG, for instance the new thread's id at a clone event.
pub fn event_message(tid: i32) -> io::Result<u64> {
    let mut message = 0u64;
    request(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message as usize)?;
    Ok(message)
}

/// The general registers, segment bases and `orig_rax` included.
pub fn registers(tid: i32) -> io::Result<user_regs_struct> {
    let mut regs = MaybeUninit::<user_regs_struct>::zeroed();
    request(libc::PTRACE_GETREGS, tid, 0, regs.as_mut_ptr() as usize)?;
    // SAFETY: the kernel has filled the whole structure, and any bit pattern is valid for it.
    Ok(unsafe { regs.assume_init() })
}

/// Sets all general registers of a stopped thread.
pub fn set_registers(tid: i32, regs: &user_regs_struct) -> io::Result<()> {
    request(libc::PTRACE_SETREGS, tid, 0, regs as *const _ as usize).map(drop)
}

/// Whether the thread runs 64-bit code: PTRACE_GETREGSET gives a 32-bit thread's smaller register set.
pub fn is_64_bit(tid: i32) -> io::Result<bool> {
    let mut regs = MaybeUninit::<user_regs_struct>::zeroed();
    let mut iov = libc::iovec { iov_base: regs.as_mut_ptr().cast(), iov_len: size_of::<user_regs_struct>() };
    request(libc::PTRACE_GETREGSET, tid, NT_PRSTATUS, &raw mut iov as usize)?;
    Ok(iov.iov_len == size_of::<user_regs_struct>())
}

/// The extended processor state in the XSAVE standard format (Intel SDM vol. 1, chapter 13).
pub fn xstate(tid: i32) -> io::Result<Vec<u8>> {
    let mut buf = [0u8; 16 * 1024];
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    request(libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, &raw mut iov as usize)?;
    // Kept for each of thousands of threads: not in a buffer that is larger than it.
    Ok(buf[..iov.iov_len].to_vec())
}

/// The mask of blocked signals, bit n-1 for signal n.
pub fn signal_mask(tid: i32) -> io::Result<u64> {
    let mut mask = 0u64;
    request(PTRACE_GETSIGMASK, tid, 8, &raw mut mask as usize)?;
    Ok(mask)
}

/// Sets the mask of blocked signals of a stopped thread.
pub fn set_signal_mask(tid: i32, mask: u64) -> io::Result<()> {
    request(PTRACE_SETSIGMASK, tid, 8, &raw const mask as usize).map(drop)
}

/// A raw `siginfo_t` as the kernel keeps it (128 bytes).
pub type RawSiginfo = [u8; 128];

/// The queued signals of the thread, or of its whole process with `shared`, oldest first.
pub fn pending_signals(tid: i32, shared: bool) -> io::Result<Vec<RawSiginfo>> {
    #[repr(C)]
    struct Args {
        off: u64,
        flags: u32,
        nr: i32,
    }
    let mut all = Vec::new();
    loop {
        let mut batch = [[0u8; 128]; 32];
        let args = Args {
            off: all.len() as u64,
            flags: if shared { PEEKSIGINFO_SHARED } else { 0 },
            nr: batch.len() as i32,
        };
        let n =
            request(PTRACE_PEEKSIGINFO, tid, &raw const args as usize, batch.as_mut_ptr() as usize)? as usize;
        all.extend_from_slice(&batch[..n]);
        if n < batch.len() {
            return Ok(all);
        }
    }
}

/// The thread's restartable sequence registration (rseq(2)): address, length, signature, flags.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RseqConfiguration {
    pub address: u64,
    pub size: u32,
    pub signature: u32,
    pub flags: u32,
    pad: u32,
}

/// PTRACE_GET_RSEQ_CONFIGURATION; an address of 0 where the thread has registered none.
pub fn rseq_configuration(tid: i32) -> io::Result<RseqConfiguration> {
    let mut conf = RseqConfiguration::default();
    request(PTRACE_GET_RSEQ_CONFIGURATION, tid, size_of::<RseqConfiguration>(), &raw mut conf as usize)?;
    Ok(conf)
}

/// include/uapi/linux/ptrace.h.
const SET_DISPATCH: u32 = 0x4210;
const GET_DISPATCH: u32 = 0x4211;

/// How the system calls of a thread are dispatched to itself (PR_SET_SYSCALL_USER_DISPATCH, prctl(2)): where the byte
/// is that tells whether they are, and the range of code whose calls never are.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DispatchConfiguration {
    /// 0 where it is off, 1 where it is on.
    pub mode: u64,
    /// 0 for none: then calls are always dispatched.
    pub selector: u64,
    pub offset: u64,
    pub len: u64,
}

/// PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG (Linux 6.4 and later; EIO before).
pub fn dispatch_configuration(tid: i32) -> io::Result<DispatchConfiguration> {
    let mut conf = DispatchConfiguration::default();
    request(GET_DISPATCH, tid, size_of::<DispatchConfiguration>(), &raw mut conf as usize)?;
    Ok(conf)
}

/// PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG.
pub fn set_dispatch_configuration(tid: i32, conf: &DispatchConfiguration) -> io::Result<()> {
    request(SET_DISPATCH, tid, size_of::<DispatchConfiguration>(), conf as *const _ as usize).map(drop)
}

/// The `index`-th seccomp filter (0 is the oldest) as raw `sock_filter` bytes, or `None` past the last.
pub fn seccomp_filter(tid: i32, index: u32) -> io::Result<Option<Vec<u8>>> {
    let len = match request(PTRACE_SECCOMP_GET_FILTER, tid, index as usize, 0) {
        Ok(len) => len as usize,
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut program = vec![0u8; len * 8];
    request(PTRACE_SECCOMP_GET_FILTER, tid, index as usize, program.as_mut_ptr() as usize)?;
    Ok(Some(program))
}

/// The flags that the `index`-th filter was installed with (SECCOMP_FILTER_FLAG_LOG is all that is told).
pub fn seccomp_flags(tid: i32, index: u32) -> io::Result<u64> {
    let mut metadata = [u64::from(index), 0];
    request(PTRACE_SECCOMP_GET_METADATA, tid, 16, metadata.as_mut_ptr() as usize)?;
    Ok(metadata[1])
}

/// What [`wait`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A system call entry or exit (O_TRACESYSGOOD is set on all of ours).
    Syscall,
    /// A PTRACE_EVENT stop, with the event and the signal that came with it.
    Event {
        event: i32,
        signal: i32,
    },
    /// A signal is about to be delivered.
    Signal(i32),
    Exited(i32),
    Killed(i32),
}

/// Decodes a wait status (waitpid(2), ptrace(2)).
pub fn decode(status: i32) -> Wait {
    if libc::WIFEXITED(status) {
        Wait::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Wait::Killed(libc::WTERMSIG(status))
    } else {
        let signal = libc::WSTOPSIG(status);
        let event = status >> 16;
        if event != 0 {
            Wait::Event { event, signal }
        } else if signal == libc::SIGTRAP | 0x80 {
            Wait::Syscall
        } else {
            Wait::Signal(signal)
        }
    }
}

/// Waits for the next stop or end of one tracee or child thread (`__WALL`).
///
/// In the kernel, at once: a stop is some 10 µs away then, because the thread that is waited for gets the processor
/// that we give up, and gives it back. Who looks again and again keeps it, and on a busy machine waits for milliseconds
/// until the thread has found another.
pub fn wait(tid: i32) -> io::Result<Wait> {
    loop {
        if let Some(w) = wait_until_interrupted(tid)? {
            return Ok(w);
        }
    }
}

/// Like [`wait`], but returns `None` where a signal has interrupted it ([`crate::ticks`]).
pub fn wait_until_interrupted(tid: i32) -> io::Result<Option<Wait>> {
    match wait_once(tid, libc::__WALL) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(None),
        done => done,
    }
}

/// Like [`wait`], but returns `None` at once where nothing has happened.
pub fn try_wait(tid: i32) -> io::Result<Option<Wait>> {
    wait_once(tid, libc::__WALL | libc::WNOHANG)
}

fn wait_once(tid: i32, flags: i32) -> io::Result<Option<Wait>> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    match check(unsafe { libc::waitpid(tid, &raw mut status, flags) }.into())? {
        0 => Ok(None),
        _ => Ok(Some(decode(status))),
    }
}
