//! Which system call a thread has in progress that the kernel itself has begun anew (restart_syscall(2)): after a stop,
//! or an earlier capture, that it went on from. The kernel remembers what is left to do, and tells nobody; the restored
//! thread makes the first call again. Its arguments are still in the registers, its number is not: the code that made
//! the call tells it, or else what only its arguments can be.

use std::fs::File;
use std::os::unix::fs::FileExt;

use torpor_sys::ptrace::user_regs_struct;

use crate::freeze::ERESTART_RESTARTBLOCK;
use crate::model::Pid;

/// The calls that are begun anew so: all that use a restart block (kernel/futex, kernel/time, fs/select.c). Whose
/// arguments may be nearly anything comes last.
const CALLS: [i64; 4] = [libc::SYS_nanosleep, libc::SYS_futex, libc::SYS_clock_nanosleep, libc::SYS_poll];
/// How far before the call its number may be loaded, in bytes.
const REACH: u64 = 96;
const FUTEX_WAIT: u64 = 0;
const FUTEX_WAIT_BITSET: u64 = 9;
/// FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
const FUTEX_FLAGS: u64 = 128 | 256;

/// The number of the call that was made first, where it is another one than the registers tell.
pub fn first_call(pid: Pid, regs: &user_regs_struct) -> Option<u64> {
    if regs.orig_rax as i64 != libc::SYS_restart_syscall || regs.rax as i64 != ERESTART_RESTARTBLOCK {
        return None;
    }
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let possible = |call: &i64| fits(*call, regs, |address| timespec(&memory, address));
    let mut code = [0u8; REACH as usize];
    let start = regs.rip.checked_sub(REACH)?;
    let loaded = match memory.read_exact_at(&mut code, start) {
        Ok(()) => loads(&code).find(|call| CALLS.contains(call) && possible(call)),
        Err(_) => None,
    };
    loaded.or_else(|| CALLS.into_iter().find(possible)).map(|call| call as u64)
}

/// The numbers that `mov $NUMBER, %eax` loads, the last one first.
fn loads(code: &[u8]) -> impl Iterator<Item = i64> + '_ {
    code.windows(5)
        .rev()
        .filter(|op| op[0] == 0xb8)
        .map(|op| i64::from(i32::from_le_bytes([op[1], op[2], op[3], op[4]])))
}

fn timespec(memory: &File, address: u64) -> bool {
    let mut raw = [0u8; 16];
    if address == 0 || memory.read_exact_at(&mut raw, address).is_err() {
        return false;
    }
    let word = |at: usize| raw[at..at + 8].try_into().map_or(-1, i64::from_le_bytes);
    // Nobody sleeps for longer, and no entry of poll(2) is as small.
    (0..=i64::from(i32::MAX)).contains(&word(0)) && (0..1_000_000_000).contains(&word(8))
}

/// Whether the arguments are those of a call that is not over at once; `is_time` tells of an address.
fn fits(call: i64, regs: &user_regs_struct, is_time: impl Fn(u64) -> bool) -> bool {
    match call {
        libc::SYS_nanosleep => is_time(regs.rdi) && (regs.rsi == 0 || regs.rsi > 1 << 20),
        // Until an absolute time it begins anew by itself.
        libc::SYS_clock_nanosleep => regs.rsi as u32 == 0 && is_time(regs.rdx),
        libc::SYS_futex => {
            let command = u64::from(regs.rsi as u32) & !FUTEX_FLAGS;
            regs.rdi & 3 == 0 && matches!(command, FUTEX_WAIT | FUTEX_WAIT_BITSET) && is_time(regs.r10)
        }
        libc::SYS_poll => regs.rsi <= 1 << 20 && (regs.rdi != 0 || regs.rsi == 0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_the_code_before_the_call() {
        // mov $0xca, %eax; syscall, and before that mov $0x1, %eax.
        let code = [0xb8, 1, 0, 0, 0, 0x90, 0xb8, 0xca, 0, 0, 0, 0x0f, 0x05];
        assert_eq!(loads(&code).collect::<Vec<_>>(), [202, 1]);
    }
}
