//! How fast blocks are checked, encoded, written and read back: MB per second of memory, on one thread.
//!
//! `cargo run --release -p torpor-image --example throughput [MIB] [FILE]`
//!
//! MIB of memory (256) of three kinds: noise, text-like, and half zero pages. With FILE, images are also
//! written to and read from it, through the page cache. Medians of seven runs: by processor time, so that
//! what else the machine does matters little, and by the clock.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::time::Instant;

use torpor_image::*;

const BLOCK: usize = BLOCK_PAGES * PAGE_SIZE;

/// Takes everything, keeps nothing: what is left is the format's own cost.
struct Nowhere;

impl Sink for Nowhere {
    fn write_all_at(&mut self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mib: usize = args.next().map_or(256, |text| text.parse().expect("a number of MiB"));
    let file = args.next();
    let len = mib << 20;
    let noise = noise(len);

    println!("checksums of {mib} MiB in blocks of 256 KiB");
    report("  XXH3-128 (the format's)", len, || {
        noise.chunks(BLOCK).for_each(|block| consume(block_checksum(block)))
    });
    report("  CRC-32C", len, || noise.chunks(BLOCK).for_each(|block| consume(crc32c::crc32c(block))));
    report("  BLAKE3", len, || noise.chunks(BLOCK).for_each(|block| consume(blake3::hash(block))));
    let mut copy = vec![0; BLOCK];
    // Written to, or all of it would be one page of the kernel's.
    let mut zeros = noise.clone();
    zeros.fill(0);
    report("  (finding zero pages to be zero)", len, || {
        let mut encoder = BlockEncoder::new(Compression::None);
        let block = one_block();
        zeros
            .chunks_exact(BLOCK)
            .for_each(|pages| drop(black_box(encoder.encode(&block, block.pages, pages))))
    });
    report("  (copying, to compare)", len, || {
        noise.chunks(BLOCK).for_each(|block| copy[..block.len()].copy_from_slice(black_box(block)))
    });

    for (name, memory) in [("noise", &noise), ("text", &text(len)), ("half zero", &half_zero(&noise))] {
        println!("memory of {name}");
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            measure(memory, compression, file.as_deref());
        }
    }
}

fn measure(memory: &[u8], compression: Compression, file: Option<&str>) {
    let len = memory.len();
    let mut summary = None;
    report(&format!("  {compression:?}: encode"), len, || {
        summary = Some(write(Nowhere, memory, compression).0)
    });
    let ratio = summary.expect("ran").stored_bytes as f64 / len as f64;
    let image = write(Vec::new(), memory, compression).1;
    let reader = ImageReader::open(image).expect("just written");
    let mut buf = BlockBuf::new();
    report(&format!("  {compression:?}: decode block by block ({ratio:.2} of the size)"), len, || {
        for block in 0..reader.blocks().len() {
            black_box(reader.read_block(block, &mut buf).expect("just written"));
        }
    });
    report(&format!("  {compression:?}: verify"), len, || {
        reader.verify(|_| Ok::<(), ImageError>(())).expect("just written");
    });
    let Some(path) = file else { return };
    report(&format!("  {compression:?}: to a file"), len, || {
        drop(write(File::create(path).expect("a file that can be written"), memory, compression));
    });
    let reader = ImageReader::open(File::open(path).expect("just written")).expect("just written");
    report(&format!("  {compression:?}: verify a file"), len, || {
        reader.verify(|_| Ok::<(), ImageError>(())).expect("just written");
    });
    drop(reader);
    std::fs::remove_file(path).expect("just written");
}

fn write<S: Sink>(sink: S, memory: &[u8], compression: Compression) -> (Summary, S) {
    let pages = (memory.len() / PAGE_SIZE) as u64;
    let (section, source) = (Section::Physical, PageSource::Stored);
    let runs = vec![PageRun { space: 1, start_page: 0, pages, section, source }];
    let layout = Layout::new(Plan { state_len: 0, runs }).expect("a plan that fits");
    let info = HeaderInfo {
        image_id: ImageId([1; 16]),
        parent: None,
        chain_len: 1,
        arch: Arch::HOST,
        created_at_unix_ms: 0,
    };
    let mut writer = ImageWriter::new(sink, info, layout.clone(), WriteOptions { compression });
    writer.write_state(&[]).expect("no state");
    for (block, pages) in layout.blocks().zip(memory.chunks(BLOCK)) {
        let fill = |room: &mut [u8]| {
            room.copy_from_slice(pages);
            Ok::<u64, WriteError>(block.pages)
        };
        writer.fill_block(&block, fill).expect("written");
    }
    writer.finish().expect("written")
}

fn one_block() -> PlannedBlock {
    let (section, source) = (Section::Physical, PageSource::Stored);
    PlannedBlock { section, space: 1, base_page: 0, pages: u64::MAX, source }
}

fn report(name: &str, len: usize, mut run: impl FnMut()) {
    let mut runs: Vec<(f64, f64)> = (0..7)
        .map(|_| {
            let (start, cpu) = (Instant::now(), cpu_seconds());
            run();
            (cpu_seconds() - cpu, start.elapsed().as_secs_f64())
        })
        .collect();
    let mut median = |of: fn(&(f64, f64)) -> f64| {
        runs.sort_by(|a, b| of(a).total_cmp(&of(b)));
        len as f64 / of(&runs[3]) / 1e6
    };
    let (cpu, wall) = (median(|run| run.0), median(|run| run.1));
    println!("{name:<54} {cpu:>7.0} MB/s of processor time {wall:>7.0} by the clock");
}

/// Processor time of this thread so far.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("procfs");
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse::<f64>().ok());
    nanoseconds.expect("a number of nanoseconds") / 1e9
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = vec![0; len];
    for chunk in bytes.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Words in an order that does not repeat soon.
fn text(len: usize) -> Vec<u8> {
    let words = ["ward ", "bed ", "patient ", "stable ", "at ", "08:15 ", "nurse ", "called\n"];
    let mut bytes = Vec::with_capacity(len + 16);
    let mut state = 1u64;
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(words[(state >> 60) as usize % words.len()].as_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn half_zero(noise: &[u8]) -> Vec<u8> {
    let mut bytes = noise.to_vec();
    bytes.chunks_mut(2 * PAGE_SIZE).for_each(|pair| pair[..PAGE_SIZE].fill(0));
    bytes
}

/// Makes sure that a result is computed although nobody looks at it.
fn consume<T>(result: T) {
    black_box(result);
}
