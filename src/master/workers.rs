//! What the master knows about its workers: pure book-keeping, used by the state machine.

use std::time::Duration;

use crate::sys::process::Pid;

/// How far a worker has come, as its slot in the scoreboard shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Forked; the application is being loaded.
    Booting,
    /// Serving.
    Ready,
    /// Leaving, as it was told or by its own decision.
    Retiring,
}

/// What a worker is inside of that must not take longer than the timeout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Its start, monotonic time.
    pub since: Duration,
    pub doing: Doing,
}

/// What the timeout limits. A thread of a gthread worker may be in a request for as long as it likes,
/// as in gunicorn: the others go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It is not ready yet.
    Starting,
    /// `GET /path`, possibly cut off: the request of a sync worker.
    Request(String),
    /// A sync worker waits for the interpreter lock.
    Waiting,
    /// A thread of a gthread worker waits for the interpreter lock; `oldest` is the request that has
    /// been in progress longest, of any thread.
    ThreadWaiting { oldest: Option<String> },
}

/// The steps against a worker that ran into the timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// It was sent SIGABRT, on which it logs its stacks; due: the dump from C.
    Aborted { due: Duration },
    /// It was sent the dump signal; due: SIGKILL.
    Dumped { due: Duration },
    /// It was sent SIGKILL.
    Killed,
}

/// Why this master sent a worker SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    Timeout,
    /// It outlived the time it was given to finish, in seconds.
    Grace(u64),
}

/// One child process.
#[derive(Clone, Debug)]
pub struct Worker {
    /// 1-based spawn counter; identifies the worker.
    pub age: u64,
    pub generation: u64,
    /// `None` between the decision to fork and the fork.
    pub pid: Option<Pid>,
    /// Time of the decision to fork, monotonic.
    pub started: Duration,
    pub phase: Phase,
    pub busy: Option<Busy>,
    /// It was told to go: as excess, as replaced, or because the server stops.
    pub dismissed: bool,
    /// A dismissed worker that never served anyone is killed at this time.
    pub kill_at: Option<Duration>,
    /// When a dismissed worker that is not ready is told once more.
    pub remind_at: Option<Duration>,
    pub stuck: Option<Stuck>,
    /// What ran into the timeout.
    pub overdue: Option<Doing>,
    pub killed: Option<Killed>,
    /// It has handled as many requests as it is to.
    pub spent: bool,
    /// So many times in a row it has been found to use too much memory.
    pub oversized: u32,
    /// It goes as soon as another one is ready in its place.
    pub outgoing: bool,
}

impl Worker {
    pub fn new(age: u64, generation: u64, now: Duration) -> Self {
        Self {
            age,
            generation,
            pid: None,
            started: now,
            phase: Phase::Booting,
            busy: None,
            dismissed: false,
            kill_at: None,
            remind_at: None,
            stuck: None,
            overdue: None,
            killed: None,
            spent: false,
            oversized: 0,
            outgoing: false,
        }
    }

    /// It counts for the size of the pool: nothing says that it will go.
    pub fn stays(&self) -> bool {
        !self.dismissed && self.stuck.is_none() && self.phase != Phase::Retiring
    }

    /// It was told to go while it loads the application, and may not have noticed.
    pub fn may_be_deaf(&self) -> bool {
        self.dismissed && !self.was_ready() && self.stuck.is_none() && self.killed.is_none()
    }

    /// It has been able to serve at some time.
    pub fn was_ready(&self) -> bool {
        self.phase != Phase::Booting
    }
}

/// All children, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    list: Vec<Worker>,
}

impl Workers {
    /// Ages only grow, so the newest goes last.
    pub fn push(&mut self, worker: Worker) {
        debug_assert!(self.list.last().is_none_or(|last| last.age < worker.age));
        self.list.push(worker);
    }

    pub fn by_age(&mut self, age: u64) -> Option<&mut Worker> {
        self.list.iter_mut().find(|worker| worker.age == age)
    }

    pub fn remove_age(&mut self, age: u64) -> Option<Worker> {
        self.remove(|worker| worker.age == age)
    }

    pub fn remove_pid(&mut self, pid: Pid) -> Option<Worker> {
        self.remove(|worker| worker.pid == Some(pid))
    }

    fn remove(&mut self, which: impl Fn(&Worker) -> bool) -> Option<Worker> {
        let index = self.list.iter().position(which)?;
        Some(self.list.remove(index))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Worker> {
        self.list.iter()
    }

    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Worker> {
        self.list.iter_mut()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How many satisfy `which`.
    pub fn count(&self, which: impl Fn(&Worker) -> bool) -> usize {
        self.list.iter().filter(|worker| which(worker)).count()
    }
}
