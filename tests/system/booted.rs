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
/// It gets control groups of version 2, with whatever controllers there are outside: where it finds others, it
/// makes groups in all of them.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
[ -e /dev/console ] && mount --bind /dev/null /dev/console
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i container=test SYSTEMD_UNIT_PATH="$1" PATH="$PATH" \
    /lib/systemd/systemd --system --unit=default.target --log-target=console --show-status=no
"#;

/// A running systemd. Dropping it ends it and all that it has started.
pub struct Systemd {
    child: Child,
    log: Output,
    /// It as seen from outside.
    pid: i32,
    group: PathBuf,
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
        // What it does to control groups is to stay in a group of the test.
        let group = own_group();
        let enter = format!("echo $$ > {}/cgroup.procs;", group.display());
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
        let booted = Self { child, log, pid, group, units: dir };
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
        remove(&self.group);
    }
}

/// Makes a group for the test inside of that of this process.
#[track_caller]
fn own_group() -> PathBuf {
    let groups = fs::read_to_string("/proc/self/cgroup").expect("/proc is there");
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let group = group.unwrap_or_else(|| panic!("no control group of version 2 in\n{groups}"));
    // On systems that have version 1 too.
    let beside = Path::new("/sys/fs/cgroup/unified");
    let top = if beside.is_dir() { beside } else { Path::new("/sys/fs/cgroup") };
    let made = top.join(group).join(format!("rgunicorn-system-{}", std::process::id()));
    fs::create_dir_all(&made).unwrap_or_else(|error| {
        panic!("a control group cannot be made at {}: {error}", made.display())
    });
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
