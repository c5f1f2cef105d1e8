//! Sockets that the process before the server has opened.

use std::net::SocketAddr;

use nix::sys::signal::Signal;

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{Builder, Client, Server, ServerKind};

on_both_servers!(
    several_of_different_kinds,
    no_socket_at_all,
    named_descriptors,
    meant_for_another_process
);

on_rgunicorn!(what_is_no_socket_is_named);

/// The TCP address in the line that tells where the server listens.
#[track_caller]
fn tcp(server: &Server) -> SocketAddr {
    let line = server.log.wait_for("Listening at: ");
    let rest = line.split("http://").nth(1).expect("an address");
    let text = rest.split([',', ' ']).next().expect("it has an end");
    text.parse().expect("an address with its port")
}

/// As systemd passes them; `bind` says nothing then, and the socket file is not the server's to remove.
fn several_of_different_kinds(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app").args(["-b", "127.0.0.1:1"]);
    let path = builder.dir().join("web.sock");
    let text = path.to_str().expect("an ordinary path");
    let variables = [("LISTEN_PID", "PID"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web:admin")];
    let mut server = builder.passing(&["tcp", text], &variables).start();
    let addr = tcp(&server);
    let line = format!("Listening at: http://{addr},unix:{text} ({})", server.pid());
    assert!(server.log.text().contains(&line), "{}", server.log.text());
    for name in ["LISTEN_PID", "LISTEN_FDS"] {
        let value = Client::connect(addr).get(&format!("/variable?{name}")).text();
        assert_eq!(value, "None", "{name}");
    }
    assert_eq!(Client::connect_unix(&path).get("/pid").status, 200);
    server.signal(Signal::SIGHUP);
    server.log.wait_for_count("note: loaded in ", 2);
    assert_eq!(Client::connect_unix(&path).get("/pid").status, 200);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(path.exists());
}

/// What says that there is none is meant for the server too.
fn no_socket_at_all(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app").args(["-b", "127.0.0.1:0"]);
    let variables = [("LISTEN_PID", "PID"), ("LISTEN_FDS", "0")];
    let server = builder.passing(&[], &variables).start();
    let addr = tcp(&server);
    for name in ["LISTEN_PID", "LISTEN_FDS"] {
        let value = Client::connect(addr).get(&format!("/variable?{name}")).text();
        assert_eq!(value, "None", "{name}");
    }
}

/// Without variables, by `fd://`; textual addresses beside it are ignored.
fn named_descriptors(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app");
    let args = ["-b", "fd://3", "-b", "127.0.0.1:1", "-b", "fd://4"];
    let path = builder.dir().join("web.sock");
    let text = path.to_str().expect("an ordinary path");
    let server = builder.passing(&["tcp", text], &[]).args(args).start();
    assert_eq!(Client::connect(tcp(&server)).get("/pid").status, 200);
    assert_eq!(Client::connect_unix(&path).get("/pid").status, 200);
    assert!(!server.log.text().contains("127.0.0.1:1,"));
}

fn meant_for_another_process(kind: ServerKind) {
    let builder = Builder::new(kind).app("supervised:app").args(["-b", "127.0.0.1:0"]);
    let variables = [("LISTEN_PID", "1"), ("LISTEN_FDS", "1")];
    let server = builder.passing(&["tcp"], &variables).start();
    let addr = tcp(&server);
    assert_eq!(Client::connect(addr).get("/pid").status, 200);
    assert_eq!(Client::connect(addr).get("/variable?LISTEN_FDS").text(), "'1'");
}

fn what_is_no_socket_is_named(kind: ServerKind) {
    let variables = [("LISTEN_PID", "PID"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web")];
    let builder = Builder::new(kind).app("supervised:app").passing(&["tcp"], &variables);
    let outcome = builder.run();
    assert_eq!(outcome.status, Some(1));
    let message = "Cannot listen on fd://4: the descriptor ";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("has passed 3 (web), 4."), "{}", outcome.stderr);
    // Also where that is what the sentence is written to.
    let builder = Builder::new(kind).app("supervised:app").passing(&[], &[]);
    let outcome = builder.args(["-b", "fd://2"]).run();
    let message = "Cannot listen on fd://2: the descriptor is not a stream socket.";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
}
