//! The registry of a capture: open file descriptions, spaces and blockers, each counted once however many
//! processes share it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use torpor_sys::memory::{Kcmp, kcmp};

use super::files;
use super::process::JobReport;
use crate::blocker::{Blocker, Obstacle};
use crate::model::{FileId, FileLock, OpenFile, Pid, Space, SpaceId};
use crate::own_namespace::Judged;
use crate::proc;
use crate::proc::task::DescriptorFacts;

/// Where the pages of a space that is not an address space are read from.
#[derive(Debug)]
pub struct Content {
    pub space: SpaceId,
    pub file: OwnedFd,
    pub size: u64,
    /// The description is the program's own: its position is not to be moved.
    pub borrowed: bool,
}

#[derive(Debug, Default)]
pub struct Collector {
    pub files: Vec<OpenFile>,
    pub spaces: Vec<Space>,
    pub contents: Vec<Content>,
    pub blockers: Vec<Blocker>,
    pub notes: Vec<String>,
    /// Processes of the tree.
    pub pids: Vec<Pid>,
    /// The tree is all of a capsule, whose terminal travels with it.
    pub in_capsule: bool,
    pub sockets: files::socket::Sockets,
    /// Entries of epoll instances whose files were not found in any process.
    pub unresolved: Vec<files::EpollEntry>,
    /// Locks of descriptions that are in messages of sockets.
    pub flight_locks: Vec<FileLock>,
    pub keyrings: super::keyrings::Known,
    pub queues: files::mqueue::Queues,
    pub namespaces: Judged,
    /// User namespaces of the tree's own that others belong to.
    pub namespace_owners: BTreeMap<FileId, FileId>,
    /// Bytes of events that wait in inotify and fanotify descriptors.
    pub unread_events: HashMap<(Pid, i32), usize>,
    /// eBPF maps whose contents are taken, by number.
    pub bpf_maps: HashSet<u32>,
    /// Changes of job state that parents in the tree have not waited for, by child.
    pub unreported: HashMap<Pid, JobReport>,
    /// Pseudo-terminals whose master the tree holds; looked for when the first terminal is met.
    pub pty_masters: Option<HashSet<u32>>,
    /// What was found of files behind mappings before the tree was stopped.
    pub surveyed: files::path::Surveyed,
    /// The descriptions behind mappings of files.
    pub mapped: HashMap<files::path::MappedFile, FileId>,
    /// One descriptor of each known description, in the order of kcmp.
    known: Vec<(Pid, i32, FileId)>,
    /// One descriptor of each description that is open in the tree, in the order of kcmp; made when first needed.
    described: Option<Vec<(Pid, i32)>>,
    /// Inodes whose contents travel: (device, inode) to space.
    inodes: HashMap<(u64, u64), SpaceId>,
    /// Descriptions made for mappings, exe, cwd: by key.
    plain: HashMap<String, FileId>,
    pidfds: HashMap<Pid, OwnedFd>,
    /// Inodes with leases that break when the file is opened for reading; looked up when first needed.
    leased: Option<HashSet<u64>>,
}

impl Collector {
    pub fn new(pids: Vec<Pid>, in_capsule: bool, surveyed: files::path::Surveyed) -> Collector {
        Collector { pids, in_capsule, surveyed, ..Collector::default() }
    }

    /// The description behind descriptor `fd` of `pid`, captured when first met.
    pub fn descriptor(&mut self, pid: Pid, fd: i32) -> Result<FileId, Obstacle> {
        self.with_facts(pid, fd, || DescriptorFacts::of(pid, fd).map(Cow::Owned))
    }

    /// The same for one whose facts have been read.
    pub fn descriptor_with(&mut self, pid: Pid, facts: &DescriptorFacts) -> Result<FileId, Obstacle> {
        self.with_facts(pid, facts.fd, || Ok(Cow::Borrowed(facts)))
    }

    fn with_facts<'a>(
        &mut self,
        pid: Pid,
        fd: i32,
        facts: impl FnOnce() -> io::Result<Cow<'a, DescriptorFacts>>,
    ) -> Result<FileId, Obstacle> {
        let at = match self.find(pid, fd)? {
            Ok(id) => return Ok(id),
            Err(at) => at,
        };
        // Taken in before its kind is read, so that one that refers to itself (epoll) ends.
        let id = self.files.len() as FileId;
        self.files.push(files::unread());
        self.known.insert(at, (pid, fd, id));
        let facts = facts()?;
        let file = files::capture(self, pid, &facts)?;
        self.files[id as usize] = file;
        Ok(id)
    }

    /// Binary search among the known descriptions; the place to insert where it is new.
    fn find(&self, pid: Pid, fd: i32) -> io::Result<Result<FileId, usize>> {
        let (mut low, mut high) = (0, self.known.len());
        while low < high {
            let mid = (low + high) / 2;
            let (p, f, id) = self.known[mid];
            match kcmp(p, pid, Kcmp::File, f as u64, fd as u64)? {
                Ordering::Equal => return Ok(Ok(id)),
                Ordering::Less => low = mid + 1,
                Ordering::Greater => high = mid,
            }
        }
        Ok(Err(low))
    }

    /// Some descriptor of the tree that `compare`, in the order of kcmp, finds equal: a few questions also where
    /// there are very many.
    pub fn described(
        &mut self,
        mut compare: impl FnMut(Pid, i32) -> Option<Ordering>,
    ) -> io::Result<Option<(Pid, i32)>> {
        if self.described.is_none() {
            let mut all = Vec::new();
            for pid in &self.pids {
                all.extend(proc::numbers(*pid, "fd").unwrap_or_default().into_iter().map(|fd| (*pid, fd)));
            }
            let order = |one: &(Pid, i32), other: &(Pid, i32)| {
                kcmp(one.0, other.0, Kcmp::File, one.1 as u64, other.1 as u64)
            };
            let mut failed = None;
            all.sort_by(|one, other| {
                order(one, other).unwrap_or_else(|e| {
                    failed = Some(e);
                    Ordering::Equal
                })
            });
            if let Some(e) = failed {
                return Err(e);
            }
            self.described = Some(all);
        }
        let all = self.described.as_deref().unwrap_or_default();
        let found = all.binary_search_by(|(pid, fd)| compare(*pid, *fd).unwrap_or(Ordering::Less));
        Ok(found.ok().map(|at| all[at]))
    }

    /// A description that no descriptor has (of a mapping, an executable, a working directory); `key` tells
    /// equal ones.
    pub fn plain(
        &mut self,
        key: String,
        make: impl FnOnce(&mut Collector) -> Result<OpenFile, Obstacle>,
    ) -> Result<FileId, Obstacle> {
        if let Some(id) = self.plain.get(&key) {
            return Ok(*id);
        }
        let file = make(self)?;
        let id = self.files.len() as FileId;
        self.files.push(file);
        self.plain.insert(key, id);
        Ok(id)
    }

    /// The space that holds the contents of an inode, made by `space` when first met; `file` is kept to
    /// read them from.
    pub fn inode_space(
        &mut self,
        inode: (u64, u64),
        file: impl FnOnce() -> Result<OwnedFd, Obstacle>,
        size: u64,
        space: impl FnOnce() -> Space,
    ) -> Result<SpaceId, Obstacle> {
        if let Some(id) = self.inodes.get(&inode) {
            return Ok(*id);
        }
        let id = self.spaces.len() as SpaceId;
        self.contents.push(Content { space: id, file: file()?, size, borrowed: false });
        self.spaces.push(space());
        self.inodes.insert(inode, id);
        Ok(id)
    }

    /// Notes that a space is read through a description of the program's own.
    pub fn read_as_borrowed(&mut self, space: SpaceId) {
        if let Some(content) = self.contents.iter_mut().find(|content| content.space == space) {
            content.borrowed = true;
        }
    }

    /// Whether somebody has a lease on an inode with this number (of whatever device) that breaks when the file is
    /// opened for reading.
    pub fn is_leased(&mut self, ino: u64) -> io::Result<bool> {
        if self.leased.is_none() {
            self.leased = Some(super::locks::leased()?);
        }
        Ok(self.leased.as_ref().is_some_and(|all| all.contains(&ino)))
    }

    /// A space without contents of its own to read (an address space).
    pub fn space(&mut self, space: Space) -> SpaceId {
        self.spaces.push(space);
        self.spaces.len() as SpaceId - 1
    }

    /// A duplicate, in this process, of a descriptor of the tree.
    pub fn borrow_descriptor(&mut self, pid: Pid, fd: i32) -> io::Result<OwnedFd> {
        use std::collections::hash_map::Entry;
        let pidfd = match self.pidfds.entry(pid) {
            Entry::Occupied(e) => e.into_mut(),
            Entry::Vacant(e) => e.insert(torpor_sys::fd::pidfd_open_task(pid)?),
        };
        torpor_sys::fd::pidfd_getfd(pidfd.as_fd(), fd)
    }

    /// Notes a blocker, or passes a real failure on.
    pub fn block(&mut self, pid: Pid, comm: &str, subject: String, obstacle: Obstacle) -> io::Result<()> {
        match obstacle {
            Obstacle::Unsupported { code, message, remedy } => {
                self.blockers.push(Blocker { code, pid, comm: comm.to_owned(), subject, message, remedy });
                Ok(())
            }
            Obstacle::Io(e) => {
                Err(io::Error::new(e.kind(), format!("process {pid} ({comm}), {subject}: {e}")))
            }
        }
    }
}
