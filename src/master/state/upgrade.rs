//! USR2: another master is started with the program as it is now, and serves beside this one until one
//! of the two is told to stop.

use super::{Action, Level, State};
use crate::master::obituary;
use crate::sys::process::{Ended, Pid};

/// The other masters at the same sockets. There is at most one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relatives {
    predecessor: bool,
    successor: Option<Successor>,
}

#[derive(Clone, Copy, Debug)]
enum Successor {
    /// To be started.
    Due,
    Started(Pid),
}

impl Relatives {
    pub(super) fn new(predecessor: bool) -> Self {
        Self { predecessor, successor: None }
    }

    /// Whether there is another master.
    pub fn any(&self) -> bool {
        self.predecessor || self.successor.is_some()
    }

    /// The master that this one has started.
    pub fn successor(&self) -> Option<Pid> {
        match self.successor {
            Some(Successor::Started(pid)) => Some(pid),
            Some(Successor::Due) | None => None,
        }
    }

    /// What this master is called in the log.
    pub(super) fn name(&self) -> &'static str {
        if self.predecessor { "Master.2" } else { "Master" }
    }

    pub(super) fn successor_started(&mut self, pid: Pid) {
        self.successor = Some(Successor::Started(pid));
    }

    pub(super) fn is_successor(&self, pid: Pid) -> bool {
        self.successor() == Some(pid)
    }
}

impl State {
    /// The other masters.
    pub fn relatives(&self) -> Relatives {
        self.relatives
    }

    pub(super) fn upgrade(&mut self) {
        let exists = match (self.relatives.successor, self.relatives.predecessor) {
            (Some(_), _) => "Child",
            (None, true) => "Parent",
            (None, false) => {
                self.relatives.successor = Some(Successor::Due);
                self.actions.push(Action::StartSuccessor);
                return;
            }
        };
        self.log(Level::Warning, format!("USR2 signal ignored. {exists} exists."));
    }

    pub(super) fn successor_failed(&mut self, why: &str) {
        self.relatives.successor = None;
        self.log(Level::Error, format!("Cannot start a new master: {why} This one goes on."));
    }

    pub(super) fn successor_ended(&mut self, pid: Pid, how: Ended) {
        self.relatives.successor = None;
        let (level, text) = obituary::of_successor(pid, how);
        self.log(level, text);
    }

    pub(super) fn promote(&mut self) {
        if std::mem::take(&mut self.relatives.predecessor) {
            self.log(Level::Info, "Master has been promoted.");
            self.actions.push(Action::Promote);
        }
    }

    /// WINCH: all workers go, and the master waits for what comes next. Another one may serve
    /// meanwhile.
    pub(super) fn empty(&mut self) {
        self.log(Level::Info, "graceful stop of workers");
        self.resize(0);
        self.actions.push(Action::Resized(self.size));
    }
}
