//! Connections out of a tree that is about to be gone for a while: their packets are dropped from now on
//! ([`crate::network_lock`]), so that the kernel does not answer for the program, and each is held and read
//! ([`repair`]).

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::super::collect::Collector;
use super::repair_keeper::RepairKeeper;
use super::{peers, repair, sockets_of};
use crate::model::socket::{Link, Socket};
use crate::model::{OpenFile, Pid};
use crate::network_lock::{self, Connection, Release};

/// What has been done to connections; undone when it is dropped, but for a tree that ends.
#[derive(Debug, Default)]
pub struct Away {
    /// By inode: those that are to be held.
    leaving: Vec<(u64, Connection)>,
    held: Vec<repair::Held>,
    lock: Option<Lock>,
    /// Looks after both should we be killed; the last to be let go.
    keeper: Option<RepairKeeper>,
}

#[derive(Debug)]
struct Lock(Option<Release>);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = &mut self.0 {
            release.run();
        }
    }
}

impl Away {
    /// The connection of a socket leads out of the tree.
    pub fn note(&mut self, inode: u64, connection: Connection) {
        self.leaving.push((inode, connection));
    }

    /// The programs, the processes of the tree, end now: their connections do so silently, and stay locked.
    pub fn end(&mut self, pids: &[Pid]) {
        self.held.iter_mut().for_each(repair::Held::end);
        if let Some(lock) = &mut self.lock {
            lock.0 = None;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.end(pids);
        }
    }

    fn lock(&mut self, connections: &[Connection]) -> io::Result<()> {
        let release = Release::of(connections)?;
        network_lock::lock(connections)?;
        self.lock = Some(Lock(Some(release)));
        Ok(())
    }
}

/// Holds the connections that were noted; their sockets come back as broken off where it can't be done.
pub fn hold(collector: &mut Collector, files: &mut [OpenFile]) -> io::Result<()> {
    let leaving = std::mem::take(&mut collector.sockets.away.leaving);
    if leaving.is_empty() {
        return Ok(());
    }
    let mut dups: Vec<(u64, OwnedFd)> = Vec::with_capacity(leaving.len());
    for (inode, _) in &leaving {
        if let Some(met) = collector.sockets.met.get(inode) {
            dups.push((*inode, met.dup.try_clone()?));
        }
    }
    repair::await_quiet(&dups.iter().map(|(_, dup)| dup.as_fd()).collect::<Vec<BorrowedFd<'_>>>());
    let connections: Vec<Connection> = leaving.into_iter().map(|(_, connection)| connection).collect();
    let keeper = RepairKeeper::start(Release::of(&connections).ok());
    if keeper.is_ok()
        && let Err(e) = collector.sockets.away.lock(&connections)
    {
        collector.notes.push(format!(
            "peers of TCP connections are not kept waiting while the program is away ({e}): one that sends something \
             meanwhile finds its connection broken off"
        ));
    }
    let locked = collector.sockets.away.lock.is_some();
    let mut holds = HashMap::with_capacity(dups.len());
    for socket in sockets_of(files) {
        let Some(at) = dups.iter().position(|(inode, _)| *inode == socket.inode) else { continue };
        let (inode, dup) = dups.swap_remove(at);
        let held = match &keeper {
            Ok(keeper) => repair::hold(dup, peers::reuse_address(socket), keeper, locked),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        };
        holds.insert(inode, held);
    }
    await_arrivals();
    for socket in sockets_of(files) {
        let Some(held) = holds.remove(&socket.inode) else { continue };
        match held.and_then(|held| read(held, socket)) {
            Ok(held) => collector.sockets.away.held.push(held),
            // Without the right to do it, or on a kernel without it.
            Err(e) => collector.notes.push(format!("{}: {e}", peers::broken_off(socket))),
        }
    }
    collector.sockets.away.keeper = keeper.ok();
    Ok(())
}

/// A packet that another processor had let past when the lock or the filter came is in its queue afterwards: the
/// kernel handles packets in RCU's reading sections, the end of all of which membarrier(2) waits for.
fn await_arrivals() {
    const MEMBARRIER_CMD_GLOBAL: i32 = 1;
    if torpor_sys::memory::membarrier(MEMBARRIER_CMD_GLOBAL).is_err() {
        // Not on a kernel with processors that are never interrupted (nohz_full): far longer than any packet takes.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn read(held: repair::Held, socket: &mut Socket) -> io::Result<repair::Held> {
    let repair = held.state()?;
    // Once more: until now the peer could still send.
    socket.queue = held.received()?;
    held.rest();
    socket.repair = Some(repair);
    socket.link = Link::Outside;
    Ok(held)
}
