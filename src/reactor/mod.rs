//! The event loop of one worker: connections in, complete requests out, responses drained.
//!
//! It knows sockets and HTTP but not Python: a [`Handler`] gets each request when its head and body
//! are there.

mod accept;
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

use self::accept::Accepting;
pub use self::body::{Body, Storage};
use self::connection::{Connection, State};
pub use self::exchange::{Exchange, Patience, Progress, Received, Refusal, Summary, When};
pub use self::output::Shared;
use self::timers::{Durations, Kind, Timers};
use crate::http::{Head, HeadParser, HeadStore, ProxyInfo, ProxyProtocol, Reject, TrustList};
use crate::net::listener::Listener;
pub use crate::sys::epoll::Wait;
use crate::sys::epoll::{Epoll, Events, Interest};
pub use crate::sys::socket::Peer;
use crate::sys::{process, time};

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
    /// What the PROXY protocol said of the client.
    pub proxy: Option<&'a ProxyInfo>,
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
    /// Peers whose headers of a proxy are believed.
    pub trusted: TrustList,
    pub proxy: ProxyProtocol,
    /// A request reaches the handler when its body is there.
    pub buffering: bool,
    pub storage: Storage,
    /// The largest body that is accepted; 0 is any.
    pub body_limit: u64,
    /// How many bytes a response may be ahead of its client.
    pub high_water: usize,
    /// How long a client may take for a request head; zero is for ever.
    pub head_patience: Duration,
    pub patience: Patience,
    /// How long an idle connection is kept; zero: connections are not kept.
    pub keep_alive: Duration,
    /// The most connections open at a time.
    pub connections: usize,
    /// Other workers accept from the same listeners.
    pub shared: bool,
}

/// How long and how much is read behind a connection that we closed, so that the client gets the
/// response before it learns that nobody listens (RFC 9112 section 9.6).
const LINGER_PATIENCE: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;

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

impl<'a> Reactor<'a> {
    /// # Errors
    /// The error of `epoll_create1(2)` or `epoll_ctl(2)`.
    pub fn new(listeners: &'a [Listener], options: Options) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        for (index, listener) in listeners.iter().enumerate() {
            epoll.add(listener.as_fd(), LISTENER | index as u64, Interest::SharedRead)?;
        }
        let durations = Durations {
            head: options.head_patience,
            body: options.patience.body,
            write: options.patience.write,
            idle: options.keep_alive,
            linger: LINGER_PATIENCE,
        };
        let exchange = Exchange::new(options.parser.clone(), options.high_water, options.patience);
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
            exchange: Arc::new(exchange),
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
        self.expire(handler);
    }

    /// Whether the last [`Self::poll`] found something.
    pub fn has_events(&self) -> bool {
        self.events.len() > 0
    }

    /// Stops accepting for good and lets connections end: responses close theirs, idle ones have `idle` left for a request that is on its way, and
    /// those whose first request is not there yet have `head`.
    pub fn retire(&mut self, idle: Duration, head: Duration) {
        if self.retiring {
            return;
        }
        self.retiring = true;
        self.pause_accepting(Accepting::No);
        let now = time::monotonic_coarse_ns();
        self.timers.shorten(Kind::Idle, idle, now);
        self.timers.shorten(Kind::Head, head, now);
        for (key, connection) in &self.connections {
            let key = u32::try_from(key).unwrap_or(u32::MAX);
            if matches!(connection.state, State::Head(_)) && self.timers.armed(key).is_none() {
                self.timers.arm(key, Kind::Head, now);
            }
        }
    }

    fn is_current(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(id.key as usize);
        connection.is_some_and(|connection| connection.serial == id.serial)
    }

    fn expire(&mut self, handler: &mut dyn Handler) {
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
            self.timed_out(key, kind, handler);
        }
    }

    fn close(&mut self, key: u32) {
        self.timers.disarm(key);
        let closed = self.connections.try_remove(key as usize);
        // Closing the last descriptor of a connection takes it out of the epoll set as well.
        if process::shares_descriptors()
            && let Some(Connection { stream: Some(stream), interest: Some(_), .. }) = &closed
        {
            let _ = self.epoll.remove(stream);
        }
        if self.accepting == Accepting::Full && self.connections.len() < self.options.connections {
            self.resume_accepting();
        }
    }
}

#[cfg(test)]
mod tests;
