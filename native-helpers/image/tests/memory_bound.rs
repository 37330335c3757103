//! How much memory an image may cost, honest or not. A test program of its own: it looks at the peak of
//! the whole process.

mod support;

use std::io;

use support::forge::{field, reseal};
use support::*;
use torpor_image::*;

/// Peak of resident memory so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

struct Nowhere(u64);

impl Sink for Nowhere {
    fn write_all_at(&mut self, buf: &[u8], _: u64) -> io::Result<()> {
        self.0 += buf.len() as u64;
        Ok(())
    }
}

/// A file whose state and index are as large as the limits let them be, all made of zeros but for the
/// header, the footer and the space number of each entry.
struct Largest {
    header: Vec<u8>,
    footer: Vec<u8>,
    len: u64,
}

const INDEX_START: u64 = 4096 + MAX_STATE_LEN;

impl Source for Largest {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        buf.fill(0);
        if offset == 0 {
            buf.copy_from_slice(&self.header);
        } else if offset == self.len - 4096 {
            buf.copy_from_slice(&self.footer);
        } else if offset >= INDEX_START {
            let first = (offset - INDEX_START) / 64;
            for (n, entry) in buf.chunks_exact_mut(64).enumerate() {
                // Space number; one zero page.
                entry[..4].copy_from_slice(&(first as u32 + n as u32).to_le_bytes());
                entry[24] = 1;
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

fn largest() -> Largest {
    let entries = MAX_INDEX_LEN / 64;
    let end = INDEX_START + MAX_INDEX_LEN;
    let (_, mut frame) = write(info(1), b"", vec![], Compression::None, 0);
    let mut put = |at: usize, value: u64| forge_put(&mut frame, at, value);
    for (section, offset, len) in [
        (field::STATE, 4096, MAX_STATE_LEN),
        (field::INDEX, INDEX_START, MAX_INDEX_LEN),
        (field::PHYSICAL, end, 0),
        (field::VIRTUAL, end, 0),
    ] {
        put(section + 8, offset);
        put(section + 16, len);
        put(section + 24, len);
    }
    put(field::PHYSICAL + 40, entries);
    put(field::FILE_LEN, end + 4096);
    frame[field::PHYSICAL + 4..field::PHYSICAL + 8].copy_from_slice(&(entries as u32).to_le_bytes());
    // Hash the parts in pieces, then seal header and footer.
    let mut source = Largest { header: vec![0; 4096], footer: vec![0; 4096], len: end + 4096 };
    for (section, start, len) in
        [(field::STATE, 4096, MAX_STATE_LEN), (field::INDEX, INDEX_START, MAX_INDEX_LEN)]
    {
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; 1 << 20];
        for offset in (start..start + len).step_by(piece.len()) {
            source.read_exact_at(&mut piece, offset).unwrap();
            hasher.update(&piece);
        }
        frame[section + 32..section + 64].copy_from_slice(hasher.finalize().as_bytes());
    }
    let footer = frame.len() - 4096;
    frame[footer + 8..footer + 16].copy_from_slice(&(end + 4096).to_le_bytes());
    reseal(&mut frame);
    source.footer = frame.split_off(footer);
    source.header = frame;
    source
}

fn forge_put(file: &mut [u8], at: usize, value: u64) {
    support::forge::put(file, at, value);
}

#[test]
fn memory_stays_bounded() {
    let start = peak();
    // Writing: 1 GiB of memory through a few buffers.
    let runs = vec![run(1, 0, 1 << 18, Section::Physical, PageSource::Stored)];
    let layout = Layout::new(Plan { state_len: 0, runs }).unwrap();
    let mut pages = vec![0; BLOCK_PAGES * PAGE_SIZE];
    Noise(3).fill(&mut pages);
    let mut writer = ImageWriter::new(Nowhere(0), info(1), layout.clone(), WriteOptions::default());
    writer.write_state(b"").unwrap();
    for block in layout.blocks() {
        // No two are alike: such would be stored once.
        pages[..8].copy_from_slice(&block.base_page.to_le_bytes());
        writer.write_pages(&block, block.pages, &pages).unwrap();
    }
    let (summary, sink) = writer.finish().unwrap();
    assert_eq!((summary.file_len, sink.0), (layout.file_len_bound(), layout.file_len_bound()));
    let written = peak();
    assert!(written - start < 8 << 20, "writing took {} MiB", (written - start) >> 20);

    // Reading the worst that passes all checks: state and index at their limits.
    let reader = ImageReader::open(largest()).unwrap();
    assert_eq!(reader.blocks().len() as u64, MAX_INDEX_LEN / 64);
    reader.verify(|_| Ok::<(), ImageError>(())).unwrap();
    assert_eq!(reader.state_bytes().unwrap().len() as u64, MAX_STATE_LEN);
    let read = peak();
    assert!(read < 200 << 20, "reading took {} MiB", read >> 20);
    eprintln!("peak: {} MiB after writing 1 GiB, {} MiB after the largest image", written >> 20, read >> 20);
}
