//! The pages that the server answers with itself, whatever was asked, and the end of the connection
//! behind them.

use super::error_page;
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Client, Server, ServerKind};

on_both_servers!(pages, of_the_application, unix_peers);

fn pages(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    cases!(&server; head_gets_the_body_too, version_is_1_1, text_is_escaped, the_rest_is_read);
}

#[track_caller]
fn assert_page(server: &Server, request: &str, status: &str, message: &str) {
    let got = server.exchange(request);
    assert_eq!(String::from_utf8_lossy(&got), error_page(status, message), "{request:?}");
}

const NO_COLON: &str = "Invalid HTTP Header: 'NoColon'";

fn head_gets_the_body_too(server: &Server) {
    let request = "HEAD / HTTP/1.1\r\nNoColon\r\n\r\n";
    assert_page(server, request, "400 Bad Request", NO_COLON);
}

fn version_is_1_1(server: &Server) {
    for version in ["1.0", "1.2"] {
        let request = format!("GET / HTTP/{version}\r\nNoColon\r\n\r\n");
        assert_page(server, &request, "400 Bad Request", NO_COLON);
    }
}

fn text_is_escaped(server: &Server) {
    let request = "GET / HTTP/1.1\r\nX<&>\"Y: a\r\n\r\n";
    assert_page(server, request, "400 Bad Request", "Invalid HTTP header name: 'X<&>\"Y'");
}

/// A client that sends on while it is refused reads the page and an end, not a reset.
fn the_rest_is_read(server: &Server) {
    let request = format!("BAD\r\n\r\n{}", "x".repeat(50_000));
    let message = "Invalid Request Line 'Invalid HTTP request line: 'BAD''";
    assert_page(server, &request, "400 Bad Request", message);
}

/// The page of an application that failed is no other.
fn of_the_application(kind: ServerKind) {
    let server = Builder::new(kind).app("lifecycle:app").start();
    for request in ["HEAD /raises HTTP/1.1\r\n\r\n", "GET /raises_started HTTP/1.0\r\n\r\n"] {
        assert_page(&server, request, "500 Internal Server Error", "");
    }
}

/// The log shows no address where there is none.
fn unix_peers(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:app");
    let path = builder.dir().join("web.sock");
    let server = builder.binding(&format!("unix:{}", path.display())).start();
    let mut client = Client::connect_unix(&path);
    client.send("GET / HTTP/1.1\r\nNoColon\r\n\r\n");
    let page = client.read_to_end();
    assert_eq!(String::from_utf8_lossy(&page), error_page("400 Bad Request", NO_COLON));
    let line = server.log.wait_for("Invalid request from ip=");
    assert!(line.ends_with(&format!("[WARNING] Invalid request from ip=: {NO_COLON}")), "{line}");
}
