//! The capabilities of this process (capabilities(7)).

use torpor_engine::proc::status::Status;

use super::Feature;

struct Capability {
    name: &'static str,
    bit: u32,
    required: bool,
    needed_for: &'static str,
}

const fn needed(name: &'static str, bit: u32, needed_for: &'static str) -> Capability {
    Capability { name, bit, required: true, needed_for }
}

const fn useful(name: &'static str, bit: u32, needed_for: &'static str) -> Capability {
    Capability { name, bit, required: false, needed_for }
}

const CAPABILITIES: [Capability; 13] = [
    needed("CAP_SYS_PTRACE", 19, "stopping and reading programs of other users"),
    needed("CAP_SYS_ADMIN", 21, "capsules (namespaces, mounts), seccomp filters"),
    useful("CAP_CHECKPOINT_RESTORE", 40, "choosing PIDs and opening mapped files without CAP_SYS_ADMIN"),
    useful("CAP_SETUID", 7, "programs of other users"),
    useful("CAP_SETGID", 6, "programs of other users"),
    useful("CAP_SETPCAP", 8, "programs with a reduced set of capabilities"),
    useful("CAP_KILL", 5, "ending programs of other users"),
    useful("CAP_CHOWN", 0, "unlinked files of other users"),
    useful("CAP_DAC_OVERRIDE", 1, "files of other users"),
    useful("CAP_DAC_READ_SEARCH", 2, "finding what inotify watches, and naming finished images"),
    useful("CAP_SYS_NICE", 23, "real-time priorities and higher nice levels"),
    useful(
        "CAP_SYS_RESOURCE",
        24,
        "raising hard limits, OOM scores below the default, limits of other users read from outside",
    ),
    useful("CAP_NET_ADMIN", 12, "network connections"),
];

pub fn features() -> Vec<Feature> {
    let effective = Status::of(std::process::id() as i32).map_or(0, |status| status.cap_effective);
    CAPABILITIES
        .iter()
        .map(|c| {
            let feature = Feature { required: c.required, ..Feature::new(c.name, c.needed_for) };
            feature.given(effective >> c.bit & 1 == 1, "run as root; in a container add the capability")
        })
        .collect()
}
