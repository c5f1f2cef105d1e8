//! What a worker does with each request, around the call of the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::access::{self, Access};
use super::slot::Slot as Worker;
use crate::app::{AccessSink, App, Seat};
use crate::config::Config;
use crate::http::{HeaderBlock, Reject};
use crate::log::access::AccessLog;
use crate::python::logging;
use crate::reactor::{Exchange, Handler, Peer, Refused, Request, Summary};
use crate::scoreboard::{Bell, Slot, StopFlag};
use crate::sys::{process, random, time};

/// What all slots of a worker have in common.
pub struct Requests<'a> {
    slot: &'a Slot,
    bell: &'a Bell,
    stop_flag: &'a StopFlag,
    access: Option<Arc<AccessLog>>,
    pid: u32,
    /// There is a `pre_request` hook.
    hooked: bool,
    /// Requests left until the worker wants to be replaced.
    left: Option<AtomicU64>,
    /// There is to be one request only, for which each has a process of its own: what needs that, a few
    /// more would not do.
    single: bool,
    /// That one has been taken.
    through: AtomicBool,
    retiring: AtomicBool,
    /// The log tells of each request, at debug, as gunicorn's default for the hook `pre_request`.
    says: bool,
}

impl<'a> Requests<'a> {
    /// `max_requests` is how many there may be until the worker wants to be replaced.
    pub fn new(seat: &Seat<'a>, max_requests: Option<u64>, says: bool) -> Self {
        Self {
            slot: seat.slot,
            bell: seat.bell,
            stop_flag: seat.stop_flag,
            access: logging::own_access_log(),
            pid: process::getpid().get().unsigned_abs(),
            hooked: seat.config.pre_request.object().is_some(),
            left: max_requests.map(|most| AtomicU64::new(most.max(1))),
            single: max_requests.is_some_and(|most| most <= 1),
            through: AtomicBool::new(false),
            retiring: AtomicBool::new(false),
            says,
        }
    }

    /// The access log, if there is one.
    pub fn access(&self) -> Option<&Arc<AccessLog>> {
        self.access.as_ref()
    }

    /// Logs a request that was given up, of which `line` are method and target.
    pub fn log_given_up(&self, exchange: &Exchange, line: &str, elapsed: Duration) {
        if let Some(log) = &self.access {
            access::of_given_up(log, exchange, line, elapsed, self.pid);
        }
    }

    /// How many requests a worker of this configuration takes.
    pub fn limit(config: &Config) -> Option<u64> {
        let jitter = || random::number() % config.max_requests_jitter.saturating_add(1).max(1);
        (config.max_requests > 0).then(|| config.max_requests.saturating_add(jitter()))
    }

    /// Lets the worker end once its connections have.
    pub fn retire(&self) {
        self.retiring.store(true, Ordering::Relaxed);
    }

    pub fn is_retiring(&self) -> bool {
        self.retiring.load(Ordering::Relaxed)
    }

    fn count(&self) {
        let Some(left) = &self.left else { return };
        if left.fetch_sub(1, Ordering::Relaxed) == 1 && !self.is_retiring() {
            tracing::info!("Autorestarting worker after current request.");
            if self.single {
                // Not yet to be replaced: there would be more requests in the application than workers.
                self.through.store(true, Ordering::Relaxed);
                return;
            }
            // It serves until the master has somebody in its place.
            self.slot.set_spent();
            self.bell.ring();
        }
    }

    /// Whether the worker takes no request any more, even while it has no replacement. At the end of the
    /// server nobody else does.
    pub fn is_through(&self) -> bool {
        self.through.load(Ordering::Relaxed) && !self.stop_flag.is_set()
    }

    /// Has a request answered by the application, in `slot`, which has just released the baton.
    pub fn answer(&self, slot: &Worker<'_, '_>, app: &mut dyn App, request: Request<'_>) {
        let (method, target) = (request.head.method(), request.head.target());
        for name in request.head.dropped() {
            tracing::debug!(
                "Dropped the header {}: its name has an underscore (header_map = drop).",
                name.escape_ascii()
            );
        }
        if self.says {
            let path = request.head.path_and_query().0;
            tracing::debug!("{} {}", method.escape_ascii(), path.escape_ascii());
        }
        let mark = self.slot.mark(slot.index);
        mark.begin_request(time::monotonic_coarse_ns(), method, target);
        self.bell.ring_if_armed();
        slot.baton.has_left();
        let mut access = self.access.as_deref().map(|log| Access::new(log, self.pid, self.hooked));
        let sink = access.as_mut().map(|access| access as &mut dyn AccessSink);
        app.call(request, &slot.exchange, sink);
        mark.end_request();
        if self.single {
            self.retire();
        }
    }
}

impl Handler for Requests<'_> {
    fn rejected(&self, reject: &Reject, peer: Peer, refused: Refused<'_>) {
        tracing::warn!("Invalid request from ip={peer}: {}", reject.message);
        let status = reject.status.to_string();
        match (&self.access, refused) {
            (Some(log), Refused::Request(request)) => {
                let (status, headers) = (Some(status.as_bytes()), &HeaderBlock::new());
                let response = Summary { status, headers, sent: 0, held: false, given_up: false };
                Access::new(log, self.pid, false).line(request, &response, None);
            }
            (None, Refused::Request(request)) => logging::PYTHON.refused(request, reject),
            (Some(log), Refused::Bytes(bytes)) => {
                access::of_bytes(log, bytes, peer, &status, self.pid);
            }
            (None, Refused::Bytes(_)) => {}
        }
    }

    fn lets_go(&self) -> bool {
        self.stop_flag.is_announced()
    }

    fn taken(&self, waited: Duration) {
        self.count();
        if !waited.is_zero() {
            self.slot.note_wait(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    fn shed(&self) {
        self.slot.note_shed();
    }

    fn sent(&self) {
        self.slot.note_sent();
    }

    fn received(&self) {
        self.slot.note_received();
    }
}
