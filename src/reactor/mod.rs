//! The event loop of one worker: connections in, complete requests out, responses drained.
//!
//! It knows sockets and HTTP but not Python: a [`Handler`] gets each request when its head and body
//! are there.

mod body;
mod connection;
mod exchange;
mod input;
mod output;
mod service;
mod timers;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

pub use self::body::Body;
use self::connection::Connection;
pub use self::exchange::{Exchange, Progress, Refusal, Summary};
pub use self::output::Shared;
use self::timers::{Durations, Kind, Timers};
use crate::error::reason;
use crate::http::{Head, HeadParser, HeadStore, Reject, TrustList};
use crate::net::listener::Listener;
use crate::net::stream::Stream;
pub use crate::sys::epoll::Wait;
use crate::sys::epoll::{Epoll, Events, Interest};
pub use crate::sys::socket::Peer;
use crate::sys::{socket, time};

/// Identifies a connection for as long as the worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    /// Small and reused.
    pub key: u32,
    /// Never reused.
    pub serial: u64,
}

/// A request whose head and body are complete.
pub struct Request<'a> {
    pub head: Head<'a>,
    pub body: Body,
    pub peer: Peer,
    pub connection: ConnectionId,
    /// Index of the listener it came in on.
    pub listener: usize,
}

/// What the event loop is there for.
pub trait Handler {
    /// Handles a request; the response goes through the exchange.
    fn handle(&mut self, request: Request<'_>, exchange: &Arc<Exchange>);
    /// Takes note of a request that was answered with an error page. It has a head and no body if
    /// it got far enough for that.
    fn rejected(&mut self, reject: &Reject, peer: Peer, request: Option<&Request<'_>>);
    /// Whether the response to the request about to be handled may leave its connection open.
    /// Asked exactly once per request.
    fn keeps_alive(&mut self) -> bool;
}

/// Settings of the event loop.
pub struct Options {
    pub parser: HeadParser,
    pub trusted: TrustList,
    /// How long an idle connection is kept; zero: connections are not kept.
    pub keep_alive: Duration,
    /// The most connections open at a time.
    pub connections: usize,
    /// Other workers accept from the same listeners.
    pub shared: bool,
}

/// How long clients may take for what they have to do.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
const BODY_PATIENCE: Duration = Duration::from_secs(60);
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// How long and how much is read behind a connection that we closed, so that the client gets the
/// response before it learns that nobody listens (RFC 9112 section 9.6).
const LINGER_PATIENCE: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;
/// How long accepting rests when descriptors have run out.
const ACCEPT_REST: Duration = Duration::from_secs(1);

/// Connections accepted per readiness event; between two of them a request may be served.
const ACCEPT_BATCH: usize = 64;
/// New connections that a worker takes on per event without having served them, while others could.
const ACCEPT_WAITING: usize = 2;
/// Requests of one connection served in a row before others get their turn.
const PIPELINE_BATCH: usize = 16;
/// One read.
const READ_SIZE: usize = 64 * 1024;

/// Tokens with this bit are not of connections.
const SPECIAL: u64 = 1 << 63;
const LISTENER: u64 = SPECIAL;
const EXTERNAL: u64 = SPECIAL | 1 << 62;

/// The part of a token that says which listener, descriptor or connection it is.
fn low_half(token: u64) -> u32 {
    let [a, b, c, d, ..] = token.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The event loop.
pub struct Reactor<'a> {
    epoll: Epoll,
    events: Events,
    listeners: &'a [Listener],
    connections: Slab<Connection>,
    timers: Timers,
    /// Connections with unread input that wait for their next turn.
    ready: VecDeque<ConnectionId>,
    /// Descriptors of others that have become readable.
    external: Vec<u32>,
    scratch: Vec<u8>,
    store: HeadStore,
    exchange: Arc<Exchange>,
    options: Options,
    serial: u64,
    accepting: Accepting,
    retiring: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    Yes,
    /// At the limit of connections.
    Full,
    /// Out of descriptors until then.
    Resting(u64),
    /// For good.
    No,
}

impl<'a> Reactor<'a> {
    /// # Errors
    /// The error of `epoll_create1(2)` or `epoll_ctl(2)`.
    pub fn new(listeners: &'a [Listener], options: Options) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        for (index, listener) in listeners.iter().enumerate() {
            epoll.add(listener.as_fd(), LISTENER | index as u64, Interest::SharedRead)?;
        }
        let durations = Durations {
            head: HEAD_PATIENCE,
            body: BODY_PATIENCE,
            write: WRITE_PATIENCE,
            idle: options.keep_alive,
            linger: LINGER_PATIENCE,
        };
        Ok(Self {
            epoll,
            events: Events::with_capacity(256),
            listeners,
            connections: Slab::with_capacity(64),
            timers: Timers::new(durations),
            ready: VecDeque::new(),
            external: Vec::new(),
            scratch: vec![0; READ_SIZE],
            store: HeadStore::new(false),
            exchange: Arc::new(Exchange::new()),
            options,
            serial: 0,
            accepting: Accepting::Yes,
            retiring: false,
        })
    }

    /// Watches a descriptor of the caller's for reading; [`Self::next_external`] tells of it.
    ///
    /// # Errors
    /// The error of `epoll_ctl(2)`.
    pub fn watch(&self, fd: BorrowedFd<'_>, id: u32) -> io::Result<()> {
        self.epoll.add(fd, EXTERNAL | u64::from(id), Interest::Read)
    }

    /// Stops watching a descriptor of the caller's.
    pub fn unwatch(&self, fd: BorrowedFd<'_>) {
        // It was watched: removing cannot fail.
        let _ = self.epoll.remove(fd);
    }

    /// A watched descriptor that has become readable.
    pub fn next_external(&mut self) -> Option<u32> {
        self.external.pop()
    }

    /// Whether there is something to do without waiting.
    pub fn is_pressed(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Waits for events, until the next deadline of a connection or `until` (nanoseconds of the
    /// monotonic clock). To be followed by [`Self::dispatch`].
    ///
    /// # Errors
    /// The error of `epoll_wait(2)`.
    pub fn poll(&mut self, until: Option<u64>) -> io::Result<Wait> {
        let mut deadline = self.timers.next();
        if let Accepting::Resting(until) = self.accepting {
            deadline = Some(deadline.map_or(until, |at| at.min(until)));
        }
        let deadline = match (deadline, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let timeout = if self.is_pressed() {
            Some(Duration::ZERO)
        } else {
            deadline.map(|at| Duration::from_nanos(at.saturating_sub(time::monotonic_ns())))
        };
        self.epoll.wait(&mut self.events, timeout)
    }

    /// Handles what the last [`Self::poll`] found, and expired deadlines.
    pub fn dispatch(&mut self, handler: &mut dyn Handler) {
        for _ in 0..self.ready.len() {
            if let Some(id) = self.ready.pop_front()
                && self.is_current(id)
            {
                self.resume(id.key, handler);
            }
        }
        for index in 0..self.events.len() {
            let token = self.events.token(index);
            if token & SPECIAL == 0 {
                let key = low_half(token);
                // The serial tells an event of a closed connection from one of its successor.
                let current = self.connections.get(key as usize);
                if current.is_some_and(|connection| token == connection.token(key)) {
                    self.connection_event(key, handler);
                }
            } else if token & EXTERNAL == EXTERNAL {
                self.external.push(low_half(token));
            } else {
                self.accept(low_half(token) as usize, handler);
            }
        }
        self.expire();
    }

    /// Stops accepting for good, behind what waits in the backlog, and lets connections end:
    /// responses close theirs, idle ones have `idle` left for a request that is on its way, and
    /// those whose first request is not there yet have `head`.
    pub fn retire(&mut self, idle: Duration, head: Duration, handler: &mut dyn Handler) {
        if self.retiring {
            return;
        }
        self.retiring = true;
        for index in 0..self.listeners.len() {
            while self.accept_one(index, handler).is_some() {}
        }
        self.pause_accepting(Accepting::No);
        let now = time::monotonic_coarse_ns();
        self.timers.shorten(Kind::Idle, idle, now);
        self.timers.shorten(Kind::Head, head, now);
    }

    fn is_current(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(id.key as usize);
        connection.is_some_and(|connection| connection.serial == id.serial)
    }

    fn accept(&mut self, listener: usize, handler: &mut dyn Handler) {
        let mut waiting = 0;
        for _ in 0..ACCEPT_BATCH {
            if self.accepting != Accepting::Yes {
                return;
            }
            let before = self.connections.len();
            if self.accept_one(listener, handler).is_none() {
                return;
            }
            if self.connections.len() > before {
                waiting += 1;
                if self.options.shared && waiting >= ACCEPT_WAITING {
                    return;
                }
            }
        }
    }

    /// Accepts one connection and reads from it at once, as the request is usually there already.
    fn accept_one(&mut self, listener: usize, handler: &mut dyn Handler) -> Option<()> {
        let (fd, peer) = match socket::accept(self.listeners[listener].as_fd()) {
            Ok(accepted) => accepted?,
            Err(error) => {
                self.accept_failed(&error);
                return None;
            }
        };
        self.serial += 1;
        let trusted = match peer {
            Peer::Inet(address) => self.options.trusted.contains(address.ip()),
            Peer::Unix => true,
        };
        let connection = Connection::new(Stream::new(fd), self.serial, listener, peer, trusted);
        let key = u32::try_from(self.connections.insert(connection)).ok()?;
        self.readable(key, handler);
        self.make_room();
        Some(())
    }

    fn accept_failed(&mut self, error: &io::Error) {
        let exhausted = matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
        );
        if exhausted {
            tracing::error!(
                "Cannot accept connections: {}. Accepting rests for {} s; raise the limit of \
                 open files (ulimit -n) or lower worker_connections.",
                reason(error),
                ACCEPT_REST.as_secs()
            );
            let rest = u64::try_from(ACCEPT_REST.as_nanos()).unwrap_or(u64::MAX);
            self.pause_accepting(Accepting::Resting(time::monotonic_ns().saturating_add(rest)));
        } else {
            tracing::error!("Cannot accept a connection: {}", reason(error));
        }
    }

    /// At the limit of connections the one that has been idle longest goes; if none is idle,
    /// accepting pauses.
    fn make_room(&mut self) {
        if self.connections.len() < self.options.connections || self.accepting != Accepting::Yes {
            return;
        }
        match self.timers.oldest(Kind::Idle) {
            Some(key) => self.close(key),
            None => self.pause_accepting(Accepting::Full),
        }
    }

    fn pause_accepting(&mut self, reason: Accepting) {
        if self.accepting == Accepting::Yes {
            for listener in self.listeners {
                // It was added by `new` or `resume_accepting`: removing cannot fail.
                let _ = self.epoll.remove(listener.as_fd());
            }
        }
        self.accepting = reason;
    }

    fn resume_accepting(&mut self) {
        self.accepting = Accepting::Yes;
        for (index, listener) in self.listeners.iter().enumerate() {
            let token = LISTENER | index as u64;
            if let Err(error) = self.epoll.add(listener.as_fd(), token, Interest::SharedRead) {
                tracing::error!("Cannot watch {listener}: {error}");
            }
        }
    }

    fn expire(&mut self) {
        let now = time::monotonic_ns();
        if let Accepting::Resting(until) = self.accepting
            && until <= now
        {
            self.resume_accepting();
        }
        if self.timers.next().is_none_or(|at| at > now) {
            return;
        }
        while let Some((key, kind)) = self.timers.expired(now) {
            if kind != Kind::Idle {
                tracing::debug!("Closing connection: timed out ({kind:?})");
            }
            self.close(key);
        }
    }

    fn close(&mut self, key: u32) {
        self.timers.disarm(key);
        // Closing the descriptor takes it out of the epoll set as well.
        self.connections.try_remove(key as usize);
        if self.accepting == Accepting::Full && self.connections.len() < self.options.connections {
            self.resume_accepting();
        }
    }
}
