//! What the kernel offers.

use torpor_sys::probe;

use super::Feature;

/// The oldest kernel that everything required is in.
const OLDEST: (u32, u32) = (5, 14);
const NEWER_KERNEL: &str = "use a newer kernel";
const AS_ROOT: &str =
    "run as root; in a container allow the system call (seccomp profile) and the capability";

pub fn features() -> Vec<Feature> {
    let mut all = vec![version()];
    all.extend(tracing());
    all.extend(userfaultfd());
    all.extend([
        Feature::new("pagemap-scan", "a short pause: finding the pages of a large process quickly")
            .tried(&probe::pagemap_scan(), "use kernel 6.7 or later"),
        Feature::new("chosen-pid", "restoring processes with the PIDs they had")
            .required()
            .tried(&probe::chosen_pid(), "run as root, or with CAP_CHECKPOINT_RESTORE"),
        Feature::new("checkpoint-restore", "threads that wait for each other's end after a restore")
            .required()
            .tried(&probe::tid_address(), "use a kernel with CONFIG_CHECKPOINT_RESTORE"),
        Feature::new("mm-map", "heap, command line and environment at their places after a restore")
            .required()
            .tried(&probe::mm_map(), "use a kernel with CONFIG_CHECKPOINT_RESTORE"),
        Feature::new("pid-namespace", "capsules: PIDs that are always free")
            .required()
            .tried(&probe::pid_namespace(), AS_ROOT),
        Feature::new("mount-namespace", "capsules: a /tmp and a /proc of their own")
            .required()
            .tried(&probe::mount_namespace(), AS_ROOT),
        Feature::new("ipc-namespace", "capsules: SysV objects with the ids they had")
            .required()
            .tried(&probe::ipc_namespace(), AS_ROOT),
        Feature::new(
            "time-namespace",
            "clocks that go on where they stood, also after a restart of the machine",
        )
        .tried(&probe::time_namespace(), "use a kernel with CONFIG_TIME_NS, and run as root"),
        network_lock(),
        Feature::new("io-uring", "reading and writing images with less processor time")
            .tried(&probe::io_uring(), "allow io_uring (sysctl kernel.io_uring_disabled=0)"),
    ]);
    all
}

/// Tells, too, how many connections wait for their programs just now.
fn network_lock() -> Feature {
    let locked = torpor_engine::network_lock::locked();
    let feature = Feature::new(
        "network-lock",
        "TCP connections whose peers talk while their program is away: they are kept waiting",
    );
    let feature = match &locked {
        Ok(count) if *count > 0 => feature.detail(format!("{count} connections are kept waiting")),
        _ => feature,
    };
    feature.tried(&locked, "use a kernel with CONFIG_NF_TABLES_INET, and run with CAP_NET_ADMIN")
}

fn version() -> Feature {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let new_enough = numbers(&release).is_some_and(|version| version >= OLDEST);
    Feature::new("kernel-version", "everything: kernel 5.14 or later")
        .required()
        .detail(release)
        .given(new_enough, NEWER_KERNEL)
}

fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn tracing() -> Vec<Feature> {
    let tried = match probe::tracing() {
        Ok(tried) => tried,
        Err(error) => {
            let missing = std::io::Result::<()>::Err(error);
            return vec![
                Feature::new("ptrace", "stopping a tree and reading its state")
                    .required()
                    .tried(&missing, AS_ROOT),
            ];
        }
    };
    vec![
        Feature::new("ptrace", "stopping a tree and reading its state")
            .required()
            .tried(&tried.seize, AS_ROOT),
        Feature::new("process-memory", "reading the memory of a tree")
            .required()
            .tried(&tried.read_memory, AS_ROOT),
        Feature::new("pidfd-getfd", "reading what open files hold")
            .required()
            .tried(&tried.take_descriptor, AS_ROOT),
        Feature::new("kcmp", "telling shared from equal descriptors")
            .required()
            .tried(&tried.compare, "use a kernel with CONFIG_KCMP; in a container allow kcmp"),
        Feature::new("rseq", "programs that use restartable sequences (the C library does)")
            .tried(&tried.rseq, "use kernel 5.13 or later"),
        Feature::new("seccomp-filters", "programs that confine themselves with seccomp")
            .tried(&tried.seccomp_filters, "run as root and outside a seccomp profile"),
    ]
}

fn userfaultfd() -> Vec<Feature> {
    let tried = probe::userfaultfd();
    let remedy = "run as root, or allow it (sysctl vm.unprivileged_userfaultfd=1)";
    let with = |bit: u64| tried.as_ref().is_ok_and(|features| features & bit != 0);
    vec![
        Feature::new("userfaultfd", "lazy restore: running before all memory is read").tried(&tried, remedy),
        Feature::new("userfaultfd-shared", "lazy restore of shared memory")
            .given(with(probe::UFFD_FEATURE_MISSING_SHMEM), NEWER_KERNEL),
        Feature::new("userfaultfd-wp-async", "incremental images: knowing which pages were written")
            .given(with(probe::UFFD_FEATURE_WP_ASYNC), "use kernel 6.7 or later"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_read() {
        assert_eq!(numbers("6.18.0-1-amd64"), Some((6, 18)));
        assert_eq!(numbers("5.14"), Some((5, 14)));
        assert_eq!(numbers("strange"), None);
    }
}
