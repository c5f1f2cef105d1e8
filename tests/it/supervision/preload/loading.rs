//! While the master, which has become a new program, loads the application: the old workers are watched, and no
//! signal is lost.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{builder, change, mean, reload, start, until_reaped, until_serving};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Builder, Server, ServerKind, process, until};

on_rgunicorn!(
    a_stop_does_not_wait,
    a_stop_does_not_wait_for_an_import_that_notices_nothing,
    workers_that_die_or_hang_are_noticed,
    signals_are_not_lost,
    another_reload_begins_anew,
);

fn with_pipe(builder: Builder) -> Builder {
    mkfifo(&builder.dir().join("pipe"), Mode::S_IRWXU).expect("a pipe can be made");
    builder
}

/// Reloads, and has the master wait while it loads the application.
#[track_caller]
fn hold(server: &Server, name: &str) {
    mean(server, name, server.pid());
    let mark = server.log.mark();
    server.signal(Signal::SIGHUP);
    server.log.wait_for_since(mark, if name == "hold" { "note: held" } else { "note: deaf" });
    // The old workers serve.
    assert!(server.get("/").text().starts_with("old "));
    assert_eq!(process::title(server.pid()), "gunicorn: master [changing:app]");
}

fn release(server: &Server) {
    fs::remove_file(server.dir().join("hold")).expect("it is there");
    fs::write(server.dir().join("pipe"), "").expect("somebody reads");
}

fn a_stop_does_not_wait(kind: ServerKind) {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let builder = with_pipe(builder(kind, &["-w", "2", "--pid", "web.pid"]));
        let conf = "def on_exit(server): server.log.info('on_exit is called')\n";
        let mut server = start(builder.file("gunicorn.conf.py", conf));
        hold(&server, "hold");
        let mark = server.log.mark();
        assert_eq!(server.stop(signal), 0);
        assert!(!server.dir().join("web.pid").exists());
        server.assert_nothing_left();
        let log = server.log.since(mark);
        assert!(log.contains("on_exit is called") && !log.contains("could not load"), "{log}");
    }
}

fn a_stop_does_not_wait_for_an_import_that_notices_nothing(kind: ServerKind) {
    for address in ["unix:web.sock", "127.0.0.1:0"] {
        let builder = builder(kind, &["-w", "2", "--pid", "web.pid"]).binding(address);
        let mut server = start(builder);
        mean(&server, "deaf", server.pid());
        server.signal(Signal::SIGHUP);
        server.log.wait_for("note: deaf");
        let begin = Instant::now();
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
        server.log.wait_for("Shutting down: Master");
        for file in ["web.pid", "web.sock"] {
            assert!(!server.dir().join(file).exists(), "{file}");
        }
        server.assert_nothing_left();
    }
}

fn workers_that_die_or_hang_are_noticed(kind: ServerKind) {
    const CONF: &str = "def child_exit(server, worker): server.log.info('gone: %d', worker.pid)\n";
    let builder = with_pipe(builder(kind, &["-w", "3", "-t", "1"]));
    let mut server = start(builder.file("gunicorn.conf.py", CONF));
    let old = server.wait_workers(3);
    hold(&server, "hold");
    let mark = server.log.mark();
    let stuck: i32 = server.get("/").header("X-Pid").expect("a pid").parse().expect("a number");
    let killed = *old.iter().find(|pid| **pid != stuck).expect("another worker");
    process::signal(killed, Signal::SIGKILL);
    server.log.wait_for_since(mark, &format!("Worker (pid:{killed}) was sent SIGKILL!"));
    assert_eq!(process::zombies(server.pid()), 0);
    let mut client = server.connect();
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    let line = server.log.wait_for_since(mark, "WORKER TIMEOUT (pid:");
    let (_, pid) = line.rsplit_once(':').expect("a process id");
    let pid: i32 = pid.trim_end_matches(')').parse().expect("a process id");
    assert_eq!(client.response().status, 500);
    process::until_gone(pid);
    // Whoever is left goes on.
    assert!(server.get("/").text().starts_with("old "));
    assert_eq!(server.workers().len(), 1);
    release(&server);
    server.wait_workers(3);
    for pid in &old {
        server.log.wait_for_since(mark, &format!("gone: {pid}"));
    }
    until_reaped(&server);
    // All of them.
    let old = server.wait_workers(3);
    hold(&server, "hold");
    for pid in &old {
        process::signal(*pid, Signal::SIGKILL);
    }
    until(BOUND, "an empty pool", || server.workers().is_empty().then_some(()));
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    release(&server);
    assert_eq!(client.response().status, 200);
    server.wait_workers(3);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.assert_nothing_left();
}

fn signals_are_not_lost(kind: ServerKind) {
    let server = start(with_pipe(builder(kind, &["-w", "2"])));
    let old = server.wait_workers(2);
    hold(&server, "hold");
    let mark = server.log.mark();
    for signal in [Signal::SIGUSR1, Signal::SIGTTIN, Signal::SIGWINCH, Signal::SIGUSR2] {
        server.signal(signal);
    }
    process::signal(old[0], Signal::SIGKILL);
    release(&server);
    for name in ["usr1", "ttin", "winch", "usr2"] {
        server.log.wait_for_since(mark, &format!("Handling signal: {name}"));
    }
    let second = server.new_master(mark);
    process::signal(second, Signal::SIGTERM);
    process::until_gone(second);
    process::until_gone(old[1]);
    server.wait_workers(3);
    until_reaped(&server);
    reload(&server, "new");
    server.wait_workers(2);
}

/// Also if it comes while the application is loaded for the second time.
fn another_reload_begins_anew(kind: ServerKind) {
    let server = start(with_pipe(builder(kind, &["-w", "2"])));
    let old = server.wait_workers(2);
    hold(&server, "hold");
    for _ in 0..3 {
        let mark = server.log.mark();
        change(&server, "new");
        server.signal(Signal::SIGHUP);
        server.log.wait_for_since(mark, "HUP has come while the application was loaded");
        server.log.wait_for_since(mark, "The application is loaded in process ");
        server.log.wait_for_since(mark, "note: held");
        assert_eq!(server.wait_workers(2), old);
        assert!(!server.log.since(mark).contains("could not load"));
    }
    release(&server);
    until_serving(&server, "new");
    server.wait_workers(2);
    until_reaped(&server);
}
