//! A capsule's private display: an X server that is a process of the capsule.
//!
//! The server (TigerVNC's) is captured and restored with its clients. Clients reach it by its path in
//! the capsule's own `/tmp`, viewers by [`DISPLAY_SOCKET`] in `ctl/`; it listens nowhere else. Capsules
//! share the host's network namespace, and X clients try the abstract name of a display before its path:
//! init holds that name, without listening, so that nobody else can answer there.
//!
//! The root must keep the lowest PID of init's children, by which a capture knows it, so the server,
//! which is there first, gets a higher one.

use crate::error::{CapsuleError, Result};
use crate::program::{self, Connections};
use crate::runtime_folder::{CONTROL_FOLDER, DISPLAY_SOCKET, folder_of};
use crate::spec::{CapsuleId, Environment, Program};
use crate::user::Identity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The server, as Debian's tigervnc-standalone-server calls it and as others do.
const SERVERS: [&str; 2] = ["Xtigervnc", "Xvnc"];
/// How to get one.
pub const REMEDY: &str = "apt-get install tigervnc-standalone-server";
/// How long the server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Far from the numbers that displays of people have; each capsule of a machine gets one of its own.
const NUMBERS: std::ops::Range<u32> = 10_000..20_000;
const SOCKETS: &str = "/tmp/.X11-unix";
/// The PID before the server's.
const PID_BEFORE: i32 = 99;

/// Width and height of a display in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplaySize {
    pub width: u16,
    pub height: u16,
}

impl FromStr for DisplaySize {
    type Err = CapsuleError;

    /// `WxH`, from 64x64 to 7680x4320.
    fn from_str(text: &str) -> Result<Self> {
        let side = |text: &str, most: u16| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|side| digits && (64..=most).contains(side))
        };
        text.split_once('x')
            .and_then(|(width, height)| Some(Self { width: side(width, 7680)?, height: side(height, 4320)? }))
            .ok_or_else(|| CapsuleError::BadDisplaySize { size: text.to_owned() })
    }
}

impl fmt::Display for DisplaySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// The server's program, found in the caller's `PATH`.
pub fn server() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    SERVERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}

/// Connects to the display of a running capsule, as a viewer.
///
/// # Errors
/// When there is none, or its server has more connections waiting than it takes.
pub fn connect(run_folder: &Path, id: &CapsuleId) -> io::Result<UnixStream> {
    let path = folder_of(run_folder, id).join(CONTROL_FOLDER).join(DISPLAY_SOCKET);
    // By descriptor: a link is not followed, and the path may be longer than an address.
    let file = rustix::fs::open(&path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::Socket {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket"));
    }
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    // Not waiting: a server that hangs has a queue that is full.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, &address)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A name in the host's abstract namespace that nobody listens on while this is held.
pub(crate) type Reserved = OwnedFd;

/// A display that clients can connect to.
pub(crate) struct Started {
    /// The value of `DISPLAY`.
    pub name: String,
    pub reserved: Reserved,
}

/// Starts the server and waits until it listens. `connections` are those of the application.
pub(crate) fn start(
    size: DisplaySize,
    identity: &Identity,
    connections: &Connections<'_>,
    log: &File,
) -> Result<Started> {
    let server = server().ok_or(CapsuleError::DisplayServerMissing)?;
    let control = connections.control_folder.ok_or_else(|| CapsuleError::DisplayFailed {
        detail: "there is no place for its socket in the capsule".into(),
    })?;
    let (number, reserved) = reserve_any()?;
    make_socket_folder()?;
    let (ready, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| CapsuleError::step("create a pipe", e))?;
    let name = format!(":{number}");
    let program = Program {
        argv: arguments(&server, &name, size, control, &tell, connections.capsule),
        env: Environment::default(),
        cwd: Some("/".into()),
        user: None,
        allow_io_uring: false,
    };
    let connections =
        Connections { terminal: None, log: Some(log.as_fd()), passed: Some(tell.as_fd()), ..*connections };
    set_last_pid(PID_BEFORE)?;
    // Only the server runs while its user may make a socket in the folder.
    let uid = |uid| {
        rustix::fs::chown(control, Some(Uid::from_raw(uid)), None::<Gid>)
            .map_err(|e| CapsuleError::path("prepare the folder", control, e))
    };
    let own = rustix::process::geteuid().as_raw();
    uid(identity.uid)?;
    let started = program::start(&program, identity, &connections).and_then(|pid| {
        drop(tell);
        await_ready(pid, ready, &name, log)
    });
    uid(own)?;
    started?;
    set_last_pid(1)?;
    Ok(Started { name, reserved })
}

fn arguments(
    server: &Path,
    name: &str,
    size: DisplaySize,
    control: &Path,
    tell: &OwnedFd,
    capsule: &str,
) -> Vec<std::ffi::OsString> {
    let (size, tell) = (size.to_string(), tell.as_raw_fd().to_string());
    let socket = control.join(DISPLAY_SOCKET);
    let mut argv = vec![server.as_os_str().to_owned(), name.into()];
    argv.extend(["-geometry", &size, "-depth", "24", "-dpi", "96"].map(Into::into));
    // No X over TCP and none by an abstract name.
    argv.extend(["-nolisten", "tcp", "-nolisten", "local", "-displayfd", &tell].map(Into::into));
    // It goes on when its last client has gone, and shows its picture always.
    argv.extend(["-noreset", "-s", "0"].map(Into::into));
    argv.extend(["-rfbport", "-1", "-rfbunixmode", "0600", "-rfbunixpath"].map(Into::into));
    argv.push(socket.into());
    argv.extend(["-SecurityTypes", "None", "-AlwaysShared", "-AcceptSetDesktopSize=0"].map(Into::into));
    argv.extend(["-desktop", capsule].map(Into::into));
    // Errors only: a picture for each image would fill the application's log with who came and went.
    argv.extend(["-Log", "*:stderr:0"].map(Into::into));
    argv
}

/// Reads what the server writes to `-displayfd` once it listens.
fn await_ready(pid: Pid, ready: OwnedFd, name: &str, log: &File) -> Result<()> {
    let until = Instant::now() + START_LIMIT;
    let mut told = Vec::new();
    let mut ready = File::from(ready);
    while !told.ends_with(b"\n") {
        let left = until.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&ready, PollFlags::IN)];
        match poll(&mut fds, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(CapsuleError::step("wait for the display's server", e)),
            Ok(0) => {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                let detail = format!("it does not answer within {} s", START_LIMIT.as_secs());
                return Err(CapsuleError::DisplayFailed { detail });
            }
            Ok(_) => {}
        }
        let mut chunk = [0; 64];
        match ready.read(&mut chunk) {
            Ok(0) => return Err(CapsuleError::DisplayFailed { detail: last_words(log) }),
            Ok(length) => told.extend_from_slice(&chunk[..length]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(CapsuleError::step("wait for the display's server", e)),
        }
    }
    if format!(":{}", String::from_utf8_lossy(&told).trim()) == name {
        return Ok(());
    }
    let detail = format!("it serves another display than {name}");
    Err(CapsuleError::DisplayFailed { detail })
}

/// What the server said last.
fn last_words(mut log: &File) -> String {
    let mut text = Vec::new();
    let _ = log.seek(SeekFrom::Start(0)).and_then(|_| log.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or_else(|| "it has ended without a word".to_owned(), str::to_owned)
}

/// The server makes it too, but as its user.
fn make_socket_folder() -> Result<()> {
    let made = match rustix::fs::mkdirat(CWD, SOCKETS, Mode::from_raw_mode(0o1777)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => rustix::fs::chmod(SOCKETS, Mode::from_raw_mode(0o1777)),
        Err(errno) => Err(errno),
    };
    made.map_err(|e| CapsuleError::path("create the folder", SOCKETS, e))
}

fn set_last_pid(pid: i32) -> Result<()> {
    let path = "/proc/sys/kernel/ns_last_pid";
    fs::write(path, pid.to_string()).map_err(|e| CapsuleError::path("write", path, e))
}

/// The first display whose abstract name is free.
fn reserve_any() -> Result<(u32, Reserved)> {
    let mut last = rustix::io::Errno::ADDRINUSE;
    for number in NUMBERS {
        match reserve(&format!("{SOCKETS}/X{number}")) {
            Ok(reserved) => return Ok((number, reserved)),
            Err(errno) => last = errno,
        }
        if last != rustix::io::Errno::ADDRINUSE {
            break;
        }
    }
    Err(CapsuleError::step("reserve a display's name", last))
}

/// Binds an abstract name and does not listen: whoever connects is refused and goes on to the path.
fn reserve(name: &str) -> rustix::io::Result<Reserved> {
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    net::bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    Ok(socket)
}

/// Reserves the names of the displays that a restored capsule has.
pub(crate) fn reserve_restored(notes: &mut Vec<String>) -> Vec<Reserved> {
    let mut reserved = Vec::new();
    for entry in fs::read_dir(SOCKETS).into_iter().flatten().flatten() {
        let path = entry.path();
        match reserve(&path.to_string_lossy()) {
            Ok(held) => reserved.push(held),
            // Held for another capsule of the same image, most likely, which serves as well.
            Err(rustix::io::Errno::ADDRINUSE) => {
                notes.push(format!("the abstract name of the display {} is taken", path.display()));
            }
            Err(errno) => notes
                .push(format!("the abstract name of the display {} can't be held: {errno}", path.display())),
        }
    }
    reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_within_what_a_server_can_show() {
        for good in ["64x64", "1280x800", "7680x4320"] {
            assert_eq!(good.parse::<DisplaySize>().unwrap().to_string(), good);
        }
        for bad in ["", "x", "64", "63x64", "64x63", "7681x4320", "7680x4321", "+80x80", "80X80", "80x80x24"]
        {
            let error = bad.parse::<DisplaySize>().unwrap_err();
            assert_eq!(error.code().exit_status(), 2, "{error}");
        }
    }
}
