//! Many injected calls for the price of one stop: a table in scratch memory that the stub walks by itself. A program
//! with 64 signal dispositions would stand still for milliseconds, were each asked for singly.

use std::io;

use super::stub::{BATCH_OFFSET, EndOf, FLAG_OFFSET};
use super::{InjectError, Remote, SCRATCH_LEN};

/// The table lies in the upper half of scratch memory, behind the flag; results of calls go to the lower half.
const TABLE_OFFSET: u64 = FLAG_OFFSET + 8;
/// Number + 1 (0 ends the table), six arguments, result.
const ROW_WORDS: usize = 8;
const ROW: u64 = ROW_WORDS as u64 * 8;
/// One row is for the end.
const MAX_CALLS: usize = ((SCRATCH_LEN - TABLE_OFFSET) / ROW) as usize - 1;

/// Calls to be made one after the other, whatever each of them answers.
#[derive(Debug, Default)]
pub struct Batch {
    calls: Vec<(i64, [u64; 6])>,
}

impl Batch {
    /// Adds a call; the number is its place among the results.
    pub fn call(&mut self, number: i64, args: [u64; 6]) -> usize {
        self.calls.push((number, args));
        self.calls.len() - 1
    }
}

impl Remote<'_> {
    /// Makes the calls of a batch in the thread. What they write has to lie in the lower half of scratch memory.
    ///
    /// # Errors
    /// Each call's own errno is in its result; the outer error tells that they could not be made.
    pub fn run(&mut self, batch: &Batch) -> Result<Vec<io::Result<u64>>, InjectError> {
        let scratch = self.scratch()?;
        if self.end.is_none() {
            return batch.calls.iter().map(|(number, args)| self.call(*number, *args)).collect();
        }
        let table = scratch + TABLE_OFFSET;
        let mut results = Vec::with_capacity(batch.calls.len());
        for calls in batch.calls.chunks(MAX_CALLS) {
            self.set_off(scratch, calls)?;
            self.await_end(EndOf::Batch)?;
            // A guest has raised it by itself.
            self.raised = !self.is_anchor();
            let rows = self.read_vec(table, calls.len() * ROW as usize)?;
            results.extend(rows.chunks_exact(ROW as usize).map(|row| {
                let word = row[ROW as usize - 8..].try_into().expect("8 bytes");
                super::answer(i64::from_le_bytes(word))
            }));
        }
        Ok(results)
    }

    /// The same for calls that have to succeed.
    pub fn run_all(&mut self, batch: &Batch) -> Result<Vec<u64>, InjectError> {
        let tid = self.tid;
        let io = |source| InjectError::Io { tid, source };
        self.run(batch)?.into_iter().map(|answer| answer.map_err(io)).collect()
    }

    /// Writes the table, and has the thread run it.
    fn set_off(&mut self, scratch: u64, calls: &[(i64, [u64; 6])]) -> Result<(), InjectError> {
        self.lay_out(scratch, calls)?;
        let mut regs = self.saved;
        regs.eflags = super::unstepped(&self.saved);
        regs.rip = self.stub + BATCH_OFFSET;
        regs.rbx = scratch + TABLE_OFFSET;
        regs.orig_rax = u64::MAX;
        self.go(&regs)
    }

    fn lay_out(&mut self, scratch: u64, calls: &[(i64, [u64; 6])]) -> Result<(), InjectError> {
        self.begin()?;
        // The flag: a guest's is down from here on. The anchor, which may still be where it waits for it, is not to wait
        // for itself.
        let mut rows = u64::from(self.is_anchor()).to_le_bytes().to_vec();
        rows.reserve((calls.len() + 1) * ROW as usize);
        for (number, args) in calls {
            rows.extend((*number as u64 + 1).to_le_bytes());
            rows.extend(args.iter().flat_map(|a| a.to_le_bytes()));
            rows.extend([0; 8]);
        }
        rows.extend([0; 8]);
        self.write(scratch + FLAG_OFFSET, &rows)?;
        self.raised = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::freeze::{Frozen, Target};
    use crate::inject::Injector;
    use crate::proc::status::Status;
    use crate::proc::{maps, tree};

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Where whoever had a thread make calls is gone.
    #[derive(Clone, Copy, PartialEq)]
    enum Left {
        /// A guest is in the middle of a batch.
        InBatch,
        /// The same before it has begun.
        BeforeBatch,
        /// The lender of the scratch memory is about to begin one of its own, after a guest's.
        BeforeLenders,
    }

    /// A program of two threads, one of which is so; and where its scratch memory is.
    fn left(when: Left) -> (Sleeper, u64) {
        let two_threads = "import threading, time\n\
                           threading.Thread(target=time.sleep, args=(60,)).start()\n\
                           time.sleep(60)";
        let program = Sleeper(Command::new("python3").args(["-c", two_threads]).spawn().unwrap());
        let pid = program.0.id() as i32;
        while !tree::threads(pid).is_ok_and(|all| all.len() == 2) {
            std::thread::yield_now();
        }
        // The kernel lets go of what a thread traces when that thread ends, as it does of what we trace.
        let tracer = std::thread::spawn(move || {
            let frozen = std::mem::ManuallyDrop::new(Frozen::freeze(Target::Tree(pid)).unwrap());
            let vmas = maps::maps(pid).unwrap();
            let mut injector = std::mem::ManuallyDrop::new(Injector::new(pid, &vmas).unwrap());
            let threads = &frozen.processes[0].threads;
            let mut lender = injector.thread(&threads[0]);
            let scratch = lender.scratch().unwrap();
            lender.finish().unwrap();
            let mut remote = std::mem::ManuallyDrop::new(injector.thread(&threads[1]));
            // Long enough for the lender to have left, were it to take the memory along.
            remote.write(scratch, &[0u64.to_le_bytes(), 200_000_000u64.to_le_bytes()].concat()).unwrap();
            let calls = [(libc::SYS_nanosleep, [scratch, 0, 0, 0, 0, 0]), (libc::SYS_getppid, [0; 6])];
            match when {
                Left::InBatch => remote.set_off(scratch, &calls).unwrap(),
                Left::BeforeBatch => remote.lay_out(scratch, &calls).unwrap(),
                Left::BeforeLenders => {
                    let mut batch = Batch::default();
                    batch.call(libc::SYS_getppid, [0; 6]);
                    remote.run(&batch).unwrap();
                    std::mem::ManuallyDrop::into_inner(remote).finish().unwrap();
                    let mut lender = std::mem::ManuallyDrop::new(injector.thread(&threads[0]));
                    lender.lay_out(scratch, &calls).unwrap();
                }
            }
            scratch
        });
        (program, tracer.join().unwrap())
    }

    #[test]
    fn a_thread_that_a_helper_has_left_in_a_batch_is_out_of_it_when_the_next_one_has_stopped_it() {
        let (program, _) = left(Left::InBatch);
        let pid = program.0.id() as i32;
        let frozen = Frozen::freeze(Target::Tree(pid)).unwrap();
        for thread in &frozen.processes[0].threads {
            let mut page = [0u8; 4096];
            torpor_sys::memory::read(pid, thread.regs.rip & !0xfff, &mut page).unwrap();
            assert!(
                !crate::inject::is_left(&page, thread.regs.rip as usize & 0xfff),
                "{:#x}",
                thread.regs.rip
            );
        }
        assert_eq!(frozen.processes[0].threads.len(), 2);
    }

    #[test]
    fn a_thread_ends_its_batch_although_we_and_the_lender_of_its_scratch_memory_are_gone() {
        scratch_memory_goes(Left::InBatch);
    }

    #[test]
    fn threads_wait_for_no_batch_that_has_not_begun() {
        scratch_memory_goes(Left::BeforeBatch);
        scratch_memory_goes(Left::BeforeLenders);
    }

    fn scratch_memory_goes(when: Left) {
        let (program, scratch) = left(when);
        let pid = program.0.id() as i32;
        std::thread::sleep(std::time::Duration::from_millis(300));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while maps::maps(pid).unwrap().iter().any(|v| v.start < scratch + SCRATCH_LEN && scratch < v.end) {
            assert!(std::time::Instant::now() < deadline, "scratch memory is still there");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(tree::threads(pid).unwrap().len(), 2);
    }

    #[test]
    fn more_calls_than_a_table_holds_are_answered_in_order() {
        let sleeper = Sleeper(Command::new("sleep").arg("60").spawn().unwrap());
        let pid = sleeper.0.id() as i32;
        while !maps::maps(pid).is_ok_and(|all| all.iter().any(|v| v.name.contains("sleep"))) {
            std::thread::yield_now();
        }
        let frozen = Frozen::freeze(Target::Tree(pid)).unwrap();
        let mut injector = Injector::new(pid, &maps::maps(pid).unwrap()).unwrap();
        let status = Status::of(pid).unwrap();
        let mut remote = injector.thread(&frozen.processes[0].threads[0]);
        let mut batch = Batch::default();
        for i in 0..MAX_CALLS as u64 + 10 {
            // Alternately one that answers and one that fails.
            match i % 2 {
                0 => batch.call(libc::SYS_getpid, [0; 6]),
                _ => batch.call(libc::SYS_close, [u64::MAX, 0, 0, 0, 0, 0]),
            };
        }
        let answers = remote.run(&batch).unwrap();
        assert_eq!(answers.len(), MAX_CALLS + 10);
        for (i, answer) in answers.iter().enumerate() {
            match i % 2 {
                0 => assert_eq!(*answer.as_ref().unwrap(), pid as u64),
                _ => assert_eq!(answer.as_ref().unwrap_err().raw_os_error(), Some(libc::EBADF)),
            }
        }
        remote.release_scratch().unwrap();
        remote.finish().unwrap();
        drop(injector);
        frozen.thaw();
        let after = Status::of(pid).unwrap();
        assert_eq!((after.pending, after.shared_pending, after.blocked), (0, 0, status.blocked));
    }

    #[test]
    fn a_thread_that_blocks_all_signals_tells_its_end_by_one_that_does_not_wait() {
        let blocks = "import signal, time\n\
                      signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n\
                      time.sleep(60)";
        let program = Sleeper(Command::new("python3").args(["-c", blocks]).spawn().unwrap());
        let pid = program.0.id() as i32;
        let urgent = 1 << (libc::SIGURG - 1);
        while !Status::of(pid).is_ok_and(|s| s.blocked & urgent != 0) {
            std::thread::yield_now();
        }
        let kill = |signal| torpor_sys::clone::kill(pid, signal).unwrap();
        for waiting in [0, urgent] {
            if waiting != 0 {
                kill(libc::SIGURG);
            }
            let before = Status::of(pid).unwrap();
            assert_eq!(before.shared_pending & urgent, waiting);
            let frozen = Frozen::freeze(Target::Tree(pid)).unwrap();
            let mut injector = Injector::new(pid, &maps::maps(pid).unwrap()).unwrap();
            let mut remote = injector.thread(&frozen.processes[0].threads[0]);
            let end = remote.end.expect("a signal");
            assert_eq!(end.signal, if waiting == 0 { libc::SIGURG } else { libc::SIGWINCH });
            assert_eq!(remote.call(libc::SYS_getpid, [0; 6]).unwrap().unwrap(), pid as u64);
            let mut batch = Batch::default();
            batch.call(libc::SYS_getpid, [0; 6]);
            assert_eq!(remote.run_all(&batch).unwrap(), [pid as u64]);
            remote.release_scratch().unwrap();
            remote.finish().unwrap();
            drop(injector);
            frozen.thaw();
            let after = Status::of(pid).unwrap();
            let of = |s: &Status| (s.pending, s.shared_pending, s.blocked);
            assert_eq!(of(&after), of(&before));
        }
    }
}
