//! The capsule's end: nothing of it stays but `exit.json` and the logs.

use super::event_loop::Init;
use crate::attach::Frame;
use crate::raw;
use crate::record::{ExitRecord, signal_name};
use crate::runtime_folder::{ATTACH_SOCKET, EXIT_JSON, INIT_SOCKET};
use crate::timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitOptions, WaitStatus};
use rustix::time::Timespec;
use std::time::{Duration, Instant};

/// How long clients may take to read the last frames.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) fn end(mut init: Init<'_>, mut ended: Option<WaitStatus>) -> ! {
    if let Some(group) = init.group {
        group.kill();
    }
    raw::kill_all_others(libc::SIGKILL);
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == init.root() => ended = ended.or(Some(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    init.read_terminal(true);

    let exit = record(ended, init.end_reason.take());
    if let Err(error) = init.folder.write_json(EXIT_JSON, &exit) {
        tracing::error!(%error, "how the application ended could not be written down");
    }
    for socket in [ATTACH_SOCKET, INIT_SOCKET] {
        init.folder.unlink(socket);
    }
    farewell(&mut init, &exit);
    if let Some(group) = init.group {
        group.leave();
        group.remove();
    }
    raw::exit_now(0)
}

fn record(ended: Option<WaitStatus>, reason: Option<String>) -> ExitRecord {
    let signal = ended.and_then(|status| status.terminating_signal());
    ExitRecord {
        ended_at: timestamp::now(),
        exit_status: ended.and_then(|status| status.exit_status()),
        signal,
        signal_name: signal.and_then(signal_name),
        reason,
    }
}

fn farewell(init: &mut Init<'_>, exit: &ExitRecord) {
    let frame = Frame::Exit(serde_json::to_vec(exit).unwrap_or_default());
    for index in 0..init.clients.len() {
        if init.clients[index].is_behind() {
            init.queue_snapshot(index);
        }
        init.clients[index].finish(&frame);
    }
    let until = Instant::now() + FAREWELL;
    loop {
        for client in &mut init.clients {
            client.send();
        }
        init.clients.retain(|c| !c.is_gone());
        let left = until.saturating_duration_since(Instant::now());
        if init.clients.is_empty() || left.is_zero() {
            return;
        }
        let mut fds: Vec<_> =
            init.clients.iter().map(|c| PollFd::from_borrowed_fd(c.as_fd(), PollFlags::OUT)).collect();
        let limit = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let _ = poll(&mut fds, Some(&limit));
    }
}
