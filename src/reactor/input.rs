//! Reading: from a readable connection to requests, and what becomes of the connection after each.

use std::io;

use super::body::{Body, BodyBuffer};
use super::connection::{Connection, Incoming, IncomingBody, State};
use super::exchange::Incoming as OnDemand;
use super::job::Ready;
use super::service::Next;
use super::{ConnectionId, Handler, Peer, Reactor};
use crate::error::reason;
use crate::http::{
    BodyDecoder, CONTINUE, Eof, Framing, Head, HeadStore, Parse, ProxyParse, Reject,
};
use crate::sys::socket::Io;

impl Reactor<'_> {
    pub(super) fn connection_event(&mut self, key: u32, handler: &dyn Handler) -> Option<Ready> {
        let connection = self.connections.get_mut(key as usize)?;
        match connection.state {
            // What is there comes first. It has its turn, and epoll will tell of the rest again.
            State::Head(_) if connection.has_turn() => {}
            State::Head(_) | State::Body(_) => return self.readable(key, handler),
            State::Busy => self.ignore(key),
            State::Drain { .. } => self.drain(key),
            State::Linger { .. } => self.linger(key),
        }
        None
    }

    /// Stops watching a connection that is not to be read for now.
    fn ignore(&mut self, key: u32) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if connection.interest.take().is_some() {
            // It was watched: removing cannot fail.
            let _ = self.epoll.remove(&*connection.stream);
        }
    }

    /// Reads once and takes a request out if one has become complete.
    pub(super) fn readable(&mut self, key: u32, handler: &dyn Handler) -> Option<Ready> {
        let connection = self.connections.get_mut(key as usize)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut found = None;
        match connection.stream.recv_anew(&mut scratch) {
            Io::Done(0) => self.end_of_input(key, handler),
            Io::Done(count) if connection.input.is_empty() => {
                let left;
                (found, left) = self.ingest(key, &scratch, handler);
                self.keep_input(key, left, || scratch[count - left..].to_vec());
            }
            Io::Done(_) => {
                connection.input.extend_from_slice(&scratch);
                found = self.resume(key, handler);
            }
            Io::WouldBlock => self.settle(key),
            Io::Failed(error) => {
                tracing::debug!("Closing connection: {error}");
                self.close(key);
            }
        }
        self.scratch = scratch;
        found
    }

    /// The client has ended its side.
    fn end_of_input(&mut self, key: u32, handler: &dyn Handler) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let id = connection.id;
        if let State::Body(incoming) = &mut connection.state
            && let Eof::Reject(reject) = incoming.body.decoder.eof()
        {
            let state = std::mem::replace(&mut connection.state, State::Head(None));
            let State::Body(incoming) = state else { return };
            self.reject(id, &reject, Ok(incoming.store.head(&incoming.head)), handler);
            self.settle(key);
        } else {
            self.close(key);
        }
    }

    /// Goes on with input that was left over.
    pub(super) fn resume(&mut self, key: u32, handler: &dyn Handler) -> Option<Ready> {
        let connection = self.connections.get_mut(key as usize)?;
        if connection.input.is_empty()
            || !matches!(connection.state, State::Head(_) | State::Body(_))
        {
            return None;
        }
        let mut input = std::mem::take(&mut connection.input);
        let (found, left) = self.ingest(key, &input, handler);
        self.keep_input(key, left, || {
            input.drain(..input.len() - left);
            input
        });
        found
    }

    /// Keeps what was not used of the input, if the connection still is and wants it, and sees to it
    /// that the connection is watched for what it waits for.
    fn keep_input(&mut self, key: u32, left: usize, input: impl FnOnce() -> Vec<u8>) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        if left > 0 && !matches!(connection.state, State::Linger { .. }) {
            connection.input = input();
        }
        self.settle(key);
    }

    /// Takes a request out of `bytes` if one is complete, its head into `self.found`, and says how
    /// many bytes were not used.
    fn ingest(&mut self, key: u32, bytes: &[u8], handler: &dyn Handler) -> (Option<Ready>, usize) {
        let Some(connection) = self.connections.get(key as usize) else { return (None, 0) };
        let id = connection.id;
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.step(id, &mut rest, handler) {
                Next::Go => {}
                Next::Wait | Next::Stop => break,
                Next::Serve(ready) => return (Some(ready), rest.len()),
            }
        }
        (None, rest.len())
    }

    /// Takes one request, or what there is of it, from the front of `rest`.
    fn step(&mut self, id: ConnectionId, rest: &mut &[u8], handler: &dyn Handler) -> Next {
        let connection = &mut self.connections[id.key as usize];
        match std::mem::replace(&mut connection.state, State::Head(None)) {
            State::Head(None) if connection.proxy_due => self.step_proxy(id, rest, handler),
            State::Head(None) => {
                let trusted = connection.trusted;
                let store = self.spare_store(trusted);
                self.step_head(id, store, rest, handler)
            }
            State::Head(Some(store)) => self.step_head(id, store, rest, handler),
            State::Body(incoming) => self.step_body(id, incoming, rest, handler),
            state => {
                connection.state = state;
                Next::Stop
            }
        }
    }

    /// Takes the header of the PROXY protocol, if there is one, from the start of a connection.
    fn step_proxy(&mut self, id: ConnectionId, rest: &mut &[u8], handler: &dyn Handler) -> Next {
        let connection = &mut self.connections[id.key as usize];
        let peer = match connection.peer {
            Peer::Inet(address) => Some(address.ip()),
            Peer::Unix => None,
        };
        match self.options.proxy.parse(rest, peer) {
            Ok(ProxyParse::Incomplete) => return Next::Wait,
            Ok(ProxyParse::Absent) => {}
            Ok(ProxyParse::Header { len, info }) => {
                connection.proxy = Some(Box::new(info));
                *rest = &rest[len..];
            }
            Err(reject) => {
                self.reject(id, &reject, Err(rest), handler);
                return Next::Stop;
            }
        }
        connection.proxy_due = false;
        Next::Go
    }

    fn step_head(
        &mut self,
        id: ConnectionId,
        mut store: Box<HeadStore>,
        rest: &mut &[u8],
        handler: &dyn Handler,
    ) -> Next {
        let buffer = *rest;
        let head = match self.options.parser.parse(&mut store, buffer) {
            Ok(Parse::Complete(head)) => head,
            Ok(Parse::Incomplete) => {
                self.connections[id.key as usize].state = State::Head(Some(store));
                return Next::Wait;
            }
            Err(reject) => {
                let head = if reject.has_request { Ok(store.head(buffer)) } else { Err(buffer) };
                self.reject(id, &reject, head, handler);
                return Next::Stop;
            }
        };
        let (head_bytes, behind) = buffer.split_at(head.len());
        *rest = behind;
        let framing = head.framing();
        let expected = match framing {
            Framing::None => {
                self.expect_continue(id.key, head);
                return self.complete(id, (head_bytes, store), Body::Empty, None, rest.is_empty());
            }
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        if let Some(length) = expected
            && let Err(fault) = self.check_length(length)
        {
            return self.body_fault(id, &fault, head, handler);
        }
        let decoder = BodyDecoder::new(framing);
        if !self.options.buffering {
            let raw = std::mem::take(rest).to_vec();
            let on_demand = Box::new(OnDemand::new(decoder, raw, self.options.body_limit));
            return self.complete(id, (head_bytes, store), Body::Stream, Some(on_demand), true);
        }
        self.expect_continue(id.key, head);
        let buffer = BodyBuffer::new(expected, &self.options.storage);
        let mut body = IncomingBody { decoder, buffer };
        match self.receive(&mut body, rest) {
            Ok(true) => match body.buffer.finish() {
                Ok(body) => self.complete(id, (head_bytes, store), body, None, rest.is_empty()),
                Err(error) => self.body_fault(id, &BodyFault::Storage(error), head, handler),
            },
            Ok(false) => {
                let incoming = Incoming { store, head: head_bytes.to_vec(), body };
                let connection = &mut self.connections[id.key as usize];
                connection.state = State::Body(Box::new(incoming));
                // The client may wait for this before it goes on.
                if self.flush_interim(id.key).is_err() { Next::Stop } else { Next::Wait }
            }
            Err(fault) => self.body_fault(id, &fault, head, handler),
        }
    }

    /// Room for what is found in a head.
    pub(super) fn spare_store(&mut self, trusted: bool) -> Box<HeadStore> {
        let mut store = self.spare.take().unwrap_or_else(|| Box::new(HeadStore::new(trusted)));
        store.reuse(trusted);
        store
    }

    /// A request is complete.
    pub(super) fn complete(
        &mut self,
        id: ConnectionId,
        (head, store): (&[u8], Box<HeadStore>),
        body: Body,
        on_demand: Option<Box<OnDemand>>,
        last: bool,
    ) -> Next {
        self.found.set_head(head);
        self.spare = Some(std::mem::replace(&mut self.found.store, store));
        self.connections[id.key as usize].state = State::Busy;
        Next::Serve(Ready { id, body, on_demand, last, since: 0 })
    }

    /// Has `100 Continue` sent with the next bytes if the client asked for it.
    fn expect_continue(&mut self, key: u32, head: Head<'_>) {
        if head.expect_continue() {
            self.connections[key as usize].output.push_bytes(CONTINUE);
        }
    }

    fn check_length(&self, length: u64) -> Result<(), BodyFault> {
        let limit = self.options.body_limit;
        if limit > 0 && length > limit {
            return Err(BodyFault::Refused(Reject::body_too_large(limit)));
        }
        Ok(())
    }

    /// Moves what there is of the body from `rest` into the buffer; `true` once it is complete.
    fn receive(&self, body: &mut IncomingBody, rest: &mut &[u8]) -> Result<bool, BodyFault> {
        let IncomingBody { decoder, buffer } = body;
        let storage = &self.options.storage;
        let mut stored = Ok(());
        let progress = decoder
            .decode(&self.options.parser, rest, &mut |piece: &[u8]| {
                if stored.is_ok() {
                    stored = buffer.append(piece, storage);
                }
            })
            .map_err(BodyFault::Refused)?;
        stored.map_err(BodyFault::Storage)?;
        self.check_length(buffer.len())?;
        *rest = &rest[progress.consumed..];
        Ok(progress.done)
    }

    fn step_body(
        &mut self,
        id: ConnectionId,
        mut incoming: Box<Incoming>,
        rest: &mut &[u8],
        handler: &dyn Handler,
    ) -> Next {
        let received = self.receive(&mut incoming.body, rest);
        if let Ok(false) = received {
            self.connections[id.key as usize].state = State::Body(incoming);
            return Next::Wait;
        }
        let Incoming { store, head, body } = *incoming;
        match received.and_then(|_| body.buffer.finish().map_err(BodyFault::Storage)) {
            Ok(body) => self.complete(id, (&head, store), body, None, rest.is_empty()),
            Err(fault) => self.body_fault(id, &fault, store.head(&head), handler),
        }
    }

    fn body_fault(
        &mut self,
        id: ConnectionId,
        fault: &BodyFault,
        head: Head<'_>,
        handler: &dyn Handler,
    ) -> Next {
        match fault {
            BodyFault::Refused(reject) => self.reject(id, reject, Ok(head), handler),
            BodyFault::Storage(error) => {
                tracing::error!(
                    "Cannot store a request body in {}: {}. The request is answered with 507; \
                     make room there, or set tmp_upload_dir to a place that has some.",
                    self.options.storage.directory.display(),
                    reason(error)
                );
                self.reject(id, &Reject::no_storage(&reason(error)), Ok(head), handler);
            }
        }
        Next::Stop
    }

    /// Sends `100 Continue` to a client that waits for it. An error says that the connection is
    /// closed.
    fn flush_interim(&mut self, key: u32) -> Result<(), ()> {
        let Connection { stream, output, .. } = &mut self.connections[key as usize];
        if output.flush(stream).is_err() {
            self.close(key);
            return Err(());
        }
        Ok(())
    }
}

/// Why a request body cannot be had.
enum BodyFault {
    /// It breaks a rule or a limit.
    Refused(Reject),
    Storage(io::Error),
}
