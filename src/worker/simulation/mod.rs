//! Several workers with all their slots, clients, the hand-off queue, and accidents, in one thread and
//! in any order.
//!
//! Event loops, baton, queue, scoreboard and sockets are real, and so is what slots and stand-bys do
//! per turn; simulated are the threads, the passing of time, the application and the clients.

mod checks;
mod client;
mod ground;
mod life;
mod world;

use crate::sys::testing::alone;

/// Steps of a test run, unless `SIMULATION_STEPS` says otherwise.
const STEPS: u64 = 150_000;
/// Steps with the same workers, clients and settings.
const RUN: u64 = 1_000;

#[test]
fn no_request_waits_while_a_slot_is_idle_and_every_connection_has_one_owner() {
    let name = concat!(
        "worker::simulation::",
        "no_request_waits_while_a_slot_is_idle_and_every_connection_has_one_owner"
    );
    // It counts descriptors.
    alone(name, || {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
        let steps: u64 = number("SIMULATION_STEPS").unwrap_or(STEPS);
        let first: u64 = number("SIMULATION_SEED").unwrap_or(1);
        let mut total = ground::Tally::default();
        for seed in first..first + steps.div_ceil(RUN) {
            total.add(&world::run(seed, RUN));
        }
        total.check(steps);
    });
}
