//! Multicast groups of a socket (RFC 3678), with the senders that it hears or does not. The kernel names the groups
//! per device only: each is asked of the socket.

use std::os::fd::BorrowedFd;

use torpor_sys::socket::getsockopt_with;

use crate::model::socket::{SocketOption, raw_address};

const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_BLOCK_SOURCE: i32 = 43;
const MCAST_JOIN_SOURCE_GROUP: i32 = 46;
const MCAST_MSFILTER: i32 = 48;
const MCAST_INCLUDE: u32 = 1;
/// Bytes of `struct sockaddr_storage`, and of `struct group_filter` without sources.
const ADDRESS: usize = 128;
const HEADER: usize = 8 + ADDRESS + 8;

/// A group that a device is in.
#[derive(Debug)]
pub struct Group {
    level: i32,
    interface: u32,
    /// `struct sockaddr_in` or `struct sockaddr_in6`.
    address: Vec<u8>,
}

/// The groups of all devices of this network.
pub fn groups() -> Vec<Group> {
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let mut all = Vec::new();
    let mut interface = 0u32;
    for line in read("igmp").lines().skip(1) {
        let Some(first) = line.split_ascii_whitespace().next() else { continue };
        if !line.starts_with(['\t', ' ']) {
            interface = first.parse().unwrap_or(0);
        } else if let Ok(group) = u32::from_str_radix(first, 16) {
            let address = raw_address(libc::AF_INET, &(0, group.to_ne_bytes().to_vec()));
            all.push(Group { level: libc::IPPROTO_IP, interface, address });
        }
    }
    // index device group users …
    for line in read("igmp6").lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(interface), Some(group)) = (words.first().and_then(|w| w.parse().ok()), words.get(2))
        else {
            continue;
        };
        let ip: Vec<u8> =
            (0..16).filter_map(|i| u8::from_str_radix(group.get(i * 2..i * 2 + 2)?, 16).ok()).collect();
        if ip.len() == 16 {
            let address = raw_address(libc::AF_INET6, &(0, ip));
            all.push(Group { level: libc::IPPROTO_IPV6, interface, address });
        }
    }
    all
}

/// What puts a socket into its groups again. One of IPv6 can be in groups of both families.
pub fn memberships(fd: BorrowedFd<'_>, domain: i32, groups: &[Group]) -> Vec<SocketOption> {
    let may_be = |g: &&Group| domain == libc::AF_INET6 || g.level == libc::IPPROTO_IP;
    groups.iter().filter(may_be).flat_map(|group| membership(fd, group)).collect()
}

fn membership(fd: BorrowedFd<'_>, group: &Group) -> Vec<SocketOption> {
    let Some((mode, sources)) = filter(fd, group) else { return Vec::new() };
    let option = |name, addresses: &[&[u8]]| {
        let value = request(group.interface, addresses);
        SocketOption { level: group.level, name, value }
    };
    let of_source = |name| move |source: &Vec<u8>| option(name, &[&group.address, source]);
    if mode == MCAST_INCLUDE {
        return sources.iter().map(of_source(MCAST_JOIN_SOURCE_GROUP)).collect();
    }
    let joined = option(MCAST_JOIN_GROUP, &[&group.address]);
    std::iter::once(joined).chain(sources.iter().map(of_source(MCAST_BLOCK_SOURCE))).collect()
}

/// Mode and sources of a group that the socket is in.
fn filter(fd: BorrowedFd<'_>, group: &Group) -> Option<(u32, Vec<Vec<u8>>)> {
    let mut room = 0;
    loop {
        let mut raw = request(group.interface, &[&group.address]);
        raw.resize(HEADER + room * ADDRESS, 0);
        raw[HEADER - 4..HEADER].copy_from_slice(&(room as u32).to_ne_bytes());
        getsockopt_with(fd, group.level, MCAST_MSFILTER, &mut raw).ok()?;
        let word = |at: usize| raw[at..].first_chunk().map_or(0, |b| u32::from_ne_bytes(*b));
        let (mode, count) = (word(HEADER - 8), word(HEADER - 4) as usize);
        if count <= room {
            return Some((
                mode,
                raw[HEADER..].chunks_exact(ADDRESS).take(count).map(<[u8]>::to_vec).collect(),
            ));
        }
        room = count;
    }
}

/// `struct group_req`, `struct group_source_req`, or the beginning of a `struct group_filter`.
fn request(interface: u32, addresses: &[&[u8]]) -> Vec<u8> {
    let mut raw = vec![0u8; 8 + addresses.len() * ADDRESS];
    raw[..4].copy_from_slice(&interface.to_ne_bytes());
    for (i, address) in addresses.iter().enumerate() {
        raw[8 + i * ADDRESS..][..address.len()].copy_from_slice(address);
    }
    raw
}
