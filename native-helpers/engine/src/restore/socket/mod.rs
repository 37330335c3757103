//! Makes the sockets of an image again: real ones, bound, connected with each other, and with what was in
//! them sent once more from the other side. It all happens in the restoring process; the restored ones
//! inherit them.

mod identity;
mod inet;
mod names;
mod options;
mod repair;
mod unix;

pub use repair::Resuming;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use torpor_sys::socket as sys;

use self::identity::act_as;
use self::names::Names;
use super::files::Files;
use crate::model::socket::{Link, Message, Socket};
use crate::model::{FileId, FileKind, SystemState};
use crate::own_namespace::InNetwork;

const SCM_CREDENTIALS: i32 = 2;

/// What goes wrong, and with which description.
#[derive(Debug)]
pub struct SocketError {
    pub file: FileId,
    pub source: io::Error,
}

/// Who puts messages into a socket.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// A socket of the image.
    Made(u64),
    /// A stand-in for one that is gone.
    StandIn(usize),
}

struct Builder<'a> {
    state: &'a SystemState,
    by_inode: HashMap<u64, &'a Socket>,
    made: HashMap<u64, OwnedFd>,
    /// Other ends of connections that have lost theirs; closed at the end.
    stand_ins: Vec<OwnedFd>,
    /// Other ends of connections that are to be broken off.
    resets: Vec<OwnedFd>,
    sends: Vec<(Source, Vec<u8>, &'a [Message])>,
    tails: Vec<(Source, &'a [u8])>,
    names: Names,
    resuming: Resuming,
    /// The socket in work, for the error.
    at: u64,
}

/// Makes all sockets, and puts them among the files.
pub fn restore(state: &SystemState, files: &mut Files) -> Result<(), SocketError> {
    let sockets: Vec<(FileId, &Socket)> = state
        .files
        .iter()
        .enumerate()
        .filter_map(
            |(id, f)| if let FileKind::Socket(s) = &f.kind { Some((id as FileId, &**s)) } else { None },
        )
        .collect();
    let mut by_network: BTreeMap<Option<FileId>, Vec<(FileId, &Socket)>> = BTreeMap::new();
    for (id, socket) in sockets {
        by_network.entry(socket.network).or_default().push((id, socket));
    }
    by_network.into_iter().try_for_each(|(network, sockets)| of_network(state, files, network, &sockets))
}

/// Makes those of one network, from inside.
fn of_network(
    state: &SystemState,
    files: &mut Files,
    network: Option<FileId>,
    sockets: &[(FileId, &Socket)],
) -> Result<(), SocketError> {
    let first = sockets.first().map_or(0, |(id, _)| *id);
    let _inside = network
        .map(|id| match files.get(id) {
            Some(network) => InNetwork::enter(network),
            None => Err(io::Error::other("its network is not in the image")),
        })
        .transpose()
        .map_err(|source| SocketError { file: first, source })?;
    let mut builder = Builder {
        state,
        by_inode: sockets.iter().map(|(_, s)| (s.inode, *s)).collect(),
        made: HashMap::new(),
        stand_ins: Vec::new(),
        resets: Vec::new(),
        sends: Vec::new(),
        tails: Vec::new(),
        names: Names::default(),
        resuming: Resuming::of(&sockets.iter().map(|(_, s)| *s).collect::<Vec<_>>()),
        at: 0,
    };
    builder.build(sockets, files).map_err(|source| {
        let at = sockets.iter().find(|(_, s)| s.inode == builder.at).map_or(0, |(id, _)| *id);
        SocketError { file: at, source }
    })?;
    if network.is_none() {
        // Connections out of the tree lead through ours.
        files.resuming = std::mem::take(&mut builder.resuming);
    }
    for (id, socket) in sockets {
        if let Some(fd) = builder.made.remove(&socket.inode) {
            files.put(*id, fd);
        }
    }
    Ok(())
}

impl<'a> Builder<'a> {
    fn build(&mut self, sockets: &[(FileId, &'a Socket)], files: &Files) -> io::Result<()> {
        let all: Vec<&'a Socket> = sockets.iter().map(|(_, s)| *s).collect();
        unix::build(self, &all)?;
        inet::build(self, &all)?;
        // A socket that no rule above makes would be missing later, in a process.
        if let Some(missing) = all.iter().find(|s| !self.made.contains_key(&s.inode)) {
            self.at = missing.inode;
            return Err(io::Error::other("its connection does not fit the rest of the image"));
        }
        self.send_all(sockets, files)?;
        unix::connect_datagrams(self, &all)?;
        inet::connect_datagrams(self, &all)?;
        for socket in &all {
            self.at = socket.inode;
            let fd = self.made[&socket.inode].as_fd();
            let connected = matches!(
                socket.link,
                Link::Peer(_) | Link::Closed | Link::Address | Link::Reset | Link::None
            );
            let connected = connected && (socket.link != Link::Reset || socket.domain == libc::AF_UNIX);
            if connected && socket.shut != 0 {
                let how = i32::from(socket.shut & 3) - 1;
                match sys::shutdown(fd, how) {
                    // The other end has done it.
                    Err(e) if e.raw_os_error() == Some(libc::ENOTCONN) => {}
                    other => other?,
                }
            }
        }
        self.stand_ins.clear();
        inet::break_off(self)?;
        for socket in &all {
            self.at = socket.inode;
            let fd = self.made[&socket.inode].as_fd();
            options::late(fd, socket)?;
            if socket.is_tcp() {
                options::join(fd, socket)?;
            }
            let (uid, gid) = (rustix::fs::Uid::from_raw(socket.uid), rustix::fs::Gid::from_raw(socket.gid));
            rustix::fs::fchown(fd, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    fn fd(&self, source: Source) -> io::Result<BorrowedFd<'_>> {
        match source {
            Source::Made(inode) => self.made.get(&inode).map(AsFd::as_fd),
            Source::StandIn(i) => self.stand_ins.get(i).map(AsFd::as_fd),
        }
        .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn stand_in(&mut self, fd: OwnedFd) -> Source {
        self.stand_ins.push(fd);
        Source::StandIn(self.stand_ins.len() - 1)
    }

    fn send_all(&mut self, sockets: &[(FileId, &Socket)], files: &Files) -> io::Result<()> {
        let numbers: HashMap<FileId, RawFd> =
            sockets.iter().filter_map(|(id, s)| Some((*id, self.made.get(&s.inode)?.as_raw_fd()))).collect();
        let number = |id: &FileId| {
            numbers.get(id).copied().or_else(|| files.get(*id).map(|fd| fd.as_raw_fd())).ok_or_else(|| {
                io::Error::other("a descriptor in one of its messages is of a kind that can't be sent again")
            })
        };
        for (source, to, messages) in std::mem::take(&mut self.sends) {
            if let Source::Made(inode) = source {
                self.at = inode;
            }
            let fd = self.fd(source)?;
            let total = messages.iter().map(|m| m.data.len()).sum();
            options::widen(fd, total);
            for message in messages {
                let descriptors = message.files.iter().map(number).collect::<io::Result<Vec<_>>>()?;
                act_as(self.state, message.credentials, || send(fd, &to, message, &descriptors))?;
            }
        }
        for (source, tail) in std::mem::take(&mut self.tails) {
            let fd = self.fd(source)?;
            options::widen(fd, tail.len() * 2);
            write_all(fd, tail)?;
        }
        Ok(())
    }

    /// Notes that what is in `of`'s queue is to be sent by `source`.
    fn refill(&mut self, of: &'a Socket, source: Source) {
        if !of.queue.is_empty() {
            self.sends.push((source, Vec::new(), &of.queue));
        }
    }

    fn process_with(&self, inode: u64) -> Option<identity::Identity> {
        let file = self
            .state
            .files
            .iter()
            .position(|f| matches!(&f.kind, FileKind::Socket(s) if s.inode == inode))?
            as FileId;
        let process = self.state.processes.iter().find(|p| p.fds.iter().any(|d| d.file == file))?;
        let credentials = &process.threads.first()?.credentials;
        Some((process.pid, credentials.uids[1], credentials.gids[1]))
    }
}

fn send(fd: BorrowedFd<'_>, to: &[u8], message: &Message, descriptors: &[RawFd]) -> io::Result<()> {
    let mut control = Vec::new();
    if let Some((_, uid, gid)) = message.credentials {
        let pid = std::process::id();
        let data = [pid, uid, gid].iter().flat_map(|w| w.to_ne_bytes()).collect();
        control.push(sys::Control { level: libc::SOL_SOCKET, kind: SCM_CREDENTIALS, data });
    }
    let sent = sys::send(fd, &message.data, to, descriptors, &control, libc::MSG_DONTWAIT | libc::MSG_EOR)
        .or_else(|e| match e.raw_os_error() {
            // Streams know no ends of records.
            Some(libc::EOPNOTSUPP | libc::EINVAL) => {
                sys::send(fd, &message.data, to, descriptors, &control, libc::MSG_DONTWAIT)
            }
            _ => Err(e),
        })?;
    write_all(fd, &message.data[sent..])
}

fn write_all(fd: BorrowedFd<'_>, mut rest: &[u8]) -> io::Result<()> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !rest.is_empty() {
        match sys::send(fd, rest, &[], &[], &[], libc::MSG_DONTWAIT) {
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && std::time::Instant::now() < deadline => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
