//! What tests of the layers above see of the event loop.

use std::os::fd::{AsFd, BorrowedFd};

use super::Reactor;

impl Reactor<'_> {
    /// The connections it owns.
    pub fn streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.connections.iter().map(|(_, connection)| connection.stream.as_fd())
    }

    /// Whether connections are taken in from everywhere.
    pub fn is_open(&self) -> bool {
        self.listening && self.receiving
    }
}
