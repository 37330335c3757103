//! Who makes whom, such that parents, sessions and groups come out as they were.
//!
//! A process inherits its session from its maker at that moment (setsid(2)), and gets its parent by being
//! made by it, or by being orphaned below it. From that follows for each process its maker, whether before
//! or after the maker's own setsid, and whether through an intermediate that ends at once; sessions and
//! groups whose leader has died get a stand-in for as long as the tree is being built.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::{Pid, Process};

/// Something that a process does while the tree is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Becomes leader of a session.
    Session,
    /// Makes a child of the tree.
    Make(Pid),
    /// Makes an intermediate (with this PID) that makes the process and ends, so that the process is
    /// orphaned to init or the nearest subreaper.
    MakeOrphan { intermediate: Pid, pid: Pid },
    /// Makes a stand-in for the dead leader of a session; what it makes is orphaned to this process.
    SessionStandIn { pid: Pid, makes: Vec<Pid> },
    /// Makes a stand-in for the dead leader of a group; it ends once every member has joined.
    StandIn { pid: Pid },
}

/// A process that the helper itself makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Top {
    Process(Pid),
    /// A stand-in for the dead leader of a session, and what it makes.
    SessionStandIn {
        pid: Pid,
        makes: Vec<Pid>,
    },
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Lineage {
    pub tops: Vec<Top>,
    pub steps: HashMap<Pid, Vec<Step>>,
    /// Sessions and groups that can't be had again: (what, number).
    pub lost: Vec<String>,
    /// Every PID needed, intermediates and stand-ins included.
    pub pids: Vec<Pid>,
}

/// Plans the making of `processes` (parents before children) by a helper in session `own_session`.
pub fn plan(processes: &[Process], own_session: Pid, free: &mut dyn FnMut() -> Pid) -> Lineage {
    let by_pid: HashMap<Pid, &Process> = processes.iter().map(|p| (p.pid, p)).collect();
    let mut lineage = Lineage::default();
    let mut before: HashMap<Pid, Vec<Step>> = HashMap::new();
    let mut after: HashMap<Pid, Vec<Step>> = HashMap::new();
    let mut orphans: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    let mut born_in: HashMap<Pid, Pid> = HashMap::new();

    for process in processes {
        let pid = process.pid;
        lineage.pids.push(pid);
        let leader = process.sid == pid;
        let Some(parent) = by_pid.get(&process.ppid) else {
            let top = leader
                || process.sid == own_session
                || process.ppid == 0 && processes[0].pid == pid && !by_pid.contains_key(&process.sid);
            if leader || process.sid == own_session {
                born_in.insert(pid, if leader { own_session } else { process.sid });
                lineage.tops.push(Top::Process(pid));
            } else if by_pid.contains_key(&process.sid) {
                let intermediate = free();
                lineage.pids.push(intermediate);
                born_in.insert(pid, process.sid);
                after.entry(process.sid).or_default().push(Step::MakeOrphan { intermediate, pid });
            } else if top && pid_exists(process.sid) {
                // Its session is led from outside and can't be joined: it goes on in the helper's.
                lineage
                    .lost
                    .push(format!("session {} of process {pid} is led from outside the tree", process.sid));
                born_in.insert(pid, process.sid);
                lineage.tops.push(Top::Process(pid));
            } else {
                born_in.insert(pid, process.sid);
                orphans.entry(process.sid).or_default().push(pid);
            }
            continue;
        };
        let parent_birth = born_in.get(&parent.pid).copied().unwrap_or(own_session);
        if leader || process.sid == parent.sid {
            born_in.insert(pid, parent.sid);
            after.entry(parent.pid).or_default().push(Step::Make(pid));
        } else if process.sid == parent_birth {
            born_in.insert(pid, parent_birth);
            before.entry(parent.pid).or_default().push(Step::Make(pid));
        } else if by_pid.contains_key(&process.sid) {
            // Orphaned to a subreaper above the leader of its session.
            let intermediate = free();
            lineage.pids.push(intermediate);
            born_in.insert(pid, process.sid);
            after.entry(process.sid).or_default().push(Step::MakeOrphan { intermediate, pid });
        } else if parent.subreaper && !pid_exists(process.sid) {
            born_in.insert(pid, process.sid);
            let steps = after.entry(parent.pid).or_default();
            let there = steps.iter_mut().find_map(|s| match s {
                Step::SessionStandIn { pid: leader, makes } if *leader == process.sid => Some(makes),
                _ => None,
            });
            match there {
                Some(makes) => makes.push(pid),
                None => {
                    lineage.pids.push(process.sid);
                    steps.push(Step::SessionStandIn { pid: process.sid, makes: vec![pid] });
                }
            }
        } else {
            lineage.lost.push(format!("session {} of process {pid} has no leader any more", process.sid));
            born_in.insert(pid, parent.sid);
            after.entry(parent.pid).or_default().push(Step::Make(pid));
        }
    }
    for (sid, makes) in orphans {
        lineage.pids.push(sid);
        lineage.tops.push(Top::SessionStandIn { pid: sid, makes });
    }
    // Groups without a living leader, within the tree.
    let mut stood_in: HashSet<Pid> = lineage.pids.iter().copied().collect();
    for process in processes.iter().filter(|p| p.exit_status.is_none()) {
        let group = process.pgid;
        if group != 0 && !stood_in.contains(&group) && !pid_exists(group) {
            stood_in.insert(group);
            lineage.pids.push(group);
            after.entry(process.pid).or_default().push(Step::StandIn { pid: group });
        }
    }
    for process in processes {
        let mut steps = before.remove(&process.pid).unwrap_or_default();
        if process.sid == process.pid {
            steps.push(Step::Session);
        }
        steps.extend(after.remove(&process.pid).unwrap_or_default());
        lineage.steps.insert(process.pid, steps);
    }
    lineage
}

fn pid_exists(pid: Pid) -> bool {
    pid > 0 && std::path::Path::new(&format!("/proc/{pid}")).exists()
}
