//! Steps against workers that do not come back from a request or from a wait for the interpreter, or do
//! not go when told.

use std::time::Duration;

use super::stopping::Stopping;
use super::{Action, Level, State};
use crate::master::workers::{Busy, Doing, Killed, Stuck, Worker};
use crate::sys::process::Pid;
use crate::sys::signal::Signal;

/// What a worker gets after SIGABRT to log its Python stacks, before they are dumped from C.
const TO_ABORT: Duration = Duration::from_secs(2);
/// How long a worker that loads the application has to notice that it is to go, before it is told again.
const TO_NOTICE: Duration = Duration::from_secs(1);
/// What the dump may take before SIGKILL.
const TO_DUMP: Duration = Duration::from_secs(1);

impl State {
    /// When something is due for this worker.
    pub(super) fn due(&self, worker: &Worker) -> Option<Duration> {
        let next = match worker.stuck {
            None => self.overdue_at(worker),
            Some(Stuck::Aborted { due } | Stuck::Dumped { due }) => Some(due),
            Some(Stuck::Killed) => None,
        };
        next.into_iter().chain(worker.kill_at).min()
    }

    fn overdue_at(&self, worker: &Worker) -> Option<Duration> {
        if worker.pid.is_none() || worker.killed.is_some() {
            return None;
        }
        if !worker.was_ready() {
            // One that was told to go has another limit.
            let limit = self.policy.boot_timeout.filter(|_| !worker.dismissed)?;
            return Some(worker.started.max(self.awake_since).saturating_add(limit));
        }
        let since = worker.busy.as_ref()?.since.max(self.awake_since);
        Some(since.saturating_add(self.policy.timeout?))
    }

    /// Aborts the workers that have been busy for longer than the timeout. To be called with fresh
    /// sights only: an old one may tell of a request that is long finished.
    pub(super) fn abort_overdue(&mut self, now: Duration) {
        let overdue: Vec<u64> = self
            .workers
            .iter()
            .filter(|worker| worker.stuck.is_none())
            .filter(|worker| self.overdue_at(worker).is_some_and(|at| now >= at))
            .map(|worker| worker.age)
            .collect();
        for age in overdue {
            let Some(worker) = self.workers.by_age(age) else { continue };
            let Some(pid) = worker.pid else { continue };
            let (busy, limit) = if worker.was_ready() {
                (worker.busy.clone(), self.policy.timeout)
            } else {
                let starting = Busy { since: worker.started, doing: Doing::Starting };
                (Some(starting), self.policy.boot_timeout)
            };
            let (Some(busy), Some(limit)) = (busy, limit) else { continue };
            worker.stuck = Some(Stuck::Aborted { due: now + TO_ABORT });
            let sentence = sentence(pid, &busy, limit, now);
            let lost = (busy.doing == Doing::Starting).then(|| worker.clone());
            worker.overdue = Some(busy.doing);
            // What becomes of it makes no difference any more.
            worker.dismissed |= lost.is_some();
            self.log(Level::Critical, format!("WORKER TIMEOUT (pid:{pid})"));
            self.log(Level::Error, sentence);
            self.actions.push(Action::Kill { pid, signal: Signal::ABRT });
            if let Some(worker) = lost {
                self.lost_while_booting(&worker, "was not ready in time", now);
            }
        }
    }

    /// The later steps against workers that SIGABRT did not end.
    pub(super) fn escalate(&mut self, now: Duration) {
        for worker in self.workers.iter_mut() {
            let Some(pid) = worker.pid else { continue };
            let signal = match worker.stuck {
                Some(Stuck::Aborted { due }) if now >= due => {
                    worker.stuck = Some(Stuck::Dumped { due: now + TO_DUMP });
                    Signal::dump()
                }
                Some(Stuck::Dumped { due }) if now >= due => {
                    worker.stuck = Some(Stuck::Killed);
                    worker.killed = Some(Killed::Timeout);
                    Signal::KILL
                }
                _ => continue,
            };
            self.actions.push(Action::Kill { pid, signal });
        }
    }

    /// What was to be done to workers that do not react is due so much later: they have not had that time.
    pub(super) fn postpone(&mut self, time: Duration) {
        for worker in self.workers.iter_mut() {
            if let Some(Stuck::Aborted { due } | Stuck::Dumped { due }) = &mut worker.stuck {
                *due += time;
            }
            if let Some(kill_at) = &mut worker.kill_at {
                *kill_at += time;
            }
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.postpone(time);
        }
    }

    /// Tells dismissed workers that still load the application once more: a signal that comes right before a
    /// call that blocks does not end the call.
    pub(super) fn remind(&mut self, now: Duration) {
        let signal = self.stopping.as_ref().map_or(Signal::TERM, Stopping::signal);
        for worker in self.workers.iter_mut().filter(|worker| worker.may_be_deaf()) {
            let Some(pid) = worker.pid else { continue };
            let due = worker.remind_at.is_some_and(|at| now >= at);
            if due || worker.remind_at.is_none() {
                worker.remind_at = Some(now + TO_NOTICE);
            }
            if due {
                self.actions.push(Action::Kill { pid, signal });
            }
        }
    }

    /// When that is due.
    pub(super) fn reminder(&self) -> Option<Duration> {
        let deaf = self.workers.iter().filter(|worker| worker.may_be_deaf());
        deaf.filter_map(|worker| worker.remind_at).min()
    }

    /// Kills dismissed workers that never served anyone and do not leave.
    pub(super) fn kill_overdue(&mut self, now: Duration) {
        let grace = self.policy.graceful_timeout.as_secs();
        for worker in self.workers.iter_mut() {
            let Some(pid) = worker.pid else { continue };
            if worker.kill_at.is_some_and(|at| now >= at) {
                worker.kill_at = None;
                worker.killed = Some(Killed::Grace(grace));
                self.actions.push(Action::Kill { pid, signal: Signal::KILL });
            }
        }
    }
}

/// What a worker has been doing for too long.
fn sentence(pid: Pid, busy: &Busy, limit: Duration, now: Duration) -> String {
    let taken = now.saturating_sub(busy.since).as_secs_f32();
    let setting = match busy.doing {
        Doing::Starting => "worker_boot_timeout",
        _ => "timeout",
    };
    let times = format!("for {taken:.1} s ({setting} {} s)", limit.as_secs_f32());
    match &busy.doing {
        Doing::Starting => format!("Worker (pid:{pid}) has been starting {times}"),
        Doing::Request(request) => {
            format!("Worker (pid:{pid}) has been handling {request} {times}")
        }
        Doing::Waiting => format!(
            "Worker (pid:{pid}) has been waiting for the interpreter lock, which a thread of the \
             application holds, {times}"
        ),
        Doing::ThreadWaiting { oldest } => {
            let oldest = oldest.as_ref().map_or_else(
                || "No request is in progress".to_owned(),
                |request| format!("The oldest request in progress is {request}"),
            );
            format!(
                "A thread of worker (pid:{pid}) has been waiting for the interpreter lock, which \
                 another thread holds, {times}. {oldest}"
            )
        }
    }
}
