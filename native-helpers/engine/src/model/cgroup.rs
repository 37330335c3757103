//! Control groups (cgroups(7)).

use serde::{Deserialize, Serialize};

/// A line of /proc/PID/cgroup (cgroups(7)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The controllers or the name of the hierarchy; empty for version 2.
    pub hierarchy: String,
    pub path: String,
}

/// A control group as it was, to make it again where it has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFolder {
    pub group: Cgroup,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub files: Vec<CgroupFile>,
}

/// One file of a control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFile {
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// What it said, where that is a setting.
    pub value: Option<String>,
}
