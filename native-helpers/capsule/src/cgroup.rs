//! The capsule's cgroup: `torpor/<ID>@<run folder>/` in the machine's version 2 tree, if there is a
//! writable one.
//!
//! It has two leaves. `app` holds the application, so that freezing it stops the whole tree and
//! nothing that is born meanwhile escapes; `init` holds init, which must go on answering while the
//! application is frozen, and which must not stay in the caller's own group: a service manager
//! that stops the agent would end all capsules.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PARENT: &str = "torpor";
const APPLICATION: &str = "app";
const INIT: &str = "init";
/// For [`CapsuleGroup::remove`]: a fifth of a second per folder.
const REMOVE_ATTEMPTS: u32 = 40;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// A capsule's own group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapsuleGroup {
    root: PathBuf,
    path: PathBuf,
}

impl CapsuleGroup {
    /// Creates the group below a version 2 root.
    ///
    /// # Errors
    /// Those of creating folders: the caller goes on without a group.
    pub fn create(root: &Path, id: &str, run_folder: &Path) -> io::Result<Self> {
        let group = Self::named(root, id, run_folder);
        // Another capsule's end may remove the empty parent between two of these steps.
        for attempt in 0.. {
            let made = [root.join(PARENT), group.path.clone(), group.application(), group.init()]
                .iter()
                .try_for_each(|folder| match fs::create_dir(folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                    _ => Ok(()),
                });
            match made {
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 10 => {}
                Err(error) => {
                    group.remove();
                    return Err(error);
                }
                Ok(()) => break,
            }
        }
        Ok(group)
    }

    fn named(root: &Path, id: &str, run_folder: &Path) -> Self {
        let path = root.join(PARENT).join(format!("{id}@{:08x}", run_folder_key(run_folder)));
        Self { root: root.to_owned(), path }
    }

    /// The folder whose `cgroup.freeze` stops the application and not init.
    pub fn application(&self) -> PathBuf {
        self.path.join(APPLICATION)
    }

    fn init(&self) -> PathBuf {
        self.path.join(INIT)
    }

    /// A descriptor through which a process joins the application's group by writing "0", whatever
    /// mounts it sees by then.
    pub fn application_processes(&self) -> io::Result<File> {
        open_processes(&self.application())
    }

    /// Moves the calling process (init) into its leaf.
    pub fn move_init_here(&self) -> io::Result<()> {
        open_processes(&self.init())?.write_all(b"0")
    }

    /// Moves the calling process out of the group, so that [`CapsuleGroup::remove`] can work.
    pub fn leave(&self) {
        let _ = open_processes(&self.root).and_then(|mut f| f.write_all(b"0"));
    }

    /// Removes the group, and the parent when it was the last one. Fails silently while processes
    /// are in it: [`sweep`] comes again.
    pub fn remove(&self) {
        for folder in [self.application(), self.init(), self.path.clone()] {
            // A process that has just ended still counts for an instant.
            for _ in 0..REMOVE_ATTEMPTS {
                match fs::remove_dir(&folder) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
        let _ = fs::remove_dir(self.root.join(PARENT));
    }

    /// Whether nothing has been in it for so long that nobody is just making it.
    fn is_forgotten(&self) -> bool {
        let empty = fs::read_to_string(self.path.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 0"));
        let age = fs::metadata(&self.path).and_then(|m| m.modified()).map(|made| made.elapsed());
        empty && matches!(age, Ok(Ok(age)) if age > FORGOTTEN_AFTER)
    }

    /// Kills whatever is still in the application's group. Frozen processes die frozen: thawing
    /// them first would let a hibernated application run on for a moment, past its image.
    pub fn kill(&self) {
        let _ = OpenOptions::new()
            .write(true)
            .open(self.application().join("cgroup.kill"))
            .and_then(|mut f| f.write_all(b"1"));
    }
}

fn open_processes(group: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_CLOEXEC).open(group.join("cgroup.procs"))
}

/// Two agents with different runtime folders may use one id.
fn run_folder_key(run_folder: &Path) -> u32 {
    use std::os::unix::ffi::OsStrExt;
    let folder = run_folder.canonicalize().unwrap_or_else(|_| run_folder.to_owned());
    // FNV-1a: stable, and no secret depends on it.
    folder
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The first writable version 2 tree among this process' mounts. Its place is never assumed:
/// machines with both versions have it in a subfolder, containers anywhere or nowhere.
pub fn find_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().filter_map(parse_mount).find(|path| {
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok() && path.join("cgroup.procs").exists()
    })
}

fn parse_mount(line: &str) -> Option<PathBuf> {
    let (mount, filesystem) = line.split_once(" - ")?;
    if filesystem.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let mut fields = mount.split(' ');
    let point = fields.nth(4)?;
    let writable = fields.next()?.split(',').any(|option| option == "rw");
    writable.then(|| unescape(point))
}

/// Undoes mountinfo's octal escapes.
pub(crate) fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Removes the groups of this runtime folder's ended capsules, and empty ones of others: their
/// runtime folders may be gone, and with them whoever would have come to sweep.
pub fn sweep(run_folder: &Path, is_alive: impl Fn(&str) -> bool) {
    let Some(root) = find_root() else { return };
    let suffix = format!("@{:08x}", run_folder_key(run_folder));
    for entry in fs::read_dir(root.join(PARENT)).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let group = CapsuleGroup { root: root.clone(), path: entry.path() };
        let ours = entry.file_name().to_str().and_then(|n| n.strip_suffix(&suffix)).map(str::to_owned);
        match ours {
            Some(id) if is_alive(&id) => {}
            Some(_) => {
                group.kill();
                group.remove();
            }
            None if group.is_forgotten() => group.remove(),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_wherever_it_is_mounted() {
        let line = "41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(parse_mount(line), Some(PathBuf::from("/sys/fs/cgroup/uni fied")));
        assert_eq!(parse_mount(&line.replace(" rw,relatime", " ro,relatime")), None);
        assert_eq!(parse_mount(&line.replace("cgroup2", "cgroup")), None);
        assert_eq!(parse_mount("rubbish"), None);
    }
}
