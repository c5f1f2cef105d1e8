//! Requests that never end.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::load::Load;
use crate::harness::{BOUND, Builder, ServerKind, process, until};

on_both_servers!(
    stuck_request,
    deaf_worker,
    idle_worker,
    grace,
    impatience,
    a_master_that_is_held_up_by_its_logger
);

on_rgunicorn!(held_interpreter, nobody_is_blamed_for_a_pause_of_all);

/// The worker is replaced, and with rgunicorn the log tells what it was doing.
fn stuck_request(kind: ServerKind) {
    let server = Builder::new(kind).args(["-t", "1"]).start_ready(2);
    let before = server.wait_workers(2);
    let mut client = server.connect();
    client.send("GET /sleep?600 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let line = server.log.wait_for("note: sleeping in ");
    let stuck: i32 = line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid");
    // Others are served in the meantime.
    assert_ne!(server.get("/pid").text(), stuck.to_string());
    server.log.wait_for(&format!("[CRITICAL] WORKER TIMEOUT (pid:{stuck})"));
    let answer = client.read_to_end();
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    server.log.wait_for_count("note: loaded in ", 3);
    let after = server.wait_workers(2);
    assert!(!after.contains(&stuck));
    assert_eq!(after.iter().filter(|pid| before.contains(pid)).count(), 1);
    if kind.is_rgunicorn() {
        let log = server.log.text();
        assert!(log.contains("GET /sleep?600"), "{log}");
        // The Python stack of the stuck thread.
        assert!(log.contains("supervised.py\", line ") && log.contains(" in sleep"), "{log}");
        assert!(!log.contains("out of memory"), "{log}");
    }
}

/// A worker that cannot take a request because a thread of the application holds the interpreter.
fn held_interpreter(kind: ServerKind) {
    let server = Builder::new(kind).args(["-t", "1"]).start_ready(1);
    let stuck = server.get("/hog").text();
    // It does not show before the worker is to do something.
    until(BOUND, "the timeout", || {
        server.exchange("GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        server.log.text().contains("WORKER TIMEOUT").then_some(())
    });
    server.log.wait_for(&format!("[CRITICAL] WORKER TIMEOUT (pid:{stuck})"));
    server
        .log
        .wait_for("waiting for the interpreter lock, which a thread of the application holds");
    server.log.wait_for(&format!("Worker (pid:{stuck}) was sent SIGKILL!"));
    assert_ne!(server.get("/pid").text(), stuck);
}

/// A worker that does not react to ABRT is killed.
fn deaf_worker(kind: ServerKind) {
    let server = Builder::new(kind).args(["-t", "1"]).start_ready(1);
    let stuck = server.wait_workers(1)[0];
    let answer = server.exchange("GET /deaf_sleep?600 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(String::from_utf8_lossy(&answer), "");
    server.log.wait_for(&format!("[CRITICAL] WORKER TIMEOUT (pid:{stuck})"));
    let line = server.log.wait_for(&format!("[ERROR] Worker (pid:{stuck}) was sent SIGKILL!"));
    // gunicorn guesses; here the reason is known.
    assert_eq!(line.contains("out of memory"), !kind.is_rgunicorn(), "{line}");
    assert_ne!(server.get("/pid").text(), stuck.to_string());
}

/// Having nothing to do is not being stuck.
fn idle_worker(kind: ServerKind) {
    let server =
        Builder::new(kind).keeping_alive().args(["-t", "2", "--keep-alive", "3"]).start_ready(1);
    let worker = server.wait_workers(1)[0];
    let mut client = server.connect();
    client.send("GET /pid HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), worker.to_string());
    // The server closes when the client has been idle for longer than the timeout.
    client.assert_closed();
    assert_eq!(server.get("/pid").text(), worker.to_string());
    assert!(!server.log.text().contains("TIMEOUT"), "{}", server.log.text());
}

/// TERM waits for a request no longer than `graceful_timeout`.
fn grace(kind: ServerKind) {
    let mut server = Builder::new(kind).args(["--graceful-timeout", "1"]).start_ready(1);
    let mut client = server.connect();
    client.send("GET /sleep?600 HTTP/1.1\r\nHost: a\r\n\r\n");
    server.log.wait_for("note: sleeping in ");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    client.assert_closed();
    server.assert_nothing_left();
    if kind.is_rgunicorn() {
        assert!(!server.log.text().contains("out of memory"), "{}", server.log.text());
    }
}

/// A second signal shortens a graceful stop.
fn impatience(kind: ServerKind) {
    let mut server = Builder::new(kind).start_ready(1);
    let mut client = server.connect();
    client.send("GET /sleep?600 HTTP/1.1\r\nHost: a\r\n\r\n");
    server.log.wait_for("note: sleeping in ");
    let worker = server.wait_workers(1)[0];
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Handling signal: term");
    server.signal(Signal::SIGINT);
    server.log.wait_for("Quick shutdown requested");
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
    until(BOUND, "the worker to end", || (!process::is_alive(worker)).then_some(()));
}

/// It kills nobody for that, and forgets no signal.
fn a_master_that_is_held_up_by_its_logger(kind: ServerKind) {
    const CONF: &str = "import logging, os, time
from gunicorn.glogging import Logger
master = os.getpid()
class Slow(logging.Handler):
    def emit(self, record):
        if os.getpid() == master:
            time.sleep(0.5)
class SlowLogger(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        self.error_log.addHandler(Slow())
logger_class = SlowLogger
timeout = 2
";
    let builder = Builder::new(kind).file("gunicorn.conf.py", CONF);
    let begun = builder.dir().join("begun");
    let mut server = builder.env("BEGUN", begun).start_ready(2);
    let load = Load::start(server.addr, 4);
    let mark = server.log.mark();
    let signals = [
        (Signal::SIGTTIN, "ttin"),
        (Signal::SIGHUP, "hup"),
        (Signal::SIGUSR1, "usr1"),
        (Signal::SIGTTOU, "ttou"),
        (Signal::SIGWINCH, "winch"),
    ];
    for (signal, _) in signals {
        server.signal(signal);
    }
    for (_, name) in signals {
        server.log.wait_for_since(mark, &format!("Handling signal: {name}"));
    }
    load.wait_more(20);
    let tally = load.finish();
    assert!(tally.failures.is_empty() || !kind.is_rgunicorn(), "{:?}", tally.failures);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(!server.log.text().contains("WORKER TIMEOUT"));
}

/// As when a container is frozen, or a machine rests.
fn nobody_is_blamed_for_a_pause_of_all(kind: ServerKind) {
    let server = Builder::new(kind).args(["-t", "2"]).start_ready(2);
    let mut client = server.connect();
    client.send("GET /sleep?1 HTTP/1.1\r\nHost: a\r\n\r\n");
    server.log.wait_for("note: sleeping in ");
    process::signal_group(server.pid(), Signal::SIGSTOP);
    let begin = Instant::now();
    until(BOUND, "more than the timeout", || {
        (begin.elapsed() > Duration::from_millis(3500)).then_some(())
    });
    process::signal_group(server.pid(), Signal::SIGCONT);
    assert_eq!(client.response().status, 200);
    assert!(!server.log.text().contains("WORKER TIMEOUT"));
    // It is timed as ever afterwards.
    client.send("GET /sleep?600 HTTP/1.1\r\nHost: a\r\n\r\n");
    server.log.wait_for("WORKER TIMEOUT");
}
