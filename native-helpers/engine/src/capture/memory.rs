//! Address spaces: which mappings there are, what is behind each, and which of their pages have to travel.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use torpor_sys::ids;

use super::collect::Collector;
use super::{files, refusal, rings};
use crate::blocker::Obstacle;
use crate::inject::{Batch, InjectError, Remote, SCRATCH_LEN};
use crate::model::{AddressSpace, AioContext, Backing, Mapping, Pid, Process, SharedMemory, Space};
use crate::proc::maps::{self, Vma};
use crate::proc::stat::Stat;
use crate::proc::status::Status;
use crate::vm_flags::VmFlags;

/// F_GET_SEALS (fcntl(2)).
const F_GET_SEALS: i32 = 1034;

/// Describes the address space of a stopped process.
pub fn describe(
    collector: &mut Collector,
    pid: Pid,
    task: Pid,
    stat: &Stat,
    vmas: &[Vma],
    brk: u64,
    lock_future: Option<bool>,
) -> Result<AddressSpace, Obstacle> {
    let space = collector.space(Space::AddressSpace { pid });
    let mut mappings = Vec::new();
    for vma in vmas {
        match mapping(collector, task, vma) {
            Ok(Some(m)) => mappings.push(m),
            Ok(None) => {}
            Err(obstacle) => {
                let subject = format!("mapping {:x}-{:x} {}", vma.start, vma.end, vma.name);
                collector.block(pid, &stat.comm, subject, obstacle)?;
            }
        }
    }
    let rings = mappings.iter().filter(|m| m.backing == Backing::AioRing);
    let aio = rings.map(|m| aio_context(task, m)).collect::<io::Result<_>>()?;
    let exe = files::executable(collector, task)?;
    Ok(AddressSpace {
        space,
        mappings,
        exe: Some(exe),
        start_code: stat.start_code,
        end_code: stat.end_code,
        start_data: stat.start_data,
        end_data: stat.end_data,
        start_brk: stat.start_brk,
        brk,
        start_stack: stat.start_stack,
        arg_start: stat.arg_start,
        arg_end: stat.arg_end,
        env_start: stat.env_start,
        env_end: stat.env_end,
        auxv: auxv(task)?,
        lock_future,
        ksm_merge: false,
        deny_write_execute: 0,
        thp_disable: 0,
        guards: Vec::new(),
        policies: Vec::new(),
        aio,
        inherits: Vec::new(),
    })
}

/// Adds the VmFlags and protection keys to a described address space, from `task`: the process itself, or the
/// twin of one that runs on by now. Reading them takes as long as the process is large.
///
/// A fork keeps all of them but those of locked memory, which the caller has noted before ([`locked`]).
pub fn add_flags(
    collector: &mut Collector,
    process: &mut Process,
    task: Pid,
    locked: &Locked,
) -> io::Result<()> {
    let Some(mm) = &mut process.mm else { return Ok(()) };
    let mut left = mm.mappings.iter_mut().peekable();
    // Both are in order of address. What the image doesn't have (vsyscall) is passed by.
    maps::each_with_flags(task, |vma| {
        let Some(mapping) = left.next_if(|m| m.start == vma.start && m.end == vma.end) else { return Ok(()) };
        if let Some(obstacle) = refusal::mapping(&vma) {
            let subject = format!("mapping {:x}-{:x} {}", vma.start, vma.end, vma.name);
            collector.block(process.pid, &process.comm, subject, obstacle)?;
        }
        // Whether writes are tracked is nothing of the program's.
        mapping.flags = vma.flags.without("uw");
        if let Some(locked) = locked.get(&mapping.start) {
            mapping.flags = mapping.flags.with(locked);
        }
        mapping.pkey = vma.pkey;
        Ok(())
    })?;
    match left.next() {
        None => Ok(()),
        Some(mapping) => Err(io::Error::other(format!(
            "process {}: the mapping at {:x} is not the same in its copy",
            process.pid, mapping.start
        ))),
    }
}

/// By start address, the flags of locked mappings that a fork drops (VM_LOCKED_MASK: mlock(2)).
pub type Locked = HashMap<u64, VmFlags>;

/// What of a process is locked. A walk over the page tables, so only where anything is.
pub fn locked(task: Pid) -> io::Result<Locked> {
    if Status::of(task)?.locked_bytes == 0 {
        return Ok(Locked::new());
    }
    let mut locked = Locked::new();
    maps::each_with_flags(task, |vma| {
        let dropped: VmFlags = vma.flags.iter().filter(|flag| matches!(*flag, "lo" | "lf")).collect();
        if !dropped.is_empty() {
            locked.insert(vma.start, dropped);
        }
        Ok(())
    })?;
    Ok(locked)
}

fn mapping(collector: &mut Collector, pid: Pid, vma: &Vma) -> Result<Option<Mapping>, Obstacle> {
    if let Some(obstacle) = refusal::mapping(vma) {
        return Err(obstacle);
    }
    if vma.name.starts_with(refusal::SOCKET) {
        return ring(collector, pid, vma).map(Some);
    }
    let backing = match vma.name.as_str() {
        "[vsyscall]" => return Ok(None),
        "[vdso]" => Backing::Vdso,
        "[vvar]" => Backing::Vvar,
        name if name.starts_with("[vvar") => Backing::Kernel,
        "[uprobes]" => return Ok(None),
        name if name.starts_with("[anon_shmem:") || (name.starts_with("/dev/zero") && vma.shared) => {
            shared_anonymous(collector, pid, vma)?
        }
        name if name.starts_with("/memfd:") => memfd(collector, pid, vma)?,
        name if name.starts_with("/SYSV") => sysv(collector, pid, vma)?,
        "/[aio] (deleted)" => Backing::AioRing,
        name if name.starts_with("/anon_hugepage") && vma.shared => shared_anonymous(collector, pid, vma)?,
        name if name.starts_with("/anon_hugepage") => Backing::Anonymous { name: None },
        name if name.starts_with('/') => files::mapped(collector, pid, vma)?,
        name => Backing::Anonymous {
            name: name.strip_prefix("[anon:").and_then(|n| n.strip_suffix(']')).map(str::to_owned),
        },
    };
    Ok(Some(Mapping {
        start: vma.start,
        end: vma.end,
        prot: vma.prot(),
        shared: vma.shared,
        backing,
        flags: vma.flags.clone(),
        pkey: vma.pkey,
    }))
}

/// A ring of a packet socket, through whatever descriptor of it the tree has.
fn ring(collector: &mut Collector, pid: Pid, vma: &Vma) -> Result<Mapping, Obstacle> {
    if let Some(obstacle) = rings::refuse(pid, vma)? {
        return Err(obstacle);
    }
    for holder in std::iter::once(pid).chain(collector.pids.clone()) {
        for fd in crate::proc::numbers(holder, "fd").unwrap_or_default() {
            if crate::proc::link(holder, &format!("fd/{fd}")).is_ok_and(|target| target == vma.name) {
                let file = collector.descriptor(holder, fd)?;
                return Ok(Mapping {
                    start: vma.start,
                    end: vma.end,
                    prot: vma.prot(),
                    shared: vma.shared,
                    backing: Backing::File { file, offset: vma.offset },
                    flags: vma.flags.clone(),
                    pkey: vma.pkey,
                });
            }
        }
    }
    Err(refusal::other_mapping(&vma.name))
}

pub fn map_file_link(pid: Pid, vma: &Vma) -> String {
    format!("/proc/{pid}/map_files/{:x}-{:x}", vma.start, vma.end)
}

/// Whether the file behind a mapping was open for writing when it was mapped: the link's own permissions.
pub fn map_file_writable(pid: Pid, vma: &Vma) -> io::Result<bool> {
    Ok(std::fs::symlink_metadata(map_file_link(pid, vma))?.mode() & 0o200 != 0)
}

/// Opens the object behind a mapping, whether or not it has a name.
pub fn map_file(pid: Pid, vma: &Vma) -> io::Result<File> {
    // For reading only: while a program's file is open for writing nobody can run it (ETXTBSY, execve(2)).
    File::open(map_file_link(pid, vma))
}

/// Reads the ring of an AIO context: `struct aio_ring` (fs/aio.c, as io_setup(2) users know it): id, room, head,
/// tail, four more words, then the events.
fn aio_context(pid: Pid, mapping: &Mapping) -> io::Result<AioContext> {
    const HEADER: usize = 32;
    let mut ring = vec![0u8; mapping.len() as usize];
    torpor_sys::memory::read(pid, mapping.start, &mut ring)?;
    let word = |i: usize| u32::from_le_bytes(ring[i..i + 4].try_into().expect("4 bytes"));
    let (room, head, tail) = (word(4), word(8), word(12));
    Ok(AioContext {
        address: mapping.start,
        len: mapping.len(),
        room,
        head,
        tail,
        events: ring[HEADER..].to_vec(),
    })
}

fn shared_anonymous(collector: &mut Collector, pid: Pid, vma: &Vma) -> Result<Backing, Obstacle> {
    let file = map_file(pid, vma)?;
    let meta = file.metadata()?;
    let size = meta.size();
    let huge = if meta.blksize() > 4096 { meta.blksize().trailing_zeros() } else { 0 };
    let space = collector.inode_space(
        (meta.dev(), meta.ino()),
        || Ok(OwnedFd::from(file)),
        size,
        || Space::SharedMemory(SharedMemory::Anonymous { size, huge }),
    )?;
    Ok(Backing::SharedMemory { space, offset: vma.offset })
}

fn memfd(collector: &mut Collector, pid: Pid, vma: &Vma) -> Result<Backing, Obstacle> {
    let file = map_file(pid, vma)?;
    let name = vma.name.trim_start_matches("/memfd:").trim_end_matches(" (deleted)").to_owned();
    let space = memfd_space(collector, file.into(), name)?;
    Ok(Backing::SharedMemory { space, offset: vma.offset })
}

/// The space of a memfd's contents; `file` is any descriptor of it.
pub fn memfd_space(collector: &mut Collector, file: OwnedFd, name: String) -> Result<u32, Obstacle> {
    let meta = rustix::fs::fstat(&file).map_err(io::Error::from)?;
    let size = meta.st_size as u64;
    let seals = torpor_sys::fd::fcntl_int(file.as_fd(), F_GET_SEALS, 0).unwrap_or(0) as u32;
    let huge = if meta.st_blksize > 4096 { (meta.st_blksize as u64).trailing_zeros() } else { 0 };
    collector.inode_space(
        (meta.st_dev, meta.st_ino),
        || Ok(file),
        size,
        || {
            let mode = meta.st_mode & 0o7777;
            let (uid, gid) = (meta.st_uid, meta.st_gid);
            Space::SharedMemory(SharedMemory::Memfd { name, size, seals, mode, huge, flags: 0, uid, gid })
        },
    )
}

/// A SysV segment behind a mapping.
pub fn sysv(collector: &mut Collector, pid: Pid, vma: &Vma) -> Result<Backing, Obstacle> {
    let file = map_file(pid, vma)?;
    let meta = file.metadata()?;
    let size = meta.size();
    let key = u32::from_str_radix(vma.name.get(5..13).unwrap_or("0"), 16).unwrap_or(0) as i32;
    let space = collector.inode_space(
        (meta.dev(), meta.ino()),
        || Ok(OwnedFd::from(file)),
        size,
        || {
            // The inode number of a SysV segment is its id (proc(5), maps).
            let id = meta.ino() as i32;
            let known = torpor_sys::sysv::segment_status(id);
            Space::SharedMemory(SharedMemory::Sysv {
                id,
                key: known.as_ref().map_or(key, |s| s.key),
                // The file is as long as its last page.
                size: known.as_ref().map_or(size, |s| s.size),
                mode: known.map_or(meta.mode() & 0o777, |s| s.mode & 0o1777),
                uid: meta.uid(),
                gid: meta.gid(),
                huge: if meta.blksize() > 4096 { meta.blksize().trailing_zeros() } else { 0 },
            })
        },
    )?;
    Ok(Backing::SharedMemory { space, offset: vma.offset })
}

/// Switches of an address space that only the process itself can ask for (prctl(2)); 0 and `false` where the kernel
/// does not know one.
#[derive(Debug, Default)]
pub struct Switches {
    pub deny_write_execute: u32,
    pub ksm_merge: bool,
    pub thp_disable: u32,
}

/// Adds the calls that tell them to a batch, as its last.
pub fn ask_switches(batch: &mut Batch) {
    const PR_GET_MDWE: u64 = 66;
    const PR_GET_MEMORY_MERGE: u64 = 68;
    for what in [PR_GET_MDWE, PR_GET_MEMORY_MERGE, libc::PR_GET_THP_DISABLE as u64] {
        batch.call(libc::SYS_prctl, [what, 0, 0, 0, 0, 0]);
    }
}

impl Switches {
    /// What those calls have answered.
    pub fn read(mut answers: impl Iterator<Item = u32>) -> Switches {
        let mut next = || answers.next().unwrap_or(0);
        Switches { deny_write_execute: next(), ksm_merge: next() == 1, thp_disable: next() }
    }
}

/// Whether mlockall(MCL_FUTURE) is in force, and with MCL_ONFAULT: seen on the scratch mapping, which
/// inherits it. Looked at only where something is locked or could be.
pub fn lock_future(remote: &mut Remote<'_>, pid: Pid, status: &Status) -> Result<Option<bool>, InjectError> {
    if status.locked_bytes == 0 {
        return Ok(None);
    }
    let scratch = remote.scratch()?;
    let vmas = maps::smaps(pid).map_err(|source| InjectError::Io { tid: pid, source })?;
    let Some(vma) = vmas.iter().find(|v| v.start <= scratch && scratch + SCRATCH_LEN <= v.end) else {
        return Ok(None);
    };
    Ok(vma.has("lo").then(|| vma.has("lf")))
}

fn auxv(pid: Pid) -> io::Result<Vec<u64>> {
    let raw = std::fs::read(format!("/proc/{pid}/auxv"))?;
    Ok(raw.chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().expect("8 bytes"))).collect())
}

/// The time now as the tree's clocks tell it.
pub fn clocks() -> (i64, i64, i64) {
    (
        ids::clock_ns(libc::CLOCK_REALTIME),
        ids::clock_ns(libc::CLOCK_MONOTONIC),
        ids::clock_ns(libc::CLOCK_BOOTTIME),
    )
}
