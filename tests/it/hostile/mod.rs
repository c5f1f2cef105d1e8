//! Clients that mean harm or just take their time, bodies of any size, and applications that use
//! more of the connection than WSGI gives them.
//!
//! Slow clients in general are in `slow_clients`, what is refused and how in `conformance`.

mod bodies;
mod budget;
mod crowd;
mod deadlines;
mod draining;
mod forks;
mod limits;
mod smuggling;
mod takeover;
mod websocket;

use std::time::Duration;

use crate::harness::{Builder, Client, Server, ServerKind, process, until};

/// Long enough for a server to answer if it were going to, short enough to wait for.
const MOMENT: Duration = Duration::from_millis(250);

/// A server of one worker with the application `hostile:app`.
fn builder(kind: ServerKind) -> Builder {
    Builder::new(kind).app("hostile:app")
}

#[track_caller]
fn worker(server: &Server) -> i32 {
    server.wait_workers(1)[0]
}

/// How many connections a worker holds, its listeners and inner ones included.
fn sockets(pid: i32) -> usize {
    process::descriptors(pid).iter().filter(|link| link.starts_with("socket:")).count()
}

/// Waits until a worker has closed the connections it had beyond `count`.
#[track_caller]
fn wait_sockets(pid: i32, count: usize) {
    until(crate::harness::BOUND, "connections to be closed", || {
        (sockets(pid) <= count).then_some(())
    });
}

/// A request without body on a connection that may stay.
fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Fails unless the connection still takes a request.
#[track_caller]
fn assert_usable(client: &mut Client) {
    client.send(request("/plain"));
    assert_eq!(client.response().text(), "plain");
}
