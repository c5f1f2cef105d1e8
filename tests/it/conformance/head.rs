//! Header fields: refused ones (RFC 9112 section 5), the limits, and what the application sees.

use super::{assert_seen, error_page, seen};
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Response, Server, ServerKind};

on_both_servers!(refused, accepted, limits, default_limits, expectations, trust, untrusted);

/// Header lines (with their line ends), message in the page of status 400.
const REFUSED: &[(&str, &str)] = &[
    ("NoColon\r\n", "Invalid HTTP Header: 'NoColon'"),
    (": empty\r\n", "Invalid HTTP Header: ': empty'"),
    ("Host : a\r\n", "Invalid HTTP header name: 'Host '"),
    ("X\tY: a\r\n", "Invalid HTTP header name: 'X\\tY'"),
    ("X(Y): a\r\n", "Invalid HTTP header name: 'X(Y)'"),
    (" X: folded first\r\n", "Invalid HTTP header name: ' X'"),
    ("X: a\r\n folded\r\n", "Obsolete line folding is unacceptable: 'X'"),
    ("X: a\r\n\tfolded\r\n", "Obsolete line folding is unacceptable: 'X'"),
    ("X: a\0b\r\n", "Invalid HTTP Header: 'X'"),
    ("X: a\rb\r\n", "Invalid HTTP Header: 'X'"),
    ("X-Low: a\x1fb\r\n", "Invalid HTTP Header: 'X-LOW'"),
    ("X: a\x7fb\r\n", "Invalid HTTP Header: 'X'"),
    ("Host: a\r\nHost: a\r\n", "Invalid HTTP Header: 'HOST'"),
    ("Content-Type: a\r\ncontent-type: b\r\n", "Invalid HTTP Header: 'CONTENT-TYPE'"),
];

fn refused(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    for &(lines, message) in REFUSED {
        let got = server.exchange(format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        let wanted = error_page("400 Bad Request", message);
        assert_eq!(String::from_utf8_lossy(&got), wanted, "{lines:?}");
    }
    // A bare LF may be noticed at the line or at the field it is in.
    let got = server.exchange("GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n");
    assert!(
        got.starts_with(b"HTTP/1.1 400 Bad Request\r\n"),
        "{:?}",
        String::from_utf8_lossy(&got)
    );
}

fn accepted(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    cases!(&server;
        blanks_around_values_are_cut,
        bytes_of_values,
        repeated_fields_are_joined,
        high_bytes_are_latin_1,
        names_are_case_insensitive,
        content_headers_have_no_prefix,
        underscores_are_dropped,
        no_host_is_fine,
        large_head,
    );
}

/// Sends header lines that are to be accepted and returns what the application saw.
#[track_caller]
fn send(server: &Server, lines: impl AsRef<[u8]>) -> Response {
    let mut client = server.connect();
    let mut request = b"GET / HTTP/1.1\r\nConnection: close\r\n".to_vec();
    request.extend_from_slice(lines.as_ref());
    request.extend_from_slice(b"\r\n");
    client.send(request);
    client.response()
}

fn blanks_around_values_are_cut(server: &Server) {
    let response = send(server, "X-A:  \t a b\t \r\nX-B:\r\nX-C:c\r\nX-D: a\tb\r\n");
    assert_seen(&response, "HTTP_X_A", "'a b'");
    assert_seen(&response, "HTTP_X_B", "''");
    assert_seen(&response, "HTTP_X_C", "'c'");
    assert_seen(&response, "HTTP_X_D", r"'a\tb'");
}

/// Of the control bytes a value may have but the tab, of the others all.
fn bytes_of_values(server: &Server) {
    // A line end would end the value.
    for byte in (0..=255).filter(|byte| !b"\r\n".contains(byte)) {
        let mut request = b"GET / HTTP/1.1\r\nConnection: close\r\nX: a".to_vec();
        request.extend_from_slice(&[byte, b'b', b'\r', b'\n', b'\r', b'\n']);
        let got = server.exchange(request);
        let refused = byte == 0x7f || (byte < b' ' && byte != b'\t');
        if refused {
            let wanted = error_page("400 Bad Request", "Invalid HTTP Header: 'X'");
            assert_eq!(String::from_utf8_lossy(&got), wanted, "{byte:#x}");
        } else {
            assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n"), "{byte:#x}");
        }
    }
}

fn repeated_fields_are_joined(server: &Server) {
    let response = send(server, "X-A: 1\r\nCookie: a=1\r\nx-a: 2\r\nCookie: b=2\r\n");
    assert_seen(&response, "HTTP_X_A", "'1,2'");
    assert_seen(&response, "HTTP_COOKIE", "'a=1,b=2'");
    // The same value twice, of the lengths at which Python reuses its strings.
    let response = send(server, "X-A: 1\r\nX-A: 1\r\nX-B:\r\nX-B:\r\nX-C: ab\r\nX-C: ab\r\n");
    assert_seen(&response, "HTTP_X_A", "'1,1'");
    assert_seen(&response, "HTTP_X_B", "','");
    assert_seen(&response, "HTTP_X_C", "'ab,ab'");
}

fn high_bytes_are_latin_1(server: &Server) {
    let mut lines = b"X-A: caf".to_vec();
    lines.extend_from_slice(&[0xe9, b'\r', b'\n']);
    let response = send(server, lines);
    let line =
        response.body.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"HTTP_X_A"));
    assert_eq!(line, Some(&b"HTTP_X_A='caf\xe9'"[..]));
}

fn names_are_case_insensitive(server: &Server) {
    let response = send(server, "user-AGENT: me\r\nX!#$%&'*+.^`|~9: odd\r\n");
    assert_seen(&response, "HTTP_USER_AGENT", "'me'");
    assert_seen(&response, "HTTP_X!#$%&'*+.^`|~9", "'odd'");
}

fn content_headers_have_no_prefix(server: &Server) {
    let response = send(server, "Content-Type: text/x\r\nContent-Length: 0\r\n");
    assert_seen(&response, "CONTENT_TYPE", "'text/x'");
    assert_seen(&response, "CONTENT_LENGTH", "'0'");
    assert_eq!(seen(&response, "HTTP_CONTENT_TYPE"), None);
    assert_eq!(seen(&response, "HTTP_CONTENT_LENGTH"), None);
    let response = send(server, "");
    assert_eq!(seen(&response, "CONTENT_TYPE"), None);
    assert_eq!(seen(&response, "CONTENT_LENGTH"), None);
}

fn underscores_are_dropped(server: &Server) {
    let response = send(server, "X_A: spoofed\r\nX-B: kept\r\n");
    assert_eq!(seen(&response, "HTTP_X_A"), None);
    assert_seen(&response, "HTTP_X_B", "'kept'");
}

fn no_host_is_fine(server: &Server) {
    assert_eq!(seen(&send(server, "X-A: 1\r\n"), "HTTP_HOST"), None);
}

fn large_head(server: &Server) {
    let value = "v".repeat(8000);
    let lines: Vec<String> = (0..20).map(|number| format!("X-{number}: {value}\r\n")).collect();
    assert_seen(&send(server, lines.concat()), "HTTP_X_19", &format!("'{value}'"));
}

fn limits(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .args(["--limit-request-line", "100"])
        .args(["--limit-request-fields", "5"])
        .args(["--limit-request-field_size", "50"])
        .start();
    cases!(&server;
        line_limit,
        field_count_limit,
        field_size_limit,
        dropped_fields,
        endless_head,
    );
}

fn line_limit(server: &Server) {
    let fits = format!("/{}", "a".repeat(100 - "GET / HTTP/1.1".len()));
    assert_seen(&server.get(&fits), "RAW_URI", &format!("'{fits}'"));
    let got = server.exchange(format!("GET {fits}a HTTP/1.1\r\nHost: a\r\n\r\n"));
    let wanted = error_page("414 URI Too Long", "Request Line is too large (101 > 100)");
    assert_eq!(String::from_utf8_lossy(&got), wanted);
    // No line end at all: the number is what had arrived, so only the rest is known.
    let got = server.exchange(format!("GET /{}", "a".repeat(500)));
    assert!(
        got.starts_with(b"HTTP/1.1 414 URI Too Long\r\n"),
        "{:?}",
        String::from_utf8_lossy(&got)
    );
}

fn field_count_limit(server: &Server) {
    let response = send(server, "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n");
    assert_seen(&response, "HTTP_D", "'4'");
    let got =
        server.exchange("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\n\r\n");
    let message = "Error parsing headers: 'limit request headers fields'";
    let wanted = error_page("431 Request Header Fields Too Large", message);
    assert_eq!(String::from_utf8_lossy(&got), wanted);
}

fn field_size_limit(server: &Server) {
    let value = "v".repeat(50 - "X: \r\n".len());
    assert_seen(&send(server, format!("X: {value}\r\n")), "HTTP_X", &format!("'{value}'"));
    let got = server.exchange(format!("GET / HTTP/1.1\r\nX: {value}v\r\n\r\n"));
    let message = "Error parsing headers: 'limit request headers fields size'";
    let wanted = error_page("431 Request Header Fields Too Large", message);
    assert_eq!(String::from_utf8_lossy(&got), wanted);
}

/// A field that is left out for its name takes room all the same. gunicorn does not count those.
fn dropped_fields(server: &Server) {
    let got = server
        .exchange(format!("GET / HTTP/1.1\r\nConnection: close\r\n{}\r\n", "X_A: 1\r\n".repeat(5)));
    let status = if server.kind.is_rgunicorn() { 431 } else { 200 };
    assert_eq!(Response::parse(&got).status, status);
    let got = server.exchange(format!("GET / HTTP/1.1\r\nX_A: {}\r\n\r\n", "v".repeat(50)));
    assert_eq!(Response::parse(&got).status, 431);
}

fn endless_head(server: &Server) {
    for endless in ["x".repeat(20_000), "X: y\r\n".repeat(3_000)] {
        let got = server.exchange(format!("GET / HTTP/1.1\r\n{endless}"));
        let status = b"HTTP/1.1 431 Request Header Fields Too Large\r\n";
        assert!(got.starts_with(status), "{:?}", String::from_utf8_lossy(&got));
    }
}

fn default_limits(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:quiet").start();
    let line = |length: usize| {
        let path = "a".repeat(length - "GET / HTTP/1.1".len());
        format!("GET /{path} HTTP/1.1\r\nConnection: close\r\n\r\n")
    };
    let fields = |count: usize| {
        format!("GET / HTTP/1.1\r\nConnection: close\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
    };
    let field = |size: usize| {
        let value = "y".repeat(size - "X: \r\n".len());
        format!("GET / HTTP/1.1\r\nConnection: close\r\nX: {value}\r\n\r\n")
    };
    for (request, status) in [
        (line(4094), 200),
        (line(4095), 414),
        (fields(100), 200),
        (fields(101), 431),
        (field(8190), 200),
        (field(8191), 431),
    ] {
        assert_eq!(Response::parse(&server.exchange(&request)).status, status, "{request}");
    }
}

fn expectations(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    cases!(&server;
        continue_is_sent,
        continue_though_the_body_is_there,
        continue_is_not_for_1_0,
        other_expectations_fail,
    );
}

fn continue_is_sent(server: &Server) {
    let mut client = server.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\
         Expect: 100-Continue\r\n\r\n",
    );
    let interim = client.response();
    assert_eq!((interim.status, interim.reason.as_str()), (100, "Continue"));
    assert_eq!(interim.names(), Vec::<&str>::new());
    client.send("data");
    assert_seen(&client.response(), "body", "b'data'");
}

fn continue_though_the_body_is_there(server: &Server) {
    for (framing, body) in
        [("Content-Length: 4\r\n", "data"), ("Content-Length: 0\r\n", ""), ("", "")]
    {
        let mut client = server.connect();
        client.send(format!(
            "POST / HTTP/1.1\r\nConnection: close\r\n{framing}Expect: 100-continue\r\n\r\n{body}"
        ));
        assert_eq!(client.response().status, 100, "{framing:?}");
        assert_seen(&client.response(), "body", &format!("b'{body}'"));
    }
}

fn continue_is_not_for_1_0(server: &Server) {
    let mut client = server.connect();
    client.send("POST / HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\ndata");
    assert_seen(&client.response(), "body", "b'data'");
}

fn other_expectations_fail(server: &Server) {
    for (version, lines, expectation) in [
        ("1.1", "Expect: foo\r\n", "foo"),
        ("1.0", "Expect: foo\r\n", "foo"),
        ("1.1", "Expect:\r\n", ""),
        ("1.1", "Expect: 100-continue\r\nExpect: foo\r\n", "foo"),
    ] {
        let got =
            server.exchange(format!("POST / HTTP/{version}\r\nContent-Length: 4\r\n{lines}\r\n"));
        let message = format!("Unable to comply with expectation: '{expectation}'");
        let wanted = error_page("417 Expectation Failed", &message);
        assert_eq!(String::from_utf8_lossy(&got), wanted, "{lines:?}");
    }
}

fn trust(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["--header-map", "dangerous"]).start();
    cases!(&server; scheme_headers, contradictory_schemes, script_name_header, dangerous_names);
}

/// Loopback is trusted by default.
fn scheme_headers(server: &Server) {
    for (lines, scheme) in [
        ("X-Forwarded-Proto: https\r\n", "'https'"),
        ("X-Forwarded-Protocol: ssl\r\n", "'https'"),
        ("X-Forwarded-Ssl: on\r\n", "'https'"),
        ("X-Forwarded-Proto: http\r\n", "'http'"),
        ("X-Forwarded-Proto: https, http\r\n", "'http'"),
        ("X-Forwarded-Proto: HTTPS\r\n", "'http'"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\n", "'https'"),
        ("X-Forwarded-For: 1.2.3.4\r\n", "'http'"),
    ] {
        let response = send(server, lines);
        assert_eq!(seen(&response, "wsgi.url_scheme").as_deref(), Some(scheme), "{lines:?}");
        assert_seen(&response, "REMOTE_ADDR", "'127.0.0.1'");
    }
}

fn contradictory_schemes(server: &Server) {
    for lines in [
        "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n",
        "X-Forwarded-Ssl: off\r\nX-Forwarded-Proto: https\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
    ] {
        let got = server.exchange(format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        let wanted = error_page("400 Bad Request", "Contradictory scheme headers");
        assert_eq!(String::from_utf8_lossy(&got), wanted);
    }
}

fn script_name_header(server: &Server) {
    let mut client = server.connect();
    client.send("GET /app/x%20y HTTP/1.1\r\nConnection: close\r\nSCRIPT_NAME: /app\r\n\r\n");
    let response = client.response();
    assert_seen(&response, "SCRIPT_NAME", "'/app'");
    assert_seen(&response, "PATH_INFO", "'/x y'");
    assert_seen(&response, "HTTP_SCRIPT_NAME", "'/app'");

    let got = server.exchange("GET /other HTTP/1.1\r\nSCRIPT_NAME: /app\r\n\r\n");
    let message =
        "Configuration problem: Request path '/other' does not start with SCRIPT_NAME '/app'";
    assert_eq!(String::from_utf8_lossy(&got), error_page("500 Bad Request", message));

    let response = send(server, "Script-Name: /x\r\n");
    assert_seen(&response, "SCRIPT_NAME", "''");
    assert_seen(&response, "HTTP_SCRIPT_NAME", "'/x'");
}

fn dangerous_names(server: &Server) {
    let response = send(server, "X_A: 1\r\nX-A: 2\r\n");
    assert_seen(&response, "HTTP_X_A", "'1,2'");
}

fn untrusted(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("echo:app")
        .args(["--forwarded-allow-ips", "10.0.0.0/8"])
        .args(["--header-map", "refuse"])
        .start();
    cases!(&server; schemes_are_ignored, underscores_are_refused);
}

fn schemes_are_ignored(server: &Server) {
    let response = send(server, "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n");
    assert_seen(&response, "wsgi.url_scheme", "'http'");
    assert_seen(&response, "HTTP_X_FORWARDED_PROTO", "'https'");
}

fn underscores_are_refused(server: &Server) {
    for name in ["X_Y", "SCRIPT_NAME"] {
        let got = server.exchange(format!("GET / HTTP/1.1\r\n{name}: /\r\n\r\n"));
        let message = format!("Invalid HTTP header name: '{name}'");
        assert_eq!(String::from_utf8_lossy(&got), error_page("400 Bad Request", &message));
    }
}
