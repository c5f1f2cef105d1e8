//! What applications get of the connection beyond WSGI: `gunicorn.socket`, `wsgi.early_hints`,
//! `rgunicorn.client_gone`.

use std::time::{Duration, Instant};

use super::{MOMENT, request};
use crate::harness::cases::{cases, on_both_servers, on_rgunicorn};
use crate::harness::{BOUND, Builder, Client, Server, ServerKind};

on_both_servers!(socket, early_hints);

on_rgunicorn!(socket_kept, client_gone, asked_by_the_access_log);

fn socket(kind: ServerKind) {
    let server = Builder::new(kind).app("takeover:app").keeping_alive().start();
    cases!(&server; another_protocol, client_leaves_first, socket_is_a_socket, left_alone);
    let log = server.log.text();
    assert!(!log.contains("[ERROR]"), "{log}");
    assert_eq!(log.matches("Booting worker").count(), 1, "{log}");
}

#[track_caller]
fn expect(client: &mut Client, text: &str) {
    let got = client.read_exactly(text.len());
    assert_eq!(String::from_utf8_lossy(&got), text);
}

/// A line for a line, and no trace of HTTP.
#[track_caller]
fn converse(client: &mut Client, target: &str) {
    client.send(request(target));
    expect(client, "welcome\n");
    for line in ["one\n", "two\n"] {
        client.send(line);
        expect(client, &format!("you said {line}"));
    }
}

fn another_protocol(server: &Server) {
    let mut client = server.connect();
    converse(&mut client, "/echo");
    client.send("bye\n");
    client.assert_closed();
    assert_eq!(server.get("/plain").text(), "plain");
}

fn client_leaves_first(server: &Server) {
    let mut client = server.connect();
    converse(&mut client, "/echo");
    client.end_sending();
    client.assert_closed();
    let mut client = server.connect();
    converse(&mut client, "/echo");
    drop(client);
    assert_eq!(server.get("/plain").text(), "plain");
}

fn socket_is_a_socket(server: &Server) {
    let mut client = server.connect();
    client.send(request("/looks"));
    let response = client.response();
    assert!(response.text().starts_with("127.0.0.1 "), "{}", response.text());
    if server.kind.is_rgunicorn() {
        // Whoever has asked for the socket may be using it still.
        assert_eq!(response.header("Connection"), Some("close"));
        client.assert_closed();
    }
}

fn left_alone(server: &Server) {
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(request("/untouched"));
        let response = client.response();
        assert_eq!(response.text(), "True");
        assert_eq!(response.header("Connection"), Some("keep-alive"));
    }
}

fn socket_kept(kind: ServerKind) {
    let server = Builder::new(kind).app("takeover:app").start();
    cases!(&server; a_thread_goes_on, a_look_does_not_block);
}

/// The request is over, the worker serves others, and the connection lives on.
fn a_thread_goes_on(server: &Server) {
    let mut client = server.connect();
    client.send(request("/elsewhere"));
    assert_eq!(server.get("/plain").text(), "plain");
    expect(&mut client, "welcome\n");
    // Its socket blocks, as sockets do.
    assert!(client.is_silent_for(MOMENT));
    client.send("one\n");
    expect(&mut client, "you said one\n");
    assert_eq!(server.get("/plain").text(), "plain");
    client.send("bye\n");
    client.assert_closed();
    assert!(!server.log.text().contains("thread failed"), "{}", server.log.text());
}

/// A slow reader of a response holds up nobody, also when the application has looked at its socket.
fn a_look_does_not_block(server: &Server) {
    let mut client = server.connect_narrow();
    client.send(request("/looks_big"));
    client.wait_for(b"\r\n\r\n");
    let began = Instant::now();
    assert_eq!(server.get("/plain").text(), "plain");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(client.response().body.len(), 16 * 1_048_576);
}

fn early_hints(kind: ServerKind) {
    let server = Builder::new(kind).app("takeover:app").keeping_alive().start();
    cases!(&server; hints, no_hints_for_http_1_0, invalid_hints, several_hints, late_hints);
}

#[track_caller]
fn assert_hint(client: &mut Client, headers: &[(&str, &str)]) {
    let hint = client.response_to("HEAD");
    assert_eq!((hint.status, hint.reason.as_str()), (103, "Early Hints"));
    assert_eq!(hint.version, "HTTP/1.1");
    let found: Vec<(&str, &str)> =
        hint.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, headers);
}

fn hints(server: &Server) {
    let link = ("Link", "</style.css>; rel=preload");
    for (query, headers) in [
        ("str", &[link, ("X-Latin", "caf\u{e9}")][..]),
        ("bytes", &[link]),
        ("lists", &[link]),
        ("none", &[]),
    ] {
        let mut client = server.connect();
        client.send(request(&format!("/hints?{query}")));
        assert_hint(&mut client, headers);
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "done"));
        // The connection is as good as ever.
        client.send(request("/plain"));
        assert_eq!(client.response().text(), "plain");
    }
}

fn no_hints_for_http_1_0(server: &Server) {
    let got = server.exchange("GET /hints?str HTTP/1.0\r\n\r\n");
    let got = String::from_utf8_lossy(&got);
    assert!(got.starts_with("HTTP/1.0 200 OK\r\n") && got.ends_with("\r\n\r\ndone"), "{got}");
}

fn invalid_hints(server: &Server) {
    for (query, error) in [
        ("name", "InvalidResponseHeaderName"),
        ("value", "InvalidResponseHeader"),
        ("newline", "InvalidResponseHeader"),
        ("unicode", "InvalidResponseHeader"),
        ("number", "TypeError"),
    ] {
        let mut client = server.connect();
        client.send(request(&format!("/hints?{query}")));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, error), "{query}");
    }
}

fn several_hints(server: &Server) {
    let mut client = server.connect();
    client.send(request("/hints_twice"));
    assert_hint(&mut client, &[("X-Hint", "a")]);
    assert_hint(&mut client, &[("X-Hint", "b")]);
    assert_eq!(client.response().text(), "done");
}

/// Behind the head of the response nothing of the kind may be sent.
fn late_hints(server: &Server) {
    let got = server.exchange("GET /hints_late HTTP/1.1\r\nConnection: close\r\n\r\n");
    let got = String::from_utf8_lossy(&got);
    assert!(got.ends_with("\r\n\r\ndonelate"), "{got}");
    assert!(!got.contains("103"), "{got}");
}

fn client_gone(kind: ServerKind) {
    let server = Builder::new(kind).app("takeover:app").start();
    cases!(&server; noticed_while_working, still_there, of_an_earlier_request);
}

fn noticed_while_working(server: &Server) {
    let mark = server.log.mark();
    let mut client = server.connect();
    client.send(request("/patient"));
    server.log.wait_for_since(mark, "note: still there");
    drop(client);
    server.log.wait_until(BOUND, mark, "the end of the work", |log| {
        log.contains("note: client gone").then_some(())
    });
    assert_eq!(server.get("/plain").text(), "plain");
}

fn still_there(server: &Server) {
    let mut client = server.connect();
    for _ in 0..2 {
        // Another request behind this one is no reason to believe that the client is gone.
        client.send([request("/asks"), request("/asks")].concat());
        assert_eq!(client.response().text(), "False");
        assert_eq!(client.response().text(), "False");
    }
}

/// A request that is over has no client any more.
fn of_an_earlier_request(server: &Server) {
    let mut client = server.connect();
    client.send(request("/keeps"));
    assert_eq!(client.response().text(), "[False]");
    client.send(request("/keeps"));
    assert_eq!(client.response().text(), "[True, False]");
}

/// What shows a variable is code of the application too.
fn asked_by_the_access_log(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("takeover:app")
        .keeping_alive()
        .args(["--access-logfile", "-", "--access-logformat", "%(U)s %({asking}e)s %(s)s"])
        .start();
    let mut client = server.connect();
    for _ in 0..2 {
        let mark = server.out.mark();
        client.send(request("/shown"));
        assert_eq!(client.response().text(), "done");
        assert_eq!(server.out.wait_for_since(mark, "/shown"), "/shown gone: False 200");
    }
}
