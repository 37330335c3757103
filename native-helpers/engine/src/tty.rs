//! What the kernel tells and takes of a pseudo-terminal (ioctl_tty(2)).

use std::collections::HashSet;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, poll};
use torpor_sys::fd::{ioctl_int, ioctl_struct};

use crate::model::pty::{Settings, Stopped};
use crate::proc::{self, fdinfo::FdInfo, stat::Stat};

const TCGETS2: u64 = 0x802c_542a;
const TCSETS2: u64 = 0x402c_542b;
const TIOCSTI: u64 = 0x5412;
const TIOCGDEV: u64 = 0x8004_5432;
const TIOCSPTLCK: u64 = 0x4004_5431;
const TIOCGPKT: u64 = 0x8004_5438;
const TIOCGPTLCK: u64 = 0x8004_5439;
const TIOCGEXCL: u64 = 0x8004_5440;
const TIOCPKT: u64 = 0x5420;
const TCXONC: u64 = 0x540a;
const TCOOFF: u64 = 0;
const TCOON: u64 = 1;
/// Majors of the slave sides, of /dev/tty and /dev/ptmx with their minors (devices.txt of the kernel).
const SLAVE_MAJOR: u32 = 136;
const TTY: (u32, u32) = (5, 0);
const PTMX: (u32, u32) = (5, 2);

/// What a terminal's queue holds at most (N_TTY_BUF_SIZE less one).
const QUEUE: usize = 4095;

/// A `struct termios2` as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Termios {
    pub input: u32,
    pub output: u32,
    pub control: u32,
    pub local: u32,
    pub line: u8,
    pub characters: [u8; 19],
    pub speeds: [u32; 2],
}

impl Termios {
    pub fn bytes(&self) -> Vec<u8> {
        let words = [self.input, self.output, self.control, self.local];
        let mut raw: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        raw.push(self.line);
        raw.extend(self.characters);
        raw.extend(self.speeds.iter().flat_map(|w| w.to_ne_bytes()));
        raw
    }

    pub fn parse(raw: &[u8]) -> Option<Termios> {
        let raw = raw.first_chunk::<44>()?;
        let word = |at: usize| u32::from_ne_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        Some(Termios {
            input: word(0),
            output: word(4),
            control: word(8),
            local: word(12),
            line: raw[16],
            characters: std::array::from_fn(|i| raw[17 + i]),
            speeds: [word(36), word(40)],
        })
    }

    /// Takes bytes as they are, in lines where this one does: neither echoes nor sends signals. Flow control
    /// stays: switching it off would start output that was stopped, and tell a master in packet mode.
    fn silent(&self) -> Termios {
        let mut characters = [0u8; 19];
        for kept in [libc::VEOL, libc::VEOL2, libc::VSTART, libc::VSTOP] {
            characters[kept] = self.characters[kept];
        }
        if self.local & libc::ICANON == 0 {
            characters[libc::VMIN] = 1;
            characters[libc::VTIME] = 0;
        }
        Termios {
            input: self.input & libc::IXON,
            local: self.local & (libc::ICANON | libc::IEXTEN),
            characters,
            ..*self
        }
    }
}

/// What a terminal's descriptor is to a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Master(u32),
    /// A slave whose master the tree holds.
    Slave(u32),
    HungUp,
    /// A slave of somebody else's, or no pseudo-terminal at all.
    Foreign,
}

/// Either side of a pseudo-terminal, or /dev/tty, which stands for one.
pub fn is_terminal(mode: u32, rdev: u64) -> bool {
    let device = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    let character = rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::CharacterDevice;
    character && (device == PTMX || device == TTY || device.0 == SLAVE_MAJOR)
}

/// The role of an open character device; `masters` are those of the tree.
pub fn role(fd: BorrowedFd<'_>, rdev: u64, masters: &HashSet<u32>) -> Role {
    let device = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    if device == PTMX {
        return index(fd).map_or(Role::Foreign, Role::Master);
    }
    if device != TTY && device.0 != SLAVE_MAJOR {
        return Role::Foreign;
    }
    let mut number = 0u32;
    match ioctl_struct(fd, TIOCGDEV, &mut number) {
        Ok(_) => {
            // In the form of new_encode_dev(): major in bits 8 to 19, minor around it.
            let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
            if major == SLAVE_MAJOR && masters.contains(&minor) { Role::Slave(minor) } else { Role::Foreign }
        }
        Err(e) if e.raw_os_error() == Some(libc::EIO) => Role::HungUp,
        Err(_) => Role::Foreign,
    }
}

/// The pairs whose master side one of these processes holds.
pub fn masters(pids: &[i32]) -> HashSet<u32> {
    let mut found = HashSet::new();
    for &pid in pids {
        for fd in proc::numbers(pid, "fd").unwrap_or_default() {
            if proc::link(pid, &format!("fd/{fd}")).is_ok_and(|target| target.ends_with("/ptmx"))
                && let Ok(info) = FdInfo::of(pid, fd)
                && let Some(index) = info.number("tty-index")
            {
                found.insert(index as u32);
            }
        }
    }
    found
}

fn get(fd: BorrowedFd<'_>, request: u64) -> io::Result<i32> {
    let mut value = 0i32;
    ioctl_struct(fd, request, &mut value)?;
    Ok(value)
}

/// The N of a master's /dev/pts/N.
pub fn index(master: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(get(master, libc::TIOCGPTN)? as u32)
}

pub fn packet(master: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(get(master, TIOCGPKT)? != 0)
}

pub fn set_packet(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    ioctl_struct(master, TIOCPKT, &mut i32::from(on)).map(drop)
}

pub fn locked(master: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(get(master, TIOCGPTLCK)? != 0)
}

pub fn set_locked(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    ioctl_struct(master, TIOCSPTLCK, &mut i32::from(on)).map(drop)
}

pub fn exclusive(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(get(fd, TIOCGEXCL)? != 0)
}

pub fn set_exclusive(fd: BorrowedFd<'_>) -> io::Result<()> {
    ioctl_int(fd, libc::TIOCEXCL, 0).map(drop)
}

/// The session that a master's slave controls and its foreground group, as this process' PID namespace
/// numbers them; 0 for none.
pub fn session(master: BorrowedFd<'_>) -> (i32, i32) {
    match get(master, libc::TIOCGSID) {
        Ok(session) => (session, get(master, libc::TIOCGPGRP).unwrap_or(0)),
        Err(_) => (0, 0),
    }
}

pub fn window(fd: BorrowedFd<'_>) -> io::Result<[u16; 4]> {
    let mut size = [0u16; 4];
    ioctl_struct(fd, libc::TIOCGWINSZ, &mut size)?;
    Ok(size)
}

/// Whether a terminal is the controlling one of any session.
pub fn controls_somebody(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let number = match get(fd, TIOCGDEV) {
        Ok(number) => number,
        // Hung up: it is nobody's.
        Err(e) if e.raw_os_error() == Some(libc::EIO) => return Ok(false),
        Err(e) => return Err(e),
    };
    let processes =
        std::fs::read_dir("/proc")?.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    Ok(processes.filter_map(|pid| Stat::of(pid).ok()).any(|stat| stat.tty == number))
}

/// Gives a console the settings that it had; where it has them, nobody is told of a change.
pub fn apply(fd: BorrowedFd<'_>, settings: &Settings) -> io::Result<()> {
    let wanted = Termios::parse(&settings.termios).ok_or(io::ErrorKind::InvalidData)?;
    if wanted != termios(fd)? {
        set_termios(fd, wanted)?;
    }
    if settings.window != window(fd)? {
        // The screen may be another one by now, which has its own size.
        let _ = set_window(fd, settings.window);
    }
    Ok(())
}

pub fn set_window(fd: BorrowedFd<'_>, mut size: [u16; 4]) -> io::Result<()> {
    ioctl_struct(fd, libc::TIOCSWINSZ, &mut size).map(drop)
}

/// The settings of the slave, through either side.
pub fn termios(fd: BorrowedFd<'_>) -> io::Result<Termios> {
    let mut termios =
        Termios { input: 0, output: 0, control: 0, local: 0, line: 0, characters: [0; 19], speeds: [0; 2] };
    ioctl_struct(fd, TCGETS2, &mut termios)?;
    Ok(termios)
}

pub fn set_termios(fd: BorrowedFd<'_>, mut termios: Termios) -> io::Result<()> {
    ioctl_struct(fd, TCSETS2, &mut termios).map(drop)
}

/// TIOCGLCKTRMIOS and TIOCSLCKTRMIOS (ioctl_tty(2)).
const GET_LOCKED: u64 = 0x5456;
const SET_LOCKED: u64 = 0x5457;
/// The kernel's `struct termios`, without speeds.
const TERMIOS: usize = 36;

/// Which settings nobody but a privileged process may change (TIOCGLCKTRMIOS): a raw `struct termios` whose set bits
/// are locked. Empty where none is.
pub fn locked_settings(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut raw = [0u8; TERMIOS];
    ioctl_struct(fd, GET_LOCKED, &mut raw)?;
    Ok(if raw.iter().any(|b| *b != 0) { raw.to_vec() } else { Vec::new() })
}

/// Needs CAP_SYS_ADMIN.
pub fn lock_settings(fd: BorrowedFd<'_>, raw: &[u8]) -> io::Result<()> {
    let Some(raw) = raw.first_chunk::<TERMIOS>() else { return Ok(()) };
    ioctl_struct(fd, SET_LOCKED, &mut { *raw }).map(drop)
}

/// The line discipline: 0 is that of terminals (N_TTY).
pub fn line_discipline(fd: BorrowedFd<'_>) -> io::Result<i32> {
    get(fd, libc::TIOCGETD)
}

/// Whether there is something to read, and whether the other side is closed.
pub fn state(fd: BorrowedFd<'_>) -> io::Result<(bool, bool)> {
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&zero))?;
    let events = polled[0].revents();
    Ok((events.contains(PollFlags::IN), events.contains(PollFlags::HUP)))
}

/// How many bytes can be read, once what was written has arrived (the kernel moves it in the background).
fn readable(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count = get(fd, libc::FIONREAD)?;
    while count > 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        let now = get(fd, libc::FIONREAD)?;
        if now == count {
            break;
        }
        count = now;
    }
    Ok(count as usize)
}

/// Takes `count` bytes, and no more: others behind them could not be put back in order.
fn take(fd: BorrowedFd<'_>, count: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buf = [0u8; QUEUE];
    while all.len() < count && state(fd)?.0 {
        match rustix::io::read(fd, &mut buf[..count - all.len()]) {
            Ok(0) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::IO) => break,
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(all)
}

/// Puts bytes into the queue from which this side reads.
fn insert(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        ioctl_struct(fd, TIOCSTI, &mut { *byte })?;
    }
    Ok(())
}

/// What waits to be read from a master; `None` where it is more than a queue holds. There is no way to look
/// without taking: it is put back at once, while the tree is stopped.
pub fn waiting_output(master: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    if !state(master)?.0 {
        return Ok(Some(Vec::new()));
    }
    let count = readable(master)?;
    if count == 0 || count >= QUEUE {
        return Ok((count == 0).then(Vec::new));
    }
    let packet = packet(master)?;
    if packet {
        set_packet(master, false)?;
    }
    let waiting = take(master, count);
    let put_back = waiting.as_ref().map_or(Ok(()), |bytes| insert(master, bytes));
    if packet {
        set_packet(master, true)?;
    }
    put_back?;
    waiting.map(Some)
}

pub fn insert_output(master: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    insert(master, bytes)
}

/// What waits to be read from a slave, a line that is not yet complete included; put back at once too.
/// `None` where it is more than a queue holds.
pub fn waiting_input(slave: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let settings = termios(slave)?;
    let in_lines = settings.local & libc::ICANON != 0;
    let count = readable(slave)?;
    if count >= QUEUE || count == 0 && !in_lines {
        return Ok((count == 0).then(Vec::new));
    }
    // Without lines all of it can be read, whether or not a line is complete.
    set_termios(slave, Termios { local: settings.local & !libc::ICANON, ..settings }.silent())?;
    let waiting = get(slave, libc::FIONREAD).and_then(|count| take(slave, (count as usize).min(QUEUE)));
    let put_back = waiting.as_ref().map_or(Ok(()), |bytes| insert_input(slave, settings, bytes));
    set_termios(slave, settings)?;
    put_back?;
    waiting.map(Some)
}

/// Puts input into a slave's queue as it stood there, under the settings that it then keeps.
pub fn insert_input(slave: BorrowedFd<'_>, settings: Termios, bytes: &[u8]) -> io::Result<()> {
    set_termios(slave, settings.silent())?;
    let inserted = insert(slave, bytes);
    // The queue stays as it is as long as the mode, in lines or not, does.
    set_termios(slave, settings)?;
    inserted
}

/// Whether output to a slave is held back. Only by letting it go on for a moment can be told by whom.
pub fn stopped(slave: BorrowedFd<'_>) -> io::Result<Stopped> {
    let takes_output = || -> io::Result<bool> {
        let mut polled = [PollFd::new(&slave, PollFlags::OUT)];
        poll(&mut polled, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(polled[0].revents().contains(PollFlags::OUT))
    };
    if takes_output()? {
        return Ok(Stopped::No);
    }
    ioctl_int(slave, TCXONC, TCOON)?;
    if takes_output()? {
        ioctl_int(slave, TCXONC, TCOOFF)?;
        return Ok(Stopped::ByProgram);
    }
    // Full, where no character could have stopped it.
    let by_character = termios(slave)?.input & libc::IXON != 0;
    Ok(if by_character { Stopped::ByCharacter } else { Stopped::No })
}

/// Holds output back again; `master` is where the character comes from.
pub fn stop(slave: BorrowedFd<'_>, master: BorrowedFd<'_>, how: Stopped) -> io::Result<()> {
    match how {
        Stopped::No => Ok(()),
        Stopped::ByProgram => ioctl_int(slave, TCXONC, TCOOFF).map(drop),
        Stopped::ByCharacter => {
            let character = termios(slave)?.characters[libc::VSTOP];
            rustix::io::write(master, &[character])?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_bytes() {
        let termios = Termios {
            input: 1,
            output: 2,
            control: 3,
            local: 4,
            line: 5,
            characters: std::array::from_fn(|i| i as u8),
            speeds: [9600, 19200],
        };
        assert_eq!(termios.bytes().len(), size_of::<Termios>());
        assert_eq!(Termios::parse(&termios.bytes()), Some(termios));
    }
}
