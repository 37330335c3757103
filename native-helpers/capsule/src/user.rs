//! Whom the application runs as: `name` or `uid[:gid]` to numbers, groups and home.

use crate::error::{CapsuleError, Result};
use crate::raw;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

/// A user, resolved before anything is forked so that a typo is a plain error.
#[derive(Clone, Debug)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub name: OsString,
    pub home: OsString,
    pub shell: OsString,
}

impl Identity {
    /// # Errors
    /// [`CapsuleError::UnknownUser`] when a name is not in the user database, or a number is none.
    pub fn resolve(user: &str) -> Result<Self> {
        let unknown = || CapsuleError::UnknownUser { user: user.to_owned() };
        if user.starts_with(|c: char| c.is_ascii_digit()) {
            let (uid, gid) = match user.split_once(':') {
                Some((uid, gid)) => (uid, Some(gid.parse().map_err(|_| unknown())?)),
                None => (user, None),
            };
            return Ok(Self::from_uid(uid.parse().map_err(|_| unknown())?, gid));
        }
        let name = CString::new(user).map_err(|_| unknown())?;
        Ok(Self::from_account(raw::account_by_name(&name).ok_or_else(unknown)?, None))
    }

    /// The caller's own.
    pub fn current() -> Self {
        let gid = rustix::process::getegid().as_raw();
        Self::from_uid(rustix::process::geteuid().as_raw(), Some(gid))
    }

    /// A number needs no entry in the user database: containers often have none.
    fn from_uid(uid: u32, gid: Option<u32>) -> Self {
        match raw::account_by_uid(uid) {
            Some(account) => Self::from_account(account, gid),
            None => {
                let gid = gid.unwrap_or(uid);
                Self {
                    uid,
                    gid,
                    groups: vec![gid],
                    name: uid.to_string().into(),
                    home: "/".into(),
                    shell: "/bin/sh".into(),
                }
            }
        }
    }

    fn from_account(account: raw::Account, gid: Option<u32>) -> Self {
        let gid = gid.unwrap_or(account.gid);
        let text = |s: CString, default: &str| {
            if s.is_empty() { OsString::from(default) } else { OsString::from_vec(s.into_bytes()) }
        };
        Self {
            uid: account.uid,
            gid,
            groups: raw::groups_of(&account.name, gid),
            name: text(account.name, "unknown"),
            home: text(account.home, "/"),
            shell: text(account.shell, "/bin/sh"),
        }
    }

    pub fn home(&self) -> &OsStr {
        &self.home
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let root = Identity::resolve("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        let stranger = Identity::resolve("54321:54322").unwrap();
        assert_eq!((stranger.uid, stranger.gid, stranger.groups), (54321, 54322, vec![54322]));
        assert_eq!(stranger.home, "/");
    }

    #[test]
    fn unknown_users_are_named() {
        for user in ["no-such-user-here", "12x", "1:x", "", "a\0b"] {
            let error = Identity::resolve(user).unwrap_err();
            assert_eq!(error, CapsuleError::UnknownUser { user: user.into() });
        }
    }
}
