//! Another master at the same sockets: starting one as USR2 asks for it, and being one.
//!
//! Two environment variables say what the new master takes over, under gunicorn's names:
//! `GUNICORN_PID`, the old one's process id, and `GUNICORN_FD`, the descriptors of the sockets. Sockets
//! that came by socket activation are passed on the same way.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::child::MASTER_SIGNALS;
use super::lanes::Lanes;
use super::pidfile::PidFile;
use super::run::Master;
use super::sockets::Sockets;
use super::state::Event;
use crate::app::{Host, Invocation};
use crate::config::Config;
use crate::error::{Error, panic_text, reason};
use crate::log;
use crate::net::inherit::FIRST;
use crate::sys::process::{self, Fork, Pid};
use crate::sys::signal::{self, Blocked, Pipe};
use crate::sys::{exec, fd, proctitle};

/// The process id of the master that a new one is to follow.
pub const PID: &str = "GUNICORN_PID";
/// The descriptors of its listening sockets, separated by commas.
pub const FDS: &str = "GUNICORN_FD";

/// What one master tells another, and nobody else.
pub const VARIABLES: [&str; 4] = [PID, FDS, "LISTEN_PID", "LISTEN_FDS"];

/// Exit status of a process that could not become a new master.
const FAILED: i32 = 1;

/// The master that has started this one.
#[derive(Debug)]
pub struct Predecessor {
    pid: Pid,
    /// Readable when it has ended; `None` where the system has no such thing.
    end: Option<OwnedFd>,
}

impl Predecessor {
    /// Reads who it is, if there is one.
    ///
    /// # Errors
    /// The variable is there but holds no process id.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let Some(text) = variable(PID) else { return Ok(None) };
        let pid = text.trim().parse().ok().and_then(Pid::new).ok_or_else(|| {
            Error::config(format!(
                "{PID} is '{text}', which is not a process id. It is for a master that another one \
                 starts; remove it."
            ))
        })?;
        Ok(Some(Self { pid, end: process::watch(pid).ok() }))
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Readable when it has ended; if there is no such descriptor one has to ask from time to time.
    pub fn end(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(OwnedFd::as_fd)
    }

    pub fn has_ended(&self) -> bool {
        process::parent() != Some(self.pid)
    }
}

/// The descriptors that a predecessor passes on.
///
/// # Errors
/// The variable is there but holds no numbers.
pub fn passed_on(variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<RawFd>, Error> {
    let Some(text) = variable(FDS) else { return Ok(Vec::new()) };
    text.split(',').map(|number| number.trim().parse()).collect::<Result<_, _>>().map_err(|_| {
        Error::config(format!(
            "{FDS} is '{text}', which is not a list of descriptors. It is for a master that another \
             one starts; remove it."
        ))
    })
}

/// What the second of two masters adds to the names that the first one has: those of the pid file and of
/// the processes.
const SECOND: &str = ".2";

/// The pid file of a master.
pub fn pidfile_path(config: &Config, has_predecessor: bool) -> Option<String> {
    let second = if has_predecessor { SECOND } else { "" };
    config.pidfile.as_ref().map(|path| format!("{path}{second}"))
}

fn name(config: &Config, has_predecessor: bool) -> String {
    let second = if has_predecessor { SECOND } else { "" };
    format!("{}{second}", config.title())
}

/// Gives a master its title.
pub fn show_title(config: &Config, has_predecessor: bool) {
    proctitle::set(&format!("gunicorn: master [{}]", name(config, has_predecessor)));
}

impl Master<'_> {
    /// What the processes of this master are called.
    pub(super) fn name(&self, config: &Config) -> String {
        name(config, self.predecessor.is_some())
    }

    pub(super) fn show_title(&self, config: &Config) {
        show_title(config, self.predecessor.is_some());
    }

    pub(super) fn pidfile_of(&self, config: &Config) -> Option<String> {
        pidfile_path(config, self.predecessor.is_some())
    }

    /// Lets hooks know of other masters.
    pub(super) fn tell_relatives(&mut self) {
        let predecessor = self.predecessor.as_ref().map(Predecessor::pid);
        self.host.hooks().related(predecessor, self.state.relatives().successor());
    }

    /// The master before this one has ended.
    pub(super) fn promote(&mut self) {
        let Some(predecessor) = self.predecessor.take() else { return };
        self.host.forget(&[PID]);
        self.service.speak();
        self.service.ask_for_adoption();
        self.show_title(&self.config);
        let Some(path) = &self.config.pidfile else { return };
        match PidFile::create_over(path, predecessor.pid()) {
            Ok(file) => {
                self.pidfile.iter().for_each(PidFile::remove);
                self.pidfile = Some(file);
            }
            Err(error) => tracing::error!("{error} The pid file stays as it was."),
        }
    }

    /// Starts a master with the program as it is now.
    pub(super) fn start_successor(&mut self) -> Event {
        let invocation = match self.host.invocation() {
            Ok(invocation) => invocation,
            Err(error) => return Event::SuccessorFailed(error.to_string()),
        };
        // The child could not tell: this process may be gone before it asks.
        let own = process::getpid();
        self.host.before_fork();
        let blocked = signal::block_all();
        let event = match process::fork() {
            Ok(Fork::Child) => {
                self.commons.leave_master();
                let sockets = (&self.sockets, &self.lanes);
                become_master(self.host, own, invocation, sockets, blocked)
            }
            Ok(Fork::Parent(pid)) => Event::SuccessorStarted(pid),
            Err(error) => {
                Event::SuccessorFailed(format!("The system refused: {}.", reason(&error)))
            }
        };
        drop(blocked);
        self.host.after_fork_parent();
        event
    }
}

/// In the process just forked: turns into the new master, or ends.
fn become_master(
    host: &mut dyn Host,
    old: Pid,
    invocation: Invocation,
    sockets: (&Sockets, &Lanes),
    blocked: Blocked,
) -> ! {
    let program = invocation.program.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // From now on signals have their default action, which exec keeps.
        Pipe::replace_in_child(&MASTER_SIGNALS, &[])?;
        signal::on_signal(None);
        drop(blocked);
        host.after_fork_child();
        if let Err(failure) = host.hooks().before_exec() {
            if failure.exit.is_none() {
                tracing::error!("The hook pre_exec failed:\n{}", failure.traceback);
            }
            process::exit_now(failure.exit.unwrap_or(FAILED));
        }
        replace(old, invocation, sockets)
    }));
    let why = match outcome {
        Ok(Err(error)) => reason(&error),
        Ok(Ok(never)) => match never {},
        Err(panic) => panic_text(panic.as_ref()).to_owned(),
    };
    tracing::error!("{} cannot be started: {why}", program.display());
    process::exit_now(FAILED)
}

fn replace(
    old: Pid,
    invocation: Invocation,
    (sockets, lanes): (&Sockets, &Lanes),
) -> io::Result<Infallible> {
    let Invocation { program, args, environment, directory, .. } = invocation;
    let listeners: Vec<BorrowedFd<'_>> =
        sockets.listeners().iter().chain(lanes.more()).map(AsFd::as_fd).collect();
    let mut announced = vec![(PID, old.to_string())];
    if sockets.are_activated() {
        announced.push(("LISTEN_PID", process::getpid().to_string()));
        announced.push(("LISTEN_FDS", listeners.len().to_string()));
        fd::place_for_exec(&listeners, FIRST)?;
    } else {
        let numbers: Vec<String> =
            listeners.iter().map(|listener| listener.as_raw_fd().to_string()).collect();
        announced.push((FDS, numbers.join(",")));
        listeners.iter().try_for_each(|listener| fd::keep_across_exec(*listener))?;
    }
    log::hand_back();
    exec::enter(&directory)?;
    exec::replace(&program, &args, &with(environment, old, &announced))
}

/// The environment with these variables, and without what was announced to the `old` master. What the
/// service manager has told that one is for the new one too.
fn with(
    mut environment: Vec<(OsString, OsString)>,
    old: Pid,
    announced: &[(&str, String)],
) -> Vec<(OsString, OsString)> {
    for (name, value) in &mut environment {
        if name == "WATCHDOG_PID" && *value == *old.to_string() {
            *value = process::getpid().to_string().into();
        }
    }
    environment = without(environment, &VARIABLES);
    environment.extend(announced.iter().map(|(name, value)| (name.into(), value.into())));
    environment
}

/// The environment without these variables.
pub fn without(
    mut environment: Vec<(OsString, OsString)>,
    names: &[&str],
) -> Vec<(OsString, OsString)> {
    environment.retain(|(name, _)| !names.iter().any(|stale| name == OsStr::new(stale)));
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |asked| (asked == name).then(|| value.to_owned())
    }

    #[test]
    fn what_a_predecessor_passes_on_is_read() {
        assert!(Predecessor::read(&|_| None).unwrap().is_none());
        assert!(passed_on(&|_| None).unwrap().is_empty());
        assert_eq!(passed_on(&read(FDS, "5, 7")).unwrap(), [5, 7]);
        let parent = Predecessor::read(&read(PID, "2147483647")).unwrap().unwrap();
        assert!(parent.has_ended() && parent.end().is_none());
        for nonsense in ["", "x", "0", "-1", "99999999999"] {
            let error = Predecessor::read(&read(PID, nonsense)).unwrap_err().to_string();
            assert!(error.contains(&format!("GUNICORN_PID is '{nonsense}'")), "{error}");
        }
        for nonsense in ["", "x", "3,,4"] {
            let error = passed_on(&read(FDS, nonsense)).unwrap_err().to_string();
            assert!(error.contains(&format!("GUNICORN_FD is '{nonsense}'")), "{error}");
        }
    }

    #[test]
    fn a_parent_is_there_as_long_as_it_lives() {
        let parent = process::parent().unwrap().to_string();
        let variable = |name: &str| (name == PID).then(|| parent.clone());
        let predecessor = Predecessor::read(&variable).unwrap().unwrap();
        assert!(!predecessor.has_ended());
        assert_eq!(predecessor.pid().to_string(), parent);
    }

    #[test]
    fn the_environment_announces_what_is_passed_on_and_nothing_else() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let before = [
            pair("PATH", "/bin"),
            pair("LISTEN_PID", "7"),
            pair("LISTEN_FDS", "1"),
            pair("LISTEN_FDNAMES", "web"),
            pair(PID, "6"),
            pair(FDS, "3"),
            pair("WATCHDOG_PID", "8"),
        ];
        let old = Pid::new(8).unwrap();
        let after = with(before.to_vec(), old, &[(PID, "8".to_owned()), (FDS, "4".to_owned())]);
        let expected = [
            pair("PATH", "/bin"),
            pair("LISTEN_FDNAMES", "web"),
            pair("WATCHDOG_PID", &process::getpid().to_string()),
            pair(PID, "8"),
            pair(FDS, "4"),
        ];
        assert_eq!(after, expected);
    }
}
