//! Builds small images in memory for the tests.
#![allow(dead_code)] // each test program uses a part of it

pub mod forge;

use torpor_image::*;

/// Deterministic noise (xorshift): the same seed, the same bytes.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

pub fn info(id: u8) -> HeaderInfo {
    HeaderInfo {
        image_id: ImageId([id; 16]),
        parent: None,
        chain_len: 1,
        arch: Arch::X86_64,
        created_at_unix_ms: 1_790_000_000_000,
    }
}

pub fn child_info(id: u8, parent: &Summary, chain_len: u32) -> HeaderInfo {
    let parent = ParentRef { id: parent.id, content_hash: parent.content_hash };
    HeaderInfo { parent: Some(parent), chain_len, ..info(id) }
}

pub fn run(space: u32, start_page: u64, pages: u64, section: Section, source: PageSource) -> PageRun {
    PageRun { space, start_page, pages, section, source }
}

/// Contents of a page, from its place: every third zero, every third text-like, every third noise.
pub fn page_of(space: u32, page: u64, salt: u64) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_SIZE];
    match page % 3 {
        0 => {}
        1 => bytes.iter_mut().enumerate().for_each(|(n, byte)| *byte = (n as u64 / 64 + page + salt) as u8),
        _ => Noise((u64::from(space) << 32 | page) + salt + 1).fill(&mut bytes),
    }
    bytes
}

/// The pages of `bits` of a block, as `page_of` makes them.
pub fn pages_of(block: &PlannedBlock, bits: u64, salt: u64) -> Vec<u8> {
    (0..64)
        .filter(|n| bits >> n & 1 == 1)
        .flat_map(|n| page_of(block.space, block.base_page + n, salt))
        .collect()
}

/// Writes a whole image of `runs` with the contents of [`page_of`].
pub fn write(
    info: HeaderInfo,
    state: &[u8],
    runs: Vec<PageRun>,
    compression: Compression,
    salt: u64,
) -> (Summary, Vec<u8>) {
    let layout = Layout::new(Plan { state_len: state.len() as u64, runs }).unwrap();
    let bound = layout.file_len_bound();
    let mut writer = ImageWriter::new(Vec::new(), info, layout.clone(), WriteOptions { compression });
    writer.write_state(state).unwrap();
    for block in layout.blocks() {
        match block.source {
            PageSource::Stored => {
                writer.write_pages(&block, block.pages, &pages_of(&block, block.pages, salt)).unwrap();
            }
            PageSource::InParent => writer.mark_in_parent(&block).unwrap(),
        }
    }
    let (summary, file) = writer.finish().unwrap();
    assert_eq!(summary.file_len, file.len() as u64);
    assert!(summary.file_len <= bound, "{} > {bound}", summary.file_len);
    (summary, file)
}

/// Opens and verifies.
pub fn verify(file: &[u8]) -> Result<VerifyReport, ImageError> {
    ImageReader::open(file.to_vec())?.verify(|_| Ok(()))
}

/// A small image with both sections, all kinds of pages, and padding of every kind.
pub fn sample(compression: Compression) -> (Summary, Vec<u8>) {
    let runs = vec![
        run(1, 5, 20, Section::Physical, PageSource::Stored),
        run(1, 60, 9, Section::Physical, PageSource::Stored),
        run(1, 69, 3, Section::Virtual, PageSource::Stored),
        run(2, 0x7f_fff0, 2, Section::Physical, PageSource::Stored),
        run(3, 3, 1, Section::Virtual, PageSource::Stored),
    ];
    write(info(7), b"invented system state of no program", runs, compression, 0)
}
