//! Acting as another process for a moment: the kernel notes with a connection who made it (SO_PEERCRED),
//! and with a message who sent it. A child with the wanted PID and credentials, which shares this process'
//! descriptors, does that one thing and ends; the PID is free again before the tree is built.

use std::io;

use rustix::process::{Gid, Uid, WaitOptions, waitpid};
use torpor_sys::clone::{Forked, exit_now, fork_sharing_descriptors};

use crate::model::SystemState;

/// PID, uid, gid.
pub type Identity = (i32, u32, u32);

/// What the child answers when the errno is none.
const UNKNOWN: i32 = 125;

/// Does something as `who`. Where that PID is not to be had, the PID is any; where `who` is unknown, it is
/// this process.
pub fn act_as(
    state: &SystemState,
    who: Option<Identity>,
    act: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let Some((pid, uid, gid)) = who.filter(|(pid, ..)| *pid > 0) else { return act() };
    let process = state.processes.iter().find(|p| p.pid == pid);
    let credentials = process.and_then(|p| p.threads.first()).map(|t| &t.credentials);
    let groups: Vec<Gid> =
        credentials.iter().flat_map(|c| c.groups.iter().map(|g| Gid::from_raw(*g))).collect();
    let taken = std::path::Path::new(&format!("/proc/{pid}")).exists();
    // SAFETY: the child only makes system calls and ends.
    let forked = match unsafe { fork_sharing_descriptors(if taken { 0 } else { pid }) } {
        // SAFETY: as above; without the right to choose, any PID does.
        Err(_) if !taken => unsafe { fork_sharing_descriptors(0) }?,
        other => other?,
    };
    match forked {
        Forked::Child => {
            become_identity(uid, gid, &groups);
            let result = act();
            exit_now(match result {
                Ok(()) => 0,
                Err(e) => e.raw_os_error().filter(|e| *e < UNKNOWN).unwrap_or(UNKNOWN),
            })
        }
        Forked::Parent(child) => loop {
            match waitpid(rustix::process::Pid::from_raw(child), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
                Ok(status) => {
                    return match status.and_then(|(_, s)| s.exit_status()) {
                        Some(0) => Ok(()),
                        Some(UNKNOWN) | None => {
                            Err(io::Error::other("a socket's other end could not be made"))
                        }
                        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
                    };
                }
            }
        },
    }
}

/// Takes on ids as far as this process may; where it may not, it is itself that the connection names.
fn become_identity(uid: u32, gid: u32, groups: &[Gid]) {
    use rustix::thread::{
        CapabilitiesSecureBits, set_capabilities_secure_bits, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    };
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if rustix::process::geteuid() == uid && rustix::process::getegid() == gid && groups.is_empty() {
        return;
    }
    // What may be opened does not change with the ids: the original had its connection already.
    let _ = set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP);
    let _ = set_thread_groups(groups);
    let _ = set_thread_res_gid(gid, gid, gid);
    let _ = set_thread_res_uid(uid, uid, uid);
}
