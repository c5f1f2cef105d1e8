//! Clients that send without pause on connections that stay, and take their end for a failure.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::{Seen, request};
use crate::harness::{BOUND, Client, until};

/// What one client went through, to the end of a connection or its own.
#[derive(Default)]
pub struct Course {
    pub answered: usize,
    /// How often another worker answered than before.
    pub moves: usize,
    /// The last response announced the end of the connection.
    pub said_close: bool,
    /// The request that has no answer.
    pub error: Option<String>,
}

struct Shared {
    stop: AtomicBool,
    answered: AtomicUsize,
    /// Connections that nobody uses at the moment.
    connections: Mutex<Vec<Connection>>,
}

struct Connection {
    client: Client,
    /// Who has answered last.
    worker: Option<i32>,
}

/// A number of such clients.
pub struct Steady {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Course>>,
}

impl Steady {
    /// Starts `count` clients that send this request, the answer of which begins as that to `/pid`, on
    /// any of so many connections.
    #[track_caller]
    pub fn start(
        addr: SocketAddr,
        count: usize,
        connections: usize,
        bytes: impl AsRef<[u8]>,
    ) -> Self {
        let connect = |_| Connection { client: Client::connect(addr), worker: None };
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            connections: Mutex::new((0..connections).map(connect).collect()),
        });
        let bytes: Arc<[u8]> = bytes.as_ref().into();
        let clients = (0..count).map(|_| {
            let (shared, bytes) = (Arc::clone(&shared), Arc::clone(&bytes));
            thread::spawn(move || run(&bytes, &shared))
        });
        Self { clients: clients.collect(), shared }
    }

    /// Asks for `target` on a connection per client.
    pub fn get(addr: SocketAddr, count: usize, target: &str) -> Self {
        Self::start(addr, count, count, request(target))
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered.
    #[track_caller]
    pub fn wait_more(&self, count: usize) {
        let goal = self.answered() + count;
        while self.answered() < goal {
            let before = self.answered();
            until(BOUND, "requests to be answered", || (self.answered() > before).then_some(()));
        }
    }

    /// Stops all clients after their next answer.
    pub fn finish(self) -> Vec<Course> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until all clients have met the end of their connections.
    pub fn join(self) -> Vec<Course> {
        let join = |client: JoinHandle<Course>| client.join().expect("a client does not panic");
        self.clients.into_iter().map(join).collect()
    }
}

/// Fails unless every request was answered and no connection ended.
#[track_caller]
pub fn assert_undisturbed(courses: &[Course]) {
    let errors: Vec<&String> = courses.iter().filter_map(|course| course.error.as_ref()).collect();
    assert!(errors.is_empty(), "{} clients failed: {errors:?}", errors.len());
    let closed = courses.iter().filter(|course| course.said_close).count();
    assert_eq!(closed, 0, "connections were to be closed");
    assert!(courses.iter().all(|course| course.answered > 0), "a client was never answered");
}

fn run(bytes: &[u8], shared: &Shared) -> Course {
    let mut course = Course::default();
    while !shared.stop.load(Ordering::Relaxed) && !course.said_close {
        let Connection { mut client, worker } = {
            let mut free = shared.connections.lock().expect("no client panics");
            // In no order that connections and workers could fall in with.
            let any = shared.answered.load(Ordering::Relaxed).wrapping_mul(7919) % free.len();
            free.swap_remove(any)
        };
        match client.try_send(bytes).and_then(|()| client.try_response("GET")) {
            Ok(response) if response.status == 200 => {
                let pid = Seen::of(&response).pid();
                course.moves += usize::from(worker.is_some_and(|worker| worker != pid));
                course.answered += 1;
                course.said_close = response.header("Connection") != Some("keep-alive");
                shared.answered.fetch_add(1, Ordering::Relaxed);
                if !course.said_close {
                    let connection = Connection { client, worker: Some(pid) };
                    shared.connections.lock().expect("no client panics").push(connection);
                }
            }
            Ok(response) => {
                course.error = Some(format!("{}: {}", response.status, response.text()));
                break;
            }
            Err(error) => {
                course.error = Some(format!("request {}: {error}", course.answered + 1));
                break;
            }
        }
    }
    course
}
