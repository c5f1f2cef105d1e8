//! Workers that die in every possible way are replaced, and only their own request suffers.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Server, ServerKind, process, until};

on_both_servers!(deaths_inside_a_request, recycling);

on_rgunicorn!(crash_loops_back_off, signals_held_back_by_the_parent);

/// Request that kills its worker, what the master says about it.
const DEATHS: &[(&str, &str)] = &[
    ("/leave?0", ""),
    ("/leave?7", "exited with code 7."),
    ("/leave?3", ""),
    ("/segfault", "was sent SIGSEGV!"),
    ("/abort", "was sent SIGABRT!"),
    ("/fatal", "was sent SIGABRT!"),
];

fn deaths_inside_a_request(kind: ServerKind) {
    let server = Builder::new(kind).start_ready(2);
    for &(target, obituary) in DEATHS {
        if target == "/leave?3" && !kind.is_rgunicorn() {
            // gunicorn takes 3 and 4 from a running worker for a failed boot and stops.
            continue;
        }
        let before = server.wait_workers(2);
        let mark = server.log.mark();
        let answer = server.exchange(format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert_eq!(String::from_utf8_lossy(&answer), "", "{target}");
        server.log.wait_for_since(mark, obituary);
        server.log.wait_for_since(mark, "note: loaded in ");
        let after = server.wait_workers(2);
        assert_eq!(after.iter().filter(|pid| before.contains(pid)).count(), 1, "{target}");
    }
    assert_eq!(server.get("/pid").status, 200);
}

fn recycling(kind: ServerKind) {
    let server = Builder::new(kind).args(["--max-requests", "3"]).start_ready(1);
    let first = server.get("/pid").text();
    let mut answers = 1;
    until(BOUND, "the next worker", || {
        let next = server.get("/pid").text() != first;
        answers += usize::from(!next);
        next.then_some(())
    });
    if kind.is_rgunicorn() {
        // The old worker goes on until its replacement is ready.
        assert!(answers >= 3, "{answers}");
    } else {
        assert_eq!(answers, 3);
    }
    let line = format!("[{first}] [INFO] Autorestarting worker after current request.");
    server.log.wait_for(&line);
    server.log.wait_for(&format!("[{first}] [INFO] Worker exiting (pid: {first})"));
}

/// An application whose workers die at once after the first one was fine must not keep the
/// machine busy with forks, and is served again once it is cured.
fn crash_loops_back_off(kind: ServerKind) {
    const FINE: &str = "def app(environ, start_response):\n    \
        start_response('200 OK', [])\n    return [b'fine']\n";
    // Codes 3 and 4 stop a server only before any worker was ever ready.
    for status in [9, 3, 4] {
        let server =
            Builder::new(kind).in_own_dir().app("changing:app").file("changing.py", FINE).start();
        assert_eq!(server.get("/").text(), "fine");
        let file = server.dir().join("changing.py");
        let broken = format!("import os\nos._exit({status})\n");
        fs::write(&file, broken).expect("the file is writable");
        let mark = server.log.mark();
        process::signal(server.wait_workers(1)[0], Signal::SIGKILL);
        server.log.wait_for_since(mark, &format!("exited with code {status}."));
        server.log.wait_for_since(mark, "the next one is started in 0.4 s.");
        assert!(boots(&server, mark) <= 4, "{}", server.log.text());
        fs::write(&file, FINE).expect("the file is writable");
        assert_eq!(server.get("/").text(), "fine");
    }
}

/// What whoever starts the server holds back would stay so: no worker's death would be noticed, and nothing
/// would stop it.
fn signals_held_back_by_the_parent(kind: ServerKind) {
    let builder = Builder::new(kind).first("set -- env --block-signal \"$@\"");
    let mut server = builder.start_ready(2);
    let killed = server.wait_workers(2)[0];
    process::signal(killed, Signal::SIGKILL);
    server.log.wait_for(&format!("Worker (pid:{killed}) was sent SIGKILL!"));
    server.log.wait_for_count("Booting worker with pid", 3);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
}

fn boots(server: &Server, mark: usize) -> usize {
    server.log.since(mark).matches("Booting worker with pid").count()
}
