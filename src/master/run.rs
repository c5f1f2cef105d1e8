//! Performs what the state machine decides, and tells it what happens.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::child::{self, MASTER_SIGNALS};
use super::forms;
use super::lanes::Lanes;
use super::metrics::Metrics;
use super::pidfile::PidFile;
use super::reload::{log_configuration, policy};
use super::seats::Seats;
use super::service::Service;
use super::sight::sight;
use super::sockets::Sockets;
use super::start::Surroundings;
use super::state::{Action, Event, Level, Sight, State};
use super::upgrade::{self, Predecessor};
use crate::app::{Birth, Host, Seat};
use crate::config::{Config, ProxyMode};
use crate::error::{Error, panic_text, reason};
use crate::log;
use crate::net::handoff::Queue;
use crate::scoreboard::{Bell, Mode, Scoreboard, StopFlag};
use crate::sys::detach;
use crate::sys::oom;
use crate::sys::process::{self, Fork, Pid};
use crate::sys::signal::{self, Pipe, Signal};
use crate::sys::time;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Exit status after a failure inside of the master itself.
pub(super) const FAILED: i32 = 255;
/// After a worker has rung for the beginning of a request that was over before the master looked, the
/// master looks again so much later, and only then lets the workers ring again: short requests shall
/// not wake it one by one. No timeout is shorter.
const REST: Duration = Duration::from_secs(1);
/// How long the master waits before it tries again to put a connection into the queue, which is full.
const FULL: Duration = Duration::from_millis(5);

/// How often to ask whether the predecessor has ended, where nothing tells.
const TO_ASK: Duration = Duration::from_secs(1);

/// Runs the server until it is stopped and returns its exit status. In a forked worker it does not
/// return: the process ends with the status of [`Host::work`].
///
/// Logging must be installed and the configuration checked.
pub fn run(config: Config, surroundings: Surroundings, host: &mut dyn Host) -> i32 {
    log_configuration(&config);
    tracing::info!("Starting rgunicorn {VERSION}");
    let pidfile = upgrade::pidfile_path(&config, surroundings.predecessor.is_some());
    let pidfile = match pidfile.as_deref().map(PidFile::create).transpose() {
        Ok(pidfile) => pidfile,
        Err(error) => return refuse(error),
    };
    if let Err(failure) = host.hooks().starting() {
        pidfile.iter().for_each(PidFile::remove);
        return refuse(failure.into_error());
    }
    let mut master = match Master::start(config, surroundings, host) {
        Ok(master) => master,
        Err(error) => {
            pidfile.iter().for_each(PidFile::remove);
            return refuse(error);
        }
    };
    master.pidfile = pidfile;
    let (listeners, passed) = (master.sockets.listeners(), master.sockets.were_passed());
    if let Err(failure) = master.host.hooks().ready(listeners, passed) {
        master.sockets.close();
        master.pidfile.iter().for_each(PidFile::remove);
        return refuse(failure.into_error());
    }
    detach::settle(0);
    let status = catch_unwind(AssertUnwindSafe(|| master.supervise())).unwrap_or_else(|panic| {
        tracing::error!("Unhandled exception in main loop: {}", panic_text(panic.as_ref()));
        master.abandon();
        master.failed = Some(FAILED);
        FAILED
    });
    master.pidfile.iter().for_each(PidFile::remove);
    if master.failed.is_none()
        && let Err(failure) = master.host.hooks().exiting()
    {
        return refuse(failure.into_error());
    }
    status
}

/// Says why the server does not start.
fn refuse(error: Error) -> i32 {
    let error = error.of_start();
    detach::say(&error.report());
    error.status()
}

pub(super) struct Master<'a> {
    pub(super) host: &'a mut dyn Host,
    pub(super) config: Config,
    /// The configuration to return to while the one in force is on trial.
    pub(super) before: Option<Config>,
    pub(super) sockets: Sockets,
    pub(super) lanes: Lanes,
    pub(super) pidfile: Option<PidFile>,
    pub(super) service: Service,
    /// The master that this one is the successor of, while it lives.
    pub(super) predecessor: Option<Predecessor>,
    pub(super) state: State,
    signals: Pipe,
    /// Hooks keep it, too.
    scoreboard: Arc<Scoreboard>,
    seats: Seats,
    bell: Bell,
    /// When workers may ring again, after one has.
    rest: Option<Duration>,
    stop_flag: StopFlag,
    /// Held open here, it survives any worker.
    queue: Queue,
    /// Read end for the workers, write end for this process alone.
    pub(super) lifeline: (OwnedFd, Option<OwnedFd>),
    metrics: Metrics,
    oom_kills: Option<oom::Counter>,
    exit: Option<i32>,
    /// The server ends, with this status, because it has failed itself, or a hook has.
    pub(super) failed: Option<i32>,
}

impl<'a> Master<'a> {
    fn start(
        config: Config,
        Surroundings { passed, passed_on, predecessor, service, .. }: Surroundings,
        host: &'a mut dyn Host,
    ) -> Result<Self, Error> {
        let no_memory = |error: io::Error| {
            let reason = reason(&error);
            Error::config(format!("The server cannot get what it needs from the system: {reason}"))
        };
        signal::ignore(Signal::PIPE).map_err(no_memory)?;
        // As in any Python program: a file that grows too large is an error of whoever writes it.
        signal::ignore(Signal::XFSZ).map_err(no_memory)?;
        let signals = Pipe::install(&MASTER_SIGNALS).map_err(no_memory)?;
        let workers = usize::try_from(config.workers).unwrap_or(usize::MAX);
        // Room for two reloads in a row whose workers take their time to leave.
        let slots = workers.saturating_mul(4).saturating_add(16).max(64);
        let scoreboard = Scoreboard::new(slots).map_err(no_memory)?;
        let bell = Bell::new().map_err(no_memory)?;
        let stop_flag = StopFlag::new().map_err(no_memory)?;
        let queue = Queue::new().map_err(no_memory)?;
        forms::check_identity(&config)?;
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
            .map_err(|error| no_memory(error.into()))?;
        let mut sockets = if passed_on.is_empty() {
            Sockets::open(&passed, &config.bind, forms::sockets(&config))?
        } else {
            Sockets::take_over(&passed_on, &config.bind, config.backlog)?
        };
        sockets.share(predecessor.is_some());
        let lanes = Lanes::new(config.reuse_port, config.backlog, &mut sockets);
        tracing::debug!("Arbiter booted");
        tracing::info!("Listening at: {} ({})", sockets.text(), process::getpid());
        tracing::info!("Using worker: {}", config.effective_worker_class());
        if config.keeps_no_connection() {
            tracing::warn!(
                "No keepalived connections can be handled. Check the number of worker connections and \
                 threads."
            );
        }
        let master = Self {
            host,
            state: State::new(policy(&config), predecessor.is_some()),
            predecessor,
            config,
            before: None,
            sockets,
            lanes,
            pidfile: None,
            service,
            signals,
            seats: Seats::new(scoreboard.len()),
            scoreboard: Arc::new(scoreboard),
            bell,
            rest: None,
            stop_flag,
            queue,
            lifeline: (read, Some(write)),
            metrics: Metrics::default(),
            oom_kills: oom::Counter::find(),
            exit: None,
            failed: None,
        };
        master.show_title(&master.config);
        Ok(master)
    }

    /// From the first fork to the exit status.
    fn supervise(&mut self) -> i32 {
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
            self.look();
            if self.predecessor.as_ref().is_some_and(Predecessor::has_ended) {
                self.tell(Event::PredecessorEnded);
            }
            let pipe = self.signals;
            let mut signals: Vec<Signal> = std::iter::from_fn(|| pipe.read()).collect();
            // The kernel delivers by number. Who has ended counts no more when others are acted on.
            signals.sort_by_key(|signal| *signal != Signal::CHLD);
            for signal in signals {
                self.tell(Event::Signal(signal));
            }
        }
    }

    /// Feeds the state machine with an event and with all that follows from it.
    pub(super) fn tell(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front().filter(|_| self.exit.is_none()) {
            let actions = self.state.on(event, now());
            self.sockets.share(self.state.relatives().any());
            for action in actions {
                self.perform(action, &mut events);
            }
        }
        self.service.update(self.state.standing(), self.state.size());
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
                    self.scoreboard.slot(slot).free();
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
            Action::Commit => self.commit(),
            Action::Rollback => self.rollback(),
            Action::AnnounceStop => self.stop_flag.announce(),
            Action::StartSuccessor => events.push_back(self.start_successor()),
            Action::Promote => self.promote(),
            Action::SetLast(true) => self.stop_flag.set(),
            Action::SetLast(false) => self.stop_flag.clear(),
            Action::CloseListeners => {
                if let Some(successor) = self.state.relatives().successor() {
                    self.service.pass_on(successor);
                }
                self.stop_flag.set();
                self.sockets.close();
                self.lanes.close();
                self.host.hooks().stopping();
            }
            // The hook of the last worker may just have failed.
            Action::Exit(status) => self.exit = Some(self.failed.unwrap_or(status)),
        }
    }

    /// Forks a worker. The child never comes back from here.
    fn spawn(&mut self, age: u64, generation: u64, events: &mut VecDeque<Event>) -> Event {
        if self.failed.is_some() {
            return Event::ForkFailed { age, why: None };
        }
        let Some(index) = self.seats.take(age) else {
            let why = format!(
                "all {} places are taken by workers that have not ended yet. Stop some of them, or \
                 restart the server to make more places.",
                self.scoreboard.len()
            );
            return Event::ForkFailed { age, why: Some(why) };
        };
        let mode =
            if self.config.is_threaded() { Mode::Threads(self.config.slots()) } else { Mode::Sync };
        self.scoreboard.slot(index).reset(age, generation, mode);
        let birth = Birth { age, scoreboard: &self.scoreboard, slot: index };
        if let Err(failure) = self.host.hooks().before_worker(&birth) {
            return self.not_forked(age, &failure, events);
        }
        let slot = self.scoreboard.slot(index);
        self.lanes.assign(age, generation, self.state.workers(), &self.sockets);
        let name = self.name(&self.config);
        self.host.before_fork();
        let blocked = signal::block_all();
        let event = match process::fork() {
            Ok(Fork::Child) => {
                self.sockets.keep_used();
                self.lanes.keep(age, &mut self.sockets);
                let seat = Seat {
                    age,
                    slot,
                    scoreboard: &self.scoreboard,
                    queue: &self.queue,
                    bell: &self.bell,
                    stop_flag: &self.stop_flag,
                    lifeline: self.lifeline.0.as_fd(),
                    listeners: self.sockets.listeners(),
                    config: &self.config,
                };
                let write_end = self.lifeline.1.take();
                child::run(self.host, seat, &name, write_end, blocked)
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

    fn look(&mut self) {
        let sights = self.sights();
        self.tell(sights);
    }

    fn oom_kills(&self) -> Event {
        Event::OomKills(self.oom_kills.as_ref().and_then(oom::Counter::read))
    }

    /// What the workers show at this moment.
    fn sights(&self) -> Event {
        let sample = self.state.samples_memory(now());
        let look = |(slot, age)| {
            let view = self.scoreboard.slot(slot).view();
            // One that is not there yet, or no more, uses none.
            let memory = || {
                let pid = i32::try_from(view.pid).ok().and_then(Pid::new)?;
                process::resident_memory(pid).ok()
            };
            let memory = sample.then(|| memory().unwrap_or_default());
            Sight { memory, ..sight(age, view) }
        };
        Event::Seen(self.seats.taken().map(look).collect())
    }

    /// Waits for a signal, for a worker with news, or for the time at which something is due.
    fn sleep(&mut self) {
        // A worker that is busy has a deadline, and those that get busy later have later ones. If there
        // is none, the worker that gets busy next is to ring.
        let mut armed = false;
        let busy = self.any_busy();
        self.rest = self.rest.filter(|end| !busy && now() < *end);
        if self.state.watches_workers() && !busy && self.rest.is_none() {
            self.bell.arm();
            // One may have begun just before.
            self.look();
            armed = !self.any_busy();
            if !armed {
                self.bell.disarm();
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
        let fds = [Some(self.signals.fd()), Some(self.bell.fd()), end.flatten()];
        self.host.unlocked(&mut || {
            let asked = wishes.as_ref().map(|wishes| wishes.fd());
            let fds = fds.iter().flatten().copied().chain(asked);
            let fds = fds.chain(watched.iter().map(AsFd::as_fd));
            let mut fds: Vec<PollFd<'_>> =
                fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            // EINTR means that a signal is in the pipe. Nothing else can happen to descriptors that
            // are open.
            let _ = poll(&mut fds, timeout);
        });
        if full.is_some() || !watched.is_empty() {
            let proxy = self.config.proxy_protocol != ProxyMode::Off;
            self.lanes.forward(&self.sockets, self.state.workers(), &self.queue, proxy);
        }
        if armed && !self.bell.disarm() {
            self.rest = Some(now() + REST);
        }
        self.bell.drain();
    }

    fn any_busy(&self) -> bool {
        self.state.workers().iter().any(|worker| worker.busy.is_some())
    }

    /// After a failure of the master itself: nobody supervises the workers any more, so they go.
    fn abandon(&mut self) {
        self.stop_flag.set();
        for pid in self.state.workers().iter().filter_map(|worker| worker.pid) {
            kill(pid, Signal::QUIT);
        }
        self.sockets.close();
    }
}

pub(super) fn now() -> Duration {
    Duration::from_nanos(time::monotonic_ns())
}

fn kill(pid: Pid, signal: Signal) {
    match process::kill(pid, signal) {
        // It has ended and will be reaped.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
        Err(error) => tracing::warn!("Worker (pid:{pid}) could not be sent {signal}: {error}"),
        Ok(()) => {}
    }
}

fn say(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::debug!("{text}"),
        Level::Info => tracing::info!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
        Level::Error => tracing::error!("{text}"),
        Level::Critical => tracing::error!(target: log::CRITICAL, "{text}"),
    }
}

#[cfg(test)]
mod tests;
