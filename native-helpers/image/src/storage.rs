//! Where an image is read from and written to: two small traits, with files and memory as stores.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::page_buffer::PageBuffer;

/// Something that can be read at any offset.
///
/// The reader's reads have offset, length and buffer aligned to 4 KiB (but for a file whose length isn't a
/// multiple of that, which is refused), so that a store may use O_DIRECT.
pub trait Source {
    /// Fills `buf` from `offset` bytes after the start.
    ///
    /// # Errors
    /// `UnexpectedEof` where the source ends before `buf` is full; otherwise what the store says.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// What the store says.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// As [`Source::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Something that can be written at any offset.
///
/// The writer's offsets, lengths and buffers are all aligned to 4 KiB, so that a store may use
/// O_DIRECT. Ranges are written once each, not in order of offset: the header comes next to last, the
/// footer last.
pub trait Sink {
    /// Writes all of `buf` at `offset` bytes after the start.
    ///
    /// # Errors
    /// What the store says, such as `StorageFull`.
    fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Writes the first `len` bytes of `chunk` at `offset`, and returns a chunk of the same size to
    /// fill next, its contents of no importance. Used for memory only, always with chunks of
    /// [`CHUNK_LEN`](crate::CHUNK_LEN) bytes. A store that writes in the background takes `chunk` away
    /// and returns another one, so that nothing is copied and reading goes on meanwhile.
    ///
    /// # Errors
    /// As [`Sink::write_all_at`]; a store that writes in the background may report an earlier failure.
    fn write_chunk(&mut self, chunk: PageBuffer, len: usize, offset: u64) -> io::Result<PageBuffer> {
        self.write_all_at(&chunk[..len], offset)?;
        Ok(chunk)
    }

    /// Waits for all that [`Sink::write_chunk`] took away to be written. Called once, before the header;
    /// says nothing of durability, which is the caller's.
    ///
    /// # Errors
    /// If any of it could not be written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(buf.len())?));
        match range.and_then(|range| self.get(range)) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }
}

impl Source for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        Source::read_exact_at(self.as_slice(), buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Source::len(self.as_slice())
    }
}

impl Source for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

macro_rules! delegate_source {
    ($($pointer:ty),*) => {$(
        impl<S: Source + ?Sized> Source for $pointer {
            fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
                (**self).read_exact_at(buf, offset)
            }
            fn len(&self) -> io::Result<u64> {
                (**self).len()
            }
        }
    )*};
}

delegate_source!(&S, Box<S>, std::sync::Arc<S>);

/// Grows as it is written; gaps are zeros, as in a file.
impl Sink for Vec<u8> {
    fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if self.len() < end {
            self.resize(end, 0);
        }
        self[start..end].copy_from_slice(buf);
        Ok(())
    }
}

impl Sink for File {
    fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, buf, offset)
    }
}

impl Sink for &File {
    fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(*self, buf, offset)
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        (**self).write_all_at(buf, offset)
    }

    fn write_chunk(&mut self, chunk: PageBuffer, len: usize, offset: u64) -> io::Result<PageBuffer> {
        (**self).write_chunk(chunk, len, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}
