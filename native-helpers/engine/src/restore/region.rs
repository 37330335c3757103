//! The region that the runner works in: code, op lists and the data that they point to.

use std::io;
use std::sync::atomic::Ordering;

use torpor_sys::memory::Mapping;

use super::runner::{self, CODE_LEN, FAILED_OP, FAILED_RESULT, Kind, OP_LEN, Op};
use crate::proc::maps::{self, Vma};

/// Words behind the code: failure record and counters.
const HEADER_LEN: usize = 4096;

/// Shared memory at one address of the helper and of every process it makes.
#[derive(Debug)]
pub struct Region {
    memory: Mapping,
    len: usize,
    used: usize,
    counters: usize,
}

/// One list of ops under construction.
#[derive(Debug, Default, Clone)]
pub struct List {
    pub ops: Vec<Op>,
}

impl List {
    pub fn call(&mut self, number: i64, args: &[u64]) -> &mut List {
        self.push(Kind::Call, 0, number as u64, args)
    }

    /// A call whose failure is no failure of the restore.
    pub fn try_call(&mut self, number: i64, args: &[u64]) -> &mut List {
        self.push(Kind::Call, runner::IGNORE, number as u64, args)
    }

    pub fn push(&mut self, kind: Kind, flags: u32, number: u64, args: &[u64]) -> &mut List {
        let mut all = [0u64; 6];
        all[..args.len()].copy_from_slice(args);
        self.ops.push(Op { kind, flags, number, args: all });
        self
    }

    /// Ends the process.
    pub fn exit(&mut self, status: u64) -> &mut List {
        self.call(libc::SYS_exit_group, &[status])
    }
}

impl Region {
    /// Makes a region of `len` bytes in a hole of this process and of all `others`.
    pub fn new(len: usize, others: &[(u64, u64)]) -> io::Result<Region> {
        let own = maps::maps(std::process::id() as i32)?;
        let mut all: Vec<Vma> = own;
        all.extend(others.iter().map(|(start, end)| Vma::taken(*start, *end)));
        all.sort_by_key(|v| v.start);
        let len = len.next_multiple_of(4096);
        let address = crate::inject::hole(&all, len as u64)
            .ok_or_else(|| io::Error::other("no free range of addresses is common to all processes"))?;
        let mut memory = Mapping::shared_at(address, len, true)?;
        let code = runner::code();
        assert!(code.len() <= CODE_LEN);
        memory.bytes_mut()[..code.len()].copy_from_slice(code);
        Ok(Region { memory, len, used: CODE_LEN + HEADER_LEN, counters: 0 })
    }

    pub fn base(&self) -> u64 {
        self.memory.address()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// A counter for [`Kind::Add`] and [`Kind::Await`]: its address.
    pub fn counter(&mut self) -> u64 {
        self.counters += 1;
        let offset = CODE_LEN + 16 + self.counters * 8;
        assert!(offset < CODE_LEN + HEADER_LEN);
        self.base() + offset as u64
    }

    /// A counter in the data area, where there are too many for the header page.
    pub fn word(&mut self) -> u64 {
        self.data(&[0u8; 8], 8)
    }

    pub fn value(&self, address: u64) -> u64 {
        self.memory.atomic((address - self.base()) as usize).load(Ordering::SeqCst)
    }

    /// Places data, aligned, and gives its address.
    pub fn data(&mut self, bytes: &[u8], align: usize) -> u64 {
        let at = self.reserve(bytes.len(), align);
        self.memory.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        self.base() + at as u64
    }

    /// Places words.
    pub fn words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.data(&bytes, 8)
    }

    /// Places a string with its NUL.
    pub fn string(&mut self, text: &str) -> u64 {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.data(&bytes, 1)
    }

    /// Address that the next `len` bytes with this alignment will have, reserved now and filled later.
    pub fn reserve_at(&mut self, len: usize, align: usize) -> u64 {
        let at = self.reserve(len, align);
        self.base() + at as u64
    }

    pub fn fill(&mut self, address: u64, bytes: &[u8]) {
        let at = (address - self.base()) as usize;
        self.memory.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn reserve(&mut self, len: usize, align: usize) -> usize {
        let at = self.used.next_multiple_of(align);
        assert!(at + len <= self.len, "the restore region is too small");
        self.used = at + len;
        at
    }

    /// Places a finished list and gives its address.
    pub fn place(&mut self, list: &List) -> u64 {
        let address = self.reserve_at(list.ops.len() * OP_LEN, 64);
        self.fill_list(address, list);
        address
    }

    /// Fills a list into room reserved for it.
    pub fn fill_list(&mut self, address: u64, list: &List) {
        for (i, op) in list.ops.iter().enumerate() {
            self.fill(address + (i * OP_LEN) as u64, &op.bytes());
        }
    }

    /// The first call that failed, with its errno.
    pub fn failure(&self) -> Option<(Failure, io::Error)> {
        let at = self.value(self.base() + FAILED_OP as u64);
        if at == 0 {
            return None;
        }
        let result = self.value(self.base() + FAILED_RESULT as u64) as i64;
        let offset = (at - self.base()) as usize;
        let raw = &self.memory.bytes()[offset..offset + OP_LEN];
        let word = |i: usize| u64::from_le_bytes(raw[i..i + 8].try_into().expect("8 bytes"));
        let failure =
            Failure { number: word(8) as i64, args: std::array::from_fn(|i| word(16 + i * 8)), address: at };
        Some((failure, io::Error::from_raw_os_error(-(result as i32))))
    }
}

/// A prepared call that the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub number: i64,
    pub args: [u64; 6],
    pub address: u64,
}
