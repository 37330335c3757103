//! Processes of ours for what changes a process as a whole: entering and making namespaces.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use torpor_sys::clone::{Forked, exit_now, fork_whole, kill};
use torpor_sys::ptrace;

/// How long such a process may take: one that comes into a frozen cgroup never answers.
const LIMIT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Has a process do something, and returns what it says.
///
/// # Errors
/// What went wrong there, with its error number; a time-out.
pub fn ask(work: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    with(work, |_, answer| Ok(answer))
}

/// Has a process do something, and does something while it is still there, told its PID and what it said.
///
/// # Errors
/// As [`ask`], and those of `act`.
pub fn with<T>(
    work: impl FnOnce() -> io::Result<Vec<u8>>,
    act: impl FnOnce(i32, Vec<u8>) -> io::Result<T>,
) -> io::Result<T> {
    let (answer, told) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (wait, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the C library's fork leaves the child able to allocate; it ends without running anything of ours.
    let child = match unsafe { fork_whole() }? {
        Forked::Parent(child) => child,
        Forked::Child => {
            drop((answer, end));
            let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            say(told, work());
            let mut byte = [0u8; 1];
            let _ = rustix::io::read(&wait, &mut byte);
            exit_now(0)
        }
    };
    drop((told, wait));
    let result = hear(answer).and_then(|answer| act(child, answer));
    drop(end);
    if result.is_err() {
        let _ = kill(child, libc::SIGKILL);
    }
    let _ = ptrace::wait(child);
    result
}

/// An error number, 0 for none, and the answer.
fn say(to: OwnedFd, outcome: io::Result<Vec<u8>>) {
    let (code, answer) = match outcome {
        Ok(answer) => (0, answer),
        Err(e) => (e.raw_os_error().unwrap_or(libc::EIO), e.to_string().into_bytes()),
    };
    let mut to = File::from(to);
    let _ = to.write_all(&code.to_ne_bytes());
    let _ = to.write_all(&answer);
}

fn hear(from: OwnedFd) -> io::Result<Vec<u8>> {
    let limit = Timespec { tv_sec: LIMIT.as_secs() as i64, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&limit))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut code = [0u8; 4];
    let mut from = File::from(from).take(MAX_ANSWER);
    from.read_exact(&mut code)?;
    let mut answer = Vec::new();
    from.read_to_end(&mut answer)?;
    match i32::from_ne_bytes(code) {
        0 => Ok(answer),
        // One without a number is told in words.
        libc::EIO if !answer.is_empty() => {
            Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()))
        }
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_an_error_come_back() {
        assert_eq!(ask(|| Ok(b"seven".to_vec())).unwrap(), b"seven");
        let refused = ask(|| Err(io::Error::from_raw_os_error(libc::EPERM))).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        let told = ask(|| Err(io::Error::other("no such ward"))).unwrap_err();
        assert_eq!(told.to_string(), "no such ward");
    }

    #[test]
    fn a_process_is_there_until_it_is_done_with() {
        let seen = with(
            || Ok(Vec::new()),
            |pid, _| Ok((pid, std::path::Path::new(&format!("/proc/{pid}")).exists())),
        );
        let (pid, there) = seen.unwrap();
        assert!(there);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
