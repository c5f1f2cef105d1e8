//! The thread that looks after the event loop while all slots are in the application. It knows
//! nothing of Python.

use super::baton::{Baton, Driver};
use super::control::Control;
use super::requests::Requests;

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

/// Drives the event loop until a slot can.
fn drive(
    baton: &Baton<'_>,
    driver: &mut Driver<'_, '_>,
    control: &Control<'_>,
    requests: &Requests<'_>,
) -> std::io::Result<()> {
    loop {
        driver.reactor.gather(requests);
        control.attend(driver);
        if baton.slot_is_free() {
            return Ok(());
        }
        driver.poll(None)?;
    }
}
