//! Whether there is anything in a network or IPC namespace that a new one has not: found by comparing it with a new
//! one, in a thread of ours that goes into both and ends.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use torpor_sys::fd::ioctl_struct;
use torpor_sys::{ids, socket};

use crate::model::Namespace;
use crate::proc::diag;

pub enum Compared {
    Like(Namespace),
    Differs(String),
}

/// Runs in a thread of its own, whose namespaces end with it.
pub fn in_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let thread = std::thread::Builder::new().name("namespace".into()).spawn(work)?;
    thread.join().map_err(|_| io::Error::other("looking into a namespace failed"))?
}

/// Everything there is to see, by the name of what shows it.
type Picture = BTreeMap<String, Vec<u8>>;

/// What is not shown of theirs, since it belongs to a user namespace, nobody in there can have changed.
fn difference(theirs: &Picture, new: &Picture) -> Option<String> {
    theirs.iter().find(|(name, value)| new.get(*name) != Some(value)).map(|(name, _)| name.clone())
}

pub fn network(theirs: OwnedFd) -> io::Result<Compared> {
    ids::enter_namespace(theirs.as_fd(), libc::CLONE_NEWNET)?;
    let loopback_up = loopback()?;
    let picture = network_picture()?;
    ids::leave_namespaces(libc::CLONE_NEWNET)?;
    if loopback_up {
        bring_loopback_up()?;
    }
    let new = network_picture()?;
    let mut settings = Vec::new();
    for (name, value) in picture.iter().filter(|(name, value)| new.get(*name) != Some(value)) {
        match setting(name, value) {
            Some(value) => settings.push((name.clone(), value)),
            None => return Ok(Compared::Differs(name.clone())),
        }
    }
    Ok(Compared::Like(Namespace::Network { loopback_up, settings }))
}

/// What a setting says that can be written as it is read.
fn setting(name: &str, value: &[u8]) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    /// Longest one that is kept, in bytes.
    const MAX_LEN: usize = 4096;
    let mode = fs::metadata(name).ok()?.permissions().mode();
    let value = std::str::from_utf8(value).ok().filter(|v| !v.trim().is_empty() && v.len() <= MAX_LEN)?;
    (name.starts_with(SETTINGS) && mode & 0o600 == 0o600).then(|| value.to_owned())
}

/// Writes the settings of a network that this thread is in.
///
/// # Errors
/// What the kernel does not take, or is none.
pub fn set(settings: &[(String, String)]) -> io::Result<()> {
    for (name, value) in settings {
        if !name.starts_with(SETTINGS) || name.split('/').any(|part| part == "..") {
            return Err(io::Error::other(format!("{name} is no setting of a network")));
        }
        fs::write(name, value).map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))?;
    }
    Ok(())
}

const SETTINGS: &str = "/proc/sys/net/";
const SIOCGIFFLAGS: u64 = 0x8913;
const SIOCSIFFLAGS: u64 = 0x8914;

/// `struct ifreq` of the loopback device: its name, flags, and room.
fn loopback_request() -> [u8; 40] {
    let mut raw = [0u8; 40];
    raw[..2].copy_from_slice(b"lo");
    raw
}

fn loopback() -> io::Result<bool> {
    let probe = socket::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = loopback_request();
    ioctl_struct(probe.as_fd(), SIOCGIFFLAGS, &mut request)?;
    Ok(u16::from_ne_bytes([request[16], request[17]]) & libc::IFF_UP as u16 != 0)
}

pub fn bring_loopback_up() -> io::Result<()> {
    let probe = socket::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = loopback_request();
    ioctl_struct(probe.as_fd(), SIOCGIFFLAGS, &mut request)?;
    let flags = u16::from_ne_bytes([request[16], request[17]]) | libc::IFF_UP as u16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    ioctl_struct(probe.as_fd(), SIOCSIFFLAGS, &mut request)?;
    Ok(())
}

/// Devices, addresses, routes, rules, filters and settings of the network that this thread is in.
fn network_picture() -> io::Result<Picture> {
    let mut picture = Picture::new();
    for (name, list) in &diag::NETWORK {
        picture.insert((*name).to_owned(), diag::network_list(list)?);
    }
    for name in ["fib_trie", "if_inet6", "arp", "ip_tables_names", "ip6_tables_names", "arp_tables_names"] {
        // What this kernel does not have is nowhere.
        let text = fs::read(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
        picture.insert(name.to_owned(), text);
    }
    settings(Path::new("/proc/sys/net"), &mut picture);
    Ok(picture)
}

/// The settings below a folder of /proc/sys.
fn settings(folder: &Path, picture: &mut Picture) {
    // What goes on by itself.
    const PASSING: [&str; 3] = ["nf_conntrack_count", "stable_secret", "flush"];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            settings(&path, picture);
        } else if !PASSING.iter().any(|name| path.ends_with(name)) {
            picture.insert(path.display().to_string(), fs::read(&path).unwrap_or_default());
        }
    }
}

pub fn ipc(theirs: OwnedFd) -> io::Result<Compared> {
    // Its message queues are seen where a file system of them is mounted: here, where nobody else looks.
    ids::leave_namespaces(libc::CLONE_NEWNS)?;
    rustix::mount::mount_change(
        "/",
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC,
    )?;
    ids::enter_namespace(theirs.as_fd(), libc::CLONE_NEWIPC)?;
    let picture = ipc_picture()?;
    ids::leave_namespaces(libc::CLONE_NEWIPC)?;
    Ok(match difference(&picture, &ipc_picture()?) {
        None => Compared::Like(Namespace::Ipc),
        Some(what) => Compared::Differs(what),
    })
}

fn ipc_picture() -> io::Result<Picture> {
    const PLACE: &str = "/tmp";
    let mut picture = Picture::new();
    for name in ["shm", "sem", "msg"] {
        picture.insert(format!("/proc/sysvipc/{name}"), fs::read(format!("/proc/sysvipc/{name}"))?);
    }
    rustix::mount::mount("none", PLACE, "mqueue", rustix::mount::MountFlags::empty(), None)?;
    let mut queues: Vec<String> =
        fs::read_dir(PLACE)?.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    queues.sort();
    rustix::mount::unmount(PLACE, rustix::mount::UnmountFlags::DETACH)?;
    picture.insert("POSIX message queues".to_owned(), queues.join("/").into_bytes());
    settings(Path::new("/proc/sys/fs/mqueue"), &mut picture);
    for entry in fs::read_dir("/proc/sys/kernel")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["shm", "msg", "sem", "auto_msgmni"].iter().any(|of_ipc| name.starts_with(of_ipc)) {
            picture.insert(name, fs::read(entry.path()).unwrap_or_default());
        }
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::super::make::make;
    use super::*;
    use crate::proc;

    fn link(file: &OwnedFd) -> String {
        use std::os::fd::AsRawFd;
        proc::link(std::process::id() as i32, &format!("fd/{}", file.as_raw_fd())).unwrap()
    }

    /// Only with the right to make namespaces.
    fn made(namespace: &Namespace) -> Option<OwnedFd> {
        make(namespace, None).inspect_err(|e| eprintln!("SKIPPED: namespaces: {e}")).ok()
    }

    #[test]
    fn a_new_network_is_like_a_new_one_with_its_loopback_device_up_or_not() {
        for loopback_up in [false, true] {
            let Some(file) = made(&Namespace::Network { loopback_up, settings: Vec::new() }) else { return };
            assert!(link(&file).starts_with("net:["));
            let compared = in_thread(move || network(file)).unwrap();
            assert!(matches!(compared, Compared::Like(Namespace::Network { loopback_up: up, settings })
                    if up == loopback_up && settings.is_empty()));
        }
    }

    #[test]
    fn a_network_with_a_changed_setting_is_told_with_it() {
        let Some(file) = made(&Namespace::Network { loopback_up: false, settings: Vec::new() }) else {
            return;
        };
        let inside = file.try_clone().unwrap();
        in_thread(move || {
            ids::enter_namespace(inside.as_fd(), libc::CLONE_NEWNET)?;
            fs::write("/proc/sys/net/ipv4/ip_default_ttl", "65")
        })
        .unwrap();
        let compared = in_thread(move || network(file)).unwrap();
        let changed = vec![("/proc/sys/net/ipv4/ip_default_ttl".to_owned(), "65\n".to_owned())];
        assert!(
            matches!(compared, Compared::Like(Namespace::Network { settings, .. }) if settings == changed)
        );
    }

    #[test]
    fn the_machines_own_network_is_not() {
        let Some(_) = made(&Namespace::Ipc) else { return };
        let file = fs::File::open("/proc/self/ns/net").unwrap().into();
        let compared = in_thread(move || network(file)).unwrap();
        let has_more = fs::read_dir("/sys/class/net").unwrap().count() > 1;
        assert_eq!(matches!(compared, Compared::Differs(_)), has_more);
    }

    #[test]
    fn a_new_ipc_namespace_is_like_a_new_one() {
        let Some(file) = made(&Namespace::Ipc) else { return };
        let compared = in_thread(move || ipc(file)).unwrap();
        assert!(matches!(compared, Compared::Like(Namespace::Ipc)));
    }
}
