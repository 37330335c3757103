//! Makes the namespaces of an image anew.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use torpor_sys::ids;

use super::compare::{bring_loopback_up, set};
use super::{child, user};
use crate::model::Namespace;
use crate::restore::enter_cgroups;

/// Makes a namespace, in a user namespace where it was in one; it lives as long as the descriptor and those that are
/// put into it.
///
/// # Errors
/// EPERM without the right to; what is missing of it here.
pub fn make(namespace: &Namespace, owner: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    if let Namespace::User(wanted) = namespace {
        return user::make(wanted, owner);
    }
    let create = || {
        if let Namespace::Cgroup { roots } = namespace {
            // Where its maker is, its root will be.
            enter_cgroups(roots).map_err(io::Error::other)?;
        }
        if let Some(owner) = owner {
            ids::enter_namespace(owner, libc::CLONE_NEWUSER)?;
        }
        ids::leave_namespaces(namespace.clone_flag())?;
        if let Namespace::Network { loopback_up, settings } = namespace {
            if *loopback_up {
                bring_loopback_up()?;
            }
            set(settings)?;
        }
        Ok(Vec::new())
    };
    child::with(create, |made, _| Ok(fs::File::open(format!("/proc/{made}/ns/{}", namespace.word()))?.into()))
}

/// The same for a UTS namespace with these names.
///
/// # Errors
/// As [`make`].
pub fn make_uts(host: &str, domain: &str, owner: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let create = || {
        if let Some(owner) = owner {
            ids::enter_namespace(owner, libc::CLONE_NEWUSER)?;
        }
        ids::own_uts_namespace(host.as_bytes(), domain.as_bytes())?;
        Ok(Vec::new())
    };
    child::with(create, |made, _| Ok(fs::File::open(format!("/proc/{made}/ns/uts"))?.into()))
}
