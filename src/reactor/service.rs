//! Answering: a complete request goes to a slot, its response to the client, and the connection on to
//! the next request or to its end.

use std::sync::Arc;
use std::time::Duration;

use super::accept::Accepting;
use super::body::Body;
use super::connection::{Connection, Leave, State};
use super::exchange::{Exchange, Facts, Fate};
use super::job::{Finished, Job, Ready, Workspace};
use super::output::Flush;
use super::timers::Kind;
use super::{ConnectionId, Handler, LINGER_BYTES, Reactor, Refused, Request, Retirement};
use crate::http::{CONTINUE, Head, Reject};
use crate::sys::epoll::Interest;
use crate::sys::socket::Io;
use crate::sys::time;

/// What a step left behind.
pub(super) enum Next {
    /// The connection may have another request in its input.
    Go,
    /// More input is needed.
    Wait,
    /// The connection is closed, closing, or busy writing.
    Stop,
    /// A request is complete.
    Serve(Ready),
}

impl Reactor<'_> {
    /// Begins the exchange of a complete request, whose head is in `workspace`.
    pub(super) fn assign(
        &mut self,
        ready: Ready,
        waited: Duration,
        workspace: &Workspace,
        exchange: &Exchange,
        handler: &dyn Handler,
    ) -> Job {
        let Ready { id, body, on_demand, last, .. } = ready;
        let head = workspace.store.head(&workspace.head);
        handler.taken(waited);
        let keep_alive = head.keep_alive()
            && (self.retiring != Some(Retirement::Close) || !last && self.is_last_call())
            && !handler.lets_go()
            // Somebody may be waiting for the room.
            && self.accepting != Accepting::Full
            && !self.options.keep_alive.is_zero();
        let at_once = last && !head.keep_alive();
        let hold = !at_once && self.may_hold(head);
        let facts = Facts { minor: head.minor(), head: head.is_head(), keep_alive, at_once, hold };
        let connection = &mut self.connections[id.key as usize];
        let mut output = std::mem::take(&mut connection.output);
        if on_demand.is_some() && head.expect_continue() {
            // Not before a slot has it: until then it may go to another worker. A broken connection
            // shows when it is used.
            output.push_bytes(CONTINUE);
            let _ = output.flush(&connection.stream);
        }
        let on_demand = on_demand.map(|body| *body);
        exchange.begin(Arc::clone(&connection.stream), output, facts, on_demand);
        Job {
            connection: id,
            peer: connection.peer,
            proxy: connection.proxy.take(),
            listener: connection.listener,
            body,
            at_once,
            waited,
        }
    }

    /// Whether requests that were received behind others are still answered, so that clients that
    /// pipeline lose none. One that goes on and on does not keep the server from ending.
    fn is_last_call(&self) -> bool {
        time::monotonic_coarse_ns() < self.last_call
    }

    /// Decides what becomes of a connection behind its response.
    pub fn finish(&mut self, finished: Finished) {
        let Finished { id, proxy, at_once, ending } = finished;
        self.note_answer();
        let Some(ending) = ending else { return self.close(id.key) };
        match ending.fate {
            Fate::Keep | Fate::Leave => {}
            Fate::Broken => return self.close(id.key),
            Fate::TakenOver => {
                // The application's duplicate would keep it in the epoll set.
                let _ = self.epoll.remove(&*ending.stream);
                ending.stream.release();
                return self.close(id.key);
            }
        }
        let reusable = ending.fate == Fate::Keep;
        let leave = if at_once && ending.all_read { Leave::AtOnce } else { Leave::Lingering };
        let connection = &mut self.connections[id.key as usize];
        connection.proxy = proxy;
        connection.served = true;
        connection.output = ending.output;
        if !ending.rest.is_empty() {
            connection.input = ending.rest;
        }
        if connection.output.is_empty() {
            self.after_response(id.key, reusable, leave);
        } else {
            connection.state = State::Drain { reusable, leave };
            if ending.held {
                return self.hold(id);
            }
        }
        self.settle(id.key);
    }

    /// The response is with the kernel.
    fn after_response(&mut self, key: u32, reusable: bool, leave: Leave) {
        if !reusable {
            return self.leave(key, leave);
        }
        let connection = &mut self.connections[key as usize];
        connection.state = State::Head(None);
        if !connection.input.is_empty() {
            self.ready.push_back(connection.id);
        }
    }

    fn leave(&mut self, key: u32, leave: Leave) {
        match leave {
            Leave::AtOnce => self.close(key),
            Leave::Lingering => {
                let connection = &mut self.connections[key as usize];
                connection.stream.shutdown_write();
                connection.input = Vec::new();
                connection.state = State::Linger { left: LINGER_BYTES };
            }
        }
    }

    /// Answers with an error page and gives up the connection. `head` is what has come of it if it was not
    /// understood.
    pub(super) fn reject(
        &mut self,
        id: ConnectionId,
        reject: &Reject,
        head: Result<Head<'_>, &[u8]>,
        handler: &dyn Handler,
    ) {
        self.reject_after(Duration::ZERO, id, reject, head, handler);
    }

    /// As [`Self::reject`], for a request that has waited for a slot.
    pub(super) fn reject_after(
        &mut self,
        waited: Duration,
        id: ConnectionId,
        reject: &Reject,
        head: Result<Head<'_>, &[u8]>,
        handler: &dyn Handler,
    ) {
        let connection = &self.connections[id.key as usize];
        match head {
            Ok(head) => {
                let request = Request {
                    head,
                    body: Body::Empty,
                    peer: connection.peer,
                    proxy: connection.proxy.as_deref(),
                    connection: id,
                    listener: connection.listener,
                    waited,
                };
                handler.rejected(reject, connection.peer, Refused::Request(&request));
            }
            Err(bytes) => handler.rejected(reject, connection.peer, Refused::Bytes(bytes)),
        }
        self.answer_and_leave(id.key, &reject.page());
    }

    pub(super) fn answer_and_leave(&mut self, key: u32, page: &[u8]) {
        let connection = &mut self.connections[key as usize];
        connection.output.push_bytes(page);
        connection.state = State::Drain { reusable: false, leave: Leave::Lingering };
        self.flush(key);
    }

    /// Writes what is left of a response.
    pub(super) fn drain(&mut self, key: u32) {
        self.flush(key);
        self.settle(key);
    }

    /// Writes what the kernel takes; once all is written, goes on with the connection or leaves it.
    fn flush(&mut self, key: u32) {
        let Connection { stream, output, state, .. } = &mut self.connections[key as usize];
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
        let State::Linger { left } = state else { return };
        match stream.recv_anew(&mut self.scratch) {
            Io::Done(count @ 1..) if count < *left => *left -= count,
            Io::WouldBlock => {}
            _ => self.close(key),
        }
    }

    /// A client has taken too long.
    pub(super) fn timed_out(&mut self, key: u32, kind: Kind, handler: &dyn Handler) {
        if kind == Kind::Idle {
            if self.is_still_idle(key) {
                self.close(key);
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        tracing::debug!("Closing connection: timed out ({kind:?})");
        let id = connection.id;
        // An answer is due to whoever has begun a request.
        match std::mem::replace(&mut connection.state, State::Head(None)) {
            State::Head(Some(_)) => {
                let input = std::mem::take(&mut connection.input);
                let patience = self.options.head_patience.as_secs();
                self.reject(id, &Reject::head_timeout(patience), Err(&input), handler);
                self.settle(key);
            }
            State::Body(incoming) => {
                let head = incoming.store.head(&incoming.head);
                let patience = self.options.patience.body.as_secs();
                self.reject(id, &Reject::body_timeout(patience), Ok(head), handler);
                self.settle(key);
            }
            _ => self.close(key),
        }
    }

    /// Watches the connection for what it waits for, with the deadline that goes with it.
    pub(super) fn settle(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let (interest, kind) = match &connection.state {
            State::Busy => return self.timers.disarm(key),
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
        let stream = &*connection.stream;
        let token = connection.token();
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
