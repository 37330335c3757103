//! The state of one thread: what /proc and ptrace tell, and what only the thread itself can be asked.

use std::io;
use std::os::unix::fs::FileExt;

use serde_bytes::ByteBuf;

use torpor_sys::ptrace::{self, user_regs_struct};

use super::{memory_policy, restarted};
use crate::freeze::FrozenThread;
use crate::inject::{Batch, InjectError, Injector};
use crate::model::{Credentials, Registers, Sched, Seccomp, SeccompFilter, Siginfo, Switches, Thread};
use crate::proc::stat::Stat;
use crate::proc::status::Status;
use crate::proc::task::TaskFacts;

const PR_GET_TID_ADDRESS: u64 = 40;
const ARCH_GET_CPUID: u64 = 0x1011;
/// The utilization clamps of a new thread.
const UNCLAMPED: (u32, u32) = (0, 1024);
const SECCOMP_MODE_STRICT: u32 = 1;
const SECCOMP_MODE_FILTER: u32 = 2;

/// Reads a stopped thread; `first` are the switches of the process' first one. The injector makes the thread answer what nobody else can be asked.
pub fn capture(
    pid: i32,
    frozen: &FrozenThread,
    first: Option<&Switches>,
    injector: &mut Injector,
) -> Result<Thread, InjectError> {
    let tid = frozen.tid;
    let io = |source| InjectError::Io { tid, source };
    let facts = frozen.facts(pid).map_err(io)?;
    let TaskFacts { status, stat, sched: attr, .. } = facts;
    let mut credentials = credentials(status);
    let mut switches = switches(stat, status);
    let (alt_stack, clear_child_tid, parent_death_signal, timer_slack_ns, memory_policy, personality);
    {
        let mut remote = injector.thread(frozen);
        let scratch = remote.scratch()?;
        let mut batch = Batch::default();
        batch.call(libc::SYS_sigaltstack, [0, scratch, 0, 0, 0, 0]);
        // Without CONFIG_CHECKPOINT_RESTORE the kernel does not tell it; then pthread_join after a
        // restore would wait for ever, so this is an error and not a default.
        batch.call(libc::SYS_prctl, [PR_GET_TID_ADDRESS, scratch + 24, 0, 0, 0, 0]);
        batch.call(libc::SYS_prctl, [libc::PR_GET_PDEATHSIG as u64, scratch + 32, 0, 0, 0, 0]);
        let securebits = batch.call(libc::SYS_prctl, [libc::PR_GET_SECUREBITS as u64, 0, 0, 0, 0, 0]);
        let asked = batch.call(libc::SYS_personality, [u64::from(u32::MAX), 0, 0, 0, 0, 0]);
        let slack = batch.call(libc::SYS_prctl, [libc::PR_GET_TIMERSLACK as u64, 0, 0, 0, 0, 0]);
        // Rare, and inherited by threads: asked of the others only where the first one has switched them.
        let rare = others_ask(first).then(|| {
            batch.call(libc::SYS_prctl, [libc::PR_GET_TSC as u64, scratch + 40, 0, 0, 0, 0]);
            batch.call(libc::SYS_arch_prctl, [ARCH_GET_CPUID, 0, 0, 0, 0, 0])
        });
        let policy = batch.call(libc::SYS_get_mempolicy, memory_policy::of_thread(scratch + 64));
        let mut answers = remote.run(&batch)?;
        memory_policy = match answers.remove(policy) {
            Ok(_) => memory_policy::read(&remote, scratch + 64)?,
            // A kernel without memory nodes.
            Err(_) => None,
        };
        if let Some(cpuid) = rare {
            // Refused where the processor has no such switch.
            switches.no_cpuid = matches!(answers.remove(cpuid), Ok(0));
        }
        let answers = answers.into_iter().collect::<io::Result<Vec<u64>>>().map_err(io)?;
        let words: [u64; 6] = remote.read_words(scratch)?;
        alt_stack = (words[0], words[1] as i32, words[2]);
        clear_child_tid = words[3];
        parent_death_signal = words[4] as u32 as i32;
        switches.no_tsc = rare.is_some() && words[5] as i32 == libc::PR_TSC_SIGSEGV;
        credentials.securebits = answers[securebits] as u32;
        personality = answers[asked] as u32;
        timer_slack_ns = answers[slack];
        remote.finish()?;
    }
    let rseq = ptrace::rseq_configuration(tid).unwrap_or_default();
    let pending = match status.pending {
        0 => Vec::new(),
        _ => siginfos(ptrace::pending_signals(tid, false).map_err(io)?),
    };
    Ok(Thread {
        tid,
        comm: stat.comm.clone(),
        regs: {
            let regs = registers(&frozen.regs);
            let first = restarted::first_call(tid, &frozen.regs);
            Registers { orig_rax: first.unwrap_or(regs.orig_rax), ..regs }
        },
        xstate: ptrace::xstate(tid).map_err(io)?,
        signal_mask: frozen.mask,
        pending,
        alt_stack,
        clear_child_tid,
        robust_list: facts.robust_list,
        rseq: (rseq.address, rseq.size, rseq.signature, rseq.flags),
        sched: Sched {
            policy: attr.policy,
            flags: attr.flags,
            nice: attr.nice,
            priority: attr.priority,
            runtime: attr.runtime,
            deadline: attr.deadline,
            period: attr.period,
            clamps: ((attr.util_min, attr.util_max) != UNCLAMPED && attr.util_max != 0)
                .then_some((attr.util_min, attr.util_max)),
        },
        affinity: facts.affinity.clone(),
        io_priority: facts.io_priority,
        timer_slack_ns,
        parent_death_signal,
        credentials,
        seccomp: seccomp(tid, status.seccomp).map_err(io)?,
        switches,
        memory_policy,
        folders: None,
        cgroups: Vec::new(),
        keyrings: None,
        personality: Some(personality),
        raw_name: raw_name(tid, &stat.comm),
    })
}

pub fn siginfos(raw: Vec<ptrace::RawSiginfo>) -> Vec<Siginfo> {
    raw.into_iter().map(|s| Siginfo(s.to_vec())).collect()
}

fn others_ask(first: Option<&Switches>) -> bool {
    first.is_none_or(|s| s.no_tsc || s.no_cpuid)
}

/// What /proc tells of the switches.
fn switches(stat: &Stat, status: &Status) -> Switches {
    // PF_* of include/linux/sched.h, in the flags of /proc/PID/stat.
    const PF_MCE_PROCESS: u32 = 0x80;
    const PF_MEMALLOC_NOIO: u32 = 0x8_0000;
    const PF_LOCAL_THROTTLE: u32 = 0x10_0000;
    const PF_MCE_EARLY: u32 = 0x800_0000;
    let flusher = PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE;
    Switches {
        memory_failure: (stat.flags & PF_MCE_PROCESS != 0).then_some(stat.flags & PF_MCE_EARLY != 0),
        io_flusher: stat.flags & flusher == flusher,
        speculation: status.speculation.clone(),
        ..Switches::default()
    }
}

/// A name that is no text, as it is.
fn raw_name(tid: i32, comm: &str) -> Option<ByteBuf> {
    if !comm.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let mut name = std::fs::read(format!("/proc/{tid}/comm")).ok()?;
    name.pop();
    Some(ByteBuf::from(name))
}

/// As [`Switches::dispatch`] has it.
type Dispatch = (u64, u64, u64);

/// What has a thread dispatch its system calls to itself, and whether it does so now: such a one can't be asked
/// anything.
pub fn dispatch(pid: i32, tid: i32) -> io::Result<Option<(Dispatch, bool)>> {
    // Older kernels do not tell.
    let conf = ptrace::dispatch_configuration(tid).unwrap_or_default();
    if conf.mode == 0 {
        return Ok(None);
    }
    let mut selector = [1u8];
    if conf.selector != 0 {
        std::fs::File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut selector, conf.selector)?;
    }
    Ok(Some(((conf.selector, conf.offset, conf.len), selector != [0])))
}

fn credentials(s: &Status) -> Credentials {
    Credentials {
        uids: s.uids,
        gids: s.gids,
        groups: s.groups.clone(),
        cap_inheritable: s.cap_inheritable,
        cap_permitted: s.cap_permitted,
        cap_effective: s.cap_effective,
        cap_bounding: s.cap_bounding,
        cap_ambient: s.cap_ambient,
        securebits: 0,
        no_new_privs: s.no_new_privs,
    }
}

fn seccomp(tid: i32, mode: u32) -> io::Result<Seccomp> {
    match mode {
        SECCOMP_MODE_STRICT => Ok(Seccomp::Strict),
        SECCOMP_MODE_FILTER => {
            let mut filters = Vec::new();
            for index in 0.. {
                let Some(program) = ptrace::seccomp_filter(tid, index)? else { break };
                let flags = ptrace::seccomp_flags(tid, index).unwrap_or(0);
                filters.push(SeccompFilter { flags, program });
            }
            Ok(Seccomp::Filter(filters))
        }
        _ => Ok(Seccomp::None),
    }
}

fn registers(r: &user_regs_struct) -> Registers {
    Registers {
        r15: r.r15,
        r14: r.r14,
        r13: r.r13,
        r12: r.r12,
        rbp: r.rbp,
        rbx: r.rbx,
        r11: r.r11,
        r10: r.r10,
        r9: r.r9,
        r8: r.r8,
        rax: r.rax,
        rcx: r.rcx,
        rdx: r.rdx,
        rsi: r.rsi,
        rdi: r.rdi,
        orig_rax: r.orig_rax,
        rip: r.rip,
        eflags: r.eflags,
        rsp: r.rsp,
        fs_base: r.fs_base,
        gs_base: r.gs_base,
    }
}
