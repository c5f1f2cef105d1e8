//! What the objects of hooks reach the server through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::app::Wishes;
use crate::scoreboard::{Scoreboard, Slot};
use crate::sys::process::{self, Pid};
use crate::sys::signal::{self, Signal};
use crate::sys::time;

/// The master, for the `server` of hooks.
#[pyclass(frozen, module = "rgunicorn")]
pub struct MasterHandle {
    wishes: Arc<Wishes>,
    pid: Pid,
}

impl MasterHandle {
    pub fn new(wishes: Arc<Wishes>) -> Self {
        Self { wishes, pid: process::getpid() }
    }

    /// A worker has a copy of the object, which has no say in the master.
    fn is_here(&self) -> bool {
        process::getpid() == self.pid
    }
}

#[pymethods]
impl MasterHandle {
    fn resize(&self, size: u64) {
        if self.is_here() {
            self.wishes.resize(size);
        }
    }

    fn wake(&self) {
        if self.is_here() {
            self.wishes.wake();
        }
    }
}

/// A worker, for the `worker` of hooks: its place in the scoreboard.
#[pyclass(frozen, module = "rgunicorn")]
pub struct WorkerHandle {
    place: Option<Place>,
}

struct Place {
    scoreboard: Arc<Scoreboard>,
    slot: usize,
    age: u64,
    /// Requests counted by the slot that are in a `pre_request` hook.
    ahead: AtomicU64,
    /// The process is gone; what it was and has done is in the other two.
    gone: AtomicBool,
    served: AtomicBool,
    left: AtomicU64,
}

impl Place {
    /// The slot, as long as it is the worker's.
    fn slot(&self) -> Option<&Slot> {
        let gone = self.gone.load(Ordering::Acquire);
        Some(self.scoreboard.slot(self.slot)).filter(|slot| !gone && slot.is_of(self.age))
    }
}

impl WorkerHandle {
    pub fn new(scoreboard: &Arc<Scoreboard>, slot: usize, age: u64) -> Self {
        let place = Place {
            scoreboard: Arc::clone(scoreboard),
            slot,
            age,
            ahead: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            served: AtomicBool::new(false),
            left: AtomicU64::new(0),
        };
        Self { place: Some(place) }
    }

    /// Of a worker object that somebody has made.
    pub fn none() -> Self {
        Self { place: None }
    }

    /// The worker is gone, and its slot is about to be.
    pub fn keep(&self) {
        if let Some(place) = &self.place
            && let Some(slot) = place.slot()
        {
            place.left.store(slot.requests(), Ordering::Relaxed);
            place.served.store(slot.has_served(), Ordering::Relaxed);
            place.gone.store(true, Ordering::Release);
        }
    }

    /// A request is not counted until its `pre_request` hook has returned.
    pub fn hold_back(&self) -> impl Drop + '_ {
        HeldBack::new(self.place.as_ref().map(|place| &place.ahead))
    }
}

struct HeldBack<'a>(Option<&'a AtomicU64>);

impl<'a> HeldBack<'a> {
    fn new(ahead: Option<&'a AtomicU64>) -> Self {
        if let Some(ahead) = ahead {
            ahead.fetch_add(1, Ordering::Relaxed);
        }
        Self(ahead)
    }
}

impl Drop for HeldBack<'_> {
    fn drop(&mut self) {
        if let Some(ahead) = self.0 {
            ahead.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[pymethods]
impl WorkerHandle {
    fn requests(&self) -> u64 {
        let Some(place) = &self.place else { return 0 };
        let ahead = place.ahead.load(Ordering::Relaxed);
        let counted = || place.left.load(Ordering::Relaxed);
        place.slot().map_or_else(counted, |slot| slot.requests().saturating_sub(ahead))
    }

    /// It has not begun to leave.
    fn stays(&self) -> bool {
        let Some(place) = &self.place else { return true };
        place.slot().is_some_and(|slot| !slot.is_retiring())
    }

    /// It has been ready to serve.
    fn has_served(&self) -> bool {
        let Some(place) = &self.place else { return false };
        place.slot().map_or_else(|| place.served.load(Ordering::Relaxed), Slot::has_served)
    }

    /// In the worker itself: it finishes and goes, as on SIGTERM.
    fn retire(&self) {
        let slot = self.place.as_ref().and_then(Place::slot);
        let own = process::getpid().get().unsigned_abs();
        if slot.is_some_and(|slot| slot.pid() == own) {
            signal::push(Signal::TERM);
        }
    }

    /// The request in progress makes progress.
    fn notify(&self) {
        if let Some(slot) = self.place.as_ref().and_then(Place::slot) {
            slot.renew_request(time::monotonic_ns());
        }
    }

    /// In seconds of the monotonic clock.
    fn last_update(&self) -> f64 {
        let since = self.place.as_ref().and_then(Place::slot).and_then(Slot::busy_since);
        let nanos = since.unwrap_or_else(time::monotonic_ns);
        std::time::Duration::from_nanos(nanos).as_secs_f64()
    }
}
