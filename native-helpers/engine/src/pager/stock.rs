//! The images of a chain as the pager reads them: pieces of them, what lies together with one request.

use std::fs::File;

use torpor_image::{BlockRun, ImageChain, ImageError, ImageReader};

use super::image_bytes::ImageBytes;
use crate::restore::lazy::Piece;

pub struct Stock<'a> {
    /// Youngest first.
    images: Vec<(&'a ImageReader<File>, ImageBytes<'a>)>,
    pieces: &'a [Piece],
}

/// Pieces that were read together. Kept between reads.
pub struct PieceRun {
    run: BlockRun,
    numbers: Vec<u32>,
}

impl<'a> Stock<'a> {
    pub fn of(chain: &'a ImageChain<File>, pieces: &'a [Piece]) -> Stock<'a> {
        let images = chain.images().iter().map(|image| (image, ImageBytes::of(image.source())));
        Stock { images: images.collect(), pieces }
    }

    pub fn piece(&self, number: u32) -> &'a Piece {
        &self.pieces[number as usize]
    }

    pub fn pieces(&self) -> &'a [Piece] {
        self.pieces
    }

    /// How many of the first of these one request brings in. At least one, where there is one.
    pub fn run_of(&self, numbers: impl Iterator<Item = u32>) -> usize {
        let mut pieces = numbers.map(|number| self.piece(number)).peekable();
        let Some(image) = pieces.peek().map(|piece| piece.image) else { return 0 };
        self.images[image].0.run_of(pieces.take_while(|piece| piece.image == image).map(|piece| piece.block))
    }

    /// Reads, checks and decodes pieces, no more than [`Stock::run_of`] says.
    ///
    /// # Errors
    /// A block is damaged, or can't be read.
    pub fn read(&self, numbers: &[u32], into: &mut PieceRun) -> Result<(), ImageError> {
        into.numbers.clear();
        let Some(first) = numbers.first() else { return Ok(()) };
        let (image, bytes) = &self.images[self.piece(*first).image];
        let blocks: Vec<u32> = numbers.iter().map(|number| self.piece(*number).block).collect();
        image.read_run(bytes, &blocks, &mut into.run)?;
        into.numbers.extend(numbers);
        Ok(())
    }
}

impl PieceRun {
    pub fn new() -> PieceRun {
        PieceRun { run: BlockRun::new(), numbers: Vec::new() }
    }

    /// Room for one piece only.
    pub fn of_one() -> PieceRun {
        PieceRun { run: BlockRun::of(1), numbers: Vec::new() }
    }

    pub fn is_of_one(&self) -> bool {
        self.run.room() == 1
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of one of its pieces, and all pages that its block holds.
    pub fn get(&self, at: usize) -> (u32, &[u8]) {
        (self.numbers[at], self.run.get(at).1)
    }

    /// The pages of a piece, if it has that.
    pub fn find(&self, number: u32) -> Option<&[u8]> {
        let at = self.numbers.iter().position(|n| *n == number)?;
        Some(self.get(at).1)
    }
}
