//! What is written is read back, whatever the shape of memory.

mod support;

use proptest::prelude::*;
use support::*;
use torpor_image::*;

#[test]
fn sample_in_every_compression() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let (summary, file) = sample(compression);
        let report = verify(&file).unwrap();
        assert_eq!(report.blocks, summary.blocks);
        let reader = ImageReader::open(&file[..]).unwrap();
        assert_eq!(reader.content_hash(), summary.content_hash);
        assert_eq!(reader.info(), &info(7));
        assert_eq!(reader.state_bytes().unwrap(), b"invented system state of no program");
        assert_eq!(reader.sizes(Section::Physical).bytes(), summary.physical_bytes);
        assert_eq!(reader.sizes(Section::Virtual).bytes(), summary.virtual_bytes);
        let mut buf = BlockBuf::new();
        for (space, pages) in [(1, 5..25), (1, 60..72), (2, 0x7f_fff0..0x7f_fff2), (3, 3..4)] {
            for page in pages {
                assert_eq!(read_page(&reader, space, page, &mut buf), Some(page_of(space, page, 0)));
            }
        }
        for (space, page) in [(0, 5), (1, 4), (1, 25), (1, 72), (2, 5), (3, 4), (4, 3), (1, u64::MAX)] {
            assert_eq!(reader.find(space, page), None, "{space} {page}");
        }
    }
}

#[test]
fn neighbours_are_read_together() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        // 40 blocks without a gap, and one that is read alone.
        let run = |space, start_page, pages| PageRun {
            space,
            start_page,
            pages,
            section: Section::Physical,
            source: PageSource::Stored,
        };
        let memory = vec![run(1, 0, 40 * 64), run(2, 3, 1)];
        let (_, file) = write(info(1), b"", memory, compression, 0);
        let reader = ImageReader::open(&file[..]).unwrap();
        let all: Vec<u32> = (0..reader.blocks().len() as u32).collect();
        let (mut buf, mut run) = (BlockBuf::new(), BlockRun::new());
        let (mut rest, mut requests) = (&all[..], 0);
        while !rest.is_empty() {
            let count = reader.run_of(rest.iter().copied());
            reader.read_run(&&file[..], &rest[..count], &mut run).unwrap();
            assert_eq!(run.len(), count);
            for (at, number) in rest[..count].iter().enumerate() {
                let expected = reader.read_block(*number as usize, &mut buf).unwrap();
                assert_eq!(run.get(at), (*number, expected));
                assert_eq!(run.find(*number), Some(expected));
            }
            rest = &rest[count..];
            requests += 1;
        }
        assert!(requests < all.len(), "{requests} requests for {} blocks", all.len());
        // Not in the order of the file: one by one.
        assert_eq!(reader.run_of([3, 2, 1].into_iter()), 1);
        assert_eq!(reader.run_of(std::iter::empty()), 0);
    }
}

fn read_page<S: Source>(
    reader: &ImageReader<S>,
    space: u32,
    page: u64,
    buf: &mut BlockBuf,
) -> Option<Vec<u8>> {
    match reader.find(space, page)? {
        PageLocation::Zero { .. } => Some(vec![0; PAGE_SIZE]),
        PageLocation::Stored { block, slot } => {
            let pages = reader.read_block(block, buf).unwrap();
            Some(pages[slot * PAGE_SIZE..][..PAGE_SIZE].to_vec())
        }
        PageLocation::InParent { .. } => panic!("no parent here"),
    }
}

#[test]
fn an_image_without_memory() {
    let (summary, file) = write(info(1), b"", vec![], Compression::None, 0);
    assert_eq!(summary.file_len, 2 * PAGE_SIZE as u64);
    assert_eq!(verify(&file).unwrap().blocks, 0);
    assert_eq!(ImageReader::open(&file[..]).unwrap().state_bytes().unwrap(), b"");
}

/// Runs in any order with gaps of any kind, at low, high and block-crossing pages.
fn runs() -> impl Strategy<Value = Vec<PageRun>> {
    let piece = (0..90u64, 1..150u64, any::<bool>(), 0..8u8);
    (prop::collection::vec(piece, 0..14), prop_oneof![Just(0), Just(63), Just(MAX_PAGE - 8000)]).prop_map(
        |(pieces, mut page)| {
            let mut space = 0;
            let mut runs = Vec::new();
            for (gap, pages, swapped, new_space) in pieces {
                space += u32::from(new_space == 0);
                page += gap;
                let section = if swapped { Section::Virtual } else { Section::Physical };
                runs.push(run(space, page, pages, section, PageSource::Stored));
                page += pages;
            }
            runs.reverse();
            runs
        },
    )
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Zstd)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_memory_comes_back(
        runs in runs(),
        state in prop::collection::vec(any::<u8>(), 0..9000),
        compression in compression(),
    ) {
        let (_, file) = write(info(3), &state, runs.clone(), compression, 9);
        prop_assert!(verify(&file).is_ok());
        let reader = ImageReader::open(&file[..]).unwrap();
        prop_assert_eq!(reader.state_bytes().unwrap(), state);
        let mut buf = BlockBuf::new();
        for run in &runs {
            for page in run.start_page..run.start_page + run.pages {
                let found = read_page(&reader, run.space, page, &mut buf);
                prop_assert_eq!(found, Some(page_of(run.space, page, 9)));
            }
        }
        let planned: u64 = runs.iter().map(|run| run.pages).sum();
        let listed: u32 = reader.blocks().iter().map(|entry| entry.pages().count_ones()).sum();
        prop_assert_eq!(u64::from(listed), planned);
    }

    #[test]
    fn planned_blocks_are_the_runs(runs in runs()) {
        let layout = Layout::new(Plan { state_len: 0, runs: runs.clone() }).unwrap();
        let mut planned: Vec<(u32, u64)> = Vec::new();
        for block in layout.blocks() {
            prop_assert_eq!(block.base_page % 64, 0);
            let mut count = 0;
            for (first, pages) in block.runs() {
                planned.extend((first..first + pages).map(|page| (block.space, page)));
                count += pages;
            }
            prop_assert_eq!(count as usize, block.page_count());
        }
        let mut expected: Vec<(u32, u64)> = runs
            .iter()
            .flat_map(|run| (run.start_page..run.start_page + run.pages).map(|page| (run.space, page)))
            .collect();
        planned.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(planned, expected);
    }
}
