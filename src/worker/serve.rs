//! The life of a worker that is ready: its threads, from start to end.

mod threads;

use std::io;
use std::sync::Arc;
use std::thread::{self, Scope};

use pyo3::prelude::*;

use super::baton::Baton;
use super::boot::Booted;
use super::control::Control;
use super::end::End;
use super::overdue::Overdue;
use super::parking::Parking;
use super::requests::Requests;
use super::slot::Slot;
use super::stand_by::StandBy;
use crate::app::Seat;
use crate::error::reason;
use crate::scoreboard::State;
use crate::sys::ring::Ring;
use crate::sys::signal;

/// Exit status of a worker that failed after it was ready.
pub const FAILED: i32 = 255;

/// Serves until the worker's end; returns its exit status.
///
/// # Errors
/// The event loop does not work, or there is no thread to be had.
pub fn serve(py: Python<'_>, seat: &Seat<'_>, booted: Booted<'_>, end: &End) -> io::Result<i32> {
    let Booted { mut apps, mut reactor, max_requests } = booted;
    let exchanges: Vec<_> = apps.iter().map(|_| reactor.exchange()).collect();
    let says = end.hooks().and_then(|hooks| hooks.requests()).is_none_or(|hooks| !hooks.precede());
    let requests = Requests::new(seat, max_requests, says);
    if let Some(log) = requests.access() {
        reactor.accompany(Arc::clone(log));
    }
    let overdue = Overdue::new(seat, &exchanges, &requests);
    let control = Control::new(seat, &requests, &overdue)?;
    let ring = Ring::new()?;
    reactor.watch(ring.fd(), Control::RING)?;
    let threaded = seat.config.is_threaded();
    if !threaded {
        control.watch(&reactor)?;
    }
    let baton = Baton::new(reactor, ring);
    let ended = Ring::new()?;
    let slots: Vec<_> = exchanges
        .into_iter()
        .enumerate()
        .map(|(index, exchange)| Slot {
            seat,
            baton: &baton,
            control: &control,
            requests: &requests,
            exchange,
            parking: Arc::new(Parking::default()),
            index,
            is_main: !threaded,
        })
        .collect();
    let stand_by = StandBy { baton: &baton, control: &control, requests: &requests };
    thread::scope(|scope| {
        // Also when this thread panics: the scope waits for the others.
        let _over = Over(&baton);
        start(scope, &stand_by)?;
        match (&slots[..], &mut apps[..]) {
            ([slot], [app]) if !threaded => {
                tell_ready(seat);
                slot.run(py, app)
            }
            _ => threads::run(py, scope, &slots, apps, &ended, end),
        }
    })?;
    Ok(end.signalled(py, control.ended_by(), control.verdict().unwrap_or_default()))
}

/// Starts the stand-by thread.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stand_by: &'scope StandBy<'_, '_>,
) -> io::Result<()> {
    // It inherits that no signal is for it: they are the application's to hold back.
    let held = signal::block_all();
    let started =
        thread::Builder::new().name("stand-by".into()).spawn_scoped(scope, || stand_by.live());
    drop(held);
    started.map(drop).map_err(|error| no_thread(&error))
}

fn no_thread(error: &io::Error) -> io::Error {
    io::Error::other(format!(
        "no thread can be started: {}. Raise the limit of processes (ulimit -u, pids.max).",
        reason(error)
    ))
}

/// All that can fail has been done: those whose place this worker takes may go.
fn tell_ready(seat: &Seat<'_>) {
    seat.slot.set_state(State::Ready);
    seat.bell.ring();
}

/// Ends the threads around the event loop when it is dropped.
struct Over<'b, 'a>(&'b Baton<'a>);

impl Drop for Over<'_, '_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
