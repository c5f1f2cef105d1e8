//! A real systemd, as the first process of name spaces of its own, with no units but those of the test.
//!
//! It sees the files of this system, but for `/run` and the control groups, and its network.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::harness::output::Output;
use crate::harness::{BOUND, process, until};

/// Mounts what systemd needs and turns into it. `$1` is the directory of the units.
///
/// Both forms of control groups are mounted as they are outside: version 2 alone, or beside version 1.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
[ -e /dev/console ] && mount --bind /dev/null /dev/console
form=$(stat -f -c %T /sys/fs/cgroup)
umount -R /sys/fs/cgroup
if [ "$form" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi
exec env -i container=test SYSTEMD_UNIT_PATH="$1" PATH="$PATH" \
    /lib/systemd/systemd --system --unit=default.target --log-target=console --show-status=no
"#;

/// A running systemd. Dropping it ends it and all that it has started.
pub struct Systemd {
    child: Child,
    log: Output,
    /// It as seen from outside.
    pid: i32,
    groups: Vec<PathBuf>,
    units: TempDir,
}

impl Systemd {
    /// Starts it with these units, as name and text.
    #[track_caller]
    pub fn boot(units: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        for (name, text) in units.iter().chain(&[("default.target", "[Unit]\n")]) {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        // What it does to control groups is to stay in groups of the test.
        let groups = own_groups();
        let enter = groups.iter().map(|at| format!("echo $$ > {}/cgroup.procs; ", at.display()));
        let enter = enter.collect::<Vec<_>>().concat();
        let script = format!(
            "{enter} exec unshare --mount --pid --fork --kill-child --cgroup --ipc --uts --mount-proc \
             sh -c \"$0\" sh \"$@\""
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, BOOT]).arg(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("/bin/sh can be started");
        let log = Output::capture(child.stderr.take().expect("stderr is piped"));
        let outer = child.id().cast_signed();
        let pid = until(BOUND, "the first process", || process::children(outer).first().copied());
        let booted = Self { child, log, pid, groups, units: dir };
        until(BOUND, "systemd to be running", || {
            let said = booted.systemctl(&["is-system-running"]).0;
            ["running", "degraded"].contains(&said.trim()).then_some(())
        });
        booted
    }

    /// Where its units are.
    pub fn units(&self) -> &Path {
        self.units.path()
    }

    /// What `systemctl` says, and whether it has done what it was asked to.
    pub fn systemctl(&self, arguments: &[&str]) -> (String, bool) {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.pid.to_string(), "systemctl"]).args(arguments);
        let output = command.output().expect("util-linux is installed by tests/system/run");
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&said).into_owned(), output.status.success())
    }

    /// Has `systemctl` do something that must succeed.
    #[track_caller]
    pub fn order(&self, arguments: &[&str]) {
        let (said, done) = self.systemctl(arguments);
        assert!(done, "systemctl {arguments:?}: {said}{}", self.log.text());
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let (said, _) = self.systemctl(&["show", "--value", "--property", name, unit]);
        said.trim().to_owned()
    }

    /// Waits for a value of a property.
    #[track_caller]
    pub fn wait_for(&self, unit: &str, name: &str, value: &str) {
        until(BOUND, &format!("{name}={value}"), || {
            (self.property(unit, name) == value).then_some(())
        });
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of systemd:\n{}---", self.log.text());
        }
        // The kernel ends all processes of the name space with the first one.
        process::signal(self.pid, Signal::SIGKILL);
        let _ = self.child.wait();
        for group in &self.groups {
            remove(group);
        }
    }
}

/// Makes a group for the test in each hierarchy that systemd uses, inside of those of this process.
#[track_caller]
fn own_groups() -> Vec<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").expect("/proc is there");
    let unified = Path::new("/sys/fs/cgroup/cgroup.procs").exists();
    let top = Path::new("/sys/fs/cgroup");
    let place = |line: &str| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let top = match controllers {
            "" if unified => top.to_owned(),
            "" => top.join("unified"),
            "name=systemd" => top.join("systemd"),
            _ => return None,
        };
        let name = format!("rgunicorn-system-{}", std::process::id());
        Some(top.join(group.trim_start_matches('/')).join(name))
    };
    let made: Vec<PathBuf> = groups.lines().filter_map(place).collect();
    assert!(!made.is_empty(), "no control groups that systemd could use in\n{groups}");
    for group in &made {
        fs::create_dir_all(group).unwrap_or_else(|error| {
            panic!("a control group cannot be made at {}: {error}", group.display())
        });
    }
    made
}

/// Removes a group and those in it, as soon as their processes are gone.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    crate::harness::wait::poll(BOUND, || {
        (fs::remove_dir(group).is_ok() || !group.exists()).then_some(())
    });
}
