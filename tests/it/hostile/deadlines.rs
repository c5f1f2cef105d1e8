//! `header_timeout`, `body_timeout`, `write_timeout` and `keepalive`: an answer where one is due,
//! silence where not, and nobody is hurried who makes progress.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::{MOMENT, assert_usable, builder, request, sockets, wait_sockets, worker};
use crate::harness::cases::{cases, on_rgunicorn};
use crate::harness::{Builder, Client, Response, Server, ServerKind};

on_rgunicorn!(
    head,
    body,
    body_read_on_demand,
    idle,
    writing,
    writing_with_progress,
    producing,
    no_limit
);

/// What one second may come out as on a busy machine.
const ONE_SECOND: RangeInclusive<Duration> = Duration::from_millis(800)..=Duration::from_secs(10);

/// A server with this deadline of one second, the others being far away.
fn with(kind: ServerKind, deadline: &str) -> Builder {
    builder(kind).args([deadline, "1"])
}

/// Fails unless the connection ends after a second, with a 408 or without a byte.
#[track_caller]
fn assert_ends(client: &mut Client, answered: bool) {
    let began = Instant::now();
    let got = client.read_to_end();
    let took = began.elapsed();
    if answered {
        let response = Response::parse(&got);
        assert_eq!(response.status, 408, "{}", response.text());
        assert_eq!(response.reason, "Request Timeout");
        assert_eq!(response.header("Connection"), Some("close"));
    } else {
        assert_eq!(String::from_utf8_lossy(&got), "");
    }
    assert!(ONE_SECOND.contains(&took), "after {took:?}");
}

/// Cases that wait most of the time, all at once.
#[track_caller]
fn side_by_side(server: &Server, cases: &[fn(&Server)]) {
    std::thread::scope(|scope| {
        for &case in cases {
            scope.spawn(move || case(server));
        }
    });
}

fn head(kind: ServerKind) {
    let server = with(kind, "--header-timeout").args(["--keep-alive", "60"]).start();
    side_by_side(
        &server,
        &[partial_head, nothing_at_all, partial_second_head, trickling_head, idle_waits],
    );
    let log = server.log.text();
    assert!(!log.contains("[ERROR]") && !log.contains("[CRITICAL]"), "{log}");
}

fn partial_head(server: &Server) {
    let mut client = server.connect();
    client.send("GET /plain HTTP/1.1\r\nHost: a\r\nX: ");
    assert_ends(&mut client, true);
    // One byte is as much of a request as all but one.
    let mut client = server.connect();
    client.send("G");
    assert_ends(&mut client, true);
}

fn nothing_at_all(server: &Server) {
    assert_ends(&mut server.connect(), false);
}

/// The next request on a connection has as long as the first.
fn partial_second_head(server: &Server) {
    let mut client = server.connect();
    assert_usable(&mut client);
    client.send("GET /plain HT");
    assert_ends(&mut client, true);
}

/// Progress does not help: a head is a packet or a few.
fn trickling_head(server: &Server) {
    let mut client = server.connect();
    client.send("GET /plain HTTP/1.1\r\nHost: a\r\n");
    let began = Instant::now();
    while client.is_silent_for(MOMENT / 3) {
        assert!(began.elapsed() < *ONE_SECOND.end(), "still open");
        // The answer may be on its way.
        let _ = client.try_send("X");
    }
    let took = began.elapsed();
    assert!(ONE_SECOND.contains(&took), "after {took:?}");
    client.wait_for(b"HTTP/1.1 408 ");
}

/// Between requests it is `keepalive` that counts.
fn idle_waits(server: &Server) {
    let mut client = server.connect();
    assert_usable(&mut client);
    assert!(client.is_silent_for(Duration::from_millis(1200)));
    assert_usable(&mut client);
}

fn body(kind: ServerKind) {
    let server = with(kind, "--body-timeout").start();
    side_by_side(&server, &[stalled_length, stalled_chunk, no_body_at_all, body_with_progress]);
}

fn stalled_length(server: &Server) {
    let mark = server.log.mark();
    let mut client = server.connect();
    client.send("POST /body HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf");
    assert_ends(&mut client, true);
    server.log.wait_for_since(mark, "Invalid request from ip=127.0.0.1: ");
}

fn stalled_chunk(server: &Server) {
    let mut client = server.connect();
    client.send("POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    assert_ends(&mut client, true);
}

fn no_body_at_all(server: &Server) {
    let mut client = server.connect();
    client.send("POST /plain HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
    assert_ends(&mut client, true);
}

/// Longer than the deadline in all, never without progress for as long.
fn body_with_progress(server: &Server) {
    let mut client = server.connect();
    client.send("POST /body HTTP/1.1\r\nContent-Length: 8\r\n\r\n");
    for _ in 0..7 {
        client.send("x");
        assert!(client.is_silent_for(MOMENT));
    }
    client.send("x");
    assert_eq!(client.response().text(), "8");
    assert_usable(&mut client);
}

/// The application waits for the client here, no longer than the deadline.
fn body_read_on_demand(kind: ServerKind) {
    let server = with(kind, "--body-timeout").args(["--no-request-buffering"]).start();
    cases!(&server; stalled_chunk, body_with_progress);
    assert_eq!(server.get("/plain").text(), "plain");
}

/// A client that makes use of its kept connection in time is not hurried, whatever it did before.
fn idle(kind: ServerKind) {
    let server = with(kind, "--keep-alive").start();
    let mut client = server.connect();
    assert_usable(&mut client);
    assert!(client.is_silent_for(MOMENT * 2));
    assert_usable(&mut client);
    assert!(client.is_silent_for(MOMENT * 2));
    // A request that has begun is not idle.
    client.send("GET /plain HTTP/1.1\r\n");
    assert!(client.is_silent_for(Duration::from_millis(1200)));
    client.send("\r\n");
    assert_eq!(client.response().text(), "plain");
    assert_ends(&mut client, false);
}

const SIZE: usize = 32 * 1_048_576;

/// The worker has nothing to do with such a response any more but to get rid of it.
fn writing(kind: ServerKind) {
    let server = with(kind, "--write-timeout").start();
    server.log.wait_for("note: loaded");
    let alone = sockets(worker(&server));
    let mut stuck = server.connect_narrow();
    stuck.send(request("/huge?32"));
    stuck.wait_for(b"\r\n\r\n");
    let began = Instant::now();
    assert_eq!(server.get("/plain").text(), "plain");
    wait_sockets(worker(&server), alone);
    let took = began.elapsed();
    assert!(ONE_SECOND.contains(&took), "after {took:?}");
    let got = stuck.try_read_to_end().map_or(0, |got| got.len());
    assert!(got < SIZE, "the stuck client got everything");
}

/// Longer than the deadline in all, never without progress for as long.
fn writing_with_progress(kind: ServerKind) {
    let server = with(kind, "--write-timeout").args(["--keep-alive", "60"]).start();
    let mut pace = server.connect();
    assert_usable(&mut pace);
    let mut slow = server.connect_narrow();
    slow.send("GET /huge?32 HTTP/1.1\r\nConnection: close\r\n\r\n");
    let began = Instant::now();
    let mut taken = 0;
    while began.elapsed() < 2 * *ONE_SECOND.start() {
        // So much that room for more is announced.
        taken += slow.read_exactly(1_048_576).len();
        assert!(pace.is_silent_for(MOMENT));
    }
    taken += slow.read_to_end().len();
    assert!(taken > SIZE, "{taken} bytes");
}

/// An application that is ahead of such a client waits no longer either, and is ended properly.
fn producing(kind: ServerKind) {
    let builder = with(kind, "--write-timeout");
    let produced = builder.dir().join("produced");
    let server = builder.env("PRODUCED", &produced).start();
    let mut stuck = server.connect_narrow();
    stuck.send(request("/generate?64"));
    stuck.wait_for(b"\r\n\r\n");
    let began = Instant::now();
    // Waits for the worker, which waits for the client.
    assert_eq!(server.get("/plain").text(), "plain");
    let took = began.elapsed();
    assert!(ONE_SECOND.contains(&took), "after {took:?}");
    let got = stuck.try_read_to_end().map_or(0, |got| got.len());
    assert!(got < 2 * SIZE, "the stuck client got everything");
    let log = server.log.text();
    assert!(!log.contains("[ERROR]") && !log.contains("TIMEOUT"), "{log}");
}

/// Zero means that there is no limit, not that it is over at once.
fn no_limit(kind: ServerKind) {
    let server = builder(kind)
        .args(["--header-timeout", "0", "--body-timeout", "0", "--write-timeout", "0"])
        .args(["--keep-alive", "1"])
        .start();
    let (mut silent, mut head, mut body) = (server.connect(), server.connect(), server.connect());
    head.send("GET /plain HTTP/1.1\r\n");
    body.send("POST /body HTTP/1.1\r\nContent-Length: 4\r\n\r\nab");
    let mut reader = server.connect_narrow();
    reader.send(request("/huge?32"));
    // A second passes, as another deadline shows.
    let mut idle = server.connect();
    assert_usable(&mut idle);
    assert_ends(&mut idle, false);
    assert!(silent.is_silent_for(MOMENT));
    assert_usable(&mut silent);
    head.send("\r\n");
    assert_eq!(head.response().text(), "plain");
    body.send("cd");
    assert_eq!(body.response().text(), "4");
    assert_eq!(reader.response().body.len(), SIZE);
}
