//! Pages that were copied while the tree stood still, in our own memory until they are written.

use std::io;

const PAGE: u64 = 4096;

/// Pages of one space, one after the other in one buffer.
#[derive(Debug, Default)]
pub struct KeptPages {
    /// First page and count, in order; the bytes of each follow those of the one before.
    runs: Vec<(u64, u64)>,
    /// How many pages come before each run.
    before: Vec<u64>,
    /// So many of the bytes are of pages.
    used: usize,
    bytes: Vec<u8>,
}

impl KeptPages {
    /// With room for so many pages.
    pub fn with_room(pages: u64) -> KeptPages {
        KeptPages { bytes: Vec::with_capacity((pages * PAGE) as usize), ..KeptPages::default() }
    }

    /// In memory that is there already, whatever it holds; more is taken where that is not enough.
    pub fn within(bytes: Vec<u8>) -> KeptPages {
        KeptPages { bytes, ..KeptPages::default() }
    }

    /// Adds pages behind all that are there; `fill` gets their room, what it holds is arbitrary.
    pub fn add(
        &mut self,
        first: u64,
        pages: u64,
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        debug_assert!(self.runs.last().is_none_or(|(start, count)| start + count <= first));
        let (at, end) = (self.used, self.used + (pages * PAGE) as usize);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        fill(&mut self.bytes[at..end])?;
        self.used = end;
        self.runs.push((first, pages));
        self.before.push(at as u64 / PAGE);
        Ok(())
    }

    /// Copies `pages` pages from `first` on.
    ///
    /// # Errors
    /// UnexpectedEof where one of them was not kept.
    pub fn read(&self, mut first: u64, pages: u64, mut buf: &mut [u8]) -> io::Result<()> {
        let end = first + pages;
        while first < end {
            let run = self.runs.partition_point(|(start, _)| *start <= first).checked_sub(1);
            let found = run.map(|run| (self.runs[run], self.before[run]));
            let Some(((start, count), before)) = found.filter(|((start, count), _)| first < start + count)
            else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let here = (start + count).min(end) - first;
            let from = ((before + first - start) * PAGE) as usize;
            let (now, rest) = buf.split_at_mut((here * PAGE) as usize);
            now.copy_from_slice(&self.bytes[from..from + now.len()]);
            buf = rest;
            first += here;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_across_runs_and_nothing_else_is() {
        let mut kept = KeptPages::within(vec![7; 2 * PAGE as usize]);
        for (first, pages) in [(10, 2), (12, 1), (20, 2)] {
            let fill = |buf: &mut [u8]| {
                for (page, bytes) in (first..).zip(buf.chunks_exact_mut(PAGE as usize)) {
                    bytes.fill(page as u8);
                }
                Ok(())
            };
            kept.add(first, pages, fill).unwrap();
        }
        let read = |first, pages: u64| {
            let mut buf = vec![0; (pages * PAGE) as usize];
            kept.read(first, pages, &mut buf).map(|()| buf[..].chunks(PAGE as usize).map(|p| p[7]).collect())
        };
        assert_eq!(read(10, 3).unwrap(), [10, 11, 12]);
        assert_eq!(read(21, 1).unwrap(), [21]);
        for (first, pages) in [(9, 1), (12, 2), (13, 1), (19, 2), (21, 2)] {
            let missing: io::Result<Vec<u8>> = read(first, pages);
            assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{first}, {pages}");
        }
    }
}
