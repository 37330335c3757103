//! Init's two listening sockets, and who may connect.

use crate::error::{CapsuleError, Result};
use crate::raw;
use crate::runtime_folder::{ATTACH_SOCKET, INIT_SOCKET, RuntimeFolder};
use rustix::fs::Mode;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

pub struct Listeners {
    /// Only where there is a terminal.
    pub attach: Option<OwnedFd>,
    pub ask: OwnedFd,
}

impl Listeners {
    pub fn bind(folder: &RuntimeFolder, terminal: bool) -> Result<Self> {
        Ok(Self {
            attach: terminal.then(|| bind(folder, ATTACH_SOCKET)).transpose()?,
            ask: bind(folder, INIT_SOCKET)?,
        })
    }

    pub fn descriptors(&self) -> Vec<RawFd> {
        self.attach.iter().chain([&self.ask]).map(AsRawFd::as_raw_fd).collect()
    }
}

fn bind(folder: &RuntimeFolder, name: &str) -> Result<OwnedFd> {
    let bind = || -> rustix::io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        folder.unlink(name);
        let address = SocketAddrUnix::new(folder.path_through_descriptor(name))?;
        // Born with mode 0600: no moment in which somebody else could connect.
        let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = net::bind(&socket, &address);
        rustix::process::umask(umask);
        bound?;
        net::listen(&socket, 16)?;
        Ok(socket)
    };
    bind().map_err(|errno| CapsuleError::path("listen on", folder.path().join(name), errno))
}

/// Accepts one connection from root or from init's own user; others are closed at once.
pub fn accept(listener: impl AsFd) -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connection = net::accept_with(listener, flags).ok()?;
    let uid = raw::peer_uid(&connection)?;
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Some(connection);
    }
    tracing::warn!(uid, "refused a connection: only root may use this socket");
    None
}
