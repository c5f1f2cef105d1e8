//! `wsgi.input` (PEP 3333, "Input and Error Streams"): every way to read it, with a length and
//! chunked.

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, Server, ServerKind};

on_both_servers!(reading, large_bodies);

const BODY: &str = "one\ntwo two\n\nlast";

/// Query string, what the application prints for [`BODY`].
const READS: &[(&str, &str)] = &[
    ("read:3", "[b'one', b'\\ntw', b'o t', b'wo\\n', b'\\nla', b'st']"),
    ("read:1000", "[b'one\\ntwo two\\n\\nlast']"),
    ("all", "[b'one\\ntwo two\\n\\nlast', b'']"),
    ("none", "[b'one\\ntwo two\\n\\nlast']"),
    ("minus", "[b'one\\ntwo two\\n\\nlast']"),
    ("zero", "[b'', b'one\\ntwo two\\n\\nlast']"),
    ("line", "[b'one\\n', b'two two\\n', b'\\n', b'last']"),
    ("sized:4", "[b'one\\n', b'two ', b'two\\n', b'\\n', b'last']"),
    ("lines", "[b'one\\n', b'two two\\n', b'\\n', b'last']"),
    ("hint", "[b'one\\n', b'two two\\n', b'\\n', b'last']"),
    ("keywords", "[b'on', b'e', b'\\n', b'two two\\n', b'\\n', b'last']"),
    ("iterate", "[b'one\\n', b'two two\\n', b'\\n', b'last']"),
    ("mixed", "[b'on', b'e\\n', b'two two\\n', b'\\nlast']"),
];

fn reading(kind: ServerKind) {
    check(&Builder::new(kind).app("input:app").start());
}

/// Fails unless every way to read gives what it should; the server runs `input:app`.
pub fn check(server: &Server) {
    for &(query, wanted) in READS {
        for request in [sized(query, BODY), chunked(query, BODY)] {
            assert_eq!(answer(server, &request), wanted, "{request:?}");
        }
    }
    for query in ["all", "line", "iterate", "read:5", "lines"] {
        let nothing = if query == "all" { "[b'', b'']" } else { "[]" };
        for request in [sized(query, ""), chunked(query, "")] {
            assert_eq!(answer(server, &request), nothing, "{request:?}");
        }
    }
}

fn sized(query: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /?{query} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The body in chunks of five bytes, so that lines cross their borders.
fn chunked(query: &str, body: &str) -> String {
    let mut request = format!(
        "POST /?{query} HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for piece in body.as_bytes().chunks(5) {
        let text = std::str::from_utf8(piece).expect("the body is ASCII");
        let chunk = format!("{:x}\r\n{text}\r\n", piece.len());
        request.push_str(&chunk);
    }
    request + "0\r\n\r\n"
}

#[track_caller]
fn answer(server: &Server, request: &str) -> String {
    let mut client = server.connect();
    client.send(request);
    client.response().text()
}

/// More than fits into any one buffer, in both framings.
fn large_bodies(kind: ServerKind) {
    let server = Builder::new(kind).app("input:app").start();
    let body = "b".repeat(3_000_000);
    let wanted = "[".to_owned() + &"65536, ".repeat(45) + "50880]";
    assert_eq!(answer(&server, &sized("lengths", &body)), wanted);

    let mut request = String::from(
        "POST /?lengths HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..30 {
        request.push_str("186a0\r\n");
        request.push_str(&body[..100_000]);
        request.push_str("\r\n");
    }
    assert_eq!(answer(&server, &(request + "0\r\n\r\n")), wanted);
}
