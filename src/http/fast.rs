//! The parser for the requests that nearly all clients send: httparse, which reads many bytes at a
//! time, and then one pass over its fields with the checks it does not make.

use std::mem::{MaybeUninit, replace};

use httparse::{Header, Request, Status};

use super::chars::{has_underscore, same};
use super::fields::{Field, MAX_HEAD, Span};
use super::forwarded::Underscore;
use super::framing::{self, Framing, Wish};
use super::head::{Facts, HeadParser, HeadStore, Stage};
use super::strict::is_method;

/// Requests with more fields are left to the strict parser.
const MAX_FIELDS: usize = 64;

/// Parses a head that is complete and beyond doubt, into a store that is empty. False leaves the rest to the strict parser,
/// whose answer would be the same wherever this one says true.
pub(super) fn parse(parser: &HeadParser, store: &mut HeadStore, buf: &[u8]) -> bool {
    // httparse would skip any number of empty lines.
    let skip = if buf.starts_with(b"\r\n") { 2 } else { 0 };
    let input = &buf[skip..];
    if matches!(input, [] | [b'\r' | b'\n', ..]) || buf.len() > MAX_HEAD {
        return false;
    }
    let mut room = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut request = Request::new(&mut []);
    let Ok(Status::Complete(len)) = request.parse_with_uninit_headers(input, &mut room) else {
        return false;
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return false;
    };
    let (method, target) = (method.as_bytes(), target.as_bytes());
    let line = method.len() + target.len() + " ".len() + " HTTP/1.1".len();
    let plain = line <= parser.limits.line
        && request.headers.len() <= parser.limits.fields
        && input[..len].ends_with(b"\r\n\r\n")
        && target[0] == b'/'
        && target.is_ascii()
        && is_method(method)
        && method != b"CONNECT";
    if !plain {
        return false;
    }
    let facts = Facts {
        method: Span::new(skip, method.len()),
        target: Span::new(skip + method.len() + 1, target.len()),
        version: (1, minor),
        minor,
        end: skip + len,
        ..Facts::default()
    };
    store.fields.reserve(request.headers.len());
    let (wish, content_type) = (Wish::None, false);
    let mut pass = Pass { parser, trusted: store.trusted, facts, wish, content_type };
    let base = input.as_ptr().addr();
    let mut start = line + 2;
    for (index, header) in request.headers.iter().enumerate() {
        let name = header.name.as_bytes();
        let at = name.as_ptr().addr() - base;
        let next = match request.headers.get(index + 1) {
            Some(next) => next.name.as_ptr().addr() - base,
            None => len - 2,
        };
        // Positions are only right if each line before ended with CRLF, not with LF alone.
        if at != start || input[next - 2] != b'\r' || next - at > parser.limits.field_size {
            return false;
        }
        start = next;
        let value = Span::new(skip + (header.value.as_ptr().addr() - base), header.value.len());
        match pass.field(name, header.value, value) {
            Some(true) => {
                store.fields.push(Field { name: Span::new(skip + at, name.len()), value });
            }
            Some(false) => store.drop_field(Span::new(skip + at, name.len())),
            None => return false,
        }
    }
    store.facts = Facts { keep_alive: pass.wish.keeps(minor), ..pass.facts };
    store.stage = Stage::Done;
    true
}

/// The state of the pass over the fields.
struct Pass<'a> {
    parser: &'a HeadParser,
    trusted: bool,
    facts: Facts,
    /// What the Connection fields ask for.
    wish: Wish,
    content_type: bool,
}

impl Pass<'_> {
    /// Takes note of a field: true to keep it, false to leave it out, none if in doubt.
    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8], span: Span) -> Option<bool> {
        let sure = match name.len() {
            4 if same(name, b"host") => self.facts.host.replace(span).is_none(),
            6 if same(name, b"expect") => {
                self.facts.expect_continue |= self.facts.minor >= 1;
                same(value, b"100-continue")
            }
            10 if same(name, b"connection") => {
                self.wish = self.wish.max(Wish::of(value));
                true
            }
            12 if same(name, b"content-type") => !replace(&mut self.content_type, true),
            14 if same(name, b"content-length") => {
                self.frame(Framing::Length(framing::content_length(value)?))
            }
            17 if same(name, b"transfer-encoding") => {
                self.facts.minor >= 1 && same(value, b"chunked") && self.frame(Framing::Chunked)
            }
            _ => true,
        };
        if self.trusted
            && let Some(secure) = self.parser.policy.secure_value(name)
        {
            let https = value == secure;
            if *self.facts.scheme_https.get_or_insert(https) != https {
                return None;
            }
        }
        if has_underscore(name) {
            match self.parser.policy.underscore(name, self.trusted) {
                Underscore::Keep => {}
                Underscore::Drop => return sure.then_some(false),
                Underscore::Refuse => return None,
            }
        }
        sure.then_some(true)
    }

    /// Sets the framing; false if there was one before.
    fn frame(&mut self, framing: Framing) -> bool {
        replace(&mut self.facts.framing, framing) == Framing::None
    }
}
