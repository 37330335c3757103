//! How large the system state of a process is going to be, before it is read.
//!
//! An estimate: bytes per thing as they were found in images, plus the area that the processor saves per
//! thread, which this machine tells. Close enough to plan room; the image's own header has the real size.

use std::sync::LazyLock;

use crate::proc::stat::Stat;

/// Limits, dispositions, timers, relations.
pub const PROCESS_BYTES: u64 = 4_500;
/// Registers, credentials, scheduling, without the extended state.
const THREAD_BYTES: u64 = 1_300;
const MAPPING_BYTES: u64 = 160;
/// A descriptor and the description behind it.
const DESCRIPTOR_BYTES: u64 = 330;
/// AT_MINSIGSTKSZ of getauxval(3): room for a signal frame, which is mostly the extended state.
const AT_MINSIGSTKSZ: u64 = 51;

static EXTENDED_STATE_BYTES: LazyLock<u64> = LazyLock::new(|| {
    let auxv = std::fs::read("/proc/self/auxv").unwrap_or_default();
    let words: Vec<u64> =
        auxv.chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().expect("8 bytes"))).collect();
    words.chunks_exact(2).find(|pair| pair[0] == AT_MINSIGSTKSZ).map_or(2_700, |pair| pair[1])
});

pub fn system_state(stat: &Stat, mappings: usize, descriptors: usize) -> u64 {
    PROCESS_BYTES
        + stat.threads.max(1) as u64 * (THREAD_BYTES + *EXTENDED_STATE_BYTES)
        + mappings as u64 * MAPPING_BYTES
        + descriptors as u64 * DESCRIPTOR_BYTES
}
