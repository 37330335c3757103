//! What is particular to x86-64: the signal frame that rt_sigreturn(2) reads, and the XSAVE area in it.
//!
//! Layout after the kernel's `arch/x86/include/uapi/asm/sigcontext.h` and `ucontext.h` (public interface).

use crate::ptrace::user_regs_struct;

/// The code segment of 64-bit code (`__USER_CS`); in any other, the processor reads code as 32-bit, or 16-bit, code.
pub const USER_CS: u64 = 0x33;

/// Offset of `fpx_sw_bytes` within the legacy FXSAVE area.
const SW_BYTES_OFFSET: usize = 464;
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

/// Bytes of the frame up to the FPU state: return address, ucontext, siginfo, padded for alignment.
const FRAME_LEN: usize = 640;

/// An alternative signal stack (sigaltstack(2)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AltStack {
    pub address: u64,
    pub flags: i32,
    pub size: u64,
}

/// Builds the frame that makes `rt_sigreturn` continue with these registers, this signal mask, this
/// alternative stack and this extended state. The frame must be placed at `address` (64-byte aligned), and
/// `rsp` must hold `address + 8` when rt_sigreturn is called.
pub fn signal_frame(
    address: u64,
    regs: &user_regs_struct,
    mask: u64,
    stack: AltStack,
    xstate: &[u8],
) -> Vec<u8> {
    assert!(address.is_multiple_of(64));
    let mut frame = vec![0u8; FRAME_LEN];
    let fp_address = if xstate.len() >= 576 { address + FRAME_LEN as u64 } else { 0 };
    let mut flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    if fp_address != 0 {
        flags |= UC_FP_XSTATE;
    }
    // The segment word holds cs, gs, fs, ss as four 16-bit values.
    let segments = (regs.cs & 0xffff) | ((regs.ss & 0xffff) << 48);
    let words = [
        0, // return address: never used, the interrupted code goes on at rip
        flags,
        0, // uc_link
        stack.address,
        stack.flags as u32 as u64,
        stack.size,
        regs.r8,
        regs.r9,
        regs.r10,
        regs.r11,
        regs.r12,
        regs.r13,
        regs.r14,
        regs.r15,
        regs.rdi,
        regs.rsi,
        regs.rbp,
        regs.rbx,
        regs.rdx,
        regs.rax,
        regs.rcx,
        regs.rsp,
        regs.rip,
        regs.eflags,
        segments,
        0, // err
        0, // trapno
        0, // oldmask
        0, // cr2
        fp_address,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        mask,
    ];
    for (i, word) in words.iter().enumerate() {
        frame[i * 8..i * 8 + 8].copy_from_slice(&word.to_ne_bytes());
    }
    if fp_address != 0 {
        let mut fp = xstate.to_vec();
        // XSTATE_BV of the header is what ptrace tells; the software bytes tell sigreturn how much there is.
        let xfeatures =
            u64::from_ne_bytes(fp[SW_BYTES_OFFSET..SW_BYTES_OFFSET + 8].try_into().expect("8 bytes"));
        let size = fp.len() as u32;
        let sw = &mut fp[SW_BYTES_OFFSET..512];
        sw.fill(0);
        sw[0..4].copy_from_slice(&FP_XSTATE_MAGIC1.to_ne_bytes());
        sw[4..8].copy_from_slice(&(size + 4).to_ne_bytes());
        sw[8..16].copy_from_slice(&xfeatures.to_ne_bytes());
        sw[16..20].copy_from_slice(&size.to_ne_bytes());
        fp.extend_from_slice(&FP_XSTATE_MAGIC2.to_ne_bytes());
        frame.extend_from_slice(&fp);
    }
    frame
}
