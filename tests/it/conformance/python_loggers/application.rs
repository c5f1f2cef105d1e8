//! What applications do with the standard library's loggers, while the logs are the server's own.

use std::net::UdpSocket;

use super::builder;
use crate::harness::cases::on_both_servers;
use crate::harness::{BOUND, ServerKind};

on_both_servers!(records, records_with_syslog);

fn records(kind: ServerKind) {
    let server = builder(kind).args(["--access-logfile", "-"]).start();
    server.log.wait_for("[INFO] while importing: 1 handlers, level 20");
    let pid = server.workers()[0];
    server.get("/records");
    let line = server.log.wait_for("a debug message");
    assert!(line.ends_with(&format!(" [{pid}] [DEBUG] a debug message of the application's own")));
    assert!(line.starts_with("[2") && line.contains(" +0000] ["), "{line}");
    server.log.wait_for("[Level 25] an odd level");
    server.log.wait_for("[ERROR] caught it");
    server.log.wait_for("Traceback (most recent call last):");
    server.log.wait_for("KeyError: 'key'");
    assert!(!server.log.text().contains("too little"));
    server.get("/formatted");
    server.log.wait_for("<WARNING own> in another format");
    let mark = server.out.mark();
    server.get("/access");
    assert_eq!(server.out.wait_for_since(mark, "own"), "a line of the application's own");
    server.out.wait_for_since(mark, "\"GET /access HTTP/1.1\" 200 6 ");
}

/// The same, which goes to syslog too.
fn records_with_syslog(kind: ServerKind) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(BOUND)).expect("a time limit");
    let address = format!("udp://{}", socket.local_addr().expect("an address"));
    let server = builder(kind)
        .args(["--log-syslog", "--log-syslog-to", &address, "--log-syslog-prefix", "pre"])
        .start();
    let mut buffer = [0; 2000];
    let mut wait = |ident: &str, end: &str| loop {
        let count = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("a datagram `{end}`"));
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if text.trim_end_matches('\0').ends_with(end) {
            assert!(text.contains(&format!(">gunicorn.pre.{ident}: [")), "{text}");
            return;
        }
    };
    wait("error", " handlers, level 20");
    server.get("/records");
    wait("error", "] a debug message of the application's own");
    wait("error", "] an odd level");
    wait("error", "KeyError: 'key'");
    server.get("/access");
    wait("access", "] a line of the application's own");
    if kind.is_rgunicorn() {
        // The application gives gunicorn's handler for syslog the format that it wants for the file.
        server.get("/formatted");
        wait("error", "] in another format");
    }
}
