//! What tests see of the event loop, and a handler for those that need no more.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::{Exchange, Handler, Peer, Reactor, Refused};
use crate::http::Reject;

/// Keeps all connections.
pub struct Quiet;

impl Handler for Quiet {
    fn rejected(&self, reject: &Reject, _: Peer, _: Refused<'_>) {
        panic!("{reject:?}");
    }

    fn lets_go(&self) -> bool {
        false
    }

    fn taken(&self, _: Duration) {}

    fn shed(&self) {}

    fn sent(&self) {}

    fn received(&self) {}
}

impl Reactor<'_> {
    /// The connections it owns.
    pub fn streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.connections.iter().map(|(_, connection)| connection.stream.as_fd())
    }

    /// Has a slot use this exchange in place of one from [`Self::exchange`].
    pub fn attach(&mut self, exchange: &Arc<Exchange>) {
        self.held.watch(exchange);
    }

    /// Whether connections are taken in from everywhere.
    pub fn is_open(&self) -> bool {
        self.listening && self.receiving
    }
}
