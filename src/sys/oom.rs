//! How often the kernel's OOM killer has struck, as the kernel counts it.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup::{Group, Version};

/// So many processes have been killed since the system, or the control group, was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kills {
    /// Of the control group of this process and of those inside of it, whoever was short of memory: the
    /// group, one around it, or the whole system.
    InGroup(u64),
    /// Of the whole system.
    Anywhere(u64),
}

/// Where the kernel keeps the count.
#[derive(Clone, Debug)]
pub struct Counter {
    file: PathBuf,
    in_group: bool,
}

impl Counter {
    /// The one that is closest to this process; `None` if the system does not count.
    #[must_use]
    pub fn find() -> Option<Self> {
        Self::find_in(Path::new("/"))
    }

    /// `root` is the root of the file system.
    fn find_in(root: &Path) -> Option<Self> {
        let of_group = |group: &Group| {
            let file = match group.version {
                Version::One => "memory.oom_control",
                Version::Two => "memory.events",
            };
            Self { file: group.directory.join(file), in_group: true }
        };
        let of_system = Self { file: root.join("proc/vmstat"), in_group: false };
        let groups = Group::all(root, "memory");
        let mut counters = groups.iter().map(of_group).chain([of_system]);
        counters.find(|counter| counter.read().is_some())
    }

    /// The count at this moment. It is raised before a process is killed, so that whoever sees the
    /// end of the process sees it too.
    #[must_use]
    pub fn read(&self) -> Option<Kills> {
        let text = fs::read_to_string(&self.file).ok()?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
        let count = count.trim().parse().ok()?;
        Some(if self.in_group { Kills::InGroup(count) } else { Kills::Anywhere(count) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const V1: &str = "30 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    const EVENTS: &str = "low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 0\n";
    const CONTROL: &str = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n";
    const SYSTEM: &str = "nr_free_pages 7\noom_kill 5\ndrop_pagecache 0\n";

    /// What is read in a system of these files.
    fn kills(files: &[(&str, &str)]) -> Option<Kills> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Counter::find_in(root.path())?.read()
    }

    #[test]
    fn the_count_of_the_own_group_is_preferred() {
        let system = ("proc/vmstat", SYSTEM);
        let two = [("proc/self/cgroup", "0::/a\n"), ("proc/self/mountinfo", V2), system];
        let events = ("sys/fs/cgroup/a/memory.events", EVENTS);
        assert_eq!(kills(&[&two[..], &[events]].concat()), Some(Kills::InGroup(3)));
        // Without the controller there is no such file.
        assert_eq!(kills(&two), Some(Kills::Anywhere(5)));
        // A group around it counts for others too.
        let around = ("sys/fs/cgroup/memory.events", EVENTS);
        assert_eq!(kills(&[&two[..], &[around]].concat()), Some(Kills::Anywhere(5)));

        let one = [("proc/self/cgroup", "4:memory:/b\n0::/a\n"), ("proc/self/mountinfo", V1)];
        let control = ("sys/fs/cgroup/memory/b/memory.oom_control", CONTROL);
        assert_eq!(kills(&[&one[..], &[control]].concat()), Some(Kills::InGroup(4)));
        // Before Linux 4.13 it did not count.
        let old = ("sys/fs/cgroup/memory/b/memory.oom_control", "under_oom 0\n");
        assert_eq!(kills(&[&one[..], &[old]].concat()), None);
    }

    /// As on machines of which the service manager has both.
    #[test]
    fn of_two_versions_that_which_counts_is_taken() {
        let mounts = format!("{V2}{V1}");
        let groups = "4:memory:/b\n0::/a\n";
        let base = [("proc/self/cgroup", groups), ("proc/self/mountinfo", mounts.as_str())];
        let control = ("sys/fs/cgroup/memory/b/memory.oom_control", CONTROL);
        let events = ("sys/fs/cgroup/a/memory.events", EVENTS);
        assert_eq!(kills(&[&base[..], &[control]].concat()), Some(Kills::InGroup(4)));
        assert_eq!(kills(&[&base[..], &[events]].concat()), Some(Kills::InGroup(3)));
    }

    #[test]
    fn a_system_that_does_not_count_says_nothing() {
        assert_eq!(kills(&[]), None);
        assert_eq!(kills(&[("proc/vmstat", "nr_free_pages 7\n")]), None);
        assert_eq!(kills(&[("proc/vmstat", "oom_kill x\n")]), None);
    }

    #[test]
    fn this_system_counts() {
        assert!(Counter::find().unwrap().read().is_some());
    }
}
