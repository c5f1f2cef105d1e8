//! The thread that looks after the event loop while all slots are in the application. It knows
//! nothing of Python.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::baton::{Baton, Driver};
use super::control::Control;
use super::requests::Requests;
use super::serve::FAILED;
use crate::error::panic_text;
use crate::log;
use crate::sys::{process, time};

/// How long the baton may lie around, up to twice: the time that a ready request may have to wait
/// while a slot is idle.
const TICK: Duration = Duration::from_millis(1);
/// The same after a while in which requests took less than [`SHORT`] on average. A tick may cost as
/// much as one of them.
const LONG_TICK: Duration = Duration::from_millis(8);
const SHORT: Duration = Duration::from_micros(250);

/// How soon to look again whether there is room in the queue for what waits here, in nanoseconds.
const LOOK: u64 = 1_000_000;

/// How soon to look for connections that no other worker has taken in, in nanoseconds: at first, and
/// at most if there are none.
const FIRST_CALL: u64 = 5_000_000;
const LAST_CALL: u64 = 50_000_000;

/// What the thread works with.
pub struct StandBy<'w, 'a> {
    pub baton: &'w Baton<'a>,
    pub control: &'w Control<'w>,
    pub requests: &'w Requests<'w>,
}

/// What the stand-by thread has seen of the baton.
pub(super) struct Watch {
    seen: u64,
    /// Somebody has had it for a tick.
    still: bool,
    /// How long to wait for the next look.
    tick: Duration,
}

/// What is to be done after a tick.
pub(super) enum Look<'b, 'a> {
    /// Nothing: wait for the next one.
    Tick,
    /// Sleep unless the baton has changed hands since.
    Sleep(u64),
    Drive(Driver<'b, 'a>),
}

/// When to look for connections that no other worker has taken in.
pub(super) struct Calls {
    pause: u64,
    next: u64,
}

/// What a turn at the event loop led to.
pub(super) enum Turn {
    /// Events have to be waited for, until then.
    Wait(Option<u64>),
    /// A slot can drive.
    Over,
}

impl Watch {
    pub fn new() -> Self {
        Self { seen: 0, still: false, tick: TICK }
    }
}

impl Calls {
    pub fn new() -> Self {
        Self { pause: FIRST_CALL, next: time::monotonic_ns() + FIRST_CALL }
    }
}

impl<'w, 'a> StandBy<'w, 'a> {
    /// Looks after the event loop until the worker's end, which is at once if that fails.
    pub fn live(&self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run())) {
            let text = panic_text(panic.as_ref());
            tracing::error!("The worker failed inside of the server itself: {text}");
            self.control.end(FAILED);
            self.baton.ring();
        }
    }

    fn run(&self) {
        let baton = self.baton;
        let mut watch = Watch::new();
        while !baton.is_over() {
            baton.tick(watch.tick);
            match self.look(&mut watch) {
                Look::Tick => {}
                Look::Sleep(seen) => baton.sleep(seen),
                Look::Drive(mut driver) => {
                    if let Err(error) = self.drive(&mut driver) {
                        tracing::error!("The worker cannot wait for events: {error}");
                    }
                    self.step_down(driver, &mut watch);
                }
            }
        }
    }

    /// Looks at the baton after a tick.
    pub(super) fn look(&self, watch: &mut Watch) -> Look<'w, 'a> {
        let turn = self.baton.turn();
        if turn != watch.seen {
            let requests = u32::try_from((turn - watch.seen) / 2).unwrap_or(u32::MAX);
            let short = SHORT.saturating_mul(requests) >= watch.tick;
            let tick = if short { LONG_TICK.min(2 * watch.tick) } else { TICK };
            *watch = Watch { seen: turn, still: false, tick };
        } else if turn % 2 == 1 {
            // Somebody waits for events. Nothing to look after, unless that changes at once.
            watch.still = !watch.still;
            if !watch.still {
                watch.tick = TICK;
                return Look::Sleep(turn);
            }
        } else {
            watch.tick = TICK;
            if let Some(mut driver) = self.baton.pick_up() {
                // What comes in is for others; what is in already is handed to them.
                driver.reactor.set_busy(true);
                return Look::Drive(driver);
            }
        }
        Look::Tick
    }

    /// Gives the baton away.
    pub(super) fn step_down(&self, driver: Driver<'_, '_>, watch: &mut Watch) {
        driver.step_down();
        watch.seen = self.baton.turn();
    }

    /// Drives the event loop until a slot can.
    fn drive(&self, driver: &mut Driver<'_, '_>) -> io::Result<()> {
        let mut calls = Calls::new();
        while let Turn::Wait(until) = self.turn(driver, &mut calls, time::monotonic_ns()) {
            driver.reactor.poll(until)?;
        }
        Ok(())
    }

    /// Deals with what there is.
    pub(super) fn turn(&self, driver: &mut Driver<'_, '_>, calls: &mut Calls, now: u64) -> Turn {
        driver.reactor.gather(self.requests);
        if self.control.attend(driver) && self.control.is_stuck() {
            // The one slot does not come back.
            self.control.wait_for_reports();
            tracing::info!("Worker exiting (pid: {})", process::getpid());
            log::flush();
            process::exit_now(self.control.verdict().unwrap_or_default());
        }
        if self.baton.slot_is_free() {
            return Turn::Over;
        }
        if now >= calls.next {
            let found = driver.reactor.take_in_late(self.requests);
            calls.pause = if found { FIRST_CALL } else { LAST_CALL.min(2 * calls.pause) };
            calls.next = now + calls.pause;
        }
        let mut until = calls.next;
        if driver.reactor.has_waiting() && self.control.has_others() {
            driver.reactor.hand_over_waiting(self.requests);
            if driver.reactor.has_waiting() {
                // No room in the queue.
                until = until.min(now + LOOK);
            }
        }
        Turn::Wait(self.control.next_look().into_iter().chain([until]).min())
    }
}
