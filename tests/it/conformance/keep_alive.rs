//! Connections that outlive a request (RFC 9112 section 9). gunicorn's sync workers close after
//! each request, rgunicorn's do not; gunicorn is asked for its threaded worker here.

use std::time::{Duration, Instant};

use super::error_page;
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Response, Server, ServerKind};

on_both_servers!(connections, idle_timeout, switched_off);

fn connections(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:quiet").keeping_alive().start();
    cases!(&server;
        several_requests,
        the_connection_header_decides,
        connect_closes,
        a_coding_closes,
        pipelined_requests,
        pipelined_in_pieces,
        pipelined_and_half_closed,
        error_after_a_good_request,
        unread_body_is_skipped,
        unread_chunks_are_skipped,
        large_unread_body,
        head_has_no_body,
        half_closed_client_gets_its_answer,
    );
    // Chunked responses keep the connection, those without any length cannot.
    let server = Builder::new(kind).app("responses:app").keeping_alive().start();
    cases!(&server; chunked_keeps, close_delimited_closes, bodyless_keeps, short_body_closes);
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn several_requests(server: &Server) {
    let mut client = server.connect();
    for number in 0..20 {
        client.send(request(&format!("/{number}")));
        let response = client.response();
        assert_eq!(response.text(), format!("/{number}"));
        assert_eq!(response.header("Connection"), Some("keep-alive"));
    }
}

/// gunicorn compares the whole value of the first field with "close" and "keep-alive"; to rgunicorn
/// all fields together are one list of options, as RFC 9112 section 9.3 has it.
fn the_connection_header_decides(server: &Server) {
    for (version, header, keeps) in [
        ("1.1", "", true),
        ("1.0", "", false),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: CLOSE\r\n", false),
        ("1.1", "connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: close\r\n", false),
        ("1.1", "Connection: upgrade\r\n", true),
        ("1.0", "Connection: upgrade\r\n", false),
        ("1.1", "Connection: keep-alive, Upgrade\r\n", true),
        ("1.1", "Connection: closed, close-not\r\n", true),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", false),
        ("1.0", "Connection: close\r\nConnection: keep-alive\r\n", false),
        ("1.0", "Connection: close, keep-alive\r\n", false),
        ("1.1", "Connection:\r\n", true),
        ("1.1", "Connection: ,\r\n", true),
    ] {
        connection(server, version, header, keeps);
    }
    for (version, header, keeps) in [
        ("1.1", "Connection: close, x\r\n", false),
        ("1.1", "Connection: x,\tCLOSE ,y\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nX: y\r\nConnection: close\r\n", false),
        ("1.0", "Connection: keep-alive\r\nConnection: x, close\r\n", false),
        ("1.0", "Connection: Keep-Alive, x\r\n", true),
        ("1.0", "Connection: x\r\nConnection: keep-alive\r\n", true),
    ] {
        connection(server, version, header, keeps == server.kind.is_rgunicorn());
    }
}

/// Sends a request with these lines, and another one if the connection has to be kept.
#[track_caller]
fn connection(server: &Server, version: &str, header: &str, keeps: bool) {
    let mut client = server.connect();
    client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n{header}\r\n"));
    let response = client.response();
    let wanted = if keeps { "keep-alive" } else { "close" };
    assert_eq!(response.header("Connection"), Some(wanted), "HTTP/{version} {header:?}");
    if keeps {
        client.send(request("/again"));
        assert_eq!(client.response().text(), "/again");
    } else {
        client.assert_closed();
    }
}

fn connect_closes(server: &Server) {
    let mut client = server.connect();
    client.send("CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.response().header("Connection"), Some("close"));
    client.assert_closed();
}

/// What is in a body that the server has not decoded is nothing to go on behind.
fn a_coding_closes(server: &Server) {
    for (codings, keeps) in [
        ("chunked", true),
        ("identity, chunked", true),
        ("gzip, chunked", false),
        ("compress, chunked", false),
        ("deflate, chunked", false),
    ] {
        let mut client = server.connect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {codings}\r\n\r\n0\r\n\r\n"
        ));
        let wanted = if keeps { "keep-alive" } else { "close" };
        assert_eq!(client.response().header("Connection"), Some(wanted), "{codings}");
    }
}

fn pipelined_requests(server: &Server) {
    let mut client = server.connect();
    let all: String = (0..50).map(|number| request(&format!("/{number}"))).collect();
    client.send(all);
    for number in 0..50 {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
}

fn pipelined_in_pieces(server: &Server) {
    let mut client = server.connect();
    let all = [request("/one"), request("/two")].concat();
    let (first, rest) = all.split_at(all.len() - 20);
    client.send(first);
    assert_eq!(client.response().text(), "/one");
    client.send(rest);
    assert_eq!(client.response().text(), "/two");
}

fn pipelined_and_half_closed(server: &Server) {
    let mut client = server.connect();
    let all: String = (0..50).map(|number| request(&format!("/{number}"))).collect();
    client.send(all);
    client.end_sending();
    for number in 0..50 {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
    client.assert_closed();
}

fn error_after_a_good_request(server: &Server) {
    let got = server.exchange([request("/good").as_str(), "BAD\r\n\r\n"].concat());
    let mut got = String::from_utf8_lossy(&got).into_owned();
    let page = got.split_off(got.rfind("HTTP/1.1 ").expect("two responses"));
    assert_eq!(Response::parse(got.as_bytes()).text(), "/good");
    let message = "Invalid Request Line 'Invalid HTTP request line: 'BAD''";
    assert_eq!(page, error_page("400 Bad Request", message));
}

fn unread_body_is_skipped(server: &Server) {
    let mut client = server.connect();
    let body = "x".repeat(30_000);
    client.send(format!("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n{body}"));
    assert_eq!(client.response().text(), "/one");
    client.send(request("/two"));
    assert_eq!(client.response().text(), "/two");
}

fn unread_chunks_are_skipped(server: &Server) {
    let mut client = server.connect();
    let head = "POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send([head, "5\r\nabcde\r\n0\r\nX: y\r\n\r\n", &request("/two")].concat());
    assert_eq!(client.response().text(), "/one");
    assert_eq!(client.response().text(), "/two");
}

/// gunicorn reads no more than 64 KiB to keep a connection; rgunicorn has read all of it before.
fn large_unread_body(server: &Server) {
    let mut client = server.connect();
    let body = "x".repeat(70_000);
    client.send(format!("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n{body}"));
    let response = client.response();
    assert_eq!(
        (response.text().as_str(), response.header("Connection")),
        ("/one", Some("keep-alive"))
    );
    if server.kind.is_rgunicorn() {
        client.send(request("/two"));
        assert_eq!(client.response().text(), "/two");
    } else {
        client.assert_closed();
    }
}

fn head_has_no_body(server: &Server) {
    let mut client = server.connect();
    client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response_to("HEAD");
    assert_eq!(response.header("Content-Length"), Some("5"));
    client.send(request("/next"));
    assert_eq!(client.response().text(), "/next");
}

fn half_closed_client_gets_its_answer(server: &Server) {
    let mut client = server.connect();
    client.send(request("/half"));
    client.end_sending();
    assert_eq!(client.response().text(), "/half");
    client.assert_closed();
}

fn chunked_keeps(server: &Server) {
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(request("/unsized"));
        let response = client.response();
        assert_eq!(response.header("Connection"), Some("keep-alive"));
        assert_eq!(response.text(), "onetwotwotwotwotwotwo3");
    }
}

fn close_delimited_closes(server: &Server) {
    let mut client = server.connect();
    client.send("GET /unsized HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("Connection"), Some("close"));
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(response.text(), "onetwotwotwotwotwotwo3");
}

fn bodyless_keeps(server: &Server) {
    let mut client = server.connect();
    client.send("HEAD /unsized HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response_to("HEAD");
    assert_eq!(response.names(), ["Server", "Date", "Connection"]);
    assert_eq!(response.header("Connection"), Some("keep-alive"));
    for (target, status) in [("/no_content", 204), ("/not_modified", 304), ("/no_content", 204)] {
        client.send(request(target));
        let response = client.response();
        assert_eq!(response.status, status);
        assert_eq!(response.header("Connection"), Some("keep-alive"));
    }
}

/// What comes after a body that is shorter than announced would be taken for the rest of it.
fn short_body_closes(server: &Server) {
    let mut client = server.connect();
    client.send(request("/too_short"));
    client.wait_for(b"abc");
    client.send(request("/plain"));
    let rest = client.try_response("GET");
    if server.kind.is_rgunicorn() {
        assert!(rest.is_err(), "{rest:?}");
    } else {
        // gunicorn does not notice.
        assert_eq!(rest.expect("ten bytes").text(), "abcHTTP/1.");
    }
}

fn idle_timeout(kind: ServerKind) {
    let server =
        Builder::new(kind).app("echo:quiet").keeping_alive().args(["--keep-alive", "1"]).start();
    let mut client = server.connect();
    client.send(request("/"));
    assert_eq!(client.response().header("Connection"), Some("keep-alive"));
    let began = Instant::now();
    client.assert_closed();
    let idle = began.elapsed();
    let fits = Duration::from_millis(800)..Duration::from_secs(10);
    assert!(fits.contains(&idle), "closed after {idle:?} of the one second");
}

fn switched_off(kind: ServerKind) {
    let server =
        Builder::new(kind).app("echo:quiet").keeping_alive().args(["--keep-alive", "0"]).start();
    let mut client = server.connect();
    client.send(request("/"));
    let response = client.response();
    assert_eq!(response.header("Connection"), Some("close"));
    assert_eq!(response.text(), "/");
    client.assert_closed();
}
