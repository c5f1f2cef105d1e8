//! A reload for which the master becomes a new program: a process of its own finds out beforehand whether that
//! one would work. Until it has, and if it would not, nothing changes.

use std::time::Duration;

use super::{Action, Level, State};
use crate::sys::process::{Ended, Pid};
use crate::sys::signal::Signal;

/// What the process gets after SIGABRT to tell where it is, before SIGKILL.
const TO_ABORT: Duration = Duration::from_secs(2);

/// How far a reload of that kind has come.
#[derive(Clone, Debug)]
pub(super) enum Check {
    Running {
        pid: Pid,
        /// When it takes too long.
        due: Option<Duration>,
        aborted: bool,
    },
    /// The new program would work.
    Passed,
}

impl State {
    /// Whether the master is to become the new program now. Answered by [`Event::ConfigRefused`] if that is
    /// not possible.
    ///
    /// [`Event::ConfigRefused`]: super::Event::ConfigRefused
    pub fn may_renew(&self) -> bool {
        matches!(self.check, Some(Check::Passed)) && !self.is_ending()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.stopping.is_some() || self.leaving.is_some()
    }

    pub(super) fn check_started(&mut self, pid: Pid, now: Duration) {
        self.log(Level::Info, format!("The application is loaded in process {pid} to check it."));
        let due = self.policy.boot_timeout.map(|limit| now.saturating_add(limit));
        self.check = Some(Check::Running { pid, due, aborted: false });
        if self.is_ending() {
            self.drop_check();
        }
    }

    /// Whatever it finds out is of no interest any more.
    pub(super) fn drop_check(&mut self) {
        if let Some(Check::Running { pid, .. }) = self.check.take() {
            self.dropped_checks.push(pid);
            self.actions.push(Action::Kill { pid, signal: Signal::KILL });
        }
    }

    /// Whether it was the check that has ended.
    pub(super) fn check_ended(&mut self, pid: Pid, how: Ended) -> bool {
        if let Some(index) = self.dropped_checks.iter().position(|dropped| *dropped == pid) {
            self.dropped_checks.swap_remove(index);
            self.actions.push(Action::EndGroup(pid));
            return true;
        }
        match self.check {
            Some(Check::Running { pid: running, aborted, .. }) if running == pid => {
                self.actions.push(Action::EndGroup(pid));
                self.check = (how == Ended::Exited(0)).then_some(Check::Passed);
                if self.check.is_none() {
                    let late = aborted.then_some(self.policy.boot_timeout).flatten();
                    self.actions.push(Action::TellCheck { how, late });
                }
                true
            }
            _ => false,
        }
    }

    pub(super) fn check_due(&self) -> Option<Duration> {
        match self.check {
            Some(Check::Running { due, .. }) => due,
            Some(Check::Passed) | None => None,
        }
    }

    /// Ends a check that takes too long.
    pub(super) fn hurry_check(&mut self, now: Duration) {
        let Some(Check::Running { pid, due, aborted }) = &mut self.check else { return };
        if due.is_none_or(|due| now < due) {
            return;
        }
        let signal = if *aborted { Signal::KILL } else { Signal::ABRT };
        *due = (!*aborted).then_some(now + TO_ABORT);
        *aborted = true;
        self.actions.push(Action::Kill { pid: *pid, signal });
    }

    pub(super) fn config_refused(&mut self, why: &str) {
        self.check = None;
        self.log(
            Level::Error,
            format!("{why}\nThe configuration in force stays as it is; the workers go on."),
        );
    }
}
