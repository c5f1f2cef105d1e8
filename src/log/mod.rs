//! Error and access logs in gunicorn's formats.
//!
//! The master opens the files; forked workers write to the same open files. All messages of the
//! program go through the macros of `tracing`.

pub mod access;
pub mod error;
mod foreign;
mod json;
mod opened;
mod output;
mod socket;
pub mod statsd;
mod syslog;
#[cfg(test)]
pub mod testing;
mod text;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::layer::SubscriberExt;

use crate::config::Config;
use crate::error::{Error, reason};
use crate::sys::fd::redirect;
use access::AccessLog;
pub use error::Severity;
use error::{ErrorLayer, ErrorLog};
pub use foreign::Foreign;
use opened::Opened;
use output::{Output, Target};
use statsd::Statsd;

/// The target of events that the log shows as CRITICAL, which `tracing` has no level for:
/// `tracing::error!(target: log::CRITICAL, "...")`.
pub const CRITICAL: &str = "rgunicorn::critical";

/// The target of errors that StatsD counts as exceptions: those with a traceback of the application.
pub const EXCEPTION: &str = "rgunicorn::exception";

static LOGS: OnceLock<Logs> = OnceLock::new();

/// Opens the logs that `config` asks for, ours or a foreign one, and makes them those of the process.
///
/// # Errors
/// A file cannot be written to, the access log format cannot be read, the foreign logger refuses, or
/// this was called before.
pub fn install(config: &Config, foreign: Option<&'static dyn Foreign>) -> Result<(), Error> {
    open(config, foreign).map_err(Error::of_start)
}

fn open(config: &Config, foreign: Option<&'static dyn Foreign>) -> Result<(), Error> {
    const TWICE: &str = "The logs of this process are installed already.";
    let logs = Logs::open(config, foreign)?;
    let layer = ErrorLayer(Arc::clone(&logs.error));
    LOGS.set(logs).map_err(|_| Error::config(TWICE))?;
    if let Some(foreign) = foreign {
        foreign.configure(config)?;
    }
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
        .map_err(|_| Error::config(TWICE))
}

/// Takes over a changed configuration.
///
/// # Errors
/// As `install`; the logs stay as they were.
pub fn configure(config: &Config) -> Result<(), Error> {
    if let Some(logs) = LOGS.get() {
        logs.configure(config)?;
        // The level of each message's place in the code is cached by `tracing`.
        tracing::callsite::rebuild_interest_cache();
    }
    Ok(())
}

/// Opens the files again under their names, after they have been moved away.
pub fn reopen() {
    if let Some(logs) = LOGS.get() {
        logs.reopen();
    }
}

/// Sends the standard streams back to where they went at the start, for a program that takes the place of this
/// one in the process; [`configure`] undoes that.
pub fn hand_back() {
    if let Some(logs) = LOGS.get() {
        logs.captured.store(true, Ordering::Relaxed);
        logs.capture(false);
    }
}

/// The process ends without further ado: what a foreign logger has not dealt with is to be shown.
pub fn flush() {
    if let Some(foreign) = LOGS.get().and_then(|logs| logs.foreign) {
        foreign.flush();
    }
}

/// Writes a record to our own error log, whatever its level and whoever takes records.
pub fn record(severity: Severity, message: &str) {
    if let Some(logs) = LOGS.get() {
        logs.error.record(severity, message);
    }
}

/// Writes a record to our own error log that was formatted elsewhere, as `text` with its line break.
pub fn record_as(text: &[u8], severity: Severity, message: &str) {
    if let Some(logs) = LOGS.get() {
        logs.error.record_as(text, severity, message);
    }
}

/// Writes text to our own error log as it is, with its line break.
pub fn write_error(text: &[u8]) {
    if let Some(logs) = LOGS.get() {
        logs.error.output.write(text);
    }
}

/// Writes text to our own access log as it is, with its line break.
pub fn write_access(text: &[u8]) {
    if let Some(access) = access_log() {
        access.write_text(text);
    }
}

/// Writes a line to standard error, whatever the logs are. Nobody may be there to read it (a pipe
/// whose other end is gone, a full disk): then the exit status has to do.
pub fn say(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// The descriptor of the error log, whose number never changes; `None` if there is no error log.
pub fn error_fd() -> Option<BorrowedFd<'static>> {
    let output = &LOGS.get()?.error.output;
    (output.target() != Target::Nothing).then(|| output.as_fd())
}

/// The access log, if there is one. To be asked for once, at the start of a worker.
pub fn access_log() -> Option<Arc<AccessLog>> {
    LOGS.get()?.access.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Where metrics go, if they go anywhere.
pub fn statsd() -> Option<Arc<Statsd>> {
    LOGS.get()?.error.statsd()
}

/// The logs of a process.
struct Logs {
    error: Arc<ErrorLog>,
    access: Mutex<Option<Arc<AccessLog>>>,
    /// What takes records instead, where a configuration asks for that.
    foreign: Option<&'static dyn Foreign>,
    /// The standard streams as they were at the start: `capture_output` redirects them.
    stdout: OwnedFd,
    stderr: OwnedFd,
    captured: AtomicBool,
}

impl Logs {
    fn open(config: &Config, foreign: Option<&'static dyn Foreign>) -> Result<Self, Error> {
        let keep = |stream: BorrowedFd<'_>| {
            stream.try_clone_to_owned().map_err(|reason| {
                Error::config(format!("A standard stream cannot be duplicated: {reason}."))
            })
        };
        let (stdout, stderr) = (keep(std::io::stdout().as_fd())?, keep(std::io::stderr().as_fd())?);
        let taken = foreign.is_some_and(|foreign| foreign.is_wanted(config));
        let Opened { target, fd, least, ways, access, capture } =
            Opened::new(config, taken, &stdout, &stderr)?;
        let logs = Self {
            error: Arc::new(ErrorLog::new(Output::new(target, fd), least, ways, foreign)),
            foreign,
            access: Mutex::new(access),
            stdout,
            stderr,
            captured: AtomicBool::new(false),
        };
        logs.capture(capture);
        Ok(logs)
    }

    fn configure(&self, config: &Config) -> Result<(), Error> {
        let taken = self.foreign.is_some_and(|foreign| foreign.is_wanted(config));
        let opened = Opened::new(config, taken, &self.stdout, &self.stderr)?;
        self.configure_foreign(config, taken)?;
        let Opened { target, fd, least, ways, access, capture } = opened;
        self.error.output.redirect(target, fd.as_fd());
        self.error.show_from(least);
        self.error.lead(ways);
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
        self.capture(capture);
        Ok(())
    }

    fn configure_foreign(&self, config: &Config, taken: bool) -> Result<(), Error> {
        let Some(foreign) = self.foreign else { return Ok(()) };
        let captured = self.captured.load(Ordering::Relaxed);
        if taken {
            // The standard streams are the foreign logger's to redirect.
            self.capture(false);
        }
        foreign.configure(config).inspect_err(|_| self.capture(captured))
    }

    fn reopen(&self) {
        if let Some(foreign) = self.foreign {
            foreign.reopen();
        }
        self.reopen_output(&self.error.output);
        self.capture(self.captured.load(Ordering::Relaxed));
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(output) = access.as_ref().and_then(|access| access.output.as_ref()) {
            self.reopen_output(output);
        }
    }

    fn reopen_output(&self, output: &Output) {
        let captured = self.captured.load(Ordering::Relaxed);
        let stdout = if captured { self.error.output.as_fd() } else { self.stdout.as_fd() };
        let target = output.target();
        match target.open(stdout, self.stderr.as_fd()) {
            Ok(fd) => {
                target.give_as(&fd, output.as_fd());
                output.redirect(target, fd.as_fd());
            }
            Err(error) => tracing::error!(
                "Log file '{}' not reopened, the old one stays open: {}",
                target.name(),
                reason(&error)
            ),
        }
    }

    /// Sends the standard streams to the file of the error log, or back to where they went at the
    /// start.
    fn capture(&self, wanted: bool) {
        if !wanted && !self.captured.load(Ordering::Relaxed) {
            return;
        }
        let (stdout, stderr) = if wanted {
            (self.error.output.as_fd(), self.error.output.as_fd())
        } else {
            (self.stdout.as_fd(), self.stderr.as_fd())
        };
        // All four are open: nothing to fail.
        let _ = redirect(std::io::stdout().as_fd(), stdout);
        let _ = redirect(std::io::stderr().as_fd(), stderr);
        self.captured.store(wanted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
