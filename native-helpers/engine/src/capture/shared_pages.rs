//! Finds the pages that processes share copy-on-write, so that an image holds them once and a restore shares
//! them again.
//!
//! Two processes share a page when both have the same page frame (or the same place in swap) at the same
//! address, which /proc/PID/pagemap tells (proc(5)). A caller without CAP_SYS_ADMIN is told no frames; then
//! pages with the same contents are taken for shared. The work is linear in the pages of the processes: the
//! address spaces are walked side by side, a stretch at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::pages::{Run, holds_own_pages};
use crate::model::{AddressSpace, Mapping, Pid, SpaceId};
use crate::ranges::Ranges;

const PAGE: u64 = 4096;
/// Pages that are looked at together: a page table's worth.
const STRETCH: u64 = 512;
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// Frame number, or type and offset of a place in swap.
const PLACE: u64 = (1 << 55) - 1;

/// A process (or its copy-on-write twin) with the pages that it may share.
#[derive(Debug)]
pub struct Member {
    space: SpaceId,
    task: Pid,
    pages: Ranges,
}

impl Member {
    pub fn new(mm: &AddressSpace, task: Pid, own: &[Run]) -> Member {
        let own: Ranges = own.iter().map(|r| (r.start_page, r.start_page + r.pages)).collect();
        let eligible = mm.mappings.iter().filter(|m| !mm.ksm_merge && may_share(m));
        let eligible: Ranges = eligible.map(|m| (m.start / PAGE, m.end / PAGE)).collect();
        Member { space: mm.space, task, pages: own.intersection(&eligible) }
    }
}

/// What the kernel merges by itself (MADV_MERGEABLE) was not shared by a fork, and huge-page files have
/// rules of their own.
fn may_share(m: &Mapping) -> bool {
    holds_own_pages(m) && !m.has("mg") && !m.has("ht")
}

/// For each member the pages that an earlier one has: (the earlier one's space, pages).
pub fn find(members: &[Member]) -> io::Result<Vec<Vec<(SpaceId, Ranges)>>> {
    let mut found: Vec<Vec<(SpaceId, Ranges)>> = members.iter().map(|_| Vec::new()).collect();
    if members.len() < 2 {
        return Ok(found);
    }
    let sources: Vec<Source> = members.iter().map(Source::open).collect::<io::Result<_>>()?;
    for group in stretches(members).chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
        let first_page = group[0].0 * STRETCH;
        let near: Vec<&Source> = group.iter().map(|(_, member)| &sources[*member]).collect();
        for shared in compare(&near, first_page)? {
            let owner = near[shared.owner].member.space;
            let list = &mut found[group[shared.heir].1];
            let known = list.iter().position(|(space, _)| *space == owner).unwrap_or_else(|| {
                list.push((owner, Ranges::default()));
                list.len() - 1
            });
            list[known].1.push(shared.page, shared.page + 1);
        }
    }
    Ok(found)
}

/// Which stretches each member has pages in: (stretch, member), sorted.
fn stretches(members: &[Member]) -> Vec<(u64, usize)> {
    let mut all: Vec<(u64, usize)> = Vec::new();
    for (number, member) in members.iter().enumerate() {
        for (start, end) in member.pages.iter() {
            for stretch in start / STRETCH..=(end - 1) / STRETCH {
                if all.last() != Some(&(stretch, number)) {
                    all.push((stretch, number));
                }
            }
        }
    }
    all.sort_unstable();
    all
}

/// A member's files of /proc.
struct Source<'a> {
    member: &'a Member,
    pagemap: File,
}

/// One page that two members of a group share, the owner being the first that has it.
struct Shared {
    page: u64,
    owner: usize,
    heir: usize,
}

impl<'a> Source<'a> {
    fn open(member: &'a Member) -> io::Result<Source<'a>> {
        let pagemap = File::open(format!("/proc/{}/pagemap", member.task))?;
        Ok(Source { member, pagemap })
    }

    /// Where each of the eligible pages of a stretch is, 0 for the others. The bit that says whether the
    /// page is in memory stays.
    fn places(&self, first_page: u64) -> io::Result<Vec<u64>> {
        // Behind the last address that a program can have there is nothing to read.
        let mut raw = [0u8; STRETCH as usize * 8];
        let mut got = 0;
        while got < raw.len() {
            match self.pagemap.read_at(&mut raw[got..], first_page * 8 + got as u64) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let entries = raw.as_chunks::<8>().0.iter().map(|raw| u64::from_le_bytes(*raw));
        let mut places: Vec<u64> = entries.map(|e| e & (PRESENT | SWAPPED | PLACE)).collect();
        let mut at = 0;
        for (start, end) in self.member.pages.within(first_page, first_page + STRETCH).iter() {
            places[at..(start - first_page) as usize].fill(0);
            at = (end - first_page) as usize;
        }
        places[at..].fill(0);
        Ok(places)
    }

    fn read(&self, page: u64, buf: &mut [u8]) -> io::Result<()> {
        File::open(format!("/proc/{}/mem", self.member.task))?.read_exact_at(buf, page * PAGE)
    }
}

/// The shared pages of one stretch, ascending.
fn compare(group: &[&Source<'_>], first_page: u64) -> io::Result<Vec<Shared>> {
    let read = || group.iter().map(|s| s.places(first_page)).collect::<io::Result<Vec<_>>>();
    let before = read()?;
    let mut shared = Vec::new();
    let mut at_page: Vec<(u64, usize)> = Vec::new();
    for offset in 0..STRETCH as usize {
        at_page.clear();
        at_page.extend(before.iter().enumerate().map(|(n, places)| (places[offset], n)).filter(|p| p.0 != 0));
        if at_page.len() < 2 {
            continue;
        }
        let page = first_page + offset as u64;
        if at_page.iter().all(|(place, _)| place & PLACE == 0) {
            same_contents(group, page, &at_page, &mut shared)?;
            continue;
        }
        at_page.sort_unstable();
        for same in at_page.chunk_by(|a, b| a.0 == b.0).filter(|same| same[0].0 & PLACE != 0) {
            let owner = same[0].1;
            shared.extend(same[1..].iter().map(|(_, heir)| Shared { page, owner, heir: *heir }));
        }
    }
    if shared.is_empty() {
        return Ok(shared);
    }
    // A page that the kernel moved while one after the other was asked may have left its frame to another.
    let after = read()?;
    shared.retain(|s| {
        let offset = (s.page - first_page) as usize;
        [s.owner, s.heir].iter().all(|n| before[*n][offset] == after[*n][offset])
    });
    Ok(shared)
}

/// Members whose page has the same bytes, where frames are not told. Zeros are left out: they cost nothing.
fn same_contents(
    group: &[&Source<'_>],
    page: u64,
    there: &[(u64, usize)],
    shared: &mut Vec<Shared>,
) -> io::Result<()> {
    let mut owners: Vec<(usize, Vec<u8>)> = Vec::new();
    for (_, heir) in there {
        let mut bytes = vec![0u8; PAGE as usize];
        group[*heir].read(page, &mut bytes)?;
        if bytes.iter().all(|b| *b == 0) {
            continue;
        }
        match owners.iter().find(|(_, known)| *known == bytes) {
            Some((owner, _)) => shared.push(Shared { page, owner: *owner, heir: *heir }),
            None => owners.push((*heir, bytes)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use torpor_sys::memory::Mapping;

    /// Two views of our own memory: what is at the same address is the same page.
    #[test]
    fn a_process_shares_all_with_itself_and_nothing_that_is_not_eligible() {
        let pid = std::process::id() as Pid;
        let mut memory = Mapping::shared_at(0x5_0000_0000, 16 * PAGE as usize, true).unwrap();
        memory.bytes_mut().fill(7);
        let first = memory.address() / PAGE;
        let whole = || std::iter::once((first, first + 16)).collect::<Ranges>();
        let part: Ranges = [(first + 2, first + 4), (first + 9, first + 10)].into_iter().collect();
        let member = |space, pages| Member { space, task: pid, pages };
        let members = [member(0, whole()), member(1, part.clone()), member(2, whole())];
        let found = find(&members).unwrap();
        assert!(found[0].is_empty());
        assert_eq!(found[1], [(0, part)]);
        assert_eq!(found[2], [(0, whole())]);
    }

    #[test]
    fn without_frames_contents_decide() {
        let pid = std::process::id() as Pid;
        let mut memory = Mapping::shared_at(0x5_1000_0000, 2 * PAGE as usize, true).unwrap();
        memory.bytes_mut()[..PAGE as usize].fill(7);
        let first = memory.address() / PAGE;
        let members = [0, 1, 2].map(|space| Member { space, task: pid, pages: Ranges::default() });
        let sources: Vec<Source> = members.iter().map(|m| Source::open(m).unwrap()).collect();
        let group: Vec<&Source> = sources.iter().collect();
        let there = [(PRESENT, 0), (PRESENT, 1), (PRESENT, 2)];
        let mut shared = Vec::new();
        same_contents(&group, first, &there, &mut shared).unwrap();
        assert_eq!(shared.iter().map(|s| (s.owner, s.heir)).collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        shared.clear();
        same_contents(&group, first + 1, &there, &mut shared).unwrap();
        assert!(shared.is_empty(), "zeros");
    }
}
