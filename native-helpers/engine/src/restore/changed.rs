//! Files that are not on disk what they were when the image was taken.

use std::collections::HashSet;
use std::path::Path;

use super::RestoreError;
use crate::model::{Backing, FileId, FileKind, PathFile, SystemState};

const PROT_EXEC: u32 = libc::PROT_EXEC as u32;
/// File systems whose files the kernel makes up when they are read (statfs(2)): proc, sysfs, cgroup, cgroup2,
/// debugfs, tracefs, securityfs, nsfs, selinuxfs, configfs, bpf.
const MADE_UP: [u64; 11] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6e73_6673,
    0xf97c_ff8c,
    0x6265_6570,
    0xcafe_4a11,
];
/// How many of them a note names.
const NAMED: usize = 5;

/// What to do about files that the program has open or mapped and that have changed since. Growth of the same
/// file, as of a log, is no change. Code that the program runs from is not left to choice: it must be the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChangedFiles {
    /// Go on, and say nothing.
    Continue,
    /// Go on, and name them in a note.
    #[default]
    Warn,
    /// Restore nothing.
    Refuse,
}

/// Compares the files of an image with those on disk. `own` are device and inode of those that come back out of
/// the image themselves; what is in `own_folders` is another file in each life.
///
/// # Errors
/// Where code has changed, or anything that is to be refused.
pub fn check(
    state: &SystemState,
    own: &HashSet<(u64, u64)>,
    own_folders: &[&str],
    policy: ChangedFiles,
) -> Result<Option<String>, RestoreError> {
    let code = mapped_code(state);
    let mut changed = Vec::new();
    for (id, file) in state.files.iter().enumerate() {
        let FileKind::Path(path) = &file.kind else { continue };
        if own_folders.iter().any(|folder| Path::new(&path.path).starts_with(folder)) {
            continue;
        }
        let runs_from = code.contains(&(id as FileId));
        if policy == ChangedFiles::Continue && !runs_from {
            continue;
        }
        let now = rustix::fs::stat(&path.path).ok();
        if now.as_ref().is_some_and(|now| own.contains(&(now.st_dev, now.st_ino))) {
            continue;
        }
        // A program whose code is another by now would run into it in the middle of a function.
        if runs_from && !now.as_ref().is_some_and(|now| is_same(path, now)) {
            return Err(RestoreError::FileChanged { path: path.path.clone() });
        }
        // One that is gone is found when it is opened.
        if now.is_some_and(|now| has_changed(path, &now)) {
            changed.push(path.path.as_str());
        }
    }
    changed.sort_unstable();
    changed.dedup();
    match policy {
        _ if changed.is_empty() => Ok(None),
        ChangedFiles::Refuse => Err(RestoreError::FilesChanged { paths: list(&changed) }),
        _ => Ok(Some(format!("changed on disk since the image was taken: {}", list(&changed)))),
    }
}

fn list(paths: &[&str]) -> String {
    let named = paths.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn is_same(then: &PathFile, now: &rustix::fs::Stat) -> bool {
    let now = PathFile::of(&then.path, now);
    (now.size, now.mtime_ns) == (then.size, then.mtime_ns)
}

fn has_changed(then: &PathFile, now: &rustix::fs::Stat) -> bool {
    let is_regular = |mode: u32| mode & libc::S_IFMT == libc::S_IFREG;
    if !is_regular(then.mode) || is_same(then, now) {
        return false;
    }
    let is_that_file = (now.st_dev, now.st_ino) == (then.dev, then.ino) && is_regular(now.st_mode);
    let grown = is_that_file && now.st_size as u64 > then.size;
    !grown && !rustix::fs::statfs(&then.path).is_ok_and(|fs| MADE_UP.contains(&(fs.f_type as u64)))
}

/// The files that programs of the tree run from: private executable mappings and executables.
fn mapped_code(state: &SystemState) -> HashSet<FileId> {
    let spaces = state.processes.iter().filter_map(|p| p.mm.as_ref());
    let mut code = HashSet::new();
    for mm in spaces {
        code.extend(mm.exe);
        code.extend(mm.mappings.iter().filter(|m| m.prot & PROT_EXEC != 0 && !m.shared).filter_map(|m| {
            match m.backing {
                Backing::File { file, .. } => Some(file),
                _ => None,
            }
        }));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn as_it_is(path: &std::path::Path) -> PathFile {
        PathFile::of(path.to_str().unwrap(), &rustix::fs::stat(path).unwrap())
    }

    fn changed(then: &PathFile) -> bool {
        has_changed(then, &rustix::fs::stat(&then.path).unwrap())
    }

    #[test]
    fn growth_is_no_change_but_other_contents_another_file_and_less_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one line\n").unwrap();
        let then = as_it_is(&path);
        assert!(!changed(&then));
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"another\n").unwrap();
        assert!(!changed(&then));
        let longer = as_it_is(&path);
        std::fs::write(&path, "cut").unwrap();
        assert!(changed(&longer));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(changed(&longer));
        std::fs::remove_dir(&path).unwrap();
        // Its number may be that of the first.
        std::fs::write(&path, "no words").unwrap();
        assert!(changed(&then));
    }

    #[test]
    fn files_that_the_kernel_makes_up_have_not_changed() {
        let then = PathFile { mtime_ns: 1, ..as_it_is(std::path::Path::new("/proc/self/status")) };
        assert!(!changed(&then));
    }

    #[test]
    fn a_note_names_some_and_counts_the_others() {
        assert_eq!(list(&["/a", "/b"]), "/a, /b");
        assert_eq!(list(&["/a", "/b", "/c", "/d", "/e", "/f", "/g"]), "/a, /b, /c, /d, /e and 2 more");
    }
}
