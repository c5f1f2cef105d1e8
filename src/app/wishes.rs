//! What code of the user asks of the master, from whatever thread of it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::ring::Ring;

/// No size was asked for.
const NONE: u64 = u64::MAX;

/// Asked for and not yet done. The master looks when the ring rings.
pub struct Wishes {
    ring: Ring,
    size: AtomicU64,
}

impl Wishes {
    /// # Errors
    /// No descriptor or no memory left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { ring: Ring::new()?, size: AtomicU64::new(NONE) })
    }

    /// Asks for so many workers. The last one to ask is heard.
    pub fn resize(&self, size: u64) {
        self.size.store(size.min(NONE - 1), Ordering::Release);
        self.wake();
    }

    /// Has the master look for what is due.
    pub fn wake(&self) {
        self.ring.ring();
    }

    /// How many workers were asked for since the last call.
    #[must_use]
    pub fn take_size(&self) -> Option<usize> {
        let size = self.size.swap(NONE, Ordering::AcqRel);
        (size != NONE).then(|| usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// To be called before [`Self::take_size`], so that no wish is overlooked.
    pub fn silence(&self) {
        self.ring.silence();
    }

    /// Readable while there may be a wish.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.ring.fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_wish_is_granted_once() {
        let wishes = Wishes::new().expect("an eventfd");
        assert_eq!(wishes.take_size(), None);
        wishes.resize(3);
        wishes.resize(0);
        wishes.silence();
        assert_eq!((wishes.take_size(), wishes.take_size()), (Some(0), None));
        wishes.resize(u64::MAX);
        assert_eq!(wishes.take_size(), Some(usize::MAX - 1));
    }
}
