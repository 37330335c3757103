//! Input that a terminal holds and its application has not read: finished lines, and the line that
//! is being typed.
//!
//! The kernel has no call to look at it. At a capture it is therefore read and put back, while the
//! tree is frozen and nobody can notice; at a restore it is put into the new terminal. Reading
//! happens in raw mode, where unfinished lines come too. Putting back happens in the application's
//! own line mode, so that lines stay lines, but with echo, signals and editing off: the bytes have
//! been through all that when they were typed.

use crate::error::{CapsuleError, Result};
use crate::pty::Termios;
use crate::raw;
use std::io;
use std::os::fd::AsFd;

/// The kernel's own limit, with room.
const UNREAD_MAX: usize = 64 << 10;

/// Copies the unread input. On any failure the input is where it was, or, if it could not be put
/// back, in the log: this runs at captures, which must not harm.
pub fn copy(terminal: impl AsFd, termios: &Termios) -> Vec<u8> {
    let terminal = terminal.as_fd();
    let taken = take(terminal, termios);
    let put_back = match &taken {
        Ok(bytes) => put(terminal, bytes, termios),
        Err(_) => termios.apply(terminal),
    };
    if let Err(error) = put_back {
        tracing::error!(%error, "unread terminal input could not be put back");
        let _ = termios.apply(terminal);
    }
    taken.unwrap_or_default()
}

/// Sets a fresh terminal's attributes and gives it the input that its application had not read.
pub fn restore(terminal: impl AsFd, unread: &[u8], termios: Option<&Termios>) -> Result<()> {
    let Some(termios) = termios else { return Ok(()) };
    put(terminal, unread, termios).map_err(|e| CapsuleError::step("restore the terminal's attributes", e))
}

fn take(terminal: impl AsFd, termios: &Termios) -> io::Result<Vec<u8>> {
    let terminal = terminal.as_fd();
    let mut raw = termios.clone();
    raw.local_flags &= !(libc::ICANON | libc::ECHO | libc::ISIG | libc::IEXTEN);
    set(&mut raw, libc::VMIN, 0);
    set(&mut raw, libc::VTIME, 0);
    raw.apply(terminal)?;
    let mut unread = Vec::new();
    let mut chunk = [0; 4096];
    while unread.len() < UNREAD_MAX {
        match rustix::io::read(terminal, &mut chunk) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => break,
            Ok(length) => unread.extend_from_slice(&chunk[..length]),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) if unread.is_empty() => return Err(errno.into()),
            Err(_) => break,
        }
    }
    Ok(unread)
}

/// Puts the bytes in and leaves the terminal with `termios`.
fn put(terminal: impl AsFd, bytes: &[u8], termios: &Termios) -> io::Result<()> {
    let terminal = terminal.as_fd();
    if bytes.is_empty() {
        return termios.apply(terminal);
    }
    let mut plain = termios.clone();
    plain.input_flags &= !(libc::ICRNL
        | libc::INLCR
        | libc::IGNCR
        | libc::ISTRIP
        | libc::IUCLC
        | libc::IXON
        | libc::IXOFF
        | libc::IXANY
        | libc::PARMRK);
    // ICANON stays as it is: changing it with bytes in the buffer would finish an unfinished line.
    plain.local_flags &= !(libc::ISIG | libc::IEXTEN | libc::ECHO | libc::ECHONL | libc::ECHOCTL);
    for editing in [libc::VERASE, libc::VKILL, libc::VWERASE, libc::VREPRINT, libc::VLNEXT] {
        set(&mut plain, editing, 0);
    }
    plain.apply(terminal)?;
    let by_lines = termios.local_flags & libc::ICANON != 0;
    let end_of_file = termios.control_characters.get(libc::VEOF).copied().unwrap_or(0);
    let outcome = bytes.iter().try_for_each(|byte| {
        // In line mode the buffer keeps an end-of-file as NUL.
        let byte = if by_lines && *byte == 0 { end_of_file } else { *byte };
        raw::type_byte(terminal, byte)
    });
    termios.apply(terminal)?;
    outcome
}

fn set(termios: &mut Termios, index: usize, value: u8) {
    if let Some(slot) = termios.control_characters.get_mut(index) {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::OpenptFlags;
    use std::os::fd::OwnedFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let slave = crate::pty::open_slave(&master).unwrap();
        (master, slave)
    }

    /// Waits until the kernel has passed the master's bytes on.
    fn typed(master: &OwnedFd, slave: &OwnedFd, bytes: &[u8]) {
        rustix::io::write(master, bytes).unwrap();
        let mut fds = [rustix::event::PollFd::new(slave, rustix::event::PollFlags::IN)];
        let limit = rustix::time::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        rustix::event::poll(&mut fds, Some(&limit)).unwrap();
    }

    fn available(slave: &OwnedFd) -> u64 {
        rustix::io::ioctl_fionread(slave).unwrap()
    }

    fn read(slave: &OwnedFd) -> Vec<u8> {
        let mut buffer = [0; 100];
        let length = rustix::io::read(slave, &mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn lines_stay_lines_and_an_unfinished_one_stays_unfinished() {
        let (master, slave) = pair();
        typed(&master, &slave, b"one\rtwo\runfin");
        let termios = Termios::of(&slave).unwrap();
        assert_eq!(copy(&slave, &termios), b"one\ntwo\nunfin");
        assert_eq!(Termios::of(&slave).unwrap(), termios);
        // Copying changed nothing for the reader.
        assert_eq!(copy(&slave, &termios), b"one\ntwo\nunfin");
        assert_eq!(available(&slave), 8);
        assert_eq!(read(&slave), b"one\n");
        assert_eq!(read(&slave), b"two\n");
        assert_eq!(available(&slave), 0);
        typed(&master, &slave, b"\x7fished\r");
        assert_eq!(read(&slave), b"unfiished\n");
    }

    #[test]
    fn raw_input_and_end_of_file_survive() {
        let (master, slave) = pair();
        typed(&master, &slave, b"x\r\x04");
        let termios = Termios::of(&slave).unwrap();
        assert_eq!(copy(&slave, &termios), b"x\n\0");
        assert_eq!(read(&slave), b"x\n");
        assert_eq!(read(&slave), b"");
        let mut raw = termios.clone();
        raw.local_flags &= !(libc::ICANON | libc::ECHO);
        raw.apply(&slave).unwrap();
        typed(&master, &slave, b"a\x03\0b");
        let bytes = copy(&slave, &raw);
        let (_other_master, other) = pair();
        restore(&other, &bytes, Some(&raw)).unwrap();
        assert_eq!(Termios::of(&other).unwrap(), raw);
        assert_eq!(read(&other), bytes);
        assert_eq!(read(&slave), bytes);
    }

    #[test]
    fn nothing_is_echoed() {
        let (master, slave) = pair();
        typed(&master, &slave, b"secret");
        let mut echo = [0; 100];
        rustix::io::read(&master, &mut echo).unwrap();
        let termios = Termios::of(&slave).unwrap();
        copy(&slave, &termios);
        assert_eq!(rustix::io::ioctl_fionread(&master).unwrap(), 0);
    }
}
