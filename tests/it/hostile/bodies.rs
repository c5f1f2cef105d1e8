//! Bodies that the application reads from the connection (`request_buffering = False`), as with
//! gunicorn, which knows nothing else.

use super::{MOMENT, request};
use crate::harness::cases::{cases, on_both_servers, on_rgunicorn};
use crate::harness::{Builder, Server, ServerKind};

on_both_servers!(streamed, streamed_forms);

on_rgunicorn!(what_is_left);

const OFF: &str = "--no-request-buffering";

/// The option is rgunicorn's; gunicorn never does otherwise.
fn unbuffered(kind: ServerKind, app: &str) -> Builder {
    let builder = Builder::new(kind).app(app).keeping_alive();
    if kind.is_rgunicorn() { builder.args([OFF]) } else { builder }
}

fn streamed(kind: ServerKind) {
    let server = unbuffered(kind, "hostile:app").start();
    cases!(&server;
        called_before_the_body_is_there,
        read_in_pieces_as_they_come,
        chunks_as_they_come,
        unread_body_is_skipped,
        pipelined_behind_a_body,
        pipelined_behind_an_unread_body,
        continue_is_sent,
        cut_length,
        cut_chunk,
        wrong_chunks,
        large,
    );
}

fn post(target: &str, headers: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn called_before_the_body_is_there(server: &Server) {
    let mut client = server.connect();
    client.send(post("/first?1024", "Content-Length: 2048\r\n"));
    // Half of the body is enough for what the application wants.
    client.send("b".repeat(1024));
    assert_eq!(client.response().text(), "b".repeat(1024));
}

fn read_in_pieces_as_they_come(server: &Server) {
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 10\r\n"));
    for piece in ["abc", "d", "efghi"] {
        client.send(piece);
        assert!(client.is_silent_for(MOMENT / 4));
    }
    client.send("j");
    assert_eq!(client.response().text(), "10");
    client.send(request("/plain"));
    assert_eq!(client.response().text(), "plain");
}

fn chunks_as_they_come(server: &Server) {
    let mut client = server.connect();
    client.send(post("/body", CHUNKED));
    for byte in "3;a=b\r\nabc\r\n00a\r\n0123456789\r\n0\r\nX: y\r\n\r\n".bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().text(), "13");
    client.send(request("/plain"));
    assert_eq!(client.response().text(), "plain");
}

fn unread_body_is_skipped(server: &Server) {
    for (headers, body) in
        [("Content-Length: 5\r\n", "abcde"), (CHUNKED, "5\r\nabcde\r\n0\r\nX: y\r\n\r\n")]
    {
        let mut client = server.connect();
        client.send([&post("/plain", headers), body].concat());
        assert_eq!(client.response().text(), "plain");
        client.send(request("/plain"));
        assert_eq!(client.response().text(), "plain", "{headers}");
    }
}

/// What the application has not read and the client has not sent cannot be skipped.
fn missing_rest_closes(server: &Server) {
    for (headers, body) in [("Content-Length: 1000\r\n", "abcde"), (CHUNKED, "5\r\nab")] {
        let mut client = server.connect();
        client.send([&post("/first?2", headers), body].concat());
        assert_eq!(client.response().text(), "ab");
        client.assert_closed();
    }
}

fn pipelined_behind_a_body(server: &Server) {
    for (headers, body) in
        [("Content-Length: 5\r\n", "abcde"), (CHUNKED, "5\r\nabcde\r\n0\r\n\r\n")]
    {
        let mut client = server.connect();
        let all = [&post("/body", headers), body, &request("/plain"), &post("/body", headers)];
        client.send(all.concat());
        assert_eq!(client.response().text(), "5");
        assert_eq!(client.response().text(), "plain");
        client.send([body, &request("/plain")].concat());
        assert_eq!(client.response().text(), "5");
        assert_eq!(client.response().text(), "plain");
    }
}

fn pipelined_behind_an_unread_body(server: &Server) {
    let mut client = server.connect();
    let first = [&post("/first?1", CHUNKED), "5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n"].concat();
    client.send([first, request("/plain")].concat());
    assert_eq!(client.response().text(), "a");
    assert_eq!(client.response().text(), "plain");
}

fn continue_is_sent(server: &Server) {
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 3\r\nExpect: 100-continue\r\n"));
    assert_eq!(client.response_to("HEAD").status, 100);
    client.send("abc");
    assert_eq!(client.response().text(), "3");
}

/// The application gets what there was.
fn cut_length(server: &Server) {
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 10\r\n"));
    client.send("abc");
    client.end_sending();
    assert_eq!(client.response().text(), "3");
    client.assert_closed();
}

fn cut_chunk(server: &Server) {
    let mut client = server.connect();
    client.send([&post("/body", CHUNKED), "5\r\nab"].concat());
    client.end_sending();
    client.assert_closed();
}

/// An application that does not handle it leaves it to the server to tell the client.
fn wrong_chunks(server: &Server) {
    for (body, message) in [
        ("xyz\r\n", "Invalid chunk size: b'xyz'"),
        ("3\r\nabcXX0\r\n\r\n", "Invalid chunk terminator is not '\\r\\n': b'XX'"),
        ("1;a b\r\na\r\n", "Invalid chunk extension: invalid chunk extension"),
        ("0\r\nHost: b\r\n\r\n", "Invalid HTTP header name: 'HOST'"),
    ] {
        let mark = server.log.mark();
        let got = server.exchange([&post("/body", CHUNKED), body, &request("/plain")].concat());
        let page = crate::conformance::error_page("400 Bad Request", message);
        assert_eq!(String::from_utf8_lossy(&got), page, "{body:?}");
        server.log.wait_for_since(mark, &format!("Invalid request from ip=127.0.0.1: {message}"));
    }
}

fn large(server: &Server) {
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 3000000\r\n"));
    client.send("b".repeat(3_000_000));
    assert_eq!(client.response().text(), "3000000");
    let mut client = server.connect();
    client.send(post("/body", CHUNKED));
    for _ in 0..30 {
        client.send(format!("186a0\r\n{}\r\n", "b".repeat(100_000)));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), "3000000");
}

/// Every way to read gives the same as with a body that waits in memory.
fn streamed_forms(kind: ServerKind) {
    let server = unbuffered(kind, "input:app").start();
    crate::conformance::input::check(&server);
}

/// Where gunicorn does otherwise.
fn what_is_left(kind: ServerKind) {
    let server = unbuffered(kind, "hostile:app").start();
    cases!(&server;
        no_more_is_waited_for_than_asked,
        missing_rest_closes,
        large_unread_body_closes,
        an_error_that_is_caught_closes,
        an_error_stays,
    );
}

/// gunicorn waits for 1024 bytes or the end of the body.
fn no_more_is_waited_for_than_asked(server: &Server) {
    let mark = server.log.mark();
    let mut client = server.connect();
    client.send([&post("/first?3", "Content-Length: 6\r\n"), "abc"].concat());
    server.log.wait_for_since(mark, "note: read 3");
    assert_eq!(client.response().text(), "abc");
}

/// More than is worth reading for a connection.
fn large_unread_body_closes(server: &Server) {
    let mut client = server.connect();
    client.send(post("/plain", "Content-Length: 300000\r\n"));
    // It may be reset before all of it is sent.
    let _ = client.try_send("b".repeat(300_000) + &request("/pid"));
    assert_eq!(client.response().text(), "plain");
    let rest = client.try_read_to_end().unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

/// After an error in the framing nobody knows where the next request begins, whatever the
/// application makes of the error. The first chunk comes in two parts: a decoder that starts over
/// would find the end of the body and a request inside of it.
fn an_error_that_is_caught_closes(server: &Server) {
    for (first, second) in [
        ("", "zz\r\n0\r\n\r\nGET /pid HTTP/1.1\r\n\r\n"),
        ("26\r\n", "0\r\n\r\nGET /pid HTTP/1.1\r\nHost: abcd\r\n\r\n\r\nzz\r\n"),
        ("2\r\n", "\r\n0\r\n\r\nGET /pid HTTP/1.1\r\n\r\n"),
        ("1\r\na\r\n0\r\n", "Host: b\r\n\r\nGET /pid HTTP/1.1\r\n\r\n"),
    ] {
        let mut client = server.connect();
        client.send([&post("/forgiving", CHUNKED), first].concat());
        assert!(client.is_silent_for(MOMENT / 2));
        client.send(second);
        assert_eq!(client.response().text(), "caught", "{second:?}");
        client.assert_closed();
    }
}

/// Reading again after an error is the same error, not other data.
fn an_error_stays(server: &Server) {
    let mut client = server.connect();
    client.send([&post("/insistent", CHUNKED), "5\r\nabcde\r\nzz\r\n"].concat());
    let found = client.response().text();
    assert_eq!(found, "['RefusedBody', 'RefusedBody', 'RefusedBody']");
    client.assert_closed();
}
