//! Clients that take their time, or never finish, hold up nobody: with a single sync worker, others
//! are served while they dawdle. gunicorn's sync worker waits for each of them.

use std::time::{Duration, Instant};

use crate::harness::cases::{cases, on_rgunicorn};
use crate::harness::{Builder, Client, Server, ServerKind};

on_rgunicorn!(slow_clients);

fn slow_clients(kind: ServerKind) {
    let server = Builder::new(kind).app("responses:app").start();
    cases!(&server;
        silent_connections,
        unfinished_heads,
        unfinished_bodies,
        slow_readers,
        kept_connections,
        clients_that_leave,
    );
}

/// Fails unless another client is served at once.
#[track_caller]
fn assert_served(server: &Server) {
    let began = Instant::now();
    assert_eq!(server.get("/plain").text(), "plain");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// Opens many connections and sends the same bytes on each.
fn crowd(server: &Server, bytes: &str) -> Vec<Client> {
    let open = |_| {
        let mut client = server.connect();
        client.send(bytes);
        client
    };
    (0..200).map(open).collect()
}

fn silent_connections(server: &Server) {
    let _crowd = crowd(server, "");
    assert_served(server);
}

fn unfinished_heads(server: &Server) {
    let mut crowd = crowd(server, "GET /plain HTTP/1.1\r\nHost:");
    assert_served(server);
    // They get their answer when they finish.
    for client in &mut crowd {
        client.send(" a\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().text(), "plain");
    }
}

fn unfinished_bodies(server: &Server) {
    let head = "POST /plain HTTP/1.1\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
    let mut crowd = crowd(server, &format!("{head}half "));
    assert_served(server);
    for client in &mut crowd {
        client.send("body.");
        assert_eq!(client.response().text(), "plain");
    }
}

/// Twenty answers of two mebibytes that nobody takes yet.
fn slow_readers(server: &Server) {
    let mut readers: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send("GET /large HTTP/1.1\r\nConnection: close\r\n\r\n");
    }
    for reader in &mut readers {
        reader.wait_for(b"\r\n\r\n");
    }
    assert_served(server);
    for reader in &mut readers {
        assert_eq!(reader.response().body.len(), 2 * 1_048_576);
    }
}

fn kept_connections(server: &Server) {
    let mut crowd = crowd(server, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    for client in &mut crowd {
        assert_eq!(client.response().text(), "plain");
    }
    assert_served(server);
}

/// Gone before they are answered, in the middle of the answer, in the middle of the request.
fn clients_that_leave(server: &Server) {
    for request in [
        "GET /large HTTP/1.1\r\n\r\n",
        "GET /many HTTP/1.1\r\n\r\n",
        "GET /plain HTTP/1.1\r\n\r\n",
        "POST /plain HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc",
        "GET /pl",
    ] {
        for _ in 0..20 {
            let mut client = server.connect();
            client.send(request);
        }
        assert_served(server);
    }
    let log = server.log.text();
    assert!(!log.contains("[ERROR]") && !log.contains("[WARNING]"), "{log}");
    assert_eq!(log.matches("Booting worker").count(), 1, "{log}");
}
