//! Opens and verifies any bytes as an image, as they are and with all hashes made right, so that the
//! checks behind the hashes are reached. Nothing may panic or take much memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use torpor_image::{BlockBuf, ImageChain, ImageError, ImageReader, NoParents, PAGE_SIZE};

#[path = "../../tests/support/forge.rs"]
#[allow(dead_code)]
mod forge;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if bytes.len() >= 2 * PAGE_SIZE {
        let mut sealed = bytes.to_vec();
        forge::reseal(&mut sealed);
        read(&sealed);
    }
});

fn read(bytes: &[u8]) {
    let Ok(reader) = ImageReader::open(bytes) else { return };
    let _ = reader.state_bytes();
    let mut buf = BlockBuf::new();
    for block in 0..reader.blocks().len() {
        let _ = reader.read_block(block, &mut buf);
    }
    let _ = reader.verify(|_| Ok::<(), ImageError>(()));
    let _ = ImageChain::open(bytes, NoParents);
}
