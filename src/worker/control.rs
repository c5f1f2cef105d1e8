//! What a worker has been told, and what becomes of it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use super::baton::Driver;
use super::overdue::Overdue;
use super::requests::Requests;
use crate::app::Seat;
use crate::log;
use crate::reactor::{Reactor, Retirement};
use crate::scoreboard::State;
use crate::sys::signal::{Pipe, Signal};
use crate::sys::{process, time};

/// How long the connections of a retiring worker may still bring a request: new ones, and idle
/// keep-alive ones if `keepalive` is not shorter.
const GRACE: Duration = Duration::from_secs(2);

/// How soon to look again whether there is room for connections in the queue, in nanoseconds.
const LOOK: u64 = 5_000_000;

/// Ids of the descriptors that the event loop watches for us.
const SIGNALS: u32 = 0;
const LIFELINE: u32 = 1;

/// No exit status yet.
const NONE: i32 = -1;

/// What signals have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heeded {
    /// The worker is to end because it takes too long.
    Abort,
    Other,
}

/// See the module documentation.
pub struct Control<'a> {
    seat: &'a Seat<'a>,
    signals: Pipe,
    requests: &'a Requests<'a>,
    overdue: &'a Overdue<'a>,
    /// The event loop knows that the worker retires.
    retired: AtomicBool,
    /// There will be no other workers.
    closing: AtomicBool,
    verdict: AtomicI32,
    /// The signal by which the worker ends at once; 0 for none.
    ended_by: AtomicI32,
}

impl<'a> Control<'a> {
    /// Id of the descriptor by which the event loop is woken.
    pub const RING: u32 = 2;

    /// # Errors
    /// There is no signal pipe.
    pub fn new(
        seat: &'a Seat<'a>,
        requests: &'a Requests<'a>,
        overdue: &'a Overdue<'a>,
    ) -> io::Result<Self> {
        let Some(signals) = Pipe::of_process() else {
            return Err(io::Error::other("the signal pipe is missing"));
        };
        Ok(Self {
            seat,
            signals,
            requests,
            overdue,
            retired: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            verdict: AtomicI32::new(NONE),
            ended_by: AtomicI32::new(0),
        })
    }

    /// Has the event loop watch for signals and the end of the master.
    ///
    /// # Errors
    /// The error of `epoll_ctl(2)`.
    pub fn watch(&self, reactor: &Reactor<'_>) -> io::Result<()> {
        reactor.watch(self.signals.fd(), SIGNALS)?;
        reactor.watch(self.seat.lifeline, LIFELINE)
    }

    /// Readable when signals wait for [`Self::heed`].
    pub fn signals(&self) -> BorrowedFd<'static> {
        self.signals.fd()
    }

    /// Deals with what is not of connections; `true` when the worker is to end.
    #[inline]
    pub fn attend(&self, driver: &mut Driver<'_, '_>) -> bool {
        while let Some(id) = driver.reactor.next_external() {
            match id {
                Self::RING => driver.ring().silence(),
                LIFELINE => {
                    driver.reactor.unwatch(self.seat.lifeline);
                    self.orphaned();
                }
                _ => {
                    self.heed();
                }
            }
        }
        // Behind the silencing: what is returned later rings anew.
        driver.finish_returned();
        self.tend(&mut driver.reactor)
    }

    /// Acts upon signals that have come: during a request, or while events were waited for.
    pub fn heed(&self) -> Heeded {
        let mut heeded = Heeded::Other;
        while let Some(signal) = self.signals.read() {
            match signal {
                Signal::TERM => self.requests.retire(),
                Signal::INT | Signal::QUIT => self.end_by(signal, 0),
                Signal::ABRT => {
                    heeded = Heeded::Abort;
                    self.end_by(signal, 1);
                }
                Signal::USR1 => log::reopen(),
                Signal::WINCH => tracing::debug!("worker: SIGWINCH ignored."),
                _ => {}
            }
        }
        heeded
    }

    /// The master is gone.
    pub fn orphaned(&self) {
        tracing::info!("Parent changed, shutting down: <Worker {}>", process::getpid());
        // All workers are, and nobody makes new ones: what is handed over would be lost.
        self.seat.stop_flag.set();
        self.requests.retire();
    }

    /// Whether a slot is in the application.
    pub fn has_busy(&self) -> bool {
        self.overdue.any_busy()
    }

    /// Whether a slot is in the application and will not come back in time.
    pub fn is_stuck(&self) -> bool {
        self.overdue.stuck() > 0
    }

    /// Waits until the stacks of such slots are in the log.
    pub fn wait_for_reports(&self) {
        self.overdue.wait_for_reports();
    }

    /// Has the worker end with this exit status, unless it is ending already.
    pub fn end(&self, status: i32) {
        let _ = self.verdict.compare_exchange(NONE, status, Ordering::AcqRel, Ordering::Acquire);
    }

    fn end_by(&self, signal: Signal, status: i32) {
        let (set, read) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.ended_by.compare_exchange(0, signal.raw(), set, read);
        self.end(status);
    }

    /// The signal by which the worker ends at once, if it does.
    pub fn ended_by(&self) -> Option<Signal> {
        let signal = self.ended_by.load(Ordering::Acquire);
        (signal != 0).then(|| Signal::from_raw(signal))
    }

    /// The exit status, once the worker is to end.
    pub fn verdict(&self) -> Option<i32> {
        let status = self.verdict.load(Ordering::Acquire);
        (status != NONE).then_some(status)
    }

    /// Has the event loop do what is due; `true` when the worker is to end.
    fn tend(&self, reactor: &mut Reactor<'_>) -> bool {
        if self.requests.is_retiring() {
            self.leave(reactor);
        }
        self.overdue.look();
        self.verdict().is_some()
    }

    /// Lets the connections of a retiring worker end, or go to others.
    fn leave(&self, reactor: &mut Reactor<'_>) {
        if !self.retired.swap(true, Ordering::Relaxed) {
            self.seat.slot.set_state(State::Retiring);
            self.seat.bell.ring();
            self.retire(reactor, Retirement::HandOver);
            if !self.seat.stop_flag.is_set() {
                reactor.take_last(self.requests);
            }
        }
        // Also when it has been told before that others would go on.
        if self.seat.stop_flag.is_set() && !self.closing.swap(true, Ordering::Relaxed) {
            // The end of the listeners. Else what waits there is left to the others.
            reactor.drain_backlog();
            self.retire(reactor, Retirement::Close);
        }
        if !self.closing.load(Ordering::Relaxed) {
            reactor.hand_over_waiting(self.requests);
            reactor.hand_over_idle(self.requests);
        }
        if reactor.len() <= self.overdue.stuck() && !self.takes_what_is_left(reactor) {
            self.end(0);
        }
    }

    /// At the end of the server, nobody else may be there for what is in the queue.
    fn takes_what_is_left(&self, reactor: &mut Reactor<'_>) -> bool {
        self.closing.load(Ordering::Relaxed)
            && !self.is_stuck()
            && reactor.take_over_one(self.requests)
    }

    fn retire(&self, reactor: &mut Reactor<'_>, how: Retirement) {
        let keep_alive = Duration::from_secs(self.seat.config.keepalive);
        reactor.retire(how, keep_alive.min(GRACE), GRACE);
    }

    /// Whether other workers may take what waits here.
    pub fn has_others(&self) -> bool {
        // TTIN adds to what is configured.
        let several = self.seat.config.workers > 1 || self.seat.scoreboard.has_several_ready();
        several && !self.seat.stop_flag.is_set()
    }

    /// When something is due that is not of the event loop: connections that could not be handed over
    /// yet, and requests that take too long.
    pub fn next_look(&self) -> Option<u64> {
        let handing_over = self.requests.is_retiring() && !self.closing.load(Ordering::Relaxed);
        let look = handing_over.then(|| time::monotonic_ns() + LOOK);
        look.into_iter().chain(self.overdue.next()).min()
    }
}
