//! Header and trailer lines, one after the other, as they arrive: the rules for a single line and
//! the walk over a section up to its empty line.

use memchr::{memchr, memmem};

use super::chars::{has_underscore, is_field_text, is_token, same, trim, trim_end, trim_start};
use super::forwarded::Underscore;
use super::head::HeadParser;
use super::reject::Reject;

/// Where a piece of a head lies: in the buffer the head arrived in, or, if it is not there in one
/// piece and as it is meant, in the buffer at its side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// The bit of `start` that tells a piece in the side buffer.
    const ASIDE: u32 = 1 << 31;

    /// A section that reaches beyond [`MAX_HEAD`] is refused before its spans are used.
    #[expect(clippy::cast_possible_truncation, reason = "see above; this is on the fast path")]
    pub(super) fn new(start: usize, len: usize) -> Self {
        Self { start: start as u32, len: len as u32 }
    }

    /// What has been put into the side buffer since it was `start` bytes long.
    fn aside(side: &[u8], start: usize) -> Self {
        let Self { start, len } = Self::new(start, side.len() - start);
        Self { start: start | Self::ASIDE, len }
    }

    /// `bytes` in upper case, which are put into the side buffer.
    pub(super) fn upper(bytes: &[u8], side: &mut Vec<u8>) -> Self {
        let start = side.len();
        side.extend(bytes.iter().map(u8::to_ascii_uppercase));
        Self::aside(side, start)
    }

    /// The bytes in `buf` or `side`; empty if these are not the buffers the span was made for. `buf`
    /// is not larger than [`MAX_HEAD`].
    #[inline]
    pub(super) fn of<'b>(self, buf: &'b [u8], side: &'b [u8]) -> &'b [u8] {
        // A piece in the side buffer is beyond the end of any other, so that what is usual needs no
        // look at the bit.
        match buf.get(self.start as usize..self.start as usize + self.len as usize) {
            Some(bytes) => bytes,
            None => self.of_side(side),
        }
    }

    #[cold]
    fn of_side(self, side: &[u8]) -> &[u8] {
        let start = (self.start & !Self::ASIDE) as usize;
        let found = side.get(start..start + self.len as usize);
        found.filter(|_| self.start & Self::ASIDE != 0).unwrap_or_default()
    }
}

/// Largest head in bytes, whatever the limits: what a [`Span`] can address.
pub(super) const MAX_HEAD: usize = i32::MAX as usize;

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// What becomes of a field that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep(Field),
    /// The policy leaves it out; this is the name.
    Drop(Span),
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
        /// Minor version of HTTP/1 by whose rules the request is read.
        minor: u8,
    },
    Trailer,
}

/// The rules for the lines of one section.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) parser: &'a HeadParser,
    pub(super) place: Place,
}

impl Rules<'_> {
    /// Checks one field (without its last CRLF) that lies at `start` and is followed by the byte
    /// `next`, if that is known. If folding is permitted, the field is all of its lines; a joined
    /// value is put into `side`.
    ///
    /// A field over the size limit is judged by its first bytes only, so that the answer does not
    /// depend on how much of it has arrived: it is always refused.
    fn check(
        &self,
        seen: &mut Seen,
        start: usize,
        text: &[u8],
        next: Option<u8>,
        side: &mut Vec<u8>,
    ) -> Result<Verdict, Reject> {
        let limit = self.parser.limits.field_size;
        let lenient = &self.parser.lenient;
        self.room(seen)?;
        seen.count += 1;
        let too_large = || Reject::fields_too_large("limit request headers fields size");
        let oversized = text.len() + 2 > limit;
        let text = if oversized { &text[..text.len().min(limit.saturating_sub(1))] } else { text };
        let (line, folded) = if lenient.obsolete_folding { split_line(text) } else { (text, None) };
        let Some(colon) = memchr(b':', line).filter(|&at| at > 0) else {
            return Err(if oversized { too_large() } else { Reject::field(line) });
        };
        let (name, raw_value) = (&line[..colon], &line[colon + 1..]);
        let name = if lenient.header_spaces { trim_end(name) } else { name };
        if !is_token(name) {
            return Err(Reject::field_name(name));
        }
        let upper = || name.to_ascii_uppercase();
        if matches!(self.place, Place::Trailer) && forbidden_in_trailers(name) {
            return Err(Reject::field_name(&upper()));
        }
        if oversized && lenient.obsolete_folding {
            // The piece may end within a fold, so that its control bytes say nothing.
            return Err(too_large());
        }
        if !oversized && !lenient.obsolete_folding && matches!(next, Some(b' ' | b'\t')) {
            return Err(Reject::folding(&upper()));
        }
        let (value, value_span) = if folded.is_some() {
            let span = unfold(raw_value, folded, side);
            (span.of(&[], side), span)
        } else {
            let value = trim(raw_value);
            (value, Span::new(start + line.len() - trim_start(raw_value).len(), value.len()))
        };
        if !is_field_text(value) {
            return Err(Reject::field(&upper()));
        }
        if oversized {
            return Err(too_large());
        }
        let keep = self.admit(seen, name, value)?;
        let name = Span::new(start, name.len());
        Ok(if keep {
            Verdict::Keep(Field { name, value: value_span })
        } else {
            Verdict::Drop(name)
        })
    }

    /// Whether the limit allows another field.
    fn room(&self, seen: &Seen) -> Result<(), Reject> {
        if seen.count < self.parser.limits.fields {
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
        if trusted && let Some(secure) = self.parser.policy.secure_value(name) {
            let https = value == secure;
            if *seen.scheme_https.get_or_insert(https) != https {
                return Err(Reject::scheme());
            }
        }
        if !has_underscore(name) {
            return Ok(true);
        }
        match self.parser.policy.underscore(name, trusted) {
            Underscore::Keep => Ok(true),
            Underscore::Drop => Ok(false),
            Underscore::Refuse => Err(Reject::field_name(&name.to_ascii_uppercase())),
        }
    }
}

/// The first line of `text`, and what follows its CRLF, if it has one.
fn split_line(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memmem::find(text, b"\r\n") {
        Some(end) => (&text[..end], Some(&text[end + 2..])),
        None => (text, None),
    }
}

/// Joins the lines of a folded field: `first` is the value in its first line, `rest` are the others.
///
/// The blanks around each piece are removed, and one is put between any two. A value whose first
/// piece is empty therefore begins with a blank, as with gunicorn: `5` in a line of its own is not a
/// Content-Length.
fn unfold(first: &[u8], mut rest: Option<&[u8]>, side: &mut Vec<u8>) -> Span {
    let start = side.len();
    side.extend_from_slice(trim(first));
    while let Some(lines) = rest {
        let (line, more) = split_line(lines);
        side.push(b' ');
        side.extend_from_slice(trim(line));
        rest = more;
    }
    Span::aside(side, start)
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

    /// Walks on; `buf` and `side` hold what they held at the last call, and `buf` perhaps more. Gives
    /// the position after the empty line that ends the section, or none while that has not arrived.
    pub(super) fn advance(
        &mut self,
        rules: Rules<'_>,
        buf: &[u8],
        side: &mut Vec<u8>,
        mut take: impl FnMut(Verdict),
    ) -> Result<Option<usize>, Reject> {
        let limit = rules.parser.limits.field_size;
        let folding = rules.parser.lenient.obsolete_folding;
        loop {
            let rest = buf.get(self.searched..).unwrap_or_default();
            let Some(feed) = memchr(b'\n', rest).map(|at| self.searched + at) else {
                self.searched = buf.len();
                let tail = &buf[self.start..];
                if tail.len() > limit {
                    rules.check(&mut self.seen, self.start, tail, None, side)?;
                }
                return Ok(None);
            };
            let line = &buf[self.start..feed];
            let Some((b'\r', line)) = line.split_last() else {
                return Err(self.bare_feed(rules, buf, feed, side));
            };
            if line.is_empty() {
                return Ok(Some(feed + 1));
            }
            let next = buf.get(feed + 1).copied();
            if next.is_none() && line.len() + 2 <= limit {
                self.searched = feed;
                return Ok(None);
            }
            if folding && matches!(next, Some(b' ' | b'\t')) && line.len() + 2 <= limit {
                self.searched = feed + 1;
                continue;
            }
            take(rules.check(&mut self.seen, self.start, line, next, side)?);
            self.start = feed + 1;
            self.searched = self.start;
        }
    }

    /// The refusal of a line feed without a carriage return (RFC 9112 section 2.2).
    ///
    /// If the end of the section is in the buffer, the feed is blamed on the line it stands in, as
    /// any other control byte.
    fn bare_feed(
        &mut self,
        rules: Rules<'_>,
        buf: &[u8],
        feed: usize,
        side: &mut Vec<u8>,
    ) -> Reject {
        let limit = rules.parser.limits.field_size;
        let before = &buf[self.start..feed];
        let after = &buf[feed..];
        let line = if before.len() + 1 >= limit {
            // The line was too long before the feed, and that is what is wrong with it.
            Some(before)
        } else if memmem::find(after, b"\r\n\r\n").is_some() {
            let end = memmem::find(after, b"\r\n").map_or(feed, |end| feed + end);
            // Cut so that the length is not what it is refused for; but the feed has to be in it.
            let end = end.min(self.start + limit - 2);
            (end > feed).then(|| &buf[self.start..end])
        } else {
            None
        };
        let reject = match line {
            Some(line) => rules.check(&mut self.seen, self.start, line, None, side).err(),
            None => rules.room(&self.seen).err(),
        };
        reject.unwrap_or_else(|| Reject::field(b"bare LF as line terminator"))
    }
}
