//! Requests that take longer than `request_timeout`.
//!
//! A Python thread cannot be ended. Its client gets an answer, the log its stack, and the worker is
//! replaced once its other requests are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use pyo3::prelude::*;

use super::requests::Requests;
use crate::app::Seat;
use crate::http::Reject;
use crate::python::support;
use crate::reactor::Exchange;
use crate::sys::time;

/// Watches over the requests of all slots.
pub struct Overdue<'a> {
    seat: &'a Seat<'a>,
    requests: &'a Requests<'a>,
    /// Nanoseconds; 0: requests may take any time.
    limit: u64,
    watched: Vec<Watched>,
}

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
        Self { seat, requests, limit, watched: watched.collect() }
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
        let taken = std::time::Duration::from_nanos(now.saturating_sub(since)).as_secs_f64();
        tracing::error!(
            "REQUEST TIMEOUT: {line} has taken {taken:.1} s (request_timeout {} s). The worker will \
             be replaced.",
            self.seat.config.request_timeout.as_secs_f64()
        );
        watched.exchange.give_up(&Reject::request_timeout());
        self.requests.retire();
        // The thread may be one that holds the interpreter: this one must not wait for that.
        let report = || {
            Python::attach(|py| {
                tracing::error!("Stacks when the request was given up:\n{}", support::stacks(py));
            });
        };
        if let Err(error) = thread::Builder::new().name("report".into()).spawn(report) {
            tracing::error!("The stacks cannot be shown: {error}");
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
