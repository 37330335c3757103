//! The capsule's namespaces and its clocks.
//!
//! The guardian separates PID and time (both count from the next child on, which is init); init
//! separates mounts and IPC for itself. Clocks are offsets from the host's, written before the
//! first process enters the time namespace; the kernel allows no later change.

use crate::error::{CapsuleError, Result};
use crate::raw;
use crate::spec::Clocks;
use rustix::io::Errno;
use rustix::thread::UnshareFlags;
use rustix::time::{ClockId, clock_gettime};

/// Has the next child start a PID namespace and a time namespace. Returns what is missing.
pub fn separate_pid_and_time(clocks: Clocks) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    match raw::unshare(UnshareFlags::NEWTIME) {
        Ok(()) => set_clocks(clocks)?,
        Err(errno) if clocks == Clocks::AsCaller => {
            notes.push(format!(
                "no time namespace ({}): the clocks are the host's",
                crate::error::Errno::from(errno)
            ));
        }
        Err(Errno::PERM) => return Err(not_permitted("create a time namespace", Errno::PERM)),
        Err(errno) => return Err(CapsuleError::NoTimeNamespace { errno: errno.into() }),
    }
    raw::unshare(UnshareFlags::NEWPID).map_err(|errno| not_permitted("create a PID namespace", errno))?;
    Ok(notes)
}

/// Gives the calling process mounts and IPC objects of its own.
pub fn separate_mounts_and_ipc() -> Result<()> {
    raw::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWIPC)
        .map_err(|errno| not_permitted("create mount and IPC namespaces", errno))
}

fn not_permitted(step: &str, errno: Errno) -> CapsuleError {
    match errno {
        Errno::PERM | Errno::ACCESS => CapsuleError::NotPermitted {
            step: step.to_owned(),
            right: "CAP_SYS_ADMIN".into(),
            errno: errno.into(),
            remedy: "; run it as root, or give the container this capability".into(),
        },
        errno => CapsuleError::step(step, errno),
    }
}

fn set_clocks(clocks: Clocks) -> Result<()> {
    let Clocks::ContinueAt { monotonic_ns, boottime_ns } = clocks else { return Ok(()) };
    const OFFSETS: &str = "/proc/self/timens_offsets";
    // The offsets in the file count from the initial namespace. The caller may be in another one:
    // what it sees is the initial clock plus the offset that the file shows now (inherited).
    let inherited = std::fs::read_to_string(OFFSETS)
        .map_err(|e| CapsuleError::path("read the clock offsets", OFFSETS, e))?;
    let offset = |clock: ClockId, name: &str, wanted: i64| {
        let now = clock_gettime(clock);
        let now = now.tv_sec * 1_000_000_000 + now.tv_nsec;
        wanted - (now - inherited_offset(&inherited, name))
    };
    let line = |name: &str, offset: i64| {
        format!("{name} {} {}\n", offset.div_euclid(1_000_000_000), offset.rem_euclid(1_000_000_000))
    };
    let text = line("monotonic", offset(ClockId::Monotonic, "monotonic", monotonic_ns))
        + &line("boottime", offset(ClockId::Boottime, "boottime", boottime_ns));
    std::fs::write(OFFSETS, text).map_err(|error| match error.raw_os_error() {
        Some(libc::ERANGE | libc::EINVAL) => CapsuleError::ClockRange { errno: error.into() },
        Some(libc::EPERM | libc::EACCES) => CapsuleError::NotPermitted {
            step: "set the capsule's clocks".into(),
            right: "CAP_SYS_TIME".into(),
            errno: error.into(),
            remedy: "; give the container this capability".into(),
        },
        _ => CapsuleError::path("write the clock offsets", OFFSETS, error),
    })
}

fn inherited_offset(file: &str, name: &str) -> i64 {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then_some(())?;
        let seconds: i64 = words.next()?.parse().ok()?;
        let nanoseconds: i64 = words.next()?.parse().ok()?;
        Some(seconds * 1_000_000_000 + nanoseconds)
    };
    file.lines().find_map(parse).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn inherited_offsets_are_read_as_the_kernel_writes_them() {
        let file = "monotonic       -2         500000000\nboottime            7         0\n";
        assert_eq!(super::inherited_offset(file, "monotonic"), -1_500_000_000);
        assert_eq!(super::inherited_offset(file, "boottime"), 7_000_000_000);
        assert_eq!(super::inherited_offset(file, "realtime"), 0);
    }
}
