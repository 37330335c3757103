//! Tells the kernel which blocks of the image are about to be read, so that the disk works while the tree is being
//! built and while earlier blocks are checked and copied.
//!
//! Not a thread that reads: while a tree is being built, its number could be one that a process is to get.

use std::fs::File;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};
use torpor_image::ImageReader;

/// Bytes that are under way at once.
const AHEAD: u64 = 4 << 20;

/// Blocks that will be read, in order.
pub struct Hints<'a, I> {
    image: &'a ImageReader<File>,
    upcoming: I,
    told: u64,
    read: u64,
}

impl<'a, I: Iterator<Item = usize>> Hints<'a, I> {
    /// Tells of the first of them at once.
    pub fn new(image: &'a ImageReader<File>, upcoming: I) -> Hints<'a, I> {
        let mut hints = Hints { image, upcoming, told: 0, read: 0 };
        hints.tell();
        hints
    }

    /// One of the blocks is being read now.
    pub fn reads(&mut self, block: usize) {
        self.read += self.len(block);
        self.tell();
    }

    fn len(&self, block: usize) -> u64 {
        self.image.blocks()[block].stored_len.into()
    }

    fn tell(&mut self) {
        while self.told < self.read + AHEAD {
            let Some(block) = self.upcoming.next() else { return };
            self.told += self.len(block);
            // What is in a parent has no bytes here. A hint that is not taken costs nothing but time.
            if let Some(len) = NonZeroU64::new(self.len(block)) {
                let _ = fadvise(
                    self.image.source(),
                    self.image.blocks()[block].offset,
                    Some(len),
                    Advice::WillNeed,
                );
            }
        }
    }
}
