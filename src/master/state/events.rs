//! What goes into the state machine and what comes out.

use std::time::Duration;

use crate::master::workers::{Busy, Phase};
use crate::sys::oom::Kills;
use crate::sys::process::{Ended, Pid};
use crate::sys::signal::Signal;

/// What the configuration says about supervision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Size of the pool.
    pub workers: usize,
    /// How long a worker may be busy with one thing ([`Busy`]); `None` for as long as it likes.
    pub timeout: Option<Duration>,
    /// How long workers may take to finish when the server stops.
    pub graceful_timeout: Duration,
    /// How long a worker may take to get ready; `None` for as long as it likes.
    pub boot_timeout: Option<Duration>,
    /// When workers are replaced although nothing is wrong with them.
    pub recycling: Recycling,
    /// It has no terminal, so WINCH is not about a window.
    pub daemon: bool,
    /// How long the server goes on after TERM before it begins to stop.
    pub shutdown_delay: Duration,
}

/// How the server stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No worker has been ready yet.
    Starting,
    Serving,
    /// As `Serving`, while a reload has yet to prove that it works.
    Reloading,
    Stopping,
}

/// What workers are replaced for in time, before anything is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recycling {
    /// Resident memory in bytes.
    pub memory: Option<u64>,
    pub lifetime: Option<Duration>,
    /// The most that is added to the lifetime.
    pub jitter: Duration,
    /// How many are replaced at a time, at least.
    pub most: usize,
}

/// What one slot of the scoreboard shows.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Which worker (see [`crate::master::workers::Worker::age`]).
    pub age: u64,
    pub phase: Phase,
    pub busy: Option<Busy>,
    /// It has handled as many requests as it is to.
    pub spent: bool,
    /// Its resident memory in bytes, if [`State::samples_memory`] asked for it.
    ///
    /// [`State::samples_memory`]: super::State::samples_memory
    pub memory: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// The listeners are open: workers may be forked.
    Started,
    Signal(Signal),
    /// [`Action::Spawn`] was done.
    Forked {
        age: u64,
        pid: Pid,
    },
    /// [`Action::Spawn`] could not be done; a sentence why.
    ForkFailed {
        age: u64,
        /// `None` if that has been told already.
        why: Option<String>,
    },
    /// How often the kernel's OOM killer has struck: due at the start, and before each
    /// [`Event::Ended`].
    OomKills(Option<Kills>),
    /// A child was reaped.
    Ended {
        pid: Pid,
        how: Ended,
    },
    /// A fresh look at the scoreboard: due whenever the master wakes up.
    Seen(Vec<Sight>),
    /// [`Action::ReadConfig`] was done; the new configuration is in force for what is forked next.
    ConfigRead(Policy),
    /// [`Action::ReadConfig`] failed and everything is as it was; a sentence why.
    ConfigRefused(String),
    /// [`Action::ReadConfig`] takes a new program in the place of the master's, which this process checks.
    CheckStarted(Pid),
    /// Performing the last actions has taken so long: whoever was told something was told it later.
    Delayed(Duration),
    /// The master has slept for so much longer than it was to: it was stopped or frozen, and perhaps all workers
    /// with it.
    Absent(Duration),
    /// A hook has asked for so many workers.
    Resized(usize),
    /// A hook has failed, which the log tells of: the server stops at once, with this status.
    Failed(i32),
    /// [`Action::StartSuccessor`] was done.
    SuccessorStarted(Pid),
    /// [`Action::StartSuccessor`] could not be done; a sentence why.
    SuccessorFailed(String),
    /// The master that this one is the successor of has ended.
    PredecessorEnded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Log(Level, String),
    /// Fork a worker; answered by [`Event::Forked`] or [`Event::ForkFailed`].
    Spawn {
        age: u64,
        generation: u64,
    },
    Kill {
        pid: Pid,
        signal: Signal,
    },
    /// This check has ended: nothing that it has started is to outlive it.
    EndGroup(Pid),
    /// Collect the children that have ended, each as an [`Event::Ended`].
    Reap,
    /// The worker is gone: its slot is free.
    Release {
        age: u64,
        /// The hook `child_exit` is due.
        exited: bool,
    },
    /// A signal has changed the size of the pool.
    Resized(usize),
    ReopenLogs,
    /// Answered by [`Event::ConfigRead`], [`Event::ConfigRefused`] or [`Event::CheckStarted`].
    ReadConfig,
    /// The check has failed, and the reload with it.
    TellCheck {
        how: Ended,
        /// It took longer than that.
        late: Option<Duration>,
    },
    /// The generation of the last [`Event::ConfigRead`] works: the configuration before it may be
    /// forgotten.
    Commit,
    /// It does not: the configuration before it is in force again.
    Rollback,
    /// The server will stop soon: connections are to end with their next response.
    AnnounceStop,
    /// Start a new master with the program as it is now; answered by [`Event::SuccessorStarted`] or
    /// [`Event::SuccessorFailed`].
    StartSuccessor,
    /// This is the only master now.
    Promote,
    /// Whether workers that go leave others behind them: if not, they finish with their connections
    /// instead of handing them over.
    SetLast(bool),
    /// The server stops: nobody new gets in.
    CloseListeners,
    /// Leave with this status. The last action ever.
    Exit(i32),
}
