//! Lays out an address space: maps everything writable first, so that memory can be loaded, and gives each
//! mapping its protection and advice afterwards.

use std::os::fd::AsRawFd;

use super::RestoreError;
use super::plan::Planner;
use super::region::List;
use super::sharing::Keeping;
use crate::model::{AddressSpace, Backing, Mapping, MemoryPolicy, Process};

const ARCH_MAP_VDSO_64: u64 = 0x2003;
const PR_SET_MM: u64 = 35;
const PR_SET_MM_MAP: u64 = 14;
const PR_SET_VMA: u64 = 0x5356_4d41;
const RW: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
const PR_SET_MDWE: u64 = 65;
const PR_SET_MEMORY_MERGE: u64 = 67;
const MADV_GUARD_INSTALL: u64 = 102;
const SYS_MSEAL: i64 = 462;
/// Private memory that the kernel may drop when it is short of it (mmap(2), Linux 6.11).
const MAP_DROPPABLE: i32 = 8;
/// What is made writable at once: more memory than a machine has is refused in one piece, and had in many.
const PIECE: u64 = 256 << 20;

/// madvise(2) advice by the flag that smaps shows for it.
const ADVICE: [(&str, i32); 8] = [
    ("rr", libc::MADV_RANDOM),
    ("sr", libc::MADV_SEQUENTIAL),
    ("dc", libc::MADV_DONTFORK),
    ("dd", libc::MADV_DONTDUMP),
    ("hg", libc::MADV_HUGEPAGE),
    ("nh", libc::MADV_NOHUGEPAGE),
    ("mg", libc::MADV_MERGEABLE),
    ("wf", libc::MADV_WIPEONFORK),
];

/// Maps everything of the process, before its memory is loaded.
pub fn map(
    planner: &mut Planner<'_>,
    list: &mut List,
    process: &Process,
    keeping: &Keeping,
) -> Result<(), RestoreError> {
    if process.mm_owner != process.pid {
        return Err(RestoreError::Unsupported { kind: "an address space shared by two processes".into() });
    }
    let mm = process.mm.as_ref().ok_or(RestoreError::Malformed("a process without memory"))?;
    if process.thp_disabled || mm.thp_disable != 0 {
        // The second bit (Linux 6.18) leaves it to advised ranges.
        let flags = if mm.thp_disable == 3 { 2 } else { 0 };
        list.try_call(libc::SYS_prctl, &[libc::PR_SET_THP_DISABLE as u64, 1, flags]);
    }
    for (start, end) in &keeping.unmap {
        list.call(libc::SYS_munmap, &[*start, end - start]);
    }
    for (start, end) in &keeping.discard {
        list.call(libc::SYS_madvise, &[*start, end - start, libc::MADV_DONTNEED as u64]);
    }
    vdso(list, mm);
    for (number, mapping) in mm.mappings.iter().enumerate() {
        if mapping.backing == Backing::AioRing {
            if let Some(context) = mm.aio.iter().find(|c| c.address == mapping.start) {
                super::aio::make(planner, list, process.pid, context);
            }
            continue;
        }
        if let Backing::SharedMemory { space, offset } = mapping.backing
            && mapping.shared
            && super::segments::attach(planner, list, mapping, space, offset)
        {
            continue;
        }
        if planner.sharing.is_reserved(mm.space, number) && !keeping.parts.contains_key(&number) {
            let flags = (libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64 | grows(mapping);
            let prot = u64::from(mapping.prot);
            list.call(libc::SYS_mmap, &[mapping.start, mapping.len(), prot, flags, u64::MAX, 0]);
            continue;
        }
        let mut at = mapping.start;
        for (start, end) in keeping.parts.get(&number).into_iter().flatten() {
            map_part(planner, list, mapping, at, *start)?;
            at = *end;
        }
        map_part(planner, list, mapping, at, mapping.end)?;
    }
    // Before pages are there, which then are where they belong.
    for (start, end, policy) in &mm.policies {
        let (nodes, limit) = nodes(planner, policy);
        // A machine without these nodes has its own.
        list.try_call(libc::SYS_mbind, &[*start, end - start, u64::from(policy.mode), nodes, limit, 0]);
    }
    memory_map(planner, list, mm)
}

/// The mask of a memory policy's nodes as system calls take it: address and number of bits.
pub fn nodes(planner: &mut Planner<'_>, policy: &MemoryPolicy) -> (u64, u64) {
    // The kernel takes the number for one more than there are.
    (planner.region.words(&policy.nodes), policy.nodes.len() as u64 * 64 + 1)
}

/// Maps a part of a mapping, writable where its memory is going to be loaded.
pub fn map_part(
    planner: &Planner<'_>,
    list: &mut List,
    mapping: &Mapping,
    start: u64,
    end: u64,
) -> Result<(), RestoreError> {
    let Some((fd, offset, anonymous)) = source(planner, mapping)?.filter(|_| start < end) else {
        return Ok(());
    };
    let kind = match mapping.shared {
        true => libc::MAP_SHARED,
        false if mapping.has("dp") => MAP_DROPPABLE,
        false => libc::MAP_PRIVATE,
    };
    let mut flags = libc::MAP_FIXED | kind;
    if anonymous {
        flags |= libc::MAP_ANONYMOUS;
    }
    if mapping.has("nr") {
        flags |= libc::MAP_NORESERVE;
    }
    if mapping.has("ht") && anonymous {
        flags |= libc::MAP_HUGETLB;
    }
    let prot = if mapping.shared { u64::from(mapping.prot) } else { u64::from(mapping.prot) | RW };
    // A part may begin before the mapping that it is like, where another process has more of the same.
    let offset = if anonymous { offset } else { offset.wrapping_add(start).wrapping_sub(mapping.start) };
    let fd = fd.map_or(u64::MAX, |fd| fd as u64);
    let pieces = is_made_in_pieces(mapping);
    let first = if pieces { libc::PROT_NONE as u64 } else { prot };
    list.call(libc::SYS_mmap, &[start, end - start, first, flags as u64 | grows(mapping), fd, offset]);
    let mut at = start;
    while pieces && at < end {
        let len = PIECE.min(end - at);
        list.call(libc::SYS_mprotect, &[at, len, prot]);
        at += len;
    }
    Ok(())
}

/// MAP_GROWSDOWN for a mapping that does.
fn grows(mapping: &Mapping) -> u64 {
    if mapping.has("gd") { libc::MAP_GROWSDOWN as u64 } else { 0 }
}

/// The program has made it writable piece by piece too, or it would not have it on a machine with less memory.
fn is_made_in_pieces(mapping: &Mapping) -> bool {
    mapping.is_plain_anonymous() && mapping.has("ac") && mapping.len() > PIECE
}

/// How many calls mapping takes at most on top of those that every mapping takes.
pub fn calls(mm: &AddressSpace) -> usize {
    let pieces = |m: &&Mapping| is_made_in_pieces(m);
    mm.mappings.iter().filter(pieces).map(|m| m.len().div_ceil(PIECE) as usize + 1).sum()
}

/// Protections, advice, names and locks, once the memory is loaded.
pub fn finish(
    planner: &mut Planner<'_>,
    list: &mut List,
    process: &Process,
    keeping: &Keeping,
) -> Result<(), RestoreError> {
    let Some(mm) = &process.mm else { return Ok(()) };
    for (start, end) in &mm.guards {
        list.call(libc::SYS_madvise, &[*start, end - start, MADV_GUARD_INSTALL]);
    }
    if mm.ksm_merge {
        list.try_call(libc::SYS_prctl, &[PR_SET_MEMORY_MERGE, 1, 0, 0, 0]);
    }
    for (number, mapping) in mm.mappings.iter().enumerate() {
        let range = [mapping.start, mapping.len()];
        for (flag, advice) in ADVICE {
            if mapping.has(flag) {
                list.try_call(libc::SYS_madvise, &[range[0], range[1], advice as u64]);
            }
        }
        if let Backing::Anonymous { name: Some(name) } = &mapping.backing {
            let name = planner.region.string(name);
            list.try_call(libc::SYS_prctl, &[PR_SET_VMA, 0, range[0], range[1], name]);
        }
        if mapping.has("lo") {
            let flags = u64::from(mapping.has("lf"));
            list.try_call(libc::SYS_mlock2, &[range[0], range[1], flags]);
        }
        let ours = !matches!(mapping.backing, Backing::Vdso | Backing::Vvar | Backing::Kernel);
        let mapped_otherwise =
            u64::from(mapping.prot) | RW != u64::from(mapping.prot) || keeping.parts.contains_key(&number);
        if ours && !mapping.shared && mapped_otherwise {
            list.call(libc::SYS_mprotect, &[range[0], range[1], u64::from(mapping.prot)]);
        }
        if mapping.has("sl") {
            list.try_call(SYS_MSEAL, &[range[0], range[1], 0]);
        }
    }
    if mm.deny_write_execute != 0 {
        list.call(libc::SYS_prctl, &[PR_SET_MDWE, u64::from(mm.deny_write_execute), 0, 0, 0]);
    }
    if let Some(on_fault) = mm.lock_future {
        const MCL_ONFAULT: u64 = 4;
        let flags = libc::MCL_FUTURE as u64 | if on_fault { MCL_ONFAULT } else { 0 };
        list.try_call(libc::SYS_mlockall, &[flags]);
    }
    Ok(())
}

/// Descriptor, offset, and whether the mapping is anonymous; `None` for what the kernel maps itself.
fn source(
    planner: &Planner<'_>,
    mapping: &Mapping,
) -> Result<Option<(Option<i32>, u64, bool)>, RestoreError> {
    Ok(match &mapping.backing {
        Backing::Anonymous { .. } => Some((None, 0, true)),
        Backing::File { file, offset } => {
            let fd = planner.files.get(*file).ok_or(RestoreError::Malformed("a mapping without a file"))?;
            Some((Some(fd.as_raw_fd()), *offset, false))
        }
        Backing::SharedMemory { space, offset } => {
            let fd =
                planner.files.spaces.get(space).ok_or(RestoreError::Malformed("a mapping without memory"))?;
            Some((Some(fd.as_raw_fd()), *offset, false))
        }
        Backing::Vdso | Backing::Vvar | Backing::Kernel | Backing::AioRing => None,
    })
}

/// Maps the kernel's vDSO with its data pages where they were (arch_prctl(2), ARCH_MAP_VDSO_64).
fn vdso(list: &mut List, mm: &AddressSpace) {
    let start = mm
        .mappings
        .iter()
        .filter(|m| matches!(m.backing, Backing::Vdso | Backing::Vvar | Backing::Kernel))
        .map(|m| m.start)
        .min();
    if let Some(start) = start
        && mm.mappings.iter().any(|m| m.backing == Backing::Vdso)
    {
        list.call(libc::SYS_arch_prctl, &[ARCH_MAP_VDSO_64, start]);
    }
}

/// prctl(PR_SET_MM_MAP): where the parts of the program are, and which file it is.
fn memory_map(planner: &mut Planner<'_>, list: &mut List, mm: &AddressSpace) -> Result<(), RestoreError> {
    let auxv = planner.region.words(&mm.auxv);
    let auxv_len = (mm.auxv.len() * 8) as u64;
    let exe = mm.exe.and_then(|id| planner.files.get(id)).map_or(u32::MAX, |fd| fd.as_raw_fd() as u32);
    let map = planner.region.words(&[
        mm.start_code,
        mm.end_code,
        mm.start_data,
        mm.end_data,
        mm.start_brk,
        mm.brk,
        mm.start_stack,
        mm.arg_start,
        mm.arg_end,
        mm.env_start,
        mm.env_end,
        auxv,
        auxv_len | u64::from(exe) << 32,
    ]);
    list.call(libc::SYS_prctl, &[PR_SET_MM, PR_SET_MM_MAP, map, 13 * 8, 0]);
    Ok(())
}
