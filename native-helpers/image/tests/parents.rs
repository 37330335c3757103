//! Incremental images: pages in a parent, chains, parents that are missing or wrong; and blocks that
//! share their bytes with another.

mod support;

use std::collections::HashMap;

use support::forge::{put, reseal};
use support::*;
use torpor_image::*;

type Store = HashMap<ImageId, Vec<u8>>;

fn lookup(store: &Store) -> impl ParentLookup<Vec<u8>> + '_ {
    |id: ImageId, _: ContentHash| Ok::<_, std::io::Error>(store.get(&id).cloned())
}

fn physical(space: u32, start: u64, pages: u64, source: PageSource) -> PageRun {
    run(space, start, pages, Section::Physical, source)
}

/// Three images: each later one stores a few pages anew (salt 1, 2) and has the rest in its parent.
fn three() -> (Store, Summary, Vec<u8>) {
    use PageSource::{InParent, Stored};
    let mut store = Store::new();
    let runs = vec![physical(1, 10, 100, Stored), run(1, 110, 40, Section::Virtual, Stored)];
    let (first, file) = write(info(1), b"first", runs, Compression::Lz4, 0);
    store.insert(first.id, file);
    // Page 120 came in from swap meanwhile; pages 20 to 29 were written to.
    let runs = vec![
        physical(1, 10, 10, InParent),
        physical(1, 20, 10, Stored),
        physical(1, 30, 80, InParent),
        run(1, 110, 10, Section::Virtual, InParent),
        physical(1, 120, 1, InParent),
        run(1, 121, 29, Section::Virtual, InParent),
    ];
    let (second, file) = write(child_info(2, &first, 2), b"second", runs, Compression::None, 1);
    store.insert(second.id, file);
    let runs =
        vec![physical(1, 10, 15, InParent), physical(1, 25, 40, Stored), physical(1, 65, 56, InParent)];
    let (third, file) = write(child_info(3, &second, 3), b"third", runs, Compression::Zstd, 2);
    assert_eq!(third.parent_bytes, 71 * 4096);
    (store, third, file)
}

fn chain_page(chain: &ImageChain<Vec<u8>>, space: u32, page: u64) -> Option<Vec<u8>> {
    let (PageLocation::Zero { block }
    | PageLocation::Stored { block, .. }
    | PageLocation::InParent { block }) = chain.youngest().find(space, page)?;
    let base = chain.youngest().blocks()[block].base_page;
    let bit = 1 << (page - base);
    let part = chain.resolve(block).into_iter().find(|part| (part.data | part.zero) & bit != 0)?;
    if let Some(slot) = chain.youngest().blocks()[block].slot_of(page) {
        let mut buf = ChainBuf::default();
        return Some(chain.read_block(block, &mut buf).unwrap()[slot * PAGE_SIZE..][..PAGE_SIZE].to_vec());
    }
    if part.zero & bit != 0 {
        return Some(vec![0; PAGE_SIZE]);
    }
    let image = &chain.images()[part.image];
    let slot = image.blocks()[part.block].slot_of(page).unwrap();
    let mut buf = BlockBuf::new();
    Some(image.read_block(part.block, &mut buf).unwrap()[slot * PAGE_SIZE..][..PAGE_SIZE].to_vec())
}

#[test]
fn pages_come_from_the_youngest_image_that_stored_them() {
    let (store, _, file) = three();
    verify(&file).unwrap();
    let chain = ImageChain::open(file, lookup(&store)).unwrap();
    assert_eq!(chain.images().len(), 3);
    for page in 10..121 {
        let salt = match page {
            25..65 => 2,
            20..25 => 1,
            _ => 0,
        };
        assert_eq!(chain_page(&chain, 1, page), Some(page_of(1, page, salt)), "page {page}");
    }
    assert_eq!(chain_page(&chain, 1, 121), None, "freed meanwhile");
}

fn refused(file: Vec<u8>, store: &Store) -> ImageError {
    ImageChain::open(file, lookup(store)).map(drop).expect_err("refused")
}

#[test]
fn a_parent_that_is_missing_is_named() {
    let (mut store, _, file) = three();
    store.remove(&ImageId([1; 16]));
    let error = refused(file.clone(), &store);
    assert_eq!(
        error.to_string(),
        "the parent image 01010101010101010101010101010101 can't be found, and this image is incomplete without it"
    );
    assert_eq!(error.code(), "parent-missing");
    assert!(matches!(
        ImageChain::open(file, NoParents).map(drop),
        Err(ImageError::ParentMissing { id }) if id == ImageId([2; 16])
    ));
}

#[test]
fn another_image_with_the_parents_id_is_refused() {
    let (mut store, _, file) = three();
    let runs = vec![physical(1, 10, 200, PageSource::Stored)];
    let (_, other) = write(info(1), b"first", runs, Compression::None, 5);
    store.insert(ImageId([1; 16]), other);
    let error = refused(file, &store);
    assert!(matches!(error, ImageError::ParentMismatch { id: ImageId([1, ..]), .. }), "{error}");
    assert_eq!(error.code(), "parent-missing");
}

#[test]
fn a_damaged_parent_is_named() {
    let (mut store, _, file) = three();
    store.get_mut(&ImageId([2; 16])).unwrap()[5000] ^= 1;
    let error = refused(file, &store);
    assert_eq!(
        error.to_string(),
        "the parent image 02020202020202020202020202020202 can't be used: the image's system state is damaged: its checksum does not match"
    );
    assert_eq!(error.code(), "damaged");
}

#[test]
fn a_page_that_the_parent_lacks_is_named() {
    let (store, _, _) = three();
    let parent = ImageReader::open(&store[&ImageId([1; 16])][..]).unwrap();
    let parent = Summary { id: parent.info().image_id, content_hash: parent.content_hash(), ..three().1 };
    let runs = vec![physical(1, 148, 4, PageSource::InParent)];
    let (_, file) = write(child_info(9, &parent, 2), b"", runs, Compression::None, 0);
    let error = refused(file, &store);
    assert!(matches!(error, ImageError::ParentLacksPage { space: 1, page: 150, .. }), "{error}");
}

#[test]
fn chains_are_bounded() {
    let mut store = Store::new();
    let stored = vec![physical(1, 0, 3, PageSource::Stored)];
    let (mut summary, mut file) = write(info(1), b"", stored, Compression::None, 0);
    for n in 2..=MAX_CHAIN_LEN as u8 {
        store.insert(summary.id, file);
        let runs = vec![physical(1, 0, 3, PageSource::InParent)];
        (summary, file) = write(child_info(n, &summary, u32::from(n)), b"", runs, Compression::None, 0);
    }
    let chain = ImageChain::open(file.clone(), lookup(&store)).unwrap();
    assert_eq!(chain.images().len(), MAX_CHAIN_LEN);
    assert_eq!(chain_page(&chain, 1, 2), Some(page_of(1, 2, 0)));
    // One more is refused by the header alone, and a lie about it by the chain.
    store.insert(summary.id, file);
    for (claimed, expected) in [(17, "more than 15 parents"), (16, "miscounts its parents")] {
        let runs = vec![physical(1, 0, 3, PageSource::InParent)];
        let (_, mut file) = write(child_info(99, &summary, 2), b"", runs, Compression::None, 0);
        file[forge_chain_len()] = claimed;
        reseal(&mut file);
        assert!(refused(file, &store).to_string().contains(expected));
    }
}

fn forge_chain_len() -> usize {
    support::forge::field::CHAIN_LEN
}

/// An image can't be its own parent: its content hash depends on what it says of its parent.
#[test]
fn a_circle_is_refused() {
    let (store, summary, _) = three();
    let runs = vec![physical(1, 0, 3, PageSource::InParent)];
    let (own, mut file) = write(child_info(7, &summary, 2), b"", runs, Compression::None, 0);
    put(&mut file, support::forge::field::PARENT_ID, u64::from_le_bytes([7; 8]));
    put(&mut file, support::forge::field::PARENT_ID + 8, u64::from_le_bytes([7; 8]));
    reseal(&mut file);
    let mut store = store;
    store.insert(own.id, file.clone());
    assert!(matches!(refused(file, &store), ImageError::ParentMismatch { .. }));
}

#[test]
fn memory_that_a_fork_left_shared_is_stored_once() {
    let runs = vec![
        physical(1, 0, 64, PageSource::Stored),
        physical(2, 1000, 64, PageSource::Stored),
        physical(3, 64, 64, PageSource::Stored),
    ];
    for compression in [Compression::None, Compression::Lz4] {
        let layout = Layout::new(Plan { state_len: 0, runs: runs.clone() }).unwrap();
        let options = WriteOptions { compression };
        let mut writer = ImageWriter::new(Vec::new(), info(1), layout.clone(), options);
        writer.write_state(b"").unwrap();
        let blocks: Vec<_> = layout.blocks().collect();
        // The second space is the same memory elsewhere, across a window's border.
        assert_eq!(blocks.len(), 4);
        let pages = pages_of(&blocks[0], u64::MAX, 0);
        writer.write_pages(&blocks[0], u64::MAX, &pages).unwrap();
        let split = blocks[1].page_count() * PAGE_SIZE;
        writer.write_pages(&blocks[1], blocks[1].pages, &pages[..split]).unwrap();
        writer.write_pages(&blocks[2], blocks[2].pages, &pages[split..]).unwrap();
        writer.write_pages(&blocks[3], u64::MAX, &pages).unwrap();
        let (summary, file) = writer.finish().unwrap();
        let report = verify(&file).unwrap();
        assert_eq!(report.blocks, 4);
        assert_eq!(summary.physical_bytes, 3 * 64 * 4096);
        let reader = ImageReader::open(&file[..]).unwrap();
        assert!(reader.blocks()[3].duplicate);
        let mut seen = Vec::new();
        let mut scanned = Vec::new();
        reader
            .scan(0..4, |block, entry, pages| {
                seen.push(block);
                if block == 3 {
                    assert_eq!(entry.zero, reader.blocks()[0].zero);
                    scanned = pages.to_vec();
                }
                Ok::<(), ImageError>(())
            })
            .unwrap();
        assert_eq!(seen, [0, 1, 2, 3]);
        let mut buf = BlockBuf::new();
        assert_eq!(reader.read_block(0, &mut buf).unwrap(), scanned);
    }
}
