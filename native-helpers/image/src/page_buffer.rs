//! A byte buffer that starts on a page boundary, as O_DIRECT wants it, without `unsafe`.

use std::ops::{Deref, DerefMut};

use crate::limits::PAGE_SIZE;

/// A buffer of fixed length that starts at a multiple of 4 KiB in memory. New ones are zeroed, but
/// not touched: large ones cost nothing until they are used.
pub struct PageBuffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl PageBuffer {
    /// A zeroed buffer of `len` bytes (any length; only the start is aligned).
    #[must_use]
    pub fn new(len: usize) -> Self {
        // The vector is never grown or moved to another allocation, so its alignment stays.
        let bytes = vec![0; len + PAGE_SIZE - 1];
        let start = bytes.as_ptr().addr().next_multiple_of(PAGE_SIZE) - bytes.as_ptr().addr();
        Self { bytes, start, len }
    }
}

impl Deref for PageBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for PageBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_page_and_stays_there_when_moved() {
        let buffers: Vec<_> = [0, 1, 4096, 100_000].into_iter().map(PageBuffer::new).collect();
        for (buffer, len) in buffers.iter().zip([0, 1, 4096, 100_000]) {
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().addr() % PAGE_SIZE, 0);
        }
    }
}
