//! Waking a thread that waits for descriptors: eventfd(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A descriptor that is readable from the first [`Self::ring`] to the next [`Self::silence`].
pub struct Ring(EventFd);

impl Ring {
    /// # Errors
    /// No descriptor or no memory left.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_flags(flags)?))
    }

    /// The one that another program had in this process.
    pub fn adopt(fd: OwnedFd) -> Self {
        // SAFETY: at worst it is something else; then reading and writing fail, and it never rings.
        Self(unsafe { EventFd::from_owned_fd(fd) })
    }

    pub fn ring(&self) {
        // Fails only when the counter is full, and then it rings already.
        let _ = self.0.write(1);
    }

    pub fn silence(&self) {
        // An error says that it was not ringing.
        let _ = self.0.read();
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
