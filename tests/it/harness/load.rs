//! Many clients at once, each of which knows which of its requests were answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::Client;

/// A request that was not answered.
#[derive(Debug)]
pub struct Failure {
    /// What the application was asked, unique.
    pub id: String,
    /// When the request was completely written, if it was.
    pub written: Option<Instant>,
    pub failed: Instant,
    /// Only ever printed.
    #[expect(dead_code, reason = "shown by Debug in failed assertions")]
    pub error: String,
}

/// What one client, or all of them, went through.
#[derive(Default)]
pub struct Tally {
    pub answered: Vec<String>,
    pub failures: Vec<Failure>,
    /// Requests that were sent once more, on a new connection, and when: the server had closed the
    /// one they were sent on first, which had served others, without a byte of an answer.
    pub retried: Vec<(String, Instant)>,
    /// Clients that ended because they could not connect.
    pub refused: usize,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicUsize,
}

/// The text of a request, made from its id and the value of its header `Connection`.
pub type Request = fn(&str, &str) -> String;

/// Clients that send requests until they are told to stop.
///
/// Half of them keep their connection, the others open one per request.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// Starts `count` clients that ask for `/load?ID`. A client ends when it cannot connect.
    pub fn start(addr: SocketAddr, count: usize) -> Self {
        Self::sending(addr, count, plain)
    }

    /// The same with a pause after each answer, in which kept connections are idle.
    pub fn paced(addr: SocketAddr, count: usize, pause: Duration) -> Self {
        Self::run(addr, count, pause, plain)
    }

    /// Like [`Load::start`], with requests made from an id and the value of `Connection`.
    pub fn sending(addr: SocketAddr, count: usize, request: Request) -> Self {
        Self::run(addr, count, Duration::ZERO, request)
    }

    fn run(addr: SocketAddr, count: usize, pause: Duration, request: Request) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = (0..count)
            .map(|number| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || run(addr, number, (request, pause), &shared))
            })
            .collect();
        Self { shared, clients }
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered.
    #[track_caller]
    pub fn wait_more(&self, count: usize) {
        let goal = self.answered() + count;
        super::until(super::BOUND, "requests to be answered", || {
            (self.answered() >= goal).then_some(())
        });
    }

    /// Stops all clients and returns what they saw.
    pub fn finish(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            let tally = client.join().expect("a client does not panic");
            all.answered.extend(tally.answered);
            all.failures.extend(tally.failures);
            all.retried.extend(tally.retried);
            all.refused += tally.refused;
        }
        all
    }
}

fn plain(id: &str, connection: &str) -> String {
    format!("GET /load?{id} HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n")
}

/// Why a request has no answer.
struct Lost {
    /// When the request was completely written, if it was.
    written: Option<Instant>,
    /// Whether any byte of an answer came.
    partly: bool,
    error: io::Error,
}

fn run(
    addr: SocketAddr,
    number: usize,
    (text, pause): (Request, Duration),
    shared: &Shared,
) -> Tally {
    let mut tally = Tally::default();
    let keeps = number.is_multiple_of(2);
    let mut kept: Option<Client> = None;
    for count in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{number}-{count}");
        let reused = kept.take().map(|client| request(client, text, &id, keeps));
        let outcome = match reused {
            // A server may close an idle connection at any time. Not a byte of an answer on a
            // reused connection means just that, and the request is sent again (RFC 9112, 9.3.1).
            Some(Err(lost)) if !lost.partly => {
                tally.retried.push((id.clone(), Instant::now()));
                match Client::try_connect(addr) {
                    Ok(client) => request(client, text, &id, keeps),
                    Err(_) => Err(lost),
                }
            }
            Some(outcome) => outcome,
            None => {
                let Ok(client) = Client::try_connect(addr) else {
                    tally.refused += 1;
                    break;
                };
                request(client, text, &id, keeps)
            }
        };
        match outcome {
            Ok(client) => {
                kept = client;
                tally.answered.push(id);
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(Lost { written, error, .. }) => {
                let error = error.to_string();
                tally.failures.push(Failure { id, written, failed: Instant::now(), error });
            }
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    tally
}

/// One request; the connection, if it can take another.
fn request(
    mut client: Client,
    text: Request,
    id: &str,
    keeps: bool,
) -> Result<Option<Client>, Lost> {
    let text = text(id, if keeps { "keep-alive" } else { "close" });
    let lost = |written, partly| move |error| Lost { written, partly, error };
    client.try_send(text).map_err(lost(None, false))?;
    let written = Some(Instant::now());
    client.fill().map_err(lost(written, false))?;
    let response = client.try_response("GET").map_err(lost(written, true))?;
    if response.status != 200 {
        let error = io::Error::other(format!("answered {}", response.status));
        return Err(Lost { written, partly: true, error });
    }
    let stays = keeps && response.header("Connection") != Some("close");
    Ok(stays.then_some(client))
}
