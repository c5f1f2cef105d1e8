//! How many CPUs this process can use: those it may run on, as far as control groups let it.

use std::fs;
use std::path::Path;

use super::cgroup::{Group, Version};

/// The number of CPUs that the process can keep busy, at least 1.
///
/// It is the number of CPUs in its affinity mask (`sched_getaffinity(2)`, cpusets included), or, if that
/// is less, the CPU quota of its control group and of all groups around it, rounded up: with a quota
/// of 1.5 CPUs two processes can use what one leaves.
#[must_use]
pub fn usable() -> usize {
    let allowed = affinity().unwrap_or(usize::MAX);
    let quota = quota(Path::new("/"));
    match quota.map_or(allowed, |quota| allowed.min(quota)) {
        // The system tells neither.
        usize::MAX => 1,
        count => count.max(1),
    }
}

/// The CPUs in the affinity mask of the calling thread.
fn affinity() -> Option<usize> {
    // 1024 CPUs, and more if the kernel says that it has more.
    let mut words = 16;
    loop {
        let mut mask = vec![0u64; words];
        // SAFETY: the pointer is to so many bytes that live; the kernel writes no more than these.
        let result = unsafe {
            libc::sched_getaffinity(0, size_of_val(mask.as_slice()), mask.as_mut_ptr().cast())
        };
        if result == 0 {
            return Some(mask.iter().map(|word| word.count_ones() as usize).sum());
        }
        if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL) || words > 4096 {
            return None;
        }
        words *= 2;
    }
}

/// The least CPU quota in force, in whole CPUs, rounded up; `None` if there is none. `root` is the
/// root of the file system.
fn quota(root: &Path) -> Option<usize> {
    let quotas = |group: &Group| {
        let read = match group.version {
            Version::One => version_1,
            Version::Two => version_2,
        };
        group.and_around().filter_map(read).min()
    };
    Group::all(root, "cpu").iter().filter_map(quotas).min()
}

/// `cpu.max`: `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn version_2(group: &Path) -> Option<usize> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let mut words = text.split_whitespace();
    whole_cpus(words.next()?, words.next()?)
}

/// `cpu.cfs_quota_us`, which is -1 for no limit, and `cpu.cfs_period_us`.
fn version_1(group: &Path) -> Option<usize> {
    let read = |name| fs::read_to_string(group.join(name)).ok();
    whole_cpus(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
}

fn whole_cpus(quota: &str, period: &str) -> Option<usize> {
    let quota: usize = quota.trim().parse().ok()?;
    let period: usize = period.trim().parse().ok()?;
    (period > 0).then(|| quota.div_ceil(period).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "30 23 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
                      31 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

    /// The quota in a system of these files.
    fn quota_with(files: &[(&str, &str)]) -> Option<usize> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        quota(root.path())
    }

    /// In the group `/a/b` of version 2.
    fn unified(files: &[(&str, &str)]) -> Option<usize> {
        let base = [("proc/self/cgroup", "0::/a/b\n"), ("proc/self/mountinfo", V2)];
        quota_with(&[&base[..], files].concat())
    }

    #[test]
    fn quotas_of_version_2_are_rounded_up() {
        for (text, expected) in [
            ("max 100000\n", None),
            ("100000 100000\n", Some(1)),
            ("150000 100000\n", Some(2)),
            ("400000 100000\n", Some(4)),
            ("10000 100000\n", Some(1)),
            ("25000 50000", Some(1)),
            ("1000 0\n", None),
            ("nonsense\n", None),
            ("", None),
        ] {
            assert_eq!(unified(&[("sys/fs/cgroup/a/b/cpu.max", text)]), expected, "{text:?}");
        }
        assert_eq!(unified(&[]), None);
    }

    #[test]
    fn the_tightest_of_the_groups_around_counts() {
        let tight = ("sys/fs/cgroup/a/cpu.max", "200000 100000\n");
        let wide = ("sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
        assert_eq!(unified(&[tight, wide]), Some(2));
        let outside = ("sys/fs/cpu.max", "100000 100000\n");
        assert_eq!(unified(&[outside, wide]), Some(3));
    }

    #[test]
    fn the_groups_of_version_1_are_found_by_their_controller() {
        let groups = "9:name=systemd:/x\n5:cpuset:/y\n4:cpu,cpuacct:/z\n0::/x\n";
        let base = [("proc/self/cgroup", groups), ("proc/self/mountinfo", V1)];
        let with = |files: &[(&str, &str)]| quota_with(&[&base[..], files].concat());
        let period = ("sys/fs/cgroup/cpu,cpuacct/z/cpu.cfs_period_us", "100000\n");
        let quota = |text| ("sys/fs/cgroup/cpu,cpuacct/z/cpu.cfs_quota_us", text);
        assert_eq!(with(&[period, quota("-1\n")]), None);
        assert_eq!(with(&[period, quota("250000\n")]), Some(3));
        assert_eq!(with(&[quota("250000\n")]), None);
    }

    /// A container that shares the name space of groups with its host sees the host's path, and its
    /// own group as the root of the mount.
    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        let mount =
            "31 23 0:28 /docker/f00 /sys/fs/cgroup/cpu ro master:9 - cgroup cgroup rw,cpu\n";
        let files = [
            ("proc/self/mountinfo", mount),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n"),
        ];
        for group in ["/docker/f00", "/docker/f00/", "/elsewhere"] {
            let groups = format!("3:cpu:{group}\n");
            let all = [&[("proc/self/cgroup", groups.as_str())], &files[..]].concat();
            assert_eq!(quota_with(&all), Some(2), "{group}");
        }
    }

    #[test]
    fn a_system_that_does_not_tell_has_no_quota() {
        assert_eq!(quota_with(&[]), None);
        assert_eq!(quota_with(&[("proc/self/cgroup", "0::/\n")]), None);
        let odd = "no colon\n1:2\n:::\n0::/../..\n";
        let files = [("proc/self/cgroup", odd), ("proc/self/mountinfo", " - \nx - cgroup2\n")];
        assert_eq!(quota_with(&files), None);
    }

    #[test]
    fn there_is_a_cpu_to_use() {
        let allowed = affinity().unwrap();
        assert!(allowed >= 1 && (1..=allowed).contains(&usable()));
    }
}
