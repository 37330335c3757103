//! Runs the helper one system call at a time, and kills it when it is about to make the N-th.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
/// A stop of a system call, told apart from a SIGTRAP by PTRACE_O_TRACESYSGOOD (ptrace(2)).
const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Killed before the system call of that number; what it was doing.
    Killed { doing: String },
    /// It made fewer, and ended by itself.
    Ended { status: Option<i32>, calls: usize },
}

/// Runs the command, and kills it before its system call number `at`, counted over all of its threads.
pub fn run(command: &mut Command, at: usize) -> Outcome {
    command.stdin(Stdio::null());
    // SAFETY: ptrace(PTRACE_TRACEME) is a plain system call, safe between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    // Dropped without a wait: the loop below is who waits for it.
    let root = command.spawn().expect("start the helper").id() as i32;
    let started = Instant::now();
    let mut calls = 0;
    let mut killed = false;
    let mut recent = std::collections::VecDeque::new();
    let mut inside = std::collections::HashMap::new();
    loop {
        let (tid, status) = wait();
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            if tid != root {
                continue;
            }
            if killed {
                return Outcome::Killed { doing: recent.into_iter().collect::<Vec<_>>().join(", ") };
            }
            let status = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            return Outcome::Ended { status, calls };
        }
        let signal = libc::WSTOPSIG(status);
        let event = status >> 16;
        let mut deliver = 0;
        if signal == SYSCALL_STOP {
            let entering = inside.entry(tid).or_insert(false);
            *entering = !*entering;
            if *entering {
                calls += 1;
                if recent.len() == 4 {
                    recent.pop_front();
                }
                recent.push_back(call(tid));
                if calls == at {
                    killed = true;
                    kill(root);
                }
            }
        } else if event == 0 && calls == 0 && tid == root && signal == libc::SIGTRAP {
            let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
            ptrace(libc::PTRACE_SETOPTIONS, tid, options as u64);
        } else if event == 0 && (signal != libc::SIGSTOP || inside.contains_key(&tid)) {
            // A thread's first stop is ptrace's own; everything else is a signal for the helper.
            deliver = signal as u64;
        }
        inside.entry(tid).or_insert(false);
        if started.elapsed() > LIMIT {
            kill(root);
            panic!("the helper did not end within {LIMIT:?}, after {calls} system calls");
        }
        ptrace(libc::PTRACE_SYSCALL, tid, deliver);
    }
}

/// The next stop or end of a child or tracee of this very thread.
fn wait() -> (i32, i32) {
    let mut status = 0;
    // SAFETY: the status is ours to be written.
    let tid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) };
    assert!(tid > 0, "waiting for the helper: {}", io::Error::last_os_error());
    (tid, status)
}

fn ptrace(request: libc::c_uint, tid: i32, data: u64) {
    // SAFETY: neither request reads or writes memory of ours. A thread that has just been killed is gone: the
    // next wait tells.
    unsafe { libc::ptrace(request, tid, 0, data) };
}

/// The system call that a stopped thread enters: its number, and the first three arguments.
fn call(tid: i32) -> String {
    // SAFETY: the structure is ours to be written, and all zeroes are valid in it.
    let registers = unsafe {
        let mut registers: libc::user_regs_struct = std::mem::zeroed();
        libc::ptrace(libc::PTRACE_GETREGS, tid, 0, &mut registers);
        registers
    };
    let (number, args) = (registers.orig_rax, [registers.rdi, registers.rsi, registers.rdx]);
    format!("{number}({:#x}, {:#x}, {:#x})", args[0], args[1], args[2])
}

fn kill(pid: i32) {
    // SAFETY: it is our child, and not waited for yet, so that the number is still its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}
