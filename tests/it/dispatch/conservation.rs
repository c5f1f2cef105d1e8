//! No request waits while any slot of any worker is idle.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{ask, builder, crowd, finish_all, hold, hold_worker, request, seen};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{Client, Server, ServerKind};

on_rgunicorn!(
    behind_a_busy_worker,
    behind_busy_threads,
    a_busy_worker_accepts_nothing,
    back_when_it_is_free,
    all_slots_are_used,
    first_come_first_served,
    grown,
);

/// Far more than a hand-over takes on any machine. Who is held is so until the test ends it.
const SOON: Duration = Duration::from_secs(10);

/// A connection's next request does not wait for its worker.
fn behind_a_busy_worker(kind: ServerKind) {
    behind_one_of_two(&builder(kind).start_ready(2));
}

#[track_caller]
fn behind_one_of_two(server: &Server) {
    let (worker, mut clients) = crowd(server, 6);
    let held = hold(server, clients.pop().expect("six of them"));
    assert_eq!(held.pid, worker);
    for client in &mut clients {
        let began = Instant::now();
        assert_ne!(ask(client, "/pid").pid(), worker);
        assert!(began.elapsed() < SOON, "answered after {:?}", began.elapsed());
    }
    held.finish();
}

/// With both threads of a worker busy.
fn behind_busy_threads(kind: ServerKind) {
    let server = builder(kind).args(["--threads", "2"]).start_ready(2);
    let (worker, mut clients) = crowd(&server, 6);
    let first = hold(&server, clients.pop().expect("six of them"));
    let second = hold(&server, clients.pop().expect("five of them"));
    // A free thread of the same worker is nearer than another worker.
    assert_eq!((first.pid, second.pid), (worker, worker));
    for client in &mut clients {
        let began = Instant::now();
        assert_ne!(ask(client, "/pid").pid(), worker);
        assert!(began.elapsed() < SOON, "answered after {:?}", began.elapsed());
    }
    first.finish();
    second.finish();
}

/// New connections go where there is a slot.
fn a_busy_worker_accepts_nothing(kind: ServerKind) {
    for threads in [1, 2] {
        let server = builder(kind).args(["--threads", &threads.to_string()]).start_ready(2);
        let mut held = Vec::new();
        for _ in 0..threads * 2 - 1 {
            held.push(hold(&server, server.connect()));
        }
        let full = |pid: i32| held.iter().filter(|held| held.pid == pid).count() == threads;
        let busy: Vec<i32> = server.wait_workers(2).into_iter().filter(|pid| full(*pid)).collect();
        for _ in 0..20 {
            let pid = ask(&mut server.connect(), "/pid").pid();
            assert!(!busy.contains(&pid), "accepted by a worker without a slot");
        }
        finish_all(held);
    }
}

/// Requests go back and forth as slots get free.
fn back_when_it_is_free(kind: ServerKind) {
    let server = builder(kind).start_ready(2);
    let workers = server.wait_workers(2);
    let mut client = server.connect();
    for round in 0..10 {
        let (busy, free) = (workers[round % 2], workers[(round + 1) % 2]);
        let held = hold_worker(&server, busy);
        assert_eq!(ask(&mut client, "/pid").pid(), free);
        held.finish();
    }
}

/// As many requests are in the application at a time as there are slots, whoever accepted them.
fn all_slots_are_used(kind: ServerKind) {
    for (workers, threads) in [(4, 1), (2, 2), (1, 4)] {
        let server = builder(kind).args(["--threads", &threads.to_string()]).start_ready(workers);
        let (_, clients) = crowd(&server, 4);
        let held: Vec<_> = clients.into_iter().map(|client| hold(&server, client)).collect();
        for pid in server.wait_workers(workers) {
            let own = held.iter().filter(|held| held.pid == pid).count();
            assert_eq!(own, threads, "{workers} workers with {threads} threads");
        }
        // A fifth one waits, and is the first to be answered when a slot is free.
        let mut waiting = server.connect();
        waiting.send(request("/pid"));
        assert!(waiting.is_silent_for(Duration::from_millis(100)));
        let mut held = held.into_iter();
        let first = held.next().expect("four of them");
        let freed = first.pid;
        first.finish();
        assert_eq!(seen(&mut waiting).pid(), freed);
        finish_all(held);
    }
}

/// Those that wait are answered in the order they came.
fn first_come_first_served(kind: ServerKind) {
    let server = builder(kind).args(["--access-logfile", "-"]).start_ready(1);
    let (_, clients) = crowd(&server, 8);
    let mut clients = clients.into_iter();
    let held = hold(&server, clients.next().expect("eight of them"));
    let mut waiting: Vec<Client> = Vec::new();
    for (number, mut client) in clients.enumerate() {
        client.send(request(&format!("/pid?{number}")));
        // Long enough for the worker to see one before the next.
        assert!(client.is_silent_for(Duration::from_millis(30)));
        waiting.push(client);
    }
    held.finish();
    for client in &mut waiting {
        seen(client);
    }
    let log = server.out.wait_until(SOON, 0, "seven lines", |text| {
        (text.matches("/pid?").count() == 7).then(|| text.to_owned())
    });
    let order: Vec<usize> = (0..7)
        .map(|number| log.find(&format!("/pid?{number} ")).expect("a line for each"))
        .collect();
    assert!(order.is_sorted(), "{log}");
}

/// Workers that have come by TTIN count, also if the server was started with one.
fn grown(kind: ServerKind) {
    let server = builder(kind).start_ready(1);
    server.signal(Signal::SIGTTIN);
    server.log.wait_for_count("note: loaded in ", 2);
    behind_one_of_two(&server);
}
