//! Bringing the pool to its size and generation.

use std::time::Duration;

use super::{Action, Fallback, HEALTHY_AFTER, Level, Policy, State};
use crate::master::workers::{Phase, Worker};
use crate::sys::signal::Signal;

impl State {
    /// TTOU: one less, and the oldest goes.
    pub(super) fn shrink(&mut self, now: Duration) {
        if self.size <= 1 {
            return;
        }
        self.size -= 1;
        if let Some(fallback) = &mut self.fallback {
            fallback.size = fallback.size.saturating_sub(1).max(1);
        }
        self.actions.push(Action::Resized(self.size));
        if self.workers.count(Worker::stays) > self.size {
            self.dismiss_oldest(1, |_| true, now);
        }
    }

    /// A hook asks for so many workers.
    pub(super) fn resize(&mut self, size: usize) {
        self.size = size;
        if let Some(fallback) = &mut self.fallback {
            fallback.size = size;
        }
    }

    pub(super) fn config_read(&mut self, policy: Policy, now: Duration) {
        if self.stopping.is_some() {
            return;
        }
        self.check = None;
        // An unproven generation is not one to return to: the one before it is.
        let fallback =
            Fallback { generation: self.generation, policy: self.policy.clone(), size: self.size };
        self.fallback.get_or_insert(fallback);
        self.last_generation += 1;
        self.generation = self.last_generation;
        self.failed_boots = 0;
        self.size = policy.workers;
        self.policy = policy;
        // What kept the last generation from booting may be cured.
        self.backoff.reset();
        // Nobody waits for those who still load what is outdated by now, unless they belong to the
        // generation to return to: without them it would not be whole.
        let keep = self.fallback.as_ref().map(|fallback| fallback.generation);
        let outdated =
            move |worker: &Worker| !worker.was_ready() && Some(worker.generation) != keep;
        self.dismiss_oldest(usize::MAX, outdated, now);
    }

    /// Brings the pool to its size and generation.
    pub(super) fn manage(&mut self, now: Duration) {
        let healthy = |worker: &Worker| now >= worker.started + HEALTHY_AFTER;
        if self.workers.iter().any(|worker| self.tests_backoff(worker) && healthy(worker)) {
            self.backoff.reset();
        }
        self.settle_generation();
        let last = self.size == 0;
        if std::mem::replace(&mut self.last, last) != last {
            self.actions.push(Action::SetLast(last));
        }
        self.choose_outgoing(now);
        self.dismiss_excess(now);
        if self.backoff.until().is_none_or(|until| now >= until) {
            for _ in 0..self.missing() {
                self.last_age += 1;
                self.workers.push(Worker::new(self.last_age, self.generation, now));
                self.actions
                    .push(Action::Spawn { age: self.last_age, generation: self.generation });
            }
        }
        let count = self.workers.len();
        if self.logged_count.replace(count) != Some(count) {
            self.log(Level::Debug, format!("{count} workers"));
        }
    }

    /// The back-off ends when this worker gets old enough to count as healthy.
    pub(super) fn tests_backoff(&self, worker: &Worker) -> bool {
        worker.phase == Phase::Ready && self.backoff.is_tested_by(worker.started)
    }

    /// Ends the trial of an unproven generation: all its workers are dead, or it is to have none.
    fn settle_generation(&mut self) {
        let Some(fallback) = &self.fallback else { return };
        if self.size == 0 {
            self.fallback = None;
            self.actions.push(Action::Commit);
            return;
        }
        if self.failed_boots == 0 || self.count_current(Worker::stays) > 0 || self.missing() > 0 {
            return;
        }
        let Fallback { generation, policy, size } = fallback.clone();
        self.fallback = None;
        self.failed_boots = 0;
        (self.generation, self.policy, self.size) = (generation, policy, size);
        let old = self.workers.count(Worker::stays);
        self.log(
            Level::Error,
            format!(
                "The reload failed: none of the new workers could boot. The {old} old ones keep \
                 serving with the previous configuration; send HUP again when the cause is cured."
            ),
        );
        self.actions.push(Action::Rollback);
    }

    /// How many workers of the current generation are to be forked.
    pub(super) fn missing(&self) -> usize {
        // An unproven generation gets one chance per worker.
        let lost = if self.fallback.is_some() { self.failed_boots } else { 0 };
        let wanted = self.size.saturating_sub(lost) + self.replacements();
        wanted.saturating_sub(self.count_current(Worker::stays))
    }

    /// How many workers are forked beyond the size of the pool, to take the places of others. Nobody is
    /// replaced in a pool that is to be empty.
    fn replacements(&self) -> usize {
        if self.size == 0 { 0 } else { self.outgoing() }
    }

    pub(super) fn count_current(&self, which: impl Fn(&Worker) -> bool) -> usize {
        self.workers.count(|worker| worker.generation == self.generation && which(worker))
    }

    /// Sends away whom the pool has too many of: one old worker for each new one that is ready, and
    /// new ones beyond its size.
    fn dismiss_excess(&mut self, now: Duration) {
        let current = self.generation;
        // For each that is ready beyond the size of the pool one goes that has waited for that.
        let ready = self.count_current(|worker| worker.stays() && worker.was_ready());
        let replaced = ready.saturating_sub(self.size);
        self.dismiss_oldest(replaced, |w| w.generation == current && w.outgoing, now);
        let size = self.size + self.replacements();
        let excess = self.count_current(Worker::stays).saturating_sub(size);
        self.dismiss_oldest(excess, |worker| worker.generation == current, now);
        if self.fallback.is_some() {
            return;
        }
        let ready = self.count_current(|worker| worker.stays() && worker.was_ready());
        let old = self.workers.count(|worker| worker.generation != current && worker.stays());
        let excess = old.saturating_sub(self.size.saturating_sub(ready));
        self.dismiss_oldest(excess, |worker| worker.generation != current, now);
    }

    /// Tells the `count` oldest of those that stay and satisfy `which` to finish and go, once each.
    fn dismiss_oldest(&mut self, count: usize, which: impl Fn(&Worker) -> bool, now: Duration) {
        let grace = self.policy.graceful_timeout;
        let chosen = self.workers.iter_mut().filter(|worker| worker.stays() && which(worker));
        for worker in chosen.take(count) {
            worker.dismissed = true;
            if !worker.was_ready() {
                worker.kill_at = Some(now + grace);
            }
            let kill = worker.pid.map(|pid| Action::Kill { pid, signal: Signal::TERM });
            self.actions.extend(kill);
        }
    }
}
