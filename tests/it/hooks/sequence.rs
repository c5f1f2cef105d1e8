//! The order of the hooks through everything that happens to a server.

use nix::sys::signal::Signal;

use super::record::{Record, assert_calls, recording};
use crate::harness::cases::on_both_servers;
use crate::harness::{BOUND, Server, ServerKind, process};

on_both_servers!(through_the_life_of_a_server, stopped_quickly, in_threads);

/// Start, requests, HUP, TTIN, a timeout, USR1, a crash, INT to a worker, TTOU, TERM.
fn through_the_life_of_a_server(kind: ServerKind) {
    let (builder, record) = recording(kind);
    let mut server = builder.args(["-t", "1"]).app("supervised:app").start();
    let stuck = live(&server, &record);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.assert_nothing_left();
    let calls = record.of_process(server.pid());
    assert_calls(&server, "master", &calls, &of_master(kind, stuck));
    for age in 1..=6 {
        let who = format!("worker {age}");
        assert_calls(&server, &who, &record.of_worker(age), &of_worker(age, stuck));
    }
}

/// Goes through it all; returns the age of the worker that ran into the timeout, 2 or 3. The other one
/// of them was killed.
fn live(server: &Server, record: &Record) -> u32 {
    record.wait("post_worker_init worker=1 ", 1);
    assert_eq!(server.get("/pid").text(), record.pid_of_worker(1).to_string());
    assert_eq!(server.get("/nothing").status, 500);
    record.wait("post_request ", 2);

    server.signal(Signal::SIGHUP);
    record.wait("post_worker_init worker=2 ", 1);
    record.wait("child_exit ", 1);

    server.signal(Signal::SIGTTIN);
    record.wait("post_worker_init worker=3 ", 1);

    // They share the socket: only the stuck one shows which it was.
    let mut client = server.connect();
    client.send("GET /sleep?600 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    record.wait("pre_request GET /sleep", 1);
    let stuck = if record.of_worker(2).len() > 2 { 2 } else { 3 };
    // gunicorn's worker leaves when the client has.
    client.read_to_end();
    drop(client);
    record.wait("child_exit ", 2);
    record.wait("post_worker_init worker=4 ", 1);

    server.signal(Signal::SIGUSR1);
    server.log.wait_for("Handling signal: usr1");
    process::signal(record.pid_of_worker(5 - stuck), Signal::SIGKILL);
    record.wait("child_exit ", 3);
    record.wait("post_worker_init worker=5 ", 1);

    process::signal(record.pid_of_worker(4), Signal::SIGINT);
    record.wait("child_exit ", 4);
    record.wait("post_worker_init worker=6 ", 1);

    // The oldest goes.
    server.signal(Signal::SIGTTOU);
    record.wait("child_exit ", 5);
    stuck
}

fn of_master(kind: ServerKind, stuck: u32) -> Vec<String> {
    let killed = 5 - stuck;
    // gunicorn's master has but a copy of the worker, which shows what was true before the fork.
    let live = if kind.is_rgunicorn() { "booted=1 alive=0" } else { "booted=0 alive=1" };
    let server = |size: u32, age: u32, workers: &str| {
        format!("size={size} age={age} workers={workers} listeners=1")
    };
    let forked = |size: u32, age: u32, workers: &str| {
        let worker = format!("worker={age} pid=booting ppid=own booted=0 alive=1 aborted=0");
        format!("pre_fork {} {worker}", server(size, age, workers))
    };
    let gone = |server: String, which: u32, aborted: bool| {
        let worker = format!("worker={which} pid=other ppid=own {live}");
        format!("child_exit {server} {worker} aborted={} mark-{which}", u32::from(aborted))
    };
    let mut calls = vec![
        "nworkers_changed 1 None 1".to_owned(),
        "on_starting size=1 age=0 workers=- listeners=0 pid=1".to_owned(),
        format!("when_ready {}", server(1, 0, "-")),
        forked(1, 1, "-"),
        "nworkers_changed 1 1 1".to_owned(),
        format!("on_reload {}", server(1, 1, "1")),
        forked(1, 2, "1"),
        gone(server(1, 2, "2"), 1, false),
        "nworkers_changed 2 1 2".to_owned(),
        forked(2, 3, "2"),
    ];
    if kind.is_rgunicorn() {
        // The next worker is started when the stuck one is aborted, not when it is gone.
        calls.push(forked(2, 4, "2,3"));
        calls.push(gone(server(2, 4, &format!("{killed},4")), stuck, true));
    } else {
        calls.push(gone(server(2, 3, &killed.to_string()), stuck, true));
        calls.push(forked(2, 4, &killed.to_string()));
    }
    calls.extend([
        gone(server(2, 4, "4"), killed, false),
        forked(2, 5, "4"),
        gone(server(2, 5, "5"), 4, false),
        forked(2, 6, "5"),
        "nworkers_changed 1 2 1".to_owned(),
        gone(server(1, 6, "6"), 5, false),
        gone("size=1 age=6 workers=- listeners=0".to_owned(), 6, false),
        "on_exit size=1 age=6 workers=- listeners=0".to_owned(),
    ]);
    calls
}

fn of_worker(age: u32, stuck: u32) -> Vec<String> {
    let boots = format!("worker={age} pid=own ppid=parent booted=0 alive=1 aborted=0");
    let ends = format!("worker={age} pid=own ppid=parent booted=1 alive=0 aborted=0");
    let mut calls =
        vec![format!("post_fork {boots} mark-{age}"), format!("post_worker_init {boots} True")];
    let mut requests = 0;
    if age == 1 {
        requests = 2;
        calls.push("pre_request GET /pid nr=0".to_owned());
        calls.push("post_request GET /pid kept nr=1 200 OK".to_owned());
        calls.push("pre_request GET /nothing nr=1".to_owned());
        calls.push("post_request GET /nothing kept nr=2 None".to_owned());
    }
    if age == stuck {
        requests = 1;
        calls.push("pre_request GET /sleep nr=0".to_owned());
        calls.push(format!("worker_abort {ends}"));
        calls.push("post_request GET /sleep kept nr=1 None".to_owned());
    }
    if age == 4 {
        calls.push(format!("worker_int {ends}"));
    }
    // The other one was killed.
    if age == stuck || !(2..=3).contains(&age) {
        calls.push(format!("worker_exit {ends} nr={requests} mark-{age}"));
    }
    calls
}

/// INT to the master: workers are told to end at once.
fn stopped_quickly(kind: ServerKind) {
    let (builder, record) = recording(kind);
    let mut server = builder.app("supervised:app").start();
    record.wait("post_worker_init worker=1 ", 1);
    server.log.wait_for("note: loaded in ");
    // It must have its signal handlers and have begun to serve.
    assert_eq!(server.get("/pid").status, 200);
    record.wait("post_request ", 1);
    assert_eq!(server.stop(Signal::SIGINT), 0);
    let hooks = |pid: i32| -> Vec<String> {
        let calls = record.of_process(pid);
        calls.iter().map(|call| call.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let expected = [
        "post_fork",
        "post_worker_init",
        "pre_request",
        "post_request",
        "worker_int",
        "worker_exit",
    ];
    assert_eq!(hooks(record.pid_of_worker(1)), expected);
    let expected =
        ["nworkers_changed", "on_starting", "when_ready", "pre_fork", "child_exit", "on_exit"];
    assert_eq!(hooks(server.pid()), expected);
}

/// The same hooks in a gthread worker, whose requests are in threads.
fn in_threads(kind: ServerKind) {
    let (builder, record) = recording(kind);
    let mut server = builder.args(["--threads", "2"]).app("supervised:app").start();
    let mut client = server.connect();
    for _ in 0..3 {
        client.send("GET /pid HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    record.wait("post_request ", 3);
    drop(client);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.log.wait_end(BOUND);
    let seen = "worker=1 pid=own ppid=parent booted=0 alive=1 aborted=0";
    let gone = "worker=1 pid=own ppid=parent booted=1 alive=0 aborted=0";
    let expected = [
        format!("post_fork {seen} mark-1"),
        format!("post_worker_init {seen} True"),
        "pre_request GET /pid nr=0".to_owned(),
        "post_request GET /pid kept nr=1 200 OK".to_owned(),
        "pre_request GET /pid nr=1".to_owned(),
        "post_request GET /pid kept nr=2 200 OK".to_owned(),
        "pre_request GET /pid nr=2".to_owned(),
        "post_request GET /pid kept nr=3 200 OK".to_owned(),
        format!("worker_exit {gone} nr=3 mark-1"),
    ];
    assert_calls(&server, "worker", &record.of_worker(1), &expected);
}
