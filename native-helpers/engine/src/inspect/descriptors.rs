//! The open files of a living process: what they are, with a duplicate only of those that nothing else tells of.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::FileType;

use super::{Inspector, vanished};
use crate::blocker::Obstacle;
use crate::capture::namespaces::carried_network;
use crate::capture::{Peers, network_of, refuse_tcp_layer, refuse_urgent, socket_kind};
use crate::capture::{files, refusal};
use crate::own_namespace::InNetwork;
use crate::proc::fdinfo::FdInfo;
use crate::proc::sockets::Socket;
use crate::proc::{self, sockets, stat::Stat};
use crate::tty;

impl Inspector<'_> {
    /// Notes what can't be captured, and returns how many descriptors there are. `pid` is a living thread of
    /// the process.
    pub(super) fn descriptors(&mut self, stat: &Stat, pid: i32) -> io::Result<usize> {
        let numbers = proc::numbers(pid, "fd")?;
        for &fd in &numbers {
            let Ok(target) = proc::link(pid, &format!("fd/{fd}")) else { continue };
            let refused = self.refuse(pid, fd, &target);
            // The program goes on opening and closing: what was asked may have been another file already.
            let is_there = || proc::link(pid, &format!("fd/{fd}")).is_ok_and(|now| now == target);
            match refused {
                Ok(None) => {}
                Ok(Some(obstacle)) if is_there() => {
                    let what = self.socket_words(pid, &target).unwrap_or(target);
                    self.block(stat, &format!("descriptor {fd} → {what}"), obstacle);
                }
                Err(e) if !vanished(&e) && e.raw_os_error() != Some(libc::EBADF) && is_there() => {
                    return Err(e);
                }
                Ok(Some(_)) | Err(_) => {}
            }
        }
        Ok(numbers.len())
    }

    fn refuse(&mut self, pid: i32, fd: i32, target: &str) -> io::Result<Option<Obstacle>> {
        if let Some(name) = target.strip_prefix("anon_inode:") {
            return self.anon_inode(pid, fd, name.trim_matches(['[', ']']));
        }
        if let Some(inode) = sockets::inode_of(target) {
            return self.refuse_socket(pid, fd, inode);
        }
        if target.starts_with("pipe:[") || target.starts_with("/memfd:") {
            return Ok(None);
        }
        if !target.starts_with('/') {
            let open = || std::fs::File::open(format!("/proc/{pid}/fd/{fd}"));
            return files::namespace::refuse(target, open, self.pids, &mut self.namespaces);
        }
        let there = rustix::fs::stat(format!("/proc/{pid}/fd/{fd}")).map_err(io::Error::from)?;
        // O_PATH only names a place; what is there does not matter.
        let info = FdInfo::of(pid, fd)?;
        if info.flags & libc::O_PATH != 0 {
            return Ok(None);
        }
        if let Some(obstacle) = files::path::refuse_leased(target, &there, &info) {
            return Ok(Some(obstacle));
        }
        if tty::is_terminal(there.st_mode, there.st_rdev) {
            let pids = self.pids;
            let masters = self.pty_masters.get_or_insert_with(|| tty::masters(pids));
            // Which terminal /dev/tty is, only the description itself tells: a duplicate is asked.
            let terminal = duplicate(pid, fd)?;
            let mut role = tty::role(terminal.as_fd(), there.st_rdev, masters);
            if role == tty::Role::Foreign {
                // The program may have made it since they were looked for.
                *masters = tty::masters(pids);
                role = tty::role(terminal.as_fd(), there.st_rdev, masters);
            }
            match role {
                tty::Role::Foreign => {}
                tty::Role::Slave(_) if tty::line_discipline(terminal.as_fd())? != 0 => {
                    return Ok(Some(refusal::line_discipline(target)));
                }
                _ => return Ok(None),
            }
        }
        if self.capsule && refusal::is_terminal(there.st_mode, there.st_rdev) {
            return Ok(None);
        }
        let character = FileType::from_raw_mode(there.st_mode) == FileType::CharacterDevice;
        let obstacle = match character && files::device::has_to_be_asked(there.st_rdev) {
            true => files::device::refuse(pid, target, there.st_rdev, &info, &duplicate(pid, fd)?)?,
            false => refusal::file(target, there.st_mode, there.st_rdev),
        };
        if obstacle.is_some() {
            return Ok(obstacle);
        }
        let led_to = rustix::fs::lstat(target);
        if led_to.is_ok_and(|led_to| (led_to.st_dev, led_to.st_ino) == (there.st_dev, there.st_ino)) {
            return Ok(None);
        }
        let file = duplicate(pid, fd)?;
        if files::mqueue::is_queue(file.as_fd(), &there) {
            return Ok(None);
        }
        // What has lost its name is made anew; what has one has to be found.
        Ok(files::path::refuse_unreachable(target, &there, file.as_fd()))
    }

    fn anon_inode(&self, pid: i32, fd: i32, name: &str) -> io::Result<Option<Obstacle>> {
        if name == "pidfd" {
            let of = FdInfo::of(pid, fd)?.field("Pid").and_then(|v| v.parse::<i32>().ok()).unwrap_or(-1);
            return Ok((of > 0 && refusal::is_outside(of, self.pids)).then(|| refusal::pidfd_outside(of)));
        }
        if name.starts_with("fanotify") && files::watch::asks_permission(&FdInfo::of(pid, fd)?) {
            return Ok(Some(refusal::permission_events()));
        }
        if name == "bpf-map" {
            let map = duplicate(pid, fd)?;
            return Ok(refusal::bpf_map(&torpor_sys::bpf::info(map.as_fd())?));
        }
        Ok(refusal::anon_inode(name))
    }

    /// What stands in the way of a socket's capture. Which connections are within the tree, the kernel's
    /// list of peers tells.
    fn refuse_socket(&mut self, pid: i32, fd: i32, inode: u64) -> io::Result<Option<Obstacle>> {
        let table = self.socket(pid, inode).cloned();
        // Of another network are those of a process that is there, as a rule.
        let elsewhere = || proc::link(pid, "ns/net").ok() != proc::link(self.own_pid, "ns/net").ok();
        let mut network = None;
        if table.is_none() || elsewhere() {
            network = network_of(duplicate(pid, fd)?.as_fd(), pid)?;
        }
        let name = match &network {
            Some(network) => proc::link(self.own_pid, &format!("fd/{}", network.as_raw_fd()))?,
            None => String::new(),
        };
        if network.is_some() && carried_network(&name, self.pids, &mut self.namespaces).is_none() {
            return Ok(Some(refusal::socket_network()));
        }
        if !self.peers.contains_key(&name) {
            let _inside = network.as_ref().map(|n| InNetwork::enter(n.as_fd())).transpose()?;
            self.peers.insert(name.clone(), Peers::of(self.pids)?);
        }
        let Some(peers) = self.peers.get(&name) else { return Ok(None) };
        Ok(match table {
            Some(Socket::Unix { listening: false, .. }) => match peers.refuse_unix(pid, inode) {
                Some(obstacle) => Some(obstacle),
                None => refuse_urgent(duplicate(pid, fd)?.as_fd()),
            },
            Some(Socket::Inet { protocol: "TCP", listening, .. }) => {
                let refused = peers.refuse_tcp(inode);
                if refused.is_some() {
                    return Ok(refused);
                }
                let socket = duplicate(pid, fd)?;
                // The tables list a Multipath TCP connection as its first subflow.
                if socket_kind(socket.as_fd()).2 == libc::IPPROTO_MPTCP {
                    return Ok(peers.is_connected(inode).then(refusal::mptcp_connection));
                }
                let layer = refuse_tcp_layer(socket.as_fd());
                if listening { layer } else { layer.or_else(|| refuse_urgent(socket.as_fd())) }
            }
            Some(_) => None,
            // No table lists it: its family tells, asked of a duplicate.
            None => {
                let (domain, kind, protocol) = kind_of(pid, fd)?;
                (!refusal::socket_is_known(domain, kind, protocol))
                    .then(|| refusal::socket_kind(domain, protocol))
            }
        })
    }

    fn socket_words(&mut self, pid: i32, target: &str) -> Option<String> {
        let inode = sockets::inode_of(target)?;
        self.socket(pid, inode).map(ToString::to_string)
    }
}

/// Family, type and protocol of a socket, asked of a duplicate.
fn kind_of(pid: i32, fd: i32) -> io::Result<(i32, i32, i32)> {
    Ok(socket_kind(duplicate(pid, fd)?.as_fd()))
}

fn duplicate(pid: i32, fd: i32) -> io::Result<OwnedFd> {
    let pidfd = torpor_sys::fd::pidfd_open_task(pid)?;
    torpor_sys::fd::pidfd_getfd(pidfd.as_fd(), fd)
}
