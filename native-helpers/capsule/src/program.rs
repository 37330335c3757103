//! Starts the application's root process: from a fork of init to `execve`.
//!
//! The child is a session leader with the terminal as its controlling terminal, default signal
//! dispositions, an empty mask, umask 022, its user's identity, and no descriptor but 0 to 2.
//! Whatever fails is reported through a pipe that `execve` closes.

use crate::error::{CapsuleError, Errno, Result};
use crate::raw::{self, Fork};
use crate::spec::{Environment, Program};
use crate::user::Identity;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit};
use rustix::thread::{Gid, Uid};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a login gives: programs that use select() break beyond it. They may raise it themselves.
const OPEN_FILES: u64 = 1024;

/// What the root process is connected to.
#[derive(Clone, Copy)]
pub(crate) struct Connections<'a> {
    /// Terminal or log; `None` for standard input means `/dev/null`.
    pub terminal: Option<BorrowedFd<'a>>,
    pub log: Option<BorrowedFd<'a>>,
    pub cgroup_processes: Option<BorrowedFd<'a>>,
    pub control_folder: Option<&'a Path>,
    /// A descriptor that the program gets besides, under the same number.
    pub passed: Option<BorrowedFd<'a>>,
    /// The private display's name.
    pub display: Option<&'a str>,
    pub capsule: &'a str,
    pub private_tmp: bool,
}

/// Forks and execs; returns the root's PID once the program runs.
pub(crate) fn start(program: &Program, identity: &Identity, connections: &Connections<'_>) -> Result<Pid> {
    let environment = environment(program, identity, connections);
    let (reader, writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| CapsuleError::step("create a pipe", e))?;
    let pid = match raw::fork().map_err(|e| CapsuleError::step("fork the application", e))? {
        Fork::Child => {
            let error = become_program(program, identity, connections, &environment, &writer);
            let _ = File::from(writer).write_all(&serde_json::to_vec(&error).unwrap_or_default());
            raw::exit_now(127)
        }
        Fork::Parent(pid) => pid,
    };
    drop(writer);
    let mut report = Vec::new();
    File::from(reader).read_to_end(&mut report).map_err(|e| CapsuleError::step("wait for the program", e))?;
    if report.is_empty() {
        return Ok(pid);
    }
    Err(serde_json::from_slice(&report).unwrap_or(CapsuleError::InitDied { detail: String::new() }))
}

/// Nothing of the caller's session leaks in: what is not listed here is not set.
fn environment(program: &Program, identity: &Identity, connections: &Connections<'_>) -> Environment {
    let mut environment = Environment::default();
    environment.set("PATH", PATH);
    environment.set("HOME", identity.home());
    environment.set("USER", &identity.name);
    environment.set("LOGNAME", &identity.name);
    environment.set("SHELL", &identity.shell);
    environment.set("LANG", "C.UTF-8");
    if connections.terminal.is_some() {
        environment.set("TERM", "xterm-256color");
        environment.set("COLORTERM", "truecolor");
    }
    // A display of the caller's is no business of a program with one of its own.
    let foreign = |name: &OsStr| ["WAYLAND_DISPLAY", "XAUTHORITY"].iter().any(|other| name == *other);
    for (name, value) in program.env.iter() {
        if connections.display.is_none() || !foreign(name) {
            environment.set(name, value);
        }
    }
    if let Some(display) = connections.display {
        environment.set("DISPLAY", display);
    }
    environment.set("TORPOR_CAPSULE", connections.capsule);
    if let Some(folder) = connections.control_folder {
        environment.set("TORPOR_SOCKET", folder.join(crate::runtime_folder::CONTROL_SOCKET));
    }
    environment
}

/// Returns only on failure.
fn become_program(
    program: &Program,
    identity: &Identity,
    connections: &Connections<'_>,
    environment: &Environment,
    report: &OwnedFd,
) -> CapsuleError {
    match prepare(program, identity, connections, report) {
        Ok(()) => exec(program, environment),
        Err(error) => error,
    }
}

fn prepare(
    program: &Program,
    identity: &Identity,
    connections: &Connections<'_>,
    report: &OwnedFd,
) -> Result<()> {
    let step = |what: &'static str| move |errno: rustix::io::Errno| CapsuleError::step(what, errno);
    if let Some(group) = connections.cgroup_processes {
        rustix::io::write(group, b"0").map_err(step("join the application's cgroup"))?;
    }
    rustix::process::setsid().map_err(step("start a session"))?;
    connect(connections)?;
    let passed = connections.passed.map(|fd| fd.as_raw_fd());
    raw::close_all_but(3, &[Some(report.as_raw_fd()), passed].into_iter().flatten().collect::<Vec<_>>());
    if let Some(fd) = connections.passed {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).map_err(step("pass a descriptor"))?;
    }

    // An agent may be protected from the OOM killer; its applications are not.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    let files = rustix::process::getrlimit(Resource::Nofile);
    if files.current.is_none_or(|current| current > OPEN_FILES)
        && files.maximum.is_none_or(|m| m >= OPEN_FILES)
    {
        let limit = Rlimit { current: Some(OPEN_FILES), maximum: files.maximum };
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if !program.allow_io_uring {
        // Where it can't be had the program runs as it would elsewhere, and `inspect` names its rings.
        let _ = raw::refuse_io_uring();
    }
    become_user(identity)?;
    enter_folder(program, identity, connections.private_tmp)?;
    raw::reset_signals();
    Ok(())
}

fn connect(connections: &Connections<'_>) -> Result<()> {
    let redirect = |fd: BorrowedFd<'_>, at| {
        raw::redirect(fd, at).map_err(|e| CapsuleError::step("connect the standard descriptors", e))
    };
    if let Some(terminal) = connections.terminal {
        rustix::process::ioctl_tiocsctty(terminal)
            .map_err(|e| CapsuleError::step("make the terminal the controlling terminal", e))?;
        return (0..3).try_for_each(|at| redirect(terminal, at));
    }
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| CapsuleError::path("open", "/dev/null", e))?;
    redirect(null.as_fd(), 0)?;
    let output = connections.log.unwrap_or(null.as_fd());
    redirect(output, 1)?;
    redirect(output, 2)?;
    // Closed with all others in the next step.
    std::mem::forget(null);
    Ok(())
}

fn become_user(identity: &Identity) -> Result<()> {
    let same = rustix::process::geteuid().as_raw() == identity.uid
        && rustix::process::getegid().as_raw() == identity.gid;
    let denied = |step: &'static str, right: &'static str| {
        move |errno: rustix::io::Errno| CapsuleError::NotPermitted {
            step: step.into(),
            right: right.into(),
            errno: errno.into(),
            remedy: String::new(),
        }
    };
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let groups: Vec<Gid> = identity.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        // A container may forbid it even to its root; nothing has to change for the same user.
        Err(rustix::io::Errno::PERM) if same => return Ok(()),
        outcome => outcome.map_err(denied("set the application's groups", "CAP_SETGID"))?,
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .map_err(denied("set the application's group", "CAP_SETGID"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .map_err(denied("set the application's user", "CAP_SETUID"))
}

fn enter_folder(program: &Program, identity: &Identity, private_tmp: bool) -> Result<()> {
    let Some(folder) = &program.cwd else {
        let home = Path::new(identity.home());
        return rustix::process::chdir(home)
            .or_else(|_| rustix::process::chdir("/"))
            .map_err(|e| CapsuleError::path("enter the home folder", home, e));
    };
    rustix::process::chdir(folder).map_err(|errno| CapsuleError::WorkingFolder {
        folder: folder.to_string_lossy().into_owned(),
        errno: errno.into(),
        hint: if private_tmp && folder.starts_with("/tmp") {
            "; the capsule has a /tmp of its own, so keep the application's files elsewhere or let it use the host's /tmp"
                .into()
        } else {
            String::new()
        },
    })
}

fn exec(program: &Program, environment: &Environment) -> CapsuleError {
    let command = &program.argv[0];
    let named = || command.to_string_lossy().into_owned();
    let text = |s: &OsStr| CString::new(s.as_bytes());
    let argv: Result<Vec<CString>, _> = program.argv.iter().map(|s| text(s)).collect();
    let envp: Result<Vec<CString>, _> = environment
        .iter()
        .map(|(name, value)| {
            let mut entry = name.as_bytes().to_vec();
            entry.push(b'=');
            entry.extend_from_slice(value.as_bytes());
            text(&OsString::from_vec(entry))
        })
        .collect();
    let (Ok(argv), Ok(envp)) = (argv, envp) else {
        return CapsuleError::CommandNotExecutable { command: named(), errno: Errno(libc::EINVAL) };
    };
    let path = environment.get("PATH").unwrap_or(OsStr::new(PATH));
    let mut failure = rustix::io::Errno::NOENT;
    for candidate in candidates(command, path) {
        let Ok(candidate) = text(candidate.as_os_str()) else { continue };
        match raw::execve(&candidate, &argv, &envp) {
            // Others further down the path may do; the first telling reason is kept.
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => {}
            errno if failure == rustix::io::Errno::NOENT => failure = errno,
            _ => {}
        }
    }
    if failure == rustix::io::Errno::NOENT {
        let searched = if command.as_bytes().contains(&b'/') {
            String::new()
        } else {
            format!(" in PATH ({})", path.to_string_lossy())
        };
        return CapsuleError::CommandNotFound { command: named(), searched };
    }
    CapsuleError::CommandNotExecutable { command: named(), errno: failure.into() }
}

fn candidates(command: &OsStr, path: &OsStr) -> Vec<PathBuf> {
    if command.as_bytes().contains(&b'/') {
        return vec![command.into()];
    }
    std::env::split_paths(path).map(|folder| folder.join(command)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_a_slash_is_not_looked_up() {
        assert_eq!(candidates(OsStr::new("./x"), OsStr::new("/bin")), [PathBuf::from("./x")]);
        let both = candidates(OsStr::new("x"), OsStr::new("/a:/b"));
        assert_eq!(both, [PathBuf::from("/a/x"), PathBuf::from("/b/x")]);
    }
}
