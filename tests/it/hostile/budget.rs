//! The number of connections a worker keeps open: `worker_connections`, and what happens when the
//! system has no more descriptors.

use std::time::Duration;

use super::{MOMENT, assert_usable, builder, request, worker};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Builder, Client, Server, ServerKind, process};

on_rgunicorn!(
    oldest_idle_goes_first,
    accepting_pauses,
    idle_ones_make_room_later,
    descriptors_run_out,
    the_limit_is_raised,
);

/// At most so many connections, whose clients have all the time in the world.
fn limited(kind: ServerKind, connections: usize) -> Builder {
    let conf = "header_timeout = 600\nkeepalive = 600\n";
    let count = connections.to_string();
    builder(kind).file("gunicorn.conf.py", conf).args(["--worker-connections", &count])
}

/// A connection that was used and is kept.
fn idle(server: &Server) -> Client {
    let mut client = server.connect();
    assert_usable(&mut client);
    client
}

/// A connection in the middle of a request head.
fn busy(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /plain HTTP/1.1\r\nHost: a\r\n");
    client
}

/// Of connections in use none is touched; of the others the one that was idle longest makes room.
fn oldest_idle_goes_first(kind: ServerKind) {
    let server = limited(kind, 6).start();
    let mut busy = busy(&server);
    let (mut first, mut second, mut third) = (idle(&server), idle(&server), idle(&server));
    // Now the second one is idle longest.
    assert_usable(&mut first);
    let mut more: Vec<Client> = (0..2).map(|_| idle(&server)).collect();
    second.assert_closed();
    let mut last = idle(&server);
    third.assert_closed();
    for client in more.iter_mut().chain([&mut first, &mut last]) {
        assert_usable(client);
    }
    busy.send("\r\n");
    assert_eq!(busy.response().text(), "plain");
    let log = server.log.text();
    assert!(!log.contains("[ERROR]"), "{log}");
}

/// With all connections in use the next client waits where the system keeps it.
fn accepting_pauses(kind: ServerKind) {
    let server = limited(kind, 3).start();
    let mut busy: Vec<Client> = (0..3).map(|_| busy(&server)).collect();
    for client in &mut busy {
        assert!(client.is_silent_for(MOMENT / 10));
    }
    let mut waiting: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    let before = process::cpu_time(worker(&server));
    for client in &mut waiting {
        client.send("GET /plain HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert!(client.is_silent_for(MOMENT), "served beyond the limit");
    }
    // Nor does the worker look at the door all the time.
    let spent = process::cpu_time(worker(&server)).saturating_sub(before);
    assert!(spent < MOMENT / 2, "{spent:?} of CPU time");
    // One that leaves makes room, and both that wait fit into it one after the other.
    drop(busy.pop());
    for client in &mut waiting {
        assert_eq!(client.response().text(), "plain");
    }
    for client in &mut busy {
        client.send("\r\n");
        assert_eq!(client.response().text(), "plain");
    }
}

/// A connection that would become idle while others may be waiting is not kept.
fn idle_ones_make_room_later(kind: ServerKind) {
    let server = limited(kind, 2).start();
    let mut busy: Vec<Client> = (0..2).map(|_| busy(&server)).collect();
    for client in &mut busy {
        assert!(client.is_silent_for(MOMENT / 10));
    }
    let mut waiting = server.connect();
    waiting.send("GET /plain HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(waiting.is_silent_for(MOMENT));
    let mut done = busy.pop().expect("two of them");
    done.send("\r\n");
    let response = done.response();
    assert_eq!(response.text(), "plain");
    assert_eq!(response.header("Connection"), Some("close"));
    drop(done);
    assert_eq!(waiting.response().text(), "plain");
}

/// The worker says so, rests, and serves whom it can.
fn descriptors_run_out(kind: ServerKind) {
    const REFUSED: &str = "[ERROR] Cannot accept connections: ";
    let server = builder(kind).ulimit("-n 64").args(["--keep-alive", "600"]).start();
    let mut early = server.connect();
    assert_usable(&mut early);
    let crowd: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    let line = server.log.wait_for(REFUSED);
    assert!(line.contains("ulimit -n"), "{line}");
    let worker = worker(&server);
    let (before, mark) = (process::cpu_time(worker), server.log.mark());
    let began = std::time::Instant::now();
    // Whoever is inside is served.
    assert_usable(&mut early);
    // It looks again once a second, and says so once.
    server.log.wait_until(BOUND, mark, "two more lines", |text| {
        (text.matches(REFUSED).count() >= 2).then_some(())
    });
    let (took, spent) = (began.elapsed(), process::cpu_time(worker).saturating_sub(before));
    assert!(took > Duration::from_secs(1), "two lines in {took:?}");
    assert!(spent < took / 8, "{spent:?} of CPU time in {took:?}");
    drop(crowd);
    assert_eq!(server.get("/plain").text(), "plain");
    assert_usable(&mut early);
    early.send(request("/pid"));
    assert_eq!(early.response().text(), worker.to_string());
}

/// A process may raise its own limit to the hard one, and does.
fn the_limit_is_raised(kind: ServerKind) {
    let server = builder(kind).ulimit("-S -n 100").start();
    let crowd: Vec<Client> = (0..150).map(|_| server.connect()).collect();
    assert_eq!(server.get("/plain").text(), "plain");
    assert!(!server.log.text().contains("[ERROR]"), "{}", server.log.text());
    drop(crowd);
}
