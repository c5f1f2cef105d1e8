//! The error log: a layer for `tracing` that writes gunicorn's lines,
//! `[2026-11-20 04:20:25 +0000] [13047] [INFO] message`, or JSON, and tells syslog and StatsD.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::config::ErrorLogFormat;
use crate::log::foreign::Foreign;
use crate::log::output::Output;
use crate::log::statsd::Statsd;
use crate::log::syslog::Syslog;
use crate::log::{CRITICAL, EXCEPTION, json, text};
use crate::sys::time::{error_stamp, iso_stamp};

/// How grave a record is, with Python's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Debug = 10,
    Info = 20,
    Warning = 30,
    Error = 40,
    Critical = 50,
}

impl Severity {
    /// Reads the setting `loglevel`: unknown names mean `info`, as in gunicorn.
    pub fn parse(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "debug" => Self::Debug,
            "warning" => Self::Warning,
            "error" => Self::Error,
            "critical" => Self::Critical,
            _ => Self::Info,
        }
    }

    /// The severity with Python's number, or the next one below.
    pub fn of_number(number: i64) -> Self {
        let all = [Self::Critical, Self::Error, Self::Warning, Self::Info];
        let found = all.into_iter().find(|severity| *severity as i64 <= number);
        found.unwrap_or(Self::Debug)
    }

    /// `None` for what is never shown.
    fn of(metadata: &Metadata<'_>) -> Option<Self> {
        if metadata.target() == CRITICAL {
            return Some(Self::Critical);
        }
        match *metadata.level() {
            Level::ERROR => Some(Self::Error),
            Level::WARN => Some(Self::Warning),
            Level::INFO => Some(Self::Info),
            Level::DEBUG => Some(Self::Debug),
            Level::TRACE => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

/// What becomes of records besides.
#[derive(Debug)]
pub struct Ways {
    pub format: ErrorLogFormat,
    pub syslog: Option<Syslog>,
    /// Counts records, be they shown or not.
    pub statsd: Option<Arc<Statsd>>,
}

pub struct ErrorLog {
    pub output: Output,
    /// The least `Severity` that is shown; `u8::MAX` shows nothing.
    threshold: AtomicU8,
    /// What records go to instead, while they do.
    foreign: Option<&'static dyn Foreign>,
    /// Written by the thread alone that forks too, so that no fork leaves it locked for writing; and what
    /// a fork leaves locked for reading can be read.
    ways: RwLock<Ways>,
}

impl ErrorLog {
    /// `least` is `None` if nothing shall be shown.
    pub fn new(
        output: Output,
        least: Option<Severity>,
        ways: Ways,
        foreign: Option<&'static dyn Foreign>,
    ) -> Self {
        let log = Self { output, threshold: AtomicU8::new(0), foreign, ways: RwLock::new(ways) };
        log.show_from(least);
        log
    }

    /// Has records go other ways from now on.
    pub fn lead(&self, ways: Ways) {
        *self.ways.write().unwrap_or_else(PoisonError::into_inner) = ways;
    }

    /// Where metrics go.
    pub fn statsd(&self) -> Option<Arc<Statsd>> {
        self.ways().statsd.clone()
    }

    fn ways(&self) -> RwLockReadGuard<'_, Ways> {
        self.ways.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn show_from(&self, least: Option<Severity>) {
        let threshold = least.map_or(u8::MAX, |severity| severity as u8);
        self.threshold.store(threshold, Ordering::Relaxed);
    }

    /// The foreign logger, if it takes the records.
    fn taken_by(&self) -> Option<&'static dyn Foreign> {
        self.foreign.filter(|foreign| foreign.takes_records())
    }

    fn shows(&self, severity: Severity) -> bool {
        if let Some(foreign) = self.taken_by() {
            return foreign.wants(severity);
        }
        severity as u8 >= self.threshold.load(Ordering::Relaxed)
    }

    /// Whether records of this severity are counted.
    fn counts(&self, severity: Severity) -> bool {
        severity >= Severity::Warning && self.taken_by().is_none() && self.ways().statsd.is_some()
    }

    /// Deals with an event.
    fn tell(&self, severity: Severity, is_exception: bool, message: &str) {
        let foreign = self.taken_by();
        if foreign.is_some_and(|foreign| foreign.record(severity, message)) {
            return;
        }
        // A foreign logger counts for itself.
        if let Some(statsd) = self.ways().statsd.as_ref().filter(|_| foreign.is_none()) {
            statsd.count_record(severity, is_exception);
        }
        if foreign.is_some() || self.shows(severity) {
            self.record(severity, message);
        }
    }

    /// Writes one record, whatever the level.
    pub fn record(&self, severity: Severity, message: &str) {
        // The process id is asked for each time: it changes at a fork.
        let (pid, name) = (std::process::id(), severity.name());
        let ways = self.ways();
        let mut line = Vec::with_capacity(message.len() + 64);
        // Writing to a vector does not fail.
        let _ = match ways.format {
            ErrorLogFormat::Text => write!(line, "{} [{pid}] [{name}] ", error_stamp()),
            ErrorLogFormat::Json => {
                let stamp = iso_stamp();
                let stamp = String::from_utf8_lossy(&stamp);
                write!(line, r#"{{"time":"{stamp}","level":"{name}","pid":{pid},"message":"#)
            }
        };
        let head = line.len();
        match ways.format {
            ErrorLogFormat::Text => {
                text::message(&mut line, message);
                line.push(b'\n');
            }
            ErrorLogFormat::Json => {
                json::string(&mut line, message);
                line.extend_from_slice(b"}\n");
            }
        }
        self.output.write(&line);
        if let Some(syslog) = &ways.syslog {
            line.truncate(head);
            text::message(&mut line, message);
            syslog.send(severity, pid, &line[head..]);
        }
    }

    /// Writes one record that was formatted elsewhere, as `text` with its line break.
    pub fn record_as(&self, text: &[u8], severity: Severity, message: &str) {
        self.output.write(text);
        if let Some(syslog) = &self.ways().syslog {
            let mut line = Vec::with_capacity(message.len());
            text::message(&mut line, message);
            syslog.send(severity, std::process::id(), &line);
        }
    }
}

/// Hands the events of `tracing` to an [`ErrorLog`].
pub struct ErrorLayer(pub Arc<ErrorLog>);

impl<S: Subscriber> Layer<S> for ErrorLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Severity::of(metadata)
            .is_some_and(|severity| self.0.shows(severity) || self.0.counts(severity))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = [
            (Severity::Debug, LevelFilter::DEBUG),
            (Severity::Info, LevelFilter::INFO),
            (Severity::Warning, LevelFilter::WARN),
            (Severity::Critical, LevelFilter::ERROR),
        ];
        let shown = levels
            .into_iter()
            .find(|(severity, _)| self.0.shows(*severity) || self.0.counts(*severity));
        Some(shown.map_or(LevelFilter::OFF, |(_, filter)| filter))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(severity) = Severity::of(event.metadata()) {
            let mut text = Text::default();
            event.record(&mut text);
            let is_exception = event.metadata().target() == EXCEPTION;
            self.0.tell(severity, is_exception, &(text.message + &text.fields));
        }
    }
}

/// The message of an event, and its other fields as ` name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
