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
use crate::sys::{process, time};

/// How long the baton may lie around, up to twice: the time that a ready request may have to wait
/// while a slot is idle.
const TICK: Duration = Duration::from_micros(500);
/// The same while requests are so short that the baton changes hands so often in a tick: then the
/// ticks would cost as much as some of them.
const LONG_TICK: Duration = Duration::from_millis(1);
const OFTEN: u64 = 16;

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

impl StandBy<'_, '_> {
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
        let mut seen = baton.turn();
        let mut still = false;
        let mut tick = TICK;
        while !baton.is_over() {
            baton.tick(tick);
            let turn = baton.turn();
            if turn != seen {
                tick = if turn - seen < OFTEN { TICK } else { LONG_TICK };
                seen = turn;
                still = false;
            } else if turn % 2 == 1 {
                // Somebody waits for events. Nothing to look after, unless that changes at once.
                if still {
                    baton.sleep(seen);
                }
                still = !still;
            } else if let Some(mut driver) = baton.pick_up() {
                if let Err(error) = self.drive(&mut driver) {
                    tracing::error!("The worker cannot wait for events: {error}");
                }
                driver.step_down();
                seen = baton.turn();
            }
        }
    }

    /// Drives the event loop until a slot can.
    fn drive(&self, driver: &mut Driver<'_, '_>) -> io::Result<()> {
        // What comes in is for others; what is in already is handed to them.
        driver.reactor.set_busy(true);
        let mut pause = FIRST_CALL;
        let mut call = time::monotonic_ns() + pause;
        loop {
            driver.reactor.gather(self.requests);
            if self.control.attend(driver) && self.control.is_stuck() {
                // The one slot does not come back.
                self.control.wait_for_reports();
                tracing::info!("Worker exiting (pid: {})", process::getpid());
                process::exit_now(self.control.verdict().unwrap_or_default());
            }
            if self.baton.slot_is_free() {
                return Ok(());
            }
            let now = time::monotonic_ns();
            if now >= call {
                let found = driver.reactor.take_in_late(self.requests);
                pause = if found { FIRST_CALL } else { LAST_CALL.min(2 * pause) };
                call = now + pause;
            }
            let mut until = call;
            if driver.reactor.has_waiting() && self.control.has_others() {
                driver.reactor.hand_over_waiting(self.requests);
                if driver.reactor.has_waiting() {
                    // No room in the queue.
                    until = until.min(now + LOOK);
                }
            }
            let until = self.control.next_look().into_iter().chain([until]).min();
            driver.poll(until)?;
        }
    }
}
