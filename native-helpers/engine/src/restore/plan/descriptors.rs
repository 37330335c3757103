//! The descriptors of a process: those that the helper has opened get their numbers, the others are opened by the
//! processes themselves, which also register with epoll instances what these can't be told from outside.

use std::os::fd::AsRawFd;

use super::super::region::List;
use super::super::{RestoreError, numbers, watches};
use super::Planner;
use crate::model::{EpollTarget, FileId, FileKind, Process, pty};

impl Planner<'_> {
    pub(super) fn descriptors(&mut self, list: &mut List, process: &Process) -> Result<(), RestoreError> {
        let base = self.stages.base_fd as u64;
        if process.files_owner != process.pid {
            // The owner of the table does it.
            return Ok(());
        }
        let moves: Vec<numbers::Move> = process
            .fds
            .iter()
            .filter_map(|d| {
                let flags = if d.close_on_exec { libc::O_CLOEXEC as u64 } else { 0 };
                Some(numbers::Move { from: self.files.get(d.file)?.as_raw_fd(), to: d.fd, flags })
            })
            .collect();
        for step in numbers::ordered(&moves, base as i32 - 1) {
            if step.from == step.to {
                let flags = if step.flags == 0 { 0 } else { libc::FD_CLOEXEC as u64 };
                list.call(libc::SYS_fcntl, &[step.to as u64, libc::F_SETFD as u64, flags]);
            } else {
                list.call(libc::SYS_dup3, &[step.from as u64, step.to as u64, step.flags]);
            }
        }
        // What is between the numbers of the process, of the helper's own.
        let mut taken: Vec<u64> = moves.iter().map(|m| m.to as u64).collect();
        taken.sort_unstable();
        let (below, above) = taken.split_at(taken.partition_point(|number| *number < base));
        let end = self.stages.end_fd as u64;
        // Up to ours, and from there on.
        for (mut at, numbers, last) in [(0, below, base), (end, above, u64::from(u32::MAX))] {
            for number in numbers.iter().copied().chain([last]) {
                if at < number {
                    list.call(libc::SYS_close_range, &[at, number - 1, 0]);
                }
                at = number + 1;
            }
        }
        for d in process.fds.iter().filter(|d| self.files.get(d.file).is_none()) {
            let flags = if d.close_on_exec { libc::O_CLOEXEC as u64 } else { 0 };
            let file = self.file(d.file)?;
            if let FileKind::Pty(pty) = &file.kind {
                let pty::Pty::Slave(slave) = &**pty else { continue };
                if self.pty_of(process.sid).is_some_and(|own| own.index == slave.index) {
                    let name = self.region.string("/dev/tty");
                    let args = [libc::AT_FDCWD as u64, name, file.flags as u64, 0];
                    self.open_then_move(list, libc::SYS_openat, &args, d.fd, flags);
                } else if let Some(source) = self.files.slave(slave.index) {
                    // Kept from a session that this process has left.
                    list.call(libc::SYS_dup3, &[source.as_raw_fd() as u64, d.fd as u64, flags]);
                }
            }
        }
        Ok(())
    }

    /// Descriptors of what is there only once all processes and threads are, and what refers to those.
    pub(super) fn late_descriptors(
        &mut self,
        list: &mut List,
        process: &Process,
    ) -> Result<(), RestoreError> {
        if let Some(id) = process.cwd
            && self.files.get(id).is_none()
            && let FileKind::Path(path) = &self.file(id)?.kind
        {
            let name = self.region.string(&path.path);
            list.call(libc::SYS_chdir, &[name]);
        }
        if process.files_owner != process.pid {
            return Ok(());
        }
        for d in process.fds.iter().filter(|d| self.files.get(d.file).is_none()) {
            let flags = if d.close_on_exec { libc::O_CLOEXEC as u64 } else { 0 };
            let file = self.file(d.file)?;
            if !matches!(file.kind, FileKind::Pidfd { .. } | FileKind::Path(_)) {
                continue;
            }
            if self.handed.from(d.file, process.pid).is_some() {
                continue;
            }
            if let Some(first) = first_number(process, d.file).filter(|first| *first != d.fd) {
                list.call(libc::SYS_dup3, &[first as u64, d.fd as u64, flags]);
                continue;
            }
            match &file.kind {
                FileKind::Pidfd { pid, .. } => {
                    let how = (file.flags & (libc::O_NONBLOCK | libc::O_EXCL)) as u64;
                    self.open_then_move(list, libc::SYS_pidfd_open, &[*pid as u64, how], d.fd, flags);
                }
                // A file of /proc/PID, which is there only now.
                FileKind::Path(path) => {
                    let name = self.region.string(&path.path);
                    let how = file.flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC);
                    let args = [libc::AT_FDCWD as u64, name, how as u64, 0];
                    self.open_then_move(list, libc::SYS_openat, &args, d.fd, flags);
                }
                _ => {}
            }
        }
        self.take_from_others(list, process);
        for d in &process.fds {
            let file = self.file(d.file)?;
            if let FileKind::Epoll { targets } = &file.kind {
                self.watch(list, process, d.fd, d.file, targets);
            }
            let (kind, id, signal) = file.owner;
            if id != 0 {
                let who = self.region.data(&[kind.to_le_bytes(), id.to_le_bytes()].concat(), 8);
                const F_SETOWN_EX: u64 = 15;
                list.try_call(libc::SYS_fcntl, &[d.fd as u64, F_SETOWN_EX, who]);
            }
            if signal != 0 {
                const F_SETSIG: u64 = 10;
                list.try_call(libc::SYS_fcntl, &[d.fd as u64, F_SETSIG, signal as u64]);
            }
            if file.flags & libc::O_ASYNC != 0 {
                list.try_call(libc::SYS_fcntl, &[d.fd as u64, libc::F_SETFL as u64, file.flags as u64]);
            }
        }
        Ok(())
    }

    /// Takes what others have opened for this process as well, and lets them take theirs.
    fn take_from_others(&mut self, list: &mut List, process: &Process) {
        // Before it waits for anybody.
        self.handed.tell(list, process.pid);
        for d in &process.fds {
            let Some((opener, number)) = self.handed.from(d.file, process.pid) else { continue };
            let flags = if d.close_on_exec { libc::O_CLOEXEC as u64 } else { 0 };
            if let Some(first) = first_number(process, d.file).filter(|first| *first != d.fd) {
                list.call(libc::SYS_dup3, &[first as u64, d.fd as u64, flags]);
                continue;
            }
            self.handed.await_opened(list, opener);
            self.open_then_keep(list, libc::SYS_pidfd_open, &[opener as u64, 0]);
            let pidfd = self.stages.base_fd as u64 - 1;
            self.open_then_move(list, libc::SYS_pidfd_getfd, &[pidfd, number as u64, 0], d.fd, flags);
            self.handed.taken(list, opener);
        }
        self.handed.await_taken(list, process.pid);
    }

    /// Positions in files of /proc/PID, whose text is made when they are read or moved in.
    pub(super) fn positions(&mut self, list: &mut List, process: &Process) {
        for d in &process.fds {
            let Some(file) = self.state.files.get(d.file as usize) else { continue };
            let made_here = matches!(file.kind, FileKind::Path(_)) && self.files.get(d.file).is_none();
            if made_here && file.position != 0 && file.flags & libc::O_PATH == 0 {
                list.try_call(libc::SYS_lseek, &[d.fd as u64, file.position, 0]);
            }
        }
    }

    /// A call that returns a descriptor, moved to the number where it belongs.
    fn open_then_move(&mut self, list: &mut List, number: i64, args: &[u64], fd: i32, flags: u64) {
        // By way of a number that is never taken: the lowest free one may be `fd` itself.
        self.open_then_keep(list, number, args);
        let between = self.stages.base_fd as u64 - 1;
        list.call(libc::SYS_dup3, &[between, fd as u64, flags]);
        list.call(libc::SYS_close, &[between]);
    }

    /// Registers with an epoll instance what has to be registered by this process; once.
    fn watch(&mut self, list: &mut List, process: &Process, epfd: i32, id: FileId, targets: &[EpollTarget]) {
        for target in targets {
            let Some(file) = target.file else { continue };
            if watches::registrar(self.state, self.files, id, file) != Some(process.pid)
                || first_number(process, id) != Some(epfd)
            {
                continue;
            }
            let mut event = target.events.to_le_bytes().to_vec();
            event.extend(target.data.to_le_bytes());
            let event = self.region.data(&event, 8);
            let here = process.fds.iter().find(|d| d.fd == target.fd);
            let wanted = target.fd as u64;
            let add = [epfd as u64, libc::EPOLL_CTL_ADD as u64, wanted, event];
            if here.is_some_and(|d| d.file == file) {
                list.call(libc::SYS_epoll_ctl, &add);
                continue;
            }
            // Nobody has it under that number any more: for a moment this process does.
            let Some(source) = first_number(process, file) else { continue };
            let between = self.stages.base_fd as u64 - 1;
            if here.is_some() {
                list.call(libc::SYS_dup3, &[wanted, between, 0]);
            }
            list.call(libc::SYS_dup3, &[source as u64, wanted, libc::O_CLOEXEC as u64]);
            list.call(libc::SYS_epoll_ctl, &add);
            match here {
                Some(d) => {
                    let flags = if d.close_on_exec { libc::O_CLOEXEC as u64 } else { 0 };
                    list.call(libc::SYS_dup3, &[between, wanted, flags]);
                    list.call(libc::SYS_close, &[between]);
                }
                None => {
                    list.call(libc::SYS_close, &[wanted]);
                }
            }
        }
    }
}

fn first_number(process: &Process, file: FileId) -> Option<i32> {
    process.fds.iter().find(|d| d.file == file).map(|d| d.fd)
}
