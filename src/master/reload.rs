//! Putting a new configuration in force, and taking it back.

use super::forms;
use super::pidfile::PidFile;
use super::run::Master;
use super::state::{Event, Policy, Recycling};
use crate::config::Config;
use crate::error::Error;
use crate::log;

impl Master<'_> {
    /// Reads the configuration anew and puts it in force for workers forked from now on. If the master
    /// is to load the application, a check of both is started instead: it cannot load what it has
    /// loaded before.
    pub(super) fn read_config(&mut self) -> Event {
        if self.lacks.is_some() || preloads(&self.config) {
            return self.start_check();
        }
        match self.host.read_config() {
            Ok(config) if preloads(&config) => {
                self.host.restore(&self.config);
                self.start_check()
            }
            Ok(config) => self.try_out(config),
            Err(error) => {
                self.host.restore(&self.config);
                self.refuse(&error)
            }
        }
    }

    /// Puts a configuration in force for workers forked from now on. It stays on trial until
    /// [`Self::commit`] or [`Self::rollback`].
    pub(super) fn try_out(&mut self, config: Config) -> Event {
        match self.put_in_force(config) {
            Ok(()) => Event::ConfigRead(policy(&self.config)),
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&mut self, error: &Error) -> Event {
        self.service.reload_failed();
        Event::ConfigRefused(error.to_string())
    }

    fn put_in_force(&mut self, config: Config) -> Result<(), Error> {
        let changed = forms::check_identity(&config)
            .and_then(|()| self.sockets.change(&config.bind, forms::sockets(&config)))
            .inspect_err(|_| self.host.restore(&self.config))?;
        self.lanes.follow(&self.sockets);
        enforce_logs(&config);
        log_configuration(&config);
        if changed {
            tracing::info!("Listening at: {}", self.sockets.text());
        }
        if let Err(failure) = self.host.hooks().reloaded(&config, self.sockets.listeners()) {
            self.take_back();
            return Err(Error::config(format!(
                "A hook failed, so the reload did:\n{}",
                failure.traceback
            )));
        }
        self.enforce(&config);
        let before = std::mem::replace(&mut self.config, config);
        self.before.get_or_insert(before);
        Ok(())
    }

    /// Returns to the configuration in force from a newer one that was not enforced yet.
    fn take_back(&mut self) {
        if self.before.is_none() {
            self.sockets.rollback();
        } else if let Err(error) =
            self.sockets.change(&self.config.bind, forms::sockets(&self.config))
        {
            // Only those of a configuration on trial can have been closed in between.
            tracing::error!("{error}");
        }
        self.lanes.follow(&self.sockets);
        self.host.restore(&self.config);
        enforce_logs(&self.config);
        let (listeners, size) = (self.sockets.listeners(), self.state.size());
        self.host.hooks().returned(&self.config, listeners, size);
    }

    pub(super) fn commit(&mut self) {
        self.before = None;
        self.sockets.commit();
        self.lanes.forget(&self.sockets);
    }

    pub(super) fn rollback(&mut self) {
        let Some(before) = self.before.take() else { return };
        self.service.reload_failed();
        self.sockets.rollback();
        self.lanes.forget(&self.sockets);
        self.host.restore(&before);
        enforce_logs(&before);
        self.enforce(&before);
        self.config = before;
        let (listeners, size) = (self.sockets.listeners(), self.state.size());
        self.host.hooks().returned(&self.config, listeners, size);
    }

    /// What the master itself takes from a configuration besides sockets, logs and policy. None of
    /// it can keep the server from serving.
    fn enforce(&mut self, config: &Config) {
        if let Err(error) = self.move_pidfile(self.pidfile_of(config).as_deref()) {
            tracing::error!("{error} The pid file stays as it was.");
        }
        self.show_title(config);
    }

    /// Writes the pid file again, be it at its old place (somebody may have removed it) or a new one.
    fn move_pidfile(&mut self, wanted: Option<&str>) -> Result<(), Error> {
        let new = wanted.map(PidFile::create).transpose()?;
        if let Some(old) = self.pidfile.take().filter(|old| !wanted.is_some_and(|at| old.is_at(at)))
        {
            old.remove();
        }
        self.pidfile = new;
        Ok(())
    }
}

/// Whether the master loads the application.
fn preloads(config: &Config) -> bool {
    config.preload_app && !config.reload
}

/// Has the logs go where the configuration wants them; if that cannot be, they stay as they are.
pub(super) fn enforce_logs(config: &Config) {
    if let Err(error) = log::configure(config) {
        tracing::error!(
            "reloading the logger configuration failed, keeping the previous one: {error}"
        );
    }
}

pub(super) fn log_configuration(config: &Config) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let rows = config.dump();
        let rows = rows.iter().map(|(name, value)| format!("\n  {name}: {value}"));
        tracing::debug!("Current configuration:{}", rows.collect::<String>());
    }
}

/// What the state machine needs to know of a configuration.
pub fn policy(config: &Config) -> Policy {
    use std::time::Duration;
    let time = |time: Duration| (!time.is_zero()).then_some(time);
    Policy {
        workers: usize::try_from(config.workers).unwrap_or(usize::MAX),
        timeout: (config.timeout > 0).then(|| Duration::from_secs(config.timeout)),
        graceful_timeout: Duration::from_secs(config.graceful_timeout),
        boot_timeout: time(config.worker_boot_timeout),
        recycling: Recycling {
            memory: (config.max_worker_memory > 0).then_some(config.max_worker_memory),
            lifetime: time(config.max_worker_lifetime),
            jitter: config.max_worker_lifetime_jitter,
            most: usize::try_from(config.max_recycling).unwrap_or(usize::MAX),
        },
        daemon: config.daemon,
        shutdown_delay: config.shutdown_delay,
    }
}
