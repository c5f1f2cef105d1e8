//! Moments in the life of the master at which the user may have a function of theirs called (the
//! server hooks of gunicorn).

use std::sync::Arc;

use super::wishes::Wishes;
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::net::listener::Listener;
use crate::scoreboard::Scoreboard;
use crate::sys::process::Pid;

/// A hook that raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFailed {
    /// The traceback, without a newline at its end.
    pub traceback: String,
    /// The status if it was `sys.exit` that it called.
    pub exit: Option<i32>,
}

impl HookFailed {
    /// What ends a start, or is the last word of a server.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self.exit {
            Some(status) => Error::complete(status, ""),
            None => Error::complete(Exit::Config as i32, format!("{}\n", self.traceback)),
        }
    }
}

/// What became of a hook.
pub type Called = Result<(), HookFailed>;

/// A worker about to be forked.
pub struct Birth<'a> {
    pub age: u64,
    pub scoreboard: &'a Arc<Scoreboard>,
    /// Its place in the scoreboard.
    pub slot: usize,
}

/// What a master that goes on with the work of another program in its process tells its hooks.
pub struct Resumed {
    /// How many workers there are to be.
    pub size: usize,
    /// The listeners were passed in.
    pub passed: bool,
    /// Of [`Hooks::statistics`] before.
    pub statistics: Option<String>,
    /// Age, process id and place in the scoreboard of the workers that live.
    pub workers: Vec<(u64, Pid, usize)>,
    pub scoreboard: Arc<Scoreboard>,
}

/// Each method calls a hook, if the configuration in force has it, and keeps up to date what hooks
/// get to see. By default nothing is there to be called.
pub trait Hooks {
    /// What hooks have asked of the master, if there is somebody to ask.
    fn wishes(&self) -> Option<Arc<Wishes>> {
        None
    }

    /// These are the other masters at the same sockets: the one that this is the successor of, and the
    /// one that it has started. None of both at first.
    fn related(&mut self, _predecessor: Option<Pid>, _successor: Option<Pid>) {}

    /// `on_starting`: there is a pid file, and no listener yet.
    ///
    /// # Errors
    /// The hook raised; so for the others.
    fn starting(&mut self) -> Called {
        Ok(())
    }

    /// What is to be known of the past when another program goes on with the work.
    fn statistics(&self) -> Option<String> {
        None
    }

    /// This master goes on with the work of another program; takes the place of [`Self::starting`] and
    /// [`Self::ready`]. Nothing is called.
    fn resumed(&mut self, _resumed: Resumed) {}

    /// `when_ready`: before the first fork. `passed` says whether the listeners were passed in.
    ///
    /// # Errors
    /// See [`Self::starting`].
    fn ready(&mut self, _listeners: &[Listener], _passed: bool) -> Called {
        Ok(())
    }

    /// `pre_fork`.
    ///
    /// # Errors
    /// See [`Self::starting`].
    fn before_worker(&mut self, _birth: &Birth<'_>) -> Called {
        Ok(())
    }

    /// The worker is there.
    fn worker_forked(&mut self, _age: u64, _pid: Pid) {}

    /// The worker is sent SIGABRT, for it takes too long.
    fn worker_aborted(&mut self, _pid: Pid) {}

    /// The worker is gone; `child_exit` if `call`.
    ///
    /// # Errors
    /// See [`Self::starting`].
    fn worker_gone(&mut self, _age: u64, _call: bool) -> Called {
        Ok(())
    }

    /// `nworkers_changed`: by a signal.
    ///
    /// # Errors
    /// See [`Self::starting`].
    fn resized(&mut self, _new: usize) -> Called {
        Ok(())
    }

    /// `nworkers_changed` and `on_reload`: a new configuration is about to be in force.
    ///
    /// # Errors
    /// See [`Self::starting`]; [`Self::returned`] is due then.
    fn reloaded(&mut self, _config: &Config, _listeners: &[Listener]) -> Called {
        Ok(())
    }

    /// A newer configuration is not to be used: this one is in force again, with so many workers.
    fn returned(&mut self, _config: &Config, _listeners: &[Listener], _size: usize) {}

    /// The listeners are closed: the server stops.
    fn stopping(&mut self) {}

    /// `pre_exec`: in the process that becomes a new master.
    ///
    /// # Errors
    /// See [`Self::starting`].
    fn before_exec(&mut self) -> Called {
        Ok(())
    }

    /// `on_exit`: nothing is left to do.
    ///
    /// # Errors
    /// See [`Self::starting`].
    fn exiting(&mut self) -> Called {
        Ok(())
    }
}
