//! What the conf file `recorder.py` has written down.

use std::fs;
use std::path::PathBuf;

use crate::harness::server::APPS;
use crate::harness::{BOUND, Builder, Server, ServerKind, until};

/// A server that records its hooks.
pub fn recording(kind: ServerKind) -> (Builder, Record) {
    let builder = Builder::new(kind);
    let path = builder.dir().join("record");
    let builder = builder.env("RECORD", &path).args(["-c", &format!("{APPS}/recorder.py")]);
    (builder, Record { path })
}

/// The calls, in the order in which they were made.
pub struct Record {
    path: PathBuf,
}

impl Record {
    /// Of a conf file that writes to the file `record` in the server's directory.
    pub fn of(builder: &Builder) -> Self {
        Self { path: builder.dir().join("record") }
    }

    /// All calls so far: the process, and the hook with what was seen of its arguments.
    fn calls(&self) -> Vec<(i32, String)> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let calls = text.lines().map(|line| {
            let (pid, call) = line.split_once(' ').expect("a process and a call");
            (pid.parse().expect("a process id"), call.to_owned())
        });
        calls.collect()
    }

    /// Those of one process.
    pub fn of_process(&self, pid: i32) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|(caller, _)| *caller == pid);
        calls.map(|(_, call)| call).collect()
    }

    /// Those of the worker of this age.
    pub fn of_worker(&self, age: u32) -> Vec<String> {
        self.of_process(self.pid_of_worker(age))
    }

    /// The process of the worker of this age, which must have come as far as to its hook `post_fork`.
    pub fn pid_of_worker(&self, age: u32) -> i32 {
        let start = format!("post_fork worker={age} ");
        let calls = self.calls();
        let found = calls.iter().find(|(_, call)| call.starts_with(&start));
        found.unwrap_or_else(|| panic!("no worker {age} in {calls:?}")).0
    }

    /// Waits until a call begins with `start` in `count` places.
    #[track_caller]
    pub fn wait(&self, start: &str, count: usize) {
        until(BOUND, &format!("{count} times `{start}`"), || {
            let calls = self.calls();
            (calls.iter().filter(|(_, call)| call.starts_with(start)).count() >= count)
                .then_some(())
        });
    }
}

/// Fails if the calls are not these.
#[track_caller]
pub fn assert_calls(server: &Server, who: &str, calls: &[String], expected: &[String]) {
    assert_eq!(calls, expected, "{who} of {}", server.kind.name());
}
