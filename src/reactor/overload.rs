//! Load shedding: requests that wait too long for a slot are turned away (`max_queue_time`).

use std::time::Duration;

use super::accept::Taken;
use super::job::{Ready, Waiting, Workspace};
use super::{Handler, Reactor};
use crate::http::Reject;

impl Reactor<'_> {
    /// Whether a request has waited too long for a slot.
    pub(super) fn is_overdue(&self, waited: Duration) -> bool {
        let patience = self.options.queue_patience;
        !patience.is_zero() && waited > patience
    }

    /// Turns away a request that has waited too long for a slot.
    pub(super) fn shed(&mut self, ready: &Ready, workspace: &Workspace, handler: &dyn Handler) {
        let head = workspace.store.head(&workspace.head);
        let waited = ready.waited();
        handler.shed();
        self.reject_after(waited, ready.id, &Reject::overloaded(waited), Ok(head), handler);
        self.settle(ready.id.key);
    }

    /// Notes that a request that is complete `since` then has been put into the queue.
    pub(super) fn note_queued(&mut self, since: u64) {
        if !self.options.queue_patience.is_zero() {
            self.queued.push_back(since);
        }
    }

    /// When a request has waited too long, in nanoseconds of the monotonic clock.
    pub(super) fn next_overdue(&self) -> Option<u64> {
        let patience = self.options.queue_patience;
        if patience.is_zero() {
            return None;
        }
        let waiting = self.waiting.front().map(|waiting| waiting.ready.since);
        let first = waiting.into_iter().chain(self.queued.front().copied()).min()?;
        Some(first.saturating_add(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Turns away what has waited too long, here and in the queue. Nobody takes anything from there
    /// while all slots are busy, so whoever has put a request into it looks after it.
    pub(super) fn shed_overdue(&mut self, now: u64, handler: &dyn Handler) {
        while self.next_overdue().is_some_and(|at| at <= now) {
            let first = self.waiting.front().map(|waiting| waiting.ready.since);
            if first.is_some_and(|since| self.queued.front().is_none_or(|&other| since <= other)) {
                let Some(Waiting { ready, workspace }) = self.waiting.pop_front() else { return };
                self.shed(&ready, &workspace, handler);
                continue;
            }
            self.queued.pop_front();
            // It is in front, if it is there; a younger one goes back.
            if let Some(Taken::Request(ready)) = self.take_over(handler) {
                self.keep_waiting(ready);
            }
        }
    }
}
