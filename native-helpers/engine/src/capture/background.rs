//! Writes an image's memory behind its reading: the next chunk is filled while earlier ones are on their way to
//! the disk, several at once, so that neither waits for the other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use torpor_image::{CHUNK_LEN, PageBuffer, Sink};

/// Requests in flight at once. Two keep a disk busy between one's end and the next one's start.
const WRITERS: usize = 2;
/// Chunks besides the one that is being filled: one for each writer and as many waiting.
const CHUNKS: usize = 2 * WRITERS;

struct Job {
    chunk: PageBuffer,
    len: usize,
    offset: u64,
}

/// A sink whose chunks are written by threads of its own.
pub struct BackgroundSink<'a> {
    file: &'a File,
    jobs: SyncSender<Job>,
    written: Receiver<io::Result<PageBuffer>>,
    /// Chunks that may still be made.
    unmade: usize,
    in_flight: usize,
}

/// Runs `work` with a sink that writes to `file` in the background. All threads have ended afterwards; what was
/// handed in without a [`Sink::flush`] may be missing.
pub fn writing<R>(file: &File, work: impl FnOnce(BackgroundSink<'_>) -> R) -> R {
    thread::scope(|scope| {
        let (jobs, queue) = sync_channel::<Job>(CHUNKS);
        let (done, written) = channel();
        let queue = std::sync::Arc::new(Mutex::new(queue));
        for _ in 0..WRITERS {
            let (queue, done) = (queue.clone(), done.clone());
            scope.spawn(move || write_jobs(file, &queue, &done));
        }
        work(BackgroundSink { file, jobs, written, unmade: CHUNKS, in_flight: 0 })
    })
}

fn write_jobs(file: &File, queue: &Mutex<Receiver<Job>>, done: &Sender<io::Result<PageBuffer>>) {
    loop {
        // Held while waiting: the other one waits for the lock instead.
        let job = queue.lock().map(|queue| queue.recv());
        let Ok(Ok(Job { chunk, len, offset })) = job else { return };
        let result = file.write_all_at(&chunk[..len], offset).map(|()| chunk);
        if done.send(result).is_err() {
            return;
        }
    }
}

impl BackgroundSink<'_> {
    fn take_back(&mut self) -> io::Result<PageBuffer> {
        let ended = || io::Error::other("the writing threads have ended");
        self.in_flight -= 1;
        self.written.recv().map_err(|_| ended())?
    }
}

impl Sink for BackgroundSink<'_> {
    fn write_all_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn write_chunk(&mut self, chunk: PageBuffer, len: usize, offset: u64) -> io::Result<PageBuffer> {
        let ended = |_| io::Error::other("the writing threads have ended");
        self.jobs.send(Job { chunk, len, offset }).map_err(ended)?;
        self.in_flight += 1;
        if self.unmade > 0 {
            self.unmade -= 1;
            return Ok(PageBuffer::new(CHUNK_LEN));
        }
        self.take_back()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.in_flight > 0 {
            self.take_back()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(byte: u8) -> PageBuffer {
        let mut chunk = PageBuffer::new(CHUNK_LEN);
        chunk.fill(byte);
        chunk
    }

    #[test]
    fn all_of_it_is_there_after_a_flush() {
        let file = tempfile::tempfile().unwrap();
        let count = CHUNKS as u64 * 3;
        writing(&file, |mut sink| {
            let mut next = chunk(0);
            for n in 0..count {
                next.fill(n as u8);
                next = sink.write_chunk(next, CHUNK_LEN, n * CHUNK_LEN as u64).unwrap();
            }
            sink.flush().unwrap();
        });
        let mut byte = [0];
        for n in 0..count {
            for at in [0, CHUNK_LEN as u64 - 1] {
                file.read_exact_at(&mut byte, n * CHUNK_LEN as u64 + at).unwrap();
                assert_eq!(byte[0], n as u8);
            }
        }
        assert_eq!(file.metadata().unwrap().len(), count * CHUNK_LEN as u64);
    }

    #[test]
    fn a_failure_is_told_and_nothing_hangs() {
        let file = File::open("/proc/self/exe").unwrap();
        let failed = writing(&file, |mut sink| {
            let mut next = chunk(1);
            for n in 0..64 {
                match sink.write_chunk(next, CHUNK_LEN, n * CHUNK_LEN as u64) {
                    Ok(again) => next = again,
                    Err(e) => return e.raw_os_error(),
                }
            }
            None
        });
        assert_eq!(failed, Some(libc::EBADF));
    }
}
