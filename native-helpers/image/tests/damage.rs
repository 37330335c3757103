//! Damage of any kind is found, with the right reason, before anything is made of the image.

mod support;

use support::forge::{field, get, put, reseal};
use support::*;
use torpor_image::*;

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

#[test]
fn any_flipped_bit_is_found() {
    let mut noise = Noise(0x5eed);
    for (compression, flips) in COMPRESSIONS.into_iter().zip([4000, 3000, 3000]) {
        let (_, mut file) = sample(compression);
        for _ in 0..flips {
            let (at, bit) = (noise.below(file.len() as u64) as usize, noise.below(8));
            file[at] ^= 1 << bit;
            let found = verify(&file);
            assert!(found.is_err(), "bit {bit} of byte {at} ({compression:?})");
            file[at] ^= 1 << bit;
        }
        verify(&file).unwrap();
    }
}

/// The random flips may miss a small field: header, index and footer byte by byte.
#[test]
fn any_changed_byte_of_the_frame_is_found() {
    let (_, mut file) = sample(Compression::Lz4);
    let memory = get(&file, field::PHYSICAL + 8) as usize;
    for at in (0..memory).chain(file.len() - PAGE_SIZE..file.len()) {
        file[at] ^= 0x10;
        assert!(ImageReader::open(&file[..]).is_err(), "byte {at}");
        file[at] ^= 0x10;
    }
}

#[test]
fn a_cut_file_is_found_at_every_page() {
    for compression in COMPRESSIONS {
        let (_, file) = sample(compression);
        let mut noise = Noise(1);
        let pages = (0..file.len()).step_by(PAGE_SIZE);
        let anywhere = (0..500).map(|_| noise.below(file.len() as u64) as usize);
        for len in pages.chain(anywhere.collect::<Vec<_>>()) {
            match ImageReader::open(&file[..len]).map(drop) {
                Err(ImageError::Truncated { expected, actual }) => {
                    assert_eq!(actual, len as u64);
                    assert!(len < PAGE_SIZE || expected == file.len() as u64);
                }
                Err(ImageError::NotABootImage) if len < 8 => {}
                other => panic!("cut to {len}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_file_that_was_never_finished_is_refused() {
    let (_, file) = sample(Compression::None);
    // The footer comes last: all else may be there.
    let mut without_footer = file.clone();
    let footer = file.len() - PAGE_SIZE;
    without_footer[footer..].fill(0);
    assert!(matches!(open(&without_footer), ImageError::FooterDamaged { .. }));
    // The header comes next to last: allocated, but not written.
    let mut without_header = file;
    without_header[..PAGE_SIZE].fill(0);
    assert!(matches!(open(&without_header), ImageError::NotABootImage));
}

#[test]
fn a_footer_of_another_image_is_refused() {
    let (_, mut file) = sample(Compression::None);
    let state = b"invented system state of no program";
    let runs = vec![run(1, 5, 20, Section::Physical, PageSource::Stored)];
    let (_, other) = write(info(8), state, runs, Compression::None, 0);
    let footer = file.len() - PAGE_SIZE;
    file[footer..].copy_from_slice(&other[other.len() - PAGE_SIZE..]);
    let error = open(&file);
    assert_eq!(
        error.to_string(),
        "the image was never completed, or its end is damaged: the commit record is of another image"
    );
}

fn open(file: &[u8]) -> ImageError {
    ImageReader::open(file).map(drop).expect_err("refused")
}

#[test]
fn foreign_files_are_told_apart() {
    let (_, file) = sample(Compression::None);
    for other in [&b""[..], b"\x7fELF\x02\x01\x01", &[0; 9000], b"#!/bin/sh\n", &file[1..], &file[4096..]] {
        let error = open(other);
        assert!(matches!(error, ImageError::NotABootImage), "{error}");
        assert_eq!(error.code(), "foreign");
    }
}

#[test]
fn other_versions_and_machines_are_told_apart() {
    let forged = |at: usize, bytes: &[u8]| {
        let (_, mut file) = sample(Compression::None);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        reseal(&mut file);
        file
    };
    let version = open(&forged(field::MAJOR, &2u16.to_le_bytes()));
    assert!(matches!(version, ImageError::WrongVersion { found: 2 }));
    assert_eq!(version.code(), "incompatible");

    let page_size = open(&forged(field::PAGE_SIZE, &16384u32.to_le_bytes()));
    assert!(matches!(page_size, ImageError::WrongPageSize { found: 16384 }));
    assert_eq!(page_size.code(), "incompatible");

    // Can be opened and shown, but not restored.
    let file = forged(field::ARCH, &183u16.to_le_bytes());
    let arch = ImageReader::open(&file[..]).unwrap().require_arch(Arch::X86_64).unwrap_err();
    assert_eq!(
        arch.to_string(),
        "the image was captured on a machine of architecture aarch64, this machine is x86_64"
    );
    assert_eq!(arch.code(), "incompatible");

    // A later minor version may use what is reserved now.
    let mut file = forged(field::MINOR, &7u16.to_le_bytes());
    file[2000] = 1;
    reseal(&mut file);
    verify(&file).unwrap();
}

#[test]
fn a_header_that_promises_more_than_the_file_has() {
    let (_, file) = sample(Compression::None);
    let forged = |changes: &[(usize, u64)]| {
        let mut file = file.clone();
        for (at, value) in changes {
            put(&mut file, *at, *value);
        }
        reseal(&mut file);
        open(&file)
    };
    let far = 1 << 50;
    let memory = get(&file, field::VIRTUAL + 8);
    let longer = forged(&[
        (field::VIRTUAL + 16, far),
        (field::VIRTUAL + 24, far),
        (field::FILE_LEN, memory + far + 4096),
    ]);
    assert!(matches!(longer, ImageError::Truncated { expected, .. } if expected == memory + far + 4096));
    for section in [field::STATE, field::INDEX, field::PHYSICAL, field::VIRTUAL] {
        for value in [far, u64::MAX, u64::MAX - 4095, 1] {
            for at in [8, 16, 24] {
                let error = forged(&[(section + at, value)]);
                assert_eq!(error.code(), "damaged", "{section} {at} {value}: {error}");
            }
        }
    }
    for value in [0, 1, 4096, u64::MAX] {
        assert_eq!(forged(&[(field::FILE_LEN, value)]).code(), "damaged");
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let (_, mut file) = sample(Compression::None);
    let expected = file.len() as u64;
    file.extend_from_slice(&[0; PAGE_SIZE]);
    assert!(matches!(open(&file), ImageError::TrailingBytes { expected: e, .. } if e == expected));
}

#[test]
fn a_damaged_block_is_named() {
    let (_, mut file) = sample(Compression::None);
    let reader = ImageReader::open(&file[..]).unwrap();
    let (block, entry) =
        reader.blocks().iter().copied().enumerate().rfind(|(_, entry)| entry.has_stored_bytes()).unwrap();
    file[entry.offset as usize + 100] ^= 4;
    let reader = ImageReader::open(&file[..]).unwrap();
    let error = reader.read_block(block, &mut BlockBuf::new()).map(drop).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "block {block} of the image is damaged (space {}, page {:#x}, at byte {}): its checksum does not match",
            entry.space, entry.base_page, entry.offset
        )
    );
    assert!(matches!(verify(&file).unwrap_err(), ImageError::BlockDamaged { block: b, .. } if b == block));
}

#[test]
fn padding_must_be_zero() {
    let (_, mut file) = sample(Compression::Lz4);
    let reader = ImageReader::open(&file[..]).unwrap();
    let end = |entry: &BlockEntry| entry.offset + u64::from(entry.stored_len);
    let padded = reader.blocks().iter().find(|entry| end(entry) % 4096 != 0).map(end).unwrap() as usize;
    let last = get(&file, field::VIRTUAL + 8) as usize - 1;
    for at in [last, padded] {
        if file[at] == 0 {
            file[at] = 1;
            assert!(verify(&file).is_err(), "{at}");
            file[at] = 0;
        }
    }
    verify(&file).unwrap();
}

/// A file that changes between open and use, or a disk that fails, gives an error and no panic.
#[test]
fn a_source_that_fails_later() {
    struct Failing<'a>(&'a [u8], std::cell::Cell<usize>, std::io::ErrorKind);
    impl Source for Failing<'_> {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
            let left = self.1.get();
            self.1.set(left.saturating_sub(1));
            if left == 0 { Err(self.2.into()) } else { self.0.read_exact_at(buf, offset) }
        }
        fn len(&self) -> std::io::Result<u64> {
            Ok(self.0.len() as u64)
        }
    }
    let (_, file) = sample(Compression::None);
    for kind in [std::io::ErrorKind::UnexpectedEof, std::io::ErrorKind::Other] {
        let mut reads = 0;
        loop {
            let source = Failing(&file, std::cell::Cell::new(reads), kind);
            match ImageReader::open(source).and_then(|reader| reader.verify(|_| Ok(()))) {
                Ok(_) => break,
                Err(ImageError::Io { .. }) => assert_eq!(kind, std::io::ErrorKind::Other),
                Err(ImageError::Truncated { .. }) => assert_eq!(kind, std::io::ErrorKind::UnexpectedEof),
                Err(other) => panic!("{other}"),
            }
            reads += 1;
        }
        assert!(reads >= 5, "header, footer, state, index, memory");
    }
}
