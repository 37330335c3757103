//! /proc/PID/maps and smaps: the mappings of an address space.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use super::invalid;
use crate::vm_flags::VmFlags;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vma {
    pub start: u64,
    pub end: u64,
    pub read: bool,
    pub write: bool,
    pub exec: bool,
    pub shared: bool,
    pub offset: u64,
    /// Device as makedev() numbers it, 0 for anonymous memory.
    pub dev: u64,
    pub ino: u64,
    /// Path, `[heap]` …, with ` (deleted)` still behind it; empty for plain anonymous memory.
    pub name: String,
    /// From smaps; empty where only maps was read.
    pub flags: VmFlags,
    pub pkey: u32,
    /// Bytes in swap, from smaps; of shared memory those of the object, mapped or not.
    pub swapped: u64,
}

/// Bytes of an address space, those that several have by their share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollup {
    pub resident: u64,
    /// Without shared memory.
    pub swapped: u64,
    /// Private and shared memory, nothing divided.
    pub swapped_in_all: u64,
}

impl Vma {
    /// Addresses of which nothing is known but that they are taken.
    pub fn taken(start: u64, end: u64) -> Vma {
        Vma {
            start,
            end,
            read: false,
            write: false,
            exec: false,
            shared: false,
            offset: 0,
            dev: 0,
            ino: 0,
            name: String::new(),
            flags: VmFlags::default(),
            pkey: 0,
            swapped: 0,
        }
    }

    /// PROT_* bits.
    pub fn prot(&self) -> u32 {
        u32::from(self.read) | u32::from(self.write) << 1 | u32::from(self.exec) << 2
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.has(flag)
    }
}

/// The mappings, in order of address, without VmFlags.
pub fn maps(pid: i32) -> io::Result<Vec<Vma>> {
    all_of(pid, "maps")
}

/// What /proc/PID/maps said once, and what it means. To make sense of the text of a program with hundreds of libraries
/// takes as long as the kernel takes to write it: where that has been done before, an equal text means the same.
#[derive(Debug, Clone, Default)]
pub struct Known {
    text: Vec<u8>,
    vmas: Arc<[Vma]>,
}

impl Known {
    /// # Errors
    /// Of reading.
    pub fn of(pid: i32) -> io::Result<Known> {
        let text = text_of(pid)?;
        Ok(Known { vmas: parse(&text)?, text })
    }

    pub fn vmas(&self) -> &[Vma] {
        &self.vmas
    }

    /// The mappings as they are now.
    ///
    /// # Errors
    /// Of reading.
    pub fn now(&self, pid: i32) -> io::Result<Arc<[Vma]>> {
        let text = text_of(pid)?;
        if text == self.text { Ok(self.vmas.clone()) } else { parse(&text) }
    }
}

fn parse(text: &[u8]) -> io::Result<Arc<[Vma]>> {
    let mut all = Vec::new();
    each(text, |vma| {
        all.push(vma);
        Ok(())
    })?;
    Ok(all.into())
}

fn text_of(pid: i32) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open(pid, "maps")?.read_to_end(&mut text)?;
    Ok(text)
}

/// The mappings with their VmFlags. Walks the page tables: slower than [`maps`] on large processes.
pub fn smaps(pid: i32) -> io::Result<Vec<Vma>> {
    all_of(pid, "smaps")
}

/// Calls `take` with each of [`smaps`], in order: of tens of thousands the text alone is tens of megabytes.
pub fn each_with_flags(pid: i32, take: impl FnMut(Vma) -> io::Result<()>) -> io::Result<()> {
    each(BufReader::new(open(pid, "smaps")?), take)
}

/// Resident and swapped-out bytes of the address space.
pub fn rollup(pid: i32) -> io::Result<Rollup> {
    let text = super::read(pid, "smaps_rollup")?;
    let field = |name: &str| {
        text.lines()
            .find_map(|l| l.strip_prefix(name))
            .and_then(|v| v.split_ascii_whitespace().next())
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    };
    Ok(Rollup { resident: field("Pss:"), swapped: field("SwapPss:"), swapped_in_all: field("Swap:") })
}

fn open(pid: i32, name: &str) -> io::Result<File> {
    File::open(format!("/proc/{pid}/{name}"))
}

fn all_of(pid: i32, name: &str) -> io::Result<Vec<Vma>> {
    let mut all = Vec::new();
    each(BufReader::new(open(pid, name)?), |vma| {
        all.push(vma);
        Ok(())
    })?;
    Ok(all)
}

/// Reads mappings, with what stands below each where that is smaps.
fn each(mut text: impl BufRead, mut take: impl FnMut(Vma) -> io::Result<()>) -> io::Result<()> {
    let mut line = Vec::new();
    let mut last: Option<Vma> = None;
    while text.read_until(b'\n', &mut line)? > 0 {
        let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
        if bytes.first().is_some_and(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
            let vma = header(&String::from_utf8_lossy(bytes)).ok_or_else(|| invalid("maps"))?;
            if let Some(vma) = last.replace(vma) {
                take(vma)?;
            }
        } else if let Some(vma) = &mut last {
            detail(vma, bytes);
        }
        line.clear();
    }
    last.map_or(Ok(()), take)
}

/// One of the lines of smaps below a mapping.
fn detail(vma: &mut Vma, line: &[u8]) {
    // Most of them are sizes that nobody asks for.
    let value = |name: &str| line.strip_prefix(name.as_bytes()).and_then(|value| str::from_utf8(value).ok());
    if let Some(flags) = value("VmFlags:") {
        vma.flags = VmFlags::parse(flags);
    } else if let Some(key) = value("ProtectionKey:") {
        vma.pkey = key.trim().parse().unwrap_or(0);
    } else if let Some(swapped) = value("Swap:") {
        let kib = swapped.split_ascii_whitespace().next().and_then(|n| n.parse::<u64>().ok());
        vma.swapped = kib.unwrap_or(0) * 1024;
    }
}

fn header(line: &str) -> Option<Vma> {
    let mut rest = line;
    let mut word = || {
        let trimmed = rest.trim_start_matches(' ');
        let (w, tail) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
        rest = tail;
        w
    };
    let (start, end) = word().split_once('-')?;
    let perms = word().as_bytes().to_vec();
    let offset = u64::from_str_radix(word(), 16).ok()?;
    let (major, minor) = word().split_once(':')?;
    let dev = rustix::fs::makedev(u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let ino = word().parse().ok()?;
    let name = unescape(rest.trim_start_matches(' '));
    if perms.len() < 4 {
        return None;
    }
    Some(Vma {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        read: perms[0] == b'r',
        write: perms[1] == b'w',
        exec: perms[2] == b'x',
        shared: perms[3] == b's',
        offset,
        dev,
        ino,
        name,
        flags: VmFlags::default(),
        pkey: 0,
        swapped: 0,
    })
}

/// The kernel writes a newline in a path as `\012` (proc(5)).
fn unescape(name: &str) -> String {
    name.replace("\\012", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_and_flags_is_read() {
        let text = "7f00-8f00 rw-s 00001000 fe:00 42                  /a b (deleted)\nRss:  4 kB\nSwap:  8 kB\nVmFlags: rd wr sh dc \n";
        let mut all = Vec::new();
        each(text.as_bytes(), |vma| {
            all.push(vma);
            Ok(())
        })
        .unwrap();
        assert_eq!(all.len(), 1);
        let v = &all[0];
        assert_eq!(
            (v.start, v.end, v.prot(), v.shared, v.offset, v.ino),
            (0x7f00, 0x8f00, 3, true, 0x1000, 42)
        );
        assert_eq!(v.name, "/a b (deleted)");
        assert!(v.has("dc") && v.swapped == 8192);
    }

    #[test]
    fn our_own_maps_are_in_order() {
        let all = smaps(std::process::id() as i32).unwrap();
        assert!(all.windows(2).all(|w| w[0].end <= w[1].start));
        assert!(all.iter().any(|v| v.name == "[stack]" && v.has("gd")));
    }
}
