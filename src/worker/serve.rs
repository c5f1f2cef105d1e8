//! The main loop of a worker with one Python slot: the thread that waits for events also calls the
//! application.

use std::time::Duration;

use pyo3::prelude::*;

use super::requests::Requests;
use crate::app::Seat;
use crate::log;
use crate::python::loader::exit_status;
use crate::reactor::{Reactor, Wait};
use crate::scoreboard::State;
use crate::sys::signal::{Pipe, Signal};
use crate::sys::{process, time};

/// Ids of the descriptors that the event loop watches for us.
const SIGNALS: u32 = 0;
const LIFELINE: u32 = 1;

/// How long the connections of a retiring worker may still bring a request: new ones, and idle
/// keep-alive ones if `keepalive` is not shorter.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until the worker's end; returns its exit status.
///
/// # Errors
/// The event loop does not work.
pub fn serve(
    py: Python<'_>,
    seat: &Seat<'_>,
    reactor: &mut Reactor<'_>,
    requests: &mut Requests<'_>,
) -> std::io::Result<i32> {
    let Some(signals) = Pipe::of_process() else {
        return Err(std::io::Error::other("the signal pipe is missing"));
    };
    reactor.watch(signals.fd(), SIGNALS)?;
    reactor.watch(seat.lifeline, LIFELINE)?;
    let mut retiring = false;
    let mut told_to_go = false;
    loop {
        let wait = if reactor.is_pressed() {
            reactor.poll(None)?
        } else {
            // The only wait: threads of the application run meanwhile, and one of them may not let
            // go of the interpreter. The master has to know of that as of a request.
            let polled = py.detach(|| {
                let polled = reactor.poll(None);
                if reactor.has_events() {
                    seat.slot.mark(0).begin_wait(time::monotonic_coarse_ns());
                    seat.bell.ring_if_armed();
                }
                polled
            });
            seat.slot.mark(0).end_request();
            polled?
        };
        if wait == Wait::Interrupted
            && let Some(status) = python_handlers(py)
        {
            return Ok(status);
        }
        reactor.dispatch(requests);
        while let Some(id) = reactor.next_external() {
            if id == LIFELINE {
                tracing::info!("Parent changed, shutting down: <Worker {}>", process::getpid());
                reactor.unwatch(seat.lifeline);
                told_to_go = true;
            }
            // What came during a request, or interrupted the wait, shows up here as well.
            while let Some(signal) = signals.read() {
                match signal {
                    Signal::TERM => told_to_go = true,
                    Signal::INT | Signal::QUIT => return Ok(0),
                    Signal::ABRT => return Ok(1),
                    Signal::USR1 => log::reopen(),
                    Signal::WINCH => tracing::debug!("worker: SIGWINCH ignored."),
                    _ => {}
                }
            }
        }
        if told_to_go {
            requests.retire();
        }
        if requests.is_retiring() && !retiring {
            retiring = true;
            if told_to_go {
                // It may be the end of the listeners. A worker that goes by itself leaves what waits
                // there to the others.
                reactor.drain_backlog();
            }
            seat.slot.set_state(State::Retiring);
            seat.bell.ring();
            let keep_alive = Duration::from_secs(seat.config.keepalive);
            reactor.retire(keep_alive.min(GRACE), GRACE);
        }
        if retiring && reactor.is_empty() {
            return Ok(0);
        }
    }
}

/// Runs handlers that the application has set for signals; they may end the worker by `SystemExit`.
fn python_handlers(py: Python<'_>) -> Option<i32> {
    let error = py.check_signals().err()?;
    let status = exit_status(py, &error);
    if status.is_none() {
        tracing::error!("A signal handler of the application failed: {error}");
    }
    status
}
