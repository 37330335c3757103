//! Connections of unix sockets that nobody has accepted yet, on which something has arrived. It can only be read by
//! accepting them, which is done once the tree is to end and nothing else stands in the way. Descriptors may be in it,
//! also of listeners with connections of their own, of peers of what is known already, of message queues: all are known
//! before anybody asks who is connected to whom.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;

use torpor_sys::socket as sys;

use super::super::super::collect::Collector;
use super::peers::{Peers, held_outside, note};
use super::queue;
use crate::blocker::Obstacle;
use crate::model::socket::{Link, Pending, Socket};
use crate::model::{FileId, FileKind};

/// Takes those connections of every listener of the tree, unless a peer outside the tree stands in the way: that is
/// noted as a blocker.
pub fn take(collector: &mut Collector) -> io::Result<()> {
    let mut done = HashSet::new();
    let mut judged = false;
    while let Some((inode, kind, network)) = listener(collector, &done) {
        done.insert(inode);
        let _inside = collector.sockets.go_into(network)?;
        let told = collector.sockets.unix()?.get(&inode).map(|u| u.waiting.clone());
        let clients = told.unwrap_or_default();
        let mut has_data = false;
        for client in &clients {
            has_data |= match collector.sockets.met.get(client) {
                Some(met) => queue::unsent(met.dup.as_fd()) > 0,
                // Gone, or in a message itself.
                None => *client == 0 || !held_outside(*client),
            };
        }
        if !has_data {
            continue;
        }
        if !judged {
            judge(collector)?;
            judged = true;
        }
        if !collector.blockers.is_empty() {
            return Ok(());
        }
        let taken = accept(collector, inode, kind, &clients);
        let outcome = taken.map(|all| {
            collector.sockets.taken.insert(inode, all);
        });
        note(collector, inode, outcome)?;
    }
    Ok(())
}

/// A listener that was not looked at yet: its inode, type and network.
fn listener(collector: &Collector, done: &HashSet<u64>) -> Option<(u64, i32, Option<FileId>)> {
    let listens = |s: &&Socket| s.domain == libc::AF_UNIX && matches!(s.link, Link::Listening { .. });
    let sockets = collector.files.iter().filter_map(|f| match &f.kind {
        FileKind::Socket(socket) => Some(&**socket),
        _ => None,
    });
    let next = sockets.filter(listens).find(|s| !done.contains(&s.inode))?;
    Some((next.inode, next.kind, next.network))
}

/// Notes the connections that lead out of the tree.
fn judge(collector: &mut Collector) -> io::Result<()> {
    let peers = Peers::of(&collector.pids)?;
    let met: Vec<(i32, u64)> = collector.sockets.met.iter().map(|(inode, met)| (met.pid, *inode)).collect();
    for (pid, inode) in met {
        if let Some(obstacle) = peers.refuse_unix(pid, inode) {
            note(collector, inode, Err(obstacle))?;
        }
    }
    Ok(())
}

fn accept(
    collector: &mut Collector,
    listener: u64,
    kind: i32,
    clients: &[u64],
) -> Result<Vec<Pending>, Obstacle> {
    let mut taken = Vec::new();
    for client in clients {
        let Some(met) = collector.sockets.met.get(&listener) else { break };
        let connection = sys::accept(met.dup.as_fd())?;
        let queue = match kind {
            libc::SOCK_STREAM => queue::stream(collector, connection.as_fd())?,
            _ => queue::datagrams(collector, connection.as_fd())?,
        };
        let raw = torpor_sys::fd::getsockopt(connection.as_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, 12);
        let credentials = raw.ok().map(|raw| super::credentials(&raw));
        collector.sockets.accepted.push(connection);
        taken.push(Pending { client: *client, queue, credentials });
    }
    Ok(taken)
}
