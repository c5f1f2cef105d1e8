//! Lines of the access log, made of what a worker knows of a request.

use std::time::{Duration, Instant};

use crate::app::{AccessSink, Variables};
use crate::http::percent_decode;
use crate::log::access::{AccessLog, Entry, Lookup, Source, Value};
use crate::reactor::{Exchange, Outcome, Peer, Request, Summary};

/// What is shown of a line that is no request. Longer ones are refused for their length, by default.
const SHOWN: usize = 4096;

/// The access log line of one request.
pub struct Access<'a> {
    log: &'a AccessLog,
    pid: u32,
    started: Instant,
    hooked: bool,
}

impl<'a> Access<'a> {
    /// `hooked`: a hook may have changed the headers of the request.
    pub fn new(log: &'a AccessLog, pid: u32, hooked: bool) -> Self {
        Self { log, pid, started: Instant::now(), hooked }
    }
}

impl AccessSink for Access<'_> {
    fn line(
        &mut self,
        request: &Request<'_>,
        response: &Summary<'_>,
        environ: Option<&dyn Variables>,
    ) {
        if response.given_up {
            return;
        }
        let entry = Entry {
            line: None,
            status: response.status,
            sent: response.sent,
            elapsed: self.started.elapsed(),
            waited: request.waited,
            pid: self.pid,
            lookup: &Names { request, response, environ, hooked: self.hooked },
        };
        self.log.log(&entry, response.held);
    }
}

/// Where the access log finds headers and variables.
struct Names<'a> {
    request: &'a Request<'a>,
    response: &'a Summary<'a>,
    environ: Option<&'a dyn Variables>,
    hooked: bool,
}

impl Lookup for Names<'_> {
    fn find(&self, source: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        let found = match source {
            Source::Request if self.hooked && !self.is_repeated(name) => {
                // What the hook has made of it is in the environ.
                return self.environ.is_some_and(|environ| environ.find(&variable_of(name), show));
            }
            Source::Request => self.request.head.last(name.as_bytes()),
            Source::Response => self.response.headers.last(name.as_bytes()),
            Source::Environ => {
                return match self.environ {
                    Some(environ) => environ.find(name, show),
                    None => self.variable(name, show),
                };
            }
        };
        found.map(|value| show(Value::Bytes(value))).is_some()
    }
}

/// The variable that has the value of a header (RFC 3875 section 4.1.18).
fn variable_of(name: &str) -> String {
    match name.replace('-', "_").to_ascii_uppercase() {
        name if name == "CONTENT_TYPE" || name == "CONTENT_LENGTH" => name,
        name => format!("HTTP_{name}"),
    }
}

impl Names<'_> {
    /// Whether the request has several headers of this name, which the environ has in one.
    fn is_repeated(&self, name: &str) -> bool {
        let fields = self.request.head.fields();
        fields.filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).count() > 1
    }

    /// A variable of an environ that was not made.
    fn variable(&self, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        let head = &self.request.head;
        match name.to_ascii_uppercase().as_str() {
            "REMOTE_ADDR" => show(Value::Text(&self.request.peer.to_string())),
            "REQUEST_METHOD" => show(Value::Bytes(head.method())),
            "RAW_URI" => show(Value::Bytes(head.target())),
            "PATH_INFO" => show(Value::Bytes(&head.decoded_path())),
            "QUERY_STRING" => show(Value::Bytes(head.path_and_query().1)),
            "SERVER_PROTOCOL" => {
                let (major, minor) = head.version();
                show(Value::Text(&format!("HTTP/{major}.{minor}")));
            }
            name => {
                let Some(header) = name.strip_prefix("HTTP_") else { return false };
                let header = header.replace('_', "-");
                let Some(value) = head.last(header.as_bytes()) else { return false };
                show(Value::Bytes(value));
            }
        }
        true
    }
}

/// Logs what was refused before it was understood: its first line, and what can be told from that.
pub fn of_bytes(log: &AccessLog, bytes: &[u8], peer: Peer, status: &str, pid: u32) {
    let line = first_line(bytes);
    let entry = Entry {
        line: Some(line),
        status: Some(status.as_bytes()),
        sent: 0,
        elapsed: Duration::ZERO,
        waited: Duration::ZERO,
        pid,
        lookup: &Unread { peer, words: words(line) },
    };
    log.log(&entry, false);
}

/// Logs a request that was given up. The application still has the request itself; what the master is
/// shown of it has to do: method and target, which may be cut.
pub fn of_given_up(log: &AccessLog, exchange: &Exchange, line: &str, elapsed: Duration, pid: u32) {
    let Some((peer, minor)) = exchange.client() else { return };
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    let protocol = if minor == 0 { b"HTTP/1.0" } else { b"HTTP/1.1" };
    let lookup = Unread { peer, words: Some([method.as_bytes(), target.as_bytes(), protocol]) };
    let Outcome { status, sent, .. } = exchange.outcome();
    let status = status.as_deref();
    let waited = Duration::ZERO;
    log.log(&Entry { line: None, status, sent, elapsed, waited, pid, lookup: &lookup }, false);
}

/// Up to its end, as far as it has come.
fn first_line(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = bytes[blank..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    &line[..line.len().min(SHOWN)]
}

/// Method, target and protocol, if the line looks as if it had them.
fn words(line: &[u8]) -> Option<[&[u8]; 3]> {
    let mut words = line.split(|byte| *byte == b' ');
    let found = [words.next()?, words.next()?, words.next()?];
    (words.next().is_none() && found[2].starts_with(b"HTTP/")).then_some(found)
}

/// What can be told of a request whose head was not understood.
struct Unread<'a> {
    peer: Peer,
    words: Option<[&'a [u8]; 3]>,
}

impl Lookup for Unread<'_> {
    fn find(&self, source: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        if source != Source::Environ {
            return false;
        }
        let name = name.to_ascii_uppercase();
        if name == "REMOTE_ADDR" {
            show(Value::Text(&self.peer.to_string()));
            return true;
        }
        let Some([method, target, protocol]) = self.words else { return false };
        let mut parts = target.splitn(2, |byte| *byte == b'?');
        let (path, query) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match name.as_str() {
            "REQUEST_METHOD" => show(Value::Bytes(method)),
            "RAW_URI" => show(Value::Bytes(target)),
            "SERVER_PROTOCOL" => show(Value::Bytes(protocol)),
            "PATH_INFO" => show(Value::Bytes(&percent_decode(path))),
            "QUERY_STRING" => show(Value::Bytes(query)),
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{SHOWN, first_line, words};

    #[test]
    fn the_first_line_is_shown_as_far_as_it_came() {
        for (bytes, expected) in [
            (b"GET / HTTP/1.1\r\nHost".as_slice(), b"GET / HTTP/1.1".as_slice()),
            (b"\r\n\r\nBAD\r\n", b"BAD"),
            (b"half", b"half"),
            (b"", b""),
            (b"\n\n", b""),
        ] {
            assert_eq!(first_line(bytes), expected);
        }
        assert_eq!(first_line(&[b'x'; 10_000]).len(), SHOWN);
    }

    #[test]
    fn words_are_told_only_where_there_are_three() {
        assert_eq!(words(b"GET /a?b HTTP/1.1"), Some([b"GET".as_slice(), b"/a?b", b"HTTP/1.1"]));
        for line in [b"GET /".as_slice(), b"GET / HTTP/1.1 x", b"GET / FTP/1.0", b"\x16\x03"] {
            assert_eq!(words(line), None);
        }
    }
}
