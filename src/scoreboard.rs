//! The scoreboard: what each worker is doing, in memory shared with the master.
//!
//! A worker may die between any two instructions, so nothing here is locked and a reader takes
//! whatever it finds: the worst case is a request line that mixes two requests.

mod bell;
mod mark;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use zerocopy::FromBytes;

use crate::config::MOST_THREADS;
use crate::sys::shm::Shared;
pub use bell::{Bell, StopFlag};
use mark::Doing;
pub use mark::Mark;

/// Marks of a worker, one per thread. Those that are never written take addresses, but no memory.
const MARKS: usize = MOST_THREADS;

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
        Ok(Self { slots: Shared::new(slots)? })
    }

    /// The one that another program had in this process.
    ///
    /// # Errors
    /// It is something else, or has another number of slots.
    pub fn adopt(file: OwnedFd, slots: usize) -> io::Result<Self> {
        Ok(Self { slots: Shared::adopt(file, slots)? })
    }

    /// For [`Self::adopt`].
    ///
    /// # Errors
    /// It cannot be passed on ([`Shared::file`]).
    pub fn file(&self) -> io::Result<OwnedFd> {
        self.slots.file()
    }

    /// In a forked worker: what only [`Self::file`] needs is closed.
    pub fn close(&self) {
        self.slots.close();
    }

    /// Bytes of a slot: programs that disagree about that cannot share a scoreboard.
    #[must_use]
    pub const fn slot_size() -> usize {
        size_of::<Slot>()
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

    /// Whether more than one worker takes requests.
    #[must_use]
    pub fn has_several_ready(&self) -> bool {
        let ready = self.slots.iter().filter(|slot| slot.state() == State::Ready);
        ready.take(2).count() == 2
    }
}

/// How a worker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One request at a time, in its main thread.
    Sync,
    /// One request per thread, in so many threads.
    Threads(usize),
}

impl Mode {
    /// How many marks are in use.
    fn marks(self) -> usize {
        match self {
            Self::Sync => 1,
            Self::Threads(threads) => threads.min(MARKS),
        }
    }
}

/// The place of one worker. Written by that worker, and by the master only while no worker owns it.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct Slot {
    age: AtomicU64,
    generation: AtomicU64,
    /// 0 = sync.
    threads: AtomicU64,
    pid: AtomicU32,
    state: AtomicU32,
    /// 1: it has handled as many requests as it is to.
    spent: AtomicU32,
    // Keeps what changes with each request off the cache line above.
    spare: [AtomicU32; 7],
    queue: Queue,
    marks: [Mark; MARKS],
}

/// What a worker tells of its part in the queue. All threads write it.
#[derive(FromBytes)]
#[repr(C, align(64))]
struct Queue {
    last_wait: AtomicU64,
    longest_wait: AtomicU64,
    shed: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    spare: [AtomicU64; 3],
}

/// What a slot held at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// 0 until the worker has said who it is.
    pub pid: u32,
    pub age: u64,
    pub generation: u64,
    pub state: State,
    /// It serves, but has handled as many requests as it is to.
    pub spent: bool,
    pub mode: Mode,
    /// Of the requests in progress the one that began first.
    pub request: Option<RequestView>,
    /// `CLOCK_MONOTONIC` ns since when a thread has been waiting for the interpreter: of several the
    /// longest wait.
    pub waiting_since: Option<u64>,
    /// Requests begun since the slot was reset.
    pub requests: u64,
    pub queue: QueueView,
}

/// A request in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// `CLOCK_MONOTONIC` ns.
    pub since: u64,
    /// Method and target, printable, possibly cut.
    pub line: String,
}

/// What the worker has told of its part in the queue since the slot was reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueView {
    /// How long the request that was taken last had waited, ns.
    pub last_wait: u64,
    /// The longest wait of any request, ns.
    pub longest_wait: u64,
    /// Requests turned away because they had waited too long.
    pub shed: u64,
    /// Connections given to other workers.
    pub sent: u64,
    /// Connections taken over from other workers.
    pub received: u64,
}

impl Slot {
    /// Makes the slot that of a new worker, in `State::Booting`. For the master, before the fork.
    pub fn reset(&self, age: u64, generation: u64, mode: Mode) {
        self.age.store(age, Ordering::Relaxed);
        self.generation.store(generation, Ordering::Relaxed);
        let threads = match mode {
            Mode::Sync => 0,
            Mode::Threads(threads) => threads as u64,
        };
        self.threads.store(threads, Ordering::Relaxed);
        self.pid.store(0, Ordering::Relaxed);
        self.spent.store(0, Ordering::Relaxed);
        self.queue.reset();
        // The others are not read, and clearing them would give them memory.
        self.used_marks().iter().for_each(Mark::reset);
        self.set_state(State::Booting);
    }

    /// Gives the slot back. For the master, once the worker has been reaped.
    pub fn free(&self) {
        self.used_marks().iter().for_each(Mark::end_request);
        self.set_state(State::Free);
    }

    /// For the worker, first thing after the fork.
    pub fn set_pid(&self, pid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
    }

    /// The worker has handled as many requests as it is to, and serves until it is replaced.
    pub fn set_spent(&self) {
        self.spent.store(1, Ordering::Release);
    }

    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Acquire) != 0
    }

    pub fn set_state(&self, state: State) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// The mark of one of the worker's threads; a sync worker has number 0.
    ///
    /// # Panics
    /// If `thread` is not below [`MOST_THREADS`].
    #[must_use]
    pub fn mark(&self, thread: usize) -> &Mark {
        &self.marks[thread]
    }

    /// Notes how long a request waited for a thread.
    pub fn note_wait(&self, waited_ns: u64) {
        self.queue.last_wait.store(waited_ns, Ordering::Relaxed);
        if waited_ns > self.queue.longest_wait.load(Ordering::Relaxed) {
            self.queue.longest_wait.fetch_max(waited_ns, Ordering::Relaxed);
        }
    }

    /// Counts a request that was turned away because it had waited too long.
    pub fn note_shed(&self) {
        self.queue.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection given to the other workers.
    pub fn note_sent(&self) {
        self.queue.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection taken over from another worker.
    pub fn note_received(&self) {
        self.queue.received.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the slot is that of the worker of this age.
    #[must_use]
    pub fn is_of(&self, age: u64) -> bool {
        self.age.load(Ordering::Relaxed) == age && self.state() != State::Free
    }

    /// 0 until the worker has said who it is.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn is_retiring(&self) -> bool {
        self.state() == State::Retiring
    }

    /// Whether the worker has been ready to serve.
    #[must_use]
    pub fn has_served(&self) -> bool {
        matches!(self.state(), State::Ready | State::Retiring)
    }

    /// Requests begun since the slot was reset.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.used_marks().iter().map(Mark::requests).fold(0, u64::wrapping_add)
    }

    /// Since when (`CLOCK_MONOTONIC` ns) the worker has been in what its `timeout` limits.
    #[must_use]
    pub fn busy_since(&self) -> Option<u64> {
        let since = |mark: &Mark| match (mark.doing(), self.mode()) {
            (Doing::Waiting(since), _) | (Doing::Request(since), Mode::Sync) => Some(since),
            (Doing::Nothing, _) | (Doing::Request(_), Mode::Threads(_)) => None,
        };
        self.used_marks().iter().filter_map(since).min()
    }

    /// The request of a sync worker makes progress: it counts as begun now.
    pub fn renew_request(&self, now_ns: u64) {
        if self.mode() == Mode::Sync {
            self.mark(0).renew_request(now_ns);
        }
    }

    fn state(&self) -> State {
        State::from_stored(self.state.load(Ordering::Acquire))
    }

    fn mode(&self) -> Mode {
        match self.threads.load(Ordering::Relaxed) {
            0 => Mode::Sync,
            threads => Mode::Threads(usize::try_from(threads).unwrap_or(MARKS)),
        }
    }

    fn used_marks(&self) -> &[Mark] {
        &self.marks[..self.mode().marks()]
    }

    #[must_use]
    pub fn view(&self) -> SlotView {
        let mut request: Option<(u64, &Mark)> = None;
        let mut waiting_since: Option<u64> = None;
        for mark in self.used_marks() {
            match mark.doing() {
                Doing::Nothing => {}
                Doing::Request(since) if request.is_some_and(|(first, _)| first <= since) => {}
                Doing::Request(since) => request = Some((since, mark)),
                Doing::Waiting(since) => {
                    waiting_since = Some(waiting_since.map_or(since, |first| first.min(since)));
                }
            }
        }
        SlotView {
            pid: self.pid(),
            age: self.age.load(Ordering::Relaxed),
            generation: self.generation.load(Ordering::Relaxed),
            state: self.state(),
            spent: self.is_spent(),
            mode: self.mode(),
            request: request.map(|(since, mark)| RequestView { since, line: mark.read_line() }),
            waiting_since,
            requests: self.requests(),
            queue: self.queue.view(),
        }
    }
}

impl Queue {
    fn reset(&self) {
        for counter in [&self.last_wait, &self.longest_wait, &self.shed, &self.sent, &self.received]
        {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn view(&self) -> QueueView {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        QueueView {
            last_wait: read(&self.last_wait),
            longest_wait: read(&self.longest_wait),
            shed: read(&self.shed),
            sent: read(&self.sent),
            received: read(&self.received),
        }
    }
}

#[cfg(test)]
mod tests;
