//! POSIX message queues: opened again where they still exist, made again with their messages where they don't.
//!
//! A queue outlives the programs that use it. One that is still there and open in no other program gets the
//! messages that the image has; one that somebody else has open goes on as it is, as a file on disk would.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, Uid};
use serde_bytes::ByteBuf;
use torpor_sys::mqueue;

use super::RestoreError;
use super::files::{CREATION, open_raw};
use super::plan::Planner;
use super::region::List;
use crate::capture::other_queue_holder;
use crate::model::mqueue::{Contents, MessageQueue};
use crate::model::{FileId, FileKind, OpenFile, Process, SystemState};

/// A description of a queue.
type Member<'a> = (FileId, &'a OpenFile, &'a MessageQueue);

/// What has been done to queues, and is undone on drop unless it is kept.
#[derive(Debug, Default)]
pub struct Queues {
    made: Vec<CString>,
    /// Queues whose messages were replaced, with those that were in them.
    replaced: Vec<(OwnedFd, Vec<(u32, ByteBuf)>)>,
}

impl Queues {
    /// Opens all descriptions of queues.
    pub fn open(&mut self, state: &SystemState) -> Result<Vec<(FileId, OwnedFd)>, RestoreError> {
        let mut by_queue: HashMap<(u64, u64), Vec<Member<'_>>> = HashMap::new();
        for (id, file) in state.files.iter().enumerate() {
            if let FileKind::MessageQueue(queue) = &file.kind {
                by_queue.entry(queue.queue).or_default().push((id as FileId, file, queue));
            }
        }
        let mut all: Vec<_> = by_queue.into_values().collect();
        // Those without a name first: they borrow it for a moment.
        all.sort_by_key(|members| (!members[0].2.unlinked, members[0].0));
        let mut opened = Vec::new();
        for members in all {
            let description = members[0].1.description.clone();
            opened.extend(self.queue(&members).map_err(|source| RestoreError::File { description, source })?);
        }
        Ok(opened)
    }

    fn queue(&mut self, members: &[Member<'_>]) -> io::Result<Vec<(FileId, OwnedFd)>> {
        let contents = members
            .iter()
            .find_map(|(_, _, queue)| queue.contents.as_ref())
            .ok_or_else(|| io::Error::other("the image lacks the contents of the queue"))?;
        let first = members[0].2;
        let name = string(&first.name)?;
        let name =
            if first.unlinked { self.make_nameless(name, contents)? } else { self.named(name, contents)? };
        let opened = members.iter().map(|(id, file, queue)| {
            let flags = file.flags & !CREATION;
            let fd = match &queue.opened_as {
                Some(path) if !first.unlinked => open_raw(path, flags)?,
                _ => mqueue::open(&name, flags, 0, None)?,
            };
            Ok((*id, fd))
        });
        let opened = opened.collect::<io::Result<Vec<_>>>();
        if first.unlinked {
            mqueue::unlink(&name)?;
            self.made.retain(|made| *made != name);
        }
        opened
    }

    /// A queue under its own name, or where that is taken under another one, to be removed at once.
    fn make_nameless(&mut self, name: CString, contents: &Contents) -> io::Result<CString> {
        match self.make(&name, contents) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let other = string(&format!("torpor-{}-{}", std::process::id(), self.made.len()))?;
                self.make(&other, contents)?;
                Ok(other)
            }
            made => made.map(|()| name),
        }
    }

    fn named(&mut self, name: CString, contents: &Contents) -> io::Result<CString> {
        let there = match mqueue::open(&name, libc::O_RDWR, 0, None) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.make(&name, contents)?;
                return Ok(name);
            }
            there => there?,
        };
        let is = mqueue::attributes(there.as_fd())?;
        if (is.max_messages, is.message_size) != (contents.max_messages, contents.message_size) {
            return Err(io::Error::other(
                "a message queue of that name with other attributes exists; remove it first",
            ));
        }
        let stat = rustix::fs::fstat(&there)?;
        if other_queue_holder((stat.st_dev, stat.st_ino), &[]).is_none() {
            let messages = drain(there.as_fd(), &is)?;
            self.replaced.push((there.try_clone()?, messages));
            fill(there.as_fd(), &contents.messages)?;
        }
        Ok(name)
    }

    fn make(&mut self, name: &CString, contents: &Contents) -> io::Result<()> {
        let new = (contents.max_messages, contents.message_size);
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let queue = with_room(|| mqueue::open(name, flags, 0o600, Some(new)))?;
        // Noted before anything else can fail: what was made goes again then.
        self.made.push(name.clone());
        fill(queue.as_fd(), &contents.messages)?;
        rustix::fs::fchown(&queue, Some(Uid::from_raw(contents.uid)), Some(Gid::from_raw(contents.gid)))?;
        rustix::fs::fchmod(&queue, Mode::from_raw_mode(contents.mode))?;
        Ok(())
    }

    /// The restore has succeeded: what was made stays.
    pub fn keep(&mut self) {
        self.made.clear();
        self.replaced.clear();
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        for name in &self.made {
            let _ = mqueue::unlink(name);
        }
        for (queue, messages) in &self.replaced {
            if let Ok(is) = mqueue::attributes(queue.as_fd()) {
                let _ = drain(queue.as_fd(), &is);
                let _ = fill(queue.as_fd(), messages);
            }
        }
    }
}

fn string(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The program may have had a larger limit of bytes in queues (RLIMIT_MSGQUEUE) than we do.
fn with_room<T>(make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let limit = torpor_sys::ids::limit(0, libc::RLIMIT_MSGQUEUE)?;
    match make() {
        Err(e) if e.raw_os_error() == Some(libc::EMFILE) => {
            torpor_sys::ids::set_own_limit(libc::RLIMIT_MSGQUEUE, u64::MAX, u64::MAX)?;
            let made = make();
            torpor_sys::ids::set_own_limit(libc::RLIMIT_MSGQUEUE, limit.0, limit.1)?;
            made
        }
        made => made,
    }
}

fn fill(queue: BorrowedFd<'_>, messages: &[(u32, ByteBuf)]) -> io::Result<()> {
    messages.iter().try_for_each(|(priority, bytes)| mqueue::send(queue, *priority, bytes))
}

fn drain(queue: BorrowedFd<'_>, is: &mqueue::Attributes) -> io::Result<Vec<(u32, ByteBuf)>> {
    let mut room = vec![0u8; is.message_size.max(1) as usize];
    let mut messages = Vec::new();
    for _ in 0..is.messages {
        let (len, priority) = mqueue::receive(queue, &mut room)?;
        messages.push((priority, ByteBuf::from(&room[..len])));
    }
    Ok(messages)
}

/// Asks for the notifications that a process had, once it will close no descriptor of a queue any more: that
/// would end them.
pub fn notifications(planner: &mut Planner<'_>, list: &mut List, process: &Process) {
    let mut asked = HashSet::new();
    for file in &planner.state.files {
        let FileKind::MessageQueue(queue) = &file.kind else { continue };
        let Some(notification) = queue.contents.as_ref().and_then(|c| c.notification) else { continue };
        if notification.pid != process.pid || !asked.insert(queue.queue) {
            continue;
        }
        let of_queue = |id: FileId| match planner.state.files.get(id as usize).map(|f| &f.kind) {
            Some(FileKind::MessageQueue(other)) => other.queue == queue.queue,
            _ => false,
        };
        if let Some(descriptor) = process.fds.iter().find(|d| of_queue(d.file)) {
            let event = planner.region.data(&notification.event(), 8);
            list.call(libc::SYS_mq_notify, &[descriptor.fd as u64, event]);
        }
    }
}
