//! A complete request on its way from the event loop to a slot and back.

use std::sync::Arc;
use std::time::Duration;

use super::body::Body;
use super::exchange::{Ending, Exchange, Incoming};
use super::{ConnectionId, Peer, Request};
use crate::http::{HeadStore, ProxyInfo};
use crate::sys::time;

/// The head of a request, apart from the buffers of its connection.
pub struct Workspace {
    pub(super) head: Vec<u8>,
    pub(super) store: Box<HeadStore>,
}

/// A buffer for heads that has grown beyond this is not kept.
const KEPT: usize = 64 * 1024;

impl Workspace {
    pub fn new() -> Self {
        Self { head: Vec::new(), store: Box::new(HeadStore::new(false)) }
    }

    /// Keeps a copy of a head.
    pub(super) fn set_head(&mut self, head: &[u8]) {
        if self.head.capacity() > KEPT {
            self.head = Vec::new();
        }
        self.head.clear();
        self.head.extend_from_slice(head);
    }

    /// The request of `job`, whose body goes along.
    pub fn request<'a>(&'a self, job: &'a mut Job) -> Request<'a> {
        Request {
            head: self.store.head(&self.head),
            body: std::mem::replace(&mut job.body, Body::Empty),
            peer: job.peer,
            proxy: job.proxy.as_deref(),
            connection: job.connection,
            listener: job.listener,
            waited: job.waited,
        }
    }
}

/// A complete request whose head is in a [`Workspace`].
pub(super) struct Ready {
    pub id: ConnectionId,
    pub body: Body,
    /// The body if it is read on demand.
    pub on_demand: Option<Box<Incoming>>,
    /// Nothing was received behind it.
    pub last: bool,
    /// Since when it has been waiting for a slot, in nanoseconds of the monotonic clock; 0 if it has
    /// not.
    pub since: u64,
}

impl Ready {
    pub fn waited(&self) -> Duration {
        match self.since {
            0 => Duration::ZERO,
            since => Duration::from_nanos(time::monotonic_ns().saturating_sub(since)),
        }
    }
}

/// A complete request that waits for a slot.
pub(super) struct Waiting {
    pub ready: Ready,
    pub workspace: Workspace,
}

/// A request that a slot is to answer.
pub struct Job {
    pub(super) connection: ConnectionId,
    pub(super) peer: Peer,
    pub(super) proxy: Option<Box<ProxyInfo>>,
    pub(super) listener: usize,
    pub(super) body: Body,
    /// Its client sends nothing more.
    pub(super) at_once: bool,
    pub(super) waited: Duration,
}

impl Job {
    /// Ends the exchange of the request; the event loop has to be told.
    pub fn finish(self, exchange: &Arc<Exchange>) -> Finished {
        Finished {
            id: self.connection,
            proxy: self.proxy,
            at_once: self.at_once,
            ending: exchange.end(),
        }
    }
}

/// A request that a slot has answered.
pub struct Finished {
    pub(super) id: ConnectionId,
    pub(super) proxy: Option<Box<ProxyInfo>>,
    pub(super) at_once: bool,
    pub(super) ending: Option<Ending>,
}
