//! Threads: registers, credentials, scheduling, filters; and the timers of their process.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Cgroup, FileId, MemoryPolicy, Pid, Process, Siginfo, keys};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Thread {
    pub tid: Pid,
    pub comm: String,
    pub regs: Registers,
    #[serde(with = "serde_bytes")]
    pub xstate: Vec<u8>,
    pub signal_mask: u64,
    pub pending: Vec<Siginfo>,
    pub alt_stack: (u64, i32, u64),
    pub clear_child_tid: u64,
    pub robust_list: (u64, u64),
    /// Address, size, signature, flags; address 0 for none.
    pub rseq: (u64, u32, u32, u32),
    pub sched: Sched,
    #[serde(with = "serde_bytes")]
    pub affinity: Vec<u8>,
    pub io_priority: u32,
    pub timer_slack_ns: u64,
    pub parent_death_signal: i32,
    pub credentials: Credentials,
    pub seccomp: Seccomp,
    #[serde(default)]
    pub switches: Switches,
    /// Where it has folders of its own (unshare(2), CLONE_FS).
    #[serde(default)]
    pub folders: Option<Folders>,
    /// set_mempolicy(2), where it is not the default.
    #[serde(default)]
    pub memory_policy: Option<MemoryPolicy>,
    /// Where it is in another control group than its process' first thread.
    #[serde(default)]
    pub cgroups: Vec<Cgroup>,
    #[serde(default)]
    pub keyrings: Option<keys::Keyrings>,
    /// personality(2), where it is another than that of its process.
    #[serde(default)]
    pub personality: Option<u32>,
    /// Its name, where that is no text.
    #[serde(default)]
    pub raw_name: Option<ByteBuf>,
}

/// What path names are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    pub cwd: FileId,
    pub root: FileId,
    pub umask: u32,
}

/// What prctl(2) and arch_prctl(2) switch per thread; the defaults are a new thread's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// PR_MCE_KILL: whether an early (1) or late (0) policy of its own is set.
    pub memory_failure: Option<bool>,
    /// PR_SET_IO_FLUSHER.
    pub io_flusher: bool,
    /// PR_SET_TSC: reading the time stamp counter raises SIGSEGV.
    pub no_tsc: bool,
    /// ARCH_SET_CPUID: the CPUID instruction raises SIGSEGV.
    pub no_cpuid: bool,
    /// PR_SET_SPECULATION_CTRL: (which misfeature, PR_SPEC_* set for the thread).
    pub speculation: Vec<(u32, u32)>,
    /// PR_SET_SYSCALL_USER_DISPATCH: address of the selector, start and length of the code that is exempt.
    #[serde(default)]
    pub dispatch: Option<(u64, u64, u64)>,
}

/// The general registers (`struct user_regs_struct`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub fs_base: u64,
    pub gs_base: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sched {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    /// Utilization clamps (sched_setattr(2)), 0 to 1024, where they are not those of a new thread.
    #[serde(default)]
    pub clamps: Option<(u32, u32)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Real, effective, saved, file system.
    pub uids: [u32; 4],
    pub gids: [u32; 4],
    pub groups: Vec<u32>,
    pub cap_inheritable: u64,
    pub cap_permitted: u64,
    pub cap_effective: u64,
    pub cap_bounding: u64,
    pub cap_ambient: u64,
    pub securebits: u32,
    pub no_new_privs: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    #[default]
    None,
    Strict,
    /// Raw `sock_filter` programs with their flags, oldest first.
    Filter(Vec<SeccompFilter>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompFilter {
    pub flags: u64,
    #[serde(with = "serde_bytes")]
    pub program: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PosixTimer {
    pub id: i32,
    pub clock: i32,
    pub signal: i32,
    /// SIGEV_* with the thread bit.
    pub notify: i32,
    pub notify_tid: Pid,
    pub value: u64,
    pub interval_ns: u64,
    /// Until the next expiry; 0 is disarmed.
    pub remaining_ns: u64,
    pub overrun: i32,
}

impl PosixTimer {
    /// Whether it tells a thread of its process (SIGEV_THREAD_ID) that has ended.
    pub fn tells_ended_thread(&self, process: &Process) -> bool {
        self.notify & libc::SIGEV_THREAD_ID != 0
            && self.notify_tid != process.pid
            && !process.threads.iter().any(|t| t.tid == self.notify_tid)
    }
}
