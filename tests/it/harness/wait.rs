//! Waiting for facts that announce themselves nowhere, such as a process that is gone.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that takes milliseconds on an idle machine. Generous,
/// because it only matters when the test is about to fail.
pub const BOUND: Duration = Duration::from_secs(20);

/// Asks `probe` every few milliseconds until it answers; fails the test after `bound`.
#[track_caller]
pub fn until<T>(bound: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {bound:?} for {what}");
        thread::sleep(Duration::from_millis(3));
    }
}
