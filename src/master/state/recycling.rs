//! Replacing workers in time: those that have handled many requests, that use too much memory, and that have
//! lived for long. They serve until their replacement does.

use std::time::Duration;

use super::{Level, Sight, State};
use crate::master::workers::{Phase, Worker};

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_secs(2);
/// So many times in a row it must have been too much: a single request may need a lot for a moment.
const SAMPLES: u32 = 3;

impl State {
    /// Whether the next [`Event::Seen`](super::Event::Seen) shall tell how much memory workers use.
    pub fn samples_memory(&self, now: Duration) -> bool {
        self.policy.recycling.memory.is_some() && self.stopping.is_none() && now >= self.next_sample
    }

    /// Takes in what workers use, if that was asked for.
    pub(super) fn sampled(&mut self, sights: &[Sight], now: Duration) {
        let Some(limit) = self.policy.recycling.memory.filter(|_| now >= self.next_sample) else {
            return;
        };
        if sights.iter().any(|sight| sight.memory.is_none()) {
            // The look was taken before it was due.
            return;
        }
        self.next_sample = now + SAMPLE;
        for sight in sights {
            let Some(worker) = self.workers.by_age(sight.age) else { continue };
            worker.oversized = match sight.memory {
                Some(memory) if memory > limit => worker.oversized.saturating_add(1),
                Some(_) | None => 0,
            };
        }
    }

    /// When there may be a worker to replace.
    pub(super) fn recycling_due(&self) -> Option<Duration> {
        let sample = self.policy.recycling.memory.map(|_| self.next_sample);
        let may = self.fallback.is_none() && self.outgoing() < self.most_outgoing();
        let ages = self.workers.iter().filter(|worker| may && self.may_go(worker));
        ages.filter_map(|worker| self.end_of_life(worker)).chain(sample).min()
    }

    /// Chooses workers to be replaced, the oldest first.
    pub(super) fn choose_outgoing(&mut self, now: Duration) {
        if self.fallback.is_some() {
            return;
        }
        let room = self.most_outgoing().saturating_sub(self.outgoing());
        let due = |worker: &&Worker| {
            let too_old = || self.end_of_life(worker).is_some_and(|end| now >= end);
            self.may_go(worker) && (worker.spent || worker.oversized >= SAMPLES || too_old())
        };
        let chosen: Vec<u64> =
            self.workers.iter().filter(due).take(room).map(|worker| worker.age).collect();
        for age in chosen {
            let Some(worker) = self.workers.by_age(age) else { continue };
            worker.outgoing = true;
            let (spent, oversized) = (worker.spent, worker.oversized >= SAMPLES);
            let Some(pid) = worker.pid else { continue };
            let lived = now.saturating_sub(worker.started).as_secs();
            let recycling = &self.policy.recycling;
            let why = match recycling.memory.filter(|_| oversized) {
                _ if spent => "has handled its requests (max_requests)".to_owned(),
                Some(limit) => format!("uses more than {limit} bytes (max_worker_memory)"),
                None => format!("has lived for {lived} s (max_worker_lifetime)"),
            };
            self.log(Level::Info, format!("Worker (pid:{pid}) {why} and is replaced."));
        }
    }

    /// How many workers wait for their replacement.
    pub(super) fn outgoing(&self) -> usize {
        self.count_current(|worker| worker.stays() && worker.outgoing)
    }

    fn most_outgoing(&self) -> usize {
        self.policy.recycling.most.max(1)
    }

    fn may_go(&self, worker: &Worker) -> bool {
        worker.generation == self.generation
            && worker.stays()
            && worker.phase == Phase::Ready
            && !worker.outgoing
    }

    /// Workers share out the jitter by their ages: as evenly as the golden ratio does it, whatever their
    /// number.
    fn end_of_life(&self, worker: &Worker) -> Option<Duration> {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let recycling = &self.policy.recycling;
        let share = u32::try_from(worker.age.wrapping_mul(GOLDEN) >> 32).unwrap_or_default();
        let jitter = recycling.jitter.mul_f64(f64::from(share) / f64::from(u32::MAX));
        Some(worker.started.saturating_add(recycling.lifetime?).saturating_add(jitter))
    }
}
