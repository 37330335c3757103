//! Which control groups the processes and threads of a tree are in (cgroups(7)).

use crate::model::{Cgroup, Pid, Process};
use crate::proc;

/// Notes where a process is, and those of its threads that are elsewhere (threaded groups, version 1).
pub fn note(process: &mut Process) {
    let task = process.task();
    process.cgroups = of(task, task);
    for thread in process.threads.iter_mut().skip(1) {
        let own = of(task, thread.tid);
        if own != process.cgroups {
            thread.cgroups = own;
        }
    }
}

fn of(task: Pid, tid: Pid) -> Vec<Cgroup> {
    let text = proc::read(task, &format!("task/{tid}/cgroup")).unwrap_or_default();
    parse(&text)
}

/// Lines such as `4:memory:/wards/seven`.
fn parse(text: &str) -> Vec<Cgroup> {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (hierarchy, path) = (fields.next()?, fields.next()?);
        // A group that has been removed meanwhile keeps its members until they end.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        Some(Cgroup { hierarchy: hierarchy.to_owned(), path: path.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_colon_is_kept_whole() {
        let all = parse("4:cpu,cpuacct:/a:b\n0::/c\n");
        assert_eq!(all[0], Cgroup { hierarchy: "cpu,cpuacct".into(), path: "/a:b".into() });
        assert_eq!(all[1], Cgroup { hierarchy: String::new(), path: "/c".into() });
    }
}
