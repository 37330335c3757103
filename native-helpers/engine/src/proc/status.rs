//! /proc/PID/status: credentials, capabilities, sizes.

use std::io;

use super::read_whole;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The process that this thread is of; the same number for a process.
    pub tgid: i32,
    pub umask: u32,
    pub uids: [u32; 4],
    pub gids: [u32; 4],
    pub groups: Vec<u32>,
    pub tracer: i32,
    /// PIDs from the reader's namespace to the innermost.
    pub ns_pids: Vec<i32>,
    pub cap_inheritable: u64,
    pub cap_permitted: u64,
    pub cap_effective: u64,
    pub cap_bounding: u64,
    pub cap_ambient: u64,
    pub no_new_privs: bool,
    pub seccomp: u32,
    pub thp_enabled: bool,
    /// Speculation controls that are set for the thread: (which, PR_SPEC_*), as prctl(2) takes them.
    pub speculation: Vec<(u32, u32)>,
    pub resident_bytes: u64,
    pub swap_bytes: u64,
    pub locked_bytes: u64,
    pub pending: u64,
    pub shared_pending: u64,
    pub blocked: u64,
    pub ignored: u64,
    pub caught: u64,
}

impl Status {
    pub fn of(pid: i32) -> io::Result<Status> {
        Ok(parse(&read_whole(pid, "status")?))
    }

    pub fn of_thread(pid: i32, tid: i32) -> io::Result<Status> {
        Ok(parse(&read_whole(pid, &format!("task/{tid}/status"))?))
    }
}

/// The words of status for PR_SPEC_STORE_BYPASS (0) and PR_SPEC_INDIRECT_BRANCH (1); what is the default and
/// what can't be set has no entry.
fn speculation(which: u32, word: &str) -> Option<(u32, u32)> {
    const PR_SPEC_DISABLE: u32 = 1 << 2;
    const PR_SPEC_FORCE_DISABLE: u32 = 1 << 3;
    match word {
        "thread force mitigated" | "conditional force disabled" => Some((which, PR_SPEC_FORCE_DISABLE)),
        "thread mitigated" | "conditional disabled" => Some((which, PR_SPEC_DISABLE)),
        _ => None,
    }
}

fn parse(text: &str) -> Status {
    let mut s = Status { thp_enabled: true, ..Status::default() };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        let hex = || u64::from_str_radix(value, 16).unwrap_or(0);
        let kib = || value.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024;
        match key {
            "Tgid" => s.tgid = value.parse().unwrap_or(0),
            "Umask" => s.umask = u32::from_str_radix(value, 8).unwrap_or(0o22),
            "Uid" => s.uids = four(value),
            "Gid" => s.gids = four(value),
            "Groups" => s.groups = numbers(value),
            "TracerPid" => s.tracer = value.parse().unwrap_or(0),
            "NSpid" => s.ns_pids = numbers(value),
            "CapInh" => s.cap_inheritable = hex(),
            "CapPrm" => s.cap_permitted = hex(),
            "CapEff" => s.cap_effective = hex(),
            "CapBnd" => s.cap_bounding = hex(),
            "CapAmb" => s.cap_ambient = hex(),
            "NoNewPrivs" => s.no_new_privs = value == "1",
            "Seccomp" => s.seccomp = value.parse().unwrap_or(0),
            "Speculation_Store_Bypass" => s.speculation.extend(speculation(0, value)),
            "SpeculationIndirectBranch" => s.speculation.extend(speculation(1, value)),
            "THP_enabled" => s.thp_enabled = value == "1",
            "VmRSS" => s.resident_bytes = kib(),
            "VmSwap" => s.swap_bytes = kib(),
            "VmLck" => s.locked_bytes = kib(),
            "SigPnd" => s.pending = hex(),
            "ShdPnd" => s.shared_pending = hex(),
            "SigBlk" => s.blocked = hex(),
            "SigIgn" => s.ignored = hex(),
            "SigCgt" => s.caught = hex(),
            _ => {}
        }
    }
    s
}

fn numbers<T: std::str::FromStr>(value: &str) -> Vec<T> {
    value.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect()
}

fn four(value: &str) -> [u32; 4] {
    let n = numbers(value);
    std::array::from_fn(|i| n.get(i).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let s = parse(
            "Name:\tx\nUmask:\t0077\nUid:\t1\t2\t3\t4\nGroups:\t5 6 \nCapEff:\t00000000000000ff\nVmSwap:\t     12 kB\n",
        );
        assert_eq!(
            (s.umask, s.uids, s.groups, s.cap_effective, s.swap_bytes),
            (0o77, [1, 2, 3, 4], vec![5, 6], 0xff, 12288)
        );
    }
}
