//! What one thread of a worker is doing.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use zerocopy::FromBytes;

/// Bytes kept of a request line; what is longer is cut.
pub(super) const LINE: usize = 232;
/// How often a reader looks again when it catches a worker writing its request line. A worker that
/// died while writing never finishes.
const LOOKS: usize = 100;
/// The bit of `since` that makes a wait of it. As a time it would be centuries ahead.
const WAITING: u64 = 1 << 63;

/// The mark of one thread, written by that thread alone (but for [`Mark::renew_request`]): load and
/// store do, nothing has to be added in one step.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Mark {
    /// `CLOCK_MONOTONIC` ns, with `WAITING`; 0 = idle.
    since: AtomicU64,
    /// Requests begun.
    requests: AtomicU64,
    /// A counter in the upper half, odd while `line` is being written; its length in the lower half.
    pub(super) stamp: AtomicU64,
    line: [AtomicU64; LINE / 8],
}

/// What a thread is doing, and since when (`CLOCK_MONOTONIC` ns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    Request(u64),
    Waiting(u64),
}

impl Mark {
    /// Marks the thread busy since `now_ns` (`CLOCK_MONOTONIC`, not 0) with this request.
    pub fn begin_request(&self, now_ns: u64, method: &[u8], target: &[u8]) {
        let requests = self.requests.load(Ordering::Relaxed);
        self.requests.store(requests.wrapping_add(1), Ordering::Relaxed);
        self.write_line(method, target);
        self.since.store(now_ns & !WAITING, Ordering::Release);
    }

    /// Marks the thread busy since `now_ns` without a request: it waits for the interpreter.
    pub fn begin_wait(&self, now_ns: u64) {
        self.since.store(now_ns | WAITING, Ordering::Release);
    }

    /// Marks the thread idle, after a request or a wait.
    pub fn end_request(&self) {
        self.since.store(0, Ordering::Release);
    }

    /// A request in progress counts as begun at `now_ns`. From any thread.
    pub fn renew_request(&self, now_ns: u64) {
        let since = self.since.load(Ordering::Relaxed);
        if since != 0 && since & WAITING == 0 {
            // If the request has ended meanwhile, there is nothing to renew.
            let _ = self.since.compare_exchange(
                since,
                now_ns & !WAITING,
                Ordering::Release,
                Ordering::Relaxed,
            );
        }
    }

    /// Since when a request has been under way, if one is.
    #[must_use]
    pub fn request_since(&self) -> Option<u64> {
        match self.doing() {
            Doing::Request(since) => Some(since),
            Doing::Nothing | Doing::Waiting(_) => None,
        }
    }

    /// Method and target of the last request, printable, possibly cut.
    #[must_use]
    pub fn line(&self) -> String {
        self.read_line()
    }

    pub(super) fn reset(&self) {
        self.since.store(0, Ordering::Relaxed);
        self.requests.store(0, Ordering::Relaxed);
        self.stamp.store(0, Ordering::Relaxed);
    }

    pub(super) fn doing(&self) -> Doing {
        match self.since.load(Ordering::Acquire) {
            0 => Doing::Nothing,
            since if since & WAITING == 0 => Doing::Request(since),
            since => Doing::Waiting(since & !WAITING),
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn write_line(&self, method: &[u8], target: &[u8]) {
        let mut line = [0; LINE];
        let mut len = 0;
        for part in [method, b" ", target] {
            let count = part.len().min(LINE - len);
            line[len..len + count].copy_from_slice(&part[..count]);
            len += count;
        }
        // A sequence lock (Boehm, "Can seqlocks get along with programming language memory models?").
        let turn = (self.stamp.load(Ordering::Relaxed) >> 32) | 1;
        self.stamp.store(turn << 32, Ordering::Relaxed);
        fence(Ordering::Release);
        let (words, _) = line.as_chunks();
        for (stored, word) in self.line.iter().zip(&words[..len.div_ceil(8)]) {
            stored.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        let turn = turn.wrapping_add(1) & u64::from(u32::MAX);
        self.stamp.store(turn << 32 | len as u64, Ordering::Release);
    }

    /// Method and target of the last request begun, printable, possibly cut.
    pub(super) fn read_line(&self) -> String {
        let mut looks = 0;
        loop {
            let (line, whole) = self.look();
            looks += 1;
            if whole || looks == LOOKS {
                return printable(&line);
            }
            std::thread::yield_now();
        }
    }

    /// The line as it is now, and whether it is surely that of one request.
    pub(super) fn look(&self) -> (Vec<u8>, bool) {
        let mut line = vec![0; LINE];
        let stamp = self.stamp.load(Ordering::Acquire);
        for (word, stored) in line.as_chunks_mut().0.iter_mut().zip(&self.line) {
            *word = stored.load(Ordering::Relaxed).to_ne_bytes();
        }
        fence(Ordering::Acquire);
        let unchanged = self.stamp.load(Ordering::Relaxed) == stamp;
        line.truncate(usize::try_from(stamp & u64::from(u32::MAX)).unwrap_or(LINE));
        (line, unchanged && stamp >> 32 & 1 == 0)
    }
}

/// A client chose these bytes: none of them may start a new line where they are shown.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for symbol in String::from_utf8_lossy(bytes).chars() {
        if symbol.is_control() {
            text.extend(symbol.escape_default());
        } else {
            text.push(symbol);
        }
    }
    text
}
