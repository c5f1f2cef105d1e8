//! The supervisor as a pure state machine: an event and the time go in, actions come out. It knows
//! nothing of descriptors, clocks, processes or Python, so that tests can drive it through anything.
//!
//! A *generation* is the set of workers forked under one reading of the configuration. The new
//! generation of a reload is *unproven* until one of its workers is ready; until then the old one
//! serves untouched, and it stays for good if no worker of the new one ever gets ready.

mod checking;
mod events;
mod passing;
mod pool;
mod recycling;
mod stopping;
mod timeouts;
mod upgrade;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::backoff::Backoff;
use super::obituary;
use super::suspects::Suspects;
use super::workers::{Phase, Worker, Workers};
use crate::error::Exit;
use crate::sys::process::{Ended, Pid};
use crate::sys::signal::Signal;
use checking::Check;
pub use events::{Action, Event, Level, Policy, Recycling, Sight, Standing};
use stopping::Stopping;
pub use upgrade::Relatives;

/// A worker that ends sooner than this after its fork has crashed; one that lives longer is healthy.
const HEALTHY_AFTER: Duration = Duration::from_secs(1);

/// What to return to when no worker of the new generation gets ready.
#[derive(Clone, Debug)]
struct Fallback {
    generation: u64,
    policy: Policy,
    size: usize,
}

#[derive(Clone, Debug)]
pub struct State {
    policy: Policy,
    /// The size of the pool: `policy.workers`, changed by TTIN and TTOU.
    size: usize,
    workers: Workers,
    last_age: u64,
    /// The generation of workers forked now.
    generation: u64,
    /// The highest generation number given out.
    last_generation: u64,
    /// Set while `generation` is unproven and there is another to return to.
    fallback: Option<Fallback>,
    /// Workers that the unproven generation has lost.
    failed_boots: usize,
    ever_ready: bool,
    started: bool,
    backoff: Backoff,
    /// When to begin to stop.
    leaving: Option<Duration>,
    stopping: Option<Stopping>,
    relatives: Relatives,
    suspects: Suspects,
    /// A reload that is being checked.
    check: Option<Check>,
    /// Checks that were ended, and have not been reaped.
    dropped_checks: Vec<Pid>,
    /// Since when the master has not been absent. What is busy is timed from then on.
    awake_since: Duration,
    /// When the memory of workers is to be looked at.
    next_sample: Duration,
    /// Workers that go now leave none behind.
    last: bool,
    logged_count: Option<usize>,
    actions: Vec<Action>,
}

impl State {
    /// `has_predecessor`: another master has started this one, and serves at the same sockets.
    pub fn new(policy: Policy, has_predecessor: bool) -> Self {
        Self {
            size: policy.workers,
            policy,
            workers: Workers::default(),
            last_age: 0,
            generation: 1,
            last_generation: 1,
            fallback: None,
            failed_boots: 0,
            ever_ready: false,
            started: false,
            backoff: Backoff::default(),
            leaving: None,
            stopping: None,
            relatives: Relatives::new(has_predecessor),
            suspects: Suspects::default(),
            check: None,
            dropped_checks: Vec::new(),
            awake_since: Duration::ZERO,
            next_sample: Duration::ZERO,
            last: false,
            logged_count: None,
            actions: Vec::new(),
        }
    }

    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The size that the pool is to have.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn standing(&self) -> Standing {
        if self.is_ending() {
            Standing::Stopping
        } else if self.is_on_trial() || self.check.is_some() {
            Standing::Reloading
        } else if self.ever_ready || (self.started && self.size == 0) {
            Standing::Serving
        } else {
            Standing::Starting
        }
    }

    /// Whether the generation of workers forked now has yet to prove itself.
    pub fn is_on_trial(&self) -> bool {
        self.fallback.is_some()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// How many workers there are; what a reload has in addition does not count.
    pub fn strength(&self) -> usize {
        self.workers.count(Worker::stays).min(self.size)
    }

    /// Whether what begins from now on has to be timed.
    pub fn watches_workers(&self) -> bool {
        self.policy.timeout.is_some() && self.stopping.is_none()
    }

    /// Takes an event that happened at `now` (monotonic time) and says what to do, in this order.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::Started => self.started = true,
            Event::Signal(signal) => self.signal(signal, now),
            Event::Forked { age, pid } => self.forked(age, pid),
            Event::ForkFailed { age, why } => self.fork_failed(age, why.as_deref(), now),
            Event::OomKills(kills) => self.suspects.look(kills, now),
            Event::Ended { pid, how } => self.ended(pid, how, now),
            Event::Seen(sights) => self.seen(sights, now),
            Event::SuccessorStarted(pid) => self.relatives.successor_started(pid),
            Event::SuccessorFailed(why) => self.successor_failed(&why),
            Event::PredecessorEnded => self.promote(),
            Event::ConfigRead(policy) => self.config_read(policy, now),
            Event::ConfigRefused(why) => self.config_refused(&why),
            Event::CheckStarted(pid) => self.check_started(pid, now),
            Event::Delayed(time) => self.postpone(time),
            Event::Absent(time) => {
                self.awake_since = now;
                self.postpone(time);
            }
            Event::Resized(size) => self.resize(size),
            Event::Failed(status) => self.fail(status, now),
        }
        self.leave_in_time(now);
        self.hurry_check(now);
        if self.stopping.is_some() {
            self.go_on_stopping(now);
        } else {
            self.escalate(now);
            self.kill_overdue(now);
            if self.started {
                self.manage(now);
            }
        }
        self.remind(now);
        std::mem::take(&mut self.actions)
    }

    /// When to look again (a fresh [`Event::Seen`]) if nothing else happens; `None` for never.
    pub fn deadline(&self) -> Option<Duration> {
        if let Some(stopping) = &self.stopping {
            return stopping.limit().into_iter().chain(self.reminder()).min();
        }
        let fork = (self.missing() > 0).then(|| self.backoff.until()).flatten();
        let health = self
            .workers
            .iter()
            .filter(|worker| self.tests_backoff(worker))
            .map(|worker| worker.started + HEALTHY_AFTER);
        let workers = self.workers.iter().filter_map(|worker| self.due(worker));
        let own = self.leaving.into_iter().chain(self.recycling_due()).chain(self.check_due());
        let own = own.chain(self.reminder());
        fork.into_iter().chain(health).chain(workers).chain(own).min()
    }

    fn log(&mut self, level: Level, text: impl Into<String>) {
        self.actions.push(Action::Log(level, text.into()));
    }

    fn signal(&mut self, signal: Signal, now: Duration) {
        if signal == Signal::CHLD {
            self.log(Level::Debug, "Handling signal: cld");
            self.actions.push(Action::Reap);
            return;
        }
        if self.stopping.is_some() {
            self.signal_while_stopping(signal, now);
            return;
        }
        self.log(Level::Info, format!("Handling signal: {}", signal.short_name()));
        match signal {
            Signal::HUP | Signal::TTIN | Signal::TTOU | Signal::USR2 if self.leaving.is_some() => {
                self.log(Level::Info, "Ignored: the server is about to stop.");
            }
            Signal::TERM if self.leaving.is_none() && !self.policy.shutdown_delay.is_zero() => {
                self.announce_stop(now);
            }
            Signal::TERM => self.stop(Signal::TERM, Exit::Ok as i32, None, now),
            Signal::INT | Signal::QUIT => self.stop(Signal::QUIT, Exit::Ok as i32, None, now),
            Signal::HUP => {
                self.log(Level::Info, format!("Hang up: {}", self.relatives.name()));
                self.drop_check();
                self.actions.push(Action::ReadConfig);
            }
            Signal::TTIN => {
                self.size += 1;
                if let Some(fallback) = &mut self.fallback {
                    fallback.size += 1;
                }
                self.actions.push(Action::Resized(self.size));
            }
            Signal::TTOU => self.shrink(now),
            Signal::USR1 => {
                self.actions.push(Action::ReopenLogs);
                for pid in self.workers.iter().filter_map(|worker| worker.pid) {
                    self.actions.push(Action::Kill { pid, signal });
                }
            }
            Signal::USR2 => self.upgrade(),
            Signal::WINCH if self.policy.daemon => self.empty(),
            Signal::WINCH => self.log(Level::Debug, "SIGWINCH ignored. Not daemonized"),
            _ => self.log(Level::Error, format!("Unhandled signal: {}", signal.short_name())),
        }
    }

    fn forked(&mut self, age: u64, pid: Pid) {
        let Some(worker) = self.workers.by_age(age) else { return };
        worker.pid = Some(pid);
        // The server began to stop between the decision to fork and the fork.
        let signal = self.stopping.as_ref().map(Stopping::signal);
        let signal = signal.or(worker.dismissed.then_some(Signal::TERM));
        self.actions.extend(signal.map(|signal| Action::Kill { pid, signal }));
    }

    fn fork_failed(&mut self, age: u64, why: Option<&str>, now: Duration) {
        let Some(worker) = self.workers.remove_age(age) else { return };
        self.actions.push(Action::Release { age, exited: false });
        if let Some(why) = why {
            self.log(Level::Error, format!("Cannot start a worker: {why}"));
        }
        self.lost_while_booting(&worker, "could not be started", now);
    }

    fn ended(&mut self, pid: Pid, how: Ended, now: Duration) {
        let Some(worker) = self.workers.remove_pid(pid) else {
            if self.check_ended(pid, how) {
                return;
            }
            if self.relatives.is_successor(pid) {
                return self.successor_ended(pid, how);
            }
            let (level, text) = obituary::of_stranger(pid, how);
            self.log(level, text);
            return;
        };
        let line = obituary::of_worker(pid, &worker, how, &mut self.suspects);
        if let Some((level, text)) = line {
            self.log(level, text);
        }
        // A dismissed worker may have failed because it was interrupted.
        let hopeless = self.stopping.is_none() && !self.ever_ready && !worker.dismissed;
        let no_boot = [Exit::WorkerBoot, Exit::AppLoad].map(|exit| Ended::Exited(exit as i32));
        // In gunicorn too, a server that gives up does so without that hook.
        let exited = !(hopeless && no_boot.contains(&how));
        self.actions.push(Action::Release { age: worker.age, exited });
        if self.stopping.is_some() {
            return;
        }
        if hopeless && how == Ended::Exited(Exit::WorkerBoot as i32) {
            self.halt(Exit::WorkerBoot, "Worker failed to boot.", now);
        } else if hopeless && how == Ended::Exited(Exit::AppLoad as i32) {
            self.halt(Exit::AppLoad, "App failed to load.", now);
        } else if !worker.was_ready() {
            self.lost_while_booting(&worker, "died before it was ready", now);
        } else if worker.stays() && now < worker.started + HEALTHY_AFTER && ended_by_itself(how) {
            self.crashed(&worker, "died less than a second after its start", now);
        }
    }

    /// A worker that was never ready is gone.
    pub(super) fn lost_while_booting(&mut self, worker: &Worker, what: &str, now: Duration) {
        if self.stopping.is_some() || worker.dismissed {
            return;
        }
        if self.fallback.is_some() && worker.generation == self.generation {
            self.failed_boots += 1;
        } else {
            self.crashed(worker, what, now);
        }
    }

    fn crashed(&mut self, worker: &Worker, what: &str, now: Duration) {
        if let Some(delay) = self.backoff.crashed(worker.started, now) {
            let who = worker.pid.map_or_else(String::new, |pid| format!(" (pid:{pid})"));
            let delay = delay.as_secs_f32();
            self.log(
                Level::Warning,
                format!("Worker{who} {what}: the next one is started in {delay:.1} s."),
            );
        }
    }

    fn seen(&mut self, sights: Vec<Sight>, now: Duration) {
        self.sampled(&sights, now);
        for Sight { age, phase, busy, spent, .. } in sights {
            let Some(worker) = self.workers.by_age(age) else { continue };
            worker.busy = busy;
            worker.spent = spent;
            if worker.phase == phase || phase == Phase::Booting {
                continue;
            }
            let first = !worker.was_ready();
            worker.phase = phase;
            // One that was to be killed for never serving may now finish what it has accepted.
            worker.kill_at = None;
            let generation = worker.generation;
            if first {
                self.ever_ready = true;
                if generation == self.generation && self.fallback.take().is_some() {
                    self.actions.push(Action::Commit);
                }
            }
        }
        if self.stopping.is_none() {
            self.abort_overdue(now);
        }
    }
}

/// Not by a signal that comes from outside, nor at its own leisure.
fn ended_by_itself(how: Ended) -> bool {
    !matches!(how, Ended::Exited(0) | Ended::Signaled { signal: Signal::KILL | Signal::TERM, .. })
}
