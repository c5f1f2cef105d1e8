//! The loop of the master: waits for what happens, tells the state machine, and performs what it decides.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::run::{Master, now};
use super::sight::sights;
use super::state::{Action, Event, Level, Standing};
use super::upgrade::Predecessor;
use crate::config::ProxyMode;
use crate::log;
use crate::sys::oom;
use crate::sys::process::{self, Pid};
use crate::sys::signal::Signal;

/// After a worker has rung for the beginning of a request that was over before the master looked, the
/// master looks again so much later, and only then lets the workers ring again: short requests shall
/// not wake it one by one. No timeout is shorter.
const REST: Duration = Duration::from_secs(1);
/// How long the master waits before it tries again to put a connection into the queue, which is full.
const FULL: Duration = Duration::from_millis(5);

/// What is late by less than this is not late.
const UNNOTICED: Duration = Duration::from_secs(1);

/// Signals that end the server.
const ENDS: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::QUIT];

/// How often to ask whether the predecessor has ended, where nothing tells.
const TO_ASK: Duration = Duration::from_secs(1);

impl Master<'_> {
    /// From the first fork to the exit status.
    pub(super) fn supervise(&mut self) -> i32 {
        self.tell(self.oom_kills());
        self.tell(Event::Started);
        loop {
            if let Some(status) = self.exit {
                return status;
            }
            if self.state.is_stopping() {
                self.metrics.end();
            } else {
                let listeners = self.sockets.listeners().iter().chain(self.lanes.more());
                self.metrics.tell(self.state.strength(), listeners, &self.config);
            }
            self.sleep();
            self.service.beat(now());
            self.grant_wishes();
            let pipe = self.signals;
            let (ends, mut signals): (Vec<Signal>, Vec<Signal>) =
                std::iter::from_fn(|| pipe.read()).partition(|signal| ENDS.contains(signal));
            // Terminals and service managers send them to the workers as well, who then need not be replaced.
            for signal in ends {
                self.tell(Event::Signal(signal));
            }
            self.look();
            if self.state.standing() == Standing::Serving {
                self.commons.release_elders();
            }
            if self.predecessor.as_ref().is_some_and(Predecessor::has_ended) {
                self.tell(Event::PredecessorEnded);
            }
            // The kernel delivers by number. Who has ended counts no more when others are acted on.
            signals.sort_by_key(|signal| *signal != Signal::CHLD);
            for signal in signals {
                self.tell(Event::Signal(signal));
            }
            // A connection on its way must not be lost.
            if self.state.may_renew() && !self.lanes.holds_one() {
                let failed = self.renew();
                self.tell(failed);
            }
        }
    }

    /// Feeds the state machine with an event and with all that follows from it.
    pub(super) fn tell(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front().filter(|_| self.exit.is_none()) {
            let begin = now();
            let actions = self.state.on(event, begin);
            self.sockets.share(self.state.relatives().any());
            for action in actions {
                self.perform(action, &mut events);
            }
            // A logger in Python, a hook, or a configuration may take its time.
            let taken = now().saturating_sub(begin);
            if taken > UNNOTICED {
                events.push_front(Event::Delayed(taken));
            }
            self.tell_relatives();
        }
        self.service.update(self.state.standing(), self.state.size());
    }

    /// Does what was decided before.
    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        let mut events = VecDeque::new();
        for action in actions {
            self.perform(action, &mut events);
        }
        for event in events {
            self.tell(event);
        }
    }

    fn perform(&mut self, action: Action, events: &mut VecDeque<Event>) {
        match action {
            Action::Log(level, text) => say(level, &text),
            Action::Spawn { age, generation } => {
                let event = self.spawn(age, generation, events);
                events.push_back(event);
            }
            Action::Kill { pid, signal } => {
                if signal == Signal::ABRT {
                    self.host.hooks().worker_aborted(pid);
                }
                kill(pid, signal);
            }
            Action::EndGroup(pid) => process::kill_group(pid),
            Action::Reap => {
                // A worker may have become ready since the last look, which makes a difference.
                events.push_back(self.sights());
                let before = events.len();
                while let Ok(Some((pid, how))) = process::reap() {
                    events.push_back(Event::Ended { pid, how });
                }
                // Counted before anybody of these ended.
                events.insert(before, self.oom_kills());
            }
            Action::Release { age, exited } => {
                // Before the slot is freed: the hook sees what the worker has left there.
                let called = self.host.hooks().worker_gone(age, exited);
                self.lanes.release(age);
                if let Some(slot) = self.seats.release(age) {
                    self.commons.scoreboard.slot(slot).free();
                }
                self.note(called, events);
            }
            Action::Resized(size) => {
                let called = self.host.hooks().resized(size);
                self.note(called, events);
            }
            Action::ReopenLogs => log::reopen(),
            Action::ReadConfig => {
                self.service.reloading(now());
                let read = self.read_config();
                // Reading may have taken a while; who is still booting will be sent away.
                events.extend([self.sights(), read]);
            }
            Action::TellCheck { how, late } => self.tell_check(how, late),
            Action::Commit => self.commit(),
            Action::Rollback => self.rollback(),
            Action::AnnounceStop => self.commons.stop_flag.announce(),
            Action::StartSuccessor => events.push_back(self.start_successor()),
            Action::Promote => self.promote(),
            Action::SetLast(true) => self.commons.stop_flag.set(),
            Action::SetLast(false) => self.commons.stop_flag.clear(),
            Action::CloseListeners => {
                if self.state.relatives().successor().is_some() {
                    self.service.yield_to_successor();
                }
                self.commons.stop_flag.set();
                self.sockets.close();
                self.lanes.close();
                self.host.hooks().stopping();
            }
            Action::Exit(status) => {
                if let Some(successor) = self.state.relatives().successor() {
                    self.service.pass_on(successor);
                }
                // The hook of the last worker may just have failed.
                self.exit = Some(self.failed.unwrap_or(status));
            }
        }
    }

    fn look(&mut self) {
        let sights = self.sights();
        self.tell(sights);
    }

    fn oom_kills(&self) -> Event {
        Event::OomKills(self.oom_kills.as_ref().and_then(oom::Counter::read))
    }

    /// What the workers show at this moment.
    fn sights(&self) -> Event {
        sights(&self.commons.scoreboard, &self.seats, self.state.samples_memory(now()))
    }

    /// Waits for a signal, for a worker with news, or for the time at which something is due.
    fn sleep(&mut self) {
        // A worker that is busy has a deadline, and those that get busy later have later ones. If there
        // is none, the worker that gets busy next is to ring.
        let mut armed = false;
        let busy = self.any_busy();
        self.rest = self.rest.filter(|end| !busy && now() < *end);
        if self.state.watches_workers() && !busy && self.rest.is_none() {
            self.commons.bell.arm();
            // One may have begun just before.
            self.look();
            armed = !self.any_busy();
            if !armed {
                self.commons.bell.disarm();
            }
        }
        if self.exit.is_some() {
            return;
        }
        let full = self.lanes.holds_one().then(|| now() + FULL);
        // Where nothing tells of the end of the predecessor.
        let end = self.predecessor.as_ref().map(Predecessor::end);
        let ask = matches!(end, Some(None)).then(|| now() + TO_ASK);
        let (state, service) = (self.state.deadline(), self.service.deadline());
        let deadlines = [state, service, self.metrics.due(), self.rest, full, ask];
        let deadline = deadlines.into_iter().flatten().min();
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            // Rounded up: waking too early would mean to wake twice.
            let millis = deadline.saturating_sub(now()).as_micros().div_ceil(1000);
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        let watched = match full {
            Some(_) => Vec::new(),
            None => self.lanes.deserted(&self.sockets, self.state.workers()),
        };
        let wishes = self.host.hooks().wishes();
        let fds = [Some(self.signals.fd()), Some(self.commons.bell.fd()), end.flatten()];
        let expected = deadline.unwrap_or(Duration::MAX).max(now());
        let called = self.host.unlocked(&mut |handlers| {
            let asked = wishes.as_ref().map(|wishes| wishes.fd());
            let fds = fds.iter().flatten().copied().chain(asked).chain(handlers);
            let fds = fds.chain(watched.iter().map(AsFd::as_fd));
            let mut fds: Vec<PollFd<'_>> =
                fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            // EINTR means that a signal is in the pipe. Nothing else can happen to descriptors that
            // are open.
            let _ = poll(&mut fds, timeout);
        });
        let late = now().saturating_sub(expected);
        let deserted = full.is_some() || !watched.is_empty();
        if late > UNNOTICED {
            self.tell(Event::Absent(late));
        }
        self.handled(called);
        if deserted {
            let proxy = self.config.proxy_protocol != ProxyMode::Off;
            self.lanes.forward(&self.sockets, self.state.workers(), &self.commons.queue, proxy);
        }
        if armed && !self.commons.bell.disarm() {
            self.rest = Some(now() + REST);
        }
        self.commons.bell.drain();
    }

    fn any_busy(&self) -> bool {
        self.state.workers().iter().any(|worker| worker.busy.is_some())
    }
}

pub(super) fn kill(pid: Pid, signal: Signal) {
    match process::kill(pid, signal) {
        // It has ended and will be reaped.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
        Err(error) => tracing::warn!("Worker (pid:{pid}) could not be sent {signal}: {error}"),
        Ok(()) => {}
    }
}

pub(super) fn say(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::debug!("{text}"),
        Level::Info => tracing::info!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
        Level::Critical => tracing::error!(target: log::CRITICAL, "{text}"),
    }
}
