//! The runner: a small position-independent interpreter of prepared system calls.
//!
//! Every process and thread of a restored tree executes it from a *region* that all of them share at the
//! same address, in a hole of every address space involved. It uses no stack and no memory but the region,
//! so everything else can be unmapped and mapped under it. What it runs is data, a list of [`Op`]s.
//!
//! When a call fails, the first one to fail is recorded at the start of the data page (address of the op,
//! result) and the process exits; the restoring helper finds it there.

use std::arch::global_asm;

/// Bytes of one op; the assembly below knows the layout.
pub const OP_LEN: usize = 64;
/// The code's page; the data begins behind it.
pub const CODE_LEN: usize = 4096;
/// Offsets from the start of the region of what the runner writes by itself.
pub const FAILED_OP: usize = CODE_LEN;
pub const FAILED_RESULT: usize = CODE_LEN + 8;

/// What an op does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A system call: number and six arguments.
    Call = 0,
    /// clone3(args, len); the child goes on at the list in the third argument.
    Clone = 1,
    /// rt_sigreturn with the stack pointer in the first argument.
    Sigreturn = 2,
    /// Atomically adds the second argument to the word at the first.
    Add = 3,
    /// Yields until the word at the first argument is at least the second.
    Await = 4,
    /// Reads one byte from the descriptor in the first argument into the second; ends the process on
    /// end-of-file, which is how an aborted restore (or a dead helper) is told.
    Barrier = 5,
    /// Stores the last result at the distance in `flags` from this op: into a later op's argument.
    Store = 6,
    /// Takes the word at the first argument as the last result.
    Load = 7,
}

/// The result does not matter.
pub const IGNORE: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Op {
    pub kind: Kind,
    pub flags: u32,
    pub number: u64,
    pub args: [u64; 6],
}

impl Op {
    pub fn bytes(&self) -> [u8; OP_LEN] {
        let mut raw = [0u8; OP_LEN];
        raw[0..4].copy_from_slice(&(self.kind as u32).to_le_bytes());
        raw[4..8].copy_from_slice(&self.flags.to_le_bytes());
        raw[8..16].copy_from_slice(&self.number.to_le_bytes());
        for (i, arg) in self.args.iter().enumerate() {
            raw[16 + i * 8..24 + i * 8].copy_from_slice(&arg.to_le_bytes());
        }
        raw
    }
}

global_asm!(
    ".pushsection .text.torpor_runner,\"ax\",@progbits",
    ".p2align 4",
    ".globl torpor_runner_start",
    ".globl torpor_runner_end",
    "torpor_runner_start:",
    // r12: the current op; r13: the last result.
    "2:",
    "mov eax, dword ptr [r12]",
    "cmp eax, 2",
    "je 20f",
    "cmp eax, 3",
    "je 30f",
    "cmp eax, 4",
    "je 40f",
    "cmp eax, 5",
    "je 50f",
    "cmp eax, 6",
    "je 60f",
    "cmp eax, 7",
    "je 70f",
    // Call and Clone
    "mov rax, qword ptr [r12 + 8]",
    "mov rdi, qword ptr [r12 + 16]",
    "mov rsi, qword ptr [r12 + 24]",
    "mov rdx, qword ptr [r12 + 32]",
    "mov r10, qword ptr [r12 + 40]",
    "mov r8, qword ptr [r12 + 48]",
    "mov r9, qword ptr [r12 + 56]",
    "syscall",
    "mov r13, rax",
    "cmp rax, -4095",
    "jae 90f",
    "cmp dword ptr [r12], 1",
    "jne 80f",
    "test rax, rax",
    "jnz 80f",
    "mov r12, qword ptr [r12 + 32]",
    "jmp 2b",
    // Sigreturn
    "20:",
    "mov rsp, qword ptr [r12 + 16]",
    "mov eax, 15",
    "syscall",
    "ud2",
    // Add
    "30:",
    "mov rdi, qword ptr [r12 + 16]",
    "mov rsi, qword ptr [r12 + 24]",
    "lock add qword ptr [rdi], rsi",
    "jmp 80f",
    // Await
    "40:",
    "mov rdi, qword ptr [r12 + 16]",
    "mov rsi, qword ptr [r12 + 24]",
    "cmp qword ptr [rdi], rsi",
    "jae 80f",
    "mov eax, 24",
    "syscall",
    "jmp 40b",
    // Barrier
    "50:",
    "xor eax, eax",
    "mov rdi, qword ptr [r12 + 16]",
    "mov rsi, qword ptr [r12 + 24]",
    "mov edx, 1",
    "syscall",
    "cmp rax, 1",
    "je 80f",
    "cmp rax, -4",
    "je 50b",
    "mov edi, 1",
    "jmp 99f",
    // Store
    "60:",
    "mov eax, dword ptr [r12 + 4]",
    "mov qword ptr [r12 + rax], r13",
    "jmp 80f",
    // Load
    "70:",
    "mov rax, qword ptr [r12 + 16]",
    "mov r13, qword ptr [rax]",
    // next
    "80:",
    "add r12, 64",
    "jmp 2b",
    // A call failed.
    "90:",
    "test dword ptr [r12 + 4], 1",
    "jnz 80b",
    "lea r11, [rip + torpor_runner_start]",
    "xor eax, eax",
    "lock cmpxchg qword ptr [r11 + 4096], r12",
    "jne 91f",
    "mov qword ptr [r11 + 4104], r13",
    "91:",
    "mov edi, 127",
    "99:",
    "mov eax, 231",
    "syscall",
    "ud2",
    "torpor_runner_end:",
    ".popsection",
);

unsafe extern "C" {
    static torpor_runner_start: u8;
    static torpor_runner_end: u8;
}

/// The runner's machine code.
pub fn code() -> &'static [u8] {
    // SAFETY: both symbols mark the ends of one run of bytes in our own text section.
    unsafe {
        let start = &raw const torpor_runner_start;
        let len = (&raw const torpor_runner_end).offset_from(start) as usize;
        std::slice::from_raw_parts(start, len)
    }
}

/// Leaves this program for the runner at `base`, with the list at `list`.
///
/// # Safety
/// Only in a forked child whose memory is of no more use; `base` must hold [`code`] and `list` a list that
/// ends with a sigreturn or an exit.
pub unsafe fn enter(base: u64, list: u64) -> ! {
    // SAFETY: the caller vouches for the region; control never comes back.
    unsafe {
        std::arch::asm!(
            "mov r12, {list}",
            "jmp {base}",
            list = in(reg) list,
            base = in(reg) base,
            options(noreturn),
        )
    }
}
