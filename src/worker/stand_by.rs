//! The thread that looks after the event loop while all slots are in the application. It knows
//! nothing of Python.

use std::io;

use super::baton::{Baton, Driver};
use super::control::Control;
use super::requests::Requests;
use crate::sys::time;

/// Looks after the event loop until the worker's end.
pub fn run(baton: &Baton<'_>, control: &Control<'_>, requests: &Requests<'_>) {
    let mut seen = baton.turn();
    let mut still = false;
    while !baton.is_over() {
        baton.tick();
        let turn = baton.turn();
        if turn != seen {
            seen = turn;
            still = false;
        } else if turn % 2 == 1 {
            // Somebody waits for events. Nothing to look after, unless that changes at once.
            if still {
                baton.sleep(seen);
            }
            still = !still;
        } else if let Some(mut driver) = baton.pick_up() {
            if let Err(error) = drive(baton, &mut driver, control, requests) {
                tracing::error!("The worker cannot wait for events: {error}");
            }
            driver.step_down();
            seen = baton.turn();
        }
    }
}

/// How soon to look again whether another worker has a slot for what waits here, in nanoseconds.
const LOOK: u64 = 1_000_000;

/// Drives the event loop until a slot can.
fn drive(
    baton: &Baton<'_>,
    driver: &mut Driver<'_, '_>,
    control: &Control<'_>,
    requests: &Requests<'_>,
) -> io::Result<()> {
    // What comes in is for others; what is in already is handed to them.
    driver.reactor.set_busy(true);
    loop {
        driver.reactor.gather(requests);
        control.attend(driver);
        if baton.slot_is_free() {
            return Ok(());
        }
        let mut until = control.next_look();
        if driver.reactor.has_waiting() {
            if control.others_are_idle() {
                driver.reactor.hand_over_waiting(requests);
            }
            if driver.reactor.has_waiting() {
                until = Some(time::monotonic_ns() + LOOK);
            }
        }
        driver.poll(until)?;
    }
}
