//! Calls of connect(2) that the capture has interrupted. The kernel goes on making the connection meanwhile; begun
//! anew, the call finds it made and succeeds, which on a socket that was made connected it would not.

use crate::freeze::ERESTARTSYS;
use crate::model::socket::{Link, Socket};
use crate::model::{FileKind, OpenFile, Process};

/// Lets the calls whose connections are there by now return.
pub fn settle_connects(processes: &mut [Process], files: &[OpenFile]) {
    for process in processes {
        let fds = &process.fds;
        for regs in process.threads.iter_mut().map(|thread| &mut thread.regs) {
            if regs.orig_rax != libc::SYS_connect as u64 || regs.rax as i64 != ERESTARTSYS {
                continue;
            }
            let file = fds.iter().find(|d| d.fd as u64 == regs.rdi & 0xffff_ffff).map(|d| d.file);
            let file = file.and_then(|file| files.get(file as usize));
            if let Some(FileKind::Socket(socket)) = file.map(|file| &file.kind)
                && is_connected(socket)
            {
                regs.rax = 0;
                regs.orig_rax = u64::MAX;
            }
        }
    }
}

fn is_connected(socket: &Socket) -> bool {
    socket.is_tcp() && matches!(socket.link, Link::Peer(_) | Link::Address | Link::Closed)
}
