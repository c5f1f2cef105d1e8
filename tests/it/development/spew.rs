//! `--spew` prints the lines of Python that are executed.

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, ServerKind};

on_both_servers!(lines_of_the_application_are_printed);

on_rgunicorn!(lines_of_threads_are_printed);

const APP: &str = "import threading

def app(environ, start_response):
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    start_response('200 OK', [])
    return [b'ok']

def other():
    return 7
";

/// What a server printed that was asked once.
fn printed(builder: Builder) -> String {
    let builder = builder.in_own_dir().app("printed:app").file("printed.py", APP);
    let mut server = builder.args(["--spew"]).start();
    assert_eq!(server.get("/").text(), "ok");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.out.wait_end(BOUND)
}

fn lines_of_the_application_are_printed(kind: ServerKind) {
    let out = printed(Builder::new(kind));
    // Lines of the other thread, which gunicorn does not print, may come anywhere.
    let of_the_other = |line: &&str| line.starts_with("printed:11:");
    let lines = out.lines().filter(|line| line.starts_with("printed:"));
    let lines: Vec<&str> = lines.filter(|line| !of_the_other(line)).collect();
    assert_eq!(
        lines,
        [
            "printed:1: import threading",
            "printed:3: def app(environ, start_response):",
            "printed:10: def other():",
            "printed:4:     thread = threading.Thread(target=other)",
            "printed:5:     thread.start()",
            "printed:6:     thread.join()",
            "printed:7:     start_response('200 OK', [])",
            "printed:8:     return [b'ok']",
        ]
    );
    // Neither server tells the same twice, once per process.
    assert_eq!(out.matches("printed:1: ").count(), 1);
}

/// gunicorn prints those of the main thread only.
fn lines_of_threads_are_printed(kind: ServerKind) {
    let out = printed(Builder::new(kind).args(["--threads", "2"]));
    for line in ["printed:8:     return [b'ok']\n", "printed:11:     return 7\n"] {
        assert!(out.contains(line), "{out}");
    }
}
