//! The end of the server: workers are told to go, given their time, and killed after it.

use std::time::Duration;

use super::{Action, Level, State};
use crate::error::Exit;
use crate::master::workers::Killed;
use crate::sys::signal::Signal;

/// What is left to workers after a quick stop was asked for during a graceful one.
const QUICK: Duration = Duration::from_secs(2);
/// How long the kernel may take to end killed processes before the master leaves without them.
const TO_DIE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct Stopping {
    status: i32,
    reason: Option<&'static str>,
    step: Step,
    /// How long the workers were given in all.
    grace: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Workers finish; whoever is left at the limit is killed.
    Asked { signal: Signal, since: Duration, limit: Duration },
    /// All were sent SIGKILL.
    Killed { limit: Duration },
    /// [`Action::Exit`] was given.
    Over,
}

impl Stopping {
    pub(super) fn limit(&self) -> Option<Duration> {
        match self.step {
            Step::Asked { limit, .. } | Step::Killed { limit } => Some(limit),
            Step::Over => None,
        }
    }

    /// See [`State::postpone`].
    pub(super) fn postpone(&mut self, time: Duration) {
        if let Step::Asked { limit, .. } | Step::Killed { limit } = &mut self.step {
            *limit += time;
        }
    }

    /// What a worker is due that is forked in this moment.
    pub(super) fn signal(&self) -> Signal {
        match self.step {
            Step::Asked { signal, .. } => signal,
            Step::Killed { .. } | Step::Over => Signal::KILL,
        }
    }
}

impl State {
    /// The server cannot do its work: it stops with a reason.
    pub(super) fn halt(&mut self, exit: Exit, reason: &'static str, now: Duration) {
        self.stop(Signal::TERM, exit as i32, Some(reason), now);
    }

    /// A hook has failed: the server cannot go on as the user wants it to.
    pub(super) fn fail(&mut self, status: i32, now: Duration) {
        match &mut self.stopping {
            Some(stopping) => stopping.status = status,
            None => self.stop(Signal::QUIT, status, None, now),
        }
    }

    /// Begins to stop: `signal` TERM lets workers finish their requests, QUIT does not.
    pub(super) fn stop(
        &mut self,
        signal: Signal,
        status: i32,
        reason: Option<&'static str>,
        now: Duration,
    ) {
        let grace = self.policy.graceful_timeout;
        let step = Step::Asked { signal, since: now, limit: now + grace };
        self.stopping = Some(Stopping { status, reason, step, grace });
        self.drop_check();
        self.actions.push(Action::CloseListeners);
        for worker in self.workers.iter_mut() {
            // A second TERM could hit a worker that is taking Python down.
            let told = worker.dismissed && signal == Signal::TERM;
            worker.dismissed = true;
            if let Some(pid) = worker.pid.filter(|_| !told) {
                self.actions.push(Action::Kill { pid, signal });
            }
        }
    }

    /// TERM with a delay: the server goes on for a while, and lets its clients know.
    pub(super) fn announce_stop(&mut self, now: Duration) {
        let delay = self.policy.shutdown_delay;
        // First: who reads the line relies on it.
        self.actions.push(Action::AnnounceStop);
        self.log(
            Level::Info,
            format!(
                "Stopping in {} s (shutdown_delay): connections end with their next response.",
                delay.as_secs_f64()
            ),
        );
        self.leaving = Some(now + delay);
        self.drop_check();
    }

    /// Begins to stop when the delay is over.
    pub(super) fn leave_in_time(&mut self, now: Duration) {
        if self.leaving.is_some_and(|at| now >= at) && self.stopping.is_none() {
            self.stop(Signal::TERM, Exit::Ok as i32, None, now);
        }
    }

    pub(super) fn signal_while_stopping(&mut self, signal: Signal, now: Duration) {
        let Some(stopping) = &mut self.stopping else { return };
        let Step::Asked { since, limit, .. } = stopping.step else { return };
        if !matches!(signal, Signal::INT | Signal::QUIT) {
            return;
        }
        let limit = limit.min(now + QUICK);
        stopping.step = Step::Asked { signal: Signal::QUIT, since, limit };
        stopping.grace = limit.saturating_sub(since);
        self.log(Level::Info, "Quick shutdown requested");
        self.signal_all(Signal::QUIT);
    }

    /// Kills at the limit, leaves when all are gone.
    pub(super) fn go_on_stopping(&mut self, now: Duration) {
        let Some(stopping) = &mut self.stopping else { return };
        let gone = self.workers.is_empty();
        match stopping.step {
            Step::Asked { limit, .. } if now >= limit && !gone => {
                stopping.step = Step::Killed { limit: now + TO_DIE };
                let grace = stopping.grace.as_secs();
                for worker in self.workers.iter_mut() {
                    worker.killed.get_or_insert(Killed::Grace(grace));
                }
                self.signal_all(Signal::KILL);
            }
            Step::Asked { .. } if gone => self.leave(),
            Step::Killed { limit } if gone || now >= limit => self.leave(),
            Step::Asked { .. } | Step::Killed { .. } | Step::Over => {}
        }
    }

    fn leave(&mut self) {
        let Some(stopping) = &mut self.stopping else { return };
        stopping.step = Step::Over;
        let (status, reason) = (stopping.status, stopping.reason);
        let pids: Vec<_> = self.workers.iter().filter_map(|worker| worker.pid).collect();
        for pid in pids {
            self.log(
                Level::Error,
                format!("Worker (pid:{pid}) is still there after SIGKILL; leaving without it."),
            );
        }
        let level = if status == 0 { Level::Info } else { Level::Error };
        self.log(level, format!("Shutting down: {}", self.relatives.name()));
        if let Some(reason) = reason {
            self.log(level, format!("Reason: {reason}"));
        }
        self.actions.push(Action::Exit(status));
    }

    fn signal_all(&mut self, signal: Signal) {
        let pids = self.workers.iter().filter_map(|worker| worker.pid);
        self.actions.extend(pids.map(|pid| Action::Kill { pid, signal }));
    }
}
