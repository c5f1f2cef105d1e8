//! Responses that go out together.
//!
//! Each send may wake the client, or the proxy in front, which costs more than a short request does.
//! While more requests are ready and the application is fast, small responses that are complete are
//! held back and sent one behind the other: the other side wakes once for all of them.
//!
//! A response is held for [`PATIENCE`] and the request in progress at most; if that takes longer than
//! others did, whoever picks up the event loop meanwhile sends what is held. A worker that is killed
//! takes held responses along, so only those are held whose requests may be repeated.

use std::sync::Arc;

use super::{ConnectionId, Exchange, Reactor};
use crate::http::Head;
use crate::log::access::AccessLog;
use crate::sys::time;

/// How long a response is held, in nanoseconds, before another request is begun.
const PATIENCE: u64 = 400_000;
/// Responses are held after a request that took no longer than this, in nanoseconds.
const BRISK: u64 = 250_000;

/// The responses that wait for others.
#[derive(Default)]
pub(super) struct Held {
    connections: Vec<ConnectionId>,
    /// When the first of them was complete; monotonic time in nanoseconds, like `clock`.
    pub(super) since: u64,
    /// When the last request was answered, or the first one of this batch was begun; 0 if none was.
    pub(super) clock: u64,
    /// The last request took little time.
    pub(super) brisk: bool,
    /// Of all slots: the application may go on after a complete response, which waits there.
    exchanges: Vec<Arc<Exchange>>,
    /// Holds the lines of held responses.
    log: Option<Arc<AccessLog>>,
}

impl Held {
    /// Looks after the responses of a slot.
    pub fn watch(&mut self, exchange: &Arc<Exchange>) {
        self.exchanges.push(Arc::clone(exchange));
    }

    /// Writes lines before their responses go out: a client that has its answer finds it in the log.
    fn write_lines(&self) {
        if let Some(log) = &self.log {
            log.write_held();
        }
    }
}

impl Reactor<'_> {
    /// Whether the response to this request may be held back. To be asked when it is handed to a slot.
    pub(super) fn may_hold(&mut self, head: Head<'_>) -> bool {
        // Requests that may be repeated: RFC 9110 section 9.2.2.
        let alone = !self.has_more() && self.held.connections.is_empty();
        if alone || !matches!(head.method(), b"GET" | b"HEAD") {
            return false;
        }
        if self.held.clock == 0 {
            self.held.clock = time::monotonic_ns();
        }
        self.held.brisk
    }

    /// Whether other requests may be ready.
    fn has_more(&self) -> bool {
        self.cursor < self.events.len() || self.turns > 0 || !self.waiting.is_empty()
    }

    /// Notes that a request was answered.
    pub(super) fn note_answer(&mut self) {
        let held = &mut self.held;
        // Somebody else has driven meanwhile, or nothing else was ready: not to be relied on.
        held.brisk = false;
        if held.clock != 0 {
            let now = time::monotonic_ns();
            held.brisk = now.saturating_sub(held.clock) <= BRISK;
            held.clock = now;
        }
    }

    /// Holds the response of a connection back.
    pub(super) fn hold(&mut self, id: ConnectionId) {
        if self.held.connections.is_empty() {
            self.held.since = self.held.clock;
        }
        self.held.connections.push(id);
    }

    /// Sends what has been held for long enough.
    pub(super) fn send_long_held(&mut self) {
        let Held { connections, since, clock, .. } = &self.held;
        if !connections.is_empty() && clock.saturating_sub(*since) >= PATIENCE {
            self.held.write_lines();
            self.send_connections();
        }
    }

    /// Has the access log write the lines of held responses together, too.
    pub fn accompany(&mut self, log: Arc<AccessLog>) {
        self.held.log = Some(log);
    }

    /// Sends what was held back.
    pub fn send_held(&mut self) {
        self.held.clock = 0;
        self.held.write_lines();
        for exchange in &self.held.exchanges {
            exchange.send_held();
        }
        if !self.held.connections.is_empty() {
            self.send_connections();
        }
    }

    fn send_connections(&mut self) {
        let mut connections = std::mem::take(&mut self.held.connections);
        for id in connections.drain(..) {
            if self.is_current(id) {
                self.drain(id.key);
            }
        }
        self.held.connections = connections;
    }
}
