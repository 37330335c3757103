//! Sockets with addresses and control messages as raw bytes, as an image keeps them: whatever family they
//! are of, they go back to the kernel as they came from it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::check;

/// The room of `struct sockaddr_storage`.
const ADDRESS_LEN: usize = size_of::<libc::sockaddr_storage>();
/// Room for the control messages of one message: 253 descriptors, credentials, addresses, time stamps.
const CONTROL_LEN: usize = 4096;
/// A pidfd of the sender; of no use to us, but open once received.
const SCM_PIDFD: i32 = 4;
/// SO_GET_FILTER (include/uapi/asm-generic/socket.h).
const SO_GET_FILTER: i32 = 26;
/// Bytes of one `struct sock_filter`.
const FILTER_LEN: usize = 8;

/// One control message (cmsg(3)) without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub level: i32,
    pub kind: i32,
    pub data: Vec<u8>,
}

/// What [`receive`] got.
#[derive(Debug, Default)]
pub struct Received {
    /// The message's whole length, which may be more than fitted.
    pub len: usize,
    /// MSG_TRUNC, MSG_EOR …
    pub flags: i32,
    pub address: Vec<u8>,
    pub control: Vec<Control>,
    /// The descriptors of SCM_RIGHTS, now ours.
    pub descriptors: Vec<OwnedFd>,
}

fn owned(fd: i64) -> OwnedFd {
    // SAFETY: callers pass what the kernel has just given us.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// socket(2), close-on-exec.
pub fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) } as libc::c_long).map(owned)
}

/// socketpair(2), close-on-exec.
pub fn socketpair(domain: i32, kind: i32, protocol: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0i32; 2];
    // SAFETY: `ends` has room for two descriptors.
    check(unsafe { libc::socketpair(domain, kind | libc::SOCK_CLOEXEC, protocol, ends.as_mut_ptr()) }
        as libc::c_long)?;
    Ok((owned(i64::from(ends[0])), owned(i64::from(ends[1]))))
}

/// bind(2) to a `struct sockaddr` of any family.
pub fn bind(fd: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: `address` is readable for its length.
    check(unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) }
        as libc::c_long)
    .map(drop)
}

/// connect(2) to a `struct sockaddr` of any family.
pub fn connect(fd: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: `address` is readable for its length.
    check(unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) }
        as libc::c_long)
    .map(drop)
}

/// listen(2).
pub fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) } as libc::c_long).map(drop)
}

/// accept4(2), close-on-exec.
pub fn accept(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: no address is asked for.
    let fd = unsafe {
        libc::accept4(fd.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC)
    };
    check(fd as libc::c_long).map(owned)
}

/// shutdown(2).
pub fn shutdown(fd: BorrowedFd<'_>, how: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) } as libc::c_long).map(drop)
}

/// getsockname(2).
pub fn name(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut address = vec![0u8; ADDRESS_LEN];
    let mut len = ADDRESS_LEN as libc::socklen_t;
    // SAFETY: `address` is writable for `len` bytes.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut len) }
        as libc::c_long)?;
    address.truncate(len as usize);
    Ok(address)
}

/// getpeername(2).
pub fn peer_name(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut address = vec![0u8; ADDRESS_LEN];
    let mut len = ADDRESS_LEN as libc::socklen_t;
    // SAFETY: `address` is writable for `len` bytes.
    check(unsafe { libc::getpeername(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut len) }
        as libc::c_long)?;
    address.truncate(len as usize);
    Ok(address)
}

/// recvmsg(2); descriptors that come with the message are close-on-exec.
pub fn receive(fd: BorrowedFd<'_>, buf: &mut [u8], flags: i32) -> io::Result<Received> {
    let mut address = vec![0u8; ADDRESS_LEN];
    // u64s, since the headers of control messages are aligned.
    let mut control = vec![0u64; CONTROL_LEN / 8];
    let mut data = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = address.as_mut_ptr().cast();
    message.msg_namelen = ADDRESS_LEN as libc::socklen_t;
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_LEN as _;
    // SAFETY: all that `message` points to is writable for the lengths in it and outlives the call.
    let len =
        check(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags | libc::MSG_CMSG_CLOEXEC) }
            as libc::c_long)?;
    let mut received = Received { len: len as usize, flags: message.msg_flags, ..Received::default() };
    // SAFETY: the kernel has filled `control` with well-formed headers up to msg_controllen.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            let len = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            let bytes = std::slice::from_raw_parts(libc::CMSG_DATA(header), len).to_vec();
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == SCM_PIDFD {
                if let Some(fd) =
                    bytes.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b)).filter(|fd| *fd >= 0)
                {
                    drop(OwnedFd::from_raw_fd(fd));
                }
            } else if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                for fd in bytes.chunks_exact(4) {
                    let fd = i32::from_ne_bytes([fd[0], fd[1], fd[2], fd[3]]);
                    received.descriptors.push(OwnedFd::from_raw_fd(fd));
                }
            } else {
                received.control.push(Control {
                    level: (*header).cmsg_level,
                    kind: (*header).cmsg_type,
                    data: bytes,
                });
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    address.truncate(message.msg_namelen as usize);
    received.address = address;
    Ok(received)
}

/// sendmsg(2) with descriptors and other control messages, to an address or (empty) where it is connected.
pub fn send(
    fd: BorrowedFd<'_>,
    data: &[u8],
    address: &[u8],
    descriptors: &[RawFd],
    control: &[Control],
    flags: i32,
) -> io::Result<usize> {
    let mut all: Vec<(i32, i32, Vec<u8>)> =
        control.iter().map(|c| (c.level, c.kind, c.data.clone())).collect();
    if !descriptors.is_empty() {
        let bytes = descriptors.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
        all.push((libc::SOL_SOCKET, libc::SCM_RIGHTS, bytes));
    }
    // SAFETY: CMSG_SPACE only computes.
    let room: usize = all.iter().map(|(_, _, d)| unsafe { libc::CMSG_SPACE(d.len() as u32) } as usize).sum();
    let mut space = vec![0u64; room.div_ceil(8)];
    let mut data = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: all zeroes is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    if !address.is_empty() {
        message.msg_name = address.as_ptr().cast_mut().cast();
        message.msg_namelen = address.len() as libc::socklen_t;
    }
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    if room > 0 {
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = room as _;
    }
    // SAFETY: `space` has room for all headers and their data, in the order in which CMSG_NXTHDR goes.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        for (level, kind, bytes) in &all {
            if header.is_null() {
                break;
            }
            (*header).cmsg_level = *level;
            (*header).cmsg_type = *kind;
            (*header).cmsg_len = libc::CMSG_LEN(bytes.len() as u32) as _;
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), libc::CMSG_DATA(header), bytes.len());
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    // SAFETY: all that `message` points to is readable for the lengths in it and outlives the call.
    check(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, flags | libc::MSG_NOSIGNAL) }
        as libc::c_long)
    .map(|n| n as usize)
}

/// The classic BPF program that is attached to a socket, as `struct sock_filter`s; empty for none.
pub fn filter(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    // The option counts instructions, not bytes.
    let mut count: libc::socklen_t = 0;
    let get = |program: *mut u8, count: &mut libc::socklen_t| {
        // SAFETY: `program` has room for `count` instructions; with 0 the kernel writes none.
        check(unsafe {
            libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, SO_GET_FILTER, program.cast(), count)
        } as libc::c_long)
    };
    get(std::ptr::null_mut(), &mut count)?;
    let mut program = vec![0u8; count as usize * FILTER_LEN];
    if count > 0 {
        get(program.as_mut_ptr(), &mut count)?;
    }
    Ok(program)
}

/// Attaches a classic BPF program to a socket.
pub fn attach_filter(fd: BorrowedFd<'_>, program: &[u8]) -> io::Result<()> {
    let mut copy: Vec<libc::sock_filter> = program
        .chunks_exact(FILTER_LEN)
        .map(|c| libc::sock_filter {
            code: u16::from_ne_bytes([c[0], c[1]]),
            jt: c[2],
            jf: c[3],
            k: u32::from_ne_bytes([c[4], c[5], c[6], c[7]]),
        })
        .collect();
    let described = libc::sock_fprog { len: copy.len() as u16, filter: copy.as_mut_ptr() };
    // SAFETY: `described` names `copy`, which is complete and outlives the call.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const described).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    } as libc::c_long)
    .map(drop)
}

/// getsockopt(2) of an option whose value is a question, too.
pub fn getsockopt_with(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let mut size = value.len() as libc::socklen_t;
    // SAFETY: `value` is readable and writable for `size` bytes.
    let ret =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut size) };
    check(libc::c_long::from(ret))?;
    Ok(size as usize)
}
