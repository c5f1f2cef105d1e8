//! What happens to master and workers in the course of their life that the other topics leave out.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::cases::on_both_servers;
use crate::harness::{BOUND, Builder, Client, ServerKind, process, until};

on_both_servers!(
    what_is_told_at_level_debug,
    signals_without_a_meaning_end_the_master,
    signals_to_a_worker,
    signals_to_a_busy_worker,
    an_idle_connection_during_a_stop,
    an_import_that_exits,
    an_import_that_takes_long,
    a_reload_counts_anew,
    a_reload_changes_address_and_name,
    a_host_that_does_not_exist,
);

fn what_is_told_at_level_debug(kind: ServerKind) {
    let args = ["--log-level", "debug", "--enable-backlog-metric"];
    let server = Builder::new(kind).args(args).start_ready(1);
    let (master, worker) = (server.pid(), server.wait_workers(1)[0]);
    server.log.wait_for(&format!("[{master}] [DEBUG] 1 workers"));
    server.log.wait_for(&format!("[{master}] [DEBUG] socket backlog: 0"));
    server.signal(Signal::SIGWINCH);
    server.log.wait_for(&format!("[{master}] [INFO] Handling signal: winch"));
    server.log.wait_for(&format!("[{master}] [DEBUG] SIGWINCH ignored. Not daemonized"));
    process::signal(worker, Signal::SIGWINCH);
    server.log.wait_for(&format!("[{worker}] [DEBUG] worker: SIGWINCH ignored."));
    // Without a word.
    server.signal(Signal::SIGPIPE);
    server.signal(Signal::SIGTTIN);
    server.log.wait_for(&format!("[{master}] [DEBUG] 2 workers"));
    process::signal(worker, Signal::SIGKILL);
    server.log.wait_for(&format!("[{master}] [DEBUG] Handling signal: cld"));
    server.wait_workers(2);
}

/// At once, and nothing is put in order.
fn signals_without_a_meaning_end_the_master(kind: ServerKind) {
    for signal in [Signal::SIGABRT, Signal::SIGALRM] {
        let builder = Builder::new(kind).gunicorn_args(&["-t", "2"]);
        let pidfile = builder.dir().join("web.pid");
        let mut server = builder.args(["-p".as_ref(), pidfile.as_os_str()]).start_ready(1);
        let worker = server.wait_workers(1)[0];
        assert_eq!(server.stop(signal), 128 + signal as i32);
        assert!(pidfile.exists());
        server.log.wait_for(&format!("[{worker}] [INFO] Worker exiting (pid: {worker})"));
        assert!(!server.log.text().contains("Shutting down"));
    }
}

/// It ends as if the master had sent them, and another one takes its place.
fn signals_to_a_worker(kind: ServerKind) {
    let server = Builder::new(kind).gunicorn_args(&["-t", "2"]).start_ready(1);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let worker = server.wait_workers(1)[0];
        let mark = server.log.mark();
        process::signal(worker, signal);
        server.log.wait_for_since(mark, &format!("Worker exiting (pid: {worker})"));
        server.log.wait_for_since(mark, "note: loaded in ");
        until(BOUND, "another worker", || (server.workers() != [worker]).then_some(()));
        let log = server.log.since(mark);
        assert!(!log.contains("was sent") && !log.contains("exited with"), "{signal}: {log}");
    }
}

/// TERM waits for the request, the others end it.
fn signals_to_a_busy_worker(kind: ServerKind) {
    let server = Builder::new(kind).start_ready(1);
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let worker = server.wait_workers(1)[0];
        let mark = server.log.mark();
        let mut client = server.connect();
        client.send("GET /sleep?600 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        server.log.wait_for_since(mark, "note: sleeping in ");
        process::signal(worker, signal);
        assert_eq!(client.response().status, 500, "{signal}");
        server.log.wait_for_since(mark, &format!("Worker exiting (pid: {worker})"));
        server.log.wait_for_since(mark, "note: loaded in ");
    }
}

/// It may bring one more request for a while, with whose response it ends.
fn an_idle_connection_during_a_stop(kind: ServerKind) {
    let builder = Builder::new(kind).args(["-k", "gthread", "--threads", "2"]);
    let mut server = builder.args(["--keep-alive", "20"]).start_ready(1);
    let (mut asks, mut silent) = (server.connect(), server.connect());
    for client in [&mut asks, &mut silent] {
        client.send("GET /pid HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().header("Connection"), Some("keep-alive"));
    }
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Handling signal: term");
    // The worker may not know yet.
    until(BOUND, "the last response", || {
        asks.send("GET /pid HTTP/1.1\r\nHost: a\r\n\r\n");
        (asks.response().header("Connection") == Some("close")).then_some(())
    });
    asks.assert_closed();
    silent.assert_closed();
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
}

fn an_import_that_exits(kind: ServerKind) {
    let builder = Builder::new(kind).app("broken_exit:app");
    let mut server = builder.start();
    server.log.wait_for("[ERROR] Worker (pid:");
    server.log.wait_for_count("exited with code 9.", 2);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
}

/// The timeout begins with the first sign of life.
fn an_import_that_takes_long(kind: ServerKind) {
    const APP: &str = "import time\ntime.sleep(2.5)\nfrom supervised import app\n";
    let server = Builder::new(kind)
        .in_own_dir()
        .env("PYTHONPATH", crate::harness::server::APPS)
        .file("slow.py", APP)
        .app("slow:app")
        .args(["-t", "1"])
        .start_ready(1);
    let worker = server.wait_workers(1)[0];
    assert_eq!(server.get("/pid").text(), worker.to_string());
    assert!(!server.log.text().contains("TIMEOUT"));
}

/// What TTIN has added is gone.
fn a_reload_counts_anew(kind: ServerKind) {
    let server = Builder::new(kind).file("gunicorn.conf.py", "workers = 2\n").app("supervised:app");
    let server = server.start();
    server.log.wait_for_count("note: loaded in ", 2);
    server.signal(Signal::SIGTTIN);
    let old = server.wait_workers(3);
    server.log.wait_for_count("note: loaded in ", 3);
    server.signal(Signal::SIGHUP);
    until(BOUND, "two new workers", || {
        let now = server.workers();
        (now.len() == 2 && now.iter().all(|pid| !old.contains(pid))).then_some(())
    });
    assert!(server.log.text().matches("Booting worker").count() == 5);
}

fn a_reload_changes_address_and_name(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app").without_bind();
    let paths = ["one.sock", "two.sock"].map(|name| builder.dir().join(name));
    let conf = |name: &str, path: &std::path::Path| {
        format!("proc_name = '{name}'\nbind = 'unix:{}'\n", path.display())
    };
    let server = builder.file("gunicorn.conf.py", &conf("one", &paths[0])).start();
    assert_eq!(Client::connect_unix(&paths[0]).get("/pid").status, 200);
    let titled = |title: &str| {
        let master = server.pid();
        until(BOUND, title, || {
            (process::title(master) == format!("gunicorn: master [{title}]")).then_some(())
        });
        until(BOUND, title, || {
            let titles: Vec<String> = server.workers().into_iter().map(process::title).collect();
            (titles == [format!("gunicorn: worker [{title}]")]).then_some(())
        });
    };
    titled("one");
    fs::write(server.dir().join("gunicorn.conf.py"), conf("two", &paths[1])).expect("writable");
    server.signal(Signal::SIGHUP);
    // Without the process id that the line has at the start.
    let text = format!("[INFO] Listening at: unix:{}", paths[1].display());
    assert!(server.log.wait_for(&text).ends_with(&text));
    titled("two");
    assert_eq!(Client::connect_unix(&paths[1]).get("/pid").status, 200);
    // gunicorn leaves the file behind.
    assert_eq!(paths[0].exists(), !kind.is_rgunicorn());
}

/// Found out like an address in use.
fn a_host_that_does_not_exist(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:app").args(["--log-level", "debug"]);
    let outcome = builder.binding("no-such-host.invalid:8000").run();
    assert_eq!(outcome.status, Some(1));
    let address = "('no-such-host.invalid', 8000)";
    let count = |text: &str| outcome.stderr.matches(text).count();
    let attempts = count(&format!("[ERROR] connection to {address} failed: [Errno -"));
    assert_eq!(attempts, 5, "{}", outcome.stderr);
    // gunicorn also says it when it gives up.
    let pauses = if kind.is_rgunicorn() { 4 } else { 5 };
    assert_eq!(count("[DEBUG] Retrying in 1 second."), pauses, "{}", outcome.stderr);
    assert!(outcome.stderr.contains(&format!("[ERROR] Can't connect to {address}")));
}
