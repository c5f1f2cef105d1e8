//! A slot: a Python thread that takes requests, one at a time, and calls the application.

use std::io;
use std::sync::Arc;

use pyo3::prelude::*;

use super::baton::{Baton, Driver};
use super::control::Control;
use super::parking::Parking;
use super::requests::Requests;
use crate::app::{App, Seat};
use crate::python::loader::exit_status;
use crate::python::signals;
use crate::reactor::{Exchange, Job, Wait, Workspace};
use crate::sys::time;

/// What a slot works with.
pub struct Slot<'w, 'a> {
    pub seat: &'w Seat<'a>,
    pub baton: &'w Baton<'a>,
    pub control: &'w Control<'w>,
    pub requests: &'w Requests<'w>,
    pub exchange: Arc<Exchange>,
    pub parking: Arc<Parking>,
    /// Its number.
    pub index: usize,
    /// It runs on the thread on which Python runs signal handlers.
    pub is_main: bool,
}

impl Slot<'_, '_> {
    /// Answers requests until the worker's end.
    ///
    /// # Errors
    /// The event loop does not work.
    pub fn run(&self, py: Python<'_>, app: &mut dyn App) -> io::Result<()> {
        let mut workspace = Workspace::new();
        let mut finished = None;
        while let Some(mut driver) = self.baton.take(&py, &mut finished, &self.parking) {
            if let Some(finished) = finished.take() {
                driver.reactor.finish(finished);
            }
            let Some(mut job) = self.drive(py, &mut driver, &mut workspace)? else { break };
            driver.release();
            let request = workspace.request(&mut job);
            if self.is_main {
                signals::in_application(|| self.requests.answer(self, app, request));
            } else {
                self.requests.answer(self, app, request);
            }
            finished = Some(job.finish(&self.exchange));
        }
        Ok(())
    }

    /// Drives the event loop until there is a request, or the worker ends.
    fn drive(
        &self,
        py: Python<'_>,
        driver: &mut Driver<'_, '_>,
        workspace: &mut Workspace,
    ) -> io::Result<Option<Job>> {
        if self.begin(driver) {
            return Ok(None);
        }
        let mark = self.seat.slot.mark(self.index);
        loop {
            match self.turn(driver, workspace)? {
                Turn::Serve(job) => return Ok(Some(job)),
                Turn::Over => return Ok(None),
                Turn::Wait => {}
            }
            let until = self.control.next_look();
            let wait = if driver.reactor.is_pressed() {
                driver.reactor.poll(None)?
            } else {
                driver.caught_up();
                let reactor = &mut *driver.reactor;
                // The only wait: threads of the application run meanwhile, and one of them may not
                // let go of the interpreter. The master has to know of that as of a request.
                let polled = py.detach(|| {
                    let polled = reactor.poll(until);
                    if reactor.has_events() {
                        mark.begin_wait(time::monotonic_coarse_ns());
                        self.seat.bell.ring_if_armed();
                    }
                    polled
                });
                mark.end_request();
                polled?
            };
            if self.is_main
                && wait == Wait::Interrupted
                && let Some(status) = python_handlers(py)
            {
                self.control.end(status);
            }
        }
    }

    /// To be called before the first turn; `true` when the worker is to end.
    pub(super) fn begin(&self, driver: &mut Driver<'_, '_>) -> bool {
        let over = self.control.attend(driver);
        if over {
            driver.reactor.send_held();
        } else {
            driver.reactor.set_busy(self.requests.is_through());
        }
        over
    }

    /// Deals with what there is until a request is complete.
    pub(super) fn turn(
        &self,
        driver: &mut Driver<'_, '_>,
        workspace: &mut Workspace,
    ) -> io::Result<Turn> {
        driver.refresh()?;
        if self.requests.is_through() {
            self.leave_to_others(driver);
        } else if let Some(job) = driver.reactor.next(workspace, &self.exchange, self.requests) {
            return Ok(Turn::Serve(job));
        }
        // The last connection may have gone.
        Ok(if self.control.attend(driver) { Turn::Over } else { Turn::Wait })
    }

    /// Serves nothing of what there is, nor of what comes.
    fn leave_to_others(&self, driver: &mut Driver<'_, '_>) {
        driver.reactor.set_busy(true);
        driver.reactor.gather(self.requests);
        if self.control.has_others() {
            driver.reactor.hand_over_waiting(self.requests);
        }
    }
}

/// What a turn at the event loop led to.
pub(super) enum Turn {
    Serve(Job),
    /// Events have to be waited for.
    Wait,
    /// The worker ends.
    Over,
}

/// Runs handlers that the application has set for signals; they may end the worker by `SystemExit`.
pub fn python_handlers(py: Python<'_>) -> Option<i32> {
    let error = py.check_signals().err()?;
    let status = exit_status(py, &error);
    if status.is_none() {
        tracing::error!("A signal handler of the application failed: {error}");
    }
    status
}
