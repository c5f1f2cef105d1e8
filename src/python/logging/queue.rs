//! What waits for the Python logger.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::refused::Refused;
use crate::log::Severity;

/// So much may wait.
const ROOM: usize = 4096;
/// A logger that does not come back for so long is given up until it does.
const PATIENCE: Duration = Duration::from_secs(5);

/// One thing for the logger to do.
pub enum Item {
    Record(Severity, String),
    /// The access line of a request that was refused.
    Refused(Box<Refused>),
    /// The files are to be opened again.
    Reopen,
}

/// In the order in which it is to be done. What is being done is at the front until it is done.
pub struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    items: VecDeque<(Arc<Item>, Instant)>,
    /// Nobody waits in [`Queue::wait`] any more.
    over: bool,
}

impl Queue {
    pub const fn new() -> Self {
        let waiting = Waiting { items: VecDeque::new(), over: false };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an item.
    ///
    /// # Errors
    /// The item, if the logger takes nothing.
    pub fn push(&self, item: Item) -> Result<(), Item> {
        let mut waiting = self.lock();
        let stuck = waiting.items.front().is_some_and(|(_, since)| since.elapsed() > PATIENCE);
        if stuck || waiting.items.len() >= ROOM {
            return Err(item);
        }
        waiting.items.push_back((Arc::new(item), Instant::now()));
        self.changed.notify_all();
        Ok(())
    }

    /// The item at the front.
    pub fn front(&self) -> Option<Arc<Item>> {
        self.lock().items.front().map(|(item, _)| Arc::clone(item))
    }

    /// Removes an item that has been done, unless that has happened.
    pub fn done(&self, item: &Arc<Item>) {
        let mut waiting = self.lock();
        if waiting.items.front().is_some_and(|(front, _)| Arc::ptr_eq(front, item)) {
            waiting.items.pop_front();
            self.changed.notify_all();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    /// Takes all there is.
    pub fn clear(&self) -> Vec<Arc<Item>> {
        let mut waiting = self.lock();
        self.changed.notify_all();
        waiting.items.drain(..).map(|(item, _)| item).collect()
    }

    /// Waits for something to do; `false` when it is over and there is nothing.
    pub fn wait(&self) -> bool {
        let ready = |waiting: &mut Waiting| waiting.items.is_empty() && !waiting.over;
        let waiting = self.changed.wait_while(self.lock(), ready);
        !waiting.unwrap_or_else(PoisonError::into_inner).items.is_empty()
    }

    /// Waits until all is done, at most so long.
    pub fn wait_empty(&self, limit: Duration) {
        let busy = |waiting: &mut Waiting| !waiting.items.is_empty();
        // Whoever waits looks what is left.
        drop(self.changed.wait_timeout_while(self.lock(), limit, busy));
    }

    /// Whether whoever waits for something to do shall go on waiting.
    pub fn set_over(&self, over: bool) {
        self.lock().over = over;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_done_stays_at_the_front() {
        let queue = Queue::new();
        for text in ["a", "b"] {
            assert!(queue.push(Item::Record(Severity::Info, text.into())).is_ok());
        }
        let first = queue.front().expect("the first");
        assert!(Arc::ptr_eq(&first, &queue.front().expect("still the first")));
        queue.done(&first);
        queue.done(&first);
        let left = queue.clear();
        assert!(matches!(&*left[0], Item::Record(Severity::Info, text) if text == "b"));
        assert_eq!(left.len(), 1);
        queue.set_over(true);
        assert!(!queue.wait());
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let queue = Queue::new();
        for _ in 0..ROOM {
            assert!(queue.push(Item::Reopen).is_ok());
        }
        assert!(matches!(queue.push(Item::Reopen), Err(Item::Reopen)));
    }
}
