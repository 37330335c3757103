//! User namespaces (user_namespaces(7), ioctl_ns(2)).

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::{
    CapabilitiesSecureBits, set_capabilities_secure_bits, set_thread_res_gid, set_thread_res_uid,
};
use torpor_sys::fd::{adopt, ioctl_int, ioctl_struct};
use torpor_sys::ids;

use super::child;
use crate::model::UserNamespace;

const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_PARENT: u64 = 0xb702;
const NS_GET_OWNER_UID: u64 = 0xb704;

/// The user namespace that another one belongs to.
///
/// # Errors
/// EPERM where that is out of our sight.
pub fn owner(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(adopt(ioctl_int(namespace, NS_GET_USERNS, 0)? as i32))
}

/// The user namespace that one was made in.
///
/// # Errors
/// As [`owner`].
pub fn parent(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(adopt(ioctl_int(namespace, NS_GET_PARENT, 0)? as i32))
}

/// Whether it is the one that we are in.
pub fn is_own(namespace: BorrowedFd<'_>) -> bool {
    let of = |s: rustix::fs::Stat| (s.st_dev, s.st_ino);
    let theirs = rustix::fs::fstat(namespace).map(of);
    theirs.is_ok() && theirs == rustix::fs::stat("/proc/self/ns/user").map(of)
}

/// Reads one: from inside, where ids of the one above are told as they are there.
pub fn describe(namespace: &OwnedFd) -> io::Result<UserNamespace> {
    let mut owner = [0u8; 4];
    ioctl_struct(namespace.as_fd(), NS_GET_OWNER_UID, &mut owner)?;
    let text = child::ask(|| {
        ids::enter_namespace(namespace.as_fd(), libc::CLONE_NEWUSER)?;
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}"));
        Ok([read("uid_map")?, read("gid_map")?, read("setgroups")?].join("\0").into_bytes())
    })?;
    let text = String::from_utf8_lossy(&text);
    let mut parts = text.split('\0');
    let mut part = || parts.next().unwrap_or_default();
    Ok(UserNamespace {
        owner: u32::from_ne_bytes(owner),
        uids: map(part()),
        gids: map(part()),
        setgroups_denied: part().trim() == "deny",
    })
}

/// `         0       1000          1` and so on.
fn map(text: &str) -> Vec<(u32, u32, u32)> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace().map_while(|w| w.parse().ok());
        Some((words.next()?, words.next()?, words.next()?))
    };
    text.lines().filter_map(line).collect()
}

/// Makes one in another, by its owner.
pub fn make(wanted: &UserNamespace, above: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let enter_above = || match above {
        Some(above) => ids::enter_namespace(above, libc::CLONE_NEWUSER),
        None => Ok(()),
    };
    let create = || {
        set_capabilities_secure_bits(
            CapabilitiesSecureBits::NO_SETUID_FIXUP | CapabilitiesSecureBits::KEEP_CAPS,
        )?;
        let owner = rustix::fs::Uid::from_raw(wanted.owner);
        set_thread_res_uid(owner, owner, owner)?;
        enter_above()?;
        if above.is_some()
            && let Some((group, ..)) = map(&fs::read_to_string("/proc/self/gid_map")?).first()
        {
            // Who makes one has to have a group there; which one, nobody can see.
            let group = rustix::fs::Gid::from_raw(*group);
            set_thread_res_gid(group, group, group)?;
        }
        ids::leave_namespaces(libc::CLONE_NEWUSER)?;
        Ok(Vec::new())
    };
    child::with(create, |made, _| {
        // Only somebody in the one above may give it ids.
        child::ask(|| {
            enter_above()?;
            let write = |name: &str, text: &str| fs::write(format!("/proc/{made}/{name}"), text);
            if wanted.setgroups_denied {
                write("setgroups", "deny")?;
            }
            for (name, map) in [("uid_map", &wanted.uids), ("gid_map", &wanted.gids)] {
                let lines: Vec<String> = map.iter().map(|(a, b, n)| format!("{a} {b} {n}\n")).collect();
                if !lines.is_empty() {
                    write(name, &lines.concat())?;
                }
            }
            Ok(Vec::new())
        })?;
        Ok(fs::File::open(format!("/proc/{made}/ns/user"))?.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only with the right to make them.
    fn made(wanted: &UserNamespace, above: Option<&OwnedFd>) -> Option<OwnedFd> {
        make(wanted, above.map(AsFd::as_fd)).inspect_err(|e| eprintln!("SKIPPED: user namespaces: {e}")).ok()
    }

    #[test]
    fn one_that_was_made_is_what_was_wanted_and_so_is_one_in_it() {
        let outer = UserNamespace {
            owner: 1000,
            uids: vec![(0, 100_000, 1000), (1000, 1000, 1)],
            gids: vec![(0, 100_000, 1000)],
            setgroups_denied: false,
        };
        let Some(first) = made(&outer, None) else { return };
        assert_eq!(describe(&first).unwrap(), outer);
        let inner = UserNamespace {
            owner: 1000,
            uids: vec![(5, 7, 3)],
            gids: vec![(5, 0, 1)],
            setgroups_denied: true,
        };
        let second = made(&inner, Some(&first)).unwrap();
        assert_eq!(describe(&second).unwrap(), inner);
        let above = parent(second.as_fd()).unwrap();
        assert_eq!(describe(&above).unwrap(), outer);
        assert!(is_own(parent(above.as_fd()).unwrap().as_fd()) && !is_own(above.as_fd()));
    }
}
