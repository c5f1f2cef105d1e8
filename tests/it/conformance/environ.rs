//! environ (PEP 3333, and what gunicorn adds): values, types, and the different kinds of sockets.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use nix::sys::signal::Signal;

use super::{assert_seen, seen};
use crate::harness::cases::{cases, on_both_servers};
use crate::harness::{Builder, Client, Server, ServerKind};

on_both_servers!(
    tcp,
    objects,
    errors_in_a_file,
    several_workers,
    one_worker_more,
    unix_socket,
    ipv6,
    any_address,
    script_name_variable,
    raw_env,
    validator,
);

fn tcp(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    cases!(&server; fixed_values, addresses, keys, values_of_one_request_each);
}

fn fixed_values(server: &Server) {
    let response = server.get("/");
    let name = server.kind.name();
    let version = server.kind.version();
    assert_seen(&response, "SERVER_SOFTWARE", &format!("'{name}/{version}'"));
    assert_seen(&response, "wsgi.version", "(1, 0)");
    assert_seen(&response, "wsgi.url_scheme", "'http'");
    assert_seen(&response, "wsgi.multithread", "False");
    assert_seen(&response, "wsgi.multiprocess", "False");
    assert_seen(&response, "wsgi.run_once", "False");
    assert_seen(&response, "wsgi.input_terminated", "True");
    assert_seen(&response, "SCRIPT_NAME", "''");
    assert_seen(&response, "REQUEST_METHOD", "'GET'");
    assert_seen(&response, "QUERY_STRING", "''");
}

fn addresses(server: &Server) {
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: other.test:99\r\nConnection: close\r\n\r\n");
    let response = client.response();
    assert_seen(&response, "SERVER_NAME", "'127.0.0.1'");
    assert_seen(&response, "SERVER_PORT", &format!("'{}'", server.addr.port()));
    assert_seen(&response, "REMOTE_ADDR", "'127.0.0.1'");
    let port = seen(&response, "REMOTE_PORT").expect("the peer has a port");
    assert!(port.trim_matches('\'').parse::<u16>().is_ok_and(|port| port > 0), "{port}");
    assert_eq!(seen(&response, "REMOTE_HOST"), None);
    assert_eq!(seen(&response, "REMOTE_USER"), None);
}

/// A value that is kept for the next request is only used if it is the same.
fn values_of_one_request_each(server: &Server) {
    let long = "a".repeat(300);
    let values =
        ["en", "de", "de", "", "de-CH", "de-AT", &long, &long[1..], "\u{e9}", "\u{e8}", "en"];
    for name in ["Accept-Language", "accept-language", "X-Other"] {
        for value in values {
            let head = format!(
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{name}: {value}\r\n\r\n"
            );
            let mut client = server.connect();
            client.send(head);
            let response = client.response();
            let key = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
            assert_seen(&response, &key, &format!("'{value}'"));
        }
    }
}

/// Nothing is in environ that belongs to neither WSGI nor the request.
fn keys(server: &Server) {
    let response = server.get("/");
    let text = response.text();
    let keys: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(
        keys,
        [
            "HTTP_CONNECTION",
            "HTTP_HOST",
            "PATH_INFO",
            "QUERY_STRING",
            "RAW_URI",
            "REMOTE_ADDR",
            "REMOTE_PORT",
            "REQUEST_METHOD",
            "SCRIPT_NAME",
            "SERVER_NAME",
            "SERVER_PORT",
            "SERVER_PROTOCOL",
            "SERVER_SOFTWARE",
            "wsgi.input_terminated",
            "wsgi.multiprocess",
            "wsgi.multithread",
            "wsgi.run_once",
            "wsgi.url_scheme",
            "wsgi.version",
            "body",
        ]
    );
}

fn objects(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:objects").start();
    let able = "['read', 'readline', 'readlines', '__iter__']";
    assert_eq!(server.get("/").text(), format!("({able}, True)"));
    server.log.wait_for("printed to wsgi.errors");
}

/// What is written to wsgi.errors goes where the error log goes, and at once.
fn errors_in_a_file(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:objects");
    let path = builder.dir().join("error.log");
    let server = builder.args(["--error-logfile"]).args([&path]).spawn();
    assert_eq!(server.get("/").status, 200);
    let text = std::fs::read_to_string(&path).expect("the log is there");
    assert!(text.contains("\nprinted to wsgi.errors\n"), "{text}");
    assert_eq!(server.log.text(), "");
}

fn several_workers(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").args(["-w", "2"]).start();
    assert_seen(&server.get("/"), "wsgi.multiprocess", "True");
}

/// What counts is the number that was configured.
fn one_worker_more(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").start();
    server.wait_workers(1);
    server.signal(Signal::SIGTTIN);
    server.wait_workers(2);
    for _ in 0..8 {
        assert_seen(&server.get("/"), "wsgi.multiprocess", "False");
    }
}

fn unix_socket(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:app");
    let path = builder.dir().join("web.sock");
    let shown = path.display().to_string();
    let server = builder.binding(&format!("unix:{shown}")).start();
    server.log.wait_for(&format!("Listening at: unix:{shown} ({})", server.pid()));

    let response = Client::connect_unix(&path).get("/");
    assert_seen(&response, "REMOTE_ADDR", "''");
    assert_eq!(seen(&response, "REMOTE_PORT"), None);
    assert_seen(&response, "SERVER_NAME", "'test'");
    assert_seen(&response, "SERVER_PORT", "'80'");

    let ask = |host: &str| {
        let mut client = Client::connect_unix(&path);
        client.send(format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"));
        client.response()
    };
    for (host, name, port) in [
        ("name.test:81", "'name.test'", "'81'"),
        ("name.test:", "'name.test'", "''"),
        // None of these is valid.
        ("name.test:81:82", "'name.test'", "'81'"),
        ("::1", "''", "''"),
        ("[::1", "'['", "''"),
    ] {
        let response = ask(&format!("Host: {host}\r\n"));
        assert_seen(&response, "SERVER_NAME", name);
        assert_seen(&response, "SERVER_PORT", port);
    }
    for nothing in ["", "Host:\r\n"] {
        let response = ask(nothing);
        assert_seen(&response, "SERVER_NAME", &format!("'{shown}'"));
        assert_seen(&response, "SERVER_PORT", "''");
    }
    if kind.is_rgunicorn() {
        // gunicorn takes an IPv6 address apart.
        for (host, port) in [("[::1]:81", "'81'"), ("[::1]", "'80'")] {
            let response = ask(&format!("Host: {host}\r\n"));
            assert_seen(&response, "SERVER_NAME", "'[::1]'");
            assert_seen(&response, "SERVER_PORT", port);
        }
    }
    let response = ask("Host: a\r\nX-Forwarded-Proto: https\r\n");
    assert_seen(&response, "wsgi.url_scheme", "'https'");
    assert_seen(&response, "SERVER_PORT", "'443'");
}

fn ipv6(kind: ServerKind) {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        // As in many a container. Both say so.
        let outcome = Builder::new(kind).app("echo:app").binding("[::1]:0").run();
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("'::1', 0"), "{}", outcome.stderr);
        return;
    }
    let server = Builder::new(kind).app("echo:app").binding("[::1]:0").start();
    let line = server.log.wait_for("Listening at: http://[::1]:");
    let port = line.split("[::1]:").nth(1).and_then(|rest| rest.split(' ').next());
    let port: u16 = port.and_then(|port| port.parse().ok()).expect("the line shows the port");
    let response = Client::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).get("/");
    assert_seen(&response, "SERVER_NAME", "'::1'");
    assert_seen(&response, "SERVER_PORT", &format!("'{port}'"));
    assert_seen(&response, "REMOTE_ADDR", "'::1'");
}

/// The name is that of the listener, not of the address a client has found it at.
fn any_address(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").binding("0.0.0.0:0").start();
    let line = server.log.wait_for("Listening at: http://0.0.0.0:");
    let port = line.split("0.0.0.0:").nth(1).and_then(|rest| rest.split(' ').next());
    let port: u16 = port.and_then(|port| port.parse().ok()).expect("the line shows the port");
    let response = Client::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).get("/");
    assert_seen(&response, "SERVER_NAME", "'0.0.0.0'");
    assert_seen(&response, "SERVER_PORT", &format!("'{port}'"));
}

fn script_name_variable(kind: ServerKind) {
    let server = Builder::new(kind).app("echo:app").env("SCRIPT_NAME", "/mounted").start();
    let response = server.get("/mounted/page");
    assert_seen(&response, "SCRIPT_NAME", "'/mounted'");
    assert_seen(&response, "PATH_INFO", "'/page'");
    assert_seen(&server.get("/mounted"), "PATH_INFO", "''");
    let response = server.get("/elsewhere");
    assert_eq!((response.status, response.reason.as_str()), (500, "Bad Request"));
    // The path is compared as it was sent.
    assert_eq!(server.get("/%6dounted/page").status, 500);
    drop(server);

    let server = Builder::new(kind).app("echo:app").args(["-e", "SCRIPT_NAME=/raw"]).start();
    let response = server.get("/raw/page");
    assert_seen(&response, "SCRIPT_NAME", "'/raw'");
    assert_seen(&response, "PATH_INFO", "'/page'");
}

fn raw_env(kind: ServerKind) {
    let server = Builder::new(kind)
        .app("factories:configured")
        .args(["-e", "VALUE=a=b", "--env", "OTHER=1"])
        .start();
    assert_eq!(server.get("/").text(), "a=b");
}

/// The validator of the standard library wraps the application and looks at all of it.
fn validator(kind: ServerKind) {
    let server = Builder::new(kind).app("validated:app").keeping_alive().start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "got ");
    client.send("POST /write?q HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response().text(), "written got body");
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "got ");
    server.log.wait_for("validated");
    assert!(!server.log.text().contains("rror handling"), "{}", server.log.text());
}
