//! Where a thread waits until another has something for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// The place of one thread.
#[derive(Default)]
pub struct Parking {
    thread: OnceLock<Thread>,
    called: AtomicBool,
}

impl Parking {
    /// Waits until [`Self::call`], which may have come before. For one thread only.
    pub fn wait(&self) {
        self.thread.get_or_init(thread::current);
        while !self.is_called() {
            thread::park();
        }
    }

    /// Whether the wait would end, or had ended, at once; if so the next one does not.
    pub(super) fn is_called(&self) -> bool {
        self.called.swap(false, Ordering::SeqCst)
    }

    /// As [`Self::wait`], at most so long.
    pub fn wait_at_most(&self, limit: Duration) {
        self.thread.get_or_init(thread::current);
        if !self.is_called() {
            thread::park_timeout(limit);
            self.called.store(false, Ordering::SeqCst);
        }
    }

    /// Ends the wait, or the next one.
    pub fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
