//! The scoreboard: what each worker is doing, in memory shared with the master.
//!
//! A worker may die between any two instructions, so nothing here is locked and a reader takes
//! whatever it finds: the worst case is a request line that mixes two requests.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use zerocopy::FromBytes;

use crate::sys::ring::Ring;
use crate::sys::shm::Shared;

/// Bytes kept of a request line; what is longer is cut.
const LINE: usize = 240;
/// Requests a worker can be in at the same time.
const MARKS: usize = 1;
/// How often a reader looks again when it catches a worker writing its request line. A worker that
/// died while writing never finishes.
const LOOKS: usize = 100;

/// What a worker is about, as far as the master cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No worker owns the slot.
    Free = 0,
    /// Forked, not yet able to serve.
    Booting = 1,
    /// Serves requests.
    Ready = 2,
    /// Finishes what it has and leaves.
    Retiring = 3,
}

impl State {
    fn from_stored(value: u32) -> Self {
        match value {
            1 => Self::Booting,
            2 => Self::Ready,
            3 => Self::Retiring,
            _ => Self::Free,
        }
    }
}

/// One slot per worker, visible to the master and to every worker forked later.
pub struct Scoreboard {
    slots: Shared<Slot>,
}

impl Scoreboard {
    /// # Errors
    /// What the kernel answered when it was asked for the memory; `slots` must not be 0.
    pub fn new(slots: usize) -> io::Result<Self> {
        Ok(Self { slots: Shared::new("rgunicorn-scoreboard", slots)? })
    }

    /// # Panics
    /// If `index` is not below `len()`.
    #[must_use]
    pub fn slot(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

/// The place of one worker. Written by that worker, and by the master only while no worker owns it.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Slot {
    age: AtomicU64,
    generation: AtomicU64,
    requests: AtomicU64,
    pid: AtomicU32,
    state: AtomicU32,
    // Keeps what changes with each request off the cache line above.
    spare: [AtomicU64; 4],
    marks: [Mark; MARKS],
}

/// One request in progress.
#[derive(FromBytes)]
#[repr(C)]
struct Mark {
    /// `CLOCK_MONOTONIC` ns, 0 = idle.
    since: AtomicU64,
    /// A counter in the upper half, odd while `line` is being written; its length in the lower half.
    stamp: AtomicU64,
    line: [AtomicU64; LINE / 8],
}

/// What a slot held at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// 0 until the worker has said who it is.
    pub pid: u32,
    pub age: u64,
    pub generation: u64,
    pub state: State,
    /// `CLOCK_MONOTONIC` ns at which the request in progress began, 0 = idle.
    pub busy_since: u64,
    /// Requests begun since the slot was reset.
    pub requests: u64,
    /// Method and target of the last request begun, printable, possibly cut; empty before the first.
    pub request_line: String,
}

impl Slot {
    /// Makes the slot that of a new worker, in `State::Booting`. For the master, before the fork.
    pub fn reset(&self, age: u64, generation: u64) {
        self.age.store(age, Ordering::Relaxed);
        self.generation.store(generation, Ordering::Relaxed);
        self.requests.store(0, Ordering::Relaxed);
        self.pid.store(0, Ordering::Relaxed);
        for mark in &self.marks {
            mark.since.store(0, Ordering::Relaxed);
            mark.stamp.store(0, Ordering::Relaxed);
        }
        self.set_state(State::Booting);
    }

    /// Gives the slot back. For the master, once the worker has been reaped.
    pub fn free(&self) {
        self.marks[0].since.store(0, Ordering::Relaxed);
        self.set_state(State::Free);
    }

    /// For the worker, first thing after the fork.
    pub fn set_pid(&self, pid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
    }

    pub fn set_state(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// Marks the worker busy since `now_ns` (`CLOCK_MONOTONIC`, not 0) with this request.
    pub fn begin_request(&self, now_ns: u64, method: &[u8], target: &[u8]) {
        // Only this worker writes here: load and store do, no read-modify-write needed.
        let requests = self.requests.load(Ordering::Relaxed);
        self.requests.store(requests.wrapping_add(1), Ordering::Relaxed);
        let mark = &self.marks[0];
        mark.write_line(method, target);
        mark.since.store(now_ns, Ordering::Release);
    }

    /// Marks the worker busy since `now_ns` without a request: it waits for the interpreter.
    pub fn begin_wait(&self, now_ns: u64) {
        let mark = &self.marks[0];
        mark.write_line(b"", b"");
        mark.since.store(now_ns, Ordering::Release);
    }

    /// Marks the worker idle.
    pub fn end_request(&self) {
        self.marks[0].since.store(0, Ordering::Release);
    }

    #[must_use]
    pub fn view(&self) -> SlotView {
        let mark = &self.marks[0];
        SlotView {
            pid: self.pid.load(Ordering::Relaxed),
            age: self.age.load(Ordering::Relaxed),
            generation: self.generation.load(Ordering::Relaxed),
            state: State::from_stored(self.state.load(Ordering::Acquire)),
            busy_since: mark.since.load(Ordering::Acquire),
            requests: self.requests.load(Ordering::Relaxed),
            request_line: mark.read_line(),
        }
    }
}

impl Mark {
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

    fn read_line(&self) -> String {
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
    fn look(&self) -> (Vec<u8>, bool) {
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

/// Wakes the sleeping master, so that it need not look at regular intervals.
///
/// The master that is about to sleep without a deadline calls `arm`, looks at the scoreboard once
/// more, then sleeps. A worker writes to its slot, then calls `ring_if_armed`. One of the two sees
/// the other.
pub struct Bell {
    ring: Ring,
    armed: Shared<AtomicU32>,
}

impl Bell {
    /// # Errors
    /// What the kernel answered: no descriptor or no memory left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { ring: Ring::new()?, armed: Shared::new("rgunicorn-bell", 1)? })
    }

    pub fn arm(&self) {
        self.armed[0].store(1, Ordering::Relaxed);
        // What the master reads after this, it reads after the store is visible.
        fence(Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.armed[0].store(0, Ordering::Relaxed);
    }

    /// Wakes the master.
    pub fn ring(&self) {
        self.ring.ring();
    }

    /// Wakes the master if it sleeps without a deadline. Called once per request.
    pub fn ring_if_armed(&self) {
        // The counterpart of the fence in `arm`; without it the load could pass the worker's stores.
        fence(Ordering::SeqCst);
        let armed = &self.armed[0];
        if armed.load(Ordering::Relaxed) != 0 && armed.swap(0, Ordering::Relaxed) != 0 {
            self.ring();
        }
    }

    /// Silences the bell.
    pub fn drain(&self) {
        self.ring.silence();
    }

    /// Readable while the bell rings.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.ring.fd()
    }
}

#[cfg(test)]
mod tests;
