//! Memory policies (set_mempolicy(2), mbind(2)) of threads and mappings, which only the threads themselves can
//! ask for.

use crate::inject::{Batch, InjectError, Remote};
use crate::model::MemoryPolicy;
use crate::proc::maps::Vma;

const MPOL_F_ADDR: u64 = 2;
const MPOL_DEFAULT: u32 = 0;
/// The most nodes that a kernel has (CONFIG_NODES_SHIFT), in words; and how the call wants to be told.
const WORDS: usize = 16;
const LIMIT: u64 = WORDS as u64 * 64 + 1;
/// The mode, then the nodes.
const NODES: u64 = 8;
/// How many mappings are asked about at once: what they answer has to have room in scratch memory.
const AT_ONCE: usize = 200;

/// Arguments of get_mempolicy(2) for the calling thread's own policy, to be written to `at`.
pub fn of_thread(at: u64) -> [u64; 6] {
    [at, at + NODES, LIMIT, 0, 0, 0]
}

/// What such a call has written.
pub fn read(remote: &Remote<'_>, at: u64) -> Result<Option<MemoryPolicy>, InjectError> {
    let words: [u64; 1 + WORDS] = remote.read_words(at)?;
    let mode = words[0] as u32;
    let nodes = &words[1..];
    let used = nodes.iter().rposition(|word| *word != 0).map_or(1, |last| last + 1);
    Ok((mode != MPOL_DEFAULT).then(|| MemoryPolicy { mode, nodes: nodes[..used].to_vec() }))
}

/// The mappings that have a policy of their own.
pub fn of_mappings(
    remote: &mut Remote<'_>,
    vmas: &[Vma],
) -> Result<Vec<(u64, u64, MemoryPolicy)>, InjectError> {
    let mut found = Vec::new();
    let scratch = remote.scratch()?;
    for some in vmas.chunks(AT_ONCE) {
        let at = |i: usize| scratch + i as u64 * 8;
        let mut batch = Batch::default();
        for (i, vma) in some.iter().enumerate() {
            batch.call(libc::SYS_get_mempolicy, [at(i), 0, 0, vma.start, MPOL_F_ADDR, 0]);
        }
        let answers = remote.run(&batch)?;
        let modes = remote.read_vec(scratch, some.len() * 8)?;
        for (i, vma) in some.iter().enumerate() {
            let mode = u32::from_le_bytes(modes[i * 8..i * 8 + 4].try_into().expect("4 bytes"));
            if answers[i].is_err() || mode == MPOL_DEFAULT {
                continue;
            }
            let args = [scratch, scratch + NODES, LIMIT, vma.start, MPOL_F_ADDR, 0];
            if remote.call(libc::SYS_get_mempolicy, args)?.is_ok()
                && let Some(policy) = read(remote, scratch)?
            {
                found.push((vma.start, vma.end, policy));
            }
        }
    }
    Ok(found)
}
