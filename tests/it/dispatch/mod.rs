//! All slots of all workers as one queue: no request waits for a slot while another one is idle, and
//! connections move between workers without their clients noticing.
//!
//! Requests are held in the application by named pipes, so that which slots are busy is decided by the
//! tests and not by time. These are promises of rgunicorn alone.

mod conservation;
mod idle;
mod leaks;
mod losses;
mod overdue;
mod reloads;
mod shedding;
mod steady;
mod stopping;
mod threads;
mod travels;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{Builder, Client, Response, Server, ServerKind};

/// A server whose connections stay as long as their clients want.
fn builder(kind: ServerKind) -> Builder {
    Builder::new(kind).app("dispatched:app").args(["--keep-alive", "600"])
}

/// Whether the counts that the promises are about are asked for, and not what fits into a test run.
fn in_full() -> bool {
    std::env::var_os("FULL_COUNTS").is_some()
}

/// A request on a connection that stays.
fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// What the application saw.
struct Seen {
    facts: HashMap<String, String>,
    body: Vec<u8>,
    connection: Option<String>,
}

impl Seen {
    #[track_caller]
    fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{}", response.text());
        let end = crate::harness::client::find(&response.body, b"\n\n").expect("facts and a body");
        let (head, body) = response.body.split_at(end);
        let text = String::from_utf8_lossy(head);
        let facts = text.lines().filter_map(|line| line.split_once('='));
        Self {
            facts: facts.map(|(name, value)| (name.into(), value.into())).collect(),
            body: body[2..].to_vec(),
            connection: response.header("Connection").map(str::to_owned),
        }
    }

    /// The worker.
    #[track_caller]
    fn pid(&self) -> i32 {
        self.fact("pid").parse().expect("a process id")
    }

    #[track_caller]
    fn fact(&self, name: &str) -> &str {
        self.facts.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.facts))
    }
}

/// Sends a request and reads what the application saw of it.
#[track_caller]
fn ask(client: &mut Client, target: &str) -> Seen {
    client.send(request(target));
    seen(client)
}

/// Reads what the application saw of a request.
#[track_caller]
fn seen(client: &mut Client) -> Seen {
    Seen::of(&client.response())
}

/// As many connections of one worker, and the worker.
#[track_caller]
fn crowd(server: &Server, count: usize) -> (i32, Vec<Client>) {
    crowd_of(count, || server.connect())
}

/// The same with connections that are made like this.
#[track_caller]
fn crowd_of(count: usize, connect: impl Fn() -> Client) -> (i32, Vec<Client>) {
    let mut all: HashMap<i32, Vec<Client>> = HashMap::new();
    // Far more than it takes if they fall on few workers in any way.
    for _ in 0..count * 16 {
        let mut client = connect();
        let pid = ask(&mut client, "/pid").pid();
        let own = all.entry(pid).or_default();
        own.push(client);
        if own.len() == count {
            return (pid, std::mem::take(own));
        }
    }
    panic!("no worker has {count} connections");
}

/// A request that is in the application until it is released.
struct Held {
    client: Client,
    pipe: PathBuf,
    pid: i32,
}

/// Sends a request that holds a slot, and waits until it does.
#[track_caller]
fn hold(server: &Server, client: Client) -> Held {
    hold_with(server, client, "/hold")
}

#[track_caller]
fn hold_with(server: &Server, mut client: Client, path: &str) -> Held {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let pipe = server.dir().join(format!("pipe{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe can be made");
    client.send(request(&format!("{path}?{}", pipe.display())));
    let line = server.log.wait_for(&format!("note: held {} in ", pipe.display()));
    let pid = line.rsplit(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id");
    Held { client, pipe, pid }
}

impl Held {
    /// Lets the application go on.
    #[track_caller]
    fn release(&self) {
        fs::write(&self.pipe, "").expect("the application reads the pipe");
    }

    /// Lets the application go on, and returns the connection and what the application saw.
    #[track_caller]
    fn finish(mut self) -> (Client, Seen) {
        self.release();
        let seen = seen(&mut self.client);
        assert_eq!(seen.pid(), self.pid, "answered by the worker that was held");
        (self.client, seen)
    }
}

/// Holds the one slot of this worker.
#[track_caller]
fn hold_worker(server: &Server, pid: i32) -> Held {
    hold_worker_by(server, pid, || server.connect())
}

/// The same over connections that are made like this.
#[track_caller]
fn hold_worker_by(server: &Server, pid: i32, connect: impl Fn() -> Client) -> Held {
    let mut others = Vec::new();
    loop {
        let held = hold(server, connect());
        if held.pid == pid {
            others.into_iter().for_each(|other: Held| drop(other.finish()));
            return held;
        }
        others.push(held);
    }
}
