//! The line between a helper and the tracker of its tree, and how one finds the other.
//!
//! A tracker listens on a socket without a file, `torpor-tracker.<PID namespace>.<root PID>`, and serves one helper at
//! a time: as long as that is connected, nobody else protects anything. Either side looks who the other is: the same
//! user or root, in the same PID namespace (a program in a capsule may be root too, and whoever has a descriptor of
//! another's memory could write to it).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use torpor_sys::{fd, socket};

use super::tracker;
use crate::model::{Pid, SpaceId};

const PREFIX: &str = "torpor-tracker.";
/// How long either side waits for the other's next word, where one is due.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Helpers that may wait to be let in or hung up on.
pub const BACKLOG: i32 = 4;
const WORD_LEN: usize = 256;

/// A process by its number, in the namespace of whoever captures it, and its start (proc(5), starttime).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    pub pid: Pid,
    pub start: u64,
}

/// What they tell each other: one message each, with descriptors where told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub enum Word {
    /// To the tracker: tell everything; what is protected belongs to no image from now on.
    Take,
    /// The answer, for each process; with its userfaultfd. The space is the number that its memory has in the image.
    Held { which: Which, space: Option<SpaceId> },
    /// The end of the answer.
    All { image: Option<String> },
    /// To the tracker: one more process, or another memory of a known one; with userfaultfd and pidfd.
    Add { which: Which },
    /// To the tracker: what is protected in this process has the contents that the space has in the image to be named.
    Bind { which: Which, space: SpaceId },
    /// To the tracker: and this is the image.
    Image { image: String },
}

/// A process as a tracker holds it.
#[derive(Debug)]
pub struct Known {
    pub which: Which,
    pub space: Option<SpaceId>,
    pub userfault: OwnedFd,
}

/// All that a tracker holds.
#[derive(Debug, Default)]
pub struct Knowledge {
    /// The image that the spaces are those of.
    pub image: Option<String>,
    pub processes: Vec<Known>,
}

/// The helper's end.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    known: Knowledge,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("another capture is under way")]
    Busy,
    #[error("the name that its tracker would have belongs to somebody else")]
    Foreign,
    #[error("its tracker can't be started or asked: {0}")]
    Io(#[from] io::Error),
}

impl Link {
    /// Finds the tracker of the tree with this root, as the caller numbers it, and takes over what it knows.
    /// Without one, one is started where `start` says so; else there is none.
    ///
    /// To be called while there is one thread.
    ///
    /// # Errors
    /// Nothing is tracked this time.
    pub fn open(root: Pid, start: bool) -> Result<Option<Link>, LinkError> {
        let name = format!("{PREFIX}{}.{root}", namespace_of("self")?);
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(io::Error::from)?;
        // One that is about to end may still be listening.
        for _ in 0..3 {
            let socket = match connect(&address) {
                Ok(socket) => socket,
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    if !start {
                        return Ok(None);
                    }
                    match begin(&address) {
                        Err(e) if e.kind() == io::ErrorKind::AddrInUse => continue,
                        begun => begun?,
                    }
                }
                Err(e) => return Err(e.into()),
            };
            if !is_ours(socket.as_fd()) {
                return Err(LinkError::Foreign);
            }
            let mut link = Link { socket, known: Knowledge::default() };
            match link.take() {
                Ok(()) => return Ok(Some(link)),
                Err(e) if is_hang_up(&e) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(LinkError::Busy)
    }

    fn take(&mut self) -> io::Result<()> {
        send(self.socket.as_fd(), &Word::Take, &[])?;
        loop {
            match receive(self.socket.as_fd(), 0)? {
                Some((Word::Held { which, space }, mut descriptors)) => {
                    let userfault = descriptors.pop().ok_or(io::ErrorKind::InvalidData)?;
                    self.known.processes.push(Known { which, space, userfault });
                }
                Some((Word::All { image }, _)) => {
                    self.known.image = image;
                    return Ok(());
                }
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// What the tracker knew when the line was opened; once.
    pub fn knowledge(&mut self) -> Knowledge {
        std::mem::take(&mut self.known)
    }

    pub fn add(&self, which: Which, userfault: BorrowedFd<'_>, process: BorrowedFd<'_>) -> io::Result<()> {
        send(self.socket.as_fd(), &Word::Add { which }, &[userfault.as_raw_fd(), process.as_raw_fd()])
    }

    /// Tells that what is protected now is in this image.
    pub fn bind(&self, image: String, spaces: impl Iterator<Item = (Which, SpaceId)>) -> io::Result<()> {
        for (which, space) in spaces {
            send(self.socket.as_fd(), &Word::Bind { which, space }, &[])?;
        }
        send(self.socket.as_fd(), &Word::Image { image }, &[])
    }
}

/// Starts a tracker, and connects to it.
fn begin(address: &SocketAddrUnix) -> io::Result<OwnedFd> {
    let listener = unconnected()?;
    rustix::net::bind(&listener, address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    let socket = connect(address)?;
    tracker::start(listener)?;
    Ok(socket)
}

fn unconnected() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn connect(address: &SocketAddrUnix) -> io::Result<OwnedFd> {
    let socket = unconnected()?;
    be_patient(socket.as_fd())?;
    rustix::net::connect(&socket, address)?;
    Ok(socket)
}

/// A word that doesn't come or go is an error.
pub fn be_patient(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_socket_timeout(socket, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(socket, Timeout::Recv, Some(PATIENCE))?;
    Ok(())
}

/// Whether the other end belongs to a helper, or a tracker, like us.
pub fn is_ours(socket: BorrowedFd<'_>) -> bool {
    // struct ucred: pid, uid, gid; the pid is 0 where we can't see the process.
    let Ok(peer) = fd::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, 12) else { return false };
    let (words, _) = peer.as_chunks::<4>();
    let &[pid, uid, _] = words else { return false };
    let (pid, uid) = (u32::from_ne_bytes(pid), u32::from_ne_bytes(uid));
    let same_user = uid == 0 || uid == rustix::process::geteuid().as_raw();
    let namespaces = (namespace_of(&pid.to_string()), namespace_of("self"));
    same_user && matches!(namespaces, (Ok(theirs), Ok(ours)) if theirs == ours)
}

fn namespace_of(pid: &str) -> io::Result<u64> {
    Ok(std::fs::metadata(format!("/proc/{pid}/ns/pid"))?.ino())
}

fn is_hang_up(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(e.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

pub fn send(socket: BorrowedFd<'_>, word: &Word, descriptors: &[i32]) -> io::Result<()> {
    let text = serde_json::to_vec(word)?;
    socket::send(socket, &text, &[], descriptors, &[], 0).map(drop)
}

/// The next word; `None` where the other side has hung up.
pub fn receive(socket: BorrowedFd<'_>, flags: i32) -> io::Result<Option<(Word, Vec<OwnedFd>)>> {
    let mut text = [0u8; WORD_LEN];
    let received = socket::receive(socket, &mut text, flags)?;
    if received.len == 0 {
        return Ok(None);
    }
    let text = text.get(..received.len).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some((serde_json::from_slice(text)?, received.descriptors)))
}
