//! The life of a worker that is ready: its threads, from start to end.

use std::io;
use std::sync::Arc;
use std::thread;

use pyo3::prelude::*;

use super::baton::Baton;
use super::control::Control;
use super::parking::Parking;
use super::requests::Requests;
use super::slot::Slot;
use super::stand_by;
use crate::app::{App, Seat};
use crate::reactor::Reactor;
use crate::sys::ring::Ring;
use crate::sys::signal;

/// Serves until the worker's end; returns its exit status.
///
/// # Errors
/// The event loop does not work, or there is no thread to be had.
pub fn serve(
    py: Python<'_>,
    seat: &Seat<'_>,
    reactor: Reactor<'_>,
    app: &mut dyn App,
) -> io::Result<i32> {
    let requests = Requests::new(seat);
    let control = Control::new(seat, &requests)?;
    let exchange = reactor.exchange();
    let ring = Ring::new()?;
    control.watch(&reactor, &ring)?;
    let baton = Baton::new(reactor, ring);
    let slot = Slot {
        seat,
        baton: &baton,
        control: &control,
        requests: &requests,
        exchange,
        parking: Arc::new(Parking::default()),
        index: 0,
        is_main: true,
    };
    thread::scope(|scope| {
        // Also when this thread panics: the scope waits for the other one.
        let _over = Over(&baton);
        // It inherits that no signal is for it: they are the application's to hold back.
        let held = signal::block_all();
        thread::Builder::new()
            .name("stand-by".into())
            .spawn_scoped(scope, || stand_by::run(&baton, &control, &requests))?;
        drop(held);
        slot.run(py, app)
    })?;
    Ok(control.verdict().unwrap_or_default())
}

/// Ends the threads around the event loop when it is dropped.
struct Over<'b, 'a>(&'b Baton<'a>);

impl Drop for Over<'_, '_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
