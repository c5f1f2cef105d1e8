//! Behind HAProxy: `examples/haproxy`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::behind::{self, Site, Upstream};
use crate::example::Example;
use crate::program::{Program, free_address, make_certificate};

fn start(dir: &Path, example: Example, plain: SocketAddr, secure: SocketAddr) -> Program {
    make_certificate(dir);
    let path = example
        .with("bind :80", &format!("bind {plain}"))
        .with("bind :443", &format!("bind {secure}"))
        .with("/etc/haproxy/example.com.pem", &format!("{}/both.pem", dir.display()))
        .write_to(dir);
    Program::start(Command::new("haproxy").args(["-db", "-f"]).arg(&path), plain)
}

/// Starts the server and the proxy for an example that names a unix socket, and checks the site.
fn unix(example: Example, special: fn(&Site)) {
    let builder = behind::builder();
    let path = builder.dir().join("http.sock");
    let example = example.with("/run/site/http.sock", path.to_str().expect("UTF-8"));
    let server = behind::start(builder, &example);
    let (plain, secure) = (free_address(), free_address());
    let _proxy = start(server.dir(), example, plain, secure);
    let site = Site { server: &server, plain, secure, upstream: Upstream::Unix(path) };
    special(&site);
    behind::check(&site);
}

/// The same over TCP.
fn tcp(example: Example, special: fn(&Site)) {
    let addr = free_address();
    let example = example
        .with("unix@/run/site/http.sock", &addr.to_string())
        .with("--bind unix:/run/site/http.sock", &format!("--bind {addr}"));
    let server = behind::start(behind::builder(), &example);
    let (plain, secure) = (free_address(), free_address());
    let _proxy = start(server.dir(), example, plain, secure);
    let site = Site { server: &server, plain, secure, upstream: Upstream::Tcp(addr) };
    special(&site);
    behind::check(&site);
}

#[test]
#[ignore = "run by tests/system/run"]
fn headers_over_a_unix_socket() {
    unix(Example::read("haproxy/haproxy.cfg"), behind::shared_connections);
}

#[test]
#[ignore = "run by tests/system/run"]
fn headers_over_tcp() {
    tcp(Example::read("haproxy/haproxy.cfg"), behind::shared_connections);
}

#[test]
#[ignore = "run by tests/system/run"]
fn proxy_v2_over_a_unix_socket() {
    unix(Example::read("haproxy/proxy-protocol.cfg"), behind::connection_of_a_client);
}

#[test]
#[ignore = "run by tests/system/run"]
fn proxy_v1_over_tcp() {
    let example = Example::read("haproxy/proxy-protocol.cfg")
        .with(" send-proxy-v2\n", " send-proxy\n")
        .with("--proxy-protocol v2", "--proxy-protocol v1");
    tcp(example, behind::connection_of_a_client);
}
