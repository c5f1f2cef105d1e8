//! Header and trailer lines, one after the other, as they arrive: the rules for a single line and
//! the walk over a section up to its empty line.

use memchr::{memchr, memmem};

use super::chars::{has_underscore, is_field_text, is_token, same, trim, trim_start};
use super::forwarded::{Policy, Underscore};
use super::limits::Limits;
use super::reject::Reject;

/// Where a piece of a head lies in its buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Positions beyond 4 GiB are refused before a span is made ([`MAX_HEAD`]).
    pub(super) fn new(start: usize, len: usize) -> Self {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: narrow(start), len: narrow(len) }
    }

    /// The bytes in `buf`; empty if `buf` is not the buffer the span was made for.
    pub(super) fn of(self, buf: &[u8]) -> &[u8] {
        let start = self.start as usize;
        buf.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// Largest head in bytes, whatever the limits: what a [`Span`] can address.
pub(super) const MAX_HEAD: usize = u32::MAX as usize;

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// What the lines of a section have shown so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    count: usize,
    host: bool,
    content_type: bool,
    pub(super) expect_continue: bool,
    pub(super) scheme_https: Option<bool>,
}

/// Where the section stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Head {
        /// Whether the peer may set the headers of a proxy.
        trusted: bool,
        /// Minor version of the request.
        minor: u8,
    },
    Trailer,
}

/// The rules for the lines of one section.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) limits: &'a Limits,
    pub(super) policy: &'a Policy,
    pub(super) place: Place,
}

impl Rules<'_> {
    /// Checks one line (without CRLF) that lies at `start` and is followed by the byte `next`, if
    /// that is known. None for a field that is to be left out.
    ///
    /// A line over the size limit is judged by its first bytes only, so that the answer does not
    /// depend on how much of it has arrived: it is always refused.
    fn check(
        &self,
        seen: &mut Seen,
        start: usize,
        line: &[u8],
        next: Option<u8>,
    ) -> Result<Option<Field>, Reject> {
        let size = self.limits.field_size;
        self.room(seen)?;
        seen.count += 1;
        let too_large = || Reject::fields_too_large("limit request headers fields size");
        let oversized = line.len() + 2 > size;
        let line = if oversized { &line[..line.len().min(size.saturating_sub(1))] } else { line };
        let Some(colon) = memchr(b':', line).filter(|&at| at > 0) else {
            return Err(if oversized { too_large() } else { Reject::field(line) });
        };
        let (name, raw_value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) {
            return Err(Reject::field_name(name));
        }
        let upper = || name.to_ascii_uppercase();
        if matches!(self.place, Place::Trailer) && forbidden_in_trailers(name) {
            return Err(Reject::field_name(&upper()));
        }
        if !oversized && matches!(next, Some(b' ' | b'\t')) {
            return Err(Reject::folding(&upper()));
        }
        if !is_field_text(raw_value) {
            return Err(Reject::field(&upper()));
        }
        if oversized {
            return Err(too_large());
        }
        let value = trim(raw_value);
        let value_start = start + line.len() - trim_start(raw_value).len();
        let keep = self.admit(seen, name, value)?;
        Ok(keep.then(|| Field {
            name: Span::new(start, colon),
            value: Span::new(value_start, value.len()),
        }))
    }

    /// Whether the limit allows another field.
    fn room(&self, seen: &Seen) -> Result<(), Reject> {
        if seen.count < self.limits.fields {
            Ok(())
        } else {
            Err(Reject::fields_too_large("limit request headers fields"))
        }
    }

    /// Applies the rules that look at what a header means; false if it is to be left out.
    fn admit(&self, seen: &mut Seen, name: &[u8], value: &[u8]) -> Result<bool, Reject> {
        let once = if same(name, b"host") {
            Some(&mut seen.host)
        } else if same(name, b"content-type") {
            Some(&mut seen.content_type)
        } else {
            None
        };
        if let Some(already) = once {
            if *already {
                return Err(Reject::field(&name.to_ascii_uppercase()).with_request());
            }
            *already = true;
        }
        let trusted = match self.place {
            Place::Trailer => false,
            Place::Head { trusted, minor } => {
                if same(name, b"expect") {
                    if !same(value, b"100-continue") {
                        return Err(Reject::expectation(value));
                    }
                    // RFC 9110 section 10.1.1: HTTP/1.0 has no interim responses.
                    seen.expect_continue |= minor >= 1;
                }
                trusted
            }
        };
        if trusted && let Some(secure) = self.policy.secure_value(name) {
            let https = value == secure;
            if *seen.scheme_https.get_or_insert(https) != https {
                return Err(Reject::scheme());
            }
        }
        if !has_underscore(name) {
            return Ok(true);
        }
        match self.policy.underscore(name, trusted) {
            Underscore::Keep => Ok(true),
            Underscore::Drop => Ok(false),
            Underscore::Refuse => Err(Reject::field_name(&name.to_ascii_uppercase())),
        }
    }
}

/// Fields that would change routing, framing or authentication after the fact (RFC 9110 section
/// 6.5.1).
fn forbidden_in_trailers(name: &[u8]) -> bool {
    same(name, b"host")
        || same(name, b"content-length")
        || same(name, b"transfer-encoding")
        || same(name, b"trailer")
        || same(name, b"authorization")
        || same(name, b"te")
}

/// A walk over the lines of a section that may arrive in pieces.
///
/// A line is judged when it is complete and the byte after it is there (which tells a folded line),
/// so that each byte is looked at a bounded number of times however the input is cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// Start of the first line that has not been judged.
    start: usize,
    /// No line feed that is not yet dealt with lies before this position.
    searched: usize,
    pub(super) seen: Seen,
}

impl Section {
    /// A section whose first line starts at `start`.
    pub(super) fn at(start: usize) -> Self {
        Self { start, searched: start, seen: Seen::default() }
    }

    #[cfg(test)]
    pub(super) fn searched(&self) -> usize {
        self.searched
    }

    /// Walks on; `buf` holds what it held at the last call and perhaps more. Gives the position
    /// after the empty line that ends the section, or none while that has not arrived.
    pub(super) fn advance(
        &mut self,
        rules: Rules<'_>,
        buf: &[u8],
        mut keep: impl FnMut(Field),
    ) -> Result<Option<usize>, Reject> {
        let size = rules.limits.field_size;
        loop {
            let rest = buf.get(self.searched..).unwrap_or_default();
            let Some(feed) = memchr(b'\n', rest).map(|at| self.searched + at) else {
                self.searched = buf.len();
                let tail = &buf[self.start..];
                if tail.len() > size {
                    rules.check(&mut self.seen, self.start, tail, None)?;
                }
                return Ok(None);
            };
            let line = &buf[self.start..feed];
            let Some((b'\r', line)) = line.split_last() else {
                return Err(self.bare_feed(rules, buf, feed));
            };
            if line.is_empty() {
                return Ok(Some(feed + 1));
            }
            let next = buf.get(feed + 1).copied();
            if next.is_none() && line.len() + 2 <= size {
                self.searched = feed;
                return Ok(None);
            }
            if let Some(field) = rules.check(&mut self.seen, self.start, line, next)? {
                keep(field);
            }
            self.start = feed + 1;
            self.searched = self.start;
        }
    }

    /// The refusal of a line feed without a carriage return (RFC 9112 section 2.2).
    ///
    /// If the end of the section is in the buffer, the feed is blamed on the line it stands in, as
    /// any other control byte.
    fn bare_feed(&mut self, rules: Rules<'_>, buf: &[u8], feed: usize) -> Reject {
        let size = rules.limits.field_size;
        let before = &buf[self.start..feed];
        let after = &buf[feed..];
        let line = if before.len() + 1 >= size {
            // The line was too long before the feed, and that is what is wrong with it.
            Some(before)
        } else if memmem::find(after, b"\r\n\r\n").is_some() {
            let end = memmem::find(after, b"\r\n").map_or(feed, |end| feed + end);
            // Cut so that the length is not what it is refused for.
            Some(&buf[self.start..end.min(self.start + size - 2)])
        } else {
            None
        };
        let reject = match line {
            Some(line) => rules.check(&mut self.seen, self.start, line, None).err(),
            None => rules.room(&self.seen).err(),
        };
        reject.unwrap_or_else(|| Reject::field(b"bare LF as line terminator"))
    }
}
