//! What a worker does with each request, around the call of the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::slot::Slot as Worker;
use crate::app::{AccessSink, App, Seat, Variables};
use crate::http::{HeaderBlock, Reject};
use crate::log;
use crate::log::access::{AccessLog, Entry, Lookup, Source, Value};
use crate::python::logging;
use crate::reactor::{Handler, Peer, Request, Summary};
use crate::scoreboard::{Bell, Slot};
use crate::sys::{process, random, time};

/// What all slots of a worker have in common.
pub struct Requests<'a> {
    slot: &'a Slot,
    bell: &'a Bell,
    access: Option<Arc<AccessLog>>,
    pid: u32,
    /// Requests left until the worker retires.
    left: Option<AtomicU64>,
    retiring: AtomicBool,
}

impl<'a> Requests<'a> {
    pub fn new(seat: &Seat<'a>) -> Self {
        let config = seat.config;
        let left = (config.max_requests > 0).then(|| {
            let jitter = random::number() % config.max_requests_jitter.saturating_add(1).max(1);
            AtomicU64::new(config.max_requests.saturating_add(jitter))
        });
        Self {
            slot: seat.slot,
            bell: seat.bell,
            access: log::access_log(),
            pid: process::getpid().get().unsigned_abs(),
            left,
            retiring: AtomicBool::new(false),
        }
    }

    /// The access log, if there is one.
    pub fn access(&self) -> Option<&Arc<AccessLog>> {
        self.access.as_ref()
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
            self.retire();
        }
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
        let mark = self.slot.mark(slot.index);
        mark.begin_request(time::monotonic_coarse_ns(), method, target);
        self.bell.ring_if_armed();
        slot.baton.has_left();
        let mut access = self.access.as_deref().map(|log| Access::new(log, self.pid));
        let sink = access.as_mut().map(|access| access as &mut dyn AccessSink);
        app.call(request, &slot.exchange, sink);
        mark.end_request();
    }
}

impl Handler for Requests<'_> {
    fn rejected(&self, reject: &Reject, peer: Peer, request: Option<&Request<'_>>) {
        tracing::warn!("Invalid request from ip={peer}: {}", reject.message);
        if let (Some(log), Some(request)) = (&self.access, request) {
            let status = reject.status.to_string();
            let (status, headers) = (Some(status.as_bytes()), &HeaderBlock::new());
            let response = Summary { status, headers, sent: 0, held: false };
            Access::new(log, self.pid).line(request, &response, None);
        } else if let Some(request) = request {
            logging::PYTHON.refused(request, reject);
        }
    }

    fn taken(&self, waited: Duration) {
        // Before it is handled: the last one of this worker must know.
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

/// The access log line of one request.
struct Access<'a> {
    log: &'a AccessLog,
    pid: u32,
    started: Instant,
}

impl<'a> Access<'a> {
    fn new(log: &'a AccessLog, pid: u32) -> Self {
        Self { log, pid, started: Instant::now() }
    }
}

impl AccessSink for Access<'_> {
    fn line(
        &mut self,
        request: &Request<'_>,
        response: &Summary<'_>,
        environ: Option<&dyn Variables>,
    ) {
        let entry = Entry {
            line: None,
            status: response.status,
            sent: response.sent,
            elapsed: self.started.elapsed(),
            waited: request.waited,
            pid: self.pid,
            lookup: &Names { request, response, environ },
        };
        self.log.log(&entry, response.held);
    }
}

/// Where the access log finds headers and variables.
struct Names<'a> {
    request: &'a Request<'a>,
    response: &'a Summary<'a>,
    environ: Option<&'a dyn Variables>,
}

impl Lookup for Names<'_> {
    fn find(&self, source: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        let found = match source {
            Source::Request => self.request.head.last(name.as_bytes()),
            Source::Response => self.response.headers.last(name.as_bytes()),
            Source::Environ => {
                return match self.environ {
                    Some(environ) => environ.find(name, show),
                    None => self.variable(name, show),
                };
            }
        };
        found.map(|value| show(Value::Bytes(value))).is_some()
    }
}

impl Names<'_> {
    /// A variable of an environ that was not made.
    fn variable(&self, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        let head = &self.request.head;
        match name.to_ascii_uppercase().as_str() {
            "REMOTE_ADDR" => show(Value::Text(&self.request.peer.to_string())),
            "REQUEST_METHOD" => show(Value::Bytes(head.method())),
            "RAW_URI" => show(Value::Bytes(head.target())),
            "PATH_INFO" => show(Value::Bytes(&head.decoded_path())),
            "QUERY_STRING" => show(Value::Bytes(head.path_and_query().1)),
            "SERVER_PROTOCOL" => {
                let (major, minor) = head.version();
                show(Value::Text(&format!("HTTP/{major}.{minor}")));
            }
            name => {
                let Some(header) = name.strip_prefix("HTTP_") else { return false };
                let header = header.replace('_', "-");
                let Some(value) = head.last(header.as_bytes()) else { return false };
                show(Value::Bytes(value));
            }
        }
        true
    }
}
