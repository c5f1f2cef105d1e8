//! Where a request body ends (RFC 9112 section 6 and 7): what is refused, and that the application
//! reads exactly the body.

use super::{assert_seen, error_page};
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Server, ServerKind};

on_both_servers!(refused_heads, refused_chunks, limits, cut_short, accepted);

const CONTENT_LENGTH: &str = "Invalid HTTP Header: 'CONTENT-LENGTH'";
const TRANSFER_ENCODING: &str = "Invalid HTTP Header: 'TRANSFER-ENCODING'";

/// Header lines, status, message in the page.
const REFUSED_HEADS: &[(&str, &str, &str)] = &[
    ("Content-Length: 1\r\nContent-Length: 1\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Content-Length: 1, 1\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Content-Length: +1\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Content-Length: -1\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Content-Length:\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Content-Length: 1_0\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Content-Length: 0x1\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Content-Length: \u{b2}\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "400 Bad Request", CONTENT_LENGTH),
    ("Transfer-Encoding: chunked, chunked\r\n", "400 Bad Request", TRANSFER_ENCODING),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "400 Bad Request",
        TRANSFER_ENCODING,
    ),
    ("Transfer-Encoding: gzip\r\n", "400 Bad Request", TRANSFER_ENCODING),
    ("Transfer-Encoding: identity\r\n", "400 Bad Request", TRANSFER_ENCODING),
    ("Transfer-Encoding: chunked, gzip\r\n", "400 Bad Request", TRANSFER_ENCODING),
    (
        "Transfer-Encoding: zip, chunked\r\n",
        "501 Bad Request",
        "Unsupported transfer coding: 'zip, chunked'",
    ),
    ("Transfer-Encoding: \x0bchunked\r\n", "400 Bad Request", TRANSFER_ENCODING),
    (
        "Transfer-Encoding: \"chunked\"\r\n",
        "501 Bad Request",
        "Unsupported transfer coding: '\"chunked\"'",
    ),
    (
        "Transfer-Encoding: chunked, \r\n",
        "501 Bad Request",
        "Unsupported transfer coding: 'chunked,'",
    ),
    ("Transfer-Encoding:\r\n", "501 Bad Request", "Unsupported transfer coding: ''"),
];

fn refused_heads(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    for &(lines, status, message) in REFUSED_HEADS {
        let got = server.exchange(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n"));
        let wanted = error_page(status, message);
        assert_eq!(String::from_utf8_lossy(&got), wanted, "{lines:?}");
    }
    let got = server.exchange("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let wanted = error_page("400 Bad Request", TRANSFER_ENCODING);
    assert_eq!(String::from_utf8_lossy(&got), wanted);
}

/// Chunked body, message in the page of status 400.
const REFUSED_CHUNKS: &[(&str, &str)] = &[
    ("xyz\r\n", "Invalid chunk size: b'xyz'"),
    ("-1\r\n", "Invalid chunk size: b'-1'"),
    ("+1\r\na\r\n", "Invalid chunk size: b'+1'"),
    ("0x1\r\na\r\n", "Invalid chunk size: b'0x1'"),
    ("1_0\r\n", "Invalid chunk size: b'1_0'"),
    (" 1\r\na\r\n", "Invalid chunk size: b' 1'"),
    ("1 \r\na\r\n", "Invalid chunk size: b'1 '"),
    ("1\ra\r\n", "Invalid chunk size: b'1\\ra'"),
    ("\r\n", "Invalid chunk size: b''"),
    ("3\r\nabcXX0\r\n\r\n", "Invalid chunk terminator is not '\\r\\n': b'XX'"),
    ("2\r\nabc\r\n0\r\n\r\n", "Invalid chunk terminator is not '\\r\\n': b'c\\r'"),
    ("1;=v\r\na\r\n", "Invalid chunk extension: invalid chunk extension"),
    ("1;a b\r\na\r\n", "Invalid chunk extension: invalid chunk extension"),
    ("1;a=\"b\r\na\r\n", "Invalid chunk extension: invalid chunk extension"),
    ("1;a\rb\r\na\r\n", "Invalid chunk extension: bare CR not allowed"),
    ("0\r\nHost: b\r\n\r\n", "Invalid HTTP header name: 'HOST'"),
    ("0\r\nContent-Length: 1\r\n\r\n", "Invalid HTTP header name: 'CONTENT-LENGTH'"),
    ("0\r\nTransfer-Encoding: chunked\r\n\r\n", "Invalid HTTP header name: 'TRANSFER-ENCODING'"),
    ("0\r\nAuthorization: a\r\n\r\n", "Invalid HTTP header name: 'AUTHORIZATION'"),
    ("0\r\nTrailer: a\r\n\r\n", "Invalid HTTP header name: 'TRAILER'"),
    ("0\r\nTE: a\r\n\r\n", "Invalid HTTP header name: 'TE'"),
    ("0\r\nNoColon\r\n\r\n", "Invalid HTTP Header: 'NoColon'"),
];

fn refused_chunks(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    for &(body, message) in REFUSED_CHUNKS {
        let mark = server.log.mark();
        let got = server.exchange(format!("{CHUNKED_HEAD}{body}"));
        let wanted = error_page("400 Bad Request", message);
        assert_eq!(String::from_utf8_lossy(&got), wanted, "{body:?}");
        server.log.wait_for_since(mark, &format!("Invalid request from ip=127.0.0.1: {message}"));
    }
    for body in ["3\nabc\r\n0\r\n\r\n", "3;\rb\r\nabc\r\n0\r\n\r\n", "0\r\nX: a\nY: b\r\n\r\n"] {
        let got = server.exchange(format!("{CHUNKED_HEAD}{body}"));
        let status = b"HTTP/1.1 400 Bad Request\r\n";
        assert!(got.starts_with(status), "{body:?}: {:?}", String::from_utf8_lossy(&got));
    }
}

/// Size lines and trailers are bounded as the fields of a head are.
fn limits(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .args(["--limit-request-fields", "5", "--limit-request-field_size", "50"])
        .start();
    let message = "Invalid chunk size: b'line over 50 bytes with no terminator'";
    let got = server.exchange(format!("{CHUNKED_HEAD}1;{}", "x".repeat(1000)));
    assert_eq!(String::from_utf8_lossy(&got), error_page("400 Bad Request", message));

    for (trailers, message) in [
        ("X: y\r\n".repeat(6), "limit request headers fields"),
        (format!("X: {}\r\n", "y".repeat(46)), "limit request headers fields size"),
    ] {
        let got = server.exchange(format!("{CHUNKED_HEAD}0\r\n{trailers}\r\n"));
        let message = format!("Error parsing headers: '{message}'");
        let wanted = error_page("431 Request Header Fields Too Large", &message);
        assert_eq!(String::from_utf8_lossy(&got), wanted, "{trailers:?}");
    }
    let fits = format!("{}X: {}\r\n", "X: y\r\n".repeat(4), "y".repeat(45));
    assert_body(&server, &format!("{CHUNKED_HEAD}0\r\n{fits}\r\n"), "b''");
    // Without any end there is less to say about them.
    let got = server.exchange(format!("{CHUNKED_HEAD}0\r\nX: {}", "y".repeat(1000)));
    let status = b"HTTP/1.1 431 Request Header Fields Too Large\r\n";
    assert!(got.starts_with(status), "{:?}", String::from_utf8_lossy(&got));
}

/// The end of input inside a chunk is nobody's error and nothing to log; where it takes the place of
/// a line end, it is a wrong one.
fn cut_short(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--access-logfile", "-"]).start();
    // The worker has said that it is there.
    assert_eq!(server.get("/first").status, 200);
    server.out.wait_for("GET /first");
    let (log, out) = (server.log.mark(), server.out.mark());
    for body in ["", "5", "5\r\nab", "2\r\nab\r\n"] {
        let mut client = server.connect();
        client.send(format!("{CHUNKED_HEAD}{body}"));
        client.end_sending();
        client.assert_closed();
    }
    assert_eq!(server.get("/next").status, 200);
    server.out.wait_for_since(out, "GET /next");
    assert_eq!(server.out.since(out).lines().count(), 1, "{}", server.out.since(out));
    assert_eq!(server.log.since(log), "");

    for (body, found) in
        [("0\r\n", ""), ("0\r\nX: y\r\n", ""), ("2\r\nab", ""), ("2\r\nab\r", "\\r")]
    {
        let out = server.out.mark();
        let mut client = server.connect();
        client.send(format!("{CHUNKED_HEAD}{body}"));
        client.end_sending();
        let message = format!("Invalid chunk terminator is not '\\r\\n': b'{found}'");
        let got = client.read_to_end();
        let wanted = error_page("400 Bad Request", &message);
        assert_eq!(String::from_utf8_lossy(&got), wanted, "{body:?}");
        let line = server.out.wait_for_since(out, "POST /");
        assert!(line.contains("\"POST / HTTP/1.1\" 400 0 "), "{line}");
    }
}

const CHUNKED_HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
    Connection: close\r\n\r\n";

fn accepted(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    cases!(&server;
        length,
        length_with_leading_zeros,
        no_length_is_no_body,
        bytes_beyond_the_length_are_not_read,
        chunks,
        chunk_details,
        trailers_are_not_headers,
        codings_before_chunked,
        split_into_single_bytes,
        cut_inside_a_chunk,
        cut_inside_a_length,
        cut_head,
        nothing_sent,
    );
}

#[track_caller]
fn assert_body(server: &Server, request: &str, body: &str) {
    let mut client = server.connect();
    client.send(request);
    assert_seen(&client.response(), "body", body);
}

fn length(server: &Server) {
    let head = "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    assert_body(server, &format!("{head}a\r\nb\0"), r"b'a\r\nb\x00'");
}

fn length_with_leading_zeros(server: &Server) {
    let head = "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 002\r\n\r\n";
    assert_body(server, &format!("{head}ab"), "b'ab'");
}

fn no_length_is_no_body(server: &Server) {
    assert_body(server, "POST / HTTP/1.1\r\nConnection: close\r\n\r\n", "b''");
    assert_body(server, "PUT / HTTP/1.0\r\n\r\n", "b''");
}

fn bytes_beyond_the_length_are_not_read(server: &Server) {
    let head = "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n";
    assert_body(server, &format!("{head}abGARBAGE"), "b'ab'");
}

fn chunks(server: &Server) {
    assert_body(server, &format!("{CHUNKED_HEAD}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "b'abcde'");
    assert_body(server, &format!("{CHUNKED_HEAD}0\r\n\r\n"), "b''");
}

fn chunk_details(server: &Server) {
    for body in [
        "A\r\n0123456789\r\n0\r\n\r\n",
        "a\r\n0123456789\r\n00\r\n\r\n",
        "000a\r\n0123456789\r\n0\r\n\r\n",
        "5;ext\r\n01234\r\n5;name=value\r\n56789\r\n0\r\n\r\n",
        "a;n=\"quoted; \\\" value\"\r\n0123456789\r\n0\r\n\r\n",
        "a\t;n\r\n0123456789\r\n0\r\n\r\n",
        "a ;n=v\r\n0123456789\r\n0\r\n\r\n",
        "a\r\n0123456789\r\n0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n",
        "a\r\n0123456789\r\n0;last\r\n\r\n",
    ] {
        assert_body(server, &format!("{CHUNKED_HEAD}{body}"), "b'0123456789'");
    }
}

/// The application sees nothing of them, and nobody is trusted in them.
fn trailers_are_not_headers(server: &Server) {
    let mut client = server.connect();
    client.send(format!("{CHUNKED_HEAD}0\r\nX-Mark: 1\r\nX-Forwarded-Proto: https\r\n\r\n"));
    let response = client.response();
    assert_seen(&response, "wsgi.url_scheme", "'http'");
    assert!(!response.text().contains("X_MARK"), "{}", response.text());
}

fn codings_before_chunked(server: &Server) {
    for codings in
        ["CHUNKED", "gzip, chunked", "identity,Chunked", "deflate , chunked", "compress,chunked"]
    {
        let head =
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: {codings}\r\nConnection: close\r\n");
        assert_body(server, &format!("{head}\r\n2\r\nab\r\n0\r\n\r\n"), "b'ab'");
    }
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = server.connect();
    client.send(format!("{head}2\r\nab\r\n0\r\n\r\n"));
    let response = client.response();
    assert_eq!(response.header("Connection"), Some("close"));
    assert_seen(&response, "body", "b'ab'");
}

fn split_into_single_bytes(server: &Server) {
    let mut client = server.connect();
    for byte in format!("{CHUNKED_HEAD}3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n").bytes() {
        client.send([byte]);
    }
    assert_seen(&client.response(), "body", "b'abc'");
}

fn cut_inside_a_chunk(server: &Server) {
    let mut client = server.connect();
    client.send(format!("{CHUNKED_HEAD}5\r\nab"));
    client.end_sending();
    client.assert_closed();
}

fn cut_inside_a_length(server: &Server) {
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 5\r\n\r\nab");
    client.end_sending();
    if server.kind.is_rgunicorn() {
        // An incomplete message (RFC 9112 section 8) does not reach the application.
        client.assert_closed();
    } else {
        assert_seen(&client.response(), "body", "b'ab'");
    }
}

fn cut_head(server: &Server) {
    let mark = server.log.mark();
    for head in ["G", "GET / HTTP/1.1", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost:"] {
        let mut client = server.connect();
        client.send(head);
        client.end_sending();
        client.assert_closed();
    }
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.log.since(mark), "");
}

fn nothing_sent(server: &Server) {
    let mark = server.log.mark();
    let mut client = server.connect();
    client.end_sending();
    client.assert_closed();
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.log.since(mark), "");
}
