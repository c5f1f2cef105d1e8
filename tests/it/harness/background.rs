//! A server that has left the process group of the command that started it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgid};

use super::process;
use super::wait::{BOUND, poll, until};

/// A daemon, known by its pid file. Dropping it ends it and everything it forked.
pub struct Daemon {
    pub pid: i32,
    group: i32,
}

impl Daemon {
    /// Waits until the pid file names a living process that is not `command`.
    #[track_caller]
    pub fn of(pidfile: &Path, command: i32) -> Self {
        let pid = until(BOUND, "the pid file of the daemon", || {
            let pid = fs::read_to_string(pidfile).ok()?.trim().parse().ok()?;
            (pid != command && process::is_alive(pid)).then_some(pid)
        });
        let group = getpgid(Some(Pid::from_raw(pid))).expect("it lives").as_raw();
        Self { pid, group }
    }

    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid, signal);
    }

    /// Sends a signal and waits for the end of all its processes.
    #[track_caller]
    pub fn stop(&self, signal: Signal) {
        self.signal(signal);
        until(BOUND, "the daemon to end", || process::members(self.group).is_empty().then_some(()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        poll(Duration::from_secs(3), || process::members(self.group).is_empty().then_some(()));
        process::signal_group(self.group, Signal::SIGKILL);
    }
}
