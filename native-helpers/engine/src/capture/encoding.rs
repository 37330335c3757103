//! Reads and encodes blocks on several processors, and hands them on in their order.

use std::sync::mpsc::sync_channel;
use std::thread;

use torpor_image::{
    BLOCK_PAGES, BlockEncoder, Compression, EncodedBlock, PAGE_SIZE, PageBuffer, PlannedBlock, PlannedBlocks,
};

/// Each thread has memory of its own, and more of them encode faster than a disk writes.
const MAX_THREADS: usize = 8;
/// Blocks that each may be ahead of the one that is handed on.
const AHEAD: usize = 4;

/// Has `encode` make every block, with room for its pages, and `take` take each, in order. The first error ends it.
pub fn in_order<E: Send>(
    blocks: &PlannedBlocks,
    compression: Compression,
    encode: impl Fn(&mut BlockEncoder, &PlannedBlock, &mut [u8]) -> Result<EncodedBlock<'static>, E> + Sync,
    mut take: impl FnMut(&PlannedBlock, &EncodedBlock<'static>) -> Result<(), E>,
) -> Result<(), E> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let encode = &encode;
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..threads)
            .map(|lane| {
                let (encoded, lane_end) = sync_channel(AHEAD);
                let own = blocks.clone().skip(lane).step_by(threads);
                scope.spawn(move || {
                    let mut encoder = BlockEncoder::new(compression);
                    let mut pages = PageBuffer::new(BLOCK_PAGES * PAGE_SIZE);
                    for block in own {
                        // Nobody takes it any more where one before it has failed.
                        if encoded.send(encode(&mut encoder, &block, &mut pages)).is_err() {
                            return;
                        }
                    }
                });
                lane_end
            })
            .collect();
        for (number, block) in blocks.clone().enumerate() {
            let encoded = lanes[number % threads].recv().expect("a thread encodes all of its blocks");
            take(&block, &encoded?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use torpor_image::{Layout, PageRun, PageSource, Plan, Section};

    const BLOCKS: u64 = 200;

    fn blocks() -> PlannedBlocks {
        let run = PageRun {
            space: 0,
            start_page: 0,
            pages: BLOCKS * BLOCK_PAGES as u64,
            section: Section::Physical,
            source: PageSource::Stored,
        };
        Layout::new(Plan { state_len: 1, runs: vec![run] }).unwrap().blocks()
    }

    #[test]
    fn blocks_come_in_their_order_however_long_each_takes() {
        let mut taken = Vec::new();
        in_order(
            &blocks(),
            Compression::Lz4,
            |encoder, block, pages| {
                std::thread::sleep(std::time::Duration::from_micros(block.base_page % 7 * 100));
                pages.fill(block.base_page as u8);
                Ok::<_, ()>(encoder.encode(block, block.pages, pages).into_owned())
            },
            |block, encoded| {
                taken.push(block.base_page);
                assert!(encoded.stored_len() < 4096);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(taken, (0..BLOCKS).map(|n| n * BLOCK_PAGES as u64).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_ends_it_whoever_makes_it() {
        let (mut taken, bad) = (0, 20 * BLOCK_PAGES as u64);
        let failed = in_order(
            &blocks(),
            Compression::Lz4,
            |_, block, _| if block.base_page == bad { Err("read") } else { Ok(EncodedBlock::absent(block)) },
            |_, _| {
                taken += 1;
                Ok(())
            },
        );
        assert_eq!((failed, taken), (Err("read"), 20));
        let failed = in_order(
            &blocks(),
            Compression::Lz4,
            |_, block, _| Ok(EncodedBlock::absent(block)),
            |block, _| if block.base_page == bad { Err("written") } else { Ok(()) },
        );
        assert_eq!(failed, Err("written"));
    }
}
