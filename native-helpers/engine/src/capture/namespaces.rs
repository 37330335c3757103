//! Namespaces of a process that are not its capturer's: what the program has made for itself.

use super::collect::Collector;
use super::process::CaptureProcessError;
use crate::blocker::Obstacle;
use crate::freeze::FrozenProcess;
use crate::proc;

/// Kinds that a restore does not make anew, with what to do about them.
const KINDS: [(&str, &str); 8] = [
    ("user", "run the program without its sandbox (for a browser: --no-sandbox)"),
    ("mnt", "run the program without its own mounts"),
    ("pid", "run the program without its own PID namespace"),
    ("net", "run the program in the network of the machine"),
    ("uts", "let it use the machine's host name"),
    ("ipc", "run it in a capsule, which has an IPC namespace of its own"),
    ("cgroup", "run it without a cgroup namespace of its own"),
    ("time", "run it in a capsule, which has a time namespace of its own"),
];

/// Every namespace of the process that is not ours: what it is, and why it is in the way. From /proc alone,
/// for a living process as well.
pub fn foreign(pid: i32) -> Vec<(String, Obstacle)> {
    let own = std::process::id() as i32;
    let mut found = Vec::new();
    for (kind, remedy) in KINDS {
        let name = format!("ns/{kind}");
        let (Ok(theirs), Ok(ours)) = (proc::link(pid, &name), proc::link(own, &name)) else { continue };
        if theirs != ours {
            let obstacle = Obstacle::unsupported(
                "namespace",
                format!("the program has made a {kind} namespace of its own ({theirs})"),
                remedy,
            );
            found.push((format!("{kind} namespace"), obstacle));
        }
    }
    found
}

/// Notes a blocker for each of them.
pub fn check(collector: &mut Collector, process: &FrozenProcess) -> Result<(), CaptureProcessError> {
    for (subject, obstacle) in foreign(process.pid) {
        collector.block(process.pid, &process.stat.comm, subject, obstacle)?;
    }
    Ok(())
}
