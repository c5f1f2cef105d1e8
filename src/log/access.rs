//! The access log: one line per request, in the format of the setting `access_log_format` or as JSON.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::log::error::Severity;
use crate::log::output::Output;
use crate::log::statsd::Statsd;
use crate::log::syslog::Syslog;
use crate::sys::process;
use crate::sys::time::access_stamp;

mod convert;
mod escape;
mod format;
mod json;
mod user;

pub use format::AccessFormat;

use convert::{Letter, Plain};
use escape::{escape, escape_utf8};
use format::{Atom, Segment};

/// Where a looked-up value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A request header; the name is in lower case. Of several equal ones the last counts.
    Request,
    /// A response header of the application; the name is in lower case. Of several the last counts.
    Response,
    /// A variable of the WSGI environ. The name is as the format has it, and case does not matter:
    /// `remote_addr` stands for `REMOTE_ADDR`.
    Environ,
}

/// A value that was found.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// In ISO 8859-1 (PEP 3333's "bytes as unicode").
    Bytes(&'a [u8]),
    /// Text that ISO 8859-1 does not have.
    Text(&'a str),
    /// What Python prints of what is no text.
    Object(&'a str),
}

/// Finds what a line may show of a request and its response.
pub trait Lookup {
    /// Shows the value of a header or variable; `false` if it is not there.
    fn find(&self, source: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool;
}

/// One request and its response. As in gunicorn it is the environ that is shown, which middleware may
/// have corrected.
pub struct Entry<'a> {
    /// The first line of what was no request, as it came.
    pub line: Option<&'a [u8]>,
    /// The status line's text, `200 OK`; `None` if the application never started a response.
    pub status: Option<&'a [u8]>,
    /// Bytes of the body, before chunking.
    pub sent: u64,
    pub elapsed: Duration,
    /// How long the request waited, complete, until it was handled.
    pub waited: Duration,
    pub pid: u32,
    pub lookup: &'a dyn Lookup,
}

/// What a line looks like.
#[derive(Debug)]
pub enum Form {
    Text(AccessFormat),
    Json,
}

impl Form {
    /// Reads the setting `access_log_format`.
    ///
    /// # Errors
    /// See [`AccessFormat::compile`].
    pub fn parse(setting: &str) -> Result<Self, Error> {
        match setting {
            "json" => Ok(Self::Json),
            format => AccessFormat::compile(format).map(Self::Text),
        }
    }

    /// Appends the line of one request, newline included.
    pub fn write(&self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        match self {
            Self::Text(format) => format.write(out, entry),
            Self::Json => json::write(out, entry),
        }
    }
}

/// What becomes of requests that were answered.
#[derive(Debug)]
pub struct AccessLog {
    pub form: Form,
    pub output: Option<Output>,
    pub syslog: Option<Syslog>,
    pub statsd: Option<Arc<Statsd>>,
    held: Held,
}

/// Lines of responses that have not gone out yet.
#[derive(Debug, Default)]
struct Held {
    lines: Mutex<Vec<u8>>,
    any: AtomicBool,
}

/// No more is held than that many bytes.
const MOST_HELD: usize = 64 * 1024;

impl AccessLog {
    pub(super) fn new(
        form: Form,
        output: Option<Output>,
        syslog: Option<Syslog>,
        statsd: Option<Arc<Statsd>>,
    ) -> Self {
        Self { form, output, syslog, statsd, held: Held::default() }
    }

    /// Deals with one request: its line is written with one write(2), or `hold` until those of other
    /// requests are. Failures are ignored.
    pub fn log(&self, entry: &Entry<'_>, hold: bool) {
        thread_local! {
            static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        if self.output.is_some() || self.syslog.is_some() {
            let mut line = LINE.take();
            line.clear();
            self.form.write(&mut line, entry);
            if let Some(output) = &self.output {
                if hold {
                    self.hold(&line);
                } else {
                    self.write_held();
                    output.write(&line);
                }
            }
            if let Some(syslog) = &self.syslog {
                syslog.send(Severity::Info, entry.pid, line.strip_suffix(b"\n").unwrap_or(&line));
            }
            LINE.set(line);
        }
        // What is no request does not count as one.
        if let Some(statsd) = self.statsd.as_ref().filter(|_| entry.line.is_none()) {
            statsd.count_request(entry.status_code(), entry.elapsed);
        }
    }

    /// Writes a line that was made elsewhere, with its line break.
    pub fn write_text(&self, line: &[u8]) {
        self.write_held();
        if let Some(output) = &self.output {
            output.write(line);
        }
        if let Some(syslog) = &self.syslog {
            syslog.send(
                Severity::Info,
                std::process::id(),
                line.strip_suffix(b"\n").unwrap_or(line),
            );
        }
    }

    fn hold(&self, line: &[u8]) {
        let mut lines = self.held.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(line);
        self.held.any.store(true, Ordering::Release);
        if lines.len() > MOST_HELD {
            self.write(&mut lines);
        }
    }

    /// Writes the lines that are held. A copy of the worker that the application has made leaves them to
    /// the worker; there the lock may be held by a thread that was not copied.
    pub fn write_held(&self) {
        if self.held.any.load(Ordering::Acquire) && !process::is_copy() {
            self.write(&mut self.held.lines.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn write(&self, lines: &mut Vec<u8>) {
        self.held.any.store(false, Ordering::Release);
        if let Some(output) = &self.output {
            output.write(lines);
        }
        lines.clear();
    }
}

impl AccessFormat {
    /// Appends the line of one request, newline included.
    pub fn write(&self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => out.extend_from_slice(text.as_bytes()),
                Segment::Atom(atom, None) => entry.write(atom, out),
                Segment::Atom(atom, Some(spec)) if spec.letter == Letter::Text => {
                    let mut value = Vec::new();
                    entry.write(atom, &mut value);
                    spec.cut(out, String::from_utf8_lossy(&value).into_owned());
                }
                Segment::Atom(atom, Some(spec)) => spec.write(out, &entry.plain(atom)),
            }
        }
        out.push(b'\n');
    }
}

impl Entry<'_> {
    fn write(&self, atom: &Atom, out: &mut Vec<u8>) {
        match atom {
            Atom::User => self.user(out),
            Atom::Time => out.extend_from_slice(&access_stamp()),
            Atom::Request => match self.line {
                Some(line) => escape(out, line, true),
                None => self.request_line(out),
            },
            Atom::Status => escape(out, self.status.map_or(b"None", first_word), true),
            Atom::Bytes | Atom::BytesText => number(out, self.sent),
            Atom::Seconds => number(out, self.elapsed.as_secs()),
            Atom::Milliseconds => number(out, self.elapsed.as_millis()),
            Atom::Microseconds => number(out, self.elapsed.as_micros()),
            Atom::DecimalSeconds => decimal_seconds(out, self.elapsed),
            Atom::DecimalWait => decimal_seconds(out, self.waited),
            Atom::Pid => {
                out.push(b'<');
                number(out, self.pid);
                out.push(b'>');
            }
            Atom::Named(source, name) => self.named(out, *source, name, true),
            Atom::Missing => out.push(b'-'),
        }
    }

    /// The value as it is, for conversions that escape it themselves.
    fn plain(&self, atom: &Atom) -> Plain {
        let named = |source, name: &str| {
            let mut plain = None;
            self.lookup.find(source, name, &mut |value| {
                plain = Some(match value {
                    Value::Bytes(bytes) => Plain::Text(latin1(bytes)),
                    Value::Text(text) => Plain::Text(text.to_owned()),
                    Value::Object(text) => Plain::Object(text.to_owned()),
                });
            });
            plain.unwrap_or_else(|| Plain::Text("-".to_owned()))
        };
        match atom {
            Atom::User => Plain::Text(self.user_name().unwrap_or_else(|| "-".to_owned())),
            Atom::Request => Plain::Text(match self.line {
                Some(line) => latin1(line),
                None => ["REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL"]
                    .map(|name| match named(Source::Environ, name) {
                        Plain::Text(text) | Plain::Object(text) => text,
                    })
                    .join(" "),
            }),
            Atom::Status => match self.status {
                Some(status) => Plain::Text(latin1(first_word(status))),
                None => Plain::Object("None".to_owned()),
            },
            Atom::Named(source, name) => named(*source, name),
            _ => {
                // Nothing in these is to be escaped.
                let mut text = Vec::new();
                self.write(atom, &mut text);
                let text = latin1(&text);
                if atom.is_number() { Plain::Object(text) } else { Plain::Text(text) }
            }
        }
    }

    /// `METHOD TARGET PROTOCOL`.
    fn request_line(&self, out: &mut Vec<u8>) {
        self.named(out, Source::Environ, "REQUEST_METHOD", false);
        out.push(b' ');
        self.named(out, Source::Environ, "RAW_URI", false);
        out.push(b' ');
        self.named(out, Source::Environ, "SERVER_PROTOCOL", true);
    }

    fn named(&self, out: &mut Vec<u8>, source: Source, name: &str, end: bool) {
        let found = self.lookup.find(source, name, &mut |value| match value {
            Value::Bytes(bytes) => escape(out, bytes, end),
            Value::Text(text) | Value::Object(text) => escape_utf8(out, text),
        });
        if !found {
            out.push(b'-');
        }
    }

    fn user(&self, out: &mut Vec<u8>) {
        match self.user_name() {
            Some(name) => escape_utf8(out, &name),
            None => out.push(b'-'),
        }
    }

    /// The name in the credentials of Basic authentication.
    fn user_name(&self) -> Option<String> {
        let mut name = None;
        self.lookup.find(Source::Environ, "HTTP_AUTHORIZATION", &mut |value| {
            name = match value {
                Value::Bytes(bytes) => user::of(bytes),
                Value::Text(text) | Value::Object(text) => user::of(text.as_bytes()),
            };
        });
        name
    }

    fn status_code(&self) -> Option<u16> {
        str::from_utf8(first_word(self.status?)).ok()?.parse().ok()
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn first_word(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    text.split(u8::is_ascii_whitespace).next().unwrap_or_default()
}

fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn decimal_seconds(out: &mut Vec<u8>, time: Duration) {
    number(out, time.as_secs());
    let mut digits = *b".000000";
    let mut micros = time.subsec_micros();
    for digit in digits[1..].iter_mut().rev() {
        // A digit fits into a byte.
        *digit = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests;
