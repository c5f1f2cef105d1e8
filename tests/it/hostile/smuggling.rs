//! Requests that two servers in a row might read differently (RFC 9112 section 11.2): each is
//! refused, or read as the standard says, and where its end is in doubt the connection ends with it.
//!
//! Behind each request comes another one that would be served if this server took the attacker's
//! view of the first.

use crate::harness::cases::on_rgunicorn;
use crate::harness::{Builder, Server, ServerKind};

on_rgunicorn!(framing, lines, chunks, targets, split_anywhere);

/// What has to come of a request and of the one behind it.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// An error page with this status, and the end of the connection.
    Refused(u16),
    /// The application reads this body, and the connection ends.
    Last(&'static str),
    /// The application reads this body, and the next request is one.
    Read(&'static str),
}

use Outcome::{Last, Read, Refused};

/// The request that must be served only where the standard says that it is one.
const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

type Row = (&'static str, &'static str, Outcome);

/// Header lines, body, outcome.
const FRAMING: &[Row] = &[
    // CL.TE and TE.CL: both at once are refused, in either order, whichever would be right.
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n", Refused(400)),
    ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n", Refused(400)),
    ("Content-Length: 5\r\ntransfer-encoding: CHUNKED\r\n", "0\r\n\r\n", Refused(400)),
    ("Content-Length: 3\r\nTransfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Content-Length: 3\r\nTransfer-Encoding: identity\r\n", "abc", Refused(400)),
    ("Content-Length: 3\r\nTransfer-Encoding: xchunked\r\n", "abc", Refused(501)),
    // TE.TE: a coding that one of two servers might not recognise.
    ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: 'chunked'\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: chunked chunked\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: identity\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: gzip\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding:\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: \x0cchunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: chunked\0\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding: \u{a0}chunked\r\n", "0\r\n\r\n", Refused(501)),
    ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n", Refused(400)),
    (" Transfer-Encoding: chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer\0-Encoding: chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encod\u{131}ng: chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding\r\n : chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n", Refused(400)),
    ("Content-Length: 3\r\nTransfer-Encoding:\r\n\tchunked\r\n", "abc", Refused(400)),
    // A name with an underscore is another field, which is dropped.
    ("Content-Length: 3\r\nTransfer_Encoding: chunked\r\n", "abc", Read("abc")),
    ("Content-Length: 3\r\nContent_Length: 0\r\n", "abc", Read("abc")),
    // What is allowed: case, blanks, codings that come before.
    ("TRANSFER-ENCODING: \tChunked \r\n", "3\r\nabc\r\n0\r\n\r\n", Read("abc")),
    ("Transfer-Encoding: identity, chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", Read("abc")),
    ("Transfer-Encoding: gzip, chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", Last("abc")),
    // Lengths.
    ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc", Refused(400)),
    ("Content-Length: 3\r\nContent-Length: 0\r\n", "abc", Refused(400)),
    ("Content-Length: 3\r\ncontent-length: 3\r\n", "abc", Refused(400)),
    ("Content-Length: 3, 3\r\n", "abc", Refused(400)),
    ("Content-Length: 3,\r\n", "abc", Refused(400)),
    ("Content-Length: +3\r\n", "abc", Refused(400)),
    ("Content-Length: -0\r\n", "", Refused(400)),
    ("Content-Length: 0x3\r\n", "abc", Refused(400)),
    ("Content-Length: 3.0\r\n", "abc", Refused(400)),
    ("Content-Length: 3e0\r\n", "abc", Refused(400)),
    ("Content-Length: 1 2\r\n", "abc", Refused(400)),
    ("Content-Length: 1_2\r\n", "abc", Refused(400)),
    ("Content-Length: \u{0663}\r\n", "abc", Refused(400)),
    ("Content-Length: \"3\"\r\n", "abc", Refused(400)),
    ("Content-Length:\r\n", "", Refused(400)),
    ("Content-Length: 3\0\r\n", "abc", Refused(400)),
    ("Content-Length: 18446744073709551619\r\n", "abc", Refused(400)),
    ("Content-Length : 3\r\n", "abc", Refused(400)),
    ("Content-Length: 003\r\n", "abc", Read("abc")),
    ("Content-Length: 0\r\n", "", Read("")),
    ("", "", Read("")),
];

/// Complete requests, no body, outcome.
const LINES: &[Row] = &[
    ("GET / HTTP/1.1\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\nGET /smuggled HTTP/1.1\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\rHost: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rGET /smuggled HTTP/1.1\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\0Y: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n", "", Refused(400)),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "", Refused(400)),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET /\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/01.1\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", "", Refused(400)),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", Refused(400)),
    // HTTP/1.0 knows no transfer codings.
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", Refused(400)),
    (
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "",
        Refused(400),
    ),
    // One empty line may come first.
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "", Read("")),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\u{ff}\r\n\r\n", "", Read("")),
    ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "", Last("")),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "", Last("")),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "", Last("")),
    // A request that usually has no body has one if it says so.
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "abc", Read("abc")),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        Read("abc"),
    ),
    ("HEAD / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "", Refused(400)),
    // A request for a place where no application is (SCRIPT_NAME), but first of all a broken one.
    (
        "POST /x HTTP/1.1\r\nHost: a\r\nSCRIPT_NAME: /a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "3\r\nabc\rX",
        Refused(400),
    ),
];

/// Chunked body, nothing, outcome.
const CHUNKS: &[Row] = &[
    ("3\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3\rabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3\r\nabc\n0\r\n\r\n", "", Refused(400)),
    ("3\r\nabc0\r\n\r\n", "", Refused(400)),
    ("3\r\nabcd\r\n0\r\n\r\n", "", Refused(400)),
    ("+3\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("-3\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("0x3\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    (" 3\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3 \r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3\0\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3_0\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("\r\n3\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("10000000000000003\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("\u{0663}\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    // Extensions, where some servers end the line at a bare LF and others do not.
    ("3;\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3;a\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3;a\rb\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3;a=\"\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3;\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3;=b\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3;a=\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3 a\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3,a\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("3;a\0\r\nabc\r\n0\r\n\r\n", "", Refused(400)),
    ("0;\nGET /smuggled HTTP/1.1\r\n\r\n", "", Refused(400)),
    // The end, and trailers that say something about the message.
    ("0\r\n\n", "", Refused(400)),
    ("0\n\r\n", "", Refused(400)),
    ("0\r\nX: y\n\r\n", "", Refused(400)),
    ("0\r\nX: y\r\n z\r\n\r\n", "", Refused(400)),
    ("0\r\nX : y\r\n\r\n", "", Refused(400)),
    ("0\r\nX: \0\r\n\r\n", "", Refused(400)),
    ("0\r\nno colon\r\n\r\n", "", Refused(400)),
    ("0\r\nContent-Length: 9\r\n\r\n", "", Refused(400)),
    ("0\r\nTransfer-Encoding: chunked\r\n\r\n", "", Refused(400)),
    ("0\r\nHost: b\r\n\r\n", "", Refused(400)),
    ("0\r\nAuthorization: b\r\n\r\n", "", Refused(400)),
    ("0\r\nGET /smuggled HTTP/1.1\r\n\r\n", "", Refused(400)),
    // What is allowed.
    ("3\r\nabc\r\n0\r\n\r\n", "", Read("abc")),
    ("0003\r\nabc\r\n000\r\n\r\n", "", Read("abc")),
    ("3;a;b=c;d=\"e\\\"\"\r\nabc\r\n0;f\r\n\r\n", "", Read("abc")),
    ("3 ;a\r\nabc\r\n0\r\n\r\n", "", Read("abc")),
    ("3\r\nabc\r\n0\r\nX: y\r\nForwarded: for=b\r\n\r\n", "", Read("abc")),
    ("3\r\n0\r\n\r\n0\r\n\r\n", "", Read("0\\r\\n")),
];

/// Application and access log that show every request that was served.
fn start(kind: ServerKind) -> Server {
    Builder::new(kind).app("echo:app").args(["--access-logfile", "-"]).start()
}

#[track_caller]
fn assert_outcome(server: &Server, request: &str, outcome: Outcome) {
    let mut client = server.connect();
    let (log, out) = (server.log.mark(), server.out.mark());
    // Refused requests are answered and read no further: the rest may not be taken.
    let _ = client.try_send([request, NEXT].concat());
    let got = client.read_to_end();
    let text = String::from_utf8_lossy(&got).into_owned();
    let answers =
        text.matches("HTTP/1.").count() - text.matches("SERVER_PROTOCOL='HTTP/1.").count();
    let smuggled = text.contains("RAW_URI='/smuggled'");
    let (head, _) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request:?}: {text}"));
    let what = format!("{request:?} should be {outcome:?}, but was answered\n{text}");
    match outcome {
        Refused(status) => {
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}");
            assert!(!smuggled, "{what}");
            server.log.wait_for_since(log, "Invalid request from ip=127.0.0.1: ");
        }
        Last(body) => {
            assert!(text.contains(&format!("\nbody=b'{body}'")) && answers == 1, "{what}");
            assert!(head.contains("Connection: close") && !smuggled, "{what}");
        }
        Read(body) => {
            assert!(text.contains(&format!("\nbody=b'{body}'")), "{what}");
            assert!(answers == 2 && smuggled, "{what}");
            // Not to be taken for one of the next row.
            server.out.wait_for_since(out, "\"GET /smuggled");
        }
    }
    if !matches!(outcome, Read(_)) {
        // Nor was it served with nobody there to see it.
        assert_eq!(server.get("/probe").status, 200);
        server.out.wait_for_since(out, "/probe");
        assert!(!server.out.since(out).contains("\"GET /smuggled"), "{what}");
    }
}

fn framing(kind: ServerKind) {
    let server = start(kind);
    for &(headers, body, outcome) in FRAMING {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
        assert_outcome(&server, &request, outcome);
    }
}

fn lines(kind: ServerKind) {
    let server = start(kind);
    for &(head, body, outcome) in LINES {
        // Non-ASCII characters stand for the bytes of their UTF-8 form.
        assert_outcome(&server, &[head, body].concat(), outcome);
    }
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunks(kind: ServerKind) {
    for buffering in [true, false] {
        let builder = Builder::new(kind).app("echo:app").args(["--access-logfile", "-"]);
        let builder = if buffering { builder } else { builder.args(["--no-request-buffering"]) };
        let server = builder.start();
        for &(body, _, outcome) in CHUNKS {
            assert_outcome(&server, &[CHUNKED, body].concat(), outcome);
        }
    }
}

/// A target in absolute form names the host too (RFC 9112 section 3.2.2). The application is given
/// both, unchanged: which of them counts is for it to say, and none of them becomes the other's path.
fn targets(kind: ServerKind) {
    let server = start(kind);
    for (target, path) in [
        ("http://b/x?y", "/x"),
        ("HTTP://b:80/x", "/x"),
        ("http://b@c/x", "/x"),
        ("http://b/%2e%2e/x", "/../x"),
        ("//b/x", "//b/x"),
        ("/x#http://b/", "/x"),
    ] {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        let response = client.response();
        let text = response.text();
        assert_eq!(response.status, 200, "{target}: {text}");
        for line in [
            format!("RAW_URI='{target}'"),
            format!("PATH_INFO='{path}'"),
            "HTTP_HOST='a'".to_owned(),
            "SERVER_NAME='127.0.0.1'".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{target}: no {line} in\n{text}");
        }
    }
    for target in
        ["*", "x", "b/x", "/\u{e9}", "/a b", "/a\tb", "/\0", "/\x7f", "http://[", "b:80", ""]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_outcome(&server, &request, Refused(400));
    }
    assert_outcome(&server, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Read(""));
}

/// Where the network cuts a request makes no difference.
fn split_anywhere(kind: ServerKind) {
    let server = start(kind);
    let (good, bad) = ("3\r\nabc\r\n0\r\n\r\n", "3;a\nabc\r\n0\r\n\r\n");
    for (body, served) in [(good, true), (bad, false)] {
        let request = [CHUNKED, body, NEXT].concat();
        for at in (1..request.len()).step_by(3) {
            let mut client = server.connect();
            let (first, second) = request.split_at(at);
            client.send(first);
            // The first part may be enough to be refused.
            let _ = client.try_send(second);
            let got = client.try_read_to_end().unwrap_or_default();
            let text = String::from_utf8_lossy(&got);
            assert_eq!(text.contains("RAW_URI='/smuggled'"), served, "cut at {at}: {text}");
            assert_eq!(text.starts_with("HTTP/1.1 200 "), served, "cut at {at}: {text}");
        }
    }
}
