//! The traits through which the layers above see each other: what the master needs from the program
//! around it, and what a worker needs from the application, neither of them knowing Python.

mod hooks;
mod wishes;

use std::ffi::OsString;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::error::Error;
use crate::log::access::Value;
use crate::net::handoff::Queue;
use crate::net::listener::Listener;
use crate::reactor::{Exchange, Request, Summary};
use crate::scoreboard::{Bell, Scoreboard, Slot, StopFlag};
use crate::sys::signal::Signal;
pub use hooks::{Birth, Called, HookFailed, Hooks, Resumed};
pub use wishes::Wishes;

/// What a freshly forked worker is handed: its place in the pool.
pub struct Seat<'a> {
    /// 1-based spawn counter.
    pub age: u64,
    /// Its slot in the scoreboard.
    pub slot: &'a Slot,
    /// The slots of all workers.
    pub scoreboard: &'a Scoreboard,
    /// Connections on their way from one worker to another.
    pub queue: &'a Queue,
    /// Wakes the master.
    pub bell: &'a Bell,
    /// Set when the whole server stops, before the worker is told to go.
    pub stop_flag: &'a StopFlag,
    /// Reads end-of-file when the master is gone.
    pub lifeline: BorrowedFd<'a>,
    /// Listening sockets, shared by all workers.
    pub listeners: &'a [Listener],
    pub config: &'a Config,
}

/// How to start this program once more, as it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub program: PathBuf,
    /// The program's name first.
    pub args: Vec<OsString>,
    /// The environment as it was at the start.
    pub environment: Vec<(OsString, OsString)>,
    pub directory: PathBuf,
    /// What it was given besides the standard streams, whatever for.
    pub descriptors: Vec<RawFd>,
}

/// What the master asks of the program it runs in. Implemented above it, where Python is known.
pub trait Host {
    /// Called in the master immediately before a fork.
    fn before_fork(&mut self);
    /// Called in the master immediately after a fork, whether it succeeded or not.
    fn after_fork_parent(&mut self);
    /// Called in the child immediately after a fork.
    fn after_fork_child(&mut self);
    /// Has code of the user find a handler for each of these signals, so that it can put its own in
    /// front. They arrive in the pipe of the process already.
    ///
    /// # Errors
    /// The sentence for the user.
    fn show_signals(&mut self, signals: &[Signal]) -> Result<(), Error>;
    /// Runs `wait`, which may block, without holding up threads of the interpreter; what it is given is
    /// readable when handlers of the user wait to be called, as they are afterwards.
    ///
    /// # Errors
    /// One of them has failed.
    fn unlocked(&mut self, wait: &mut (dyn FnMut(Option<BorrowedFd<'_>>) + Send)) -> Called;
    /// Reads the whole configuration again and makes the process as it wants it.
    ///
    /// # Errors
    /// The sentence for the user; [`Self::restore`] is due then.
    fn read_config(&mut self) -> Result<Config, Error>;
    /// Makes the process as `config` wants it again (directory, environment), after a newer
    /// configuration was read and is not to be used.
    fn restore(&mut self, config: &Config);
    /// The hooks of the user.
    fn hooks(&mut self) -> &mut dyn Hooks;
    /// How to start the program anew, which may be another one by now.
    ///
    /// # Errors
    /// There is no such program any more; a sentence for the user.
    fn invocation(&self) -> Result<Invocation, Error>;
    /// How to start the program that runs, even if another one is in its place by now.
    fn invocation_of_itself(&self) -> Invocation;
    /// Removes variables from the environment of the workers to come.
    fn forget(&mut self, variables: &[&str]);
    /// The life of a worker, in the child, up to its exit status, the line that says that it exits
    /// included. Never returns to the master's code.
    fn work(&mut self, seat: Seat<'_>) -> i32;
}

/// The environ of a request, when it is over.
pub trait Variables {
    /// Shows the value of a variable, found by its name in any case; `false` if it is not there.
    fn find(&self, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool;
}

/// Writes access log lines; present only when there is an access log.
pub trait AccessSink {
    /// `environ` is absent where it could not be made.
    fn line(
        &mut self,
        request: &Request<'_>,
        response: &Summary<'_>,
        environ: Option<&dyn Variables>,
    );
}

/// The application, as the worker sees it.
pub trait App {
    /// Has the request answered through the exchange. Whatever the application does, this returns.
    fn call(
        &mut self,
        request: Request<'_>,
        exchange: &Arc<Exchange>,
        access: Option<&mut dyn AccessSink>,
    );
}
