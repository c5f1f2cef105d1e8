//! Applications that fork: what happens to the child does not happen to the worker.

use std::fs::OpenOptions;

use super::{request, worker};
use crate::harness::cases::{cases, on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Server, ServerKind, process, until};

on_both_servers!(pools);

on_rgunicorn!(terminated_children, a_child_that_stays);

fn pools(kind: ServerKind) {
    let server = Builder::new(kind).app("forks:app").start();
    cases!(&server; pool);
    assert_untroubled(&server);
}

/// With gunicorn the child has the worker's handler of TERM, and lives on.
fn terminated_children(kind: ServerKind) {
    let server = Builder::new(kind).app("forks:app").start();
    cases!(&server; terminated_child, pool);
    assert_untroubled(&server);
}

#[track_caller]
fn assert_untroubled(server: &Server) {
    let log = server.log.text();
    assert!(!log.contains("[ERROR]") && !log.contains("Worker exiting"), "{log}");
    assert_eq!(log.matches("Booting worker").count(), 1, "{log}");
}

/// The signal ends the child, and only the child, however early it comes.
fn terminated_child(server: &Server) {
    let worker = worker(server);
    for _ in 0..10 {
        assert_eq!(server.get("/terminated").text(), "-15");
    }
    assert_eq!(server.get("/pid").text(), worker.to_string());
}

fn pool(server: &Server) {
    let worker = worker(server);
    assert_eq!(server.get("/pooled").text(), "[1, 2, 3]");
    assert_eq!(server.get("/pid").text(), worker.to_string());
}

/// A child holds copies of all descriptors of the worker, connections included.
fn a_child_that_stays(kind: ServerKind) {
    let server = Builder::new(kind).app("forks:app").args(["--keep-alive", "1"]).start();
    let worker = worker(&server);
    let fifo = server.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo can be made");
    let target = format!("/outlived?{}", fifo.display());
    // Another connection that is open when the child is made.
    let mut other = server.connect();
    other.send(request("/pid"));
    assert_eq!(other.response().text(), worker.to_string());
    let mut client = server.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    let child: i32 = client.response().text().parse().expect("a process id");
    // The client's connection ends with the response.
    client.assert_closed();
    // So does one that is kept, a second later, and meanwhile the worker rests.
    let mut kept = server.connect();
    kept.send(request("/pid"));
    assert_eq!(kept.response().text(), worker.to_string());
    let before = process::cpu_time(worker);
    kept.assert_closed();
    other.assert_closed();
    let spent = process::cpu_time(worker).saturating_sub(before);
    assert!(spent.as_millis() < 250, "{spent:?} of CPU time in about a second");
    assert!(process::is_alive(child));
    // New connections are the worker's, not the child's.
    for _ in 0..5 {
        assert_eq!(server.get("/pid").text(), worker.to_string());
    }
    drop(OpenOptions::new().write(true).open(&fifo).expect("the child waits for this"));
    until(BOUND, "the child to end", || (!process::is_alive(child)).then_some(()));
    let mut client = server.connect();
    client.send(request("/pid"));
    assert_eq!(client.response().text(), worker.to_string());
    let log = server.log.text();
    assert!(!log.contains("[ERROR]") && !log.contains("Worker exiting"), "{log}");
}
