//! What goes along when a connection moves to another worker.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Seen, ask, builder, crowd, crowd_of, hold, hold_worker_by, request, seen};
use crate::harness::cases::{cases, on_rgunicorn};
use crate::harness::{Client, Server, ServerKind};

on_rgunicorn!(buffered, unbuffered, proxy_protocol, unix_socket, several_listeners, retirement);

/// Has `act` on a connection whose worker is busy; the other worker has to answer. Before and after,
/// the client does what `early` and `act` say.
#[track_caller]
fn away<T>(
    server: &Server,
    connect: impl Fn() -> Client,
    early: impl FnOnce(&mut Client),
    act: impl FnOnce(&mut Client, i32) -> T,
) -> T {
    let (worker, mut clients) = crowd_of(2, connect);
    let mut client = clients.pop().expect("two of them");
    early(&mut client);
    let held = hold(server, clients.pop().expect("the other one"));
    assert_eq!(held.pid, worker);
    let result = act(&mut client, worker);
    let (mut other, _) = held.finish();
    // Both connections are as good as before.
    ask(&mut client, "/pid");
    ask(&mut other, "/pid");
    result
}

#[track_caller]
fn moved(server: &Server, act: impl FnOnce(&mut Client, i32)) {
    away(server, || server.connect(), |_| {}, act);
}

fn post(length: usize) -> String {
    format!("POST /facts HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
}

/// Bytes that show where they have been cut or mixed up.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| b"0123456789abcdefghijklmnopqrstuvwxyz\n"[(at ^ at >> 9) % 37]).collect()
}

#[track_caller]
fn assert_body(seen: &Seen, worker: i32, count: usize) {
    assert_ne!(seen.pid(), worker);
    assert_eq!(seen.body.len(), count);
    assert!(seen.body == bytes(count), "another body than the one that was sent");
}

fn buffered(kind: ServerKind) {
    let server = builder(kind).args(["--request-buffer-size", "64K"]).start_ready(2);
    cases!(&server; peer, pipelined, behind_the_held_one, partial_heads, bodies, late_bodies,
        chunked_bodies, expectations);
}

fn unbuffered(kind: ServerKind) {
    let server = builder(kind).args(["--no-request-buffering"]).start_ready(2);
    cases!(&server; peer, pipelined, behind_the_held_one, partial_heads, bodies, late_bodies,
        chunked_bodies, expectations, body_behind_a_request);
}

fn peer(server: &Server) {
    let (worker, mut clients) = crowd(server, 3);
    let before: Vec<Seen> = clients.iter_mut().map(|client| ask(client, "/facts")).collect();
    let held = hold(server, clients.pop().expect("three of them"));
    for (client, before) in clients.iter_mut().zip(&before) {
        let after = ask(client, "/facts");
        assert_ne!(after.pid(), worker);
        for name in ["REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT", "SERVER_NAME"] {
            assert_eq!(after.fact(name), before.fact(name), "{name}");
        }
    }
    assert_ne!(before[0].fact("REMOTE_PORT"), before[1].fact("REMOTE_PORT"));
    assert_eq!(before[0].fact("REMOTE_ADDR"), "127.0.0.1");
    held.finish();
}

/// Requests that came together are answered in order, whoever answers.
fn pipelined(server: &Server) {
    moved(server, |client, worker| {
        let all: String = (0..50).map(|number| request(&format!("/facts?{number}"))).collect();
        // The last one comes in two pieces.
        let (most, rest) = all.split_at(all.len() - 9);
        client.send(most);
        for number in 0..49 {
            let seen = seen(client);
            assert_eq!(seen.fact("QUERY_STRING"), number.to_string());
            assert_ne!(seen.pid(), worker);
        }
        client.send(rest);
        assert_eq!(seen(client).fact("QUERY_STRING"), "49");
    });
}

/// Requests behind one that is in the application wait for its response.
fn behind_the_held_one(server: &Server) {
    let mut held = hold(server, server.connect());
    held.client.send([request("/facts?one"), request("/facts?two")].concat());
    assert!(held.client.is_silent_for(Duration::from_millis(100)));
    let (mut client, _) = held.finish();
    assert_eq!(seen(&mut client).fact("QUERY_STRING"), "one");
    assert_eq!(seen(&mut client).fact("QUERY_STRING"), "two");
}

/// Heads that began before the worker was busy.
fn partial_heads(server: &Server) {
    let text = "GET /facts?whole HTTP/1.1\r\nHost: a\r\nX-Some: value\r\n\r\n";
    for cut in [1, 10, 30, text.len() - 1] {
        let (begin, rest) = text.split_at(cut);
        let early = |client: &mut Client| client.send(begin);
        away(
            server,
            || server.connect(),
            early,
            |client, worker| {
                client.send(rest);
                let seen = seen(client);
                assert_ne!(seen.pid(), worker);
                assert_eq!(seen.fact("QUERY_STRING"), "whole");
                assert_eq!(seen.fact("HTTP_X_SOME"), "value");
            },
        );
    }
}

/// In memory, too large for a message of the queue, and in a temporary file.
fn bodies(server: &Server) {
    for count in [1, 1000, 16 * 1024, 60_000, 64 * 1024 + 1, 3 << 20] {
        moved(server, |client, worker| {
            client.send([post(count).into_bytes(), bytes(count)].concat());
            assert_body(&seen(client), worker, count);
            // And with a request behind it.
            let more = [post(count).into_bytes(), bytes(count), request("/facts?next").into()];
            client.send(more.concat());
            assert_body(&seen(client), worker, count);
            assert_eq!(seen(client).fact("QUERY_STRING"), "next");
        });
    }
}

/// Bodies that began before the worker was busy, or come after their head has moved.
fn late_bodies(server: &Server) {
    for count in [100, 30_000, 1 << 20] {
        let body = bytes(count);
        moved(server, |client, worker| {
            client.send(post(count));
            let (begin, rest) = body.split_at(count / 3);
            for piece in [begin, rest] {
                // Long enough for what came before to be read.
                assert!(client.is_silent_for(Duration::from_millis(20)));
                client.send(piece);
            }
            assert_body(&seen(client), worker, count);
        });
    }
}

fn chunked_bodies(server: &Server) {
    for count in [100, 30_000, 300_000] {
        let body = bytes(count);
        moved(server, |client, worker| {
            client.send("POST /facts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(7000) {
                client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
            }
            client.send(["0\r\n\r\n", &request("/facts?next")].concat());
            assert_body(&seen(client), worker, count);
            assert_eq!(seen(client).fact("QUERY_STRING"), "next");
        });
    }
}

fn expectations(server: &Server) {
    moved(server, |client, worker| {
        client.send(
            "POST /facts HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        );
        assert_eq!(client.response().status, 100);
        client.send(bytes(5));
        assert_body(&seen(client), worker, 5);
    });
}

/// The body of a request that moves unread is not taken for the next request.
fn body_behind_a_request(server: &Server) {
    moved(server, |client, worker| {
        let first = request("/facts?first");
        client.send([first.as_bytes(), post(40_000).as_bytes(), &bytes(10_000)].concat());
        assert_eq!(seen(client).fact("QUERY_STRING"), "first");
        client.send(&bytes(40_000)[10_000..]);
        assert_body(&seen(client), worker, 40_000);
    });
}

fn proxy_protocol(kind: ServerKind) {
    const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n";
    let server = builder(kind).args(["--proxy-protocol"]).start_ready(2);
    let told = |seen: &Seen| {
        assert_eq!(seen.fact("REMOTE_ADDR"), "192.0.2.1");
        assert_eq!(seen.fact("REMOTE_PORT"), "51234");
        assert_eq!(seen.fact("PROXY_ADDR"), "198.51.100.2");
        assert_eq!(seen.fact("PROXY_PORT"), "443");
    };
    let with_header = || {
        let mut client = server.connect();
        client.send(LINE);
        client
    };
    away(
        &server,
        with_header,
        |_| {},
        |client, worker| {
            for _ in 0..3 {
                let seen = ask(client, "/facts");
                assert_ne!(seen.pid(), worker);
                told(&seen);
            }
        },
    );
    // A connection that has not sent its header yet still may, once, wherever it is.
    for worker in server.wait_workers(2) {
        for cut in [0, 12, LINE.len()] {
            let mut client = server.connect();
            client.send(&LINE[..cut]);
            let held = hold_worker_by(&server, worker, with_header);
            client.send(&LINE[cut..]);
            told(&ask(&mut client, "/facts"));
            held.finish();
            told(&ask(&mut client, "/facts"));
            client.send(LINE);
            assert_eq!(client.response().status, 400);
        }
    }
}

fn unix_socket(kind: ServerKind) {
    let builder = builder(kind);
    let path = builder.dir().join("socket");
    let server = builder.binding(&format!("unix:{}", path.display())).start_ready(2);
    let connect = || Client::connect_unix(&path);
    away(
        &server,
        connect,
        |_| {},
        |client, worker| {
            let seen = ask(client, "/facts");
            assert_ne!(seen.pid(), worker);
            assert_eq!(seen.fact("REMOTE_ADDR"), "");
            client.send([post(100_000).into_bytes(), bytes(100_000)].concat());
            assert_body(&super::seen(client), worker, 100_000);
        },
    );
}

/// Where a connection came in is known elsewhere too.
fn several_listeners(kind: ServerKind) {
    let server = builder(kind)
        .binding("127.0.0.1:0")
        .args(["-b", "127.0.0.1:0", "-b", "127.0.0.2:0"])
        .start_ready(2);
    let line = server.log.wait_for("Listening at: http://");
    let addresses: Vec<SocketAddr> = line
        .split("http://")
        .skip(1)
        .filter_map(|part| part.split([',', ' ']).next()?.parse().ok())
        .collect();
    assert_eq!(addresses.len(), 3, "{line}");
    for address in addresses {
        away(
            &server,
            || Client::connect(address),
            |_| {},
            |client, worker| {
                let seen = ask(client, "/facts");
                assert_ne!(seen.pid(), worker);
                assert_eq!(seen.fact("SERVER_PORT"), address.port().to_string());
                assert_eq!(seen.fact("SERVER_NAME"), address.ip().to_string());
            },
        );
    }
}

/// A worker that leaves gives away connections as they are: idle, new, and in the middle of a head.
fn retirement(kind: ServerKind) {
    let server = builder(kind).start_ready(1);
    let (worker, mut clients) = crowd(&server, 4);
    clients[0].send("GET /facts?kept HTTP/1.1\r\nHo");
    clients[1].send([post(50_000).into_bytes(), bytes(20_000)].concat());
    clients.push(server.connect());
    clients.push(server.connect());
    clients[4].send("GET /facts?new HTTP/1.1\r\nHo");
    // All of it is there when the signal comes.
    let mut last = server.connect();
    ask(&mut last, "/pid");
    server.signal(Signal::SIGHUP);
    server.log.wait_for_count("note: loaded in ", 2);
    clients[1].send(&bytes(50_000)[20_000..]);
    // In the middle of a body it stays where it is.
    assert_eq!(seen(&mut clients[1]).body, bytes(50_000));
    server.log.wait_for(&format!("Worker exiting (pid: {worker})"));
    clients[0].send("st: a\r\n\r\n");
    assert_eq!(seen(&mut clients[0]).fact("QUERY_STRING"), "kept");
    clients[4].send("st: a\r\n\r\n");
    assert_eq!(seen(&mut clients[4]).fact("QUERY_STRING"), "new");
    for client in &mut clients {
        let seen = ask(client, "/pid");
        assert_eq!(seen.connection.as_deref(), Some("keep-alive"));
        assert_ne!(seen.pid(), worker);
    }
}
