//! Kernel AIO contexts (io_setup(2)): made anew, moved to where their rings were, and brought to the same
//! place in the ring with the same events waiting.

use super::plan::Planner;
use super::region::List;
use super::runner::{Kind, OP_LEN};
use crate::model::{AioContext, Pid};

/// Requests that are made and collected at a time.
const BATCH: u64 = 8;
const EVENT_LEN: usize = 32;
/// Offsets in the ring.
const HEAD: u64 = 8;
const EVENTS: u64 = 32;

/// Room in the region that a context takes.
pub fn room(context: &AioContext) -> usize {
    context.events.len() + (context.tail as usize / BATCH as usize + 1) * 2 * OP_LEN + 4096
}

/// Plans one context.
pub fn make(planner: &mut Planner<'_>, list: &mut List, pid: Pid, context: &AioContext) {
    let id = planner.region.word();
    // The kernel doubles what is asked for, adds two and fills the pages; this gives the same room.
    let asked = u64::from(context.room.saturating_sub(2) / 2).max(1);
    list.call(libc::SYS_io_setup, &[asked, id]);
    list.push(Kind::Load, 0, 0, &[id]);
    list.push(Kind::Store, (OP_LEN + 16) as u32, 0, &[]);
    let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
    list.call(libc::SYS_mremap, &[0, context.len, context.len, flags, context.address]);
    advance(planner, list, context);
    // The events that wait, and the place of the first of them.
    let head = planner.region.data(&context.head.to_le_bytes(), 8);
    let events = planner.region.data(&context.events, 8);
    let len = context.events.len() as u64;
    let from = planner.region.words(&[head, 4, events, len]);
    let to = planner.region.words(&[context.address + HEAD, 4, context.address + EVENTS, len]);
    list.call(libc::SYS_process_vm_writev, &[pid as u64, from, 2, to, 2, 0]);
}

/// Requests that are done at once move the kernel's own place, which nothing else does.
fn advance(planner: &mut Planner<'_>, list: &mut List, context: &AioContext) {
    if context.tail == 0 {
        return;
    }
    let fd = planner.stages.base_fd as u64 - 1;
    let null = planner.region.string("/dev/null");
    planner.open_then_keep(list, libc::SYS_openat, &[libc::AT_FDCWD as u64, null, libc::O_RDONLY as u64, 0]);
    let buffer = planner.region.word();
    // struct iocb: data, key and flags, opcode (0 is PREAD) with the descriptor, buffer, length, offset.
    let iocb = planner.region.words(&[0, 0, fd << 32, buffer, 1, 0, 0, 0]);
    let pointers = planner.region.words(&[iocb; BATCH as usize]);
    let events = planner.region.data(&[0u8; EVENT_LEN * BATCH as usize], 8);
    let mut left = u64::from(context.tail);
    while left > 0 {
        let n = left.min(BATCH);
        list.call(libc::SYS_io_submit, &[context.address, n, pointers]);
        list.call(libc::SYS_io_getevents, &[context.address, n, n, events, 0]);
        left -= n;
    }
    list.call(libc::SYS_close, &[fd]);
}
