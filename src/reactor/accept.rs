//! Accepting: when, how many, and what happens when there is no room.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::connection::Connection;
use super::job::Ready;
use super::timers::Kind;
use super::{ConnectionId, Handler, LISTENER, Peer, QUEUE, Reactor, Retirement};
use crate::error::reason;
use crate::net::stream::Stream;
use crate::sys::epoll::Interest;
use crate::sys::{socket, time};

/// How long accepting rests when descriptors have run out.
const ACCEPT_REST: Duration = Duration::from_secs(1);
/// Connections accepted from the backlog of a listener that is given up.
const BACKLOG_BATCH: usize = 4096;
/// Connections accepted per readiness event; between two of them a request may be served.
const ACCEPT_BATCH: usize = 64;
/// New connections that a worker takes on per event without having served them, while others could.
const ACCEPT_WAITING: usize = 2;

/// Whether new connections are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepting {
    Yes,
    /// At the limit of connections.
    Full,
    /// Out of descriptors until then.
    Resting(u64),
    /// For good.
    No,
}

/// Where connections come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Listener(usize),
    /// Other workers.
    Queue,
}

/// A source that is being taken from.
pub(super) struct Intake {
    source: Source,
    /// Connections that may still be taken.
    left: usize,
    /// Connections that will stay.
    taken: usize,
}

impl Intake {
    pub fn new(source: Source) -> Self {
        Self { source, left: ACCEPT_BATCH, taken: 0 }
    }
}

/// What was taken from a source.
pub(super) enum Taken {
    /// A connection and the request that it has brought.
    Request(Ready),
    Connection,
}

impl From<Option<Ready>> for Taken {
    fn from(ready: Option<Ready>) -> Self {
        ready.map_or(Self::Connection, Self::Request)
    }
}

impl Reactor<'_> {
    /// Takes connections until one has brought a request, which is usually there already.
    pub(super) fn accept(&mut self, handler: &dyn Handler) -> Option<Ready> {
        while let Some(intake) = &mut self.intake {
            let others = self.options.shared && !self.busy;
            let enough = intake.left == 0 || others && intake.taken >= ACCEPT_WAITING;
            let source = intake.source;
            intake.left = intake.left.saturating_sub(1);
            if enough || !self.takes_from(source) {
                self.intake = None;
                break;
            }
            let admitted = match source {
                Source::Listener(listener) => {
                    self.admit(listener).map(|key| self.readable(key, handler).into())
                }
                Source::Queue => self.take_over(handler),
            };
            let Some(taken) = admitted else {
                self.intake = None;
                break;
            };
            let ready = match taken {
                Taken::Request(ready) => Some(ready),
                Taken::Connection => None,
            };
            let leaves = ready.is_some() && !self.found.store.head(&self.found.head).keep_alive();
            if let Some(intake) = &mut self.intake
                && !leaves
            {
                intake.taken += 1;
            }
            self.make_room();
            if ready.is_some() {
                if source == Source::Queue {
                    // What is behind it keeps its place in the queue, in case this one takes long.
                    self.intake = None;
                }
                return ready;
            }
        }
        None
    }

    /// Accepts what waits in the backlog. None of it is served before all of it is accepted: a client that has been served comes back at once, and this would never end.
    pub fn drain_backlog(&mut self) {
        for index in 0..self.listeners.len() {
            for _ in 0..BACKLOG_BATCH {
                let Some(key) = self.admit(index) else { break };
                self.settle(key);
            }
        }
    }

    /// Takes one connection from each source, for a worker that stops taking: it may have been woken
    /// for one, and no other worker is woken for the same (`EPOLLEXCLUSIVE` of `epoll_ctl(2)`).
    pub fn take_last(&mut self, handler: &dyn Handler) {
        for listener in 0..self.listeners.len() {
            if let Some(key) = self.admit(listener) {
                self.settle(key);
            }
        }
        self.take_over_one(handler);
    }

    /// While all slots are busy: takes in connections that nobody has taken, so that their requests
    /// wait in the queue with all others. Tells whether there were any.
    pub fn take_in_late(&mut self, handler: &dyn Handler) -> bool {
        let before = self.serial;
        for listener in 0..self.listeners.len() {
            self.intake = Some(Intake::new(Source::Listener(listener)));
            while let Some(ready) = self.accept(handler) {
                self.keep_waiting(ready);
            }
        }
        self.serial != before
    }

    /// Takes over a connection from the queue, and tells whether there was one.
    pub fn take_over_one(&mut self, handler: &dyn Handler) -> bool {
        let taken = self.take_over(handler);
        let any = taken.is_some();
        if let Some(Taken::Request(ready)) = taken {
            self.keep_waiting(ready);
        }
        any
    }

    fn admit(&mut self, listener: usize) -> Option<u32> {
        let (fd, peer) = match socket::accept(self.listeners[listener].as_fd()) {
            Ok(accepted) => accepted?,
            Err(error) => {
                self.accept_failed(&error);
                return None;
            }
        };
        let proxy_due = self.options.proxy.is_on();
        let connection = self.insert(fd, peer, listener);
        connection.proxy_due = proxy_due;
        Some(connection.id.key)
    }

    pub(super) fn insert(&mut self, fd: OwnedFd, peer: Peer, listener: usize) -> &mut Connection {
        self.serial += 1;
        let trusted = match peer {
            Peer::Inet(address) => self.options.trusted.contains(address.ip()),
            Peer::Unix => true,
        };
        let entry = self.connections.vacant_entry();
        // The limit of connections is far below.
        let key = u32::try_from(entry.key()).unwrap_or(u32::MAX);
        let id = ConnectionId { key, serial: self.serial };
        entry.insert(Connection::new(Stream::new(fd), id, listener, peer, trusted))
    }

    pub(super) fn accept_failed(&mut self, error: &io::Error) {
        let exhausted = matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
        );
        if exhausted {
            tracing::error!(
                "Cannot accept connections: {}. Accepting rests for {} s; raise the limit of open \
                 files (ulimit -n) or lower worker_connections.",
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
        while let Some(key) = self.timers.oldest(Kind::Idle) {
            if self.is_still_idle(key) {
                return self.close(key);
            }
        }
        self.pause_accepting(Accepting::Full);
    }

    /// Whether an idle connection really is: a request that has come in but was not read yet ends
    /// the idleness, and must not be lost.
    pub(super) fn is_still_idle(&mut self, key: u32) -> bool {
        let Some(connection) = self.connections.get(key as usize) else { return true };
        let received = !connection.input.is_empty();
        if !received && !connection.stream.has_input() {
            return true;
        }
        self.timers.arm(key, Kind::Head, time::monotonic_coarse_ns());
        false
    }

    pub(super) fn pause_accepting(&mut self, reason: Accepting) {
        self.accepting = reason;
        self.watch_sources();
    }

    pub(super) fn resume_accepting(&mut self) {
        self.accepting = Accepting::Yes;
        self.watch_sources();
    }

    /// Whether all slots are busy: then other workers are to get what comes in.
    pub fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
        self.watch_sources();
    }

    /// Watches for new connections, or does not.
    pub(super) fn watch_sources(&mut self) {
        let wanted = !self.busy && self.takes_from(Source::Listener(0));
        if wanted != self.listening {
            self.listening = wanted;
            for (index, listener) in self.listeners.iter().enumerate() {
                self.watch_source(listener.as_fd(), LISTENER | index as u64, wanted);
            }
        }
        let wanted = !self.busy && self.takes_from(Source::Queue);
        if wanted != self.receiving {
            self.receiving = wanted;
            self.watch_source(self.queue.incoming(), QUEUE, wanted);
        }
    }

    fn watch_source(&self, fd: BorrowedFd<'_>, token: u64, wanted: bool) {
        let result = if wanted {
            self.epoll.add(fd, token, Interest::SharedRead)
        } else {
            self.epoll.remove(fd)
        };
        if let Err(error) = result {
            tracing::error!("Cannot watch for new connections: {}", reason(&error));
        }
    }

    /// Whether connections are taken from there.
    fn takes_from(&self, source: Source) -> bool {
        // At the end of the server, what is in the queue has nobody else to go to.
        self.accepting == Accepting::Yes
            || source == Source::Queue && self.retiring == Some(Retirement::Close)
    }
}
