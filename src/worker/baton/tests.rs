//! Who drives, with real threads and without Python: jobs that take no time or some, a client each,
//! and nobody waits long for a slot that is idle.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Condvar;
use std::sync::atomic::AtomicUsize;
use std::thread::{self, ScopedJoinHandle};

use super::*;
use crate::config::Config;
use crate::net::address::Address;
use crate::net::handoff::Queue;
use crate::net::listener::{Listener, Opening};
use crate::reactor::testing::Quiet;
use crate::reactor::{Exchange, When, Workspace};
use crate::worker::options::options;

/// What the simulation sees.
impl<'a> Baton<'a> {
    /// The event loop, if nobody drives it.
    pub fn abandoned(&self) -> Option<MutexGuard<'_, Reactor<'a>>> {
        try_lock(&self.reactor)
    }

    /// Whether the stand-by thread has not been woken since it lay down.
    pub fn is_asleep(&self) -> bool {
        let called = self.stand_by.is_called();
        if called {
            self.asleep.store(false, Ordering::SeqCst);
        }
        !called
    }
}

const SLOTS: usize = 4;
/// Together with the one that holds a slot they are not more than there are slots.
const CLIENTS: u64 = 2;
const REQUESTS: usize = 600;
const GATES: u64 = 100;
/// The longest that a request may take. A tick is a millisecond, but the machine has other things
/// to do.
const LONGEST: Duration = Duration::from_secs(10);

/// A thread that need not let go of anything.
struct Plain;

impl Waits for Plain {
    fn wait(&self, parking: &Parking) {
        parking.wait();
    }

    fn lock<'m, T>(&self, mutex: &'m Mutex<T>) -> MutexGuard<'m, T> {
        lock(mutex)
    }
}

/// Holds a slot in the application.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let open = lock(&self.open);
        let mut open = self.opened.wait_while(open, |open| !*open).expect("no panic");
        *open = false;
    }

    fn open(&self) {
        *lock(&self.open) = true;
        self.opened.notify_all();
    }
}

fn attend(driver: &mut Driver<'_, '_>) {
    while driver.reactor.next_external().is_some() {
        driver.ring().silence();
    }
    driver.finish_returned();
}

/// As `Slot::run`.
fn slot(baton: &Baton<'_>, exchange: &Arc<Exchange>, busy: &AtomicUsize, gate: &Gate) {
    let parking = Arc::new(Parking::default());
    let mut workspace = Workspace::new();
    let mut finished = None;
    while let Some(mut driver) = baton.take(&Plain, &mut finished, &parking) {
        if let Some(finished) = finished.take() {
            driver.reactor.finish(finished);
        }
        attend(&mut driver);
        driver.reactor.set_busy(false);
        let mut job = loop {
            driver.refresh().expect("poll");
            if let Some(job) = driver.reactor.next(&mut workspace, exchange, &Quiet) {
                break job;
            }
            attend(&mut driver);
            if baton.is_over() {
                return;
            }
            driver.reactor.poll(None).expect("poll");
        };
        driver.release();
        busy.fetch_add(1, Ordering::SeqCst);
        baton.has_left();
        let request = workspace.request(&mut job);
        match std::str::from_utf8(&request.head.target()[1..]).expect("text") {
            "gate" => gate.pass(),
            "0" => {}
            micros => thread::sleep(Duration::from_micros(micros.parse().expect("a number"))),
        }
        let serial = exchange.renew();
        exchange
            .start(serial, (200, b"200 OK"), false, |headers| headers.push(b"Content-Length", b"0"))
            .expect("a valid response");
        exchange.write(serial, b"", When::End, || Box::new([])).expect("the client is there");
        busy.fetch_sub(1, Ordering::SeqCst);
        finished = Some(job.finish(exchange));
    }
}

/// As `StandBy::run`.
fn stand_by(baton: &Baton<'_>) {
    let mut seen = baton.turn();
    let mut still = false;
    while !baton.is_over() {
        baton.tick(Duration::from_micros(500));
        let turn = baton.turn();
        if turn != seen {
            (seen, still) = (turn, false);
        } else if turn % 2 == 1 {
            if still {
                baton.sleep(seen);
            }
            still = !still;
        } else if let Some(mut driver) = baton.pick_up() {
            driver.reactor.set_busy(true);
            loop {
                driver.reactor.gather(&Quiet);
                attend(&mut driver);
                if baton.slot_is_free() {
                    break;
                }
                driver.reactor.poll(None).expect("poll");
            }
            driver.step_down();
            seen = baton.turn();
        }
    }
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("the listener is there");
    stream.set_read_timeout(Some(LONGEST)).expect("a timeout");
    stream
}

fn ask(mut stream: &UnixStream, target: &str) {
    write!(stream, "GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n").expect("the server is there");
}

/// Waits for the answer, not for ever.
fn answer(mut stream: &UnixStream) {
    let mut buffer = [0; 1024];
    let mut count = 0;
    while !buffer[..count].ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer[count..]).expect("an answer in time");
        assert!(read > 0, "closed");
        count += read;
    }
}

/// Asks for requests of all lengths.
fn client(path: &Path, seed: u64) {
    let stream = connect(path);
    let mut state = seed;
    for _ in 0..REQUESTS {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let micros = match state >> 60 {
            0..10 => 0,
            10..15 => (state >> 40) % 300,
            _ => 2_000 + (state >> 40) % 2_000,
        };
        ask(&stream, &micros.to_string());
        answer(&stream);
        if state >> 59 == 0 {
            // Long enough for everybody to fall asleep.
            thread::sleep(Duration::from_millis(3));
        }
    }
}

/// Asks for requests that are answered only when others have been.
fn guard(path: &Path, gate: &Gate) {
    let (slow, fast) = (connect(path), connect(path));
    for turn in 0..GATES {
        ask(&slow, "gate");
        // A slot comes back to work that others drive, or to nobody.
        for _ in 0..turn % 3 {
            ask(&fast, "0");
            answer(&fast);
        }
        gate.open();
        answer(&slow);
        thread::sleep(Duration::from_millis(turn % 4));
    }
}

#[test]
fn no_thread_waits_while_there_is_work_and_all_come_to_an_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    let listeners = Listener::bind_all(&[Address::Unix(path.clone())], Opening::with_backlog(16))
        .expect("a free path");
    let queue = Queue::new().expect("a queue");
    let settings = options(&Config::default()).expect("valid settings");
    let mut reactor = Reactor::new(&listeners, &queue, settings).expect("a reactor");
    let ring = Ring::new().expect("a ring");
    reactor.watch(ring.fd(), 0).expect("room");
    let exchanges: Vec<_> = (0..SLOTS).map(|_| reactor.exchange()).collect();
    let baton = Baton::new(reactor, ring);
    let (busy, gate) = (AtomicUsize::new(0), Gate::default());
    thread::scope(|scope| {
        let (baton, busy, gate, path) = (&baton, &busy, &gate, &path);
        scope.spawn(|| stand_by(baton));
        for exchange in &exchanges {
            scope.spawn(move || slot(baton, exchange, busy, gate));
        }
        let mut clients = vec![scope.spawn(|| guard(path, gate))];
        clients.extend((1..=CLIENTS).map(|seed| scope.spawn(move || client(path, seed))));
        let ends: Vec<_> = clients.into_iter().map(ScopedJoinHandle::join).collect();
        // Also when one has failed: the scope waits for the others.
        gate.open();
        baton.end();
        for end in ends {
            end.expect("no request waits for ever");
        }
    });
    assert_eq!(busy.load(Ordering::SeqCst), 0);
}
