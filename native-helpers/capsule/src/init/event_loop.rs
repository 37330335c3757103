//! Init at work: one thread, one poll.

use super::askers::Asker;
use super::clients::{CLIENTS_MAX, Client};
use super::terminal_side::TerminalSide;
use super::{Ready, ending, output_log, sockets};
use crate::attach::Frame;
use crate::cgroup::CapsuleGroup;
use crate::control::{Answer, Request, Status};
use crate::pty::WindowSize;
use crate::raw;
use crate::runtime_folder::RuntimeFolder;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use rustix::time::Timespec;

/// How often waiting clients that are behind are looked at.
const PATIENCE_CHECK_MS: i64 = 500;

/// All that the loop works on.
pub(super) struct Init<'a> {
    pub ready: Ready,
    pub folder: &'a RuntimeFolder,
    pub group: Option<&'a CapsuleGroup>,
    pub clients: Vec<Client>,
    askers: Vec<Asker>,
    /// Set when somebody asked for the capsule's end.
    pub end_reason: Option<String>,
    end_requested: bool,
}

pub(super) fn run(ready: Ready, folder: &RuntimeFolder, group: Option<&CapsuleGroup>) -> ! {
    let mut init = Init {
        ready,
        folder,
        group,
        clients: Vec::new(),
        askers: Vec::new(),
        end_reason: None,
        end_requested: false,
    };
    // The root may have ended before the first poll.
    let mut ended = init.reap();
    while ended.is_none() && !init.end_requested {
        ended = init.turn();
    }
    ending::end(init, ended)
}

/// What became ready in a turn of the loop, by index.
struct Events {
    signals: bool,
    attach: bool,
    ask: bool,
    terminal: PollFlags,
    clients: Vec<PollFlags>,
    askers: Vec<PollFlags>,
    background: Vec<bool>,
}

impl Init<'_> {
    fn turn(&mut self) -> Option<WaitStatus> {
        let events = self.wait();
        let mut ended = None;
        if events.signals {
            for signal in raw::read_signals(&self.ready.signals) {
                if signal == libc::SIGTERM {
                    let _ = rustix::process::kill_process(self.ready.root, Signal::TERM);
                }
            }
            ended = self.reap();
        }
        if !events.terminal.is_empty() {
            self.read_terminal(false);
        }
        for (index, flags) in events.clients.iter().enumerate() {
            self.serve_client(index, *flags);
        }
        for (index, flags) in events.askers.iter().enumerate() {
            self.serve_asker(index, *flags);
        }
        self.step_background(&events.background);
        if let Some(side) = &mut self.ready.terminal {
            side.write_input();
        }
        if let Some(log) = &self.ready.log {
            output_log::limit(log, self.folder);
        }
        self.accept(&events);
        self.clients.iter_mut().for_each(Client::check_patience);
        self.clients.retain(|c| !c.is_gone());
        self.askers.retain(|a| !a.is_gone());
        ended
    }

    fn wait(&self) -> Events {
        let ready = &self.ready;
        let takes_input = ready.terminal.as_ref().is_none_or(TerminalSide::takes_input);
        let mut fds =
            vec![PollFd::new(&ready.signals, PollFlags::IN), PollFd::new(&ready.sockets.ask, PollFlags::IN)];
        if let Some(attach) = &ready.sockets.attach {
            fds.push(PollFd::new(attach, PollFlags::IN));
        }
        let terminal = fds.len();
        if let Some(side) = &ready.terminal {
            let flags = if side.has_input() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            fds.push(PollFd::new(&side.pty.master, flags));
        }
        let clients = fds.len();
        fds.extend(self.clients.iter().map(|c| PollFd::from_borrowed_fd(c.as_fd(), c.interest(takes_input))));
        let askers = fds.len();
        fds.extend(self.askers.iter().map(|a| PollFd::from_borrowed_fd(a.as_fd(), a.interest())));
        let background = fds.len();
        let waits: Vec<_> = ready.background.iter().map(|b| b.wait_for()).collect();
        fds.extend(waits.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));

        if poll(&mut fds, self.time_limit().as_ref()).is_err() {
            fds.iter_mut().for_each(PollFd::clear_revents);
        }
        let seen = |index: usize| fds.get(index).map_or(PollFlags::empty(), PollFd::revents);
        let mut next = background;
        Events {
            signals: !seen(0).is_empty(),
            ask: !seen(1).is_empty(),
            attach: ready.sockets.attach.is_some() && !seen(2).is_empty(),
            terminal: if ready.terminal.is_some() { seen(terminal) } else { PollFlags::empty() },
            clients: (clients..askers).map(seen).collect(),
            askers: (askers..background).map(seen).collect(),
            background: waits
                .iter()
                .map(|wait| {
                    let range = next..next + wait.len();
                    next = range.end;
                    range.into_iter().any(|index| !seen(index).is_empty())
                })
                .collect(),
        }
    }

    /// Waits without end unless something needs looking at.
    fn time_limit(&self) -> Option<Timespec> {
        let milliseconds = if self.ready.background.iter().any(|b| b.has_more()) {
            0
        } else if self.clients.iter().any(Client::is_behind) {
            PATIENCE_CHECK_MS
        } else if self.ready.log.is_some() {
            output_log::CHECK_EVERY_MS
        } else {
            return None;
        };
        Some(Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 })
    }

    /// Takes every ended child: the root's end is the capsule's, the others were orphans.
    pub(super) fn reap(&mut self) -> Option<WaitStatus> {
        let mut ended = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.ready.root && !status.stopped() && !status.continued() {
                ended = Some(status);
            }
        }
        ended
    }

    /// Passes the application's output to the terminal's state and to all clients.
    pub(super) fn read_terminal(&mut self, fully: bool) {
        let Some(side) = &mut self.ready.terminal else { return };
        let clients = &mut self.clients;
        side.read(fully, |bytes| {
            let frame = Frame::Output(bytes.to_vec());
            clients.iter_mut().for_each(|c| c.output(&frame));
        });
        let replies = side.terminal.take_replies();
        // Somebody must answer the application's questions; a client's own terminal does it best.
        if !clients.iter().any(Client::answers) {
            side.add_input(&replies);
        }
        for index in 0..self.clients.len() {
            self.send_to(index);
        }
    }

    fn send_to(&mut self, index: usize) {
        if self.clients[index].send() {
            // Caught up: everything it missed is in a snapshot.
            self.queue_snapshot(index);
            self.clients[index].send();
        }
    }

    pub(super) fn queue_snapshot(&mut self, index: usize) {
        if let Some(side) = &mut self.ready.terminal {
            let snapshot = side.terminal.repaint();
            self.clients[index].queue(&Frame::Snapshot(snapshot));
        }
    }

    fn serve_client(&mut self, index: usize, flags: PollFlags) {
        if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            for frame in self.clients[index].receive() {
                self.obey(index, frame);
            }
        }
        self.send_to(index);
    }

    fn obey(&mut self, index: usize, frame: Frame) {
        let client = &mut self.clients[index];
        match frame {
            Frame::Attach(size) if client.is_new() => self.attach(index, Some(size)),
            Frame::View if client.is_new() => self.attach(index, None),
            _ if client.is_new() => client.refuse("the first frame must be an attach request"),
            Frame::Input(bytes) if client.is_full() => {
                if let Some(side) = &mut self.ready.terminal {
                    side.add_input(&bytes);
                }
            }
            Frame::Resize(size) if client.is_full() => self.resize(size, None),
            Frame::Input(_) | Frame::Resize(_) => {}
            _ => client.refuse("this frame is init's to send"),
        }
    }

    /// `size` is `None` for a viewer.
    fn attach(&mut self, index: usize, size: Option<WindowSize>) {
        // The snapshot must hold everything that earlier clients got as output.
        self.read_terminal(false);
        let chosen = size.filter(|s| s.columns > 0 && s.rows > 0);
        if let Some(size) = chosen {
            self.resize(size, Some(index));
        }
        let Some(side) = &self.ready.terminal else { return };
        let actual = side.terminal.size();
        self.clients[index].attach(size.is_some());
        if chosen != Some(actual) {
            self.clients[index].queue(&Frame::Size(actual));
        }
        self.queue_snapshot(index);
    }

    fn resize(&mut self, size: WindowSize, but: Option<usize>) {
        let Some(side) = &mut self.ready.terminal else { return };
        if !side.resize(size) {
            return;
        }
        let frame = Frame::Size(side.terminal.size());
        for (index, client) in self.clients.iter_mut().enumerate() {
            if Some(index) != but {
                client.output(&frame);
            }
        }
    }

    fn serve_asker(&mut self, index: usize, flags: PollFlags) {
        if flags.contains(PollFlags::OUT) {
            self.askers[index].send();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        let Some(request) = self.askers[index].receive() else { return };
        let answer = match request {
            Err(message) => Answer { message: Some(message), ..Answer::default() },
            Ok(Request::Status) => Answer { ok: true, status: Some(self.status()), ..Answer::default() },
            Ok(Request::TerminalState { frozen }) => {
                self.read_terminal(true);
                let terminal = self.ready.terminal.as_mut().map(|side| side.save(frozen));
                Answer { ok: true, terminal, ..Answer::default() }
            }
            Ok(Request::End { reason }) => {
                self.end_reason = reason;
                self.end_requested = true;
                Answer { ok: true, ..Answer::default() }
            }
        };
        self.askers[index].answer(&answer);
    }

    fn status(&self) -> Status {
        let side = self.ready.terminal.as_ref();
        Status {
            root_pid_inside: self.ready.root.as_raw_nonzero().get(),
            size: side.map(|s| s.terminal.size()),
            title: side.and_then(|s| s.terminal.title()),
            clients: self.clients.iter().filter(|c| c.is_attached()).count(),
            resident_kib: resident_kib(),
            background_tasks: self.ready.background.len(),
        }
    }

    fn step_background(&mut self, is_ready: &[bool]) {
        let mut index = 0;
        self.ready.background.retain_mut(|task| {
            let wanted = is_ready.get(index).copied().unwrap_or(false) || task.has_more();
            index += 1;
            !wanted || task.step()
        });
        if let Some(reason) = self.ready.background.iter().find_map(|task| task.failure()) {
            tracing::error!(%reason, "the application is ended");
            self.end_reason = Some(reason);
            self.end_requested = true;
        }
    }

    fn accept(&mut self, events: &Events) {
        if events.ask
            && let Some(connection) = sockets::accept(&self.ready.sockets.ask)
        {
            self.askers.push(Asker::new(connection));
        }
        if events.attach
            && let Some(listener) = &self.ready.sockets.attach
            && let Some(connection) = sockets::accept(listener)
        {
            let mut client = Client::new(connection);
            if self.clients.len() >= CLIENTS_MAX {
                client.refuse("too many terminals are attached to this application");
                client.send();
            } else {
                self.clients.push(client);
            }
        }
    }

    pub(super) fn root(&self) -> Pid {
        self.ready.root
    }
}

fn resident_kib() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse().ok()
        })
        .unwrap_or(0)
}
