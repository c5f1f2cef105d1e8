//! The event loop of one worker: connections in, complete requests out, responses drained.
//!
//! It knows sockets and HTTP but not Python. Whoever drives it gets a [`Job`] for each request whose
//! head and body are there, and gives it back when it is answered.

mod accept;
mod body;
mod connection;
mod exchange;
mod handoff;
mod held;
mod input;
mod job;
mod output;
mod overload;
pub mod server_name;
mod service;
mod timers;

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use self::accept::{Accepting, Intake, Source};
pub use self::body::{Body, Storage};
use self::connection::{Connection, State};
pub use self::exchange::{Exchange, Outcome, Patience, Progress, Received, Refusal, Summary, When};
use self::held::Held;
pub use self::job::{Finished, Job, Workspace};
use self::job::{Ready, Waiting};
pub use self::output::Shared;
use self::timers::{Durations, Kind, Timers};
use crate::http::{Head, HeadParser, HeadStore, ProxyInfo, ProxyProtocol, Reject, TrustList};
use crate::net::handoff::Queue;
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
    /// How long it was complete before a slot took it.
    pub waited: Duration,
}

/// What the event loop asks of the worker around it.
pub trait Handler {
    /// Takes note of a request that was answered with an error page.
    fn rejected(&self, reject: &Reject, peer: Peer, refused: Refused<'_>);
    /// Whether connections are to end with their next response.
    fn lets_go(&self) -> bool;
    /// A slot takes a request, which has waited so long for it.
    fn taken(&self, waited: Duration);
    /// A request is turned away because it has waited too long.
    fn shed(&self);
    /// A connection was handed to other workers.
    fn sent(&self);
    /// A connection was taken over from another worker.
    fn received(&self);
}

/// What was refused.
#[derive(Clone, Copy)]
pub enum Refused<'a> {
    /// A request, without its body.
    Request(&'a Request<'a>),
    /// What has come of a head that was not understood.
    Bytes(&'a [u8]),
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
    /// How long a complete request may wait for a slot; zero is for ever.
    pub queue_patience: Duration,
}

/// How long and how much is read behind a connection that we closed, so that the client gets the
/// response before it learns that nobody listens (RFC 9112 section 9.6).
const LINGER_PATIENCE: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;

/// One read.
const READ_SIZE: usize = 64 * 1024;

/// Tokens with this bit are not of connections; the two below it say of what they are.
const SPECIAL: u64 = 1 << 63;
const LISTENER: u64 = SPECIAL;
const EXTERNAL: u64 = SPECIAL | 1 << 62;
const QUEUE: u64 = SPECIAL | 1 << 61;

/// The part of a token that says which listener, descriptor or connection it is.
fn low_half(token: u64) -> u32 {
    let [a, b, c, d, ..] = token.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The event loop.
pub struct Reactor<'a> {
    epoll: Epoll,
    events: Events,
    /// The next event to be looked at.
    cursor: usize,
    listeners: &'a [Listener],
    /// Connections on their way to whichever worker has a slot for them.
    queue: &'a Queue,
    connections: Slab<Connection>,
    timers: Timers,
    /// Connections with unread input that wait for their next turn.
    ready: VecDeque<ConnectionId>,
    /// Complete requests that wait for a slot.
    waiting: VecDeque<Waiting>,
    /// When the requests were complete that were put into the queue and may still be there, if that
    /// matters.
    queued: VecDeque<u64>,
    /// How many of them have their turn now.
    turns: usize,
    /// Responses that go out together.
    held: Held,
    intake: Option<Intake>,
    /// Descriptors of others that have become readable.
    external: Vec<u32>,
    scratch: Vec<u8>,
    /// The head of the request that was just found complete.
    found: Workspace,
    /// Used before and to be used again.
    spare: Option<Box<HeadStore>>,
    options: Options,
    serial: u64,
    accepting: Accepting,
    /// All slots are.
    busy: bool,
    /// The listeners are watched.
    listening: bool,
    /// The queue is watched.
    receiving: bool,
    retiring: Option<Retirement>,
    /// When connections of a worker that retires are to have had their time.
    last_call: u64,
}

/// What becomes of the connections of a worker that retires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// Others take them over.
    HandOver,
    /// There will be no others.
    Close,
}

impl<'a> Reactor<'a> {
    /// # Errors
    /// The error of `epoll_create1(2)` or `epoll_ctl(2)`.
    pub fn new(listeners: &'a [Listener], queue: &'a Queue, options: Options) -> io::Result<Self> {
        let durations = Durations {
            head: options.head_patience,
            body: options.patience.body,
            write: options.patience.write,
            idle: options.keep_alive,
            linger: LINGER_PATIENCE,
        };
        let mut reactor = Self {
            epoll: Epoll::new()?,
            events: Events::with_capacity(256),
            cursor: 0,
            listeners,
            queue,
            connections: Slab::with_capacity(64),
            timers: Timers::new(durations),
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            queued: VecDeque::new(),
            turns: 0,
            held: Held::default(),
            intake: None,
            external: Vec::new(),
            scratch: Vec::with_capacity(READ_SIZE),
            found: Workspace::new(),
            spare: None,
            options,
            serial: 0,
            accepting: Accepting::Yes,
            busy: false,
            listening: false,
            receiving: false,
            retiring: None,
            last_call: 0,
        };
        reactor.watch_sources();
        Ok(reactor)
    }

    /// An exchange for a slot.
    pub fn exchange(&mut self) -> Arc<Exchange> {
        let Options { parser, high_water, patience, .. } = &self.options;
        let exchange = Arc::new(Exchange::new(parser.clone(), *high_water, *patience));
        self.held.watch(&exchange);
        exchange
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
        !self.ready.is_empty() || !self.busy && !self.waiting.is_empty()
    }

    /// Whether something that the last [`Self::poll`] found is still to be looked at.
    pub fn has_leftovers(&self) -> bool {
        self.cursor < self.events.len() || self.intake.is_some()
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether complete requests wait for a slot.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Waits for events, until the next deadline of a connection or `until` (nanoseconds of the
    /// monotonic clock). To be followed by [`Self::next`].
    ///
    /// # Errors
    /// The error of `epoll_wait(2)`.
    pub fn poll(&mut self, until: Option<u64>) -> io::Result<Wait> {
        self.send_held();
        let rest = match self.accepting {
            Accepting::Resting(until) => Some(until),
            _ => None,
        };
        let deadlines = [self.timers.next(), rest, self.next_overdue(), until];
        let deadline = deadlines.into_iter().flatten().min();
        let timeout = if self.is_pressed() {
            Some(Duration::ZERO)
        } else {
            deadline.map(|at| Duration::from_nanos(at.saturating_sub(time::monotonic_ns())))
        };
        self.cursor = 0;
        self.intake = None;
        self.turns = self.ready.len();
        let wait = self.epoll.wait(&mut self.events, timeout);
        // What is in the queue has waited longer than anything else.
        if self.receiving && self.events.has(QUEUE) {
            self.intake = Some(Intake::new(Source::Queue));
        }
        wait
    }

    /// The next request to be answered through `exchange`, its head in `workspace`. `None`: all that
    /// the last [`Self::poll`] found is dealt with, and so are expired deadlines.
    pub fn next(
        &mut self,
        workspace: &mut Workspace,
        exchange: &Exchange,
        handler: &dyn Handler,
    ) -> Option<Job> {
        loop {
            let ready = if let Some(waiting) = self.waiting.pop_front() {
                *workspace = waiting.workspace;
                waiting.ready
            } else {
                let ready = self.advance(handler)?;
                std::mem::swap(&mut self.found, workspace);
                ready
            };
            self.send_long_held();
            let waited = ready.waited();
            if self.is_overdue(waited) {
                self.shed(&ready, workspace, handler);
            } else {
                return Some(self.assign(ready, waited, workspace, exchange, handler));
            }
        }
    }

    /// Deals with what the last [`Self::poll`] found while no slot is free: complete requests wait.
    pub fn gather(&mut self, handler: &dyn Handler) {
        while let Some(ready) = self.advance(handler) {
            self.keep_waiting(ready);
        }
    }

    /// Has the request that was just found complete wait for a slot.
    fn keep_waiting(&mut self, mut ready: Ready) {
        let workspace = std::mem::replace(&mut self.found, Workspace::new());
        if ready.since == 0 {
            ready.since = time::monotonic_ns();
        }
        self.waiting.push_back(Waiting { ready, workspace });
    }

    /// Goes on until a request is complete; its head is in `self.found` then.
    fn advance(&mut self, handler: &dyn Handler) -> Option<Ready> {
        loop {
            let found = if self.turns > 0 {
                self.turns -= 1;
                let id = self.ready.pop_front();
                id.filter(|id| self.is_current(*id)).and_then(|id| self.resume(id.key, handler))
            } else if self.intake.is_some() {
                self.accept(handler)
            } else if self.cursor < self.events.len() {
                self.cursor += 1;
                self.event(self.events.token(self.cursor - 1), handler)
            } else {
                self.send_held();
                self.expire(handler);
                return None;
            };
            if found.is_some() {
                return found;
            }
        }
    }

    fn event(&mut self, token: u64, handler: &dyn Handler) -> Option<Ready> {
        if token & SPECIAL == 0 {
            let key = low_half(token);
            // The serial tells an event of a closed connection from one of its successor.
            let current = self.connections.get(key as usize);
            if current.is_some_and(|connection| token == connection.token()) {
                return self.connection_event(key, handler);
            }
        } else if token & EXTERNAL == EXTERNAL {
            self.external.push(low_half(token));
        } else if token & QUEUE != QUEUE {
            // That of the queue came first.
            self.intake = Some(Intake::new(Source::Listener(low_half(token) as usize)));
        }
        None
    }

    /// Whether the last [`Self::poll`] found something.
    pub fn has_events(&self) -> bool {
        self.events.len() > 0
    }

    /// Stops accepting for good and lets connections end: idle ones have `idle` left for a request
    /// that is on its way, or to be handed over, and those whose first request is not there yet have
    /// `head`.
    pub fn retire(&mut self, how: Retirement, idle: Duration, head: Duration) {
        self.retiring = Some(how);
        self.pause_accepting(Accepting::No);
        let now = time::monotonic_coarse_ns();
        self.last_call = now.saturating_add(u64::try_from(head.as_nanos()).unwrap_or(u64::MAX));
        self.timers.shorten(Kind::Idle, idle, now);
        self.timers.shorten(Kind::Head, head, now);
        for (_, connection) in &self.connections {
            let key = connection.id.key;
            if matches!(connection.state, State::Head(_)) && self.timers.armed(key).is_none() {
                self.timers.arm(key, Kind::Head, now);
            }
        }
    }

    fn is_current(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(id.key as usize);
        connection.is_some_and(|connection| connection.id == id)
    }

    fn expire(&mut self, handler: &dyn Handler) {
        let now = time::monotonic_ns();
        if let Accepting::Resting(until) = self.accepting
            && until <= now
        {
            self.resume_accepting();
        }
        self.shed_overdue(now, handler);
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
            && let Some(Connection { stream, interest: Some(_), .. }) = &closed
        {
            let _ = self.epoll.remove(&**stream);
        }
        if self.accepting == Accepting::Full && self.connections.len() < self.options.connections {
            self.resume_accepting();
        }
    }
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
