//! Many requests on connections that move to and fro: what they need is given back.

use super::steady::{Steady, assert_undisturbed};
use super::{Held, builder, finish_all, hold, in_full, request};
use crate::harness::cases::on_rgunicorn;
use crate::harness::wait::poll;
use crate::harness::{BOUND, Server, ServerKind, process};

on_rgunicorn!(sync, threads);

/// What a process may grow by, by the allocators' whim.
const GROWTH: usize = 6 << 20;

fn sync(kind: ServerKind) {
    stays_small(kind, 2, 1);
}

fn threads(kind: ServerKind) {
    stays_small(kind, 2, 2);
}

/// Descriptors and memory of a process.
fn footprint(pid: i32) -> (usize, usize) {
    (process::descriptors(pid).len(), process::resident(pid))
}

/// Has so many requests answered, of all sizes, that take longer than the stand-by waits. There are as many clients as slots, so that there is
/// mostly one to take what another is too busy for. Returns how often connections have moved.
fn burden(server: &Server, slots: usize, count: usize) -> usize {
    let post = |target: &str, length: usize| {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; length]].concat()
    };
    let nap = request("/nap?4").into_bytes();
    // In the message, too large for it, and in a file.
    let kinds =
        [nap.clone(), post("/nap?3", 2000), nap, post("/nap?3", 40_000), post("/nap?3", 200_000)];
    let mut moves = 0;
    for bytes in &kinds {
        let clients = Steady::start(server.addr, slots, slots * 16, bytes);
        clients.wait_more(count / kinds.len());
        let courses = clients.finish();
        assert_undisturbed(&courses);
        moves += courses.iter().map(|course| course.moves).sum::<usize>();
    }
    moves
}

fn stays_small(kind: ServerKind, workers: usize, threads: usize) {
    let slots = workers * threads;
    let count = if in_full() { 200_000 } else { 3_000 };
    let server = builder(kind)
        .args(["--threads", &threads.to_string(), "--request-buffer-size", "100K"])
        .start_ready(workers);
    let held: Vec<Held> = (0..slots).map(|_| hold(&server, server.connect())).collect();
    // Without the connections that are open now.
    let pids: Vec<i32> = server.workers().into_iter().chain([server.pid()]).collect();
    let own = |pid: i32| held.iter().filter(|held| held.pid == pid).count();
    let rest: Vec<usize> = pids.iter().map(|pid| footprint(*pid).0 - own(*pid)).collect();
    finish_all(held);
    let at_rest = |what: &str| {
        poll(BOUND, || {
            let now: Vec<_> = pids.iter().map(|pid| footprint(*pid)).collect();
            now.iter().map(|(open, _)| *open).eq(rest.iter().copied()).then_some(now)
        })
        .unwrap_or_else(|| {
            let open: Vec<_> = pids.iter().map(|pid| process::descriptors(*pid)).collect();
            panic!("{what}: {rest:?} descriptors before, now {open:#?}")
        })
    };
    burden(&server, slots, 1_000);
    let before = at_rest("after some requests");
    let moves = burden(&server, slots, count);
    let after = at_rest("after many requests");
    eprintln!("{count} requests, {moves} moves: {before:?} then {after:?}");
    assert!(moves > count / 50, "connections have moved only {moves} times");
    for (pid, (before, after)) in pids.iter().zip(before.into_iter().zip(after)) {
        assert!(after.1 < before.1 + GROWTH, "{pid} has grown: {before:?} to {after:?}");
    }
    assert_eq!(server.workers(), pids[..workers]);
}
