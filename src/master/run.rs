//! The master from its start to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::check::Check;
use super::child::MASTER_SIGNALS;
use super::commons::Commons;
use super::forms;
use super::lanes::Lanes;
use super::metrics::Metrics;
use super::pidfile::PidFile;
use super::reload::{log_configuration, policy};
use super::renewal::Holdings;
use super::seats::Seats;
use super::service::Service;
use super::sockets::Sockets;
use super::start::Surroundings;
use super::state::{Event, State};
use super::supervise::kill;
use super::upgrade::{self, Predecessor};
use super::watch::Meanwhile;
use crate::app::Host;
use crate::config::Config;
use crate::error::{Error, panic_text, reason};
use crate::sys::process;
use crate::sys::signal::{self, Pipe, Signal};
use crate::sys::{detach, oom, time};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Exit status after a failure inside of the master itself.
pub(super) const FAILED: i32 = 255;

/// Runs the server until it is stopped and returns its exit status. In a forked worker it does not
/// return: the process ends with the status of [`Host::work`].
///
/// Logging must be installed and the configuration checked.
pub fn run(config: Config, surroundings: Surroundings, host: &mut dyn Host) -> i32 {
    log_configuration(&config);
    tracing::info!("Starting rgunicorn {VERSION}");
    if surroundings.is_rescued() {
        tracing::warn!(
            "The program was replaced by another version while it was to load the application anew: it \
             starts anew at the same sockets. The workers from before go when others serve."
        );
    }
    let pidfile = upgrade::pidfile_path(&config, surroundings.predecessor.is_some());
    let pidfile = match pidfile.as_deref().map(PidFile::create).transpose() {
        Ok(pidfile) => pidfile,
        Err(error) => return refuse(error),
    };
    // Until there are handlers, which are set after that hook, as in gunicorn.
    if let Some(Err(error)) = pidfile.as_ref().map(PidFile::remove_if_ended) {
        tracing::debug!("A signal would leave the pid file: {error}");
    }
    let predecessor = surroundings.predecessor.as_ref().map(Predecessor::pid);
    host.hooks().related(predecessor, None);
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
    master.serve(Master::supervise)
}

/// Why a program that is to go on with the work of another one cannot do so with an application of its
/// own, although a check had found that it could. The workers that are there go on.
#[derive(Debug)]
pub enum Unable {
    /// There is no configuration: a sentence for the user.
    Configuration(String),
    /// The configuration is there, the application is not: a traceback.
    Application(String),
}

/// What a master without a configuration says instead of forking a worker.
const LACKS: &str = "the master has no configuration. Correct it and send HUP.";

/// As [`run`], for a program that goes on with the work of the one before it in this process.
pub fn resume(
    config: Config,
    unable: Option<Unable>,
    surroundings: Surroundings,
    host: &mut dyn Host,
) -> i32 {
    let Surroundings { holdings: Some(holdings), predecessor, service, .. } = surroundings else {
        return refuse(Error::config("There is no work to go on with."));
    };
    match Master::take_over(config, *holdings, predecessor, service, host) {
        Ok((mut master, meanwhile)) => master.serve(|master| master.go_on(unable, meanwhile)),
        Err(error) => refuse(error),
    }
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
    /// Of a reload for which the program is started anew.
    pub(super) check: Option<Check>,
    pub(super) signals: Pipe,
    pub(super) commons: Commons,
    pub(super) seats: Seats,
    /// When workers may ring again, after one has.
    pub(super) rest: Option<Duration>,
    pub(super) metrics: Metrics,
    pub(super) oom_kills: Option<oom::Counter>,
    /// Why no worker can be forked.
    pub(super) lacks: Option<&'static str>,
    pub(super) exit: Option<i32>,
    /// The server ends, with this status, because it has failed itself, or a hook has.
    pub(super) failed: Option<i32>,
}

impl<'a> Master<'a> {
    fn start(
        config: Config,
        Surroundings { passed, passed_on, predecessor, service, elders, .. }: Surroundings,
        host: &'a mut dyn Host,
    ) -> Result<Self, Error> {
        let signals = handle_signals(host)?;
        let workers = usize::try_from(config.workers).unwrap_or(usize::MAX);
        // Room for two reloads in a row whose workers take their time to leave.
        let slots = workers.saturating_mul(4).saturating_add(16).max(64);
        let mut commons = Commons::new(slots).map_err(|error| out_of(&error))?;
        // The program before this one has held them back, or whoever has started it.
        signal::unblock_all();
        commons.keep_elders(elders);
        forms::check_identity(&config)?;
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
        let holdings = Holdings {
            seats: Seats::new(commons.scoreboard.len()),
            commons,
            sockets,
            lanes,
            pidfile: None,
            state: State::new(policy(&config), predecessor.is_some()),
            statistics: None,
            meanwhile: Meanwhile::default(),
        };
        Ok(Self::new(config, holdings, predecessor, service, signals, host))
    }

    fn take_over(
        config: Config,
        mut holdings: Holdings,
        predecessor: Option<Predecessor>,
        service: Service,
        host: &'a mut dyn Host,
    ) -> Result<(Self, Meanwhile), Error> {
        let signals = handle_signals(host)?;
        let statistics = holdings.statistics.take();
        let meanwhile = std::mem::take(&mut holdings.meanwhile);
        let mut master = Self::new(config, holdings, predecessor, service, signals, host);
        master.tell_relatives();
        master.resume_hooks(statistics, &meanwhile.ended);
        Ok((master, meanwhile))
    }

    fn new(
        config: Config,
        holdings: Holdings,
        predecessor: Option<Predecessor>,
        service: Service,
        signals: Pipe,
        host: &'a mut dyn Host,
    ) -> Self {
        let Holdings { commons, sockets, lanes, seats, pidfile, state, .. } = holdings;
        let master = Self {
            host,
            config,
            before: None,
            sockets,
            lanes,
            pidfile,
            service,
            predecessor,
            state,
            check: None,
            signals,
            commons,
            seats,
            rest: None,
            metrics: Metrics::default(),
            oom_kills: oom::Counter::find(),
            lacks: None,
            exit: None,
            failed: None,
        };
        master.show_title(&master.config);
        master
    }

    /// From the first event to the exit status of the process.
    fn serve(&mut self, supervise: impl FnOnce(&mut Self) -> i32) -> i32 {
        let status = catch_unwind(AssertUnwindSafe(|| supervise(self))).unwrap_or_else(|panic| {
            tracing::error!("Unhandled exception in main loop: {}", panic_text(panic.as_ref()));
            self.abandon();
            self.failed = Some(FAILED);
            FAILED
        });
        self.pidfile.iter().for_each(PidFile::remove);
        if self.failed.is_none()
            && let Err(failure) = self.host.hooks().exiting()
        {
            return refuse(failure.into_error());
        }
        status
    }

    /// From the end of a reload that another program has begun.
    fn go_on(&mut self, unable: Option<Unable>, meanwhile: Meanwhile) -> i32 {
        let Meanwhile { actions, hung_up, .. } = meanwhile;
        let outcome = match unable {
            None if !self.state.is_stopping() => Some(self.try_out(self.config.clone())),
            None => {
                self.return_hooks();
                None
            }
            Some(unable) => {
                let why = self.go_on_without(unable);
                if hung_up {
                    tracing::info!(
                        "HUP has come while the application was loaded: the reload begins anew."
                    );
                }
                // What was to come is not to come any more, and the log says why.
                (!hung_up && !self.state.is_stopping()).then(|| {
                    self.service.reload_failed();
                    Event::ConfigRefused(why)
                })
            }
        };
        self.carry_out(actions);
        // Others may have ended meanwhile.
        self.tell(Event::Signal(Signal::CHLD));
        if let Some(outcome) = outcome {
            self.tell(outcome);
        }
        self.supervise()
    }

    /// The workers that are there go on. Says why.
    fn go_on_without(&mut self, unable: Unable) -> String {
        match unable {
            Unable::Configuration(why) => {
                self.lacks = Some(LACKS);
                format!("{why}\nThe configuration cannot be read any more, although a check could.")
            }
            Unable::Application(why) => {
                self.return_hooks();
                format!(
                    "{why}\nThe master could not load the application, although a check could. Workers \
                     that are started before the next HUP load it themselves."
                )
            }
        }
    }

    /// Hooks are those of the configuration in force.
    fn return_hooks(&mut self) {
        let (listeners, size) = (self.sockets.listeners(), self.state.size());
        self.host.hooks().returned(&self.config, listeners, size);
    }

    /// After a failure of the master itself: nobody supervises the workers any more, so they go.
    fn abandon(&mut self) {
        self.commons.stop_flag.set();
        for pid in self.state.workers().iter().filter_map(|worker| worker.pid) {
            kill(pid, Signal::QUIT);
        }
        self.sockets.close();
    }
}

/// Has signals arrive in the pipe of the process, and hooks find that they do.
fn handle_signals(host: &mut dyn Host) -> Result<Pipe, Error> {
    let handle = || {
        signal::ignore(Signal::PIPE)?;
        // As in any Python program: a file that grows too large is an error of whoever writes it.
        signal::ignore(Signal::XFSZ)?;
        Pipe::install(&MASTER_SIGNALS)
    };
    let pipe = handle().map_err(|error| out_of(&error))?;
    host.show_signals(&MASTER_SIGNALS)?;
    Ok(pipe)
}

fn out_of(error: &std::io::Error) -> Error {
    let reason = reason(error);
    Error::config(format!("The server cannot get what it needs from the system: {reason}"))
}

pub(super) fn now() -> Duration {
    Duration::from_nanos(time::monotonic_ns())
}

#[cfg(test)]
mod tests;
