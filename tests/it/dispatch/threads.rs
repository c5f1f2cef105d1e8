//! Workers with several threads: what applications and operators see of them.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::steady::{Steady, assert_undisturbed};
use super::{ask, builder, crowd, finish_all, hold, request};
use crate::harness::cases::on_rgunicorn;
use crate::harness::wait::poll;
use crate::harness::{BOUND, ServerKind, process, until};

on_rgunicorn!(
    what_the_application_is_told,
    names,
    exceptions,
    recycling,
    reopening,
    term_waits,
    quick_stops_do_not_wait,
    handlers_run_in_the_main_thread,
);

fn what_the_application_is_told(kind: ServerKind) {
    for (args, threaded) in [
        (&["--threads", "2"][..], "True"),
        (&["-k", "gthread"], "True"),
        (&["-k", "sync", "--threads", "2"], "True"),
        (&["--threads", "1"], "False"),
    ] {
        let server = builder(kind).args(args).start_ready(1);
        let seen = ask(&mut server.connect(), "/facts");
        assert_eq!(seen.fact("wsgi.multithread"), threaded, "{args:?}");
        assert_eq!(seen.fact("wsgi.multiprocess"), "False");
        assert_eq!(seen.fact("thread") == "MainThread", threaded == "False", "{args:?}");
        let class = if threaded == "True" { "gthread" } else { "sync" };
        server.log.wait_for(&format!("Using worker: {class}"));
    }
}

/// Threads have names of their own, in Python, for the system, and where stacks are shown.
fn names(kind: ServerKind) {
    let server = builder(kind).args(["--threads", "3"]).start_ready(1);
    let worker = server.wait_workers(1)[0];
    let held: Vec<_> = (0..3).map(|_| hold(&server, server.connect())).collect();
    let tasks = fs::read_dir(format!("/proc/{worker}/task")).expect("the worker lives");
    let mut names: Vec<String> = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with("slot-"))
        .collect();
    names.sort();
    assert_eq!(names, ["slot-0", "slot-1", "slot-2"]);
    let mut threads: Vec<String> =
        held.into_iter().map(|held| held.finish().1.fact("thread").to_owned()).collect();
    threads.sort();
    assert_eq!(threads, names);
    let held: Vec<_> = (0..3).map(|_| hold(&server, server.connect())).collect();
    process::signal(worker, Signal::SIGABRT);
    server.log.wait_for("Stacks of the worker when it was aborted:");
    let log = server.log.wait_until(BOUND, 0, "three stacks", |text| {
        (text.matches("in await_pipe").count() == 3).then(|| text.to_owned())
    });
    for name in names {
        assert!(log.contains(&format!("({name}):")), "{name} is not in {log}");
    }
    drop(held);
}

/// An exception is its own request's alone.
fn exceptions(kind: ServerKind) {
    let server = builder(kind).args(["--threads", "2"]).start_ready(1);
    let worker = server.wait_workers(1)[0];
    let held = hold(&server, server.connect());
    for _ in 0..4 {
        let mut client = server.connect();
        client.send(request("/raises"));
        let response = client.response();
        assert_eq!(response.status, 500);
        assert!(!response.text().contains("raised in"), "{}", response.text());
    }
    server.log.wait_for_count("[ERROR] Error handling request GET /raises", 4);
    server.log.wait_for_count("ValueError: raised in slot-", 4);
    server.log.wait_for("in raises");
    let (mut client, _) = held.finish();
    assert_eq!(ask(&mut client, "/pid").pid(), worker);
}

/// `max_requests` counts the requests of all threads, and nobody notices.
fn recycling(kind: ServerKind) {
    let server = builder(kind).args(["--threads", "4", "--max-requests", "50"]).start_ready(1);
    let clients = Steady::get(server.addr, 8, "/nap?1");
    server.log.wait_for_count("Autorestarting worker after current request.", 5);
    clients.wait_more(50);
    let courses = clients.finish();
    assert_undisturbed(&courses);
    let log = server.log.text();
    assert!(!log.contains("[ERROR]"), "{log}");
    let workers = log.matches("note: loaded in ").count();
    let answered: usize = courses.iter().map(|course| course.answered).sum();
    // Each has had its 50, and those that were in its threads or on their way then.
    assert!(workers <= answered / 50 + 2, "{workers} workers for {answered} requests");
    assert!(workers * 150 > answered, "{workers} workers for {answered} requests");
}

/// USR1 does not wait for a request.
fn reopening(kind: ServerKind) {
    let builder = builder(kind);
    let (log, moved) = (builder.dir().join("access.log"), builder.dir().join("moved.log"));
    let server = builder.args(["--threads", "2", "--access-logfile"]).args([&log]).start_ready(1);
    let held = [hold(&server, server.connect()), hold(&server, server.connect())];
    fs::rename(&log, &moved).expect("the file is there");
    // The worker alone: the master does not make the file anew.
    process::signal(held[0].pid, Signal::SIGUSR1);
    until(BOUND, "the new file", || log.exists().then_some(()));
    for held in held {
        held.finish();
    }
    until(BOUND, "two lines", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        (text.matches("GET /hold?").count() == 2).then_some(())
    });
    assert_eq!(fs::read_to_string(&moved).expect("the file is readable"), "");
}

fn term_waits(kind: ServerKind) {
    let mut server = builder(kind).args(["--threads", "2"]).start_ready(1);
    let (_, mut clients) = crowd(&server, 2);
    let held = hold(&server, clients.pop().expect("two of them"));
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Handling signal: term");
    // The other thread serves whoever is there.
    assert_eq!(ask(&mut clients[0], "/pid").connection.as_deref(), Some("close"));
    clients[0].assert_closed();
    assert!(process::is_alive(held.pid));
    held.finish();
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
    server.assert_nothing_left();
}

fn quick_stops_do_not_wait(kind: ServerKind) {
    for signal in [Signal::SIGQUIT, Signal::SIGINT] {
        let mut server = builder(kind).args(["--threads", "2"]).start_ready(2);
        let mut held: Vec<_> = (0..3).map(|_| hold(&server, server.connect())).collect();
        let began = std::time::Instant::now();
        assert_eq!(server.stop(signal), 0);
        assert!(began.elapsed().as_secs() < 5, "{signal} took {:?}", began.elapsed());
        for held in &mut held {
            held.client.assert_closed();
        }
        server.assert_nothing_left();
        let log = server.log.text();
        assert!(!log.contains("SIGKILL") && !log.contains("exited with code"), "{log}");
    }
}

/// Handlers that the application has set run at once, whatever its threads are doing.
fn handlers_run_in_the_main_thread(kind: ServerKind) {
    for threads in ["1", "2"] {
        let server = builder(kind).args(["--threads", threads]).start_ready(1);
        let worker = server.wait_workers(1)[0];
        let count = || server.log.text().matches("note: alarm in ").count();
        // One that comes right before a wait begins is noticed behind the wait.
        let alarm = || {
            let before = count();
            until(BOUND, "the handler to run", || {
                process::signal(worker, Signal::SIGALRM);
                poll(Duration::from_millis(500), || (count() > before).then_some(()))
            });
        };
        alarm();
        let held: Vec<_> = (0..threads.parse().expect("a number"))
            .map(|_| hold(&server, server.connect()))
            .collect();
        alarm();
        finish_all(held);
        alarm();
        assert_eq!(server.log.text().matches("note: alarm in MainThread").count(), count());
    }
}
