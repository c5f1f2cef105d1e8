//! Supervision while a master that has become a new program loads its application: a thread without Python does
//! for the workers that are there what can be done without Python, and without a fork. The rest waits.

use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::renewal::Holdings;
use super::run::now;
use super::service::Service;
use super::sight::sights;
use super::state::{Action, Event};
use super::supervise::{kill, say};
use crate::error::reason;
use crate::log;
use crate::sys::oom::Counter;
use crate::sys::process::{self, Pid};
use crate::sys::ring::Ring;
use crate::sys::signal::{self, Pipe, Signal};

/// How often to look at the workers, whose bell is not heard here.
const LOOK: Duration = Duration::from_millis(200);
/// How long the import has to notice that it is to end, before it is told again.
const TO_NOTICE: Duration = Duration::from_millis(500);
/// When all workers have gone to whom the server has said that it stops, the import has so long to notice.
const TO_RETURN: Duration = Duration::from_secs(2);

/// What has happened meanwhile and is left to the master.
#[derive(Debug, Default)]
pub struct Meanwhile {
    /// What the state machine has decided, in this order.
    pub actions: Vec<Action>,
    /// Workers that have ended, by age.
    pub ended: Vec<(u64, Pid)>,
    /// HUP has come, which ends the import as well.
    pub hung_up: bool,
}

/// See the module documentation.
pub struct Watch<'a> {
    holdings: &'a mut Holdings,
    service: &'a mut Service,
    signals: Pipe,
    /// For the master to act upon.
    later: Vec<Signal>,
    oom_kills: Option<Counter>,
    /// When nothing was left to do but to leave, with this status.
    over: Option<(Duration, i32)>,
    /// When the import that is to end is to be told once more.
    remind_at: Duration,
}

impl<'a> Watch<'a> {
    /// `None` if there are no signals to be read.
    pub fn new(holdings: &'a mut Holdings, service: &'a mut Service) -> Option<Self> {
        let signals = Pipe::of_process()?;
        Some(Self {
            holdings,
            service,
            signals,
            later: Vec::new(),
            oom_kills: Counter::find(),
            over: None,
            remind_at: Duration::ZERO,
        })
    }

    /// Watches while `work` is done.
    pub fn during<R>(self, work: impl FnOnce() -> R) -> R {
        let Ok(end) = Ring::new() else { return work() };
        thread::scope(|scope| {
            // Also when the work panics: the scope waits for the thread.
            let _end = AtEnd(&end);
            // Signals are for the thread that loads the application, whose calls they are to end.
            let held = signal::block_all();
            let watching = thread::Builder::new()
                .name("watch".into())
                .spawn_scoped(scope, || self.watch(&end));
            drop(held);
            if let Err(error) = watching {
                let why = reason(&error);
                tracing::warn!("Workers are not watched while the application is loaded: {why}.");
            }
            work()
        })
    }

    fn watch(mut self, end: &Ring) {
        let is_over = || {
            let mut fds = [PollFd::new(end.fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO) != Ok(0)
        };
        loop {
            // Asked first: the signal that has ended the import is there then.
            let last = is_over();
            self.service.beat(now());
            self.look();
            while let Some(signal) = self.signals.read() {
                self.heed(signal);
            }
            self.service.update(self.holdings.state.standing(), self.holdings.state.size());
            if let Some((at, status)) = self.over
                && now() >= at + TO_RETURN
            {
                self.leave(status);
            }
            if last {
                break;
            }
            self.remind();
            let mut fds =
                [end.fd(), self.signals.fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let due = self.service.deadline().map(|due| due.saturating_sub(now()));
            let timeout = due.unwrap_or(LOOK).min(LOOK).as_millis();
            let _ = poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
        }
        // In front of what comes from now on, but for what has come in this moment.
        self.later.into_iter().for_each(signal::push);
    }

    fn heed(&mut self, signal: Signal) {
        match signal {
            Signal::CHLD => {}
            Signal::TERM | Signal::INT | Signal::QUIT => self.tell(Event::Signal(signal)),
            // Perhaps our own.
            Signal::HUP if self.holdings.meanwhile.hung_up => {}
            _ => {
                self.holdings.meanwhile.hung_up |= signal == Signal::HUP;
                self.later.push(signal);
            }
        }
    }

    /// At the workers, of which some may have ended. Nobody else's children are reaped: the application may
    /// wait for some of its own.
    fn look(&mut self) {
        let known = self.holdings.state.workers().iter();
        let known: Vec<(u64, Pid)> = known.filter_map(|one| Some((one.age, one.pid?))).collect();
        self.see();
        let ended: Vec<_> = known
            .into_iter()
            .filter_map(|(age, pid)| Some((age, pid, process::reap_one(pid)?)))
            .collect();
        if ended.is_empty() {
            return;
        }
        // What they have shown last, and what was counted before.
        self.see();
        self.tell(Event::OomKills(self.oom_kills.as_ref().and_then(Counter::read)));
        for (age, pid, how) in ended {
            self.holdings.meanwhile.ended.push((age, pid));
            self.tell(Event::Ended { pid, how });
        }
    }

    fn see(&mut self) {
        let Holdings { commons, seats, state, .. } = &*self.holdings;
        let event = sights(&commons.scoreboard, seats, state.samples_memory(now()));
        self.tell(event);
    }

    fn tell(&mut self, event: Event) {
        for action in self.holdings.state.on(event, now()) {
            match action {
                Action::Log(level, text) if tracing::dispatcher::has_been_set() => {
                    say(level, &text);
                }
                Action::Kill { pid, signal } => kill(pid, signal),
                Action::AnnounceStop => self.holdings.commons.stop_flag.announce(),
                Action::CloseListeners => {
                    self.close();
                    // The rest of it is the master's.
                    self.holdings.meanwhile.actions.push(action);
                }
                Action::Exit(status) => {
                    self.over = Some((now(), status));
                    self.holdings.meanwhile.actions.push(action);
                }
                other => self.holdings.meanwhile.actions.push(other),
            }
        }
    }

    /// Interrupts the import once more: a signal that comes right before a call that blocks does not end the
    /// call.
    fn remind(&mut self) {
        if now() < self.remind_at {
            return;
        }
        let ends = match (self.holdings.state.is_stopping(), self.holdings.meanwhile.hung_up) {
            (true, _) => Signal::TERM,
            (false, true) => Signal::HUP,
            (false, false) => return,
        };
        if self.remind_at != Duration::ZERO {
            kill(process::getpid(), ends);
        }
        self.remind_at = now() + TO_NOTICE;
    }

    fn close(&mut self) {
        let Holdings { commons, sockets, lanes, state, .. } = &mut *self.holdings;
        if state.relatives().successor().is_some() {
            self.service.yield_to_successor();
        }
        commons.stop_flag.set();
        sockets.share(state.relatives().any());
        sockets.close();
        lanes.close();
    }

    /// The import does not come back, and all else is done: no hook is called, since that needs Python.
    fn leave(&mut self, status: i32) -> ! {
        for action in &self.holdings.meanwhile.actions {
            if let Action::Log(_, text) = action {
                log::say(text);
            }
        }
        tracing::warn!(
            "The application, which is still being loaded, does not let the master end: it ends now."
        );
        if let Some(successor) = self.holdings.state.relatives().successor() {
            self.service.pass_on(successor);
        }
        self.holdings.pidfile.iter().for_each(super::pidfile::PidFile::remove);
        process::leave_now(status)
    }
}

struct AtEnd<'a>(&'a Ring);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.ring();
    }
}
