//! What can't be captured, told from names and numbers alone: the text of a link in /proc/PID/fd, a device
//! number, a line of maps. The capture asks here while the tree is stopped, [`crate::inspect`] while it
//! runs, so that both find the same things and say so in the same words.

use rustix::fs::FileType;

use crate::blocker::Obstacle;
use crate::proc::maps::Vma;
use crate::proc::status::Status;

const CLOSE_FIRST: &str = "close it before the capture";

/// A descriptor of a kernel object without a file, by the kernel's name of the kind.
pub fn anon_inode(name: &str) -> Option<Obstacle> {
    match name {
        "eventfd" | "eventpoll" | "timerfd" | "signalfd" | "inotify" | "inotify_fd" | "fanotify"
        | "fanotify_fd" | "pidfd" | "bpf-map" => None,
        "io_uring" => Some(io_uring()),
        "userfaultfd" => Some(Obstacle::unsupported(
            "userfaultfd",
            "the program handles its own page faults with userfaultfd",
            "let it close the descriptor before the capture",
        )),
        other => Some(Obstacle::unsupported(
            "kernel-object",
            format!("a kernel object of kind {other} is open; what it holds can't be captured"),
            CLOSE_FIRST,
        )),
    }
}

/// An eBPF map, which is captured where it is made of keys and values alone.
pub fn bpf_map(map: &torpor_sys::bpf::Map) -> Option<Obstacle> {
    const NUMBER_OF_A_NODE: u32 = 1 << 2;
    let plain = super::files::bpf::is_known(map.kind)
        && map.device == 0
        && map.types == 0
        && map.flags & NUMBER_OF_A_NODE == 0;
    (!plain).then(|| {
        Obstacle::unsupported(
            "bpf-map",
            format!("an eBPF map is open that refers to other objects of the kernel (type {})", map.kind),
            CLOSE_FIRST,
        )
    })
}

/// Whether a process or thread belongs to none of these processes.
pub fn is_outside(task: i32, pids: &[i32]) -> bool {
    !pids.contains(&task) && !Status::of(task).is_ok_and(|s| pids.contains(&s.tgid))
}

/// Two processes with one address space.
pub fn shared_address_space(other: i32) -> Obstacle {
    Obstacle::unsupported(
        "shared-memory",
        format!("it shares its whole memory with process {other} (clone with CLONE_VM)"),
        "end one of the two before the capture; threads of one process are no obstacle",
    )
}

/// A parent that waits in vfork(2).
pub fn vfork() -> Obstacle {
    Obstacle::unsupported(
        "vfork",
        "it waits in vfork for a child that runs in its memory and has not executed a program yet",
        "wait until the child has executed its program or ended; if that takes for ever, end the child",
    )
}

/// A POSIX message queue that others use as well, with messages or a notification in it.
pub fn queue_shared(name: &str, other: i32) -> Obstacle {
    Obstacle::unsupported(
        "message-queue",
        format!("the message queue {name} is also open in process {other}, which is not part of the tree"),
        "capture both as one tree, or empty the queue and end its notification first",
    )
}

/// A notification by a thread (mq_notify(3) with SIGEV_THREAD).
pub fn queue_thread(name: &str) -> Obstacle {
    Obstacle::unsupported(
        "message-queue",
        format!(
            "the program waits for a notification of the message queue {name} in a thread (SIGEV_THREAD)"
        ),
        "let it end the notification before the capture, or be notified by a signal",
    )
}

/// A notification whose signal is pending for another reason.
pub fn queue_signal(name: &str, signal: i32) -> Obstacle {
    Obstacle::unsupported(
        "message-queue",
        format!("signal {signal}, by which the message queue {name} notifies, is pending already"),
        "capture again once the program has taken the signal",
    )
}

/// A pidfd of a process outside the tree.
pub fn pidfd_outside(pid: i32) -> Obstacle {
    Obstacle::unsupported(
        "pidfd-outside",
        format!("a pidfd of process {pid}, which is not part of the tree, is open"),
        CLOSE_FIRST,
    )
}

/// An open file by its type; `mode` and `rdev` as stat(2) tells them.
pub fn file(target: &str, mode: u32, rdev: u64) -> Option<Obstacle> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile if target == SECRET => Some(secret_memory()),
        FileType::RegularFile | FileType::Directory | FileType::Fifo | FileType::Symlink => None,
        FileType::CharacterDevice => device(target, rdev),
        FileType::BlockDevice => Some(Obstacle::unsupported(
            "block-device",
            format!("the block device {target} is open"),
            CLOSE_FIRST,
        )),
        _ => Some(Obstacle::unsupported(
            "file",
            format!("{target} is a file of a kind that can't be captured"),
            CLOSE_FIRST,
        )),
    }
}

/// A file that is there, but that no path leads to any more.
pub fn unreachable(target: &str) -> Obstacle {
    Obstacle::unsupported(
        "file-unreachable",
        format!(
            "{target} can't be found again: its file system is not mounted any more, or is hidden by another mount, \
             or the name is gone and no other one is known"
        ),
        CLOSE_FIRST,
    )
}

/// A file without a name that only writing descriptors of the program are open for, with a lease: nobody else can read
/// it without breaking that.
pub fn leased(target: &str) -> Obstacle {
    Obstacle::unsupported(
        "lease",
        format!("{target} can't be read: the program has it open for writing only, with a lease on it"),
        "let it give up the lease or close the file before the capture",
    )
}

/// Events that wait for the program's permission (fanotify(7), FAN_CLASS_CONTENT): while it stands still, whoever
/// opens such a file waits for it, and so would the capture.
pub fn permission_events() -> Obstacle {
    Obstacle::unsupported(
        "fanotify-permission",
        "the program decides who may open files (fanotify permission events)",
        "let it remove its marks before the capture",
    )
}

/// A character device.
pub fn device(target: &str, rdev: u64) -> Option<Obstacle> {
    let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    match (major, minor) {
        // null, zero, full, random, urandom, kmsg
        (1, 3 | 5 | 7 | 8 | 9 | 11) => None,
        // Nodes by which the kernel is told what to do, which keep nothing: hwrng, btrfs-control, autofs, loop-control
        (10, 183 | 234 | 235 | 237) => None,
        // The slave side of a pseudo-terminal, or /dev/tty, which stands for it.
        (136..=143, _) | (5, 0) => Some(terminal(target)),
        // /dev/net/tun and the like hold connections; a GPU holds contexts.
        _ => Some(Obstacle::unsupported(
            "device",
            format!("the device {target} ({major}:{minor}) is open; what it holds can't be captured"),
            "end the part of the program that uses the device before the capture",
        )),
    }
}

/// A terminal that the tree has not made, and that is some session's.
pub fn terminal(target: &str) -> Obstacle {
    Obstacle::unsupported(
        "terminal",
        format!("the program uses the terminal {target}, which belongs to another program"),
        "run it in a capsule, which has a terminal of its own, or detach it from the terminal",
    )
}

/// A virtual console that a display server runs on.
pub fn console(target: &str) -> Obstacle {
    Obstacle::unsupported(
        "console",
        format!("the program shows pictures on the console {target}, or decides when another one is shown"),
        "let it close the console before the capture",
    )
}

/// The slave side of a pseudo-terminal, or /dev/tty, which stands for it: in a capsule it is the capsule's
/// own.
pub fn is_terminal(mode: u32, rdev: u64) -> bool {
    FileType::from_raw_mode(mode) == FileType::CharacterDevice
        && matches!((rustix::fs::major(rdev), rustix::fs::minor(rdev)), (136..=143, _) | (5, 0))
}

/// A terminal that is a network or serial line of another kind.
pub fn line_discipline(target: &str) -> Obstacle {
    Obstacle::unsupported(
        "terminal-line",
        format!("the terminal {target} has a line discipline attached (a serial or network protocol)"),
        "let the program detach it before the capture",
    )
}

/// Families and protocols whose sockets are captured.
pub fn socket_is_known(domain: i32, kind: i32, protocol: i32) -> bool {
    const IPPROTO_UDPLITE: i32 = 136;
    match domain {
        libc::AF_UNIX | libc::AF_NETLINK | libc::AF_PACKET | libc::AF_VSOCK => true,
        libc::AF_INET | libc::AF_INET6 => match kind {
            libc::SOCK_STREAM => matches!(protocol, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP),
            libc::SOCK_DGRAM => matches!(
                protocol,
                libc::IPPROTO_UDP | IPPROTO_UDPLITE | libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6
            ),
            libc::SOCK_RAW => true,
            _ => false,
        },
        _ => false,
    }
}

/// A socket of a family or protocol that is not captured.
pub fn socket_kind(domain: i32, protocol: i32) -> Obstacle {
    let family = match domain {
        libc::AF_INET | libc::AF_INET6 => "internet".to_owned(),
        libc::AF_ALG => "cryptography (AF_ALG)".to_owned(),
        libc::AF_BLUETOOTH => "Bluetooth".to_owned(),
        libc::AF_CAN => "CAN bus".to_owned(),
        libc::AF_VSOCK => "connected virtual machine (vsock)".to_owned(),
        libc::AF_XDP => "XDP".to_owned(),
        libc::AF_TIPC => "TIPC".to_owned(),
        other => format!("family {other}"),
    };
    Obstacle::unsupported(
        "socket-kind",
        format!("a socket of kind {family}, protocol {protocol} is open; it can't be captured"),
        CLOSE_FIRST,
    )
}

/// A socket of a network namespace that is not the caller's.
pub fn socket_network() -> Obstacle {
    Obstacle::unsupported(
        "socket-network",
        "a socket is open in a network namespace of the program's own that can't be made anew, or that no process of it is in",
        "close it before the capture, or run the program in the network of its machine",
    )
}

/// A socket with an eBPF program.
pub fn socket_program() -> Obstacle {
    Obstacle::unsupported(
        "socket-program",
        "an eBPF program is attached to a socket",
        "detach it before the capture",
    )
}

/// A unix socket connected with a process outside the tree.
pub fn unix_outside(name: Option<&[u8]>) -> Obstacle {
    let name = name.map(crate::model::socket::sun_path).filter(|n| !n.is_empty());
    let over =
        name.map_or(String::new(), |n| format!(" over {}", String::from_utf8_lossy(n).replace('\0', "@")));
    Obstacle::unsupported(
        "socket-unix",
        format!("a unix socket is connected{over} with a process that is not part of the tree"),
        "close the connection before the capture, or capture both programs as one tree",
    )
}

/// A connection in a listener's queue whose client is outside the tree.
pub fn pending_outside() -> Obstacle {
    Obstacle::unsupported(
        "socket-pending",
        "a connection from outside the tree waits to be accepted",
        "let the program accept it, and capture again",
    )
}

/// A descriptor in a message that nobody has received yet, of what is there only once the processes are.
pub fn in_flight(what: &str) -> Obstacle {
    Obstacle::unsupported(
        "socket-in-flight",
        format!("{what} of the tree is in a message of a unix socket that was not received yet"),
        "let the program receive it, and capture again",
    )
}

/// A connection in a listener's queue that has received something, which is known only once accepted.
pub fn pending_data() -> Obstacle {
    Obstacle::unsupported(
        "socket-pending",
        "a connection on which data has arrived waits to be accepted",
        "let the program accept it, and capture again; a capture that ends the program can take it",
    )
}

/// A connection over several paths at once (RFC 8684): what its subflows agreed on can't be set again.
pub fn mptcp_connection() -> Obstacle {
    Obstacle::unsupported(
        "socket-mptcp",
        "a Multipath TCP connection is open; only its listeners can be captured",
        "close the connection before the capture, or let one of its ends use plain TCP \
         (for Go: GODEBUG=multipathtcp=0)",
    )
}

/// A byte of urgent data (MSG_OOB, send(2)) on its way: where in the stream it belongs, looking at it does not tell.
pub fn urgent() -> Obstacle {
    Obstacle::unsupported(
        "socket-urgent",
        "urgent data (MSG_OOB) has arrived at a socket and was not received yet",
        "let the program receive it, and capture again",
    )
}

/// A TCP connection whose contents the kernel turns into something else (TCP_ULP), TLS for one.
pub fn tcp_layer(name: &str) -> Obstacle {
    Obstacle::unsupported(
        "socket-layer",
        format!(
            "the kernel itself speaks {name} over a TCP connection; how far it has come can't be captured"
        ),
        "let the program do that itself (for OpenSSL: without the option KTLS), or close the connection before the \
         capture",
    )
}

/// A TCP connection that is being made.
pub fn tcp_connecting() -> Obstacle {
    Obstacle::unsupported(
        "socket-connecting",
        "a TCP connection is just being made",
        "capture again once it is there or has failed",
    )
}

/// Port and address for people.
pub fn peer((port, address): &(u16, Vec<u8>)) -> std::net::SocketAddr {
    let address = match address.as_slice() {
        [a, b, c, d] => std::net::IpAddr::from([*a, *b, *c, *d]),
        other => {
            other.first_chunk::<16>().map_or(std::net::IpAddr::from([0; 4]), |b| std::net::IpAddr::from(*b))
        }
    };
    std::net::SocketAddr::new(address, *port)
}

/// A TCP connection that leads out of the tree.
pub fn tcp_outside(end: &(u16, Vec<u8>)) -> Obstacle {
    Obstacle::unsupported(
        "socket-inet",
        format!("a TCP connection with {}, which is not part of the tree, is open", peer(end)),
        "it goes on after a restore from a capture that ends the program, as long as its address and its peer \
         are there, and is broken off otherwise; to be sure, close it before the capture",
    )
}

/// An open file of a namespace of the tree's own that can't be made anew; `why` as [`crate::own_namespace`] says it.
pub fn namespace_file(target: &str, why: &str) -> Obstacle {
    Obstacle::unsupported(
        "descriptor",
        format!("an open {target} can't be captured: it is a namespace of the program's own{why}"),
        CLOSE_FIRST,
    )
}

/// The remedy of all that is not 64-bit.
const USE_64BIT: &str = "use the 64-bit version of the program";

/// A program of ELF's 32-bit class.
pub fn program_32bit() -> Obstacle {
    Obstacle::unsupported("32-bit", "it is a 32-bit program; only 64-bit programs can be captured", USE_64BIT)
}

/// A thread of a 64-bit program that has gone over to 32-bit code.
pub fn code_32bit() -> Obstacle {
    Obstacle::unsupported("32-bit", "a thread of the 64-bit program runs 32-bit code", USE_64BIT)
}

/// Entries of the process' own table of segments, for 32-bit and 16-bit code.
pub fn local_segments() -> Obstacle {
    Obstacle::unsupported(
        "32-bit",
        "the 64-bit program has made segments of its own (modify_ldt), for 32-bit code",
        USE_64BIT,
    )
}

/// A thread whose system calls are raised as signals right now.
pub fn dispatched() -> Obstacle {
    Obstacle::unsupported(
        "thread",
        "a thread has its system calls dispatched to itself right now (PR_SET_SYSCALL_USER_DISPATCH)",
        "capture again once it lets them through",
    )
}

/// What none of the above is.
pub fn other(target: &str) -> Obstacle {
    Obstacle::unsupported("descriptor", format!("an open {target} can't be captured"), CLOSE_FIRST)
}

/// The kernel's name of what memfd_secret(2) makes.
pub const SECRET: &str = "/secretmem (deleted)";

/// Memory that nobody but the program can read.
pub fn secret_memory() -> Obstacle {
    Obstacle::unsupported(
        "secret-memory",
        "it has memory that not even the kernel reads (memfd_secret)",
        "let it unmap and close that before the capture; memory locked by mlock(2) is captured",
    )
}

/// What the name of a mapped socket begins with.
pub const SOCKET: &str = "socket:[";

/// A mapping of something that is none of the kinds that are captured.
pub fn other_mapping(name: &str) -> Obstacle {
    Obstacle::unsupported(
        "mapping",
        format!("a mapping of {name} is of a kind that can't be captured"),
        "close the device or connection behind it before the capture",
    )
}

/// The ring of a packet socket that is in use.
pub fn used_ring() -> Obstacle {
    Obstacle::unsupported(
        "packet-ring",
        "packets have gone through the mapped ring of a packet socket; where the kernel is in it can't be known",
        "close the socket before the capture, or let the program use the ring only after it",
    )
}

/// A mapping. Its flags count only where the line came from smaps.
pub fn mapping(vma: &Vma) -> Option<Obstacle> {
    let name = vma.name.as_str();
    let of_the_kernel = matches!(name, "[vsyscall]" | "[vdso]" | "[uprobes]") || name.starts_with("[vvar");
    if of_the_kernel {
        return None;
    }
    if name.starts_with("anon_inode:[io_uring]") {
        return Some(io_uring());
    }
    if name == SECRET {
        return Some(secret_memory());
    }
    // Whether a socket's is one that can be made again, `rings` tells.
    let known = ["/", "[anon_shmem:", SOCKET].iter().any(|k| name.starts_with(k)) || vma.ino == 0;
    if !known {
        return Some(other_mapping(name));
    }
    if vma.has("io") || vma.has("pf") {
        return Some(device_memory(name));
    }
    // Not "uw", writes being tracked: that is the engine's own doing, or of somebody outside. A program that does
    // it itself has the descriptor open.
    if vma.has("um") {
        return Some(Obstacle::unsupported(
            "userfaultfd",
            "the program handles its own page faults with userfaultfd",
            "let it unregister the range before the capture",
        ));
    }
    None
}

/// Memory of a device that a program has mapped.
pub fn device_memory(name: &str) -> Obstacle {
    Obstacle::unsupported(
        "device-memory",
        format!("{name} is memory of a device"),
        "end the part of the program that uses the device (a GPU, a camera …) before the capture",
    )
}

fn io_uring() -> Obstacle {
    Obstacle::unsupported(
        "io-uring",
        "io_uring rings live in the kernel and can't be captured",
        "run it in a capsule that does not allow them, or with io_uring switched off (for Node.js 20 and 22: UV_USE_IO_URING=0; for MariaDB: innodb_use_native_aio=OFF)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(obstacle: Option<Obstacle>) -> Option<&'static str> {
        match obstacle? {
            Obstacle::Unsupported { code, .. } => Some(code),
            Obstacle::Io(_) => None,
        }
    }

    #[test]
    fn harmless_devices_pass_and_others_do_not() {
        let device = |major, minor| code(device("/dev/x", rustix::fs::makedev(major, minor)));
        assert_eq!(device(1, 3), None);
        assert_eq!(device(136, 4), Some("terminal"));
        assert_eq!(device(226, 128), Some("device"));
        assert_eq!(device(10, 237), None);
        assert_eq!(device(10, 200), Some("device"));
    }

    #[test]
    fn a_mapping_of_a_device_is_refused_and_the_kernels_own_is_not() {
        let vma = |name: &str, ino, flags: &[&str]| Vma {
            start: 0x1000,
            end: 0x2000,
            read: true,
            write: false,
            exec: false,
            shared: true,
            offset: 0,
            dev: 0,
            ino,
            name: name.into(),
            flags: flags.iter().copied().collect(),
            pkey: 0,
            swapped: 0,
        };
        assert_eq!(code(mapping(&vma("/dev/dri/card0", 7, &["io", "pf"]))), Some("device-memory"));
        assert_eq!(code(mapping(&vma("[vvar]", 0, &["io", "pf"]))), None);
        assert_eq!(code(mapping(&vma("anon_inode:[io_uring]", 9, &[]))), Some("io-uring"));
        assert_eq!(code(mapping(&vma("socket:[12]", 12, &[]))), None);
        assert_eq!(code(mapping(&vma("anon_inode:[perf_event]", 9, &[]))), Some("mapping"));
        assert_eq!(code(mapping(&vma("", 0, &[]))), None);
        assert_eq!(code(mapping(&vma(SECRET, 5, &[]))), Some("secret-memory"));
    }

    #[test]
    fn kinds_that_are_captured_pass() {
        assert_eq!(code(anon_inode("eventfd")), None);
        assert_eq!(code(anon_inode("io_uring")), Some("io-uring"));
        assert_eq!(code(anon_inode("bpf-map")), None);
        assert_eq!(code(anon_inode("bpf-prog")), Some("kernel-object"));
        let map = |kind, types| torpor_sys::bpf::Map { kind, types, ..Default::default() };
        assert_eq!(code(bpf_map(&map(2, 0))), None);
        assert_eq!(code(bpf_map(&map(2, 7))), Some("bpf-map"));
        assert_eq!(code(bpf_map(&map(12, 0))), Some("bpf-map"));
        assert_eq!(code(file("/x", libc::S_IFREG, 0)), None);
        assert_eq!(code(file("/dev/sda", libc::S_IFBLK, 0)), Some("block-device"));
    }
}
