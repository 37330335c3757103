//! While a program is away nobody answers for its connections with others, and the kernel would: what arrives for a
//! connection that it does not know is answered with a reset, and the peer gives up. So the packets of these
//! connections are dropped meanwhile, as if they were lost on their way, and the peer sends them again until the
//! program is back.
//!
//! What drops them is a table of nf_tables, `torpor` in family inet: two sets of connections, for IPv4 and IPv6, and a
//! chain at the input hook with one rule for each. No program is needed for it: the kernel is told over netlink. An
//! element leaves its set by itself after [`AWAY_LIMIT`], so that nothing stays for ever of a program that is never
//! restored. The table goes with its last element; who adds one makes it anew. Captures and restores that meet change
//! it in batches, each of which the kernel makes whole or not at all.

mod messages;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::retry_on_intr;
use torpor_sys::socket;

use self::messages::{Answer, GENERATION_AT, IPV4, IPV6, Set};
use crate::proc::diag::End;

/// How long the packets of a connection are dropped at most. A peer that has something to say gives up after some 15
/// minutes (tcp_retries2); one that has nothing to say need not be kept from anybody.
pub const AWAY_LIMIT: Duration = Duration::from_secs(60 * 60);
/// The mark (SO_MARK) of packets that a restore sends itself in a peer's name.
pub const OWN_MARK: u32 = 0x546f_7270;
const TABLE: &str = "torpor";
/// Elements that are added in one message to the kernel, which has a limit.
const BATCH: usize = 256;
/// Tries until nobody else makes or takes the table away at the same instant.
const TRIES: u32 = 50;
const NETLINK_NETFILTER: i32 = 12;

/// A connection: the peer's end, and ours.
pub type Connection = (End, End);

fn key((peer, own): &Connection) -> (Set, Vec<u8>) {
    let set = if own.1.len() == 4 { IPV4 } else { IPV6 };
    let mut key = Vec::with_capacity(40);
    for (port, address) in [peer, own] {
        key.extend(address);
        key.extend(port.to_be_bytes());
        key.extend([0, 0]);
    }
    (set, key)
}

/// Has the packets of connections dropped from now on.
///
/// # Errors
/// Without CAP_NET_ADMIN in this network (EPERM), or on a kernel without nf_tables (EPROTONOSUPPORT, EOPNOTSUPP,
/// EINVAL); then none are.
pub fn lock(connections: &[Connection]) -> io::Result<()> {
    let link = Link::open()?;
    let keys: Vec<(Set, Vec<u8>)> = connections.iter().map(key).collect();
    let add = |part: &[(Set, Vec<u8>)]| {
        let part: Vec<(Set, &[u8])> = part.iter().map(|(set, key)| (*set, key.as_slice())).collect();
        let add = messages::add(TABLE, &part);
        for _ in 0..TRIES {
            match link.change(&add) {
                Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
                outcome => return outcome,
            }
            let make = messages::make_table(TABLE, AWAY_LIMIT.as_millis() as u64, OWN_MARK);
            match link.change(&make) {
                Err(e) if e.raw_os_error() != Some(libc::EEXIST) => return Err(e),
                _ => {}
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    };
    keys.chunks(BATCH).try_for_each(add).inspect_err(|_| unlock(connections))
}

/// How many connections are locked in this network now.
///
/// # Errors
/// As [`lock`].
pub fn locked() -> io::Result<usize> {
    let link = Link::open()?;
    let count = |set| match link.ask(&messages::list(TABLE, set)) {
        Ok(Answer::Elements(count)) => Ok(count),
        Ok(_) => Ok(0),
        // There is no table.
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(0),
        Err(e) => Err(e),
    };
    Ok(count(IPV4)? + count(IPV6)?)
}

/// Has them dropped no longer. What can't be undone, or need not be, is left to the time limit.
pub fn unlock(connections: &[Connection]) {
    if let Ok(mut release) = Release::of(connections) {
        release.run();
    }
}

/// All that it takes to undo a lock, made beforehand: a process that must not allocate can carry it out.
#[derive(Debug)]
pub struct Release {
    link: Link,
    removals: Vec<Vec<u8>>,
    lists: [Vec<u8>; 2],
    generation: Vec<u8>,
    delete: Vec<u8>,
}

impl Release {
    /// # Errors
    /// What socket(2) says.
    pub fn of(connections: &[Connection]) -> io::Result<Release> {
        let removal = |connection| {
            let (set, key) = key(connection);
            messages::remove(TABLE, (set, &key))
        };
        Ok(Release {
            link: Link::open()?,
            removals: connections.iter().map(removal).collect(),
            lists: [IPV4, IPV6].map(|set| messages::list(TABLE, set)),
            generation: messages::generation(),
            delete: messages::delete_table(TABLE),
        })
    }

    /// Takes the connections out, and the table away if it was the last. Makes system calls and nothing else.
    pub fn run(&mut self) {
        for removal in &self.removals {
            let _ = self.link.change(removal);
        }
        for _ in 0..TRIES {
            let Ok(Answer::Generation(generation)) = self.link.ask(&self.generation) else { return };
            for list in &self.lists {
                if !matches!(self.link.ask(list), Ok(Answer::End | Answer::Elements(0))) {
                    return;
                }
            }
            self.delete[GENERATION_AT..GENERATION_AT + 4].copy_from_slice(&generation.to_be_bytes());
            match self.link.change(&self.delete) {
                // Somebody has changed something since we looked.
                Err(e) if matches!(e.raw_os_error(), Some(libc::ERESTART | libc::EAGAIN)) => {}
                _ => return,
            }
        }
    }
}

/// A line to the kernel's nf_tables. The kernel answers before a write returns.
#[derive(Debug)]
struct Link(OwnedFd);

impl Link {
    fn open() -> io::Result<Link> {
        Ok(Link(socket::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_NONBLOCK, NETLINK_NETFILTER)?))
    }

    /// Makes a batch of changes, all or none.
    fn change(&self, batch: &[u8]) -> io::Result<()> {
        retry_on_intr(|| rustix::io::write(&self.0, batch))?;
        let mut first = 0;
        self.hear(|answer| {
            if let Answer::Outcome(number) = answer
                && first == 0
            {
                first = number;
            }
        })?;
        if first == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(first)) }
    }

    /// The first answer that says something.
    fn ask(&self, question: &[u8]) -> io::Result<Answer> {
        retry_on_intr(|| rustix::io::write(&self.0, question))?;
        let mut told = None;
        self.hear(|answer| match (answer, told) {
            (Answer::Other, _) => {}
            (Answer::Elements(more), Some(Answer::Elements(n))) => told = Some(Answer::Elements(n + more)),
            (answer, None) => told = Some(answer),
            _ => {}
        })?;
        match told {
            Some(Answer::Outcome(number)) if number != 0 => Err(io::Error::from_raw_os_error(number)),
            Some(answer) => Ok(answer),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn hear(&self, mut each: impl FnMut(Answer)) -> io::Result<()> {
        let mut buf = [0u8; 16 * 1024];
        loop {
            match retry_on_intr(|| rustix::io::read(&self.0, &mut buf)) {
                Ok(len) => messages::answers(&buf[..len]).for_each(&mut each),
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
