//! `limit_request_body`, and bodies that wait in files.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::{MOMENT, assert_usable, builder, request, worker};
use crate::harness::cases::{cases, on_rgunicorn};
use crate::harness::{BOUND, Builder, Response, Server, ServerKind, process, until};

on_rgunicorn!(limit, limit_while_streaming, spilled, nothing_spilled, disk_full, directory_gone);

fn limited(kind: ServerKind) -> Builder {
    builder(kind).args(["--limit-request-body", "10"])
}

fn limit(kind: ServerKind) {
    let server = limited(kind).start();
    cases!(&server;
        announced_length_is_enough,
        no_continue_for_what_is_refused,
        chunks_are_counted,
        bodies_within_the_limit,
        the_answer_arrives_though_the_client_sends_on,
    );
}

fn post(target: &str, headers: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// Fails unless the bytes are one complete answer of this status that announces the end of the
/// connection.
#[track_caller]
fn assert_refused(got: &[u8], status: u16) {
    let text = String::from_utf8_lossy(got);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    let response = Response::parse(got);
    assert_eq!(response.status, status, "{text}");
    assert_eq!(response.header("Connection"), Some("close"), "{text}");
}

/// Not a byte of the body has to be sent.
fn announced_length_is_enough(server: &Server) {
    let mark = server.log.mark();
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 11\r\n"));
    assert_refused(&client.read_to_end(), 413);
    server.log.wait_for_since(mark, "Invalid request from ip=127.0.0.1: ");
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 18446744073709551615\r\n"));
    assert_refused(&client.read_to_end(), 413);
}

fn no_continue_for_what_is_refused(server: &Server) {
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 11\r\nExpect: 100-continue\r\n"));
    assert_refused(&client.read_to_end(), 413);
    // One that is allowed gets it.
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 10\r\nExpect: 100-continue\r\n"));
    assert_eq!(client.response_to("HEAD").status, 100);
    client.send("0123456789");
    assert_eq!(client.response().text(), "10");
}

/// As soon as it is too much, not when it is over.
fn chunks_are_counted(server: &Server) {
    let mut client = server.connect();
    client.send([&post("/body", CHUNKED), "6\r\nabcdef\r\n"].concat());
    assert!(client.is_silent_for(MOMENT));
    client.send("5\r\nabcde");
    assert_refused(&client.read_to_end(), 413);
    // What is in the framing does not count.
    let mut client = server.connect();
    client.send([&post("/body", CHUNKED), "5;name=value\r\nabcde\r\n"].concat());
    client.send("0000005\r\nabcde\r\n0\r\nX-Trailer: 0123456789\r\n\r\n");
    assert_eq!(client.response().text(), "10");
}

fn bodies_within_the_limit(server: &Server) {
    let mut client = server.connect();
    client.send([&post("/body", "Content-Length: 10\r\n"), "0123456789"].concat());
    assert_eq!(client.response().text(), "10");
    assert_usable(&mut client);
}

/// A client that only reads when it has sent everything gets the answer, not a reset.
fn the_answer_arrives_though_the_client_sends_on(server: &Server) {
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 40000\r\n") + &"b".repeat(40_000));
    assert_refused(&client.read_to_end(), 413);
}

/// The application is not called for a body that is announced to be too large, and is told of one
/// that turns out to be.
fn limit_while_streaming(kind: ServerKind) {
    let server = limited(kind).args(["--no-request-buffering"]).start();
    let mut client = server.connect();
    client.send(post("/first?0", "Content-Length: 11\r\n"));
    assert_refused(&client.read_to_end(), 413);
    assert!(!server.log.text().contains("note: read"), "{}", server.log.text());
    let mut client = server.connect();
    client.send([&post("/body", CHUNKED), "6\r\nabcdef\r\n5\r\nabcde\r\n0\r\n\r\n"].concat());
    assert_refused(&client.read_to_end(), 413);
    let mut client = server.connect();
    client.send([&post("/forgiving", CHUNKED), "b\r\n0123456789a\r\n"].concat());
    assert_eq!(client.response().text(), "caught");
}

const BUFFER: usize = 100_000;

/// A server that keeps bodies beyond [`BUFFER`] in files in the directory `spool` of its own.
fn spilling(kind: ServerKind, app: &str) -> Builder {
    let builder = Builder::new(kind).app(app);
    let spool = builder.dir().join("spool");
    fs::create_dir(&spool).expect("the directory is writable");
    let conf = format!("tmp_upload_dir = {:?}\nrequest_buffer_size = {BUFFER}\n", spool.display());
    builder.file("gunicorn.conf.py", &conf)
}

/// The files in a directory that a process holds open though they have no name any more.
fn nameless(pid: i32, dir: &Path) -> usize {
    let dir = dir.to_string_lossy().into_owned();
    let links = process::descriptors(pid);
    links.iter().filter(|link| link.starts_with(&dir) && link.ends_with(" (deleted)")).count()
}

fn spilled(kind: ServerKind) {
    let server = spilling(kind, "supervised:app").start_ready(1);
    let (spool, worker) = (server.dir().join("spool"), worker(&server));
    // While it is received.
    let mut client = server.connect();
    let head = post("/pid", "Connection: close\r\nContent-Length: 200000\r\n");
    client.send([head.as_str(), &"b".repeat(BUFFER + 1)].concat());
    until(BOUND, "a file without a name", || (nameless(worker, &spool) == 1).then_some(()));
    assert_eq!(fs::read_dir(&spool).expect("the directory is there").count(), 0);
    client.send("b".repeat(200_000 - BUFFER - 1));
    assert_eq!(client.response().text(), worker.to_string());
    until(BOUND, "the file to be closed", || (nameless(worker, &spool) == 0).then_some(()));
    // A client that leaves takes its file along.
    let mut client = server.connect();
    client.send([head.as_str(), &"b".repeat(BUFFER + 1)].concat());
    until(BOUND, "a file without a name", || (nameless(worker, &spool) == 1).then_some(()));
    drop(client);
    until(BOUND, "the file to be closed", || (nameless(worker, &spool) == 0).then_some(()));
    // And while the application has it.
    let fifo = server.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo can be made");
    let mut client = server.connect();
    let target = format!("/wait?{}", fifo.display());
    client.send(post(&target, "Connection: close\r\nContent-Length: 200000\r\n"));
    client.send("b".repeat(200_000));
    server.log.wait_for("note: waiting in ");
    assert_eq!(nameless(worker, &spool), 1);
    assert_eq!(fs::read_dir(&spool).expect("the directory is there").count(), 0);
    let gate: OwnedFd = fs::OpenOptions::new().write(true).open(&fifo).expect("a fifo").into();
    drop(gate);
    assert_eq!(client.response().text(), worker.to_string());
    until(BOUND, "the file to be closed", || (nameless(worker, &spool) == 0).then_some(()));
}

/// What fits is not written anywhere, and what does not is read back whole.
fn nothing_spilled(kind: ServerKind) {
    let server = spilling(kind, "hostile:app").start();
    let (spool, worker) = (server.dir().join("spool"), worker(&server));
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 100000\r\n"));
    client.send("b".repeat(BUFFER - 1));
    assert!(client.is_silent_for(MOMENT));
    assert_eq!(nameless(worker, &spool), 0);
    client.send("b");
    assert_eq!(client.response().text(), BUFFER.to_string());
    client.send([&post("/body", CHUNKED), "30d40\r\n", &"b".repeat(200_000)].concat());
    client.send("\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "200000");
    assert_usable(&mut client);
}

/// Fails unless only the request whose body has no room is affected.
#[track_caller]
fn assert_only_that_one(server: &Server, spool: &Path) {
    let worker = worker(server);
    let mut other = server.connect();
    assert_usable(&mut other);
    for framing in ["Content-Length: 300000\r\n", CHUNKED] {
        let mut client = server.connect();
        client.send(post("/body", framing));
        let body = "b".repeat(300_000);
        let body = if framing == CHUNKED { format!("493e0\r\n{body}") } else { body };
        // It may be refused before all of it is sent.
        let _ = client.try_send(body);
        let response = client.response();
        assert_eq!(response.status, 507, "{}", response.text());
        assert_eq!(response.header("Connection"), Some("close"));
    }
    let line = server.log.wait_for("[ERROR] Cannot store a request body in ");
    assert!(line.contains(&*spool.to_string_lossy()) && line.contains("tmp_upload_dir"), "{line}");
    // Everybody else is served, by the same worker.
    assert_usable(&mut other);
    other.send(post("/body", "Content-Length: 50000\r\n") + &"b".repeat(50_000));
    assert_eq!(other.response().text(), "50000");
    assert_eq!(server.get("/pid").text(), worker.to_string());
    assert!(!server.log.text().contains("Worker exiting"), "{}", server.log.text());
}

/// A limit on the size of files stands for a disk without room.
fn disk_full(kind: ServerKind) {
    // In blocks of 512 bytes.
    let server = spilling(kind, "hostile:app").ulimit("-f 400").start();
    let spool = server.dir().join("spool");
    assert_only_that_one(&server, &spool);
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 150000\r\n") + &"b".repeat(150_000));
    assert_eq!(client.response().text(), "150000");
    client.send(request("/plain"));
    assert_eq!(client.response().text(), "plain");
}

fn directory_gone(kind: ServerKind) {
    let server = spilling(kind, "hostile:app").start();
    let spool = server.dir().join("spool");
    fs::remove_dir(&spool).expect("it is empty");
    assert_only_that_one(&server, &spool);
    // When the directory is back so is everything else.
    fs::create_dir(&spool).expect("the directory is writable");
    let mut client = server.connect();
    client.send(post("/body", "Content-Length: 300000\r\n") + &"b".repeat(300_000));
    assert_eq!(client.response().text(), "300000");
}
