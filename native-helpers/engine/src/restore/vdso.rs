//! An image that was taken under a kernel with another vDSO.
//!
//! A program has found the vDSO's functions at its start and calls them where they were; code and data of it belong
//! together and are the kernel's. So the captured code stays where it was, as ordinary memory, with a jump at the
//! start of each function to the running kernel's one of that name, whose own vDSO is mapped in a hole. What this
//! kernel's vDSO lacks makes the system call instead.
//!
//! getrandom always makes the system call: its state is memory of the program's own in a format that only the two
//! vDSOs know.

use std::collections::{BTreeMap, HashMap};

use torpor_sys::memory;

use super::RestoreError;
use crate::inject;
use crate::model::{Backing, Mapping, Pid, SystemState};
use crate::proc::maps::Vma;
use crate::vdso::{self, Function, Vdso};
use crate::vm_flags::VmFlags;

/// For tests on one kernel: `other` has the image's vDSO be another one, `lacking` in addition the kernel's without
/// functions.
const TREAT_AS: &str = "TORPOR_VDSO";
/// What a function may begin with, in bytes; they are aligned to it.
const ALIGNED: usize = 16;

/// Captured code with its jumps, to be written into a process that has been laid out.
#[derive(Debug)]
pub struct Copy {
    pid: Pid,
    address: u64,
    code: Vec<u8>,
}

/// Where the image's vDSO is not the running kernel's, changes the layout of its address spaces such that the
/// captured one is ordinary memory and the kernel's has a place of its own.
///
/// # Errors
/// Where it can't be done, with the reason.
pub fn redirect(state: &mut SystemState) -> Result<Vec<Copy>, RestoreError> {
    let treat_as = std::env::var(TREAT_AS).unwrap_or_default();
    let own = vdso::own();
    let kernel = state.origin.kernel.clone();
    let refused = |why: String| RestoreError::OtherVdso { kernel: kernel.clone(), why };
    let same = match &state.origin.vdso {
        Some(code) => own.is_some_and(|own| own.code == **code),
        // Not in images of earlier versions.
        None => kernel == rustix::system::uname().release().to_string_lossy(),
    };
    if same && treat_as.is_empty() {
        return Ok(Vec::new());
    }
    let captured = state.origin.vdso.as_ref().map(|code| code.to_vec());
    let mut inside = HashMap::new();
    let mut copies = Vec::new();
    for process in &mut state.processes {
        let pid = process.pid;
        let Some(mm) = &mut process.mm else { continue };
        let Some(old) = mm.mappings.iter_mut().find(|m| m.backing == Backing::Vdso) else { continue };
        let Some(code) = &captured else { return Err(refused("which the image does not hold".into())) };
        let (start, end) = (old.start, old.end);
        if code.len() > vdso::MAX_LEN || end - start != code.len() as u64 {
            return Err(refused(format!("of which process {pid} has a part only")));
        }
        // Written to by us, so counted as memory that is needed ("ac").
        (old.backing, old.flags) = (Backing::Anonymous { name: None }, VmFlags::parse("ac"));
        mm.mappings.retain(|m| !matches!(m.backing, Backing::Vdso | Backing::Vvar | Backing::Kernel));
        let place = own.map(|own| place(&mut mm.mappings, own)).transpose().map_err(&refused)?;
        let known = own.filter(|_| treat_as != "lacking").and_then(|own| vdso::functions(&own.code));
        let code = with_jumps(code, place, &known.unwrap_or_default()).map_err(&refused)?;
        copies.push(Copy { pid, address: start, code });
        inside.insert(pid, start..end);
    }
    for process in &state.processes {
        let Some(range) = inside.get(&process.mm_owner) else { continue };
        if let Some(thread) = process.threads.iter().find(|t| range.contains(&t.regs.rip)) {
            return Err(refused(format!("and thread {} was stopped in the middle of it", thread.tid)));
        }
    }
    Ok(copies)
}

/// Finds a place for the kernel's vDSO with its data and adds it to the mappings; gives the code's address.
fn place(mappings: &mut Vec<Mapping>, own: &Vdso) -> Result<u64, String> {
    let taken: Vec<Vma> = mappings.iter().map(|m| Vma::taken(m.start, m.end)).collect();
    let start = inject::hole(&taken, own.data_len + own.code.len() as u64)
        .ok_or("and there is no room for this kernel's")?;
    let mapping = |start, len, prot, backing| Mapping {
        start,
        end: start + len,
        prot,
        shared: false,
        backing,
        flags: VmFlags::default(),
        pkey: 0,
    };
    let (read, exec) = (libc::PROT_READ as u32, libc::PROT_EXEC as u32);
    if own.data_len > 0 {
        mappings.push(mapping(start, own.data_len, read, Backing::Vvar));
    }
    let code = start + own.data_len;
    mappings.push(mapping(code, own.code.len() as u64, read | exec, Backing::Vdso));
    mappings.sort_by_key(|m| m.start);
    Ok(code)
}

/// The captured code with its functions leading to the known ones, which are at `place`.
fn with_jumps(code: &[u8], place: Option<u64>, known: &[Function]) -> Result<Vec<u8>, String> {
    let exported = vdso::functions(code).ok_or("which can't be understood")?;
    let mut by_start: BTreeMap<usize, Function> = BTreeMap::new();
    for function in exported {
        by_start.entry(function.start).or_insert(function);
    }
    let starts: Vec<usize> = by_start.keys().copied().chain([code.len()]).collect();
    let mut patched = code.to_vec();
    for (function, next) in by_start.values().zip(&starts[1..]) {
        let same = known.iter().find(|f| f.name == function.name && f.name != "getrandom");
        let bytes = match (place, same) {
            (Some(place), Some(same)) => jump(place + same.start as u64),
            _ => system_call(&function.name),
        };
        let end = function.start + bytes.len();
        if bytes.len() > function.len.next_multiple_of(ALIGNED) || end > *next {
            return Err(format!("whose function {} has no room for a jump", function.name));
        }
        patched[function.start..end].copy_from_slice(&bytes);
    }
    Ok(patched)
}

/// `jmp [rip+0]`; the target follows.
fn jump(target: u64) -> Vec<u8> {
    [&[0xff, 0x25, 0, 0, 0, 0][..], &target.to_le_bytes()].concat()
}

/// A function that makes the system call of its name, or says that there is none (ENOSYS).
fn system_call(name: &str) -> Vec<u8> {
    const FAIL: [u8; 8] = [0x48, 0xc7, 0xc0, (-libc::ENOSYS) as u8, 0xff, 0xff, 0xff, 0xc3];
    let number = match name {
        "clock_gettime" => libc::SYS_clock_gettime,
        "clock_getres" => libc::SYS_clock_getres,
        "gettimeofday" => libc::SYS_gettimeofday,
        "time" => libc::SYS_time,
        "getcpu" => libc::SYS_getcpu,
        "getrandom" => libc::SYS_getrandom,
        _ => return FAIL.to_vec(),
    };
    let mut code = Vec::new();
    if name == "getrandom" {
        // Asked with a length of -1 for what its state needs: cmp r8, -1; je fail
        code.extend([0x49, 0x83, 0xf8, 0xff, 0x74, 0x08]);
    }
    // mov eax, number; syscall; ret
    code.push(0xb8);
    code.extend((number as u32).to_le_bytes());
    code.extend([0x0f, 0x05, 0xc3]);
    if name == "getrandom" {
        code.extend(FAIL);
    }
    code
}

/// Writes the code into processes whose memory has been loaded.
pub fn load(copies: &[Copy]) -> Result<(), RestoreError> {
    for copy in copies {
        memory::write(copy.pid, copy.address, &copy.code)
            .map_err(|source| RestoreError::Vdso { pid: copy.pid, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_gets_its_jump_or_its_system_call() {
        let code = &vdso::own().expect("a vDSO").code;
        let known = vdso::functions(code).expect("its functions");
        let place = 0x7fff_0000_0000;
        let patched = with_jumps(code, Some(place), &known).expect("room for all");
        let lacking = with_jumps(code, Some(place), &[]).expect("room for all");
        for function in &known {
            let expected = if function.name == "getrandom" {
                system_call("getrandom")
            } else {
                jump(place + function.start as u64)
            };
            assert!(patched[function.start..].starts_with(&expected), "{}", function.name);
            assert!(lacking[function.start..].starts_with(&system_call(&function.name)), "{}", function.name);
        }
        assert_eq!(patched.len(), code.len());
    }
}
