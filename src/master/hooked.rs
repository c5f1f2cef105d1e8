//! What the master does about hooks: it grants what they ask for, and stops when one has failed where
//! there is nothing to return to.

use std::collections::VecDeque;

use super::run::{FAILED, Master};
use super::state::{Event, Standing};
use crate::app::{Called, HookFailed};
use crate::error::Exit;

impl Master<'_> {
    /// Does what hooks, and threads that they have started, have asked for.
    pub(super) fn grant_wishes(&mut self) {
        let Some(wishes) = self.host.hooks().wishes() else { return };
        wishes.silence();
        if let Some(size) = wishes.take_size() {
            self.tell(Event::Resized(size));
        }
    }

    /// Takes note of what became of a hook.
    pub(super) fn note(&mut self, called: Called, events: &mut VecDeque<Event>) {
        if let Err(failure) = called {
            events.push_back(self.fail(&failure));
        }
    }

    /// Takes note of what became of the user's handlers of signals.
    pub(super) fn handled(&mut self, called: Called) {
        if let Err(failure) = called {
            let event = self.fail(&failure);
            self.tell(event);
        }
    }

    /// `pre_fork` has failed. A new generation fails with it, and the one before stays; if there is
    /// none, the server stops.
    pub(super) fn not_forked(
        &mut self,
        age: u64,
        failure: &HookFailed,
        events: &mut VecDeque<Event>,
    ) -> Event {
        if self.state.is_on_trial() && failure.exit.is_none() {
            let why = format!("the hook pre_fork failed:\n{}", failure.traceback);
            return Event::ForkFailed { age, why: Some(why) };
        }
        events.push_back(self.fail(failure));
        Event::ForkFailed { age, why: None }
    }

    fn fail(&mut self, failure: &HookFailed) -> Event {
        if failure.exit.is_none() {
            tracing::error!("Unhandled exception in main loop\n{}", failure.traceback);
        }
        let otherwise =
            if self.state.standing() == Standing::Stopping { Exit::Config as i32 } else { FAILED };
        let status = failure.exit.unwrap_or(otherwise);
        self.failed = Some(status);
        Event::Failed(status)
    }
}
