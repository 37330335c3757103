//! The stub: the few instructions that injected calls run from, assembled for one thread.

use torpor_sys::ptrace::user_regs_struct;

use super::SCRATCH_LEN;
use crate::freeze;

/// Room that the stub needs; checked against what it assembles to.
pub const STUB_ROOM: usize = 496;
/// What a stub ends with, before the signal mask: a helper that was killed leaves its stub behind, and the next
/// one is to find that it may be written over. Another layout has another mark.
const MARK: [u8; 8] = *b"torpors2";

/// Length of the `syscall` instruction, and so the offset of the tail.
pub const SYSCALL_LEN: u64 = 2;
/// Where the anchor waits for a guest before its tail; the tail is padded to this.
pub const WAIT_OFFSET: u64 = 240;
/// Where the fork entry begins; what is before it is padded to this.
pub const FORK_OFFSET: u64 = 272;
/// Where the entry for a single call begins that ends with the signal, its result in `rbx`.
pub const SINGLE_OFFSET: u64 = 352;
/// Where the loop over a table of calls begins; `rbx` points to the table ([`super::batch`]).
pub const BATCH_OFFSET: u64 = 384;
/// Where copies of the process (never itself: they die with us) make two calls, the second one's number and argument
/// in `r12` and `r13`, and run into a trap; the results are in `rbx` and `rax`.
pub const TRAP_OFFSET: u64 = 464;

/// How a thread tells that it has done what it was to do: it sends itself this signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Its number for itself.
    pub tid: i32,
    pub signal: i32,
}

/// Where a thread is when that signal is about to be delivered; an offset of the stub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOf {
    Fork,
    Single,
    Batch,
}

impl EndOf {
    /// Behind the call that sends the signal.
    pub fn offset(self, owner: Owner) -> u64 {
        match self {
            EndOf::Fork => FORK_OFFSET + 10 + SEND_LEN,
            EndOf::Single => SINGLE_OFFSET + 5 + SEND_LEN,
            EndOf::Batch => {
                BATCH_OFFSET + LOOP_LEN + SEND_LEN + if owner == Owner::Guest { RAISE_LEN } else { 0 }
            }
        }
    }
}

const SEND_LEN: u64 = 17;
const LOOP_LEN: u64 = 45;
const RAISE_LEN: u64 = 13;

/// Whose stub it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The thread that has mapped the scratch memory: its tail unmaps that.
    Anchor,
    /// Another one, while the anchor is parked: its tail raises the flag that the anchor may be waiting for, until the
    /// memory is gone. So neither goes on with its program before.
    Guest,
}

/// TF of the flags register: a trap after each instruction.
pub const TRAP_FLAG: u64 = 1 << 8;
const IRETQ: [u8; 2] = [0x48, 0xcf];
/// Length of a load of a value that takes more than 32 bits, as an address of the vDSO does.
const LONG_LOAD: usize = 10;

/// Where in scratch memory the flag is: right before the table.
pub const FLAG_OFFSET: u64 = SCRATCH_LEN / 2;

/// Assembles the stub for one thread at `address`.
pub fn assemble(
    address: u64,
    scratch: u64,
    saved: &user_regs_struct,
    mask: u64,
    owner: Owner,
    end: Option<End>,
) -> Vec<u8> {
    let regs = without_kernel_restart(saved);
    let mask_at = address + STUB_ROOM as u64 - 8;
    let mut code: Vec<u8> = vec![0x0f, 0x05];
    match owner {
        Owner::Anchor => {
            load(&mut code, Reg::Rax, libc::SYS_munmap as u64);
            load(&mut code, Reg::Rdi, scratch);
            load(&mut code, Reg::Rsi, SCRATCH_LEN);
            code.extend([0x0f, 0x05]);
        }
        Owner::Guest => {
            // The mask is written there, and has some signals in it from the second time on: those of the mark.
            let again = code.len();
            load(&mut code, Reg::Rax, libc::SYS_rt_sigprocmask as u64);
            load(&mut code, Reg::Rdi, libc::SIG_BLOCK as u64);
            load(&mut code, Reg::Rsi, mask_at - 8);
            load(&mut code, Reg::Rdx, scratch + FLAG_OFFSET);
            load(&mut code, Reg::R10, 8);
            code.extend([0x0f, 0x05]);
            // lea rcx, [rax + EFAULT]; jrcxz past the jump; jmp again
            code.extend([0x48, 0x8d, 0x48, libc::EFAULT as u8, 0xe3, 0x02, 0xeb]);
            code.push((again as i64 - code.len() as i64 - 1) as i8 as u8);
        }
    }
    load(&mut code, Reg::Rax, libc::SYS_rt_sigprocmask as u64);
    load(&mut code, Reg::Rdi, libc::SIG_SETMASK as u64);
    load(&mut code, Reg::Rsi, mask_at);
    load(&mut code, Reg::Rdx, 0);
    load(&mut code, Reg::R10, 8);
    code.extend([0x0f, 0x05]);
    for (reg, value) in [
        (Reg::Rax, regs.rax),
        (Reg::Rdi, regs.rdi),
        (Reg::Rsi, regs.rsi),
        (Reg::Rdx, regs.rdx),
        (Reg::R10, regs.r10),
        (Reg::R8, regs.r8),
        (Reg::R9, regs.r9),
        (Reg::Rcx, regs.rcx),
        (Reg::R11, regs.r11),
        (Reg::Rbx, regs.rbx),
    ] {
        load(&mut code, reg, value);
    }
    go_back(&mut code, address, &regs);
    assert!(code.len() as u64 <= WAIT_OFFSET, "the stub's tail is {} bytes", code.len());
    code.resize(WAIT_OFFSET as usize, 0xcc);
    load(&mut code, Reg::Rax, scratch + FLAG_OFFSET);
    #[rustfmt::skip]
    code.extend([
        0x48, 0x8b, 0x08, // look: mov rcx, [rax]
        0xe3, 0x05,       //       jrcxz wait
    ]);
    jump_to_tail(&mut code);
    #[rustfmt::skip]
    code.extend([
        0xf3, 0x90,       // wait: pause
        0xeb, 0xf2,       //       jmp look
    ]);
    pad(&mut code, FORK_OFFSET);
    // The child exits. The parent takes its end, so that no zombie is left; a PID that is an error number is
    // refused at once.
    let send_len = if end.is_some() { SEND_LEN as u8 } else { 0 };
    #[rustfmt::skip]
    code.extend([
        0x0f, 0x05,                         // syscall
        0x48, 0x89, 0xc1,                   // mov rcx, rax
        0xe3, 0x28 + send_len,              // jrcxz exit
        0x48, 0x89, 0xc3,                   // mov rbx, rax
    ]);
    send(&mut code, end);
    #[rustfmt::skip]
    code.extend([
        0x48, 0x89, 0xde,                   // mov rsi, rbx
        0xbf, 0x01, 0x00, 0x00, 0x00,       // mov edi, P_PID
        0xba, 0x00, 0x00, 0x00, 0x00,       // mov edx, 0
        0x41, 0xba, 0x04, 0x00, 0x00, 0x40, // mov r10d, WEXITED | __WALL
        0x41, 0xb8, 0x00, 0x00, 0x00, 0x00, // mov r8d, 0
        0xb8, 0xf7, 0x00, 0x00, 0x00,       // mov eax, waitid
        0x0f, 0x05,                         // syscall
    ]);
    jump_to_tail(&mut code);
    code.extend([0xb8]);
    code.extend((libc::SYS_exit_group as u32).to_le_bytes());
    code.extend([0xbf, 0, 0, 0, 0, 0x0f, 0x05]);
    pad(&mut code, SINGLE_OFFSET);
    #[rustfmt::skip]
    code.extend([
        0x0f, 0x05,             // syscall
        0x48, 0x89, 0xc3,       // mov rbx, rax
    ]);
    send(&mut code, end);
    jump_to_tail(&mut code);
    pad(&mut code, BATCH_OFFSET);
    #[rustfmt::skip]
    code.extend([
        0x48, 0x8b, 0x0b,       // row: mov rcx, [rbx]
        0xe3, 0x28,             //      jrcxz end
        0x48, 0x8d, 0x41, 0xff, //      lea rax, [rcx - 1]
        0x48, 0x8b, 0x7b, 0x08, //      mov rdi, [rbx + 8]
        0x48, 0x8b, 0x73, 0x10, //      mov rsi, [rbx + 16]
        0x48, 0x8b, 0x53, 0x18, //      mov rdx, [rbx + 24]
        0x4c, 0x8b, 0x53, 0x20, //      mov r10, [rbx + 32]
        0x4c, 0x8b, 0x43, 0x28, //      mov r8, [rbx + 40]
        0x4c, 0x8b, 0x4b, 0x30, //      mov r9, [rbx + 48]
        0x0f, 0x05,             //      syscall
        0x48, 0x89, 0x43, 0x38, //      mov [rbx + 56], rax
        0x48, 0x8d, 0x5b, 0x40, //      lea rbx, [rbx + 64]
        0xeb, 0xd3,             //      jmp row
    ]);
    if owner == Owner::Guest {
        // end: the table is done with, so the anchor need not wait any longer.
        code.extend([0x48, 0xb8]); // mov rax, flag
        code.extend((scratch + FLAG_OFFSET).to_le_bytes());
        code.extend([0x48, 0x89, 0x00]); // mov [rax], rax
    }
    send(&mut code, end);
    jump_to_tail(&mut code);
    pad(&mut code, TRAP_OFFSET);
    #[rustfmt::skip]
    code.extend([
        0x0f, 0x05,             // syscall
        0x48, 0x89, 0xc3,       // mov rbx, rax
        0x4c, 0x89, 0xe0,       // mov rax, r12
        0x4c, 0x89, 0xef,       // mov rdi, r13
        0x0f, 0x05,             // syscall
        0xcc,                   // int3
    ]);
    assert!(code.len() <= STUB_ROOM - 16);
    code.resize(STUB_ROOM - 16, 0xcc);
    code.extend(MARK);
    code.extend(mask.to_le_bytes());
    code
}

/// Fills up to an entry.
fn pad(code: &mut Vec<u8>, offset: u64) {
    assert!(code.len() as u64 <= offset, "{} bytes before {offset}", code.len());
    code.resize(offset as usize, 0xcc);
}

/// Sends the thread its signal, where there is one.
fn send(code: &mut Vec<u8>, end: Option<End>) {
    let Some(End { tid, signal }) = end else { return };
    for (load, value) in [(0xb8, libc::SYS_tkill as u32), (0xbf, tid as u32), (0xbe, signal as u32)] {
        code.push(load);
        code.extend(value.to_le_bytes());
    }
    code.extend([0x0f, 0x05]);
}

/// Where in a page there is room for stubs, and for how many: behind what it holds, a stub left by an earlier
/// helper not counted.
pub fn room(page: &[u8]) -> (usize, usize) {
    let left = (0..page.len().saturating_sub(STUB_ROOM))
        .step_by(16)
        .find(|at| page[at + STUB_ROOM - 16..at + STUB_ROOM - 8] == MARK);
    let used = page.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    // One zero word is left alone: it may end a table.
    let start = left.unwrap_or_else(|| (used + 16).next_multiple_of(16));
    (start, page.len().saturating_sub(start) / STUB_ROOM)
}

/// Whether something at this offset of a page is part of a stub that an earlier helper has left there.
pub fn is_left(page: &[u8], offset: usize) -> bool {
    let marked = |at: usize| page.get(at + STUB_ROOM - 16..at + STUB_ROOM - 8) == Some(&MARK[..]);
    let first = (offset + 1).saturating_sub(STUB_ROOM).next_multiple_of(16);
    (first..=offset).step_by(16).any(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_that_was_left_behind_is_written_over() {
        let mut page = vec![0u8; 4096];
        page[..1000].fill(0x90);
        let (start, stubs) = room(&page);
        assert_eq!((start, stubs), (1024, (4096 - 1024) / STUB_ROOM));
        // SAFETY: all zeroes are valid registers.
        let regs = unsafe { std::mem::zeroed() };
        for _ in 0..2 {
            page[start..start + STUB_ROOM].copy_from_slice(&assemble(
                0x1000,
                0x2000,
                &regs,
                0,
                Owner::Anchor,
                None,
            ));
            assert_eq!(room(&page), (start, stubs));
            let within = |offset| is_left(&page, offset);
            assert!(within(start) && within(start + STUB_ROOM - 1));
            assert!(!within(start - 1) && !within(start + STUB_ROOM) && !within(4095) && !within(0));
        }
        let long = u64::MAX / 3;
        let end = Some(End { tid: i32::MAX, signal: libc::SIGURG });
        assert_eq!(assemble(long, long, &regs, 0, Owner::Guest, end).len(), STUB_ROOM);
        assert_eq!(room(&[0x90; 4096]).1, 0);
    }

    #[test]
    fn a_thread_is_expected_right_behind_the_call_that_sends_its_signal() {
        // SAFETY: all zeroes are valid registers.
        let regs: user_regs_struct = unsafe { std::mem::zeroed() };
        let end = End { tid: 0x1234, signal: libc::SIGURG };
        let mut sends = Vec::new();
        send(&mut sends, Some(end));
        for owner in [Owner::Anchor, Owner::Guest] {
            let stub = assemble(0x1000, u64::MAX / 3, &regs, 0, owner, Some(end));
            for of in [EndOf::Fork, EndOf::Single, EndOf::Batch] {
                let at = of.offset(owner) as usize;
                assert_eq!(stub[at - sends.len()..at], sends, "{of:?} {owner:?}");
            }
        }
    }

    #[test]
    fn a_thread_that_steps_through_its_code_goes_on_stepping() {
        // SAFETY: all zeroes are valid registers.
        let mut regs: user_regs_struct = unsafe { std::mem::zeroed() };
        let long = u64::MAX / 3;
        [regs.rax, regs.rdi, regs.rsi, regs.rdx, regs.r10] = [long; 5];
        [regs.r8, regs.r9, regs.rcx, regs.r11, regs.rbx] = [long; 5];
        (regs.rip, regs.cs, regs.eflags, regs.rsp, regs.ss) = (0x11, 0x33, TRAP_FLAG | 0x202, 0x55, 0x2b);
        let address = 0x7fff_1234_5000u64;
        for owner in [Owner::Anchor, Owner::Guest] {
            let stub = assemble(address, long, &regs, 0, owner, None);
            let words = [regs.rip, regs.cs, regs.eflags, regs.rsp, regs.ss];
            let frame: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            let at = stub.windows(frame.len()).position(|w| w == frame).expect("what iretq takes");
            assert_eq!(stub[at - 2..at], IRETQ);
            assert_eq!(stub[at - 10..at - 2], (address + at as u64).to_le_bytes());
        }
    }
}

/// Goes on where the thread was stopped.
fn go_back(code: &mut Vec<u8>, address: u64, regs: &user_regs_struct) {
    if regs.eflags & TRAP_FLAG == 0 {
        // jmp [rip+0]; the target follows.
        code.extend([0xff, 0x25, 0, 0, 0, 0]);
        code.extend(regs.rip.to_le_bytes());
        return;
    }
    // A thread that single-steps itself: only iretq sets the flag such that the first trap comes after the thread's
    // own next instruction. What it takes (rip, cs, flags, rsp, ss) follows; it is only read.
    load(code, Reg::Rsp, address + (code.len() + LONG_LOAD + IRETQ.len()) as u64);
    code.extend(IRETQ);
    for word in [regs.rip, regs.cs, regs.eflags, regs.rsp, regs.ss] {
        code.extend(word.to_le_bytes());
    }
}

/// `jmp tail`, from the end of `code`.
fn jump_to_tail(code: &mut Vec<u8>) {
    code.push(0xe9);
    let after = code.len() as i64 + 4;
    code.extend(((SYSCALL_LEN as i64 - after) as i32).to_le_bytes());
}

/// What the kernel itself would do on the way out of an interrupted system call when no handler runs
/// (restart logic of signal(7)): used for the tail only.
pub fn without_kernel_restart(saved: &user_regs_struct) -> user_regs_struct {
    let mut regs = *saved;
    if regs.orig_rax as i64 >= 0 {
        match regs.rax as i64 {
            freeze::ERESTARTSYS | freeze::ERESTARTNOINTR | freeze::ERESTARTNOHAND => {
                regs.rax = regs.orig_rax;
                regs.rip -= SYSCALL_LEN;
            }
            freeze::ERESTART_RESTARTBLOCK => {
                regs.rax = libc::SYS_restart_syscall as u64;
                regs.rip -= SYSCALL_LEN;
            }
            _ => {}
        }
    }
    regs
}

#[derive(Clone, Copy)]
#[repr(u8)]
enum Reg {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsp = 4,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
}

/// `mov reg, imm64`, or the 32-bit form where the value fits (it clears the upper half).
fn load(code: &mut Vec<u8>, reg: Reg, value: u64) {
    let n = reg as u8;
    if let Ok(short) = u32::try_from(value) {
        if n >= 8 {
            code.push(0x41);
        }
        code.push(0xb8 + (n & 7));
        code.extend(short.to_le_bytes());
    } else {
        code.push(if n >= 8 { 0x49 } else { 0x48 });
        code.push(0xb8 + (n & 7));
        code.extend(value.to_le_bytes());
    }
}
