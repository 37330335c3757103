//! Sets of page numbers as sorted runs, and maps from page numbers to where their contents come from.

/// A set of numbers: half-open runs, sorted, neither touching nor overlapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// From (first, count) pairs in one list, as images hold them; `None` where they are not in order, empty
    /// or beyond `limit`.
    pub fn from_flat(flat: &[u64], limit: u64) -> Option<Ranges> {
        let (pairs, rest) = flat.as_chunks::<2>();
        let mut ranges = Ranges::default();
        let mut last = 0;
        for [first, count] in pairs {
            let end = first.checked_add(*count)?;
            if *first < last || *count == 0 || end > limit {
                return None;
            }
            ranges.push(*first, end);
            last = end;
        }
        rest.is_empty().then_some(ranges)
    }

    /// As (first, count) pairs in one list.
    pub fn to_flat(&self) -> Vec<u64> {
        self.0.iter().flat_map(|(start, end)| [*start, end - start]).collect()
    }

    /// Adds a run that begins at or behind the last one's start.
    pub fn push(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => self.0.push((start, end)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first number, and the one behind the last.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// How many runs.
    pub fn runs(&self) -> usize {
        self.0.len()
    }

    /// How many numbers.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    pub fn union(&self, other: &Ranges) -> Ranges {
        let mut all: Vec<(u64, u64)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut union = Ranges::default();
        all.into_iter().for_each(|(start, end)| union.push(start, end));
        union
    }

    pub fn intersection(&self, other: &Ranges) -> Ranges {
        let mut common = Ranges::default();
        let (mut i, mut j) = (0, 0);
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            common.push(a.0.max(b.0), a.1.min(b.1));
            if a.1 <= b.1 { i += 1 } else { j += 1 }
        }
        common
    }

    pub fn difference(&self, other: &Ranges) -> Ranges {
        let mut left = Ranges::default();
        let mut j = 0;
        for &(mut start, end) in &self.0 {
            while other.0.get(j).is_some_and(|b| b.1 <= start) {
                j += 1;
            }
            let mut k = j;
            while let Some(&(from, to)) = other.0.get(k).filter(|b| b.0 < end) {
                left.push(start, from.max(start));
                start = to.max(start);
                k += 1;
            }
            left.push(start, end.max(start));
        }
        left
    }

    /// The numbers from `start` up to `end`.
    pub fn within(&self, start: u64, end: u64) -> Ranges {
        let mut part = Ranges::default();
        let first = self.0.partition_point(|r| r.1 <= start);
        for (from, to) in self.0[first..].iter().take_while(|r| r.0 < end) {
            part.push((*from).max(start), (*to).min(end));
        }
        part
    }

    /// Which of the 64 numbers from `base` on are in the set.
    pub fn mask(&self, base: u64) -> u64 {
        self.within(base, base + 64).iter().fold(0, |mask, (start, end)| {
            let ones = end - start;
            let run = if ones == 64 { u64::MAX } else { (1 << ones) - 1 };
            mask | run << (start - base)
        })
    }
}

impl FromIterator<(u64, u64)> for Ranges {
    /// Runs in any order, which may overlap.
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(runs: I) -> Ranges {
        let mut all: Vec<(u64, u64)> = runs.into_iter().collect();
        all.sort_unstable();
        let mut ranges = Ranges::default();
        all.into_iter().for_each(|(start, end)| ranges.push(start, end));
        ranges
    }
}

/// Where the contents of pages come from: a number for each set of pages; no page has two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageSources(Vec<(u32, Ranges)>);

impl PageSources {
    /// Lets `pages` come from `source`, wherever they came from before.
    pub fn overlay(&mut self, pages: &Ranges, source: u32) {
        let mut there = pages.clone();
        for (known, ranges) in &mut self.0 {
            if *known == source {
                there = there.union(ranges);
            } else {
                *ranges = ranges.difference(pages);
            }
        }
        self.0.retain(|(known, ranges)| *known != source && !ranges.is_empty());
        self.0.push((source, there));
    }

    /// The pages that come from `source`.
    pub fn of(&self, source: u32) -> Option<&Ranges> {
        self.0.iter().find(|(known, _)| *known == source).map(|(_, ranges)| ranges)
    }

    /// All pages.
    pub fn all(&self) -> Ranges {
        self.0.iter().fold(Ranges::default(), |all, (_, ranges)| all.union(ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.iter().flat_map(|(start, end)| start..end).collect()
    }

    fn some_ranges() -> impl Strategy<Value = Ranges> {
        proptest::collection::vec((0u64..200, 1u64..20), 0..12)
            .prop_map(|runs| runs.into_iter().map(|(start, len)| (start, start + len)).collect())
    }

    proptest! {
        #[test]
        fn runs_behave_as_sets(a in some_ranges(), b in some_ranges(), base in 0u64..200) {
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(set(&a.union(&b)), x.union(&y).copied().collect());
            prop_assert_eq!(set(&a.intersection(&b)), x.intersection(&y).copied().collect());
            prop_assert_eq!(set(&a.difference(&b)), x.difference(&y).copied().collect());
            let mask = a.mask(base);
            for bit in 0..64 {
                prop_assert_eq!(mask >> bit & 1 == 1, x.contains(&(base + bit)));
            }
            prop_assert_eq!(Ranges::from_flat(&a.to_flat(), 1000), Some(a));
        }

        #[test]
        fn the_last_source_counts(steps in proptest::collection::vec((some_ranges(), 0u32..3), 0..6)) {
            let mut sources = PageSources::default();
            let mut known = std::collections::BTreeMap::new();
            for (ranges, source) in &steps {
                sources.overlay(ranges, *source);
                set(ranges).into_iter().for_each(|page| { known.insert(page, *source); });
            }
            for source in 0..3 {
                let expected: BTreeSet<u64> = known.iter().filter(|k| *k.1 == source).map(|k| *k.0).collect();
                let found = sources.of(source).map(set).unwrap_or_default();
                prop_assert_eq!(found, expected);
            }
            prop_assert_eq!(set(&sources.all()), known.keys().copied().collect());
        }
    }

    #[test]
    fn lists_out_of_order_are_refused() {
        assert_eq!(Ranges::from_flat(&[5, 2, 6, 1], 100), None);
        assert_eq!(Ranges::from_flat(&[5, 0], 100), None);
        assert_eq!(Ranges::from_flat(&[5, 2, 9], 100), None);
        assert_eq!(Ranges::from_flat(&[99, 2], 100), None);
        assert_eq!(Ranges::from_flat(&[u64::MAX, 2], u64::MAX), None);
    }
}
