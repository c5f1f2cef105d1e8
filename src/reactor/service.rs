//! Answering: a complete request goes to the handler, its response to the client, and the connection
//! on to the next request or to its end.

use super::accept::Accepting;
use super::body::Body;
use super::connection::{Connection, Leave, State};
use super::exchange::{Facts, Fate, Incoming};
use super::output::Flush;
use super::timers::Kind;
use super::{ConnectionId, Handler, LINGER_BYTES, Reactor, Request};
use crate::http::{Head, Reject};
use crate::sys::epoll::Interest;
use crate::sys::socket::Io;
use crate::sys::time;

/// What a step left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The connection may have another request in its input.
    Go,
    /// More input is needed.
    Wait,
    /// The connection is closed, closing, or busy writing.
    Stop,
}

impl Reactor<'_> {
    /// Hands a complete request to the handler and decides what becomes of its connection.
    pub(super) fn serve(
        &mut self,
        id: ConnectionId,
        head: Head<'_>,
        (body, incoming): (Body, Option<Incoming>),
        last: bool,
        handler: &mut dyn Handler,
    ) -> Next {
        let connection = &mut self.connections[id.key as usize];
        let Some(stream) = connection.stream.take() else { return Next::Stop };
        let proxy = connection.proxy.take();
        let output = std::mem::take(&mut connection.output);
        let keep_alive = handler.keeps_alive()
            && head.keep_alive()
            && !self.retiring
            // Somebody may be waiting for the room.
            && self.accepting != Accepting::Full
            && !self.options.keep_alive.is_zero();
        let at_once = last && !head.keep_alive();
        let facts = Facts { minor: head.minor(), head: head.is_head(), keep_alive, at_once };
        let request = Request {
            head,
            body,
            peer: connection.peer,
            proxy: proxy.as_deref(),
            connection: id,
            listener: connection.listener,
        };
        self.exchange.begin(stream, output, facts, incoming);
        handler.handle(request, &self.exchange);
        let Some(ending) = self.exchange.end() else {
            self.close(id.key);
            return Next::Stop;
        };
        match ending.fate {
            Fate::Keep | Fate::Leave => {}
            Fate::Broken => {
                self.close(id.key);
                return Next::Stop;
            }
            Fate::TakenOver => {
                // The application's duplicate would keep it in the epoll set.
                let _ = self.epoll.remove(&ending.stream);
                ending.stream.release();
                self.close(id.key);
                return Next::Stop;
            }
        }
        let reusable = ending.fate == Fate::Keep;
        let leave = if at_once && ending.all_read { Leave::AtOnce } else { Leave::Lingering };
        let connection = &mut self.connections[id.key as usize];
        connection.proxy = proxy;
        connection.served = true;
        connection.stream = Some(ending.stream);
        connection.output = ending.output;
        if !ending.rest.is_empty() && reusable {
            connection.input = ending.rest;
            self.ready.push_back(id);
        }
        if !connection.output.is_empty() {
            connection.state = State::Drain { reusable, leave };
            return Next::Stop;
        }
        self.after_response(id.key, reusable, leave)
    }

    fn after_response(&mut self, key: u32, reusable: bool, leave: Leave) -> Next {
        if reusable {
            self.connections[key as usize].state = State::Head(None);
            return Next::Go;
        }
        self.leave(key, leave);
        Next::Stop
    }

    fn leave(&mut self, key: u32, leave: Leave) {
        match leave {
            Leave::AtOnce => self.close(key),
            Leave::Lingering => {
                let connection = &mut self.connections[key as usize];
                if let Some(stream) = &connection.stream {
                    stream.shutdown_write();
                }
                connection.input = Vec::new();
                connection.state = State::Linger { left: LINGER_BYTES };
            }
        }
    }

    /// Answers with an error page and gives up the connection.
    pub(super) fn reject(
        &mut self,
        id: ConnectionId,
        reject: &Reject,
        head: Option<Head<'_>>,
        handler: &mut dyn Handler,
    ) {
        let connection = &self.connections[id.key as usize];
        let request = head.map(|head| Request {
            head,
            body: Body::Empty,
            peer: connection.peer,
            proxy: connection.proxy.as_deref(),
            connection: id,
            listener: connection.listener,
        });
        handler.rejected(reject, connection.peer, request.as_ref());
        self.answer_and_leave(id.key, &reject.page());
    }

    pub(super) fn answer_and_leave(&mut self, key: u32, page: &[u8]) {
        let connection = &mut self.connections[key as usize];
        connection.output.push_bytes(page);
        connection.state = State::Drain { reusable: false, leave: Leave::Lingering };
        self.flush(key);
    }

    /// Writes what is left of a response.
    pub(super) fn drain(&mut self, key: u32, handler: &mut dyn Handler) {
        self.flush(key);
        let Some(connection) = self.connections.get(key as usize) else { return };
        if !connection.input.is_empty() && matches!(connection.state, State::Head(_)) {
            self.resume(key, handler);
        } else {
            self.settle(key);
        }
    }

    /// Writes what the kernel takes; once all is written, goes on with the connection or leaves it.
    fn flush(&mut self, key: u32) {
        let Connection { stream, output, state, .. } = &mut self.connections[key as usize];
        let Some(stream) = stream else { return };
        let before = output.buffered();
        match output.flush(stream) {
            Ok(Flush::Drained) => {
                if let State::Drain { reusable, leave } = *state {
                    self.after_response(key, reusable, leave);
                }
            }
            Ok(Flush::Blocked) => {
                if output.buffered() != before || before == 0 {
                    self.timers.arm(key, Kind::Write, time::monotonic_coarse_ns());
                }
            }
            Err(error) => {
                tracing::debug!("Closing connection: {error}");
                self.close(key);
            }
        }
    }

    /// Reads and throws away what comes behind our close.
    pub(super) fn linger(&mut self, key: u32) {
        let Connection { stream, state, .. } = &mut self.connections[key as usize];
        let (Some(stream), State::Linger { left }) = (stream, state) else { return };
        match stream.recv(&mut self.scratch) {
            Io::Done(count @ 1..) if count < *left => *left -= count,
            Io::WouldBlock => {}
            _ => self.close(key),
        }
    }

    /// A client has taken too long.
    pub(super) fn timed_out(&mut self, key: u32, kind: Kind, handler: &mut dyn Handler) {
        if kind == Kind::Idle {
            if self.is_still_idle(key) {
                self.close(key);
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        tracing::debug!("Closing connection: timed out ({kind:?})");
        let id = ConnectionId { key, serial: connection.serial };
        // An answer is due to whoever has begun a request.
        match std::mem::replace(&mut connection.state, State::Head(None)) {
            State::Head(Some(_)) => {
                let patience = self.options.head_patience.as_secs();
                self.reject(id, &Reject::head_timeout(patience), None, handler);
                self.settle(key);
            }
            State::Body(incoming) => {
                let head = incoming.store.head(&incoming.head);
                let patience = self.options.patience.body.as_secs();
                self.reject(id, &Reject::body_timeout(patience), Some(head), handler);
                self.settle(key);
            }
            _ => self.close(key),
        }
    }

    /// Watches the connection for what it waits for, with the deadline that goes with it.
    pub(super) fn settle(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let (interest, kind) = match &connection.state {
            State::Head(None) if connection.served => (Interest::Read, Kind::Idle),
            State::Head(_) => (Interest::Read, Kind::Head),
            State::Body(_) => (Interest::Read, Kind::Body),
            State::Drain { .. } => (Interest::Write, Kind::Write),
            State::Linger { .. } => (Interest::Read, Kind::Linger),
        };
        // A head has to be complete some time after its first byte, however its bytes trickle; for
        // the others it is progress that counts.
        let keep = matches!(kind, Kind::Head | Kind::Linger | Kind::Write)
            && self.timers.armed(key) == Some(kind);
        if !keep {
            self.timers.arm(key, kind, time::monotonic_coarse_ns());
        }
        if connection.interest == Some(interest) {
            return;
        }
        let Some(stream) = &connection.stream else { return };
        let token = connection.token(key);
        let watched = match connection.interest {
            None => self.epoll.add(stream, token, interest),
            Some(_) => self.epoll.modify(stream, token, interest),
        };
        match watched {
            Ok(()) => connection.interest = Some(interest),
            Err(error) => {
                tracing::error!("Cannot watch a connection: {error}");
                self.close(key);
            }
        }
    }
}
