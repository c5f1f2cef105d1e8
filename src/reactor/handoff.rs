//! Connections given to other workers and taken over from them.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use super::accept::Taken;
use super::body::Body;
use super::connection::{Connection, State};
use super::job::{Ready, Waiting};
use super::output::Flush;
use super::service::Next;
use super::{Handler, Reactor};
use crate::error::reason;
use crate::http::Parse;
use crate::net::handoff::{Arrival, Contents, Parcel, Payload, Sent};

/// What became of an attempt to give a connection away.
enum Sending {
    Done,
    /// It is closed: its client is gone.
    Gone,
    /// It cannot be given away as it is.
    Stays,
    /// There is no room on the way.
    Full,
}

impl Reactor<'_> {
    /// Takes over a connection that waits in the queue, and its request if it has brought one.
    pub(super) fn take_over(&mut self, handler: &dyn Handler) -> Option<Taken> {
        let arrival = match self.queue.receive() {
            Ok(arrival) => arrival?,
            Err(error) => {
                self.accept_failed(&error);
                return None;
            }
        };
        handler.received();
        Some(self.adopt(arrival).into())
    }

    fn adopt(&mut self, arrival: Arrival) -> Option<Ready> {
        let Arrival { stream, peer, listener, proxy, head, body, rest, .. } = arrival;
        // Generations of workers may number their listeners differently, and an old one may have
        // had one that is gone.
        let known = self.listeners.iter().position(|one| one.text() == listener);
        let connection = self.insert(stream, peer, known.unwrap_or(0));
        connection.proxy = proxy.map(Box::new);
        connection.proxy_due = arrival.proxy_due;
        connection.served = arrival.served;
        let (id, trusted, last) = (connection.id, connection.trusted, rest.is_empty());
        connection.input = rest;
        if head.is_empty() {
            if !last {
                self.ready.push_back(id);
            }
            self.settle(id.key);
            return None;
        }
        let mut store = self.spare_store(trusted);
        if !matches!(self.options.parser.parse(&mut store, &head), Ok(Parse::Complete(_))) {
            // Its first worker has understood it: the two were configured differently.
            tracing::error!(
                "A request that another worker has received is not valid for this one."
            );
            self.close(id.key);
            return None;
        }
        let body = match body {
            Contents::Empty => Body::Empty,
            Contents::Memory(bytes) => Body::Memory(bytes),
            Contents::File(file, len) => Body::File(file, len),
        };
        match self.complete(id, (&head, store), body, None, last) {
            Next::Serve(ready) => Some(Ready { since: arrival.ready_since, ..ready }),
            _ => None,
        }
    }

    /// Gives requests that wait for a slot to the other workers, as far as there is room on the way.
    pub fn hand_over_waiting(&mut self, handler: &dyn Handler) {
        let mut staying = VecDeque::new();
        while let Some(waiting) = self.waiting.pop_front() {
            match self.send(waiting.ready.id.key, Some(&waiting)) {
                Sending::Done => {
                    self.note_queued(waiting.ready.since);
                    handler.sent();
                }
                Sending::Gone => {}
                // Those behind it are not to wait for its client.
                Sending::Stays => staying.push_back(waiting),
                Sending::Full => {
                    self.waiting.push_front(waiting);
                    break;
                }
            }
        }
        staying.append(&mut self.waiting);
        self.waiting = staying;
    }

    /// Gives connections on which nothing is under way to the other workers, as far as there is room
    /// on the way. Whether that were all of them.
    pub fn hand_over_idle(&mut self, handler: &dyn Handler) -> bool {
        let idle = |connection: &Connection| {
            matches!(connection.state, State::Head(_)) && connection.output.is_empty()
        };
        let idle: Vec<u32> = self
            .connections
            .iter()
            .filter(|(_, connection)| idle(connection))
            .map(|(_, connection)| connection.id.key)
            .collect();
        for key in idle {
            match self.send(key, None) {
                Sending::Done => handler.sent(),
                Sending::Gone | Sending::Stays => {}
                Sending::Full => return false,
            }
        }
        true
    }

    /// Sends a connection, with the request that it has brought.
    fn send(&mut self, key: u32, waiting: Option<&Waiting>) -> Sending {
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return Sending::Gone;
        };
        // An interim response on its way.
        match connection.output.flush(&connection.stream) {
            Ok(Flush::Drained) => {}
            Ok(Flush::Blocked) => return Sending::Stays,
            Err(error) => {
                tracing::debug!("Closing connection: {error}");
                self.close(key);
                return Sending::Gone;
            }
        }
        let mut head: &[u8] = &[];
        let mut body = Payload::Empty;
        let mut joined = Vec::new();
        let mut rest = &connection.input[..];
        if let Some(Waiting { ready, workspace }) = waiting {
            head = &workspace.head;
            match &ready.body {
                Body::Empty => {}
                Body::Memory(bytes) => body = Payload::Memory(bytes),
                Body::File(file, len) => body = Payload::File(file.as_fd(), *len),
                Body::Stream => {
                    // Read on demand: the other worker begins anew.
                    joined.extend_from_slice(head);
                    joined.extend(ready.on_demand.iter().flat_map(|body| &body.raw));
                    (head, rest) = (&[], &joined);
                }
            }
        }
        let parcel = Parcel {
            stream: connection.stream.as_fd(),
            peer: connection.peer,
            listener: self.listeners[connection.listener].text(),
            proxy: connection.proxy.as_deref(),
            proxy_due: connection.proxy_due,
            served: connection.served,
            head,
            body,
            rest,
            ready_since: waiting.map_or(0, |waiting| waiting.ready.since),
        };
        // The other worker's descriptor would keep it in the epoll set.
        if connection.interest.take().is_some() {
            let _ = self.epoll.remove(&*connection.stream);
        }
        match self.queue.send(&parcel) {
            Ok(Sent::Done) => {
                connection.stream.release();
                self.close(key);
                Sending::Done
            }
            Ok(Sent::Full) => {
                self.settle(key);
                Sending::Full
            }
            Err(error) => {
                tracing::error!("Cannot hand a connection to another worker: {}", reason(&error));
                self.settle(key);
                Sending::Stays
            }
        }
    }
}
