//! `request_timeout`: a request that takes too long is given up, and nothing else.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::{ask, builder, crowd, hold, hold_with, request, seen};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Client, Server, ServerKind, process, until};

on_rgunicorn!(
    sync_worker,
    begun_response,
    others_are_finished,
    the_last_request_of_threads,
    idle_connections_move,
    in_time,
);

/// The answer of the server to a request that was given up, after which the connection ends.
#[track_caller]
fn assert_given_up(client: &mut Client) {
    let response = client.response();
    assert_eq!(response.status, 503);
    assert_eq!(response.header("Connection"), Some("close"));
    client.assert_closed();
}

/// Fails unless the log names the request, and shows where it is.
#[track_caller]
fn assert_logged(server: &Server, pid: i32, target: &str, function: &str) {
    let line = server.log.wait_for("REQUEST TIMEOUT: ");
    assert!(line.contains(&format!("[{pid}] [ERROR]")) && line.contains(target), "{line}");
    server.log.wait_for("Stacks when the request was given up:");
    server.log.wait_for(&format!("in {function}"));
    server.log.wait_for("in await_pipe");
}

/// Waits until another worker has taken the place of this one.
#[track_caller]
fn wait_replaced(server: &Server, pid: i32) {
    until(BOUND, "the worker to be replaced", || {
        (!process::is_alive(pid) && server.workers().len() == 1).then_some(())
    });
    assert_ne!(ask(&mut server.connect(), "/pid").pid(), pid);
}

fn sync_worker(kind: ServerKind) {
    let server = builder(kind).args(["--request-timeout", "0.5"]).start_ready(1);
    let began = Instant::now();
    let mut held = hold(&server, server.connect());
    assert_given_up(&mut held.client);
    let took = began.elapsed();
    let fits = Duration::from_millis(490)..Duration::from_secs(10);
    assert!(fits.contains(&took), "given up after {took:?}");
    assert_logged(&server, held.pid, "GET /hold?", "hold");
    wait_replaced(&server, held.pid);
    assert!(!server.log.text().contains("WORKER TIMEOUT"), "{}", server.log.text());
}

/// A response that has begun ends early, and cannot be taken for a whole one.
fn begun_response(kind: ServerKind) {
    for threads in ["1", "2"] {
        let server =
            builder(kind).args(["--request-timeout", "0.5", "--threads", threads]).start_ready(1);
        let mut held = hold_with(&server, server.connect(), "/half");
        let error = held.client.try_response("GET").expect_err("half a response");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
        assert!(error.to_string().contains("first"), "{error}");
        assert_logged(&server, held.pid, "GET /half?", "half");
        wait_replaced(&server, held.pid);
    }
}

/// Requests in other threads of the worker have their own time, and their connections stay.
fn others_are_finished(kind: ServerKind) {
    let server = builder(kind).args(["--request-timeout", "2", "--threads", "3"]).start_ready(1);
    let (worker, mut clients) = crowd(&server, 2);
    let mut stuck = hold(&server, clients.pop().expect("two of them"));
    // The others begin when half of its time is over.
    assert!(stuck.client.is_silent_for(Duration::from_secs(1)));
    let other = hold(&server, clients.pop().expect("one is left"));
    let half = hold_with(&server, server.connect(), "/half");
    assert_given_up(&mut stuck.client);
    assert_logged(&server, worker, "GET /hold?", "hold");
    let log = server.log.text();
    assert!(log.contains("(slot-"), "{log}");
    assert!(process::is_alive(worker));
    let (mut client, _) = other.finish();
    half.release();
    let mut half = half.client;
    assert_eq!(half.response().text(), "firstother");
    // Those of the worker's connections that still live go on in the next one.
    assert_ne!(ask(&mut client, "/pid").pid(), worker);
    assert_ne!(ask(&mut half, "/pid").pid(), worker);
    wait_replaced(&server, worker);
    assert_eq!(server.log.text().matches("REQUEST TIMEOUT").count(), 1);
}

/// With all threads stuck nobody is waited for.
fn the_last_request_of_threads(kind: ServerKind) {
    let server = builder(kind).args(["--request-timeout", "0.5", "--threads", "2"]).start_ready(1);
    let mut held = [hold(&server, server.connect()), hold(&server, server.connect())];
    let mut waiting = server.connect();
    waiting.send(request("/pid"));
    for held in &mut held {
        assert_given_up(&mut held.client);
    }
    assert_ne!(seen(&mut waiting).pid(), held[0].pid);
    wait_replaced(&server, held[0].pid);
}

/// Connections of a worker that is stuck are not lost with it.
fn idle_connections_move(kind: ServerKind) {
    for threads in ["1", "2"] {
        let server =
            builder(kind).args(["--request-timeout", "0.5", "--threads", threads]).start_ready(1);
        let (worker, mut clients) = crowd(&server, 5);
        let mut held = hold(&server, clients.pop().expect("five of them"));
        clients[0].send("GET /facts?half HTTP/1.1\r\n");
        assert_given_up(&mut held.client);
        wait_replaced(&server, worker);
        clients[0].send("Host: a\r\n\r\n");
        assert_eq!(seen(&mut clients[0]).fact("QUERY_STRING"), "half");
        for client in &mut clients {
            assert_ne!(ask(client, "/pid").pid(), worker);
        }
    }
}

/// Nothing happens to requests that are in time, however many there are one after the other.
fn in_time(kind: ServerKind) {
    for threads in ["1", "2"] {
        let server =
            builder(kind).args(["--request-timeout", "1", "--threads", threads]).start_ready(1);
        let (worker, mut clients) = crowd(&server, 1);
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1500) {
            assert_eq!(ask(&mut clients[0], "/nap?100").pid(), worker);
        }
        // Idle time is no request's.
        assert!(clients[0].is_silent_for(Duration::from_millis(1200)));
        assert_eq!(ask(&mut clients[0], "/pid").pid(), worker);
        assert!(!server.log.text().contains("TIMEOUT"), "{}", server.log.text());
    }
}
