//! Waiting for facts that announce themselves nowhere, such as a process that is gone.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that takes milliseconds on an idle machine. Generous,
/// because it only matters when the test is about to fail.
pub const BOUND: Duration = Duration::from_secs(20);

/// Asks `probe` every few milliseconds until it answers, for at most `bound`.
pub fn poll<T>(bound: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// Like [`poll`], but fails the test when there is no answer in time.
#[track_caller]
pub fn until<T>(bound: Duration, what: &str, probe: impl FnMut() -> Option<T>) -> T {
    poll(bound, probe).unwrap_or_else(|| panic!("waited {bound:?} for {what}"))
}
