//! What tests of the layers above see of the event loop.

use std::os::fd::{AsFd, BorrowedFd};

use std::sync::Arc;

use super::{Exchange, Reactor};

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
