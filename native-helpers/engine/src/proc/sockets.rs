//! /proc/PID/net: which socket an inode number is, in the process' network namespace.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::read;

/// One socket, as far as the tables tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Socket {
    Inet { protocol: &'static str, local: SocketAddr, remote: Option<SocketAddr>, listening: bool },
    Unix { path: Option<String>, listening: bool },
    Netlink { family: u32 },
    Packet { protocol: u32 },
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Inet { protocol, local, listening: true, .. } => {
                write!(f, "{protocol} listening on {local}")
            }
            Socket::Inet { protocol, local, remote: Some(remote), .. } => {
                write!(f, "{protocol} {local} ↔ {remote}")
            }
            Socket::Inet { protocol, local, remote: None, .. } => write!(f, "{protocol} {local}"),
            Socket::Unix { path: Some(path), listening: true } => {
                write!(f, "unix socket listening on {path}")
            }
            Socket::Unix { path: Some(path), .. } => write!(f, "unix socket {path}"),
            Socket::Unix { path: None, .. } => f.write_str("unix socket without a name"),
            Socket::Netlink { family } => write!(f, "netlink socket of family {family}"),
            Socket::Packet { protocol } => write!(f, "packet socket of protocol {protocol:#x}"),
        }
    }
}

/// The number in `socket:[123]`.
pub fn inode_of(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// All sockets of the process' network namespace by inode. Tables that can't be read are left out.
pub fn of_namespace(pid: i32) -> HashMap<u64, Socket> {
    let mut all = HashMap::new();
    let table = |name: &str| read(pid, &format!("net/{name}")).unwrap_or_default();
    for (name, protocol) in [
        ("tcp", "TCP"),
        ("tcp6", "TCP"),
        ("udp", "UDP"),
        ("udp6", "UDP"),
        ("udplite", "UDP-Lite"),
        ("udplite6", "UDP-Lite"),
        ("raw", "raw IP"),
        ("raw6", "raw IP"),
        ("icmp", "ICMP"),
        ("icmp6", "ICMP"),
    ] {
        all.extend(table(name).lines().skip(1).filter_map(|line| inet(line, protocol)));
    }
    all.extend(table("unix").lines().skip(1).filter_map(unix));
    // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
    all.extend(table("netlink").lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        Some((words.get(9)?.parse().ok()?, Socket::Netlink { family: words.get(1)?.parse().ok()? }))
    }));
    // sk RefCnt Type Proto Iface R Rmem User Inode
    all.extend(table("packet").lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let protocol = u32::from_str_radix(words.get(3)?, 16).ok()?;
        Some((words.get(8)?.parse().ok()?, Socket::Packet { protocol }))
    }));
    all
}

/// `0: 0100007F:1F90 00000000:0000 0A … uid timeout inode …`
fn inet(line: &str, protocol: &'static str) -> Option<(u64, Socket)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let remote = address(words.get(2)?)?;
    let socket = Socket::Inet {
        protocol,
        local: address(words.get(1)?)?,
        // Raw sockets have no ports.
        remote: (remote.port() != 0 || !remote.ip().is_unspecified()).then_some(remote),
        // TCP_LISTEN
        listening: protocol == "TCP" && *words.get(3)? == "0A",
    };
    Some((words.get(9)?.parse().ok()?, socket))
}

/// `0100007F:1F90`: 32-bit words in the machine's byte order, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |i: usize| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (i, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(i)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/x`
fn unix(line: &str) -> Option<(u64, Socket)> {
    const ACCEPTS: u32 = 1 << 16;
    let mut words = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
    let inode = words.nth(2)?.parse().ok()?;
    let path = words.next().map(str::to_owned);
    Some((inode, Socket::Unix { path, listening: flags & ACCEPTS != 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn inode(fd: i32) -> u64 {
        let target = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        inode_of(target.to_str().unwrap()).unwrap()
    }

    #[test]
    fn our_own_listener_is_found_by_its_inode() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let all = of_namespace(std::process::id() as i32);
        let found = &all[&inode(listener.as_raw_fd())];
        let text = format!("TCP listening on {}", listener.local_addr().unwrap());
        assert_eq!(found.to_string(), text);
    }

    #[test]
    fn a_socket_pair_has_no_name() {
        let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
        let all = of_namespace(std::process::id() as i32);
        assert_eq!(all[&inode(a.as_raw_fd())], Socket::Unix { path: None, listening: false });
    }

    #[test]
    fn an_ipv6_address_is_read() {
        let line = "  1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 77 1";
        let (inode, socket) = inet(line, "TCP").unwrap();
        assert_eq!((inode, socket.to_string().as_str()), (77, "TCP listening on [::1]:22"));
    }
}
