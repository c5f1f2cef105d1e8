//! A captured output stream: a thread reads it, tests wait for text in it.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::wait::BOUND;

#[derive(Default)]
struct State {
    text: Vec<u8>,
    ended: bool,
}

/// Everything a process and its children wrote to one of their streams so far.
#[derive(Clone, Default)]
pub struct Output {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Output {
    /// Starts reading `stream` until its end, which comes when the last process holding it ends.
    pub fn capture(mut stream: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let writer = output.clone();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let count = stream.read(&mut chunk).unwrap_or(0);
                let (state, changed) = &*writer.shared;
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.text.extend_from_slice(&chunk[..count]);
                state.ended = count == 0;
                changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        output
    }

    pub fn text(&self) -> String {
        let state = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&state.text).into_owned()
    }

    /// A position to wait from: what is there now is not looked at again.
    pub fn mark(&self) -> usize {
        self.text().len()
    }

    /// The text from a position on.
    pub fn since(&self, mark: usize) -> String {
        self.text().split_off(mark)
    }

    /// Waits until `found` answers for the text after `mark`; fails the test after `bound`, or
    /// when the stream ends first.
    #[track_caller]
    pub fn wait_until<T>(
        &self,
        bound: Duration,
        mark: usize,
        what: &str,
        found: impl Fn(&str) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + bound;
        let (state, changed) = &*self.shared;
        let mut guard = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let text = String::from_utf8_lossy(&guard.text).into_owned();
            if let Some(answer) = found(text.get(mark..).unwrap_or_default()) {
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = guard.ended;
            if ended || left.is_zero() {
                drop(guard);
                let why = if ended { "the output ended".into() } else { format!("{bound:?} over") };
                panic!("{why} while waiting for {what}; the output was:\n{text}");
            }
            guard = changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for `needle` anywhere after `mark` and returns the line it is in.
    #[track_caller]
    pub fn wait_for_since(&self, mark: usize, needle: &str) -> String {
        self.wait_until(BOUND, mark, &format!("`{needle}`"), |text| line_with(text, needle))
    }

    /// Waits for `needle` anywhere in the output and returns the line it is in.
    #[track_caller]
    pub fn wait_for(&self, needle: &str) -> String {
        self.wait_for_since(0, needle)
    }

    /// Waits until `needle` occurs `count` times.
    #[track_caller]
    pub fn wait_for_count(&self, needle: &str, count: usize) {
        self.wait_until(BOUND, 0, &format!("{count} times `{needle}`"), |text| {
            (text.matches(needle).count() >= count).then_some(())
        });
    }

    /// Waits for the end of the stream and returns all of it.
    #[track_caller]
    pub fn wait_end(&self, bound: Duration) -> String {
        let deadline = Instant::now() + bound;
        let (state, changed) = &*self.shared;
        let mut guard = state.lock().unwrap_or_else(PoisonError::into_inner);
        while !guard.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "a process still holds the output after {bound:?}");
            guard = changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        String::from_utf8_lossy(&guard.text).into_owned()
    }
}

/// The complete line that holds `needle`. A line without its end is still being written, so it is
/// not there yet.
fn line_with(text: &str, needle: &str) -> Option<String> {
    text.split_inclusive('\n')
        .find(|line| line.contains(needle) && line.ends_with('\n'))
        .map(|line| line.trim_end_matches('\n').to_owned())
}
