//! What `coverage run` measures in workers.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{Builder, ServerKind};

on_rgunicorn!(written_down_in_the_end);

on_both_servers!(threads_are_traced);

/// What of coverage the server uses. It is running before the server is.
const COVERAGE: &str = "
import os

class Coverage:
    @classmethod
    def current(cls):
        return cls()

    def stop(self):
        self.stopped = os.getpid()

    def save(self):
        with open('saved', 'a') as file:
            print(os.getpid(), self.stopped, file=file)
";

const APP: &str = "
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'measured']
";

/// What a debugger does, too.
const TRACING: &str = "
import os, sys, threading

seen = []

def trace(frame, event, argument):
    if frame.f_code.co_name == 'app':
        seen.append('traced')

def profile(frame, event, argument):
    if event == 'call' and frame.f_code.co_name == 'app':
        seen.append('profiled')

threading.settrace(trace)
threading.setprofile(profile)

def app(environ, start_response):
    start_response('200 OK', [])
    return [' '.join(sorted(seen)).encode()]
";

fn threads_are_traced(kind: ServerKind) {
    let builder = Builder::new(kind).in_own_dir().file("app.py", TRACING).args(["--threads", "2"]);
    let mut server = builder.app("app:app").start();
    assert_eq!(server.get("/").text(), "profiled traced");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
}

fn written_down_in_the_end(kind: ServerKind) {
    let builder = Builder::new(kind).in_own_dir().file("coverage.py", COVERAGE);
    let builder = builder.file("gunicorn.conf.py", "import coverage\n").file("app.py", APP);
    let place = builder.dir().to_owned();
    let mut server = builder.app("app:app").start();
    assert_eq!(server.get("/").text(), "measured");
    let worker = server.workers()[0];
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    let saved = fs::read_to_string(place.join("saved")).expect("the worker has written it");
    assert_eq!(saved, format!("{worker} {worker}\n"));
}
