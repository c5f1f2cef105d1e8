//! A control group with a memory limit, where the system lets this process make one.

use std::fs;
use std::path::{Path, PathBuf};

/// A group inside of that of this process, so that its limits hold on. Dropping it removes it.
pub struct MemoryGroup {
    directory: PathBuf,
}

impl MemoryGroup {
    /// A group whose processes may use so many bytes together; `None` if that is not to be had: it
    /// takes root, and groups of version 1, or of version 2 beside the group of this process.
    pub fn new(name: &str, bytes: u64) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let in_group = |line: &str| {
            let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
            let group = group.trim_start_matches('/');
            // Version 2 has no processes in groups that have others inside, so one beside it.
            let (place, limit) = if controllers.is_empty() {
                (Path::new("/sys/fs/cgroup").join(group).parent()?.to_owned(), "memory.max")
            } else if controllers == "memory" {
                (Path::new("/sys/fs/cgroup/memory").join(group), "memory.limit_in_bytes")
            } else {
                return None;
            };
            let directory = place.join(format!("{name}-{}", std::process::id()));
            fs::create_dir(&directory).ok()?;
            let group = Self { directory };
            fs::write(group.directory.join(limit), bytes.to_string()).ok()?;
            // The current user may have no right to put processes into it.
            fs::OpenOptions::new().write(true).open(group.processes()).ok()?;
            Some(group)
        };
        groups.lines().find_map(in_group)
    }

    /// The file that a process puts itself in by.
    pub fn processes(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Empty as soon as the last of its processes is gone.
        super::wait::poll(super::BOUND, || fs::remove_dir(&self.directory).ok());
    }
}
