//! What goes over the wire for what an application answers (RFC 9112 section 6, PEP 3333 "The
//! `start_response()` Callable" and "Handling the Content-Length Header").

use std::fs;

use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Response, Server, ServerKind};

on_both_servers!(framing, files, sendfile_off);

fn framing(kind: ServerKind) {
    let server = Builder::new(kind).app("responses:app").start();
    cases!(&server;
        head_and_order,
        chunks,
        chunk_sizes,
        http_1_0_has_no_chunks,
        empty_body,
        lazy_start,
        reasons,
        forms_of_headers,
        odd_lengths,
        hop_by_hop_headers_are_the_servers,
        head_request,
        no_content,
        interim_status,
        not_modified,
        never_more_than_announced,
        write_callable,
        write_callable_unsized,
        large_bodies,
        items_are_not_held_back,
        nor_is_the_head,
        upgrade,
        opaque_file,
        file_wrapper_class,
    );
}

/// An HTTP-date (RFC 9110 section 5.6.7) like `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_http_date(text: &str) -> bool {
    let pattern = "Aaa, 00 Aaa 0000 00:00:00 GMT";
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).enumerate().all(|(at, (found, wanted))| match wanted {
            _ if at > 25 => found == wanted,
            '0' => found.is_ascii_digit(),
            'A' => found.is_ascii_uppercase(),
            'a' => found.is_ascii_lowercase(),
            _ => found == wanted,
        })
}

fn head_and_order(server: &Server) {
    let response = server.get("/plain");
    assert_eq!(response.version, "HTTP/1.1");
    assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
    assert_eq!(
        response.names(),
        ["Server", "Date", "Connection", "Content-Type", "Content-Length"]
    );
    assert_eq!(response.header("Server"), Some(server.kind.name()));
    assert!(response.header("Date").is_some_and(is_http_date), "{:?}", response.header("Date"));
    assert_eq!(response.header("Connection"), Some("close"));
    assert_eq!(response.text(), "plain");
}

fn chunks(server: &Server) {
    let mut client = server.connect();
    client.send("GET /unsized HTTP/1.1\r\nConnection: close\r\n\r\n");
    let raw = String::from_utf8_lossy(&client.read_to_end()).into_owned();
    let (head, body) = raw.split_once("\r\n\r\n").expect("a head and a body");
    // Sizes in upper-case hexadecimal, empty items left out.
    assert_eq!(body, "3\r\none\r\n12\r\ntwotwotwotwotwotwo\r\n1\r\n3\r\n0\r\n\r\n");
    assert!(head.ends_with("\r\nConnection: close\r\nTransfer-Encoding: chunked"), "{head}");
}

/// In upper-case letters, and the header that says so before those of the application.
fn chunk_sizes(server: &Server) {
    let raw = server.exchange("GET /sizes HTTP/1.1\r\nConnection: close\r\n\r\n");
    let response = Response::parse(&raw);
    assert_eq!(response.names(), ["Server", "Date", "Connection", "Transfer-Encoding", "X-After"]);
    let wanted = format!("AB\r\n{}\r\nABC\r\n{}\r\n0\r\n\r\n", "x".repeat(0xab), "y".repeat(0xabc));
    assert_eq!(response.text(), wanted);
}

fn http_1_0_has_no_chunks(server: &Server) {
    let raw = server.exchange("GET /unsized HTTP/1.0\r\n\r\n");
    let response = Response::parse(&raw);
    assert_eq!(response.version, "HTTP/1.0");
    assert_eq!(response.names(), ["Server", "Date", "Connection"]);
    assert_eq!(response.text(), "onetwotwotwotwotwotwo3");
}

fn empty_body(server: &Server) {
    let raw = server.exchange("GET /empty HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(raw.ends_with(b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
}

fn lazy_start(server: &Server) {
    let response = server.get("/lazy");
    assert_eq!((response.status, response.reason.as_str()), (201, "Made Late"));
    assert_eq!(response.header("X-Lazy"), Some("yes"));
    assert_eq!(response.text(), "late");
}

fn reasons(server: &Server) {
    assert_eq!(server.get("/teapot").reason, "I'm a teapot");
    let raw = server.exchange("GET /number_only HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(raw.starts_with(b"HTTP/1.1 299\r\n"), "{:?}", String::from_utf8_lossy(&raw));
}

fn forms_of_headers(server: &Server) {
    assert_eq!(server.get("/latin_status").reason, "Tr\u{e8}s bien");
    let response = server.get("/listed");
    assert_eq!((response.header("X-A"), response.header("X-B")), (Some("1"), Some("2")));
}

/// The last length counts; the standard allows one, and none below zero.
fn odd_lengths(server: &Server) {
    let (response, body) = raw(server, "GET /two_lengths HTTP/1.1");
    let sent: &[&str] = if server.kind.is_rgunicorn() { &["2"] } else { &["9", "2"] };
    assert_eq!(response.all("Content-Length"), sent);
    assert_eq!(body, b"ok");
    let (response, body) = raw(server, "GET /negative_length HTTP/1.1");
    if server.kind.is_rgunicorn() {
        assert_eq!(response.status, 500);
    } else {
        assert_eq!((response.header("Content-Length"), &body[..]), (Some("-1"), &b""[..]));
    }
}

fn hop_by_hop_headers_are_the_servers(server: &Server) {
    let response = server.get("/headers");
    let own = ["Server", "Date", "Connection"];
    assert_eq!(response.names()[..3], own);
    assert_eq!(response.header("Server"), Some(server.kind.name()));
    assert_eq!(response.all("Connection"), ["close"]);
    let rest: Vec<(&str, &str)> =
        response.headers[3..].iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(
        rest,
        [
            ("x-FIRST", "1"),
            ("Trailer", "kept"),
            ("Proxy-Connection", "kept"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("X-Blank", "padded"),
            ("X-Latin", "caf\u{e9}"),
            ("X-Empty", ""),
            ("Content-Length", "2"),
        ]
    );
}

/// Sends a request line and returns head and whatever follows it, verbatim.
fn raw(server: &Server, line: &str) -> (Response, Vec<u8>) {
    let raw = server.exchange(format!("{line}\r\nConnection: close\r\n\r\n"));
    let response = Response::parse(&raw);
    let body = response.body.clone();
    (response, body)
}

fn head_request(server: &Server) {
    let (response, body) = raw(server, "HEAD /plain HTTP/1.1");
    assert_eq!(response.header("Content-Length"), Some("5"));
    assert_eq!(body, b"");
    let (response, body) = raw(server, "HEAD /unsized HTTP/1.1");
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(body, b"");
    server.log.wait_for(
        "WSGI app sent body bytes on a no-body response (method=HEAD status=200); \
         dropping per RFC 9110.",
    );
}

fn no_content(server: &Server) {
    let (response, body) = raw(server, "GET /no_content HTTP/1.1");
    assert_eq!(response.status, 204);
    assert_eq!(response.names(), ["Server", "Date", "Connection", "X-Kept"]);
    assert_eq!(body, b"");
}

fn interim_status(server: &Server) {
    let mark = server.log.mark();
    let (response, body) = raw(server, "GET /interim HTTP/1.1");
    assert_eq!((response.status, response.reason.as_str()), (199, "Odd"));
    assert_eq!(response.names(), ["Server", "Date", "Connection", "X-Kept"]);
    assert_eq!(body, b"");
    // One line, however many pieces were dropped.
    let line = "no-body response (method=GET status=199)";
    server.log.wait_for_since(mark, line);
    assert_eq!(server.get("/plain").status, 200);
    assert_eq!(server.log.since(mark).matches(line).count(), 1);
}

fn not_modified(server: &Server) {
    let (response, body) = raw(server, "GET /not_modified HTTP/1.1");
    assert_eq!(response.status, 304);
    assert_eq!(response.names(), ["Server", "Date", "Connection", "Content-Length", "ETag"]);
    assert_eq!(body, b"");
}

fn never_more_than_announced(server: &Server) {
    let (_, body) = raw(server, "GET /too_long HTTP/1.1");
    assert_eq!(body, b"abcd");
}

fn write_callable(server: &Server) {
    let (_, body) = raw(server, "GET /written HTTP/1.1");
    assert_eq!(body, b"onetwoend");
}

fn write_callable_unsized(server: &Server) {
    let response = server.get("/written_unsized");
    assert_eq!(response.chunks, [b"one", b"end"]);
}

fn large_bodies(server: &Server) {
    let response = server.get("/many");
    assert_eq!(response.chunks.len(), 1025);
    assert_eq!(response.body.len(), 2 * 1_048_576);
    assert!(response.body[..1_048_576].iter().all(|byte| *byte == b'x'));
    let wanted: String = (0..1024).map(|number| format!("{number:04}").repeat(256)).collect();
    assert_eq!(response.body[1_048_576..], *wanted.as_bytes());
}

/// What an application has produced reaches the client while it makes the rest (PEP 3333,
/// "Buffering and Streaming").
fn items_are_not_held_back(server: &Server) {
    for target in ["gated", "gated_write"] {
        let pipe = server.dir().join(target);
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
        let mut client = server.connect();
        let path = pipe.display();
        client.send(format!("GET /{target}?{path} HTTP/1.1\r\nConnection: close\r\n\r\n"));
        client.wait_for(b"first");
        fs::write(&pipe, "").expect("the application reads the pipe");
        assert_eq!(client.response().text(), "first second");
    }
}

/// The first item sends the head, also when it is empty.
fn nor_is_the_head(server: &Server) {
    for target in ["gated_head", "gated_head_write"] {
        let pipe = server.dir().join(target);
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
        let mut client = server.connect();
        let path = pipe.display();
        client.send(format!("GET /{target}?{path} HTTP/1.1\r\nConnection: close\r\n\r\n"));
        client.wait_for(b"X-Early: 1\r\n\r\n");
        fs::write(&pipe, "").expect("the application reads the pipe");
        assert_eq!(client.response().text(), "late");
    }
}

fn upgrade(server: &Server) {
    let (response, body) = raw(server, "GET /upgrade HTTP/1.1");
    assert_eq!((response.status, response.reason.as_str()), (101, "Switching Protocols"));
    assert_eq!(response.header("Connection"), Some("upgrade"));
    assert_eq!(response.header("Upgrade"), Some("websocket"));
    assert_eq!(body, b"");
}

fn opaque_file(server: &Server) {
    let response = server.get("/opaque");
    assert_eq!(response.chunks, [&b"yyyy"[..], b"yyyy", b"yy"]);
    server.log.wait_for("opaque closed {4}");
}

fn file_wrapper_class(server: &Server) {
    assert_eq!(server.get("/wrapper").text(), "[True, True, b'z', [8192, 1808], True, False]");
}

fn files(kind: ServerKind) {
    check_files(kind, &[]);
}

fn sendfile_off(kind: ServerKind) {
    check_files(kind, &["--no-sendfile"]);
}

fn check_files(kind: ServerKind, args: &[&str]) {
    let builder = Builder::new(kind).app("responses:app").args(args);
    let path = builder.dir().join("data");
    let data: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&path, &data).expect("the temporary directory is writable");
    let server = builder.env("FILE", &path).start();

    let response = server.get("/file?0,");
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.body, data);
    // In one chunk, or in blocks of 8192 bytes.
    assert_eq!(response.chunks.len(), if args.is_empty() { 1 } else { 147 });
    let response = server.get("/file?1000,");
    assert_eq!(response.body, data[1000..]);
    let response = server.get("/file?5,1000000");
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(response.body, data[5..1_000_005]);
    let raw = server.exchange("GET /file?0, HTTP/1.0\r\n\r\n");
    assert_eq!(Response::parse(&raw).body, data);
    let raw = server.exchange("HEAD /file?0,1200000 HTTP/1.1\r\nConnection: close\r\n\r\n");
    let response = Response::parse(&raw);
    assert_eq!(response.header("Content-Length"), Some("1200000"));
    assert_eq!(response.body, b"");

    // Less than was announced.
    let raw = server.exchange("GET /file?0,1300000 HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(Response::parse(&raw).body, data);
    if args.is_empty() {
        check_positions(&server, &data);
    }
}

/// A file is sent from where it stands, and goes on standing there.
fn check_positions(server: &Server, data: &[u8]) {
    assert_eq!(server.get("/descriptor").body, data[10..30]);
    server.log.wait_for("descriptor closed at 10");
    assert!(!server.log.text().contains("descriptor read"), "{}", server.log.text());

    let body = server.get("/half_read").body;
    assert!(data.ends_with(&body));
    // gunicorn takes the descriptor's word, which is ahead of what the application has read.
    assert_eq!(body.len() == data.len() - 10, server.kind.is_rgunicorn());

    // gunicorn ends a chunked body of no bytes twice.
    let raw = server.exchange("GET /file?1200000, HTTP/1.1\r\nConnection: close\r\n\r\n");
    let ends = if server.kind.is_rgunicorn() { 1 } else { 2 };
    assert_eq!(Response::parse(&raw).text(), "0\r\n\r\n".repeat(ends));
}
