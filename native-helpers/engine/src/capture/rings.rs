//! Mapped rings of packet sockets (packet(7)): whether they can be made again.
//!
//! The kernel tells their sizes, but not where in a ring it will go on. So one is carried as long as nothing
//! has gone through it: then that is its beginning.

use std::io;

use crate::blocker::Obstacle;
use crate::capture::refusal;
use crate::model::socket::PacketRing;
use crate::proc::diag;
use crate::proc::maps::Vma;

/// How much of a frame tells whether it was used: more than any of its headers.
const HEADER: usize = 48;
/// `struct tpacket_block_desc`: where its fields are.
const BLOCK_PACKETS: usize = 12;
const BLOCK_NUMBER: usize = 24;

/// What stands in the way of capturing this mapping of a socket. `pid` may run on.
pub fn refuse(pid: i32, vma: &Vma) -> io::Result<Option<Obstacle>> {
    let rings = diag::packet_rings(vma.ino)?;
    let whole: u64 = rings.iter().map(PacketRing::len).sum();
    if rings.is_empty() || whole != vma.end - vma.start || vma.offset != 0 {
        return Ok(Some(refusal::other_mapping(&vma.name)));
    }
    // Receiving before transmitting, as they lie.
    let mut at = vma.start;
    for ring in &rings {
        if is_used(pid, at, ring)? {
            return Ok(Some(refusal::used_ring()));
        }
        at += ring.len();
    }
    Ok(None)
}

fn is_used(pid: i32, start: u64, ring: &PacketRing) -> io::Result<bool> {
    if ring.is_of_blocks() {
        let mut header = [0u8; HEADER];
        torpor_sys::memory::read(pid, start, &mut header)?;
        let packets = header[BLOCK_PACKETS..BLOCK_PACKETS + 4].iter().any(|b| *b != 0);
        return Ok(packets || header[BLOCK_NUMBER..BLOCK_NUMBER + 8] != 1u64.to_ne_bytes());
    }
    let mut block = vec![0u8; ring.block_size as usize];
    for number in 0..u64::from(ring.blocks) {
        torpor_sys::memory::read(pid, start + number * u64::from(ring.block_size), &mut block)?;
        let mut frames = block.chunks_exact(ring.frame_size.max(1) as usize);
        if frames.any(|frame| frame[..HEADER.min(frame.len())].iter().any(|b| *b != 0)) {
            return Ok(true);
        }
    }
    Ok(false)
}
