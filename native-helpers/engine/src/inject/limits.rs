//! Limits of memory that leave no room for the few pages of an injected call: raised for the moment of mapping them,
//! by the process itself, which may do so up to its hard limits whoever we are.

use std::os::unix::fs::FileExt;

use super::{InjectError, Remote, STUB_ROOM};
use crate::proc;

/// A resource, with its soft and hard limit as they were.
pub type Limit = (u32, [u64; 2]);

/// As far as the hard limits go.
pub fn raise(remote: &mut Remote<'_>) -> Result<Vec<Limit>, InjectError> {
    let text = proc::read(remote.tid, "limits").map_err(remote.io())?;
    let mut were = Vec::new();
    for (resource, name) in [(libc::RLIMIT_AS, "Max address space"), (libc::RLIMIT_DATA, "Max data size")] {
        let Some([soft, hard]) = limit(&text, name) else { continue };
        if soft < hard && set(remote, resource, [hard, hard])? {
            were.push((resource, [soft, hard]));
        }
    }
    Ok(were)
}

/// Sets them again.
pub fn put_back(remote: &mut Remote<'_>, were: &[Limit]) -> Result<(), InjectError> {
    for (resource, limit) in were {
        set(remote, *resource, *limit)?;
    }
    Ok(())
}

/// `Max address space         4194304              unlimited            bytes`
fn limit(text: &str, name: &str) -> Option<[u64; 2]> {
    let mut words = text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace();
    let mut next = || match words.next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    Some([next()?, next()?])
}

fn set(remote: &mut Remote<'_>, resource: u32, limit: [u64; 2]) -> Result<bool, InjectError> {
    // There is no memory to be had yet: the room of a second stub, which is put back as it was at the end.
    if remote.injector.original.len() < 2 * STUB_ROOM || !remote.is_anchor() {
        return Ok(false);
    }
    let room = remote.injector.stub + STUB_ROOM as u64;
    let bytes: Vec<u8> = limit.iter().flat_map(|w| w.to_le_bytes()).collect();
    remote.injector.memory.write_all_at(&bytes, room).map_err(remote.io())?;
    Ok(remote.call(libc::SYS_prlimit64, [0, u64::from(resource), room, 0, 0, 0])?.is_ok())
}

#[cfg(test)]
mod tests {
    use super::limit;

    #[test]
    fn limits_are_read_as_proc_prints_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max data size             4096                 unlimited            bytes     \n";
        assert_eq!(limit(text, "Max data size"), Some([4096, u64::MAX]));
        assert_eq!(limit(text, "Max address space"), None);
    }
}
