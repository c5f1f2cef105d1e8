//! Where the control groups of this process are in the file system (cgroups(7)).

use std::fs;
use std::path::{Path, PathBuf};

/// A control group that this process is in.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Its directory.
    pub directory: PathBuf,
    /// The outermost group of its hierarchy that can be seen.
    top: PathBuf,
    pub version: Version,
}

/// Which form the files of a hierarchy have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

impl Group {
    /// The groups of this process in which `controller` may be at work: that of version 1 that has it,
    /// and that of version 2, in which any may be. `root` is the root of the file system.
    #[must_use]
    pub fn all(root: &Path, controller: &str) -> Vec<Self> {
        let read = |path| fs::read_to_string(root.join(path)).unwrap_or_default();
        let mounts = read("proc/self/mountinfo");
        let mounts: Vec<Mount<'_>> = mounts.lines().filter_map(Mount::parse).collect();
        let groups = read("proc/self/cgroup");
        groups.lines().filter_map(|line| Self::of(root, line, controller, &mounts)).collect()
    }

    /// The group of a line of /proc/self/cgroup, `NUMBER:CONTROLLERS:GROUP` (version 2: no controllers).
    fn of(root: &Path, line: &str, controller: &str, mounts: &[Mount<'_>]) -> Option<Self> {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let version = match controllers {
            "" => Version::Two,
            list if list.split(',').any(|name| name == controller) => Version::One,
            _ => return None,
        };
        let mount = mounts.iter().find(|mount| mount.has(controller, version))?;
        let top = root.join(mount.point.trim_start_matches('/'));
        // In a container without a name space of its own for groups, what is mounted is the
        // container's group, and the path is as seen from outside. What lies out of sight does not
        // count.
        let inside = Path::new(group).strip_prefix(mount.group).unwrap_or(Path::new(""));
        let directory = top.join(inside.strip_prefix("/").unwrap_or(inside));
        Some(Self { directory, top, version })
    }

    /// The directories of this group and of those around it, as far as they can be seen.
    pub fn and_around(&self) -> impl Iterator<Item = &Path> {
        self.directory.ancestors().take_while(|here| here.starts_with(&self.top))
    }
}

/// A mounted hierarchy of control groups.
struct Mount<'a> {
    /// The group that is mounted, within its hierarchy.
    group: &'a str,
    /// Where.
    point: &'a str,
    /// `cgroup2`, or `cgroup` with its controllers in `options`.
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of `proc_pid_mountinfo(5)`; `None` if it is about something else.
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (group, point) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let kind = file_system.next().filter(|kind| kind.starts_with("cgroup"))?;
        let options = file_system.nth(1)?;
        Some(Self { group, point, kind, options })
    }

    fn has(&self, controller: &str, version: Version) -> bool {
        match version {
            Version::Two => self.kind == "cgroup2",
            Version::One => {
                self.kind == "cgroup" && self.options.split(',').any(|option| option == controller)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n\
        31 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 23 0:29 /docker/f00 /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n";

    /// The directories of the groups that are found, relative to the root.
    fn found(controller: &str, groups: &str, mounts: &str) -> Vec<(String, Version)> {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("proc/self");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("cgroup"), groups).unwrap();
        fs::write(place.join("mountinfo"), mounts).unwrap();
        let relative = |path: &Path| path.strip_prefix(root.path()).unwrap().display().to_string();
        let all = Group::all(root.path(), controller);
        all.iter().map(|group| (relative(&group.directory), group.version)).collect()
    }

    #[test]
    fn groups_are_found_by_controller_and_version() {
        let groups = "9:name=systemd:/x\n5:cpuset:/y\n4:cpu,cpuacct:/z\n0::/a/b\n";
        let unified = ("sys/fs/cgroup/a/b".to_owned(), Version::Two);
        let own = ("sys/fs/cgroup/cpu,cpuacct/z".to_owned(), Version::One);
        assert_eq!(found("cpu", groups, MOUNTS), [own, unified.clone()]);
        assert_eq!(found("memory", groups, MOUNTS), [unified]);
    }

    /// A container that shares the name space of groups with its host sees the host's path, and its
    /// own group as the root of the mount.
    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        for group in ["/docker/f00", "/docker/f00/", "/elsewhere", "/"] {
            let groups = format!("3:memory:{group}\n");
            let at = |path: &str| [(path.to_owned(), Version::One)];
            assert_eq!(found("memory", &groups, MOUNTS), at("sys/fs/cgroup/memory"), "{group}");
        }
        let inner = found("memory", "3:memory:/docker/f00/inner\n", MOUNTS);
        assert_eq!(inner[0].0, "sys/fs/cgroup/memory/inner");
    }

    #[test]
    fn what_lies_around_ends_where_the_mount_does() {
        let group = Group {
            directory: "/sys/fs/cgroup/a/b".into(),
            top: "/sys/fs/cgroup".into(),
            version: Version::Two,
        };
        let around: Vec<&Path> = group.and_around().collect();
        let expected = ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"];
        assert_eq!(around, expected.map(Path::new));
    }

    #[test]
    fn a_system_that_does_not_tell_has_no_groups() {
        assert_eq!(Group::all(Path::new("/nonexistent"), "cpu"), []);
        assert_eq!(found("cpu", "0::/\n", ""), []);
        let odd = "no colon\n1:2\n:::\n";
        assert_eq!(found("cpu", odd, " - \nx - cgroup2\n"), []);
    }
}
