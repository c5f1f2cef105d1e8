//! The access log: one line per request, in the format of the setting `access_log_format`.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::Write;
use std::time::Duration;

use crate::log::output::Output;
use crate::sys::time::access_stamp;

mod escape;
mod format;
mod user;

pub use format::AccessFormat;

use escape::{escape, escape_utf8, keep_escapes_whole};
use format::{Atom, Segment, Spec};

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

/// Finds what a format may ask for beyond the facts that every request has.
pub trait Lookup {
    /// The value of a header or variable, in ISO 8859-1; `None` if it is not there.
    fn find(&self, source: Source, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// The facts about one request and its response. Bytes are as they came from the client or from the
/// application, as ISO 8859-1 (PEP 3333's "bytes as unicode").
pub struct Entry<'a> {
    /// `None` is shown as `-`; clients of unix sockets have an empty one.
    pub remote_addr: Option<&'a [u8]>,
    pub method: &'a [u8],
    /// The request target as received.
    pub target: &'a [u8],
    /// `PATH_INFO`: percent-decoded.
    pub path: &'a [u8],
    pub query: &'a [u8],
    /// Of the request: (1, 1) for HTTP/1.1.
    pub version: (u8, u8),
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

/// An output and what is written to it.
pub struct AccessLog {
    format: AccessFormat,
    output: Output,
}

impl AccessLog {
    pub(super) fn new(format: AccessFormat, output: Output) -> Self {
        Self { format, output }
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Writes the line of one request with one write(2). Failures are ignored.
    pub fn log(&self, entry: &Entry<'_>) {
        thread_local! {
            static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        let mut line = LINE.take();
        line.clear();
        self.format.write(&mut line, entry);
        self.output.write(&line);
        LINE.set(line);
    }
}

impl AccessFormat {
    /// Appends the line of one request, newline included.
    pub fn write(&self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => out.extend_from_slice(text.as_bytes()),
                Segment::Atom(atom, None) => entry.write(atom, out),
                Segment::Atom(atom, Some(spec)) => {
                    let mut value = Vec::new();
                    entry.write(atom, &mut value);
                    spec.write(out, &String::from_utf8_lossy(&value));
                }
            }
        }
        out.push(b'\n');
    }
}

impl Entry<'_> {
    fn write(&self, atom: &Atom, out: &mut Vec<u8>) {
        let elapsed = self.elapsed;
        match atom {
            Atom::RemoteAddr => value(out, self.remote_addr),
            Atom::User => match self.lookup.find(Source::Request, "authorization") {
                Some(header) => match user::of(&header) {
                    Some(name) => escape_utf8(out, &name),
                    None => out.push(b'-'),
                },
                None => out.push(b'-'),
            },
            Atom::Time => out.extend_from_slice(&access_stamp()),
            Atom::Request => {
                escape(out, self.method, false);
                out.push(b' ');
                escape(out, self.target, false);
                out.push(b' ');
                self.protocol(out);
            }
            Atom::Status => escape(out, self.status.map_or(b"None", first_word), true),
            Atom::Method => escape(out, self.method, true),
            Atom::Path => escape(out, self.path, true),
            Atom::Query => escape(out, self.query, true),
            Atom::Protocol => self.protocol(out),
            Atom::Bytes => number(out, u128::from(self.sent)),
            Atom::Seconds => number(out, u128::from(elapsed.as_secs())),
            Atom::Milliseconds => number(out, elapsed.as_millis()),
            Atom::Microseconds => number(out, elapsed.as_micros()),
            Atom::DecimalSeconds => decimal_seconds(out, elapsed),
            Atom::DecimalWait => decimal_seconds(out, self.waited),
            Atom::Pid => {
                let _ = write!(out, "<{}>", self.pid);
            }
            Atom::Header(source, name) => value(out, self.lookup.find(*source, name).as_deref()),
            Atom::Missing => out.push(b'-'),
        }
    }

    fn protocol(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "HTTP/{}.{}", self.version.0, self.version.1);
    }
}

fn first_word(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    text.split(u8::is_ascii_whitespace).next().unwrap_or_default()
}

fn value(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    escape(out, bytes.unwrap_or(b"-"), true);
}

fn number(out: &mut Vec<u8>, number: u128) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn decimal_seconds(out: &mut Vec<u8>, time: Duration) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{}.{:06}", time.as_secs(), time.subsec_micros());
}

impl Spec {
    /// Appends `value` with the width, sign and precision of the conversion, as Python's `%` does.
    fn write(&self, out: &mut Vec<u8>, value: &str) {
        let mut text = String::new();
        if self.number {
            text.extend(self.sign);
            let digits = value.chars().count();
            let zeros = self.precision.unwrap_or(0).saturating_sub(digits);
            text.extend(std::iter::repeat_n('0', zeros));
            if self.zero {
                let width = text.chars().count() + digits;
                text.extend(std::iter::repeat_n('0', self.width.saturating_sub(width)));
            }
            text.push_str(value);
        } else {
            let precision = self.precision.unwrap_or(usize::MAX);
            text.extend(value.chars().take(precision));
            keep_escapes_whole(&mut text, precision);
        }
        let padding = self.width.saturating_sub(text.chars().count());
        let spaces = std::iter::repeat_n(b' ', padding);
        if self.left {
            out.extend_from_slice(text.as_bytes());
            out.extend(spaces);
        } else {
            out.extend(spaces);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
