//! The few system calls that rustix has no safe form for.
//!
//! This is the crate's only module with `unsafe`: fork and exec (rustix leaves them to the C
//! library), signal dispositions and signalfd (the same), `close_range`, the kernel's own termios
//! (`TCGETS2`, which keeps exotic speeds), name service lookups, a seccomp filter, and namespaces for the
//! calling thread. Everything it offers is safe to call.

#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Which side of a fork this is.
pub enum Fork {
    Child,
    Parent(Pid),
}

/// Forks. The helper is single-threaded; where a caller is not (a test), glibc's own fork handlers
/// keep `malloc` usable in the child, and the child touches no other lock.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: fork has no memory preconditions; see above for threads.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Pid::from_raw(pid).expect("a fork's PID is positive"))),
    }
}

/// Ends the process without running the caller's exit handlers (they belong to the parent).
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Lets io_uring_setup(2) fail with ENOSYS from now on, for this process and all that it makes, as on a kernel
/// without it. A seccomp filter, for which CAP_SYS_ADMIN is needed, but not that the process gives up gaining
/// privileges (no_new_privs, prctl(2)).
pub fn refuse_io_uring() -> io::Result<()> {
    #[cfg(target_arch = "x86_64")]
    const ARCH: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const ARCH: u32 = 0xc000_00b7;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Where `struct seccomp_data` has the number of the system call, and its kind.
    const NUMBER_AT: u32 = 0;
    const ARCH_AT: u32 = 4;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        op(LOAD_WORD, 0, 0, ARCH_AT),
        op(JUMP_IF_EQUAL, 0, 3, ARCH),
        op(LOAD_WORD, 0, 0, NUMBER_AT),
        op(JUMP_IF_EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter outlive the call, which only reads them.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Replaces the program; returns only on failure.
pub fn execve(path: &CStr, argv: &[CString], envp: &[CString]) -> Errno {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
    };
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: both arrays are null-terminated and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    last_errno()
}

/// Disassociates the calling thread (and, for PID and time, its future children).
pub fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: no CLONE_FILES, CLONE_FS or CLONE_VM is passed, which is what makes unshare unsafe.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Closes every descriptor from `first` up that is not in `keep`.
pub fn close_all_but(first: RawFd, keep: &[RawFd]) {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let mut from = first;
    for fd in keep {
        if fd > from {
            close_range(from, fd - 1);
        }
        from = fd + 1;
    }
    close_range(from, RawFd::MAX);
}

fn close_range(from: RawFd, to: RawFd) {
    // SAFETY: the callers (a fresh child's first steps) own no Rust object for these descriptors
    // that is used or dropped afterwards.
    unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
}

/// Puts `fd` at the number `at` (0, 1 or 2), without close-on-exec.
pub fn redirect(fd: impl AsFd, at: RawFd) -> io::Result<()> {
    let from = fd.as_fd().as_raw_fd();
    // SAFETY: 0 to 2 belong to the process as a whole; nothing of Rust's owns them. When both
    // numbers are the same, dup2 would keep close-on-exec, so the flag is cleared by hand.
    let result = unsafe { if from == at { libc::fcntl(at, libc::F_SETFD, 0) } else { libc::dup2(from, at) } };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, sigaddset only gets valid signal numbers.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Blocks exactly these signals and returns a descriptor that reports them.
pub fn signal_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: the set is initialised; the descriptor returned is new and owned by nobody else.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        match libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Signal numbers that have arrived on a signal descriptor.
pub fn read_signals(fd: impl AsFd) -> Vec<i32> {
    const SIZE: usize = std::mem::size_of::<libc::signalfd_siginfo>();
    let mut signals = Vec::new();
    let mut buffer = [0u8; SIZE * 8];
    while let Ok(length) = rustix::io::read(fd.as_fd(), &mut buffer) {
        for entry in buffer[..length].chunks_exact(SIZE) {
            // `ssi_signo` is the first field.
            signals.push(i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]));
        }
        if length < buffer.len() {
            break;
        }
    }
    signals
}

/// All dispositions back to default, nothing blocked: what a program expects to start with.
pub fn reset_signals() {
    // The kernel's sigaction, all zero: SIG_DFL, no flags, empty mask. Not the C library's call,
    // which refuses its two internal signals, and a caller may have passed those on ignored.
    let default = [0_u64; 4];
    let set = signal_set(&[]);
    // SAFETY: the kernel reads at most 32 bytes of `default` and 8 bytes of mask size is the only
    // one it accepts; it refuses KILL and STOP, which need no reset.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u8>(), 8);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Makes these signals be ignored by this process.
pub fn ignore_signals(signals: &[i32]) {
    for signal in signals {
        // SAFETY: SIG_IGN is valid for each of them.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// The terminal attributes as the kernel keeps them.
pub fn terminal_attributes(fd: impl AsFd) -> io::Result<libc::termios2> {
    let mut termios = MaybeUninit::<libc::termios2>::zeroed();
    // SAFETY: TCGETS2 writes one termios2; zeroed is a valid one anyway.
    unsafe {
        if libc::ioctl(fd.as_fd().as_raw_fd(), libc::TCGETS2, termios.as_mut_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(termios.assume_init())
    }
}

/// Sets the terminal attributes at once, without touching what is queued.
pub fn set_terminal_attributes(fd: impl AsFd, termios: &libc::termios2) -> io::Result<()> {
    // SAFETY: TCSETS2 reads one termios2.
    match unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TCSETS2, termios) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives a terminal one byte of input, as if typed; processed before this returns.
pub fn type_byte(terminal: impl AsFd, byte: u8) -> io::Result<()> {
    // SAFETY: TIOCSTI reads one byte.
    match unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSTI, &raw const byte) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An entry of the user database.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: CString,
    pub uid: u32,
    pub gid: u32,
    pub home: CString,
    pub shell: CString,
}

/// Looks a user up by name. The C library is asked because only it knows LDAP, SSSD and the like.
pub fn account_by_name(name: &CStr) -> Option<Account> {
    // SAFETY: see `account`; the name is a valid C string.
    account(|entry, buffer, length, found| unsafe {
        libc::getpwnam_r(name.as_ptr(), entry, buffer, length, found)
    })
}

/// Looks a user up by number.
pub fn account_by_uid(uid: u32) -> Option<Account> {
    // SAFETY: see `account`.
    account(|entry, buffer, length, found| unsafe { libc::getpwuid_r(uid, entry, buffer, length, found) })
}

fn account(
    ask: impl Fn(*mut libc::passwd, *mut libc::c_char, usize, *mut *mut libc::passwd) -> i32,
) -> Option<Account> {
    let mut buffer = vec![0; 4096];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::zeroed();
        let mut found = std::ptr::null_mut();
        match ask(entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found) {
            libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 2, 0),
            0 if !found.is_null() => {
                // SAFETY: the call succeeded and `found` points to `entry`, whose strings lie in
                // `buffer`; both live until the copies are made.
                let (entry, text) = unsafe { (entry.assume_init(), |p| CStr::from_ptr(p).to_owned()) };
                return Some(Account {
                    name: text(entry.pw_name),
                    uid: entry.pw_uid,
                    gid: entry.pw_gid,
                    home: text(entry.pw_dir),
                    shell: text(entry.pw_shell),
                });
            }
            _ => return None,
        }
    }
}

/// All groups of a user, the primary one among them.
pub fn groups_of(name: &CStr, gid: u32) -> Vec<u32> {
    let mut groups = vec![0; 64];
    loop {
        let mut count = i32::try_from(groups.len()).unwrap_or(i32::MAX);
        // SAFETY: the buffer holds `count` entries.
        let result = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if result >= 0 {
            groups.truncate(count);
            return groups;
        }
        if groups.len() >= 65_536 {
            return vec![gid];
        }
        groups.resize(count.max(groups.len() * 2), 0);
    }
}

/// The user at the other end of a Unix socket. (rustix's form can't express a peer whose PID is 0
/// because it lives outside of this PID namespace.)
pub fn peer_uid(socket: impl AsFd) -> Option<u32> {
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = libc::socklen_t::try_from(std::mem::size_of::<libc::ucred>()).ok()?;
    // SAFETY: the option writes one ucred, whose size is given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(credentials.uid)
}

/// Sends a signal to every process of this PID namespace but its init, which is the caller.
pub fn kill_all_others(signal: i32) {
    // SAFETY: kill has no memory preconditions.
    unsafe { libc::kill(-1, signal) };
}

fn last_errno() -> Errno {
    Errno::from_raw_os_error(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
