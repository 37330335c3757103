//! Restartable sequences (rseq(2)): what a stop does to a thread that is within one.

use torpor_sys::memory;
use torpor_sys::ptrace::{self, user_regs_struct};

/// Where in `struct rseq` the pointer to the sequence is.
const SECTION: u64 = 8;

/// Sends a stopped thread that is within a restartable sequence to its abort address, as any preemption would;
/// true where it was. To be done before the thread makes a system call for us: on its way back from that the kernel
/// finds it somewhere else and forgets the sequence, and it would finish what was interrupted.
pub fn abort(tid: i32, regs: &mut user_regs_struct) -> bool {
    // In a system call nobody is within one.
    if regs.orig_rax as i64 >= 0 {
        return false;
    }
    let area = ptrace::rseq_configuration(tid).unwrap_or_default().address;
    let mut pointer = [0u8; 8];
    if area == 0 || memory::read(tid, area + SECTION, &mut pointer).is_err() {
        return false;
    }
    // struct rseq_cs: version and flags, start, length, abort address.
    let section = u64::from_le_bytes(pointer);
    let mut raw = [0u8; 32];
    if section == 0 || memory::read(tid, section, &mut raw).is_err() {
        return false;
    }
    let word = |i: usize| u64::from_le_bytes(raw[i..i + 8].try_into().expect("8 bytes"));
    let (start, length, abort) = (word(8), word(16), word(24));
    let within = regs.rip.wrapping_sub(start) < length;
    if within {
        regs.rip = abort;
    }
    within
}
