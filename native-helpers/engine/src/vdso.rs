//! The vDSO: code of the kernel that is mapped into every process (vdso(7)), for clock reads without a system call.

use std::io;
use std::sync::OnceLock;

use torpor_sys::memory;

use crate::proc::maps;

/// Longest vDSO that is taken for one, in bytes; those of Linux 5.14 to 6.18 have 8 KiB.
pub const MAX_LEN: usize = 64 * 1024;
/// Most symbols that are looked at.
const MAX_SYMBOLS: usize = 256;

/// The running kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vdso {
    pub code: Vec<u8>,
    /// Bytes of the data areas (`[vvar]` …) right before it.
    pub data_len: u64,
}

/// The vDSO of this machine, as the helper itself has it; `None` where the kernel maps none.
pub fn own() -> Option<&'static Vdso> {
    static OWN: OnceLock<Option<Vdso>> = OnceLock::new();
    OWN.get_or_init(|| read_own().ok().flatten()).as_ref()
}

fn read_own() -> io::Result<Option<Vdso>> {
    let pid = std::process::id() as i32;
    let vmas = maps::maps(pid)?;
    let Some(at) = vmas.iter().position(|v| v.name == "[vdso]") else { return Ok(None) };
    let mut code = vec![0; (vmas[at].end - vmas[at].start) as usize];
    memory::read(pid, vmas[at].start, &mut code)?;
    let data = vmas[..at].iter().rev().take_while(|v| v.name.starts_with("[vvar"));
    Ok(Some(Vdso { code, data_len: data.map(|v| v.end - v.start).sum() }))
}

/// A function that a vDSO exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Without the prefix `__vdso_`; several names may be of one function.
    pub name: String,
    /// From the start of the code, in bytes.
    pub start: usize,
    pub len: usize,
}

/// The exported functions of a vDSO, which may come from a forged image; `None` where it can't be understood.
pub fn functions(code: &[u8]) -> Option<Vec<Function>> {
    // The ELF format, as elf(5) has it.
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const DT_STRTAB: u64 = 5;
    const DT_SYMTAB: u64 = 6;
    const SYMBOL: usize = 24;
    const STT_FUNC: u8 = 2;
    if code.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let headers = usize::try_from(word(code, 32)?).ok()?;
    let count = usize::from(u16::from_le_bytes(code.get(56..58)?.try_into().ok()?)).min(16);
    let header = |i: usize| code.get(headers.checked_add(i * 56)?..)?.get(..56);
    let kind = |raw: &[u8]| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
    let all: Vec<&[u8]> = (0..count).map(header).collect::<Option<_>>()?;
    let base = word(all.iter().find(|raw| kind(raw) == PT_LOAD)?, 16)?;
    let offset = |address: u64| usize::try_from(address.wrapping_sub(base)).ok();
    let dynamic = offset(word(all.iter().find(|raw| kind(raw) == PT_DYNAMIC)?, 16)?)?;
    let entries = code.get(dynamic..)?.chunks_exact(16).map(|e| (word(e, 0), word(e, 8)));
    let entries: Vec<_> = entries.take_while(|(tag, _)| *tag != Some(0)).collect();
    let value = |tag| entries.iter().find(|(t, _)| *t == Some(tag)).and_then(|(_, value)| *value);
    let (symbols, names) = (offset(value(DT_SYMTAB)?)?, offset(value(DT_STRTAB)?)?);
    // Nothing tells their number but hash tables; the names come right behind.
    let end = if names > symbols { names } else { code.len() };
    let mut found = Vec::new();
    for raw in code.get(symbols..end)?.chunks_exact(SYMBOL).take(MAX_SYMBOLS) {
        let defined = raw[6..8] != [0, 0];
        if raw[4] & 0xf != STT_FUNC || !defined {
            continue;
        }
        let name = code.get(names.checked_add(kind(raw) as usize)?..)?;
        let name = std::str::from_utf8(name.split(|byte| *byte == 0).next()?).ok()?;
        let (start, len) = (offset(word(raw, 8)?)?, usize::try_from(word(raw, 16)?).ok()?);
        code.get(start..start.checked_add(len)?)?;
        found.push(Function { name: name.strip_prefix("__vdso_").unwrap_or(name).to_owned(), start, len });
    }
    Some(found)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_of_this_kernel_are_found() {
        let own = own().expect("a vDSO");
        let found = functions(&own.code).expect("an ELF file");
        for name in ["clock_gettime", "gettimeofday", "time", "getcpu"] {
            assert!(found.iter().any(|f| f.name == name && f.len > 8), "{name} of {found:?}");
        }
        assert_eq!(own.data_len % 4096, 0);
        assert!(own.data_len > 0);
    }

    #[test]
    fn a_ruined_one_is_refused_or_read_within_its_bounds() {
        let own = own().expect("a vDSO");
        for at in 0..own.code.len() {
            let mut code = own.code.clone();
            code[at] ^= 0xff;
            for function in functions(&code).unwrap_or_default() {
                assert!(function.start + function.len <= code.len());
            }
            if at % 64 == 0 {
                functions(&own.code[..at]);
            }
        }
    }
}
