//! Pages that processes shared copy-on-write are shared again, by the same means: fork(2).
//!
//! A process that others share pages with maps and loads those pages before it makes anybody, and whoever
//! it makes then has them. Later, when a process lays out its memory, it keeps of what it was born with what
//! is its own, and drops the rest. Which process has to load what follows from who makes whom: a page is
//! loaded by the nearest common maker of those that have it. Loading goes in *rounds*, since what is loaded
//! below has to wait for what is loaded above.
//!
//! Sharing is a saving, not a promise: pages that can't be shared this way (their processes are made by the
//! helper each, or the mappings differ too much) are loaded into each process, as any other page.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::RestoreError;
use super::lineage::{Lineage, Step, Top};
use crate::model::{Backing, Mapping, Pid, Process, Space, SpaceId, SystemState};
use crate::ranges::{PageSources, Ranges};

const PAGE: u64 = 4096;
/// Pages of 47 bits of addresses.
const PAGE_LIMIT: u64 = 1 << 35;
/// Rounds of loading at most: each takes a pipe. What would be deeper is not shared.
const MAX_ROUNDS: usize = 8;

/// A range that a process maps before it makes others, as `like` is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    pub start: u64,
    pub end: u64,
    pub like: Mapping,
    /// Mapped by the process itself; else it was born with it.
    pub fresh: bool,
}

/// Pages that a process loads before it makes others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    pub space: SpaceId,
    pub pages: Ranges,
    /// Pages of these where zeros have to be written: something else is there.
    pub hiding: Ranges,
}

/// What one process or stand-in does for sharing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// What it keeps of what it is born with, and what it maps, until it lays out its memory: disjoint, sorted.
    pub areas: Vec<Area>,
    pub loads: Vec<Load>,
    /// The round of its loads.
    pub round: usize,
    /// Where the contents of the pages come from that it has once its loads are done.
    contents: PageSources,
}

/// How a process gets from what it was born with to its own memory.
#[derive(Debug, Default)]
pub struct Keeping {
    /// (start, end) of what goes.
    pub unmap: Vec<(u64, u64)>,
    /// (start, end) by number of the mapping: parts that are there already.
    pub parts: HashMap<usize, Vec<(u64, u64)>>,
    /// (start, end) of pages that are not its own.
    pub discard: Vec<(u64, u64)>,
}

/// The pages that an image has of one space.
#[derive(Debug, Default)]
pub struct StoredPages {
    pub all: Ranges,
    /// Those that are not known to be zeros.
    pub data: Ranges,
}

#[derive(Debug, Default)]
pub struct Sharing {
    nodes: HashMap<Pid, Node>,
    /// Who loads in each round.
    pub rounds: Vec<Vec<Pid>>,
    /// Pages of a space that its process has by the rounds.
    present: HashMap<SpaceId, Ranges>,
    /// Pages of a space with contents in the image: loaded over whatever is there.
    stored: HashMap<SpaceId, Ranges>,
    /// Spaces that pages of a space have to be copied to: (the other, pages).
    copies: HashMap<SpaceId, Vec<(SpaceId, Ranges)>>,
    /// Numbers of the mappings, by space, that no page is loaded into.
    reserved: HashMap<SpaceId, HashSet<usize>>,
}

/// What the state says of one space.
struct Member<'a> {
    process: &'a Process,
    inherits: Vec<(SpaceId, Ranges)>,
}

impl Sharing {
    /// Plans the sharing of all processes; `stored` tells what the image has of a space.
    pub fn plan(
        state: &SystemState,
        lineage: &Lineage,
        stored: impl Fn(SpaceId) -> StoredPages,
    ) -> Result<Sharing, RestoreError> {
        let members = members(state)?;
        let mut sharing = Sharing::default();
        for (space, member) in &members {
            sharing.reserved.insert(*space, reserved(member, || stored(*space).all));
        }
        let owned = owned_pages(&members);
        if owned.is_empty() {
            return Ok(sharing);
        }
        for space in members.keys() {
            let stored = stored(*space);
            if owned.get(space).is_some_and(|pages| !pages.difference(&stored.all).is_empty()) {
                return Err(RestoreError::Malformed("inherited pages that the image does not have"));
            }
            sharing.stored.insert(*space, stored.data);
        }
        let family = Family::of(lineage);
        // By loader and owner: pages that an heir can have only if the loader loads them.
        let mut loaders: HashMap<Pid, BTreeMap<SpaceId, Ranges>> = HashMap::new();
        for member in members.values() {
            for (from, pages) in &member.inherits {
                if let Some(loader) = family.common(members[from].process.pid, member.process.pid) {
                    let known = loaders.entry(loader).or_default().entry(*from).or_default();
                    *known = known.union(pages);
                }
            }
        }
        for pid in &family.order {
            let above = family.makers.get(pid).and_then(|maker| sharing.nodes.get(maker));
            let mut node = match above {
                Some(above) if family.wants(*pid, &members, &above.contents) => Node {
                    areas: above.areas.iter().map(|a| Area { fresh: false, ..a.clone() }).collect(),
                    round: above.round + usize::from(!above.loads.is_empty()),
                    contents: above.contents.clone(),
                    ..Node::default()
                },
                _ => Node::default(),
            };
            if node.round < MAX_ROUNDS {
                let wanted = loaders.remove(pid).unwrap_or_default();
                wanted.into_iter().for_each(|(space, pages)| node.load(space, &pages, &members));
            }
            if !node.loads.is_empty() {
                if sharing.rounds.len() <= node.round {
                    sharing.rounds.resize_with(node.round + 1, Vec::new);
                }
                sharing.rounds[node.round].push(*pid);
            }
            sharing.nodes.insert(*pid, node);
        }
        sharing.settle(&members, &owned);
        Ok(sharing)
    }

    /// Works out which pages are where they belong, and which have to be copied.
    fn settle(&mut self, members: &HashMap<SpaceId, Member<'_>>, owned: &HashMap<SpaceId, Ranges>) {
        for (space, member) in members {
            let mut present = Ranges::default();
            if let Some(node) = self.nodes.get(&member.process.pid) {
                let own = owned.get(space).map(|pages| (*space, pages));
                let wanted = member.inherits.iter().map(|(from, pages)| (*from, pages)).chain(own);
                for (from, pages) in wanted {
                    let there = node.contents.of(from).map(|c| c.intersection(pages)).unwrap_or_default();
                    present = present.union(&node.usable(member.process, &there));
                }
            }
            for (from, pages) in &member.inherits {
                let missing = pages.difference(&present);
                if !missing.is_empty() {
                    self.copies.entry(*from).or_default().push((*space, missing));
                }
            }
            self.present.insert(*space, present);
        }
    }

    pub fn node(&self, pid: Pid) -> Option<&Node> {
        self.nodes.get(&pid)
    }

    /// Pages of `space` that are in place before the rest is loaded.
    pub fn present(&self, space: SpaceId) -> Option<&Ranges> {
        self.present.get(&space).filter(|pages| !pages.is_empty())
    }

    /// The other spaces that pages of `space` have to be written to.
    pub fn copies(&self, space: SpaceId) -> &[(SpaceId, Ranges)] {
        self.copies.get(&space).map_or(&[], Vec::as_slice)
    }

    /// How a process gets to its own memory, which may come `later` in part.
    pub fn keeping(&self, process: &Process, later: bool) -> Keeping {
        let mut keeping = Keeping::default();
        let (Some(node), Some(mm)) = (self.nodes.get(&process.pid), &process.mm) else { return keeping };
        let present = self.present.get(&mm.space).cloned().unwrap_or_default();
        let mut kept = Ranges::default();
        for area in &node.areas {
            let mut at = area.start;
            let first = first_mapping(&mm.mappings, area.start);
            for (number, mapping) in mm.mappings.iter().enumerate().skip(first) {
                let Some((start, end)) = overlap(mapping, area) else { break };
                if !alike(mapping, &area.like) || present.within(start / PAGE, end / PAGE).is_empty() {
                    continue;
                }
                keeping.parts.entry(number).or_default().push((start, end));
                kept.push(start / PAGE, end / PAGE);
                if at < start {
                    keeping.unmap.push((at, start));
                }
                at = end;
            }
            if at < area.end {
                keeping.unmap.push((at, area.end));
            }
        }
        let mut foreign = node.contents.all().intersection(&kept).difference(&present);
        // What is loaded at once is loaded over whatever is there; what comes later has to be missing.
        if let Some(stored) = self.stored.get(&mm.space).filter(|_| !later) {
            foreign = foreign.difference(stored);
        }
        keeping.discard = foreign.iter().map(|(start, end)| (start * PAGE, end * PAGE)).collect();
        keeping
    }

    /// Whether a mapping of a space, by its number, only keeps addresses: it has no pages and can't be written to.
    pub fn is_reserved(&self, space: SpaceId, number: usize) -> bool {
        self.reserved.get(&space).is_some_and(|numbers| numbers.contains(&number))
    }

    /// How many calls the sharing takes at most, for the room of the lists.
    pub fn calls(&self) -> usize {
        let node = |n: &Node| 4 * n.areas.len() + n.contents.all().runs();
        let own: usize = self.present.values().map(|p| 2 * p.runs()).sum();
        own + self.nodes.values().map(|n| 8 + node(n)).sum::<usize>()
    }
}

impl Node {
    /// Takes the pages of an owner among what it loads, as far as mappings allow.
    fn load(&mut self, space: SpaceId, pages: &Ranges, members: &HashMap<SpaceId, Member<'_>>) {
        let Some(owner) = members.get(&space) else { return };
        let heirs = members.values().filter(|m| m.inherits.iter().any(|(from, _)| *from == space));
        let heirs: Vec<&Process> = heirs.map(|m| m.process).collect();
        let loaded = self.loads.iter().fold(Ranges::default(), |all, load| all.union(&load.pages));
        let mut pages = pages.difference(&loaded);
        if let Some(there) = self.contents.of(space) {
            pages = pages.difference(there);
        }
        let mut load = Load { space, ..Load::default() };
        for mapping in mappings(owner.process) {
            let mut here = pages.within(mapping.start / PAGE, mapping.end / PAGE);
            if here.is_empty() || !may_be_shared(mapping) {
                continue;
            }
            let (start, end) = hull(mapping, &heirs);
            let mut at = start;
            let mut fresh = Vec::new();
            let mut map = |from: u64, to: u64| {
                if from < to && !here.within(from / PAGE, to / PAGE).is_empty() {
                    fresh.push(Area { start: from, end: to, like: mapping.clone(), fresh: true });
                }
            };
            let first = self.areas.partition_point(|a| a.end <= start);
            let there = self.areas[first..].iter().take_while(|a| a.start < end);
            let mut unfit = Ranges::default();
            for area in there {
                map(at, area.start);
                at = area.end;
                if !alike(mapping, &area.like) {
                    unfit.push(area.start / PAGE, area.end / PAGE);
                }
            }
            map(at, end);
            here = here.difference(&unfit);
            if !matches!(mapping.backing, Backing::Anonymous { .. }) {
                load.hiding = load.hiding.union(&here);
            }
            load.pages = load.pages.union(&here);
            for area in fresh {
                let at = self.areas.partition_point(|a| a.start < area.start);
                self.areas.insert(at, area);
            }
        }
        if load.pages.is_empty() {
            return;
        }
        load.hiding = load.hiding.union(&load.pages.intersection(&self.contents.all()));
        self.contents.overlay(&load.pages, space);
        self.loads.push(load);
    }

    /// Which of `pages` lie where a process has the mapping that they were loaded into.
    fn usable(&self, process: &Process, pages: &Ranges) -> Ranges {
        let Some(mm) = &process.mm else { return Ranges::default() };
        let mut parts = Ranges::default();
        for area in &self.areas {
            let first = first_mapping(&mm.mappings, area.start);
            for mapping in &mm.mappings[first..] {
                let Some((start, end)) = overlap(mapping, area) else { break };
                if alike(mapping, &area.like) {
                    parts.push(start / PAGE, end / PAGE);
                }
            }
        }
        pages.intersection(&parts)
    }
}

fn mappings(process: &Process) -> impl Iterator<Item = &Mapping> {
    process.mm.iter().flat_map(|mm| &mm.mappings)
}

/// Which mappings only keep addresses. Pages may be there all the same: userfaultfd(2) and ptrace(2) put them where
/// the program itself can't write.
fn reserved(member: &Member<'_>, stored: impl FnOnce() -> Ranges) -> HashSet<usize> {
    let able = mappings(member.process).enumerate().filter(|(_, m)| m.is_reservation());
    let mut able = able.peekable();
    if able.peek().is_none() {
        return HashSet::new();
    }
    let pages = member.inherits.iter().fold(stored(), |all, (_, pages)| all.union(pages));
    let empty = |m: &Mapping| pages.within(m.start / PAGE, m.end / PAGE).is_empty();
    able.filter(|(_, m)| empty(m)).map(|(number, _)| number).collect()
}

/// The range of `mapping`, and of what others that have pages of its owner map in its place: a stack that grew
/// in one of them stays one mapping.
fn hull(mapping: &Mapping, heirs: &[&Process]) -> (u64, u64) {
    let mut hull = (mapping.start, mapping.end);
    for mm in heirs.iter().filter_map(|p| p.mm.as_ref()) {
        let first = first_mapping(&mm.mappings, mapping.start);
        let same = mm.mappings[first..].iter().take_while(|m| m.start < mapping.end);
        for m in same.filter(|m| alike(m, mapping)) {
            hull = (hull.0.min(m.start), hull.1.max(m.end));
        }
    }
    hull
}

/// Number of the first mapping that reaches beyond `address`.
fn first_mapping(mappings: &[Mapping], address: u64) -> usize {
    mappings.partition_point(|m| m.end <= address)
}

fn overlap(mapping: &Mapping, area: &Area) -> Option<(u64, u64)> {
    let (start, end) = (mapping.start.max(area.start), mapping.end.min(area.end));
    (start < end).then_some((start, end))
}

fn may_be_shared(m: &Mapping) -> bool {
    let kind =
        matches!(m.backing, Backing::Anonymous { .. } | Backing::File { .. } | Backing::SharedMemory { .. });
    kind && !m.shared && !m.has("ht")
}

/// Whether two mappings may be parts of one, but for protection and advice.
fn alike(a: &Mapping, b: &Mapping) -> bool {
    let backing = match (&a.backing, &b.backing) {
        (Backing::Anonymous { .. }, Backing::Anonymous { .. }) => true,
        (Backing::File { file, offset }, Backing::File { file: other, offset: at }) => {
            file == other && offset.wrapping_sub(a.start) == at.wrapping_sub(b.start)
        }
        (Backing::SharedMemory { space, offset }, Backing::SharedMemory { space: other, offset: at }) => {
            space == other && offset.wrapping_sub(a.start) == at.wrapping_sub(b.start)
        }
        _ => false,
    };
    backing && may_be_shared(a) && may_be_shared(b) && ["nr", "gd"].iter().all(|f| a.has(f) == b.has(f))
}

/// Checks what the state says of inherited pages.
fn members(state: &SystemState) -> Result<HashMap<SpaceId, Member<'_>>, RestoreError> {
    let mut members = HashMap::new();
    for process in &state.processes {
        let Some(mm) = &process.mm else { continue };
        let mut inherits = Vec::new();
        for inherited in &mm.inherits {
            let pages = Ranges::from_flat(&inherited.pages, PAGE_LIMIT);
            let pages = pages.ok_or(RestoreError::Malformed("inherited pages out of order"))?;
            inherits.push((inherited.space, pages));
        }
        let described = state.spaces.get(mm.space as usize);
        if !matches!(described, Some(Space::AddressSpace { pid }) if *pid == process.pid) {
            return Err(RestoreError::Malformed("an address space of another process"));
        }
        members.insert(mm.space, Member { process, inherits });
    }
    for member in members.values() {
        let mut all = Ranges::default();
        for (from, pages) in &member.inherits {
            let owner = members.get(from).ok_or(RestoreError::Malformed("pages inherited from nobody"))?;
            let further = owner.inherits.iter().any(|(_, own)| !own.intersection(pages).is_empty());
            if further || !all.intersection(pages).is_empty() {
                return Err(RestoreError::Malformed("pages inherited twice"));
            }
            all = all.union(pages);
        }
    }
    Ok(members)
}

/// The pages of each space that others inherit.
fn owned_pages(members: &HashMap<SpaceId, Member<'_>>) -> HashMap<SpaceId, Ranges> {
    let mut owned: HashMap<SpaceId, Ranges> = HashMap::new();
    for (from, pages) in members.values().flat_map(|m| &m.inherits) {
        let known = owned.entry(*from).or_default();
        *known = known.union(pages);
    }
    owned
}

/// Who makes whom, intermediates left out: what they are born with, those they make are born with.
#[derive(Debug, Default)]
struct Family {
    makers: HashMap<Pid, Pid>,
    /// Makers before those they make.
    order: Vec<Pid>,
    /// Each with all below it.
    below: HashMap<Pid, HashSet<Pid>>,
}

impl Family {
    fn of(lineage: &Lineage) -> Family {
        let mut family = Family::default();
        let mut rest = Vec::new();
        for top in &lineage.tops {
            match top {
                Top::Process(pid) => rest.push(*pid),
                Top::SessionStandIn { pid, makes } => {
                    family.order.push(*pid);
                    makes.iter().for_each(|child| family.born(*child, *pid, &mut rest));
                }
            }
        }
        while let Some(pid) = rest.pop() {
            family.order.push(pid);
            for step in lineage.steps.get(&pid).into_iter().flatten() {
                match step {
                    Step::Make(child) | Step::MakeOrphan { pid: child, .. } => {
                        family.born(*child, pid, &mut rest);
                    }
                    Step::SessionStandIn { makes, .. } => {
                        makes.iter().for_each(|child| family.born(*child, pid, &mut rest));
                    }
                    Step::Session | Step::StandIn { .. } => {}
                }
            }
        }
        for pid in family.order.iter().rev() {
            let below = family.below.entry(*pid).or_default();
            below.insert(*pid);
            let below = below.clone();
            if let Some(maker) = family.makers.get(pid) {
                family.below.entry(*maker).or_default().extend(below);
            }
        }
        family
    }

    fn born(&mut self, child: Pid, maker: Pid, rest: &mut Vec<Pid>) {
        self.makers.insert(child, maker);
        rest.push(child);
    }

    /// The nearest process that makes both, or is one of them and makes the other.
    fn common(&self, owner: Pid, heir: Pid) -> Option<Pid> {
        let mut candidate = owner;
        while !self.below.get(&candidate)?.contains(&heir) {
            candidate = *self.makers.get(&candidate)?;
        }
        Some(candidate)
    }

    /// Whether a process, or one below it, can use any of these contents.
    fn wants(&self, pid: Pid, members: &HashMap<SpaceId, Member<'_>>, contents: &PageSources) -> bool {
        let Some(below) = self.below.get(&pid) else { return false };
        members.iter().filter(|(_, m)| below.contains(&m.process.pid)).any(|(space, member)| {
            contents.of(*space).is_some()
                || member.inherits.iter().any(|(from, _)| contents.of(*from).is_some())
        })
    }
}
