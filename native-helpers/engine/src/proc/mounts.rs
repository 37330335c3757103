//! Mount points, from /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::io;

/// Where a file system is mounted; the mounts of its root first.
pub fn mount_points(dev: u64) -> io::Result<Vec<String>> {
    let mut points: Vec<(bool, String)> = Vec::new();
    for mount in std::fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let words: Vec<&str> = mount.split(' ').take(5).collect();
        let [_, _, number, root, point] = words[..] else { continue };
        let numbers: Vec<u32> = number.split(':').filter_map(|n| n.parse().ok()).collect();
        if let [major, minor] = numbers[..]
            && rustix::fs::makedev(major, minor) == dev
        {
            points.push((root != "/", unquoted(point)));
        }
    }
    points.sort_by_key(|(part, _)| *part);
    Ok(points.into_iter().map(|(_, point)| point).collect())
}

/// The mount point of a mount that process `pid` sees, by its number.
pub fn mount_point(pid: i32, id: u64) -> io::Result<Option<String>> {
    let table = super::read(pid, "mountinfo")?;
    let line = table.lines().find(|l| l.split(' ').next().and_then(|n| n.parse().ok()) == Some(id));
    Ok(line.and_then(|l| l.split(' ').nth(4)).map(unquoted))
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unquoted(name: &str) -> String {
    let mut text = name.to_owned();
    for (code, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(code, character);
    }
    text
}
