//! The error log: a layer for `tracing` that writes gunicorn's lines,
//! `[2026-11-20 04:20:25 +0000] [13047] [INFO] message`.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::log::CRITICAL;
use crate::log::foreign::Foreign;
use crate::log::output::Output;
use crate::sys::time::error_stamp;

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

    /// The severity with Python's number.
    pub fn of_number(number: u8) -> Option<Self> {
        let all = [Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];
        all.into_iter().find(|severity| *severity as u8 == number)
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

    fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

pub struct ErrorLog {
    pub output: Output,
    /// The least `Severity` that is shown; `u8::MAX` shows nothing.
    threshold: AtomicU8,
    /// What records go to instead, while they do. There is only one; no lock that a fork could leave
    /// locked guards it.
    foreign: OnceLock<&'static dyn Foreign>,
    given: AtomicBool,
}

impl ErrorLog {
    /// `least` is `None` if nothing shall be shown.
    pub fn new(output: Output, least: Option<Severity>) -> Self {
        let log = Self {
            output,
            threshold: AtomicU8::new(0),
            foreign: OnceLock::new(),
            given: AtomicBool::new(false),
        };
        log.show_from(least);
        log
    }

    pub fn show_from(&self, least: Option<Severity>) {
        let threshold = least.map_or(u8::MAX, |severity| severity as u8);
        self.threshold.store(threshold, Ordering::Relaxed);
    }

    /// Has a foreign logger take the records, or nobody.
    pub fn give_to(&self, foreign: Option<&'static dyn Foreign>) {
        if let Some(foreign) = foreign {
            self.foreign.get_or_init(|| foreign);
        }
        self.given.store(foreign.is_some(), Ordering::Release);
    }

    /// The foreign logger that takes the records.
    pub fn taken_by(&self) -> Option<&'static dyn Foreign> {
        let given = self.given.load(Ordering::Acquire);
        self.foreign.get().copied().filter(|_| given)
    }

    fn shows(&self, severity: Severity) -> bool {
        if let Some(foreign) = self.taken_by() {
            return foreign.wants(severity);
        }
        severity as u8 >= self.threshold.load(Ordering::Relaxed)
    }

    /// Writes one record, whatever the level.
    pub fn record(&self, severity: Severity, message: &str) {
        // The process id is asked for each time: it changes at a fork.
        let (stamp, pid, name) = (error_stamp(), std::process::id(), severity.name());
        self.output.write(format!("{stamp} [{pid}] [{name}] {message}\n").as_bytes());
    }
}

/// Hands the events of `tracing` to an [`ErrorLog`].
pub struct ErrorLayer(pub Arc<ErrorLog>);

impl<S: Subscriber> Layer<S> for ErrorLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Severity::of(metadata).is_some_and(|severity| self.0.shows(severity))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = [
            (Severity::Debug, LevelFilter::DEBUG),
            (Severity::Info, LevelFilter::INFO),
            (Severity::Warning, LevelFilter::WARN),
            (Severity::Critical, LevelFilter::ERROR),
        ];
        let shown = levels.into_iter().find(|(severity, _)| self.0.shows(*severity));
        Some(shown.map_or(LevelFilter::OFF, |(_, filter)| filter))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(severity) = Severity::of(event.metadata()) {
            let mut text = Text::default();
            event.record(&mut text);
            let message = text.message + &text.fields;
            if !self.0.taken_by().is_some_and(|foreign| foreign.record(severity, &message)) {
                self.0.record(severity, &message);
            }
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
