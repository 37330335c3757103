//! Images whose hashes are right but whose contents are not: bounds and structure are checked too.

mod support;

use proptest::prelude::*;
use support::forge::{field, get, index_at, put, reseal};
use support::*;
use torpor_image::*;

// Fields of an index entry.
const SPACE: usize = 0;
const CODEC: usize = 4;
const FLAGS: usize = 6;
const BASE: usize = 8;
const DATA: usize = 16;
const ZERO: usize = 24;
const OFFSET: usize = 32;
const STORED_LEN: usize = 40;
const CHECKSUM: usize = 48;

fn refused(compression: Compression, change: impl FnOnce(&mut [u8], usize)) -> String {
    let (_, mut file) = sample(compression);
    let index = index_at(&file);
    change(&mut file, index);
    reseal(&mut file);
    let error = verify(&file).expect_err("refused");
    assert_eq!(error.code(), "damaged", "{error}");
    error.to_string()
}

#[test]
fn contradictions_in_the_index_are_named() {
    let case = |expected: &str, change: fn(&mut [u8], usize)| {
        let message = refused(Compression::None, change);
        assert!(message.contains(expected), "{expected}: {message}");
    };
    case("unknown encoding", |file, at| file[at + CODEC] = 9);
    case("unknown flags", |file, at| file[at + FLAGS] = 0x82);
    case("impossible page", |file, at| file[at + BASE] = 1);
    case("impossible page", |file, at| put(file, at + BASE, 1 << 60));
    case("contradictory or no pages", |file, at| put(file, at + ZERO, u64::MAX));
    case("length does not fit", |file, at| put(file, at + DATA, 0));
    case("length does not fit", |file, at| file[at + STORED_LEN] ^= 1);
    case("length does not fit", |file, at| file[at + OFFSET] += 1);
    case("not one after the other", |file, at| put(file, at + OFFSET, 1 << 40));
    case("not one after the other", |file, at| put(file, at + OFFSET, 0));
    case("not one after the other", |file, at| file[at + FLAGS] = 1);
    case("not in order", |file, at| file[at + SPACE] = 200);
    case("bytes behind its end are not zero", |file, at| file[at + 64 * 63] = 1);
    case("checksum does not match", |file, at| file[at + CHECKSUM] ^= 1);
}

#[test]
fn repetitions_must_be_of_a_block_that_is_there() {
    let repeated = |change: fn(&mut [u8], usize)| {
        let (_, mut file) = with_duplicate();
        verify(&file).unwrap();
        let at = index_at(&file) + 64;
        assert_eq!(file[at + FLAGS], 1);
        change(&mut file, at);
        reseal(&mut file);
        verify(&file).expect_err("refused").to_string()
    };
    let expected = "repeats one that is not there";
    assert!(repeated(|file, at| file[at + CHECKSUM] ^= 1).contains(expected));
    assert!(repeated(|file, at| put(file, at + OFFSET, 0)).contains(expected));
    assert!(repeated(|file, at| put(file, at + OFFSET, 1 << 50)).contains(expected));
    // As its own block it lies where the first one does.
    assert!(repeated(|file, at| file[at + FLAGS] = 0).contains("not one after the other"));
}

/// Two spaces that share the bytes of their only block.
fn with_duplicate() -> (Summary, Vec<u8>) {
    let runs = [1, 2].map(|space| run(space, 0, 5, Section::Physical, PageSource::Stored));
    let layout = Layout::new(Plan { state_len: 0, runs: runs.to_vec() }).unwrap();
    let blocks: Vec<_> = layout.blocks().collect();
    let mut writer = ImageWriter::new(Vec::new(), info(1), layout, WriteOptions::default());
    writer.write_state(b"").unwrap();
    let pages = pages_of(&blocks[0], 31, 0);
    for block in &blocks {
        writer.write_pages(block, 31, &pages).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_page_in_both_sections_is_refused() {
    let message = refused(Compression::None, |file, index| {
        // The first virtual block moves into the window of pages that physical memory has.
        let physical = u64::from(u32::from_le_bytes(file[field::PHYSICAL + 4..][..4].try_into().unwrap()));
        let at = index + physical as usize * 64;
        assert_eq!(get(file, at + BASE), 64);
        put(file, at + BASE, 0);
    });
    assert!(message.contains("a page is there twice"), "{message}");
}

#[test]
fn a_parent_block_without_a_parent_is_refused() {
    let message = refused(Compression::None, |file, at| {
        file[at + CODEC] = 4;
        put(file, at + ZERO, 0);
        put(file, at + OFFSET, 0);
        file[at + STORED_LEN..at + 64].fill(0);
    });
    assert!(message.contains("but there is none"), "{message}");
}

#[test]
fn wrong_counts_are_refused() {
    for at in [field::PHYSICAL + 4, field::PHYSICAL + 32, field::VIRTUAL + 40, field::VIRTUAL + 48] {
        let message = refused(Compression::None, |file, _| file[at] ^= 3);
        assert!(message.contains("other number") || message.contains("another number"), "{message}");
    }
    let message = refused(Compression::None, |file, _| file[field::CHAIN_LEN] = 3);
    assert!(message.contains("about its parent"), "{message}");
    let message = refused(Compression::None, |file, _| file[field::CHAIN_LEN] = 200);
    assert!(message.contains("more than 15 parents"), "{message}");
    let message = refused(Compression::None, |file, _| file[field::PARENT_ID] = 1);
    assert!(message.contains("about its parent"), "{message}");
}

/// Compressed bytes that are garbage, with a checksum that is right, are refused by the decoder.
#[test]
fn garbage_behind_a_right_checksum() {
    for compression in [Compression::Lz4, Compression::Zstd] {
        let mut noise = Noise(77);
        for round in 0..300u64 {
            let (_, mut file) = sample(compression);
            let index = index_at(&file);
            let blocks = ImageReader::open(&file[..]).unwrap().blocks().to_vec();
            let (n, entry) = blocks
                .iter()
                .enumerate()
                .find(|(_, entry)| matches!(entry.codec, Codec::Lz4 | Codec::Zstd))
                .unwrap();
            let start = entry.offset as usize;
            let stored = &mut file[start..start + entry.stored_len as usize];
            if round % 2 == 0 {
                noise.fill(stored);
            } else {
                let at = noise.below(stored.len().min(64) as u64) as usize;
                stored[at] = noise.next() as u8;
            }
            let checksum = block_checksum(stored).to_le_bytes();
            file[index + n * 64 + CHECKSUM..][..16].copy_from_slice(&checksum);
            reseal(&mut file);
            // Some changes are other valid contents; all others must be refused. None may panic.
            let _ = verify(&file);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any change of header, state or index, sealed anew, is refused or read without harm.
    #[test]
    fn any_resealed_change_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        compression in prop_oneof![Just(Compression::None), Just(Compression::Lz4)],
    ) {
        let (_, mut file) = sample(compression);
        let index = index_at(&file);
        let used = index + get(&file, field::INDEX + 16) as usize;
        // The fields of the header, the entries of the index.
        let interesting: Vec<usize> = (8..384).chain(index..used).collect();
        for (at, value) in changes {
            file[interesting[at.index(interesting.len())]] = value;
        }
        reseal(&mut file);
        if let Ok(reader) = ImageReader::open(&file[..]) {
            let _ = reader.state_bytes();
            let mut buf = BlockBuf::new();
            for block in 0..reader.blocks().len() {
                let _ = reader.read_block(block, &mut buf);
            }
            let _ = reader.verify(|_| Ok::<(), ImageError>(()));
            let _ = ImageChain::open(&file[..], NoParents);
        }
    }
}
