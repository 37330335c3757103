//! Reads blocks of the image ahead of whoever places them, in a thread of its own.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use torpor_image::{BlockBuf, ImageError, ImageReader};

/// Blocks that are read and wait to be placed, at most: 256 KiB of pages each, and room to decode them.
const BUFFERS: usize = 16;

/// One block that was asked for.
pub struct Loaded {
    pub block: u32,
    /// Its buffer, and how many bytes of pages it holds; nothing for one that nobody needs any more.
    pub pages: Option<(BlockBuf, usize)>,
}

/// The asking side. Dropping it ends the thread.
pub struct Ahead {
    orders: Sender<Vec<u32>>,
    loaded: Receiver<Result<Loaded, ImageError>>,
    free: Sender<BlockBuf>,
    bell: OwnedFd,
    /// Blocks asked for and not come yet.
    outstanding: usize,
}

impl Ahead {
    /// Starts the thread. `placed` tells by block what needs no reading any more.
    pub fn start<'scope, 'image: 'scope>(
        scope: &'scope Scope<'scope, '_>,
        image: &'image ImageReader<File>,
        placed: &'image [AtomicBool],
    ) -> std::io::Result<Ahead> {
        use rustix::event::{EventfdFlags, eventfd};
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let ring = bell.try_clone()?;
        let (orders, ordered) = channel::<Vec<u32>>();
        let (tell, loaded) = channel();
        let (free, buffers) = channel();
        for _ in 0..BUFFERS {
            let _ = free.send(BlockBuf::new());
        }
        std::thread::Builder::new().name("read-ahead".into()).spawn_scoped(scope, move || {
            for block in ordered.iter().flatten() {
                let one = read(image, block, placed, &buffers);
                let ended = one.is_err();
                if tell.send(one).is_err() {
                    return;
                }
                let _ = rustix::io::write(&ring, &1u64.to_ne_bytes());
                if ended {
                    return;
                }
            }
        })?;
        Ok(Ahead { orders, loaded, free, bell, outstanding: 0 })
    }

    pub fn order(&mut self, blocks: Vec<u32>) {
        self.outstanding += blocks.len();
        let _ = self.orders.send(blocks);
    }

    pub fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    /// Readable when something has come.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    pub fn silence(&self) {
        let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
    }

    /// The next block that has come, if there is one.
    ///
    /// # Errors
    /// The image is damaged or can't be read.
    pub fn next(&mut self) -> Result<Option<Loaded>, ImageError> {
        let Ok(one) = self.loaded.try_recv() else { return Ok(None) };
        self.outstanding -= 1;
        one.map(Some)
    }

    pub fn give_back(&self, buffer: BlockBuf) {
        let _ = self.free.send(buffer);
    }
}

fn read(
    image: &ImageReader<File>,
    block: u32,
    placed: &[AtomicBool],
    buffers: &Receiver<BlockBuf>,
) -> Result<Loaded, ImageError> {
    let nothing = Loaded { block, pages: None };
    if placed[block as usize].load(Ordering::Relaxed) {
        return Ok(nothing);
    }
    let Ok(mut buffer) = buffers.recv() else { return Ok(nothing) };
    let len = image.read_block(block as usize, &mut buffer)?.len();
    Ok(Loaded { block, pages: Some((buffer, len)) })
}
