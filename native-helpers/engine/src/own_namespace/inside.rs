//! A look into another network: its sockets can be listed and made only from inside.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use torpor_sys::ids;

/// The calling thread is in another network as long as this is there.
#[derive(Debug)]
pub struct InNetwork {
    back: File,
}

impl InNetwork {
    /// Enters a network namespace.
    ///
    /// # Errors
    /// EPERM without the right to.
    pub fn enter(network: BorrowedFd<'_>) -> io::Result<InNetwork> {
        let back = File::open("/proc/thread-self/ns/net")?;
        ids::enter_namespace(network, libc::CLONE_NEWNET)?;
        Ok(InNetwork { back })
    }
}

impl Drop for InNetwork {
    fn drop(&mut self) {
        // Who may enter one may go back; going on in the wrong one would be worse than ending.
        if ids::enter_namespace(self.back.as_fd(), libc::CLONE_NEWNET).is_err() {
            std::process::abort();
        }
    }
}
