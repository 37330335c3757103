//! Looks at a living tree without stopping it: its processes, its three sizes, and what stands in the way
//! of a capture.
//!
//! Everything comes from /proc. What the tree does meanwhile may make a thing vanish between being listed
//! and being read; that is no error, the thing is just not there.

mod descriptors;
mod estimate;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use serde::Serialize;
use torpor_sys::memory::{Kcmp, kcmp};

use crate::blocker::{Blocker, Obstacle};
use crate::capture::{Sizes, namespaces, refusal, rings};
use crate::freeze::Target;
use crate::own_namespace::Judged;
use crate::proc::maps::{self, Vma};
use crate::proc::sockets::{self, Socket};
use crate::proc::{self, stat::Stat, status::Status, tree};

/// How long a vfork takes at the most that is not worth a word.
const VFORK_PATIENCE: Duration = Duration::from_millis(500);

/// How much to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Processes, blockers and warnings: what has to be known before a capture.
    Blockers,
    /// The sizes too, for which the kernel walks all page tables.
    Full,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    pub root_pid: i32,
    pub processes: Vec<ProcessSummary>,
    pub sizes: Sizes,
    pub blockers: Vec<Blocker>,
    /// What a capture takes, but an admin should know of.
    pub warnings: Vec<Blocker>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSummary {
    pub pid: i32,
    pub ppid: i32,
    pub comm: String,
    pub cmdline: Vec<String>,
    pub threads: i32,
    pub uid: u32,
    /// The letter of proc(5): R, S, D, T, Z …
    pub state: char,
}

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("there is no process {0}")]
    NoSuchProcess(i32),
    #[error("{thread} is a thread of process {process}, not a process; name the process")]
    Thread { thread: i32, process: i32 },
    #[error("there is no process in the capsule besides its init")]
    Empty,
    #[error("not permitted to look at process {0}; run the helper as root")]
    NotPermitted(i32),
    #[error("reading the process tree: {0}")]
    Tree(io::Error),
}

/// A vfork that lasts, as the freeze finds it too.
pub fn vfork_obstacle() -> Obstacle {
    refusal::vfork()
}

/// The warning that a TCP connection leads out of the tree.
const OUTSIDE: &str = "socket-inet";

impl Inspection {
    /// TCP connections out of the tree stand in the way of a capture.
    pub fn refuse_outside(&mut self) {
        let outside = self.warnings.extract_if(.., |w| w.code == OUTSIDE);
        self.blockers.extend(outside);
    }
}

/// Looks at a tree. PIDs are those of the caller's PID namespace.
///
/// # Errors
/// Where there is no such tree, or none that the caller may look at.
pub fn inspect(target: Target, depth: Depth) -> Result<Inspection, InspectError> {
    let pids = list(target)?;
    let root_pid = *pids.first().ok_or(InspectError::Empty)?;
    let mut inspector = Inspector::new(&pids, target);
    for &pid in &pids {
        match inspector.process(pid, depth) {
            Ok(()) => {}
            Err(e) if vanished(&e) => {}
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Err(InspectError::NotPermitted(pid));
            }
            Err(e) => return Err(InspectError::Tree(e)),
        }
    }
    if inspector.found.processes.is_empty() {
        return Err(InspectError::NoSuchProcess(root_pid));
    }
    inspector.found.root_pid = root_pid;
    Ok(inspector.found)
}

fn list(target: Target) -> Result<Vec<i32>, InspectError> {
    let Target::Tree(root) = target else {
        let Target::Namespace { besides } = target else { return Ok(Vec::new()) };
        return tree::everyone_but(&[1, besides]).map_err(InspectError::Tree);
    };
    // /proc/TID answers for threads too, though it does not list them.
    match Status::of(root) {
        Ok(status) if status.tgid != root => {
            return Err(InspectError::Thread { thread: root, process: status.tgid });
        }
        Ok(_) => {}
        Err(e) if vanished(&e) => return Err(InspectError::NoSuchProcess(root)),
        Err(e) => return Err(InspectError::Tree(e)),
    }
    tree::descendants(root).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => InspectError::NoSuchProcess(root),
        io::ErrorKind::PermissionDenied => InspectError::NotPermitted(root),
        _ => InspectError::Tree(e),
    })
}

/// The process or the thing of it that was being read has ended meanwhile.
fn vanished(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(libc::ESRCH)
}

struct Inspector<'a> {
    pids: &'a [i32],
    capsule: bool,
    own_pid: i32,
    /// By network namespace.
    sockets: HashMap<String, HashMap<u64, Socket>>,
    /// Pseudo-terminals whose master the tree holds; looked for when the first terminal is met.
    pty_masters: Option<HashSet<u32>>,
    /// Who is connected to whom, by network of the tree's own; ours has no name. Read when the first socket is met.
    peers: HashMap<String, crate::capture::Peers>,
    namespaces: Judged,
    /// Bytes that were counted, by device, inode and offset of shared memory.
    shared_in_swap: HashMap<(u64, u64, u64), u64>,
    found: Inspection,
}

impl<'a> Inspector<'a> {
    fn new(pids: &'a [i32], target: Target) -> Inspector<'a> {
        Inspector {
            pids,
            capsule: matches!(target, Target::Namespace { .. }),
            own_pid: std::process::id() as i32,
            sockets: HashMap::new(),
            pty_masters: None,
            peers: HashMap::new(),
            namespaces: Judged::default(),
            shared_in_swap: HashMap::new(),
            found: Inspection {
                root_pid: 0,
                processes: Vec::new(),
                sizes: Sizes::default(),
                blockers: Vec::new(),
                warnings: Vec::new(),
            },
        }
    }

    fn process(&mut self, pid: i32, depth: Depth) -> io::Result<()> {
        let stat = Stat::of(pid)?;
        let status = Status::of(pid)?;
        self.found.processes.push(ProcessSummary {
            pid,
            ppid: stat.ppid,
            comm: stat.comm.clone(),
            cmdline: command_line(pid),
            threads: stat.threads,
            uid: status.uids[1],
            state: stat.state,
        });
        let Some(task) = living_thread(&stat) else {
            self.found.sizes.system_state_bytes += estimate::PROCESS_BYTES;
            return Ok(());
        };
        if let Some(obstacle) = self.untouchable(pid, &stat) {
            self.block(&stat, "the process", obstacle);
            return Ok(());
        }
        self.attributes(&stat, task);

        let vmas = maps::maps(task)?;
        // The flags, which tell device memory, take a walk over the page tables: asked for where a mapping
        // is of something that could be a device.
        let flagged = if vmas.iter().any(may_be_special) { maps::smaps(task)? } else { Vec::new() };
        let flagged: HashMap<u64, Vma> = flagged.into_iter().map(|vma| (vma.start, vma)).collect();
        for vma in &vmas {
            let mut vma = flagged.get(&vma.start).unwrap_or(vma).clone();
            // Of a program that handles its own page faults the descriptor tells; without one the memory is
            // being paged in after a restore, and a capture waits for that.
            vma.flags = vma.flags.without("um");
            let vma = &vma;
            // Asking the kernel for rings takes longer than all the rest.
            let ring = || {
                let is_socket = vma.name.starts_with(refusal::SOCKET);
                if is_socket { rings::refuse(task, vma).unwrap_or(None) } else { None }
            };
            if let Some(obstacle) = refusal::mapping(vma).or_else(ring) {
                self.block(&stat, &format!("mapping {:x}-{:x} {}", vma.start, vma.end, vma.name), obstacle);
            }
        }
        let descriptors = self.descriptors(&stat, task)?;
        if depth == Depth::Full {
            let size = maps::rollup(task)?;
            self.found.sizes.physical_bytes += size.resident;
            self.found.sizes.virtual_bytes += size.swapped;
            if size.swapped_in_all > status.swap_bytes {
                self.shared_in_swap(task)?;
            }
            self.found.sizes.system_state_bytes += estimate::system_state(&stat, vmas.len(), descriptors);
        }
        Ok(())
    }

    /// Adds what is in swap of shared memory, each object once.
    fn shared_in_swap(&mut self, task: i32) -> io::Result<()> {
        for vma in maps::smaps(task)?.iter().filter(|vma| vma.shared && vma.swapped > 0) {
            let known = self.shared_in_swap.entry((vma.dev, vma.ino, vma.offset)).or_default();
            self.found.sizes.virtual_bytes += vma.swapped.saturating_sub(*known);
            *known = vma.swapped.max(*known);
        }
        Ok(())
    }

    /// Processes that no capture may even stop.
    fn untouchable(&self, pid: i32, stat: &Stat) -> Option<Obstacle> {
        const NAME_ANOTHER: &str = "name a process below it";
        if pid == 1 {
            return Some(Obstacle::unsupported(
                "init",
                "process 1 is the machine's or container's own init",
                NAME_ANOTHER,
            ));
        }
        if pid == self.own_pid {
            return Some(Obstacle::unsupported(
                "self",
                "the tree holds this very helper, which can't stop itself",
                "call the helper from outside the tree that it is to capture",
            ));
        }
        // A kernel thread has no code of its own.
        stat.is_kernel_thread().then(|| {
            Obstacle::unsupported(
                "kernel-thread",
                "this is a thread of the kernel, not a program",
                NAME_ANOTHER,
            )
        })
    }

    fn attributes(&mut self, stat: &Stat, task: i32) {
        let tracer = Status::of(task).map_or(0, |status| status.tracer);
        if tracer != 0 {
            let obstacle = Obstacle::unsupported(
                "traced",
                format!("it is being traced by process {tracer}"),
                "end the debugger or tracer first",
            );
            self.block(stat, "the process", obstacle);
        }
        if is_32_bit(task) {
            self.block(stat, "the process", refusal::program_32bit());
        }
        if vfork_lasts(stat.pid) {
            self.block(stat, "the process", refusal::vfork());
        } else if self.pids.contains(&stat.ppid) && shares_memory(stat.ppid, stat.pid) {
            self.block(stat, "the process", refusal::shared_address_space(stat.ppid));
        }
        for (subject, obstacle) in namespaces::foreign(task, self.pids, &mut self.namespaces) {
            self.block(stat, &subject, obstacle);
        }
        if stat.state == 'D' {
            self.found.warnings.push(Blocker {
                code: "uninterruptible",
                pid: stat.pid,
                comm: stat.comm.clone(),
                subject: "the process".into(),
                message: "it waits for a disk or network file system and can't be stopped meanwhile".into(),
                remedy: "a capture gives up after 5 seconds if the wait lasts; try again later".into(),
            });
        }
    }

    fn block(&mut self, stat: &Stat, subject: &str, obstacle: Obstacle) {
        let Obstacle::Unsupported { code, message, remedy } = obstacle else { return };
        let (pid, comm, subject) = (stat.pid, stat.comm.clone(), subject.to_owned());
        let blocker = Blocker { code, pid, comm, subject, message, remedy };
        // Only a policy of the capture makes them blockers.
        let list = if code == OUTSIDE { &mut self.found.warnings } else { &mut self.found.blockers };
        list.push(blocker);
    }

    /// The socket of a process, from the tables of its network namespace.
    fn socket(&mut self, pid: i32, inode: u64) -> Option<&Socket> {
        let namespace = proc::link(pid, "ns/net").unwrap_or_default();
        let table = self.sockets.entry(namespace).or_insert_with(|| sockets::of_namespace(pid));
        table.get(&inode)
    }
}

/// The thread to look at: the leader, or any other when it has ended before the rest. Nothing of a zombie.
fn living_thread(stat: &Stat) -> Option<i32> {
    if !stat.is_zombie() {
        return Some(stat.pid);
    }
    let living = |tid: &i32| Stat::of_thread(stat.pid, *tid).is_ok_and(|s| !s.is_zombie());
    tree::threads(stat.pid).unwrap_or_default().into_iter().find(living)
}

fn command_line(pid: i32) -> Vec<String> {
    let text = proc::read(pid, "cmdline").unwrap_or_default();
    let text = text.strip_suffix('\0').unwrap_or(&text);
    if text.is_empty() { Vec::new() } else { text.split('\0').map(str::to_owned).collect() }
}

/// Whether two processes have one address space, and will for longer than until one executes a program.
fn shares_memory(parent: i32, child: i32) -> bool {
    let same = || kcmp(parent, child, Kcmp::Vm, 0, 0).is_ok_and(|o| o.is_eq());
    let deadline = Instant::now() + VFORK_PATIENCE;
    while same() {
        if Instant::now() > deadline {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Whether a thread waits in a vfork that is none of those that end at once.
fn vfork_lasts(pid: i32) -> bool {
    let waits =
        || tree::threads(pid).unwrap_or_default().into_iter().find(|tid| tree::waits_in_vfork(pid, *tid));
    let Some(tid) = waits() else { return false };
    let deadline = Instant::now() + VFORK_PATIENCE;
    while Instant::now() < deadline {
        if !tree::waits_in_vfork(pid, tid) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Whether the executable is of ELF's 32-bit class.
fn is_32_bit(pid: i32) -> bool {
    let mut head = [0u8; 5];
    File::open(format!("/proc/{pid}/exe")).and_then(|mut f| f.read_exact(&mut head)).is_ok()
        && head == *b"\x7fELF\x01"
}

/// Whether a mapping's flags could hold a surprise: a device, or any range of a program that handles its
/// own page faults (which no name tells, so the descriptor of userfaultfd has to).
fn may_be_special(vma: &Vma) -> bool {
    vma.name.starts_with("/dev/") && !vma.name.starts_with("/dev/shm/") && vma.name != "/dev/zero (deleted)"
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::{Child, Command, Stdio};

    struct Running(Child);

    impl Running {
        fn start(command: &mut Command) -> Running {
            Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        }

        fn target(&self) -> Target {
            Target::Tree(self.0.id() as i32)
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn codes(found: &Inspection) -> Vec<&'static str> {
        found.blockers.iter().map(|b| b.code).collect()
    }

    #[test]
    fn a_plain_program_has_sizes_and_no_blocker() {
        let sleep = Running::start(Command::new("sleep").arg("100"));
        let found = inspect(sleep.target(), Depth::Full).unwrap();
        assert_eq!(codes(&found), [] as [&str; 0]);
        assert_eq!(found.processes.len(), 1);
        assert_eq!(found.processes[0].cmdline, ["sleep", "100"]);
        assert!(found.sizes.physical_bytes > 0 && found.sizes.system_state_bytes > 0, "{found:?}");
    }

    #[test]
    fn the_tree_that_holds_the_inspector_is_blocked() {
        let parent = Stat::of(std::process::id() as i32).unwrap().ppid;
        let found = inspect(Target::Tree(parent), Depth::Blockers).unwrap();
        assert!(codes(&found).contains(&"self"), "{found:?}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        // PIDs are below 2^22.
        let absent = 1 << 22;
        let error = inspect(Target::Tree(absent), Depth::Blockers).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no process {absent}"));
    }

    #[test]
    fn a_thread_is_not_taken_for_a_process() {
        let (tell, tid) = std::sync::mpsc::channel();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            let _ = wait.recv();
        });
        let tid = tid.recv().unwrap();
        let error = inspect(Target::Tree(tid), Depth::Blockers).unwrap_err();
        assert!(matches!(error, InspectError::Thread { .. }), "{error}");
        drop(end);
        thread.join().unwrap();
    }
}
