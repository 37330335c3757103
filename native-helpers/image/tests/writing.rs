//! The writer's side: sizes known before, aligned writes, order, misuse, a store that fails.

mod support;

use std::io;

use support::*;
use torpor_image::*;

fn some_runs() -> Vec<PageRun> {
    vec![
        run(1, 0, 200, Section::Physical, PageSource::Stored),
        run(1, 300, 50, Section::Virtual, PageSource::Stored),
        run(2, 7, 1, Section::Physical, PageSource::Stored),
    ]
}

fn noise_pages(block: &PlannedBlock) -> Vec<u8> {
    let mut pages = vec![0; block.page_count() * PAGE_SIZE];
    Noise(block.base_page + 1).fill(&mut pages);
    pages
}

#[test]
fn the_bound_is_exact_for_memory_that_can_not_shrink() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let layout = Layout::new(Plan { state_len: 5000, runs: some_runs() }).unwrap();
        // Header, state, index, 251 pages, footer.
        assert_eq!(layout.file_len_bound(), 4096 * (1 + 2 + 1 + 251 + 1));
        assert_eq!((layout.block_count(), layout.stored_pages()), (7, 251));
        let mut writer = ImageWriter::new(Vec::new(), info(1), layout.clone(), WriteOptions { compression });
        for block in layout.blocks() {
            writer.write_pages(&block, block.pages, &noise_pages(&block)).unwrap();
        }
        writer.write_state(&[1; 5000]).unwrap();
        let (summary, file) = writer.finish().unwrap();
        assert_eq!(summary.file_len, layout.file_len_bound());
        assert_eq!((summary.stored_bytes, summary.zero_bytes), (251 * 4096, 0));
        assert_eq!((summary.physical_bytes, summary.virtual_bytes), (201 * 4096, 50 * 4096));
        verify(&file).unwrap();
    }
}

/// Insists on what O_DIRECT insists on, and on each byte being written once.
#[derive(Default)]
struct Direct {
    file: Vec<u8>,
    written: Vec<(u64, usize)>,
}

impl Sink for Direct {
    fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        assert_eq!(buf.as_ptr().addr() % PAGE_SIZE, 0);
        assert_eq!(buf.len() % PAGE_SIZE, 0);
        assert_eq!(offset % PAGE_SIZE as u64, 0);
        self.written.push((offset, buf.len()));
        self.file.write_all_at(buf, offset)
    }
}

#[test]
fn writes_are_aligned_large_and_once_with_the_footer_last() {
    for compression in [Compression::None, Compression::Lz4] {
        let runs = vec![
            run(1, 1, 5000, Section::Physical, PageSource::Stored),
            run(9, 1, 100, Section::Virtual, PageSource::Stored),
        ];
        let layout = Layout::new(Plan { state_len: 3, runs }).unwrap();
        let mut writer =
            ImageWriter::new(Direct::default(), info(1), layout.clone(), WriteOptions { compression });
        writer.write_state(b"abc").unwrap();
        for block in layout.blocks() {
            writer.write_pages(&block, block.pages, &pages_of(&block, block.pages, 0)).unwrap();
        }
        let (summary, mut sink) = writer.finish().unwrap();
        verify(&sink.file).unwrap();
        assert_eq!(sink.written.last(), Some(&(summary.file_len - 4096, 4096)), "the footer");
        assert_eq!(sink.written[sink.written.len() - 2], (0, 4096), "the header");
        sink.written.sort_unstable();
        let mut end = 0;
        for (offset, len) in &sink.written {
            assert_eq!(*offset, end, "no gap, nothing twice");
            end = offset + *len as u64;
        }
        assert_eq!(end, summary.file_len);
        if compression == Compression::None {
            assert!(sink.written.iter().any(|(_, len)| *len > CHUNK_LEN / 2));
        }
    }
}

#[test]
fn a_store_that_fails_at_any_write_is_an_error_and_stays_one() {
    struct Full(usize, Vec<u8>);
    impl Sink for Full {
        fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            self.1.write_all_at(buf, offset)
        }
    }
    let runs = vec![run(1, 0, 2500, Section::Physical, PageSource::Stored)];
    let layout = Layout::new(Plan { state_len: 9, runs }).unwrap();
    for writes in 0.. {
        let mut sink = Full(writes, Vec::new());
        let mut writer = ImageWriter::new(&mut sink, info(1), layout.clone(), WriteOptions::default());
        let mut result = writer.write_state(b"123456789");
        for block in layout.blocks() {
            let next = writer.write_pages(&block, block.pages, &noise_pages(&block)).map(drop);
            if result.is_err() {
                assert!(matches!(next, Err(WriteError::FailedBefore)));
            }
            result = result.and(next);
        }
        let failed = result.is_err();
        let last = writer.finish().map(drop);
        assert!(!failed || matches!(last, Err(WriteError::FailedBefore)));
        match result.and(last) {
            Ok(()) => {
                verify(&sink.1).unwrap();
                assert!(writes >= 7, "state, three chunks, index, header, footer");
                return;
            }
            Err(WriteError::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::StorageFull),
            Err(other) => panic!("{other}"),
        }
        assert!(verify(&sink.1).is_err(), "half an image is none");
    }
}

/// A store that writes on a thread of its own, as the engine's does.
#[test]
fn a_store_that_writes_in_the_background() {
    struct Background {
        free: Vec<PageBuffer>,
        late: Vec<(PageBuffer, usize, u64)>,
        file: Vec<u8>,
    }
    impl Sink for Background {
        fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
            self.file.write_all_at(buf, offset)
        }
        fn write_chunk(&mut self, chunk: PageBuffer, len: usize, offset: u64) -> io::Result<PageBuffer> {
            assert_eq!(chunk.len(), CHUNK_LEN);
            self.late.push((chunk, len, offset));
            let mut next = self.free.pop().unwrap_or_else(|| PageBuffer::new(CHUNK_LEN));
            next.fill(0xee);
            Ok(next)
        }
        fn flush(&mut self) -> io::Result<()> {
            for (chunk, len, offset) in self.late.drain(..) {
                self.file.write_all_at(&chunk[..len], offset)?;
            }
            Ok(())
        }
    }
    let runs = vec![run(1, 0, 3000, Section::Physical, PageSource::Stored)];
    let layout = Layout::new(Plan { state_len: 0, runs }).unwrap();
    let sink = Background { free: vec![PageBuffer::new(CHUNK_LEN)], late: vec![], file: vec![] };
    let mut writer =
        ImageWriter::new(sink, info(1), layout.clone(), WriteOptions { compression: Compression::Lz4 });
    writer.write_state(b"").unwrap();
    for block in layout.blocks() {
        writer.write_pages(&block, block.pages, &pages_of(&block, block.pages, 0)).unwrap();
    }
    verify(&writer.finish().unwrap().1.file).unwrap();
}

#[test]
fn blocks_encoded_on_threads_give_the_same_file() {
    let runs = vec![run(1, 3, 2000, Section::Physical, PageSource::Stored)];
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let (summary, file) = write(info(1), b"state", runs.clone(), compression, 0);
        let layout = Layout::new(Plan { state_len: 5, runs: runs.clone() }).unwrap();
        let blocks: Vec<_> = layout.blocks().collect();
        let encoded: Vec<EncodedBlock<'static>> = std::thread::scope(|scope| {
            let halves = blocks.chunks(blocks.len().div_ceil(2)).map(|half| {
                scope.spawn(move || {
                    let mut encoder = BlockEncoder::new(compression);
                    let encode = |block: &PlannedBlock| {
                        encoder.encode(block, block.pages, &pages_of(block, block.pages, 0)).into_owned()
                    };
                    half.iter().map(encode).collect::<Vec<_>>()
                })
            });
            let threads: Vec<_> = halves.collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut writer = ImageWriter::new(Vec::new(), info(1), layout, WriteOptions::default());
        writer.write_state(b"state").unwrap();
        for block in &encoded {
            writer.append(block).unwrap();
        }
        let (parallel, parallel_file) = writer.finish().unwrap();
        assert_eq!(parallel, summary);
        assert!(parallel_file == file);
    }
}

#[test]
fn pages_that_vanished_are_not_in_the_image() {
    let layout = Layout::new(Plan { state_len: 100, runs: some_runs() }).unwrap();
    let mut writer = ImageWriter::new(Vec::new(), info(1), layout.clone(), WriteOptions::default());
    for (n, block) in layout.blocks().enumerate() {
        match n {
            0 => writer.write_pages(&block, 0b1010, &pages_of(&block, 0b1010, 0)).unwrap(),
            1 => writer.write_pages(&block, 0, &[]).unwrap(),
            _ => writer.mark_absent(&block).unwrap(),
        }
    }
    // Shorter than planned, too.
    writer.write_state(b"short").unwrap();
    let (summary, file) = writer.finish().unwrap();
    verify(&file).unwrap();
    let reader = ImageReader::open(&file[..]).unwrap();
    assert_eq!((summary.blocks, summary.physical_bytes, summary.virtual_bytes), (1, 2 * 4096, 0));
    assert_eq!(reader.state_bytes().unwrap(), b"short");
    assert_eq!(reader.find(1, 1), Some(PageLocation::Stored { block: 0, slot: 0 }));
    assert_eq!(reader.find(1, 3), Some(PageLocation::Zero { block: 0 }));
    assert_eq!((reader.find(1, 0), reader.find(1, 100), reader.find(2, 7)), (None, None, None));
}

#[test]
fn a_caller_that_errs_is_told() {
    let layout = Layout::new(Plan { state_len: 4, runs: some_runs() }).unwrap();
    let writer = || ImageWriter::new(Vec::new(), info(1), layout.clone(), WriteOptions::default());
    let second = layout.blocks().nth(1).unwrap();
    let error = writer().mark_absent(&second).unwrap_err();
    assert_eq!(error.to_string(), "the block of space 1 at page 0x40 is not the next one of the plan");

    let mut early = writer();
    early.write_state(b"1234").unwrap();
    assert!(matches!(early.finish(), Err(WriteError::PlanNotDone { missing: 7 })));

    let mut stateless = writer();
    layout.blocks().for_each(|block| stateless.mark_absent(&block).unwrap());
    assert!(matches!(stateless.write_state(&[0; 4097]), Err(WriteError::StateTooLong { .. })));
    assert!(matches!(stateless.finish(), Err(WriteError::StateNotOnce)));

    let mut twice = writer();
    twice.write_state(b"1234").unwrap();
    assert!(matches!(twice.write_state(b"1234"), Err(WriteError::StateNotOnce)));

    let first = layout.blocks().next().unwrap();
    assert!(matches!(writer().mark_in_parent(&first), Err(WriteError::NoParent)));
}

#[test]
fn plans_that_can_not_be_are_refused() {
    let physical = |space, start, pages| run(space, start, pages, Section::Physical, PageSource::Stored);
    let plan = |runs| Layout::new(Plan { state_len: 0, runs }).map(drop);
    let overlap = Err(PlanError::Overlap { space: 1, page: 9 });
    assert_eq!(plan(vec![physical(1, 9, 2), physical(1, 0, 10)]), overlap);
    // Also across sections and sources.
    let swapped = run(1, 9, 2, Section::Virtual, PageSource::InParent);
    assert_eq!(plan(vec![physical(1, 0, 10), swapped]), overlap);
    assert_eq!(plan(vec![physical(1, 0, 9), swapped, physical(2, 0, 10), physical(3, 0, 0)]), Ok(()));
    for (start, pages) in [(MAX_PAGE, 1), (0, MAX_PAGE + 1), (MAX_PAGE - 1, 2), (1, u64::MAX), (u64::MAX, 1)]
    {
        let error = PlanError::PageOutOfRange { space: 1, page: start };
        assert_eq!(plan(vec![physical(1, start, pages)]), Err(error));
    }
    assert_eq!(plan(vec![physical(1, MAX_PAGE - 1, 1)]), Ok(()));
    // Ends soon, although it claims 2^46 blocks.
    assert!(matches!(plan(vec![physical(1, 0, MAX_PAGE)]), Err(PlanError::TooManyBlocks { .. })));
    let large = Layout::new(Plan { state_len: MAX_STATE_LEN + 1, runs: vec![] }).map(drop);
    assert_eq!(large, Err(PlanError::StateTooLarge { len: MAX_STATE_LEN + 1 }));
}

/// Filling blocks in the writer's own buffer gives the image that handing pages over gives.
#[test]
fn blocks_filled_in_place_give_the_same_image() {
    let runs = vec![
        run(1, 3, 3000, Section::Physical, PageSource::Stored),
        run(2, 0, 90, Section::Virtual, PageSource::Stored),
    ];
    for compression in [Compression::None, Compression::Lz4] {
        let (_, expected) = write(info(1), b"state", runs.clone(), compression, 0);
        let layout = Layout::new(Plan { state_len: 5, runs: runs.clone() }).unwrap();
        let options = WriteOptions { compression };
        let mut writer = ImageWriter::new(Direct::default(), info(1), layout.clone(), options);
        writer.write_state(b"state").unwrap();
        for (n, block) in layout.blocks().enumerate() {
            let pages = pages_of(&block, block.pages, 0);
            if n % 7 == 0 {
                // A read that fails leaves the block to be filled again.
                let failed = writer.fill_block(&block, |room| {
                    room.fill(0xaa);
                    Err(WriteError::NoParent)
                });
                assert!(matches!(failed, Err(WriteError::NoParent)));
            }
            let fill = |room: &mut [u8]| {
                room.copy_from_slice(&pages);
                Ok::<u64, WriteError>(block.pages)
            };
            writer.fill_block(&block, fill).unwrap();
        }
        let (_, sink) = writer.finish().unwrap();
        verify(&sink.file).unwrap();
        assert!(sink.file == expected);
    }
}

#[test]
fn a_block_may_lose_pages_while_it_is_filled() {
    let runs = vec![run(1, 0, 64, Section::Physical, PageSource::Stored)];
    for compression in [Compression::None, Compression::Zstd] {
        let layout = Layout::new(Plan { state_len: 0, runs: runs.clone() }).unwrap();
        let options = WriteOptions { compression };
        let mut writer = ImageWriter::new(Vec::new(), info(1), layout.clone(), options);
        writer.write_state(b"").unwrap();
        let block = layout.blocks().next().unwrap();
        let present = 0xf0f0;
        let fill = |room: &mut [u8]| {
            assert_eq!(room.len(), 64 * PAGE_SIZE);
            let pages = pages_of(&block, present, 0);
            room.fill(0xee);
            room[..pages.len()].copy_from_slice(&pages);
            Ok::<u64, WriteError>(present)
        };
        writer.fill_block(&block, fill).unwrap();
        let (summary, file) = writer.finish().unwrap();
        verify(&file).unwrap();
        assert_eq!(summary.physical_bytes, 8 * 4096);
        let reader = ImageReader::open(&file[..]).unwrap();
        let entry = reader.blocks()[0];
        assert_eq!(entry.pages(), present);
        let mut buf = BlockBuf::new();
        assert_eq!(reader.read_block(0, &mut buf).unwrap(), pages_of(&block, entry.data, 0));
    }
}

#[test]
fn blocks_that_are_alike_are_stored_once_in_each_section() {
    for compression in [Compression::None, Compression::Lz4] {
        let pages = BLOCK_PAGES as u64;
        let runs = vec![
            run(1, 0, pages * 10, Section::Physical, PageSource::Stored),
            run(2, 0, 3, Section::Physical, PageSource::Stored),
            run(3, 0, pages * 10, Section::Virtual, PageSource::Stored),
        ];
        let layout = Layout::new(Plan { state_len: 0, runs }).unwrap();
        let mut writer = ImageWriter::new(Vec::new(), info(1), layout.clone(), WriteOptions { compression });
        writer.write_state(b"").unwrap();
        let mut alike = vec![0; BLOCK_PAGES * PAGE_SIZE];
        Noise(1).fill(&mut alike);
        for (n, block) in layout.blocks().enumerate() {
            // One that is not like the others, and one with a zero page that leaves others in the place.
            let mut own = alike[..block.page_count() * PAGE_SIZE].to_vec();
            match n {
                4 => own[0] ^= 1,
                5 => own[..PAGE_SIZE].fill(0),
                _ => {}
            }
            if n % 2 == 0 {
                writer.write_pages(&block, block.pages, &own).unwrap();
            } else {
                let fill = |buf: &mut [u8]| {
                    buf.copy_from_slice(&own);
                    Ok::<_, WriteError>(block.pages)
                };
                writer.fill_block(&block, fill).unwrap();
            }
        }
        let (summary, file) = writer.finish().unwrap();
        // Physical: one of all, the other one, the one without its zero page, and the short one.
        assert_eq!(summary.stored_bytes, (3 * pages - 1 + 3 + pages) * PAGE_SIZE as u64);
        assert_eq!(summary.physical_bytes, (10 * pages + 3) * PAGE_SIZE as u64);
        verify(&file).unwrap();
        let image = ImageReader::open(file).unwrap();
        let mut buf = BlockBuf::default();
        for (n, entry) in image.blocks().iter().enumerate() {
            let read = image.read_block(n, &mut buf).unwrap();
            let skipped = if entry.zero == 0 { 0 } else { PAGE_SIZE };
            let from = if n == 4 { 1 } else { 0 };
            assert_eq!(read[from..], alike[skipped + from..skipped + read.len()], "block {n}");
        }
    }
}
