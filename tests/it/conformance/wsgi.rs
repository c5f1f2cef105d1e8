//! The contract between server and application (PEP 3333): who is called, how often, and what
//! happens when the application fails, before and after its headers are sent.

use std::fs;

use super::error_page;
use crate::harness::cases::{cases, on_both_servers, on_rgunicorn};
use crate::harness::{Builder, Client, Response, Server, ServerKind};

on_both_servers!(calls, close_comes_last, failures);

on_rgunicorn!(failures_of_threads);

fn calls(kind: ServerKind) {
    let server = Builder::new(kind).app("lifecycle:app").start();
    cases!(&server;
        close_is_called_once,
        close_that_fails,
        exc_info_replaces_unsent_headers,
        exc_info_is_raised_after_headers,
        an_empty_item_is_the_first_item,
        second_start_response,
        start_response_within_itself,
        errors_stream,
    );
}

/// One request on its own connection: all bytes that come back, and the log of it up to a line.
fn exchange(server: &Server, target: &str, until: &str) -> (String, String) {
    let mark = server.log.mark();
    let raw = server.exchange(format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n"));
    server.log.wait_for_since(mark, until);
    (String::from_utf8_lossy(&raw).into_owned(), server.log.since(mark))
}

fn close_is_called_once(server: &Server) {
    let (raw, _) = exchange(server, "/closes", "note: closes closed");
    assert!(raw.ends_with("\r\n\r\nok"), "{raw}");
    // The answer to another request comes after anything this one could still do.
    assert_eq!(server.get("/errors_stream").status, 200);
    assert_eq!(server.log.text().matches("note: closes closed").count(), 1);
}

fn close_that_fails(server: &Server) {
    let (raw, log) = exchange(server, "/close_fails", "ValueError: in close");
    assert!(raw.starts_with("HTTP/1.1 200 OK\r\n"), "{raw}");
    assert!(raw.ends_with("\r\n\r\nok"), "{raw}");
    assert!(log.contains("[ERROR] Error handling request"), "{log}");
}

fn exc_info_replaces_unsent_headers(server: &Server) {
    let response = server.get("/recovers");
    assert_eq!((response.status, response.reason.as_str()), (503, "Replaced"));
    assert_eq!(response.header("X-New"), Some("1"));
    // gunicorn keeps the headers that were to be replaced, against PEP 3333.
    let old = if server.kind.is_rgunicorn() { None } else { Some("1") };
    assert_eq!(response.header("X-Old"), old);
    assert_eq!(response.text(), "sorry");
}

fn exc_info_is_raised_after_headers(server: &Server) {
    let (raw, log) = exchange(server, "/recovers_late", "ValueError: too late");
    assert!(raw.starts_with("HTTP/1.1 200 OK\r\n"), "{raw}");
    assert!(raw.ends_with("4\r\npart\r\n"), "{raw}");
    assert!(log.contains("note: raised again: too late"), "{log}");
    assert!(log.contains("[ERROR] Error handling request\n"), "{log}");
}

fn an_empty_item_is_the_first_item(server: &Server) {
    let (raw, log) = exchange(server, "/recovers_behind_nothing", "ValueError: too late");
    assert!(raw.starts_with("HTTP/1.1 200 OK\r\n") && raw.ends_with("X-Old: 1\r\n\r\n"), "{raw}");
    assert!(log.contains("[ERROR] Error handling request\n"), "{log}");
}

fn second_start_response(server: &Server) {
    let (raw, log) = exchange(server, "/twice", "AssertionError: ");
    assert_eq!(raw, error_page("500 Internal Server Error", ""));
    assert!(log.contains("AssertionError: Response headers already set!"), "{log}");
    let (raw, log) = exchange(server, "/twice_late", "AssertionError: ");
    assert!(raw.starts_with("HTTP/1.1 200 OK\r\n") && raw.ends_with("4\r\npart\r\n"), "{raw}");
    assert!(log.contains("AssertionError: Response headers already set!"), "{log}");
}

fn start_response_within_itself(server: &Server) {
    let (raw, _) = exchange(server, "/starts_within_start", "AssertionError: Response headers");
    assert_eq!(raw, error_page("500 Internal Server Error", ""));
}

fn errors_stream(server: &Server) {
    let mark = server.log.mark();
    assert_eq!(server.get("/errors_stream").status, 200);
    server.log.wait_for_since(mark, "line two");
    assert!(server.log.since(mark).contains("to wsgi.errors: é\nline one\nline two\n"));
}

/// First the client has all of the response, then the line is in the access log, then the iterable is
/// closed.
fn close_comes_last(kind: ServerKind) {
    let builder = Builder::new(kind).app("lifecycle:app");
    let (pipe, log) = (builder.dir().join("pipe"), builder.dir().join("access.log"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
    let server = builder.args(["--access-logfile"]).args([&log]).env("ACCESS_LOG", &log).start();
    let mut client = server.connect();
    let path = pipe.display();
    client.send(format!("GET /waits_in_close?{path} HTTP/1.1\r\nConnection: close\r\n\r\n"));
    assert_eq!(client.response().chunks, [b"whole"]);
    fs::write(&pipe, "").expect("the application reads the pipe");
    server.log.wait_for("note: logged before close: True");
}

fn failures(kind: ServerKind) {
    let server = Builder::new(kind).app("lifecycle:app").args(["--access-logfile", "-"]).start();
    cases!(&server;
        error_before_headers,
        error_behind_start_response,
        error_before_the_first_item,
        error_after_the_first_item,
        error_within_a_length,
        stop_iteration,
        system_exit,
        system_exit_after_the_first_item,
        keyboard_interrupt,
        other_base_exception,
        os_errors,
        items_that_are_not_bytes,
        bad_statuses,
        bad_headers,
        no_start_response,
        no_start_response_but_a_body,
        the_worker_is_still_the_same,
    );
}

/// The application raises before any header is sent: the page, the log and the access line.
fn assert_500(server: &Server, target: &str, last_line: &str) -> String {
    let access = server.out.mark();
    let (raw, log) = exchange(server, target, last_line);
    assert_eq!(raw, error_page("500 Internal Server Error", ""), "{target}");
    assert!(log.contains(&format!("[ERROR] Error handling request GET {target}\n")), "{log}");
    assert!(log.contains("\nTraceback (most recent call last):\n"), "{log}");
    server.out.wait_for_since(access, &format!("\"GET {target} HTTP/1.1\" 500 0 "));
    log
}

fn error_before_headers(server: &Server) {
    let log = assert_500(server, "/raises", "ValueError: from the application: é");
    assert!(log.contains("lifecycle.py\", line "), "{log}");
    assert!(
        log.contains(", in raises\n    raise ValueError(\"from the application: é\")\n"),
        "{log}"
    );
}

fn error_behind_start_response(server: &Server) {
    assert_500(server, "/raises_started", "ValueError: after start_response");
}

fn error_before_the_first_item(server: &Server) {
    let log = assert_500(server, "/fails_first", "ValueError: before the first item");
    assert_eq!(log.matches("note: fails_first closed").count(), 1, "{log}");
}

fn error_after_the_first_item(server: &Server) {
    let (raw, log) = exchange(server, "/fails_later", "ValueError: after the first item");
    assert!(raw.starts_with("HTTP/1.1 200 OK\r\n"), "{raw}");
    // No last chunk: the client can tell that something is missing.
    assert!(raw.ends_with("\r\n\r\n4\r\npart\r\n"), "{raw}");
    assert!(log.contains("[ERROR] Error handling request\n"), "{log}");
    assert_eq!(log.matches("note: fails_later closed").count(), 1, "{log}");
    server.out.wait_for("\"GET /fails_later HTTP/1.1\" 200 4 ");
}

fn error_within_a_length(server: &Server) {
    let (raw, log) = exchange(server, "/fails_sized", "ValueError: in the middle");
    assert!(raw.ends_with("Content-Length: 10\r\n\r\npart"), "{raw}");
    assert_eq!(log.matches("note: fails_sized closed").count(), 1, "{log}");
}

fn stop_iteration(server: &Server) {
    if server.kind.is_rgunicorn() {
        assert_500(server, "/stop_iteration", "StopIteration");
    } else {
        // gunicorn uses this exception to end its own loop.
        assert_eq!(server.exchange("GET /stop_iteration HTTP/1.1\r\n\r\n"), b"");
    }
}

fn system_exit(server: &Server) {
    assert_500(server, "/system_exit", "SystemExit: 7");
}

fn system_exit_after_the_first_item(server: &Server) {
    let (raw, log) = exchange(server, "/exits_late", "SystemExit: 7");
    assert!(raw.ends_with("\r\n\r\n4\r\npart\r\n"), "{raw}");
    assert!(log.contains("[ERROR] Error handling request\n"), "{log}");
    server.out.wait_for("\"GET /exits_late HTTP/1.1\" 200 4 ");
}

fn keyboard_interrupt(server: &Server) {
    assert_500(server, "/interrupt", "KeyboardInterrupt");
}

fn other_base_exception(server: &Server) {
    assert_500(server, "/base_exception", "Odd: odd");
}

/// In gunicorn these end the worker, with all that its other threads do.
fn failures_of_threads(kind: ServerKind) {
    let builder = Builder::new(kind).app("lifecycle:app").args(["--access-logfile", "-"]);
    let server = builder.args(["--threads", "2"]).start();
    cases!(&server; system_exit, keyboard_interrupt, other_base_exception);
    assert_eq!(server.log.text().matches("Booting worker").count(), 1);
}

fn os_errors(server: &Server) {
    if server.kind.is_rgunicorn() {
        // An application that cannot open a file or lost its database has failed like any other:
        // gunicorn mistakes every OSError for one of the client's connection and does not answer.
        assert_500(server, "/os_error", "FileNotFoundError: [Errno 2] gone");
        assert_500(server, "/broken_pipe", "BrokenPipeError: [Errno 32] no more");
    } else {
        assert_eq!(server.exchange("GET /broken_pipe HTTP/1.1\r\n\r\n"), b"");
        let (raw, log) = exchange(server, "/os_error", "FileNotFoundError: [Errno 2] gone");
        assert_eq!(raw, "");
        assert!(log.contains("[ERROR] Socket error processing request.\n"), "{log}");
    }
}

fn items_that_are_not_bytes(server: &Server) {
    for (target, error) in [
        ("/text_item", "TypeError: 'text' is not a byte"),
        ("/bare_bytes", "TypeError: 97 is not a byte"),
        ("/buffer_item", "TypeError: bytearray(b'ab') is not a byte"),
        ("/text_written", "TypeError: 'text' is not a byte"),
    ] {
        let (raw, log) = exchange(server, target, error);
        if server.kind.is_rgunicorn() {
            // The type is looked at before the headers go out.
            assert_eq!(raw, error_page("500 Internal Server Error", ""));
        } else {
            assert!(raw.starts_with("HTTP/1.1 200 OK\r\n"), "{raw}");
            assert!(raw.ends_with("chunked\r\n\r\n"), "{raw}");
            assert!(log.contains("[ERROR] Error handling request\n"), "{log}");
        }
    }
    let (raw, log) = exchange(server, "/text_later", "TypeError: 'text' is not a byte");
    assert!(raw.starts_with("HTTP/1.1 200 OK\r\n") && raw.ends_with("4\r\npart\r\n"), "{raw}");
    assert!(log.contains("[ERROR] Error handling request\n"), "{log}");
}

fn bad_statuses(server: &Server) {
    for (status, shown) in [
        ("abc", "Invalid status 'abc'"),
        ("20", "Invalid status '20'"),
        ("2000", "Invalid status '2000'"),
        ("200%0dX", "Invalid status '200\\rX'"),
    ] {
        let target = format!("/bad_status?{status}");
        assert_500(server, &target, &format!("ValueError: {shown}"));
    }
    assert_500(server, "/bytes_status", "TypeError: ");
}

fn bad_headers(server: &Server) {
    assert_500(
        server,
        "/bad_name",
        "InvalidResponseHeaderName: Invalid response header name from the application: ",
    );
    assert_500(server, "/empty_name", "Invalid response header name from the application: ''");
    assert_500(
        server,
        "/wide_name",
        "gunicorn.http.errors.InvalidResponseHeaderName: Invalid response header name from the application: 'X-\u{20ac}'",
    );
    assert_500(server, "/wide_value", "Invalid response header from the application: 'X-Wide'");
    assert_500(server, "/bytes_name", "TypeError: b'X-Bad' is not a string");
    assert_500(
        server,
        "/bad_value",
        "InvalidResponseHeader: Invalid response header from the application: ",
    );
    assert_500(server, "/bytes_value", "TypeError: b'1' is not a string");
    assert_500(server, "/bad_length", "ValueError: invalid literal for int() with base 10: 'abc'");
}

fn no_start_response(server: &Server) {
    let mark = server.log.mark();
    let raw = server.exchange("GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n");
    if server.kind.is_rgunicorn() {
        // gunicorn's sync worker fails on the missing iterable in the same way; see there.
        assert_eq!(Response::parse(&raw).status, 500);
    } else {
        assert!(raw.starts_with(b"HTTP/1.1 500 "), "{:?}", String::from_utf8_lossy(&raw));
    }
    server.log.wait_for_since(mark, "TypeError: ");
}

/// gunicorn's sync worker makes a status line of what it has not got.
fn no_start_response_but_a_body(server: &Server) {
    for method in ["GET", "HEAD"] {
        let raw = server.exchange(format!("{method} /never_starts HTTP/1.1\r\n\r\n"));
        let raw = String::from_utf8_lossy(&raw);
        if server.kind.is_rgunicorn() {
            assert_eq!(raw, error_page("500 Internal Server Error", ""));
        } else {
            assert!(raw.starts_with("HTTP/1.1 None\r\n") && raw.ends_with("\r\n\r\nbody"), "{raw}");
        }
    }
}

/// None of the failures above cost a worker.
fn the_worker_is_still_the_same(server: &Server) {
    let mut client: Client = server.connect();
    assert_eq!(client.get("/closes").status, 200);
    assert_eq!(server.log.text().matches("Booting worker with pid").count(), 1);
}
