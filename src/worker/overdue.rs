//! Requests that take longer than `request_timeout`.
//!
//! A Python thread cannot be ended. Its client gets an answer, the log its stack, and the worker is
//! replaced once its other requests are done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;

use super::requests::Requests;
use crate::app::Seat;
use crate::http::Reject;
use crate::python::support;
use crate::reactor::Exchange;
use crate::sys::signal::Signal;
use crate::sys::{process, time};

/// Watches over the requests of all slots.
pub struct Overdue<'a> {
    seat: &'a Seat<'a>,
    requests: &'a Requests<'a>,
    /// Nanoseconds; 0: requests may take any time.
    limit: u64,
    watched: Vec<Watched>,
    /// One for each report of stacks that is under way.
    reports: Mutex<Vec<Receiver<()>>>,
}

/// How long a worker that ends waits for stacks to be reported.
const REPORT: Duration = Duration::from_secs(2);
/// How long a dump of stacks from C may take.
const DUMP: Duration = Duration::from_millis(100);

/// One slot.
struct Watched {
    exchange: Arc<Exchange>,
    /// When the request began that has been given up; 0 if there is none.
    given_up: AtomicU64,
}

impl<'a> Overdue<'a> {
    pub fn new(
        seat: &'a Seat<'a>,
        exchanges: &[Arc<Exchange>],
        requests: &'a Requests<'a>,
    ) -> Self {
        let watched = exchanges.iter().map(|exchange| Watched {
            exchange: Arc::clone(exchange),
            given_up: AtomicU64::new(0),
        });
        let limit = u64::try_from(seat.config.request_timeout.as_nanos()).unwrap_or(u64::MAX);
        Self { seat, requests, limit, watched: watched.collect(), reports: Mutex::default() }
    }

    /// When the next request is overdue, in nanoseconds of the monotonic clock.
    pub fn next(&self) -> Option<u64> {
        if self.limit == 0 {
            return None;
        }
        self.in_time().map(|(_, since)| since.saturating_add(self.limit)).min()
    }

    /// Slots with a request that has not been given up, and when it began.
    fn in_time(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.watched.iter().enumerate().filter_map(|(index, watched)| {
            let since = self.seat.slot.mark(index).request_since()?;
            (watched.given_up.load(Ordering::Acquire) != since).then_some((index, since))
        })
    }

    /// Gives up requests that are overdue.
    pub fn look(&self) {
        if self.limit == 0 {
            return;
        }
        let now = time::monotonic_ns();
        for (index, since) in self.in_time() {
            if since.saturating_add(self.limit) <= now {
                self.give_up(index, since, now);
            }
        }
    }

    fn give_up(&self, index: usize, since: u64, now: u64) {
        let watched = &self.watched[index];
        let line = self.seat.slot.mark(index).line();
        watched.given_up.store(since, Ordering::Release);
        let taken = Duration::from_nanos(now.saturating_sub(since)).as_secs_f64();
        tracing::error!(
            "REQUEST TIMEOUT: {line} has taken {taken:.1} s (request_timeout {} s). The worker will \
             be replaced.",
            self.seat.config.request_timeout.as_secs_f64()
        );
        watched.exchange.give_up(&Reject::request_timeout());
        let elapsed = Duration::from_nanos(now.saturating_sub(since));
        self.requests.log_given_up(&watched.exchange, &line, elapsed);
        self.requests.retire();
        // The thread may be one that holds the interpreter: this one must not wait for that.
        let (done, reported) = channel();
        let report = move || {
            Python::attach(|py| {
                tracing::error!("Stacks when the request was given up:\n{}", support::stacks(py));
            });
            // Nobody waits for it unless the worker ends.
            let _ = done.send(());
        };
        match thread::Builder::new().name("report".into()).spawn(report) {
            Ok(_) => self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(reported),
            Err(error) => tracing::error!("The stacks cannot be shown: {error}"),
        }
    }

    /// Waits until stacks are reported; those of an interpreter that nobody can enter are dumped
    /// from C.
    pub fn wait_for_reports(&self) {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if reports.iter().any(|report| report.recv_timeout(REPORT).is_err()) {
            let _ = process::kill(process::getpid(), Signal::dump());
            thread::sleep(DUMP);
        }
    }

    /// How many slots are still in a request that was given up.
    pub fn stuck(&self) -> usize {
        if self.limit == 0 {
            return 0;
        }
        let stuck = |(index, watched): &(usize, &Watched)| {
            let given_up = watched.given_up.load(Ordering::Acquire);
            given_up != 0 && self.seat.slot.mark(*index).request_since() == Some(given_up)
        };
        self.watched.iter().enumerate().filter(stuck).count()
    }

    /// Whether a slot is in the application.
    pub fn any_busy(&self) -> bool {
        (0..self.watched.len()).any(|index| self.seat.slot.mark(index).request_since().is_some())
    }
}
