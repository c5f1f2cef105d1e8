//! An image in name spaces of its own, as `docker run --read-only --tmpfs /tmp --cap-drop ALL
//! --security-opt no-new-privileges` would start it.

use std::fs;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::NamedTempFile;

use crate::docker::Image;
use crate::dockerfile::Start;
use crate::harness::output::Output;
use crate::harness::{BOUND, process, until};
use crate::root::Layer;

/// Done before the file system becomes the root of the container.
const CONFINE: &str = r#"
ip link set lo up
mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 tmpfs "$root/tmp"
mount -o remount,ro "$root"
"#;

/// A running container. Dropping it ends it.
pub struct Container {
    child: Child,
    /// The first process in it, by its number outside.
    first: i32,
    log: Output,
    start: Start,
    /// What it would write to, if it could.
    _layer: Layer,
}

impl Container {
    /// Starts the entry point with other arguments than those of the image, if there are any.
    #[track_caller]
    pub fn run(image: &Image, command: &[&str]) -> Self {
        let (stage, layer) = image.last();
        let mut start = stage.start.clone();
        if !command.is_empty() {
            start.command = command.iter().map(ToString::to_string).collect();
        }
        Self::start(layer.continued(), start)
    }

    /// Starts something in a file system.
    #[track_caller]
    pub fn start(layer: Layer, start: Start) -> Self {
        let (user, group) = start.user.split_once(':').expect("a user and a group by number");
        let mut outside = layer.enter(&["--net"], CONFINE);
        outside.args(["setpriv", "--reuid", user, "--regid", group, "--clear-groups"]);
        outside.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]);
        outside.args(["env", "-i", &format!("--chdir={}", start.workdir)]);
        outside.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        outside.args(start.environment.iter().map(|(name, value)| format!("{name}={value}")));
        outside.args(&start.entrypoint);
        outside.args(&start.command);
        outside.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = outside.spawn().expect("there is timeout");
        let log = Output::capture(child.stderr.take().expect("stderr is piped"));
        let only = |pid| process::children(pid).first().copied();
        let outer = child.id().cast_signed();
        // `timeout` has `unshare`, which has the first process.
        let first = until(BOUND, "the first process", || only(only(outer)?));
        Self { child, first, log, start, _layer: layer }
    }

    /// A file of /proc about the first process.
    #[track_caller]
    pub fn fact(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.first);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{path}: {error}; {}", self.log.text()))
    }

    /// A command of this system, in the container's network.
    fn in_its_network(&self, command: &[&str]) -> (Option<i32>, String) {
        let output = Command::new("nsenter")
            .args(["--target", &self.first.to_string(), "--net"])
            .args(command)
            .output()
            .expect("there is nsenter");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.start.port)
    }

    /// Status and body of the answer to GET.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        let form = "\n%{http_code}";
        let url = self.url(path);
        let (_, text) = self.in_its_network(&["curl", "-s", "-m", "20", "-w", form, &url]);
        let (body, status) = text.rsplit_once('\n').expect("curl adds a line, also to no answer");
        (status.parse().expect("curl adds the status"), body.to_owned())
    }

    /// The answer to a form with a file.
    #[track_caller]
    pub fn upload(&self, path: &str, content: &[u8]) -> String {
        let mut file = NamedTempFile::new().expect("a temporary file can be made");
        file.write_all(content).expect("the temporary file is writable");
        let form = format!("file=@{}", file.path().display());
        self.in_its_network(&["curl", "-s", "-m", "20", "-F", &form, &self.url(path)]).1
    }

    /// Runs the health check, as Docker does: in the container, as its user.
    pub fn is_healthy(&self) -> bool {
        let (user, group) = self.start.user.split_once(':').expect("a user and a group by number");
        let status = Command::new("nsenter")
            .args(["--target", &self.first.to_string(), "--mount", "--net", "--pid", "--root"])
            .args(["--setuid", user, "--setgid", group])
            .args(&self.start.health)
            .stderr(Stdio::null())
            .status();
        status.expect("there is nsenter").success()
    }

    #[track_caller]
    pub fn wait_healthy(&mut self) {
        self.wait_until("the container to be healthy", Self::is_healthy);
    }

    /// Waits until it answers, where there is no health check.
    #[track_caller]
    pub fn wait_serving(&mut self) {
        self.wait_until("an answer", |container| container.get("/").0 == 200);
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, fact: fn(&Self) -> bool) {
        until(BOUND, what, || {
            let ended = self.child.try_wait().expect("it is a child of this process");
            assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.log.text());
            fact(self).then_some(())
        });
    }

    /// The exit status of the first process; 128 and the signal if one killed it.
    #[track_caller]
    pub fn wait_exit(&mut self) -> i32 {
        let status = until(BOUND, "the container to end", || {
            self.child.try_wait().expect("it is a child of this process")
        });
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// Sends a signal to the first process.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.first, signal);
    }

    /// Sends a signal to the first process and waits for its exit status.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) -> i32 {
        self.signal(signal);
        self.wait_exit()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the container:\n{}---", self.log.text());
        }
        // All processes of the name space end with the first.
        if matches!(self.child.try_wait(), Ok(None)) {
            process::signal(self.first, Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
