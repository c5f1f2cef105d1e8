//! Forking a worker.

use std::collections::VecDeque;

use super::child;
use super::run::Master;
use super::state::Event;
use crate::app::{Birth, Seat};
use crate::error::reason;
use crate::scoreboard::Mode;
use crate::sys::process::{self, Fork};
use crate::sys::signal;

impl Master<'_> {
    /// Forks a worker. The child never comes back from here.
    pub(super) fn spawn(
        &mut self,
        age: u64,
        generation: u64,
        events: &mut VecDeque<Event>,
    ) -> Event {
        if self.failed.is_some() {
            return Event::ForkFailed { age, why: None };
        }
        if let Some(lacks) = self.lacks {
            return Event::ForkFailed { age, why: Some(lacks.to_owned()) };
        }
        let Some(index) = self.seats.take(age) else {
            let why = format!(
                "all {} places are taken by workers that have not ended yet. Stop some of them, or \
                 restart the server to make more places.",
                self.commons.scoreboard.len()
            );
            return Event::ForkFailed { age, why: Some(why) };
        };
        let mode =
            if self.config.is_threaded() { Mode::Threads(self.config.slots()) } else { Mode::Sync };
        self.commons.scoreboard.slot(index).reset(age, generation, mode);
        let birth = Birth { age, scoreboard: &self.commons.scoreboard, slot: index };
        if let Err(failure) = self.host.hooks().before_worker(&birth) {
            return self.not_forked(age, &failure, events);
        }
        self.lanes.assign(age, generation, self.state.workers(), &self.sockets);
        let name = self.name(&self.config);
        self.host.before_fork();
        let blocked = signal::block_all();
        let event = match process::fork() {
            Ok(Fork::Child) => {
                self.commons.leave_master();
                self.sockets.keep_used();
                self.lanes.keep(age, &mut self.sockets);
                let seat = Seat {
                    age,
                    slot: self.commons.scoreboard.slot(index),
                    scoreboard: &self.commons.scoreboard,
                    queue: &self.commons.queue,
                    bell: &self.commons.bell,
                    stop_flag: &self.commons.stop_flag,
                    lifeline: self.commons.lifeline(),
                    listeners: self.sockets.listeners(),
                    config: &self.config,
                };
                child::run(self.host, seat, &name, blocked)
            }
            Ok(Fork::Parent(pid)) => Event::Forked { age, pid },
            Err(error) => {
                let why = format!("the system refused: {}.", reason(&error));
                Event::ForkFailed { age, why: Some(why) }
            }
        };
        drop(blocked);
        self.host.after_fork_parent();
        if let Event::Forked { age, pid } = event {
            self.host.hooks().worker_forked(age, pid);
        }
        event
    }
}
