//! The request line: which ones are refused, with which page and which line in the log (RFC 9112
//! section 3), and what becomes of the target of the others.

use super::{assert_seen, error_page};
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Response, Server, ServerKind};

on_both_servers!(refused, accepted);

/// Request line (with its line end), message in the page.
const REFUSED: &[(&str, &str)] = &[
    ("\r\n\r\nGET / HTTP/1.1\r\n", "Invalid Request Line 'Invalid HTTP request line: '''"),
    (
        "GET / HTTP/1.1\n",
        "Invalid Request Line 'Invalid HTTP request line: 'bare LF as line terminator''",
    ),
    ("GET /\r\n", "Invalid Request Line 'Invalid HTTP request line: 'GET /''"),
    ("GET  / HTTP/1.1\r\n", "Invalid Request Line 'Invalid HTTP request line: 'GET  / HTTP/1.1''"),
    ("GET  HTTP/1.1\r\n", "Invalid Request Line 'Invalid HTTP request line: 'GET  HTTP/1.1''"),
    ("GET / HTTP/1.1 \r\n", "Invalid HTTP Version 'Invalid HTTP Version: 'HTTP/1.1 ''"),
    (
        "GET\t/\tHTTP/1.1\r\n",
        "Invalid Request Line 'Invalid HTTP request line: 'GET\\t/\\tHTTP/1.1''",
    ),
    (" GET / HTTP/1.1\r\n", "Invalid Method 'Invalid HTTP method: '''"),
    ("GET /a b HTTP/1.1\r\n", "Invalid HTTP Version 'Invalid HTTP Version: 'b HTTP/1.1''"),
    ("GET /\u{e9} HTTP/1.1\r\n", ""),
    ("GET /\u{1} HTTP/1.1\r\n", ""),
    ("GET /\u{7f} HTTP/1.1\r\n", ""),
    ("GET * HTTP/1.1\r\n", ""),
    ("GET index.html HTTP/1.1\r\n", ""),
    ("GET http://[ HTTP/1.1\r\n", ""),
    ("get / HTTP/1.1\r\n", "Invalid Method 'Invalid HTTP method: 'get''"),
    ("GeT / HTTP/1.1\r\n", "Invalid Method 'Invalid HTTP method: 'GeT''"),
    ("GO / HTTP/1.1\r\n", "Invalid Method 'Invalid HTTP method: 'GO''"),
    ("G#T / HTTP/1.1\r\n", "Invalid Method 'Invalid HTTP method: 'G#T''"),
    ("G{T / HTTP/1.1\r\n", "Invalid Method 'Invalid HTTP method: 'G{T''"),
    (
        "ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1\r\n",
        "Invalid Method 'Invalid HTTP method: 'ABCDEFGHIJKLMNOPQRSTU''",
    ),
    ("GET / HTTP/2.0\r\n", "Invalid HTTP Version 'Invalid HTTP Version: (2, 0)'"),
    ("GET / HTTP/0.9\r\n", "Invalid HTTP Version 'Invalid HTTP Version: (0, 9)'"),
    ("GET / http/1.1\r\n", "Invalid HTTP Version 'Invalid HTTP Version: 'http/1.1''"),
    ("GET / HTTP/1.10\r\n", "Invalid HTTP Version 'Invalid HTTP Version: 'HTTP/1.10''"),
    ("GET / HTTP/1\r\n", "Invalid HTTP Version 'Invalid HTTP Version: 'HTTP/1''"),
    ("GET / HTTP/+1.1\r\n", "Invalid HTTP Version 'Invalid HTTP Version: 'HTTP/+1.1''"),
];

fn refused(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    let failed: Vec<String> = REFUSED.iter().filter_map(|case| refusal(&server, case)).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), REFUSED.len(), failed.join("\n"));
}

/// What is wrong with the answer to one refused request line, if anything.
fn refusal(server: &Server, &(line, message): &(&str, &str)) -> Option<String> {
    let mark = server.log.mark();
    let got = server.exchange(format!("{line}Host: a\r\n\r\n"));
    // Pages are latin-1, the log is UTF-8.
    let got: String = got.iter().copied().map(char::from).collect();
    let logged = server.log.wait_for_since(mark, "Invalid request from ip=127.0.0.1: ");
    if !logged.contains("[WARNING]") {
        return Some(format!("{line:?} logged {logged}"));
    }
    // Where the table names no message, the page repeats what the log says.
    let (_, cause) = logged.split_once("ip=127.0.0.1: ")?;
    let message = match message {
        "" => format!("Invalid Request Line '{cause}'"),
        message => message.to_owned(),
    };
    let wanted = error_page("400 Bad Request", &message);
    (got != wanted).then(|| format!("{line:?}\n   got {got:?}\nwanted {wanted:?}"))
}

fn accepted(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    cases!(&server;
        one_leading_crlf,
        any_minor_version,
        http_1_0,
        unusual_methods,
        options_asterisk,
        connect_authority,
        absolute_form,
        a_scheme_anywhere,
        two_slashes_stay_a_path,
        escapes_are_decoded,
        dot_segments_stay,
        fragment_is_cut,
        query_is_raw,
        unusual_bytes_in_the_target,
        split_into_single_bytes,
    );
}

/// Sends a request line that is to be accepted and returns what the application saw.
#[track_caller]
fn send(server: &Server, line: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n"));
    client.response()
}

fn one_leading_crlf(server: &Server) {
    assert_seen(&send(server, "\r\nGET /x HTTP/1.1"), "PATH_INFO", "'/x'");
}

fn any_minor_version(server: &Server) {
    let response = send(server, "GET / HTTP/1.2");
    assert_eq!(response.version, "HTTP/1.2");
    assert_seen(&response, "SERVER_PROTOCOL", "'HTTP/1.2'");
}

fn http_1_0(server: &Server) {
    let response = send(server, "GET / HTTP/1.0");
    assert_eq!(response.version, "HTTP/1.0");
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(response.header("Connection"), Some("close"));
    assert_seen(&response, "SERVER_PROTOCOL", "'HTTP/1.0'");
}

fn unusual_methods(server: &Server) {
    for method in ["PUT", "DELETE", "PATCH", "M-SEARCH", "ABC", "ABCDEFGHIJKLMNOPQRST", "X9!"] {
        let response = send(server, &format!("{method} / HTTP/1.1"));
        assert_seen(&response, "REQUEST_METHOD", &format!("'{method}'"));
    }
}

fn options_asterisk(server: &Server) {
    let response = send(server, "OPTIONS * HTTP/1.1");
    assert_seen(&response, "RAW_URI", "'*'");
    assert_seen(&response, "PATH_INFO", "'*'");
}

fn connect_authority(server: &Server) {
    let response = send(server, "CONNECT host.test:80 HTTP/1.1");
    assert_seen(&response, "RAW_URI", "'host.test:80'");
    // There is no path in an authority. gunicorn takes it for a scheme and a path.
    let path = if server.kind.is_rgunicorn() { "''" } else { "'80'" };
    assert_seen(&response, "PATH_INFO", path);
}

fn absolute_form(server: &Server) {
    let response = send(server, "GET http://other.test:81/p/q?r=s HTTP/1.1");
    assert_seen(&response, "RAW_URI", "'http://other.test:81/p/q?r=s'");
    assert_seen(&response, "PATH_INFO", "'/p/q'");
    assert_seen(&response, "QUERY_STRING", "'r=s'");
    assert_seen(&response, "HTTP_HOST", "'a'");
}

/// What has a scheme in it somewhere may begin like no path.
fn a_scheme_anywhere(server: &Server) {
    let response = send(server, "GET x?y://z HTTP/1.1");
    assert_seen(&response, "RAW_URI", "'x?y://z'");
    assert_seen(&response, "PATH_INFO", "'x'");
    assert_seen(&response, "QUERY_STRING", "'y://z'");
}

fn two_slashes_stay_a_path(server: &Server) {
    assert_seen(&send(server, "GET //a/b HTTP/1.1"), "PATH_INFO", "'//a/b'");
}

fn escapes_are_decoded(server: &Server) {
    let response = send(server, "GET /a%2Fb%20c%C3%A9%zz%4 HTTP/1.1");
    // The application's latin-1 text comes back as the bytes it stands for.
    assert_seen(&response, "PATH_INFO", "'/a/b cé%zz%4'");
    assert_seen(&response, "RAW_URI", "'/a%2Fb%20c%C3%A9%zz%4'");
}

fn dot_segments_stay(server: &Server) {
    assert_seen(&send(server, "GET /a/../b/./c HTTP/1.1"), "PATH_INFO", "'/a/../b/./c'");
}

fn fragment_is_cut(server: &Server) {
    let response = send(server, "GET /p?q#f HTTP/1.1");
    assert_seen(&response, "PATH_INFO", "'/p'");
    assert_seen(&response, "QUERY_STRING", "'q'");
    assert_seen(&response, "RAW_URI", "'/p?q#f'");
}

fn query_is_raw(server: &Server) {
    let response = send(server, "GET /?a=%20b&c=?d/ HTTP/1.1");
    assert_seen(&response, "QUERY_STRING", "'a=%20b&c=?d/'");
}

fn unusual_bytes_in_the_target(server: &Server) {
    let response = send(server, "GET /{}|^`\"<>\\ HTTP/1.1");
    assert_seen(&response, "PATH_INFO", r#"'/{}|^`"<>\\'"#);
}

fn split_into_single_bytes(server: &Server) {
    let mut client = server.connect();
    for byte in b"GET /bytes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" {
        client.send([*byte]);
    }
    assert_seen(&client.response(), "PATH_INFO", "'/bytes'");
}
