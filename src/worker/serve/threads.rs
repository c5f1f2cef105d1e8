//! A worker with several slots (gthread): the application runs in threads, and the main thread, on
//! which Python runs signal handlers, waits for signals.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, Scope};

use pyo3::prelude::*;

use super::{FAILED, no_thread, tell_ready};
use crate::error::panic_text;
use crate::log;
use crate::python::wsgi::Wsgi;
use crate::python::{interpreter, support};
use crate::sys::process;
use crate::sys::ring::Ring;
use crate::sys::socket;
use crate::worker::control::Heeded;
use crate::worker::end::End;
use crate::worker::slot::{Slot, python_handlers};

/// Runs all slots until the worker's end.
pub fn run<'scope>(
    py: Python<'_>,
    scope: &'scope Scope<'scope, '_>,
    slots: &'scope [Slot<'_, '_>],
    apps: Vec<Wsgi>,
    ended: &'scope Ring,
    end: &End,
) -> io::Result<()> {
    let mut threads = Vec::with_capacity(slots.len());
    for (slot, app) in slots.iter().zip(apps) {
        let name = format!("slot-{}", slot.index);
        let thread = thread::Builder::new().name(name);
        match thread.spawn_scoped(scope, move || live(slot, app, ended)) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                slot.baton.end();
                // They wait for the interpreter.
                py.detach(|| threads.into_iter().for_each(|thread| drop(thread.join())));
                return Err(no_thread(&error));
            }
        }
    }
    let Some(slot) = slots.first() else { return Ok(()) };
    // All of them wait for the interpreter until this thread waits for signals.
    tell_ready(slot.seat);
    wait(py, slot, ended);
    let control = slot.control;
    slot.baton.end();
    if control.verdict() != Some(0) || control.has_busy() {
        // Threads cannot be ended, and the interpreter cannot with threads in it.
        py.detach(|| control.wait_for_reports());
        let status = control.verdict().unwrap_or(FAILED);
        leave(py, end, end.signalled(py, control.ended_by(), status));
    }
    py.detach(|| threads.into_iter().for_each(|thread| drop(thread.join())));
    Ok(())
}

/// The life of one slot's thread.
fn live(slot: &Slot<'_, '_>, mut app: Wsgi, ended: &Ring) {
    let _ended = RingAtEnd(ended);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        Python::attach(|py| {
            support::name_thread(py, &format!("slot-{}", slot.index));
            if let Err(error) = support::be_traced(py) {
                tracing::warn!("A thread cannot be traced: {error}");
            }
            slot.run(py, &mut app)
        })
    }));
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!("The worker cannot wait for events: {error}");
            slot.control.end(FAILED);
        }
        Err(panic) => {
            let text = panic_text(panic.as_ref());
            tracing::error!("The worker failed inside of the server itself: {text}");
            slot.control.end(FAILED);
        }
    }
}

/// Rings when it is dropped.
struct RingAtEnd<'a>(&'a Ring);

impl Drop for RingAtEnd<'_> {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// Acts upon signals until the worker is to end.
fn wait(py: Python<'_>, slot: &Slot<'_, '_>, ended: &Ring) {
    let control = slot.control;
    let mut lifeline = Some(slot.seat.lifeline);
    while control.verdict().is_none() {
        let fds = [Some(control.signals()), Some(ended.fd()), lifeline];
        let readable = py.detach(|| socket::wait_for_any(fds));
        match readable {
            None => {
                if let Some(status) = python_handlers(py) {
                    control.end(status);
                }
            }
            Some(0) => {
                if control.heed() == Heeded::Abort {
                    tracing::error!(
                        "Stacks of the worker when it was aborted:\n{}",
                        support::stacks(py)
                    );
                }
            }
            Some(1) => return,
            Some(_) => {
                lifeline = None;
                control.orphaned();
            }
        }
        // The event loop has to know.
        slot.baton.ring();
    }
}

/// Ends the process although slots are in the application.
fn leave(py: Python<'_>, end: &End, status: i32) -> ! {
    end.farewell(py, true);
    interpreter::wind_up(py);
    py.detach(log::flush);
    process::exit_now(status)
}
