//! The image's file as the pager reads it: past the page cache, but what is in there already.
//!
//! Filling the page cache costs a copy and fresh pages for contents that nobody reads a second time.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use torpor_image::Source;
use torpor_sys::fd;

pub struct ImageBytes<'a> {
    cached: &'a File,
    /// The same file with O_DIRECT, where its file system and our rights allow it.
    direct: Option<File>,
}

impl<'a> ImageBytes<'a> {
    pub fn of(file: &'a File) -> ImageBytes<'a> {
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(own).ok();
        ImageBytes { cached: file, direct }
    }
}

impl Source for ImageBytes<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct
            && !fd::is_cached(self.cached.as_fd(), offset, buf.len() as u64)
        {
            match FileExt::read_exact_at(direct, buf, offset) {
                // It is opened so and can't be read so: some file systems, and disks with larger blocks.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
                done => return done,
            }
        }
        FileExt::read_exact_at(self.cached, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Source::len(self.cached)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use torpor_image::PageBuffer;

    use super::*;

    /// Whole pages of a file, each of another byte.
    fn file(folder: &std::path::Path) -> File {
        let mut file =
            File::options().read(true).write(true).create_new(true).open(folder.join("file")).unwrap();
        for page in 0..8u8 {
            file.write_all(&[page; 4096]).unwrap();
        }
        file
    }

    #[test]
    fn reads_the_same_with_and_without_the_page_cache() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let bytes = ImageBytes::of(&file);
        let mut buffer = PageBuffer::new(2 * 4096);
        let expected = [[3u8; 4096], [4; 4096]].concat();
        bytes.read_exact_at(&mut buffer, 3 * 4096).unwrap();
        assert_eq!(&*buffer, &expected[..]);
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        buffer.fill(0);
        bytes.read_exact_at(&mut buffer, 3 * 4096).unwrap();
        assert_eq!(&*buffer, &expected[..]);
        let past = bytes.read_exact_at(&mut buffer, 7 * 4096).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
    }
}
