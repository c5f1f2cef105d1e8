//! What the event loop keeps of one connection.

use std::sync::Arc;

use super::ConnectionId;
use super::body::BodyBuffer;
use super::output::Output;
use crate::http::{BodyDecoder, HeadStore, ProxyInfo};
use crate::net::stream::Stream;
use crate::sys::epoll::Interest;
use crate::sys::socket::Peer;

pub struct Connection {
    /// Shared with the exchange while a request is with a slot.
    pub stream: Arc<Stream>,
    pub id: ConnectionId,
    pub listener: usize,
    pub peer: Peer,
    pub trusted: bool,
    /// What the PROXY protocol said of the client.
    pub proxy: Option<Box<ProxyInfo>>,
    /// The PROXY protocol has yet to be looked for.
    pub proxy_due: bool,
    /// It has had a response.
    pub served: bool,
    pub state: State,
    /// Received and not used yet.
    pub input: Vec<u8>,
    pub output: Output,
    /// What epoll watches it for; `None` if it does not.
    pub interest: Option<Interest>,
}

pub enum State {
    /// Between requests or within a request head. The store is there once part of a head has been
    /// looked at.
    Head(Option<Box<HeadStore>>),
    /// Within a request body.
    Body(Box<Incoming>),
    /// A complete request waits for a slot or is with one.
    Busy,
    /// The response is written; then the connection is used again or not.
    Drain { reusable: bool, leave: Leave },
    /// Closed by us; so many bytes more are read and thrown away.
    Linger { left: usize },
}

/// How a connection is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The client has said that it sends nothing more.
    AtOnce,
    /// The client may be sending: it has to be read from until it closes.
    Lingering,
}

/// A request whose head is complete and whose body is not.
pub struct Incoming {
    pub store: Box<HeadStore>,
    pub head: Vec<u8>,
    pub body: IncomingBody,
}

/// A request body that is being received.
pub struct IncomingBody {
    pub decoder: BodyDecoder,
    pub buffer: BodyBuffer,
}

impl Connection {
    pub fn new(
        stream: Stream,
        id: ConnectionId,
        listener: usize,
        peer: Peer,
        trusted: bool,
    ) -> Self {
        Self {
            stream: Arc::new(stream),
            id,
            listener,
            peer,
            trusted,
            proxy: None,
            proxy_due: false,
            served: false,
            state: State::Head(None),
            input: Vec::new(),
            output: Output::default(),
            interest: None,
        }
    }

    /// Whether there is input between two requests, so that it is in line for the next one. (The
    /// beginning of a PROXY header has been looked at, and waits for more.)
    pub fn has_turn(&self) -> bool {
        matches!(self.state, State::Head(None)) && !self.input.is_empty() && !self.proxy_due
    }

    /// The token of its events: key and the low half of its serial.
    pub fn token(&self) -> u64 {
        // The topmost bits say what a token is of.
        (self.id.serial & 0x1fff_ffff) << 32 | u64::from(self.id.key)
    }
}
