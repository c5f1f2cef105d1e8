//! How long the next fork waits while workers keep dying at birth.

use std::time::Duration;

/// First wait.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// Exponential back-off. Deaths that were under way when the wait was last set do not lengthen it:
/// four workers that fail together are one failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    current: Option<Wait>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    delay: Duration,
    set_at: Duration,
}

impl Backoff {
    /// Notes the crash of a worker started at `started`. Returns the new wait if it was lengthened.
    pub fn crashed(&mut self, started: Duration, now: Duration) -> Option<Duration> {
        let delay = match &self.current {
            None => FIRST,
            Some(wait) if started <= wait.set_at => return None,
            Some(wait) => (wait.delay * 2).min(LONGEST),
        };
        self.current = Some(Wait { delay, set_at: now });
        Some(delay)
    }

    /// Whether the health of a worker started at `started` would end the back-off.
    pub fn is_tested_by(&self, started: Duration) -> bool {
        self.current.as_ref().is_some_and(|wait| started > wait.set_at)
    }

    /// The next crash is a first one again.
    pub fn reset(&mut self) {
        self.current = None;
    }

    /// The time before which nothing may be forked.
    pub fn until(&self) -> Option<Duration> {
        self.current.as_ref().map(|wait| wait.set_at + wait.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_per_round_up_to_half_a_minute_and_resets() {
        let mut backoff = Backoff::default();
        let mut now = Duration::from_secs(1);
        let mut waits = Vec::new();
        for _ in 0..11 {
            let started = now;
            now += Duration::from_millis(10);
            waits.extend(backoff.crashed(started, now));
            // The others of the same round change nothing.
            assert_eq!(backoff.crashed(started, now + Duration::from_millis(1)), None);
            now = backoff.until().unwrap();
        }
        let millis: Vec<_> = waits.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);

        // Only a worker started since then proves anything.
        assert!(!backoff.is_tested_by(Duration::ZERO));
        assert!(backoff.is_tested_by(now));
        backoff.reset();
        assert_eq!(backoff.until(), None);
        assert_eq!(backoff.crashed(now, now), Some(FIRST));
    }
}
