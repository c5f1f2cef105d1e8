//! Finding out whether the program would work if it were started anew: in a process that is started as
//! the server was, reads the configuration, loads the application, and ends.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal as Number;
use nix::unistd::pipe2;

use super::child::MASTER_SIGNALS;
use super::run::Master;
use super::service;
use super::state::Event;
use super::upgrade::{self, without};
use crate::app::{Host, Invocation};
use crate::error::{panic_text, reason};
use crate::log;
use crate::scoreboard::Scoreboard;
use crate::sys::listen::adopt;
use crate::sys::process::{self, Ended, Fork, Pid};
use crate::sys::signal::{self, Blocked, Pipe};
use crate::sys::{exec, fd};

/// Asks a process to check: the descriptor for its report, and what program asks.
const VARIABLE: &str = "RGUNICORN_CHECK";

/// Exit status of a check that has failed.
const FAILED: i32 = 1;

/// More of a report is not shown.
const LONGEST: u64 = 1 << 16;

/// What tells two programs apart that could not take each other's place in a process.
pub fn fingerprint() -> String {
    format!("{}/{}", env!("CARGO_PKG_VERSION"), Scoreboard::slot_size())
}

/// The check under way, in the master.
pub struct Check {
    /// Never waits for what is to be read.
    report: File,
}

/// Where the process that checks says why the program would not work.
pub struct Report {
    file: File,
    asker: String,
}

impl Report {
    /// The one that the environment names, if this process is to check. `take` takes a variable out of it.
    pub fn asked_for(take: &dyn Fn(&str) -> Option<OsString>) -> Option<Self> {
        let text = take(VARIABLE)?.into_string().ok()?;
        let (number, asker) = text.split_once(' ')?;
        let file = adopt(number.parse().ok()?).ok()?.into();
        Some(Self { file, asker: asker.to_owned() })
    }

    /// Whether this program could take the place of the one that asks.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn compare(&self) -> Result<(), String> {
        if self.asker == fingerprint() {
            return Ok(());
        }
        Err("The program has been replaced by another version since this master was started. To change \
             to it, start a new master with USR2, then end this one with TERM."
            .to_owned())
    }

    pub fn tell(&mut self, text: &str) {
        // If nobody reads it, the exit status has to do.
        let _ = self.file.write_all(text.as_bytes());
    }

    /// For what goes wrong where nothing can be told any more.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Master<'_> {
    /// Starts a check of the program as the configuration and the application are now. If it passes, the
    /// master becomes that program ([`Master::renew`]).
    pub(super) fn start_check(&mut self) -> Event {
        match self.try_start_check() {
            Ok(pid) => Event::CheckStarted(pid),
            Err(why) => {
                self.service.reload_failed();
                Event::ConfigRefused(format!("The application cannot be loaded anew: {why}"))
            }
        }
    }

    fn try_start_check(&mut self) -> Result<Pid, String> {
        let invocation = self.host.invocation_of_itself();
        let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|error| reason(&error.into()))?;
        self.host.before_fork();
        let blocked = signal::block_all();
        let forked = match process::fork() {
            Ok(Fork::Child) => {
                self.commons.leave_master();
                become_check(self.host, invocation, &write, blocked)
            }
            Ok(Fork::Parent(pid)) => Ok(pid),
            Err(error) => Err(format!("the system refused: {}.", reason(&error))),
        };
        drop(blocked);
        self.host.after_fork_parent();
        let pid = forked?;
        self.check = Some(Check { report: read.into() });
        Ok(pid)
    }

    /// The check has failed.
    pub(super) fn tell_check(&mut self, how: Ended, late: Option<Duration>) {
        self.service.reload_failed();
        let report = self.check.take().map(Check::read).unwrap_or_default();
        let why = match (how, late) {
            (_, Some(limit)) => {
                let limit = limit.as_secs_f32();
                format!("It was not there after {limit} s (worker_boot_timeout). {report}")
            }
            (Ended::Exited(FAILED), _) if !report.is_empty() => report,
            (Ended::Exited(status), _) => format!("It exited with code {status}. {report}"),
            (Ended::Signaled { signal, .. }, _) => format!("It was sent {signal}! {report}"),
        };
        tracing::error!(
            "{}\nThe reload failed: the application cannot be loaded anew. The workers go on with the one \
             they have; send HUP again when the cause is cured.",
            why.trim_end()
        );
    }
}

impl Check {
    fn read(self) -> String {
        let mut bytes = Vec::new();
        // What the process has written is there. A process that it has left behind may hold the other end, so
        // there may be no end to wait for.
        let _ = self.report.take(LONGEST).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// In the process just forked: turns into the program that checks, or ends.
fn become_check(
    host: &mut dyn Host,
    invocation: Invocation,
    report: &OwnedFd,
    blocked: Blocked,
) -> ! {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // From now on signals have their default action, which exec keeps.
        Pipe::replace_in_child(&MASTER_SIGNALS, &[])?;
        signal::on_signal(None);
        drop(blocked);
        host.after_fork_child();
        // Nobody else is interested.
        set_pdeathsig(Number::SIGKILL)?;
        process::lead_group()?;
        log::hand_back();
        replace(invocation, report)
    }));
    let why = match outcome {
        Ok(Err(error)) => reason(&error),
        Ok(Ok(never)) => match never {},
        Err(panic) => panic_text(panic.as_ref()).to_owned(),
    };
    let text = format!("The program cannot be started: {why}");
    // If nobody reads it, the exit status has to do.
    let _ = nix::unistd::write(report, text.as_bytes());
    process::exit_now(FAILED)
}

fn replace(invocation: Invocation, report: &OwnedFd) -> io::Result<Infallible> {
    let Invocation { program, args, environment, directory, .. } = invocation;
    let mut environment = without(environment, &upgrade::VARIABLES);
    environment = without(environment, &service::VARIABLES);
    let asked = format!("{} {}", report.as_raw_fd(), fingerprint());
    environment.push((VARIABLE.into(), asked.into()));
    fd::keep_across_exec(report.as_fd())?;
    exec::enter(&directory)?;
    exec::replace(&program, &args, &environment)
}
