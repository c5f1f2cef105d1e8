//! What the master tells StatsD: how many workers there are, and how many connections wait.

use std::time::Duration;

use super::run::now;
use crate::config::Config;
use crate::log;
use crate::net::listener::Listener;

/// How often the backlog is looked at; gunicorn's master looks once a second.
const PERIOD: Duration = Duration::from_secs(1);

/// What was told last.
#[derive(Debug, Default)]
pub struct Metrics {
    workers: Option<usize>,
    /// When to look at the backlog next.
    due: Option<Duration>,
}

impl Metrics {
    /// Tells what is to be told now. To be called before the master sleeps.
    pub fn tell<'a>(
        &mut self,
        workers: usize,
        listeners: impl Iterator<Item = &'a Listener>,
        config: &Config,
    ) {
        if self.workers.replace(workers) != Some(workers)
            && let Some(statsd) = log::statsd()
        {
            statsd.gauge("gunicorn.workers", workers);
        }
        let wanted = config.enable_backlog_metric
            && (config.statsd_host.is_some() || tracing::enabled!(tracing::Level::DEBUG));
        if !wanted {
            self.due = None;
            return;
        }
        let now = now();
        if self.due.is_none_or(|due| now >= due) {
            self.due = Some(now + PERIOD);
            tell_backlog(listeners);
        }
    }

    /// Tells nothing more.
    pub fn end(&mut self) {
        self.due = None;
    }

    /// When something is to be told even if nothing happens.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }
}

fn tell_backlog<'a>(listeners: impl Iterator<Item = &'a Listener>) {
    let mut known = listeners.filter_map(Listener::waiting);
    // Those of unix sockets cannot be counted.
    let Some(first) = known.next() else { return };
    let backlog = known.fold(u64::from(first), |sum, waiting| sum + u64::from(waiting));
    tracing::debug!("socket backlog: {backlog}");
    if let Some(statsd) = log::statsd() {
        statsd.histogram("gunicorn.backlog", backlog);
    }
}
