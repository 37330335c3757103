//! A disk that fails: a file system of this test's own (fuse(4)) with one file, whose reading fails for good once so much
//! of it was read.
//!
//! It is mounted in a mount namespace of the calling thread, which goes with the thread and the programs that it starts.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::home::text;

const NAME: &str = "image.torpor";
const FILE: u64 = 2;
/// Requests, by the numbers of include/uapi/linux/fuse.h.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

pub struct FailingDisk {
    folder: tempfile::TempDir,
}

impl FailingDisk {
    /// Serves `file`, of which `healthy` bytes can be read in all.
    pub fn of(file: &Path, healthy: u64) -> FailingDisk {
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let device = File::options().read(true).write(true).open("/dev/fuse").expect("open /dev/fuse");
        let path = CString::new(text(folder.path())).expect("a path");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = CString::new(options).expect("options");
        // SAFETY: all strings end with a NUL and outlive the calls.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "{}", std::io::Error::last_os_error());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let none = std::ptr::null();
            assert_eq!(
                libc::mount(none, c"/".as_ptr(), none, private, none.cast()),
                0,
                "a private namespace"
            );
            let (kind, flags) = (c"fuse".as_ptr(), libc::MS_RDONLY | libc::MS_NODEV | libc::MS_NOSUID);
            let mounted = libc::mount(kind, path.as_ptr(), kind, flags, options.as_ptr().cast());
            assert_eq!(mounted, 0, "mount: {}", std::io::Error::last_os_error());
        }
        let content = File::open(file).expect("open the image");
        std::thread::spawn(move || serve(device, &content, healthy));
        FailingDisk { folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        let path = CString::new(text(self.folder.path())).expect("a path");
        // SAFETY: the string ends with a NUL and outlives the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

fn serve(mut device: File, content: &File, mut healthy: u64) {
    let len = content.metadata().expect("its size").len();
    let mut request = vec![0u8; 256 << 10];
    // Ends when it is unmounted.
    while let Ok(read) = device.read(&mut request) {
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().expect("8 bytes"));
        let (opcode, unique, node, body) = (word(4), long(8), long(16), 40);
        let answer = match opcode {
            FORGET | INTERRUPT | BATCH_FORGET => continue,
            INIT => Ok(init(word(body))),
            LOOKUP if request[body..read].starts_with(NAME.as_bytes()) => {
                Ok([&FILE.to_ne_bytes()[..], &[0; 32], &attributes(FILE, len)].concat())
            }
            LOOKUP => Err(libc::ENOENT),
            GETATTR => Ok([&[0u8; 16][..], &attributes(node, len)].concat()),
            OPEN | OPENDIR => Ok(vec![0; 16]),
            READDIR | RELEASE | RELEASEDIR | FLUSH => Ok(Vec::new()),
            STATFS => Ok(vec![0; 80]),
            READ => {
                let (at, size) = (long(body + 8), u64::from(word(body + 16)));
                let size = size.min(len.saturating_sub(at));
                let mut bytes = vec![0; size as usize];
                if healthy < size {
                    healthy = 0;
                    Err(libc::EIO)
                } else {
                    healthy -= size;
                    content.read_exact_at(&mut bytes, at).map_err(|_| libc::EIO).map(|()| bytes)
                }
            }
            _ => Err(libc::ENOSYS),
        };
        let (error, bytes) = answer.map_or_else(|e| (-e, Vec::new()), |bytes| (0, bytes));
        let len = (16 + bytes.len()) as u32;
        let head = [&len.to_ne_bytes()[..], &error.to_ne_bytes(), &unique.to_ne_bytes()].concat();
        // Nobody waits for it any more, perhaps.
        let _ = device.write(&[head, bytes].concat());
    }
}

/// `struct fuse_init_out`.
fn init(major: u32) -> Vec<u8> {
    let mut words = [0u32; 16];
    (words[0], words[1]) = (major, 31);
    // Bytes read ahead, and written by one request.
    (words[2], words[5]) = (128 << 10, 4096);
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// `struct fuse_attr`.
fn attributes(node: u64, len: u64) -> Vec<u8> {
    let (mode, size) = if node == FILE { (libc::S_IFREG | 0o600, len) } else { (libc::S_IFDIR | 0o755, 0) };
    let longs = [node, size, size.div_ceil(512), 0, 0, 0];
    let words = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0];
    let longs = longs.iter().flat_map(|long| long.to_ne_bytes());
    longs.chain(words.iter().flat_map(|word| word.to_ne_bytes())).collect()
}
