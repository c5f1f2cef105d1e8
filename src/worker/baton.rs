//! Who drives the event loop.
//!
//! It is driven by one thread at a time, the one that holds the baton: normally a slot, which gives
//! the baton away while it is in the application. It gives it to nobody: handing it to another
//! thread for each request would cost more than most requests do. If the baton has lain there for a
//! tick, the stand-by thread has it picked up by a slot that is idle, or picks it up itself.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use super::parking::Parking;
use crate::reactor::{Finished, Reactor};
use crate::sys::ring::Ring;

/// The event loop of a worker and the threads around it.
pub struct Baton<'a> {
    reactor: Mutex<Reactor<'a>>,
    /// Counts takings and releases: odd while somebody drives.
    turn: AtomicU64,
    /// The stand-by thread drives.
    stand_by_drives: AtomicBool,
    /// A slot wants the baton from the stand-by thread.
    wanted: AtomicBool,
    /// Answered requests of slots that do not drive.
    returned: Mutex<Vec<Finished>>,
    /// Not 0 if there may be any.
    returns: AtomicUsize,
    /// Wakes whoever waits for events.
    ring: Ring,
    /// Slots with nothing to do.
    idle: Mutex<Vec<Arc<Parking>>>,
    /// One of them was called because nobody has driven for a tick, and has yet to come.
    behind: AtomicBool,
    stand_by: Parking,
    /// The stand-by thread is not ticking.
    asleep: AtomicBool,
    over: AtomicBool,
}

/// The one who drives.
pub struct Driver<'b, 'a> {
    baton: &'b Baton<'a>,
    /// Nobody has driven for a tick before.
    behind: bool,
    pub reactor: MutexGuard<'b, Reactor<'a>>,
}

/// What became of an attempt to take the baton.
pub(super) enum Reach<'b, 'a> {
    Taken(Driver<'b, 'a>),
    /// Another slot drives: this one is on the list of the idle ones and waits to be called.
    Rests,
    /// The stand-by thread drives, and gives the baton away now.
    Comes,
    /// The worker ends.
    Over,
}

/// How a slot waits for other threads.
pub trait Waits {
    fn wait(&self, parking: &Parking);
    fn lock<'m, T>(&self, mutex: &'m Mutex<T>) -> MutexGuard<'m, T>;
}

/// Without the interpreter, which the other thread may need.
impl Waits for Python<'_> {
    fn wait(&self, parking: &Parking) {
        self.detach(|| parking.wait());
    }

    fn lock<'m, T>(&self, mutex: &'m Mutex<T>) -> MutexGuard<'m, T> {
        mutex.lock_py_attached(*self).unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Baton<'a> {
    /// `ring` wakes whoever waits for events of `reactor`.
    pub fn new(reactor: Reactor<'a>, ring: Ring) -> Self {
        Self {
            reactor: Mutex::new(reactor),
            turn: AtomicU64::new(0),
            stand_by_drives: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            returned: Mutex::new(Vec::new()),
            returns: AtomicUsize::new(0),
            ring,
            idle: Mutex::new(Vec::new()),
            behind: AtomicBool::new(false),
            stand_by: Parking::default(),
            asleep: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Wakes whoever waits for events.
    pub fn ring(&self) {
        self.ring.ring();
    }

    /// Has all threads come to their end.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.stand_by.call();
        for parking in lock(&self.idle).drain(..) {
            parking.call();
        }
        self.ring.ring();
    }

    /// The baton, for a slot; waits, in `parking`, while other slots do better with it. What the
    /// slot has finished may be left to them. `None`: the worker ends.
    pub fn take(
        &self,
        waits: &impl Waits,
        finished: &mut Option<Finished>,
        parking: &Arc<Parking>,
    ) -> Option<Driver<'_, 'a>> {
        loop {
            match self.reach(finished, parking) {
                Reach::Taken(driver) => return Some(driver),
                Reach::Rests => waits.wait(parking),
                Reach::Comes => return Some(self.claim(waits)),
                Reach::Over => return None,
            }
        }
    }

    /// One attempt of [`Self::take`].
    pub(super) fn reach(
        &self,
        finished: &mut Option<Finished>,
        parking: &Arc<Parking>,
    ) -> Reach<'_, 'a> {
        if self.is_over() {
            return Reach::Over;
        }
        if let Some(reactor) = try_lock(&self.reactor) {
            return Reach::Taken(self.driver(reactor));
        }
        // Also if it is the stand-by thread that drives: another slot may be faster than this one to
        // take its place, and then drive for any time.
        if let Some(finished) = finished.take() {
            lock(&self.returned).push(finished);
            self.returns.fetch_add(1, Ordering::Release);
            self.ring.ring();
        }
        if !self.stand_by_drives.load(Ordering::SeqCst) {
            lock(&self.idle).push(Arc::clone(parking));
            // The stand-by thread looks at the list after it has said that it drives.
            if !self.stand_by_drives.load(Ordering::SeqCst) && !self.is_over() {
                return Reach::Rests;
            }
            lock(&self.idle).retain(|other| !Arc::ptr_eq(other, parking));
        }
        self.wanted.store(true, Ordering::SeqCst);
        self.ring.ring();
        Reach::Comes
    }

    /// The baton, after [`Reach::Comes`].
    pub(super) fn claim(&self, waits: &impl Waits) -> Driver<'_, 'a> {
        let reactor = waits.lock(&self.reactor);
        self.wanted.store(false, Ordering::SeqCst);
        self.driver(reactor)
    }

    /// Wakes the stand-by thread if it sleeps: a slot goes into the application. The caller's release
    /// of the baton has to be visible, which takes a fence.
    pub fn has_left(&self) {
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            self.stand_by.call();
        }
    }

    fn driver<'b>(&'b self, reactor: MutexGuard<'b, Reactor<'a>>) -> Driver<'b, 'a> {
        self.turn.store(self.turn.load(Ordering::Relaxed) + 1, Ordering::Release);
        Driver { baton: self, behind: false, reactor }
    }

    /// Has an idle slot drive, if there is one.
    fn call_idle(&self) -> bool {
        let parking = lock(&self.idle).pop();
        if let Some(parking) = &parking {
            self.behind.store(true, Ordering::SeqCst);
            parking.call();
        }
        parking.is_some()
    }
}

/// The part of the stand-by thread.
impl<'a> Baton<'a> {
    /// Waits for the next tick.
    pub fn tick(&self, tick: Duration) {
        self.stand_by.wait_at_most(tick);
    }

    /// How often the baton has changed hands; odd while somebody has it.
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::SeqCst)
    }

    /// Sleeps until a slot goes into the application, unless the baton has changed hands since `seen`.
    pub fn sleep(&self, seen: u64) {
        if self.lie_down(seen) {
            self.stand_by.wait();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Whether the stand-by thread may sleep, from which [`Self::has_left`] wakes it.
    pub(super) fn lie_down(&self, seen: u64) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        // The counterpart of the fence in front of `has_left`: one of the two sees the other.
        fence(Ordering::SeqCst);
        self.turn() == seen && !self.is_over()
    }

    /// Picks up the baton that lies there, or has a slot pick it up.
    pub fn pick_up(&self) -> Option<Driver<'_, 'a>> {
        if self.call_idle() || self.is_over() {
            return None;
        }
        let reactor = try_lock(&self.reactor)?;
        self.stand_by_drives.store(true, Ordering::SeqCst);
        Some(self.driver(reactor))
    }

    /// Whether a slot could drive in place of the stand-by thread.
    pub fn slot_is_free(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) || self.is_over() || self.call_idle()
    }
}

impl Driver<'_, '_> {
    pub fn ring(&self) -> &Ring {
        &self.baton.ring
    }

    /// Deals with what slots have answered that do not drive.
    pub fn finish_returned(&mut self) {
        if self.baton.returns.load(Ordering::Acquire) > 0 {
            self.baton.returns.store(0, Ordering::Relaxed);
            for finished in std::mem::take(&mut *lock(&self.baton.returned)) {
                self.reactor.finish(finished);
            }
        }
    }

    /// Looks for events if nobody has for a tick.
    ///
    /// # Errors
    /// Those of [`Reactor::poll`].
    pub fn refresh(&mut self) -> io::Result<()> {
        let baton = self.baton;
        if baton.behind.load(Ordering::Relaxed) && baton.behind.swap(false, Ordering::SeqCst) {
            self.behind = true;
            self.reactor.poll(Some(0))?;
        }
        Ok(())
    }

    /// Notes that nothing is left to do.
    pub fn caught_up(&mut self) {
        self.behind = false;
    }

    /// Gives the baton away. To be followed by [`Baton::has_left`] if the application is called.
    pub fn release(self) {
        let baton = self.baton;
        baton.turn.store(baton.turn.load(Ordering::Relaxed) + 1, Ordering::Release);
        let reactor = &self.reactor;
        // What else has waited for a tick does not wait for another.
        let pass_on = self.behind
            && (reactor.has_leftovers() || reactor.has_waiting() || reactor.is_pressed());
        drop(self.reactor);
        if pass_on {
            baton.call_idle();
        }
    }

    /// As [`Self::release`], for the stand-by thread.
    pub fn step_down(self) {
        self.baton.stand_by_drives.store(false, Ordering::SeqCst);
        self.release();
    }
}

/// A panic elsewhere ends the worker; until then the state is as good as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
mod tests;
