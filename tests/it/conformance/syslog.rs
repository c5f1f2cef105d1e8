//! syslog: what is sent, where to, and that nobody waits for it.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::wait::BOUND;
use crate::harness::{Builder, Server, ServerKind};

on_both_servers!(
    datagrams,
    without_access,
    a_daemon_that_restarts,
    a_stream,
    over_tcp,
    bad_settings
);

on_rgunicorn!(a_daemon_that_stalls);

/// Reads records until one has `needle`.
fn record_with(needle: &str, mut receive: impl FnMut(&mut [u8]) -> usize) -> String {
    loop {
        let mut buffer = [0; 8192];
        let count = receive(&mut buffer);
        let record = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if record.contains(needle) {
            return record;
        }
    }
}

fn udp() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    socket.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    let address = format!("udp://{}", socket.local_addr().expect("it is bound"));
    (socket, address)
}

fn from_udp(socket: &UdpSocket, needle: &str) -> String {
    record_with(needle, |buffer| socket.recv(buffer).expect("a record"))
}

fn from_unix(socket: &UnixDatagram, needle: &str) -> String {
    record_with(needle, |buffer| socket.recv(buffer).expect("a record"))
}

/// The records of a stream, each with a NUL at its end.
fn from_stream(stream: &mut impl Read, needle: &str) -> String {
    record_with(needle, |buffer| {
        for (index, place) in buffer.iter_mut().enumerate() {
            stream.read_exact(std::slice::from_mut(place)).expect("a record");
            if *place == 0 {
                return index + 1;
            }
        }
        panic!("a record without end");
    })
}

#[track_caller]
fn quiet(server: &Server, target: &str) {
    assert_eq!(server.get(target).status, 200);
}

fn datagrams(kind: ServerKind) {
    let (daemon, address) = udp();
    let server = Builder::new(kind)
        .app("echo:quiet")
        .args(["--log-syslog", "--log-syslog-to", &address, "--access-logfile", "-"])
        .start();
    let (name, version, pid) = (kind.name(), kind.version(), server.pid());
    assert_eq!(
        from_udp(&daemon, "Starting"),
        format!("<14>gunicorn.echo.quiet.error: [{pid}] Starting {name} {version}\0")
    );
    quiet(&server, "/seen?x");
    let worker = server.workers()[0];
    let record = from_udp(&daemon, "/seen");
    let begin = format!("<14>gunicorn.echo.quiet.access: [{worker}] 127.0.0.1 - - [");
    assert!(record.starts_with(&begin), "{record:?}");
    assert!(record.ends_with("\"GET /seen?x HTTP/1.1\" 200 5 \"-\" \"-\"\0"), "{record:?}");
    server.exchange("BAD\r\n\r\n");
    let record = from_udp(&daemon, "Invalid request");
    assert!(
        record.starts_with(&format!("<12>gunicorn.echo.quiet.error: [{worker}] ")),
        "{record:?}"
    );
    // In addition to the streams.
    server.log.wait_for("Invalid request");
    server.out.wait_for("/seen");
}

fn without_access(kind: ServerKind) {
    let (daemon, address) = udp();
    let options = ["--log-syslog-prefix", "shop", "--log-syslog-facility", "LOCAL3"];
    let server = Builder::new(kind)
        .app("echo:quiet")
        .args(["--log-syslog", "--log-syslog-to", &address, "--disable-redirect-access-to-syslog"])
        .args(options)
        .start();
    let pid = server.pid();
    let record = from_udp(&daemon, "Listening");
    assert!(
        record.starts_with(&format!("<158>gunicorn.shop.error: [{pid}] Listening")),
        "{record}"
    );
    quiet(&server, "/unseen");
    server.exchange("BAD\r\n\r\n");
    let mut between = Vec::new();
    record_with("Invalid request", |buffer| {
        let count = daemon.recv(buffer).expect("a record");
        between.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        count
    });
    assert!(!between.concat().contains("/unseen"), "{between:?}");
    assert_eq!(server.out.text(), "");
}

fn a_daemon_that_restarts(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:quiet");
    let path = builder.dir().join("log");
    let bind = || {
        let socket = UnixDatagram::bind(&path).expect("the path is free");
        socket.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
        socket
    };
    let address = format!("unix://{}#dgram", path.display());
    let server = builder.args(["--log-syslog", "--log-syslog-to", &address]).start();
    // Nobody was there at the start.
    let daemon = bind();
    quiet(&server, "/first");
    from_unix(&daemon, "/first");
    drop(daemon);
    fs::remove_file(&path).expect("it was there");
    quiet(&server, "/lost");
    let daemon = bind();
    quiet(&server, "/second");
    from_unix(&daemon, "/second");
}

fn a_stream(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:quiet");
    let path = builder.dir().join("log");
    let listener = UnixListener::bind(&path).expect("the path is free");
    let address = format!("unix://{}", path.display());
    let server = builder.args(["--log-syslog", "--log-syslog-to", &address]).start();
    let (mut errors, _) = listener.accept().expect("a connection");
    let (mut accesses, _) = listener.accept().expect("a connection");
    errors.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    accesses.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    from_stream(&mut errors, "Starting");
    quiet(&server, "/seen");
    from_stream(&mut accesses, "/seen");
}

fn over_tcp(kind: ServerKind) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    let address = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let server = Builder::new(kind)
        .app("echo:quiet")
        .args(["--log-syslog", "--log-syslog-to", &address])
        .start();
    let (mut errors, _) = listener.accept().expect("a connection");
    let (mut accesses, _) = listener.accept().expect("a connection");
    errors.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    accesses.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    let record = from_stream(&mut errors, "Starting");
    assert!(record.starts_with("<14>gunicorn.echo.quiet.error: "), "{record:?}");
    quiet(&server, "/seen");
    from_stream(&mut accesses, "/seen");
}

fn bad_settings(kind: ServerKind) {
    for (options, expected) in [
        (["--log-syslog-facility", "nosuch"], "\nError: unknown facility name\n"),
        (["--log-syslog-to", "/dev/log"], "\nError: invalid syslog address\n"),
        (["--log-syslog-to", "udp://a:b"], "\nError: 'b' is not a valid port number.\n"),
    ] {
        let ended = Builder::new(kind).app("echo:quiet").args(["--log-syslog"]).args(options).run();
        assert_eq!(ended.status, Some(1), "{options:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.trim_end(), expected.trim_end(), "{options:?}");
    }
}

/// Nobody reads: the socket is full after a few records.
fn a_daemon_that_stalls(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:quiet");
    let path = builder.dir().join("log");
    let daemon = UnixDatagram::bind(&path).expect("the path is free");
    let address = format!("unix://{}", path.display());
    let server = builder.args(["--log-syslog", "--log-syslog-to", &address]).start();
    let mut client = server.connect();
    for number in 0..2000 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().status, 200);
    }
    // What there was no room for is lost; what came before is there.
    daemon.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    from_unix(&daemon, "/0 HTTP");
}
