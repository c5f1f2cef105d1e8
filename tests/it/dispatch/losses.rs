//! A worker that is killed takes nothing with it but what it held itself.

use std::io::ErrorKind;

use nix::sys::signal::Signal;

use super::{ask, builder, crowd, hold, hold_worker, request, seen};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Client, ServerKind, process, until};

on_rgunicorn!(what_was_given_away_is_safe, what_is_in_the_queue_is_safe, waiting_ones_are_its_own);

/// Fails unless the connection has ended without a word.
#[track_caller]
fn assert_lost(client: &mut Client) {
    match client.try_read_to_end() {
        Ok(rest) => assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// A request that another worker has taken over survives the one that received it.
fn what_was_given_away_is_safe(kind: ServerKind) {
    for threads in [1, 2] {
        let server = builder(kind).args(["--threads", &threads.to_string()]).start_ready(2);
        let (worker, mut clients) = crowd(&server, threads + 3);
        let mut own: Vec<_> =
            clients.drain(..threads).map(|client| hold(&server, client)).collect();
        assert!(own.iter().all(|held| held.pid == worker));
        // The other worker's first one has come through the queue.
        let away = hold(&server, clients.pop().expect("three are left"));
        assert_ne!(away.pid, worker);
        process::signal(worker, Signal::SIGKILL);
        for held in &mut own {
            assert_lost(&mut held.client);
        }
        // Idle connections of the killed worker were its own as well.
        clients.iter_mut().for_each(assert_lost);
        server.log.wait_for_count("note: loaded in ", 3);
        let (mut client, _) = away.finish();
        ask(&mut client, "/pid");
    }
}

/// Connections on their way belong to nobody who could be killed.
fn what_is_in_the_queue_is_safe(kind: ServerKind) {
    let server = builder(kind).start_ready(2);
    let (oldest, other) = match server.wait_workers(2)[..] {
        [oldest, other] => (oldest, other),
        _ => unreachable!("two of them"),
    };
    let mut held = hold_worker(&server, other);
    let (owner, mut clients) = crowd(&server, 6);
    assert_eq!(owner, oldest);
    clients[0].send("GET /facts?half HTTP/1.1\r\n");
    let mark = server.log.mark();
    server.signal(Signal::SIGTTOU);
    server.log.wait_for_since(mark, &format!("Worker exiting (pid: {oldest})"));
    until(BOUND, "the worker to end", || (!process::is_alive(oldest)).then_some(()));
    // Now they are in the queue, and the one worker that is left is busy.
    for client in &mut clients[1..] {
        client.send(request("/facts?whole"));
    }
    process::signal(other, Signal::SIGKILL);
    assert_lost(&mut held.client);
    for client in &mut clients[1..] {
        let seen = seen(client);
        assert_eq!(seen.fact("QUERY_STRING"), "whole");
        assert!(seen.pid() != oldest && seen.pid() != other);
        assert_eq!(seen.connection.as_deref(), Some("keep-alive"));
    }
    clients[0].send("Host: a\r\n\r\n");
    assert_eq!(seen(&mut clients[0]).fact("QUERY_STRING"), "half");
}

/// With all slots busy, requests wait in their workers: those of a killed one are lost, the others
/// are answered.
fn waiting_ones_are_its_own(kind: ServerKind) {
    let server = builder(kind).start_ready(2);
    let (worker, mut clients) = crowd(&server, 4);
    let mut own = hold(&server, clients.pop().expect("four of them"));
    assert_eq!(own.pid, worker);
    let mut others: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut others {
        assert_ne!(ask(client, "/pid").pid(), worker);
    }
    let survivor = hold(&server, server.connect());
    assert_ne!(survivor.pid, worker);
    for client in clients.iter_mut().chain(&mut others) {
        client.send(request("/facts"));
        assert!(client.is_silent_for(std::time::Duration::from_millis(20)));
    }
    process::signal(worker, Signal::SIGKILL);
    assert_lost(&mut own.client);
    clients.iter_mut().for_each(assert_lost);
    survivor.finish();
    for client in &mut others {
        assert_ne!(seen(client).pid(), worker);
    }
}
