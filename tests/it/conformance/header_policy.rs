//! What may be permitted against the grammar of a request head (RFC 9112 sections 3 and 5), and which
//! header fields are believed of whom.

use super::{assert_seen, error_page, seen};
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Client, Response, Server, ServerKind};

on_both_servers!(
    folding,
    folding_limit,
    blanks_before_the_colon,
    methods,
    methods_in_any_case,
    versions,
    forwarders,
    any_forwarder,
    own_scheme_headers,
    networks,
    anybody,
    nobody_but_unix_sockets,
    mounted,
);

/// Sends header lines that are to be accepted and returns what the application saw.
#[track_caller]
fn send(server: &Server, lines: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("GET /p HTTP/1.1\r\nConnection: close\r\n{lines}\r\n"));
    client.response()
}

/// Sends a request that is to be refused with status 400 and this message.
#[track_caller]
fn assert_refused(server: &Server, request: &str, message: &str) {
    let got = server.exchange(request);
    let wanted = error_page("400 Bad Request", message);
    assert_eq!(String::from_utf8_lossy(&got), wanted, "{request:?}");
}

/// The same for header lines.
#[track_caller]
fn assert_lines_refused(server: &Server, lines: &str, message: &str) {
    assert_refused(server, &format!("GET / HTTP/1.1\r\n{lines}\r\n"), message);
}

fn folding(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--permit-obsolete-folding"]).start();
    cases!(&server; lines_are_joined, folds_obey_the_rules, trailers_may_be_folded);
}

fn lines_are_joined(server: &Server) {
    let lines = "X-A: a \t\r\n \t b\t\r\n\tc\r\nX-B:\r\n d\r\nX-C: e\r\n \r\nX-D: f\r\n";
    let response = send(server, lines);
    for (name, value) in
        [("HTTP_X_A", "'a b c'"), ("HTTP_X_B", "' d'"), ("HTTP_X_C", "'e '"), ("HTTP_X_D", "'f'")]
    {
        assert_seen(&response, name, value);
    }
}

fn folds_obey_the_rules(server: &Server) {
    for (lines, message) in [
        (" X: a\r\n", "Invalid HTTP header name: ' X'"),
        ("X: a\r\n b\0\r\n", "Invalid HTTP Header: 'X'"),
        ("X: a\r\n b\rc\r\n", "Invalid HTTP Header: 'X'"),
        ("X: a\r\n b\nc\r\n", "Invalid HTTP Header: 'X'"),
        ("Host: a\r\nHost:\r\n b\r\n", "Invalid HTTP Header: 'HOST'"),
        ("Content-Length:\r\n 5\r\n", "Invalid HTTP Header: 'CONTENT-LENGTH'"),
        ("Content-Length: 5\r\n 6\r\n", "Invalid HTTP Header: 'CONTENT-LENGTH'"),
        (
            "Transfer-Encoding: chunked\r\n , identity\r\n",
            "Invalid HTTP Header: 'TRANSFER-ENCODING'",
        ),
    ] {
        assert_lines_refused(server, lines, message);
    }
}

fn trailers_may_be_folded(server: &Server) {
    let mut client = server.connect();
    client.send(
        "POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding:\r\n chunked\r\n\r\n\
         2\r\nab\r\n0\r\nX: a\r\n b\r\n\r\n",
    );
    assert_seen(&client.response(), "body", "b'ab'");
}

/// The limit is for all lines of a field together.
fn folding_limit(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .args(["--permit-obsolete-folding", "--limit-request-field_size", "50"])
        .start();
    let lines = |rest: usize| format!("X: {}\r\n {}\r\n", "a".repeat(25), "b".repeat(rest));
    let fits = 50 - lines(0).len();
    let value = format!("'{} {}'", "a".repeat(25), "b".repeat(fits));
    assert_seen(&send(&server, &lines(fits)), "HTTP_X", &value);
    let got = server.exchange(format!("GET / HTTP/1.1\r\n{}\r\n", lines(fits + 1)));
    let message = "Error parsing headers: 'limit request headers fields size'";
    let wanted = error_page("431 Request Header Fields Too Large", message);
    assert_eq!(String::from_utf8_lossy(&got), wanted);
}

fn blanks_before_the_colon(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--strip-header-spaces"]).start();
    let response = send(&server, "Host : a\r\nX-A \t: b\r\n");
    assert_seen(&response, "HTTP_HOST", "'a'");
    assert_seen(&response, "HTTP_X_A", "'b'");
    for (lines, message) in [
        (" X: a\r\n", "Invalid HTTP header name: ' X'"),
        ("X Y : a\r\n", "Invalid HTTP header name: 'X Y'"),
        (" \t: a\r\n", "Invalid HTTP header name: ''"),
        ("Content-Length : 1\r\nContent-Length: 1\r\n", "Invalid HTTP Header: 'CONTENT-LENGTH'"),
        ("X: a\r\n b\r\n", "Obsolete line folding is unacceptable: 'X'"),
    ] {
        assert_lines_refused(&server, lines, message);
    }
}

/// A request with this method; the application's answer.
#[track_caller]
fn ask(server: &Server, method: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("{method} / HTTP/1.1\r\nConnection: close\r\n\r\n"));
    client.response_to(&method.to_uppercase())
}

fn methods(kind: ServerKind) {
    let server =
        Builder::new(kind).app("echo:app").args(["--permit-unconventional-http-method"]).start();
    for method in ["get", "G", "A#B", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"] {
        assert_seen(&ask(&server, method), "REQUEST_METHOD", &format!("'{method}'"));
    }
    let request = "G(T / HTTP/1.1\r\n\r\n";
    assert_refused(&server, request, "Invalid Method 'Invalid HTTP method: 'G(T''");
    let request = "options * HTTP/1.1\r\n\r\n";
    let message = "Invalid Request Line 'Invalid HTTP request line: 'options * HTTP/1.1''";
    assert_refused(&server, request, message);
}

fn methods_in_any_case(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .args(["--casefold-http-method", "--permit-unconventional-http-method"])
        .args(["--access-logfile", "-"])
        .start();
    assert_seen(&ask(&server, "pOsT"), "REQUEST_METHOD", "'POST'");
    server.out.wait_for("\"POST / HTTP/1.1\" 200 ");
    let mut client = server.connect();
    client.send("options * HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_seen(&client.response(), "REQUEST_METHOD", "'OPTIONS'");
    // No body follows the answer to HEAD, however it is written.
    let got = server.exchange("head / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n") && got.ends_with(b"\r\n\r\n"));
    drop(server);

    // Lower-case letters are a question of the other option.
    let server = Builder::new(kind).app("echo:app").args(["--casefold-http-method"]).start();
    let request = "get / HTTP/1.1\r\n\r\n";
    assert_refused(&server, request, "Invalid Method 'Invalid HTTP method: 'get''");
}

/// The standard has a server answer in a version that it speaks; gunicorn echoes any.
fn versions(kind: ServerKind) {
    let server =
        Builder::new(kind).app("echo:app").args(["--permit-unconventional-http-version"]).start();
    for (version, answered, chunked) in
        [("2.0", "1.1", true), ("9.9", "1.1", true), ("0.9", "1.0", false), ("1.7", "1.7", true)]
    {
        let mut client = server.connect();
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n"));
        let response = client.response();
        assert_seen(&response, "SERVER_PROTOCOL", &format!("'HTTP/{version}'"));
        let answered = if kind.is_rgunicorn() { answered } else { version };
        assert_eq!(response.version, format!("HTTP/{answered}"));
        assert_eq!(response.header("Transfer-Encoding").is_some(), chunked, "{version}");
    }
    for version in ["HTTP/2", "HTTP/2.10", "http/2.0"] {
        let message = format!("Invalid HTTP Version 'Invalid HTTP Version: '{version}''");
        assert_refused(&server, &format!("GET / {version}\r\n\r\n"), &message);
    }
}

fn forwarders(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .args(["--header-map", "refuse", "--forwarder-headers", "REMOTE_USER,X_A"])
        .start();
    let response = send(&server, "Remote_User: me\r\nx_a: b\r\n");
    assert_seen(&response, "HTTP_REMOTE_USER", "'me'");
    assert_seen(&response, "HTTP_X_A", "'b'");
    assert_eq!(seen(&response, "REMOTE_USER"), None);
    for name in ["X_B", "SCRIPT_NAME", "PATH_INFO"] {
        let message = format!("Invalid HTTP header name: '{name}'");
        assert_lines_refused(&server, &format!("{name}: /\r\n"), &message);
    }
    // Nobody is believed in a trailer.
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX_A: b\r\n\r\n";
    assert_refused(&server, chunked, "Invalid HTTP header name: 'X_A'");
}

fn any_forwarder(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .args(["--header-map", "refuse", "--forwarder-headers", "*"])
        .start();
    let response = send(&server, "X_A: 1\r\nX-A: 2\r\nPATH_INFO: /elsewhere\r\n");
    assert_seen(&response, "HTTP_X_A", "'1,2'");
    assert_seen(&response, "HTTP_PATH_INFO", "'/elsewhere'");
    assert_seen(&response, "PATH_INFO", "'/p'");
}

fn own_scheme_headers(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .file("gunicorn.conf.py", "secure_scheme_headers = {'X-SCHEME': 'tls', 'x-lower': 'on'}\n")
        .start();
    for (lines, scheme) in [
        ("X-Scheme: tls\r\n", "'https'"),
        ("X-Scheme: TLS\r\n", "'http'"),
        ("X-Scheme: tls\r\nX-Scheme: tls\r\n", "'https'"),
        ("X-Lower: on\r\n", "'http'"),
        ("X-Forwarded-Proto: https\r\n", "'http'"),
    ] {
        let response = send(&server, lines);
        assert_eq!(seen(&response, "wsgi.url_scheme").as_deref(), Some(scheme), "{lines:?}");
    }
    let lines = "X-Scheme: tls\r\nX-Scheme: http\r\n";
    assert_lines_refused(&server, lines, "Contradictory scheme headers");
}

/// The scheme that the application sees if the client says that it is https.
#[track_caller]
fn scheme(client: &mut Client) -> Option<String> {
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n\r\n",
    );
    let response = client.response();
    let address = seen(&response, "REMOTE_ADDR");
    assert!(["'127.0.0.1'", "''"].contains(&address.as_deref().unwrap_or_default()), "{address:?}");
    seen(&response, "wsgi.url_scheme")
}

fn networks(kind: ServerKind) {
    for (list, wanted) in [
        ("10.0.0.0/8,127.0.0.0/8", "'https'"),
        (" 127.0.0.1 , ::1", "'https'"),
        ("127.0.0.1/32", "'https'"),
        ("127.0.0.128/25", "'http'"),
        ("::/0", "'http'"),
    ] {
        let server =
            Builder::new(kind).app("echo:app").args(["--forwarded-allow-ips", list]).start();
        assert_eq!(scheme(&mut server.connect()).as_deref(), Some(wanted), "{list}");
    }
}

fn anybody(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--forwarded-allow-ips", "*"]).start();
    assert_eq!(scheme(&mut server.connect()).as_deref(), Some("'https'"));
}

fn nobody_but_unix_sockets(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--forwarded-allow-ips", ""]).start();
    assert_eq!(scheme(&mut server.connect()).as_deref(), Some("'http'"));
    let response = send(&server, "SCRIPT_NAME: /p\r\n");
    assert_seen(&response, "SCRIPT_NAME", "''");
    assert_eq!(seen(&response, "HTTP_SCRIPT_NAME"), None);
    drop(server);

    let builder = Builder::new(kind).app("echo:app").args(["--forwarded-allow-ips", ""]);
    let path = builder.dir().join("web.sock");
    let _server = builder.binding(&format!("unix:{}", path.display())).start();
    assert_eq!(scheme(&mut Client::connect_unix(&path)).as_deref(), Some("'https'"));
}

/// The header goes before the variable, also to clear it.
fn mounted(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").env("SCRIPT_NAME", "/p").start();
    for (lines, script_name, path) in [
        ("", "'/p'", "''"),
        ("SCRIPT_NAME:\r\n", "''", "'/p'"),
        ("Script-Name: /x\r\n", "'/p'", "''"),
        ("SCRIPT_NAME: /x\r\nSCRIPT_NAME: \r\n", "''", "'/p'"),
    ] {
        let response = send(&server, lines);
        assert_eq!(seen(&response, "SCRIPT_NAME").as_deref(), Some(script_name), "{lines:?}");
        assert_eq!(seen(&response, "PATH_INFO").as_deref(), Some(path), "{lines:?}");
    }
}
