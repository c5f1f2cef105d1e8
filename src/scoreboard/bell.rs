//! What master and workers tell each other besides what is in the slots.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use crate::sys::ring::Ring;
use crate::sys::shm::Shared;

/// Wakes the sleeping master, so that it need not look at regular intervals.
///
/// The master that is about to sleep without a deadline calls `arm`, looks at the scoreboard once
/// more, then sleeps. A worker writes to its slot, then calls `ring_if_armed`. One of the two sees
/// the other.
pub struct Bell {
    ring: Ring,
    armed: Shared<AtomicU32>,
}

impl Bell {
    /// # Errors
    /// What the kernel answered: no descriptor or no memory left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { ring: Ring::new()?, armed: Shared::new(1)? })
    }

    /// The one that another program had in this process, of its [`Self::parts`].
    ///
    /// # Errors
    /// They are something else.
    pub fn adopt([ring, armed]: [OwnedFd; 2]) -> io::Result<Self> {
        Ok(Self { ring: Ring::adopt(ring), armed: Shared::adopt(armed, 1)? })
    }

    /// Duplicates of what it consists of.
    ///
    /// # Errors
    /// It cannot be passed on ([`Shared::file`]).
    pub fn parts(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.ring.fd().try_clone_to_owned()?, self.armed.file()?])
    }

    /// In a forked worker: what only [`Self::parts`] needs is closed.
    pub fn close(&self) {
        self.armed.close();
    }

    pub fn arm(&self) {
        self.armed[0].store(1, Ordering::Relaxed);
        // What the master reads after this, it reads after the store is visible.
        fence(Ordering::SeqCst);
    }

    /// Returns whether it was still armed, which it is until a worker has rung.
    pub fn disarm(&self) -> bool {
        self.armed[0].swap(0, Ordering::Relaxed) != 0
    }

    /// Wakes the master.
    pub fn ring(&self) {
        self.ring.ring();
    }

    /// Wakes the master if it sleeps without a deadline. Called once per request.
    pub fn ring_if_armed(&self) {
        // The counterpart of the fence in `arm`; without it the load could pass the worker's stores.
        fence(Ordering::SeqCst);
        let armed = &self.armed[0];
        if armed.load(Ordering::Relaxed) != 0 && armed.swap(0, Ordering::Relaxed) != 0 {
            self.ring();
        }
    }

    /// Silences the bell.
    pub fn drain(&self) {
        self.ring.silence();
    }

    /// Readable while the bell rings.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.ring.fd()
    }
}

/// Bits of a stop flag.
const ANNOUNCED: u32 = 1;
const SET: u32 = 2;

/// Says whether the whole server stops, which tells a worker that there will be no other.
pub struct StopFlag {
    set: Shared<AtomicU32>,
}

impl StopFlag {
    /// # Errors
    /// What the kernel answered: no descriptor or no memory left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { set: Shared::new(1)? })
    }

    /// The one that another program had in this process.
    ///
    /// # Errors
    /// It is something else.
    pub fn adopt(file: OwnedFd) -> io::Result<Self> {
        Ok(Self { set: Shared::adopt(file, 1)? })
    }

    /// For [`Self::adopt`].
    ///
    /// # Errors
    /// It cannot be passed on ([`Shared::file`]).
    pub fn file(&self) -> io::Result<OwnedFd> {
        self.set.file()
    }

    /// In a forked worker: what only [`Self::file`] needs is closed.
    pub fn close(&self) {
        self.set.close();
    }

    /// For the master, a while before it stops.
    pub fn announce(&self) {
        self.set[0].fetch_or(ANNOUNCED, Ordering::Release);
    }

    /// For the master, before it tells its workers to go, and for workers that outlive it.
    pub fn set(&self) {
        self.set[0].fetch_or(SET, Ordering::Release);
    }

    /// For the master, before it forks workers after all have been told to go.
    pub fn clear(&self) {
        self.set[0].fetch_and(!SET, Ordering::Release);
    }

    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set[0].load(Ordering::Acquire) & SET != 0
    }

    /// Whether it was announced that it will be set.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.set[0].load(Ordering::Relaxed) & ANNOUNCED != 0
    }
}
