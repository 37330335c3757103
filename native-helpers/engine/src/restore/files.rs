//! Makes the open file descriptions of an image again, once each, in the restoring process; the restored
//! processes inherit them and duplicate them to their own numbers.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, SeekFrom};

use super::unnamed::Unnamed;
use super::{RestoreError, departed};
use crate::model::{
    Backing, FileId, FileKind, OpenFile, PathFile, PipeData, SharedMemory, Space, SpaceId, SystemState,
};

/// What can't be done with a file of the image.
pub fn failed(state: &SystemState, id: FileId, source: io::Error) -> RestoreError {
    let description = state.files.get(id as usize).map_or(String::new(), |f| f.description.clone());
    RestoreError::File { description, source }
}

/// Flags that only matter when a file is opened for the first time.
pub(super) const CREATION: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_NOCTTY;
const O_TMPFILE: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;
/// What F_SETFL can change.
const STATUS: i32 = libc::O_APPEND | libc::O_NONBLOCK | libc::O_DIRECT | libc::O_NOATIME;
const F_SETPIPE_SZ: i32 = 1031;
/// `_IOW('T', 0, u64)` (include/uapi/linux/timerfd.h).
const TFD_IOC_SET_TICKS: u64 = 0x4008_5400;

/// The descriptions of an image, open again in this process.
#[derive(Debug, Default)]
pub struct Files {
    open: HashMap<FileId, OwnedFd>,
    /// Shared memory objects and unlinked files, by space; memory is loaded through these.
    pub spaces: HashMap<SpaceId, OwnedFd>,
    loaded: HashSet<SpaceId>,
    pub segments: super::segments::Segments,
    pub queues: super::queues::Queues,
    pub sysv: super::sysv_ipc::Objects,
    /// TCP connections with others.
    pub resuming: super::socket::Resuming,
    bpf_maps: super::bpf_maps::BpfMaps,
    pipes: HashMap<u64, (OwnedFd, OwnedFd)>,
    /// How many descriptions of each pipe are still to be opened.
    pipe_ends: HashMap<u64, usize>,
    /// Slaves of pseudo-terminals, by number, for the sessions that they control.
    slaves: HashMap<u32, OwnedFd>,
    unnamed: Unnamed,
    /// Stand-ins of processes that have ended, in whose folders of /proc others are.
    departed: Vec<departed::Lingering>,
    /// The names that unlinked files were made under.
    unlinked: HashMap<SpaceId, String>,
    /// Those that need their names until all is open, by space, with the names.
    named: HashMap<SpaceId, String>,
    /// Descriptions that others stand in for.
    stand_ins: HashMap<FileId, FileId>,
}

impl Files {
    /// Opens everything that this process can open; kinds that only a restored process can are left to
    /// its op list.
    pub fn open(
        state: &SystemState,
        external: &mut HashMap<String, OwnedFd>,
        spaces: HashMap<SpaceId, OwnedFd>,
    ) -> Result<Files, RestoreError> {
        let named = needed_names(state);
        let mut files =
            Files { spaces, named, stand_ins: super::leases::stand_ins(state), ..Files::default() };
        files.open.extend(super::namespaces::open(state)?);
        files.sysv.open(state)?;
        for (id, space) in state.spaces.iter().enumerate() {
            if let Space::SharedMemory(object) = space {
                let failed = |source| RestoreError::SharedMemory { source };
                if let SharedMemory::Sysv { .. } = object {
                    let (fd, others) = files.segments.open(id as SpaceId, object).map_err(failed)?;
                    files.spaces.insert(id as SpaceId, fd);
                    if others {
                        files.loaded.insert(id as SpaceId);
                    }
                    continue;
                }
                let fd = shared_memory(object).map_err(failed)?;
                files.spaces.insert(id as SpaceId, fd);
            }
        }
        // First: nothing else may take their numbers.
        let terminals = super::terminals::restore(state).map_err(|e| RestoreError::File {
            description: state.files.get(e.file as usize).map_or(String::new(), |f| f.description.clone()),
            source: e.source,
        })?;
        files.open.extend(terminals.open);
        files.slaves = terminals.slaves;
        let queues = files.queues.open(state)?;
        files.open.extend(queues);
        for pipe in state.files.iter().filter_map(|f| pipe_of(&f.kind)) {
            *files.pipe_ends.entry(pipe).or_default() += 1;
        }
        for (id, file) in state.files.iter().enumerate() {
            // The name of a socket leads to it only once that is there.
            let id = id as FileId;
            if files.open.contains_key(&id) || files.stand_ins.contains_key(&id) || is_socket(file) {
                continue;
            }
            if matches!(file.kind, FileKind::Pidfd { pid, .. } if pid <= 0) {
                let all = super::departed::pidfds(state, file)
                    .map_err(|source| RestoreError::File { description: file.description.clone(), source })?;
                files.open.extend(all);
                continue;
            }
            let opened = files.open_one(state, file, external);
            let fd = opened.map_err(|e| match e {
                RestoreError::File { .. } | RestoreError::Unsupported { .. } => e,
                e => RestoreError::File {
                    description: file.description.clone(),
                    source: io::Error::other(e.to_string()),
                },
            })?;
            if let Some(fd) = fd {
                files.open.insert(id, fd);
            }
            if let Some(pipe) = pipe_of(&file.kind) {
                files.close_complete(pipe);
            }
        }
        super::socket::restore(state, &mut files).map_err(|e| RestoreError::File {
            description: state.files.get(e.file as usize).map_or(String::new(), |f| f.description.clone()),
            source: e.source,
        })?;
        for (id, file) in state.files.iter().enumerate() {
            if let (FileKind::Socket(_), Some(fd)) = (&file.kind, files.open.get(&(id as FileId))) {
                set_status(fd, file)
                    .map_err(|source| RestoreError::File { description: file.description.clone(), source })?;
            }
        }
        for (id, file) in state.files.iter().enumerate().filter(|(_, file)| is_socket(file)) {
            if let Some(fd) = files.open_one(state, file, external)? {
                files.open.insert(id as FileId, fd);
            }
        }
        files.pipes.clear();
        files.unnamed.remove_names();
        Ok(files)
    }

    /// The contents of this space are there already.
    pub fn is_loaded(&self, space: SpaceId) -> bool {
        self.loaded.contains(&space)
    }

    /// Takes note of that, and gives up the right to write it.
    pub fn set_loaded(&mut self, space: SpaceId) -> io::Result<()> {
        if let Some(fd) = self.spaces.get_mut(&space) {
            *fd = reopen(fd.as_fd(), libc::O_RDONLY)?;
        }
        self.loaded.insert(space);
        Ok(())
    }

    /// The space with the contents of an open file, where it comes out of the image itself.
    pub fn content_of(&self, id: FileId) -> Option<SpaceId> {
        let wanted = inode(self.get(id)?).ok()?;
        self.spaces.iter().find(|(_, fd)| inode(fd).is_ok_and(|one| one == wanted)).map(|(space, _)| *space)
    }

    /// Ends the stand-ins of processes that have ended, once everybody is in its folder.
    pub fn end_departed(&mut self) {
        self.departed.clear();
    }

    /// Takes in a description that a module of its own has made.
    pub fn put(&mut self, id: FileId, fd: OwnedFd) {
        self.open.insert(id, fd);
    }

    /// The descriptor of a description here.
    pub fn get(&self, id: FileId) -> Option<BorrowedFd<'_>> {
        self.open.get(self.stand_ins.get(&id).unwrap_or(&id)).map(AsFd::as_fd)
    }

    /// A slave of the pseudo-terminal with this number, where a session or /dev/tty needs it.
    pub fn slave(&self, index: u32) -> Option<BorrowedFd<'_>> {
        self.slaves.get(&index).map(AsFd::as_fd)
    }

    /// The numbers of all descriptors that [`Files::make_room`] may move.
    pub fn numbers(&self) -> HashSet<i32> {
        let all = self.open.values().chain(self.spaces.values()).chain(self.slaves.values());
        all.map(AsRawFd::as_raw_fd).collect()
    }

    /// What restored processes need besides their own descriptors: mapped files, executables, folders, terminals.
    fn needed(&self, state: &SystemState) -> HashSet<FileId> {
        let mut needed = mapped(state);
        needed.extend(self.stand_ins.values());
        for process in &state.processes {
            needed.extend([process.cwd, process.root, process.uts].into_iter().flatten());
            needed.extend(&process.own_namespaces);
            needed.extend(process.threads.iter().filter_map(|t| t.folders).flat_map(|f| [f.cwd, f.root]));
        }
        for (id, file) in state.files.iter().enumerate() {
            if matches!(file.kind, FileKind::CapsuleTerminal | FileKind::Pty(_)) {
                needed.insert(id as FileId);
            }
        }
        needed
    }

    /// How many descriptors [`Files::make_room`] may move above what is reserved because they are needed.
    pub fn lasting(&self, state: &SystemState) -> i32 {
        let needed = self.needed(state);
        let open = self.open.keys().filter(|id| needed.contains(id)).count();
        (open + self.spaces.len() + self.slaves.len()) as i32
    }

    /// Moves what restored processes need besides their own descriptors, and spaces, to numbers from the end of
    /// `reserved` to before `end`, and everything else out of the reserved ones. The many that are descriptors only
    /// stay: there may be as many as the limit allows.
    ///
    /// # Errors
    /// `EMFILE` where there are not as many free numbers there.
    pub fn make_room(&mut self, state: &SystemState, reserved: Range<i32>, end: i32) -> io::Result<()> {
        let lasting = reserved.end..end;
        let moved = |fd: &OwnedFd| {
            let fd = torpor_sys::fd::dup_above(fd.as_fd(), lasting.start)?;
            if lasting.contains(&fd.as_raw_fd()) {
                Ok(fd)
            } else {
                Err(io::Error::from_raw_os_error(libc::EMFILE))
            }
        };
        let needed = self.needed(state);
        for (id, fd) in &mut self.open {
            let number = fd.as_raw_fd();
            if reserved.contains(&number) || !lasting.contains(&number) && needed.contains(id) {
                *fd = moved(fd)?;
            }
        }
        for fd in self.spaces.values_mut().chain(self.slaves.values_mut()) {
            if !lasting.contains(&fd.as_raw_fd()) {
                *fd = moved(fd)?;
            }
        }
        Ok(())
    }

    /// Once the contents are loaded and nothing is opened any more: times of unlinked files, and watches.
    pub fn settle(&mut self, state: &SystemState) -> Result<(), RestoreError> {
        let failed = |id: FileId, source| failed(state, id, source);
        for (id, file) in state.files.iter().enumerate() {
            if let FileKind::Unlinked { space, marks, .. } = &file.kind
                && let Some(fd) = self.spaces.get(space)
            {
                super::unnamed::mark(fd.as_fd(), marks).map_err(|e| failed(id as FileId, e))?;
            }
        }
        super::locks::in_flight(state, self).map_err(|(id, e)| failed(id, e))?;
        // Closed before anybody watches.
        self.spaces
            .retain(|id, _| !matches!(state.spaces.get(*id as usize), Some(Space::FileContent { .. })));
        super::watches::files(state, self).map_err(|(id, e)| failed(id, e))
    }

    fn open_one(
        &mut self,
        state: &SystemState,
        file: &OpenFile,
        external: &mut HashMap<String, OwnedFd>,
    ) -> Result<Option<OwnedFd>, RestoreError> {
        let failed = |source: io::Error| RestoreError::File { description: file.description.clone(), source };
        let fd = match &file.kind {
            // Opened by the restored process itself, once the process that it is about is there.
            FileKind::Path(path) if departed::is_of_tree(&path.path, state) => None,
            FileKind::Path(path) => Some(self.path(path, file).map_err(failed)?),
            FileKind::Unlinked { space, path, size, mode, uid, gid, tmpfile, .. } => {
                let mut made = None;
                if !self.spaces.contains_key(space) {
                    let (fd, own) = self.unnamed.file(path, file.flags, *tmpfile).map_err(failed)?;
                    rustix::fs::fchown(
                        &fd,
                        Some(rustix::fs::Uid::from_raw(*uid)),
                        Some(rustix::fs::Gid::from_raw(*gid)),
                    )
                    .map_err(|e| failed(e.into()))?;
                    rustix::fs::fchmod(&fd, Mode::from_raw_mode(*mode)).map_err(|e| failed(e.into()))?;
                    rustix::fs::ftruncate(&fd, *size).map_err(|e| failed(e.into()))?;
                    self.spaces.insert(*space, fd);
                    if !tmpfile && self.unnamed.last().is_some_and(|name| self.unnamed.is_read_only(name)) {
                        self.named.entry(*space).or_default();
                    }
                    match self.named.get_mut(space) {
                        _ if *tmpfile => {}
                        Some(name) => *name = self.unnamed.last().unwrap_or_default().to_owned(),
                        None => self.unnamed.remove_last().map_err(failed)?,
                    }
                    made = own;
                }
                let content = self.spaces[space].as_fd();
                let directory = if file.flags & O_TMPFILE != 0 { libc::O_DIRECTORY } else { 0 };
                let known = self.unlinked.entry(*space).or_insert_with(|| path.clone());
                // By another name that it had.
                let renamed =
                    if known != path && !tmpfile { self.unnamed.name(content, path).ok() } else { None };
                let fd = match (made, renamed) {
                    (Some(made), _) => made,
                    (None, Some(name)) => open_raw(&name, file.flags & !CREATION).map_err(failed)?,
                    (None, None) => {
                        let flags = file.flags & !(CREATION | O_TMPFILE | directory);
                        match self.named.get(space).filter(|name| !name.is_empty()) {
                            // What is in /proc is a link, which O_NOFOLLOW would not go along.
                            Some(name)
                                if flags & libc::O_NOFOLLOW != 0 || self.unnamed.is_read_only(name) =>
                            {
                                open_raw(name, flags)
                            }
                            _ => reopen(content, flags & !libc::O_NOFOLLOW),
                        }
                        .map_err(failed)?
                    }
                };
                if file.flags & libc::O_PATH == 0 {
                    seek(&fd, file.position).map_err(failed)?;
                }
                Some(fd)
            }
            FileKind::UnlinkedDirectory { path, mode, uid, gid, inode } => {
                let path = self.unnamed.folder(path, *inode, *mode, *uid, *gid).map_err(failed)?;
                Some(open_raw(&path, file.flags & !CREATION).map_err(failed)?)
            }
            FileKind::Pipe { pipe, data, owner, .. } => {
                Some(self.pipe(*pipe, data, *owner, file.flags).map_err(failed)?)
            }
            FileKind::Fifo { file: path, data } => Some(self.fifo(path, data, file.flags).map_err(failed)?),
            FileKind::Eventfd { count, semaphore } => Some(eventfd(*count, *semaphore).map_err(failed)?),
            FileKind::Epoll { .. } => Some(
                rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)
                    .map_err(|e| failed(e.into()))?,
            ),
            FileKind::Timerfd { clock, ticks, settime_flags, interval_ns, remaining_ns } => {
                Some(timerfd(*clock, *ticks, *settime_flags, *interval_ns, *remaining_ns).map_err(failed)?)
            }
            FileKind::Signalfd { mask } => Some(signalfd(*mask).map_err(failed)?),
            // Watches come last: whatever is opened until then is nothing to tell of.
            FileKind::Inotify { .. } => {
                use rustix::fs::inotify;
                Some(inotify::init(inotify::CreateFlags::CLOEXEC).map_err(|e| failed(e.into()))?)
            }
            FileKind::Fanotify { flags, event_flags, .. } => {
                // Its own flags, which fdinfo(5) shows; whether an exec closes it is up to each descriptor.
                Some(torpor_sys::fd::fanotify_init(*flags, *event_flags).map_err(failed)?)
            }
            FileKind::SharedMemory { space } => {
                let object = self.spaces.get(space).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                let fd = reopen(object.as_fd(), file.flags & !CREATION).map_err(failed)?;
                seek(&fd, file.position).map_err(failed)?;
                Some(fd)
            }
            FileKind::CapsuleTerminal => {
                let terminal = external.get("terminal").ok_or(RestoreError::NoTerminal)?;
                // Opened anew: each description has flags of its own. Never as init's own terminal.
                Some(reopen(terminal.as_fd(), file.flags & !CREATION | libc::O_NOCTTY).map_err(failed)?)
            }
            // Made before.
            FileKind::UtsNamespace { .. } | FileKind::Namespace(_) => None,
            FileKind::NamespaceFile { namespace } => {
                let made =
                    self.open.get(namespace).ok_or(RestoreError::Malformed("a file of no namespace"))?;
                Some(reopen(made.as_fd(), file.flags & !CREATION).map_err(failed)?)
            }
            FileKind::BpfMap(map) => Some(self.bpf_maps.open(state, file, map).map_err(failed)?),
            // Made before.
            FileKind::MessageQueue(_) => None,
            // Made before all else; as /dev/tty, opened by the restored process.
            FileKind::Pty(_) => None,
            FileKind::External { key } => Some(
                external
                    .get(key)
                    .ok_or_else(|| failed(io::Error::other("nobody supplies it")))?
                    .try_clone()
                    .map_err(failed)?,
            ),
            // All at once, when everything else is open: they may carry descriptors of any kind.
            FileKind::Socket(_) => None,
            FileKind::Pidfd { .. } => None,
            FileKind::Other { kind, .. } => {
                return Err(RestoreError::Unsupported { kind: kind.clone() });
            }
        };
        if let Some(fd) = &fd {
            set_status(fd, file).map_err(failed)?;
        }
        Ok(fd)
    }

    fn path(&mut self, path: &PathFile, file: &OpenFile) -> io::Result<OwnedFd> {
        // Nobody is to be given a controlling terminal.
        let console = if path.settings.is_some() { libc::O_NOCTTY } else { 0 };
        let flags = file.flags & !CREATION | console;
        let fd = if departed::is_of_process(&path.path) {
            const FOLDER: i32 = libc::O_PATH | libc::O_DIRECTORY;
            if flags & FOLDER == FOLDER && !self.departed.iter().any(|d| d.is_for(path)) {
                self.departed.push(departed::Lingering::start(path)?);
            }
            match self.departed.iter().find(|d| d.is_for(path)) {
                // It has the number, which nobody else can have meanwhile.
                Some(stand_in) => stand_in.open(path, flags)?,
                None => departed::open_file(path, flags)?,
            }
        } else if path.removed.is_some() {
            open_raw(&self.unnamed.node(path)?, flags)?
        } else if let Some(name) = path.opened_as.as_ref().filter(|_| !is_folder(path)) {
            let source = match path.handle {
                Some(_) => super::unnamed::by_handle(path, libc::O_PATH)?,
                None => open_raw(&path.path, libc::O_PATH | libc::O_NOFOLLOW)?,
            };
            match self.unnamed.name(source.as_fd(), name) {
                Ok(name) => return open_path(&PathFile { path: name, handle: None, ..path.clone() }, file),
                // Without its old name it is the same file still.
                Err(_) => return open_path(path, file),
            }
        } else {
            return open_path(path, file);
        };
        settle_console(&fd, path)?;
        Ok(fd)
    }

    /// Lets go of the ends that a pipe was made with once all of its descriptions are open, so that a program
    /// with very many pipes needs no more descriptors here than it has.
    fn close_complete(&mut self, pipe: u64) {
        if let Some(left) = self.pipe_ends.get_mut(&pipe) {
            *left -= 1;
            if *left == 0 {
                self.pipes.remove(&pipe);
            }
        }
    }

    fn pipe(
        &mut self,
        id: u64,
        data: &PipeData,
        owner: Option<(u32, u32)>,
        flags: i32,
    ) -> io::Result<OwnedFd> {
        if let Entry::Vacant(entry) = self.pipes.entry(id) {
            let ends = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            fill_pipe(ends.1.as_fd(), data)?;
            if let Some((uid, gid)) = owner {
                let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
                rustix::fs::fchown(&ends.1, Some(uid), Some(gid))?;
            }
            if let Some(mode) = data.mode {
                rustix::fs::fchmod(&ends.1, Mode::from_raw_mode(mode))?;
            }
            entry.insert(ends);
        }
        let ends = &self.pipes[&id];
        // Opening through /proc makes another description of the same pipe; the two that pipe(2) made go
        // once all are open.
        let end = if flags & libc::O_ACCMODE == libc::O_WRONLY { &ends.1 } else { &ends.0 };
        reopen(end.as_fd(), flags & (libc::O_ACCMODE | libc::O_NONBLOCK))
    }

    fn fifo(&mut self, path: &PathFile, data: &PipeData, flags: i32) -> io::Result<OwnedFd> {
        let key = path.ino;
        let name = match (&path.removed, &path.handle) {
            (Some(_), _) => self.unnamed.node(path)?,
            (None, Some(_)) => {
                let found = super::unnamed::by_handle(path, libc::O_PATH)?;
                std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?
                    .to_string_lossy()
                    .into_owned()
            }
            _ => path.path.clone(),
        };
        let flags = flags & !(CREATION | libc::O_DIRECT) | libc::O_NONBLOCK;
        let reads = flags & libc::O_ACCMODE == libc::O_RDONLY;
        if reads && !data.hung_up && data.packets.is_empty() && !self.pipes.contains_key(&key) {
            // A reader that has never had a writer is told of the end only after the first one.
            let reader = open_raw(&name, flags)?;
            set_capacity(reader.as_fd(), data)?;
            return Ok(reader);
        }
        if let Entry::Vacant(entry) = self.pipes.entry(key) {
            // Open for both, it never blocks and keeps the others from blocking.
            let keeper = open_raw(&name, libc::O_RDWR | libc::O_NONBLOCK)?;
            drain(keeper.as_fd())?;
            fill_pipe(keeper.as_fd(), data)?;
            let other = keeper.try_clone()?;
            entry.insert((keeper, other));
        }
        open_raw(&name, flags)
    }
}

fn set_capacity(end: BorrowedFd<'_>, data: &PipeData) -> io::Result<()> {
    if data.capacity > 0 {
        torpor_sys::fd::fcntl_int(end, F_SETPIPE_SZ, i64::from(data.capacity))?;
    }
    Ok(())
}

/// The pipe that a description is an end of.
fn pipe_of(kind: &FileKind) -> Option<u64> {
    match kind {
        FileKind::Pipe { pipe, .. } => Some(*pipe),
        FileKind::Fifo { file, .. } => Some(file.ino),
        _ => None,
    }
}

/// The unlinked files that are opened by their names, or by several: the others lose theirs at once, since some may
/// have had the same.
fn needed_names(state: &SystemState) -> HashMap<SpaceId, String> {
    let mut paths: HashMap<SpaceId, &str> = HashMap::new();
    let mut named = HashMap::new();
    for file in &state.files {
        if let FileKind::Unlinked { space, path, .. } = &file.kind
            && (file.flags & libc::O_NOFOLLOW != 0 || paths.insert(*space, path).is_some_and(|p| p != path))
        {
            named.insert(*space, String::new());
        }
    }
    named
}

/// O_PATH of a socket's name.
fn is_socket(file: &OpenFile) -> bool {
    matches!(&file.kind, FileKind::Path(path) if path.mode & libc::S_IFMT == libc::S_IFSOCK)
}

fn fill_pipe(end: BorrowedFd<'_>, data: &PipeData) -> io::Result<()> {
    set_capacity(end, data)?;
    let packet_mode = data.packet_mode || data.packets.len() > 1;
    if packet_mode {
        torpor_sys::fd::fcntl_int(end, libc::F_SETFL, i64::from(libc::O_DIRECT | libc::O_NONBLOCK))?;
    }
    for packet in &data.packets {
        let mut rest: &[u8] = packet;
        while !rest.is_empty() {
            let n = rustix::io::write(end, rest)?;
            rest = &rest[n..];
        }
    }
    if packet_mode {
        torpor_sys::fd::fcntl_int(end, libc::F_SETFL, i64::from(libc::O_NONBLOCK))?;
    }
    Ok(())
}

fn drain(end: BorrowedFd<'_>) -> io::Result<()> {
    let mut buf = [0u8; 4096];
    loop {
        match rustix::io::read(end, &mut buf) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// The files that restored processes map, and their executables.
fn mapped(state: &SystemState) -> HashSet<FileId> {
    let mut files = HashSet::new();
    for mm in state.processes.iter().filter_map(|p| p.mm.as_ref()) {
        files.extend(mm.exe);
        files.extend(mm.mappings.iter().filter_map(|m| match m.backing {
            Backing::File { file, .. } => Some(file),
            _ => None,
        }));
    }
    files
}

/// Device and inode.
pub fn inode(file: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Another description of the same file.
pub fn reopen(fd: BorrowedFd<'_>, flags: i32) -> io::Result<OwnedFd> {
    open_raw(&format!("/proc/self/fd/{}", fd.as_raw_fd()), flags)
}

pub(super) fn open_raw(path: &str, flags: i32) -> io::Result<OwnedFd> {
    let path = CString::new(path).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    torpor_sys::fd::open(&path, flags, 0)
}

fn is_folder(path: &PathFile) -> bool {
    path.mode & libc::S_IFMT == libc::S_IFDIR
}

fn open_path(path: &PathFile, file: &OpenFile) -> io::Result<OwnedFd> {
    // A file that was made without a name, and has one by now, can't be opened as one that has none.
    let unnamed = if file.flags & O_TMPFILE != 0 { libc::O_TMPFILE } else { 0 };
    let console = if path.settings.is_some() { libc::O_NOCTTY } else { 0 };
    let flags = file.flags & !(CREATION | unnamed) | console;
    let fd = match path.handle {
        Some(_) => super::unnamed::by_handle(path, flags)?,
        None => open_raw(&path.path, flags)?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    if stat.st_mode & libc::S_IFMT != path.mode & libc::S_IFMT {
        return Err(io::Error::other("it is now a file of another kind"));
    }
    if file.flags & libc::O_PATH == 0 {
        seek(&fd, file.position)?;
        settle_console(&fd, path)?;
    }
    Ok(fd)
}

fn settle_console(fd: &OwnedFd, path: &PathFile) -> io::Result<()> {
    path.settings.as_ref().map_or(Ok(()), |settings| crate::tty::apply(fd.as_fd(), settings))
}

fn seek(fd: &OwnedFd, position: u64) -> io::Result<()> {
    if position != 0 {
        match rustix::fs::seek(fd, SeekFrom::Start(position)) {
            Ok(_) | Err(rustix::io::Errno::SPIPE) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Status flags that the way of making it has not set.
pub(super) fn set_status(fd: &OwnedFd, file: &OpenFile) -> io::Result<()> {
    if file.flags & libc::O_PATH != 0 {
        return Ok(());
    }
    let now = torpor_sys::fd::fcntl_int(fd.as_fd(), libc::F_GETFL, 0)? as i32;
    if (now ^ file.flags) & STATUS != 0 {
        torpor_sys::fd::fcntl_int(fd.as_fd(), libc::F_SETFL, i64::from(file.flags & STATUS))?;
    }
    Ok(())
}

fn eventfd(count: u64, semaphore: bool) -> io::Result<OwnedFd> {
    use rustix::event::EventfdFlags;
    let flags =
        EventfdFlags::CLOEXEC | if semaphore { EventfdFlags::SEMAPHORE } else { EventfdFlags::empty() };
    let fd = rustix::event::eventfd(0, flags)?;
    if count > 0 {
        rustix::io::write(&fd, &count.to_ne_bytes())?;
    }
    Ok(fd)
}

fn timerfd(
    clock: i32,
    ticks: u64,
    settime_flags: u32,
    interval_ns: u64,
    remaining_ns: u64,
) -> io::Result<OwnedFd> {
    use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
    let clock_id = match clock {
        libc::CLOCK_MONOTONIC => TimerfdClockId::Monotonic,
        libc::CLOCK_BOOTTIME => TimerfdClockId::Boottime,
        libc::CLOCK_REALTIME_ALARM => TimerfdClockId::RealtimeAlarm,
        libc::CLOCK_BOOTTIME_ALARM => TimerfdClockId::BoottimeAlarm,
        _ => TimerfdClockId::Realtime,
    };
    let fd = rustix::time::timerfd_create(clock_id, TimerfdFlags::CLOEXEC)?;
    let timespec =
        |ns: u64| Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 };
    let (mut flags, mut value) = (TimerfdTimerFlags::empty(), remaining_ns);
    // Cancelling on a change of the clock goes with absolute times only (timerfd_create(2)).
    if settime_flags & 2 != 0 {
        flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        value = torpor_sys::ids::clock_ns(clock) as u64 + remaining_ns;
    }
    if remaining_ns != 0 || interval_ns != 0 {
        let spec = Itimerspec { it_interval: timespec(interval_ns), it_value: timespec(value) };
        rustix::time::timerfd_settime(&fd, flags, &spec)?;
    }
    if ticks > 0 {
        let mut ticks = ticks;
        torpor_sys::fd::ioctl_struct(fd.as_fd(), TFD_IOC_SET_TICKS, &mut ticks)?;
    }
    Ok(fd)
}

fn signalfd(mask: u64) -> io::Result<OwnedFd> {
    torpor_sys::fd::signalfd(mask)
}

/// Makes a shared memory object with room for its pages.
fn shared_memory(object: &SharedMemory) -> io::Result<OwnedFd> {
    match object {
        SharedMemory::Anonymous { size, huge } => {
            // The kernel names such an object only through a mapping of it.
            let mapping = match huge {
                0 => torpor_sys::memory::Mapping::shared((*size).max(4096) as usize)?,
                huge => torpor_sys::memory::Mapping::shared_huge(*size as usize, *huge)?,
            };
            let start = mapping.address();
            let end = start + (*size).max(4096).next_multiple_of(4096);
            open_raw(&format!("/proc/self/map_files/{start:x}-{end:x}"), libc::O_RDWR)
        }
        SharedMemory::Memfd { name, size, mode, huge, uid, gid, .. } => {
            use rustix::fs::MemfdFlags;
            let mut flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            if *huge != 0 {
                flags |= MemfdFlags::HUGETLB | MemfdFlags::from_bits_retain(*huge << 26);
            }
            let fd = rustix::fs::memfd_create(name.as_str(), flags)?;
            rustix::fs::ftruncate(&fd, *size)?;
            let owner = (rustix::fs::Uid::from_raw(*uid), rustix::fs::Gid::from_raw(*gid));
            rustix::fs::fchown(&fd, Some(owner.0), Some(owner.1))?;
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(*mode))?;
            Ok(fd)
        }
        SharedMemory::Sysv { .. } => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// F_ADD_SEALS, once the contents are there.
pub fn seal(object: &SharedMemory, fd: BorrowedFd<'_>) -> io::Result<()> {
    const F_ADD_SEALS: i32 = 1033;
    if let SharedMemory::Memfd { seals, .. } = object
        && *seals != 0
    {
        torpor_sys::fd::fcntl_int(fd, F_ADD_SEALS, i64::from(*seals))?;
    }
    Ok(())
}
