//! A request that was refused, kept for its access line.

use std::time::Duration;

use crate::http::{HeadStore, ProxyInfo, Reject};
use crate::reactor::{Body, ConnectionId, Peer, Request};

/// A request without its body, and what it was answered with.
pub struct Refused {
    head: Vec<u8>,
    store: HeadStore,
    peer: Peer,
    proxy: Option<ProxyInfo>,
    connection: ConnectionId,
    listener: usize,
    waited: Duration,
    /// Status and reason of the answer.
    pub status: String,
}

impl Refused {
    pub fn new(request: &Request<'_>, reject: &Reject) -> Self {
        let (head, store) = request.head.keep();
        Self {
            head,
            store,
            peer: request.peer,
            proxy: request.proxy.copied(),
            connection: request.connection,
            listener: request.listener,
            waited: request.waited,
            status: format!("{} {}", reject.status, reject.reason),
        }
    }

    pub fn request(&self) -> Request<'_> {
        Request {
            head: self.store.head(&self.head),
            body: Body::Empty,
            peer: self.peer,
            proxy: self.proxy.as_ref(),
            connection: self.connection,
            listener: self.listener,
            waited: self.waited,
        }
    }
}
