//! What is read while the tree is still being built, so that the program finds it when it runs: the first of what
//! it touched first at an earlier wake.
//!
//! Bounded: it lies in the pager's own memory until there is a process to place it in, and the disk and the
//! processors are also the helper's, which builds the tree meanwhile. For that reason nothing else is read so early.

use super::stock::Stock;

/// Pieces of the working set (256 KiB each, at most) that are read before the program runs.
const HEAD_START: usize = 32;
/// So many blocks of the working set, in the order in which they were touched, are read in the order of the
/// file: near enough in time to be wanted together.
const TOGETHER: usize = 16;

/// Pieces in the order in which they are to be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The working set, as far as it is read at once.
    pub wanted: Vec<u32>,
    /// The rest of the working set.
    pub later: Vec<u32>,
}

impl Orders {
    /// `working_set` are blocks of the youngest image.
    pub fn of(stock: &Stock<'_>, working_set: &[u32]) -> Orders {
        Orders::among(stock.pieces().iter().map(|piece| piece.origin), working_set)
    }

    /// Of pieces by number: the block that each is of.
    fn among(pieces: impl Iterator<Item = u32>, working_set: &[u32]) -> Orders {
        let mut wanted = pieces_of(pieces, working_set);
        wanted.chunks_mut(TOGETHER).for_each(<[u32]>::sort_unstable);
        let later = wanted.split_off(wanted.len().min(HEAD_START));
        Orders { wanted, later }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        [&self.wanted, &self.later].into_iter().flatten().copied()
    }
}

/// The pieces of some blocks of the youngest image, in their order.
fn pieces_of(pieces: impl Iterator<Item = u32>, blocks: &[u32]) -> Vec<u32> {
    if blocks.is_empty() {
        return Vec::new();
    }
    let mut by_block: Vec<(u32, u32)> = (0..).zip(pieces).map(|(n, origin)| (origin, n)).collect();
    by_block.sort_unstable();
    let of = |block: u32| {
        let from = by_block.partition_point(|(origin, _)| *origin < block);
        by_block[from..].iter().take_while(move |(origin, _)| *origin == block).map(|(_, piece)| *piece)
    };
    blocks.iter().flat_map(|block| of(*block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred blocks, of which the sixth is two pieces.
    fn pieces() -> impl Iterator<Item = u32> {
        (0..100u32).flat_map(|block| (0..1 + usize::from(block == 5)).map(move |_| block))
    }

    #[test]
    fn what_was_touched_comes_in_the_order_of_the_file_where_it_is_near_in_time() {
        let orders = Orders::among(pieces(), &[50, 5, 40]);
        assert_eq!((orders.wanted, orders.later), (vec![5, 6, 41, 51], vec![]));
        assert_eq!(Orders::among(pieces(), &[]), Orders::default());
    }

    #[test]
    fn a_large_working_set_is_read_in_part() {
        let all: Vec<u32> = (0..90).rev().collect();
        let orders = Orders::among(pieces(), &all);
        assert_eq!((orders.wanted.len(), orders.later.len()), (HEAD_START, 91 - HEAD_START));
        // Sorted among neighbours in time only.
        assert_eq!(orders.wanted[..2], [75, 76]);
        assert_eq!(orders.iter().count(), 91);
    }
}
