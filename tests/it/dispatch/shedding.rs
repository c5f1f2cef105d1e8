//! `max_queue_time`: requests that wait too long for a slot are turned away; and the log shows waits.

use std::time::{Duration, Instant};

use super::{ask, builder, crowd, finish_all, hold, request, seen};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{Server, ServerKind};

on_rgunicorn!(turned_away, threads, only_those_that_wait, waits_are_logged, off_by_default);

fn turned_away(kind: ServerKind) {
    behind(kind, 1);
}

fn threads(kind: ServerKind) {
    behind(kind, 2);
}

/// The answer comes while the slots are still busy.
fn behind(kind: ServerKind, threads: usize) {
    let server = builder(kind)
        .args(["--max-queue-time", "0.3", "--threads", &threads.to_string()])
        .start_ready(1);
    let (_, mut clients) = crowd(&server, threads + 3);
    let held: Vec<_> = clients.drain(..threads).map(|client| hold(&server, client)).collect();
    let began = Instant::now();
    for client in &mut clients {
        client.send(request("/facts"));
    }
    for client in &mut clients {
        let response = client.response();
        let waited = began.elapsed();
        assert_eq!(response.status, 503);
        let seconds = response.header("Retry-After").and_then(|value| value.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| seconds > 0), "{:?}", response.headers);
        assert_eq!(response.header("Connection"), Some("close"));
        let fits = Duration::from_millis(290)..Duration::from_secs(10);
        assert!(fits.contains(&waited), "turned away after {waited:?}");
        client.assert_closed();
    }
    assert!(!server.log.text().contains("note: held /facts"));
    finish_all(held);
    ask(&mut server.connect(), "/pid");
}

/// The time that counts begins when a request is complete, and ends when a slot takes it.
fn only_those_that_wait(kind: ServerKind) {
    let server = builder(kind).args(["--max-queue-time", "0.5"]).start_ready(1);
    let (_, mut clients) = crowd(&server, 2);
    // Longer in the application than anybody may wait for it.
    ask(&mut clients[0], "/nap?800");
    clients[0].send("POST /facts HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
    assert!(clients[0].is_silent_for(Duration::from_millis(800)));
    clients[0].send("dy");
    assert_eq!(seen(&mut clients[0]).body, b"body");
    // Short waits are fine.
    let held = hold(&server, clients.pop().expect("two of them"));
    clients[0].send(request("/facts"));
    assert!(clients[0].is_silent_for(Duration::from_millis(100)));
    held.finish();
    seen(&mut clients[0]);
}

/// The wait in the log line of this target.
#[track_caller]
fn logged(server: &Server, target: &str) -> f64 {
    let line = server.out.wait_for(target);
    let wait = line.rsplit(' ').next().and_then(|text| text.parse().ok());
    wait.unwrap_or_else(|| panic!("no wait in {line:?}"))
}

fn waits_are_logged(kind: ServerKind) {
    for threads in ["1", "2"] {
        let server = builder(kind)
            .args(["--access-logfile", "-", "--access-logformat", "%(r)s %(s)s %(W)s"])
            .args(["--max-queue-time", "0.5", "--threads", threads])
            .start_ready(1);
        let slots: usize = threads.parse().expect("a number");
        let (_, mut clients) = crowd(&server, slots + 2);
        let held: Vec<_> = clients.drain(..slots).map(|client| hold(&server, client)).collect();
        clients[0].send(request("/facts?refused"));
        assert_eq!(clients[0].response().status, 503);
        clients[1].send(request("/facts?answered"));
        assert!(clients[1].is_silent_for(Duration::from_millis(200)));
        finish_all(held);
        seen(&mut clients[1]);
        ask(&mut clients[1], "/facts?at_once");
        let refused = logged(&server, "/facts?refused HTTP/1.1 503 ");
        assert!((0.5..3.0).contains(&refused), "{refused}");
        let answered = logged(&server, "/facts?answered HTTP/1.1 200 ");
        assert!((0.15..0.5).contains(&answered), "{answered}");
        let at_once = logged(&server, "/facts?at_once HTTP/1.1 200 ");
        assert!((0.0..0.1).contains(&at_once), "{at_once}");
    }
}

/// Without it requests wait as long as they have to.
fn off_by_default(kind: ServerKind) {
    let server = builder(kind).start_ready(1);
    let (_, mut clients) = crowd(&server, 2);
    let held = hold(&server, clients.pop().expect("two of them"));
    clients[0].send(request("/facts"));
    assert!(clients[0].is_silent_for(Duration::from_millis(1500)));
    held.finish();
    seen(&mut clients[0]);
}
