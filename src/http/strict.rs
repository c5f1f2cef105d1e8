//! The parser that is right: takes a head in pieces and knows every rule and every message.

use memchr::memchr;

use super::chars::{is_token, same};
use super::fields::{MAX_HEAD, Place, Rules, Section, Span, Verdict};
use super::framing::{self, Wish};
use super::head::{Facts, HeadParser, HeadStore, Stage};
use super::lenient::Lenient;
use super::reject::Reject;
use super::{quote, target};

/// Looks at what has arrived since the last call; true if the head is complete.
pub(super) fn parse(
    parser: &HeadParser,
    store: &mut HeadStore,
    buf: &[u8],
) -> Result<bool, Reject> {
    let outcome = advance(parser, store, buf);
    if !matches!(outcome, Ok(false)) {
        store.stage = Stage::Done;
    }
    outcome
}

fn advance(parser: &HeadParser, store: &mut HeadStore, buf: &[u8]) -> Result<bool, Reject> {
    if matches!(store.stage, Stage::Start) {
        // RFC 9112 section 2.2: one empty line before the request line is ignored.
        let start = match buf {
            [] | [b'\r'] => return Ok(false),
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        };
        store.stage = Stage::Line { start, searched: start };
        // The fast parser may have left something when it gave up.
        store.clear();
    }
    if let Stage::Line { start, searched } = store.stage {
        let Some(feed) = request_line_end(parser.limits.line, start, searched, buf)? else {
            store.stage = Stage::Line { start, searched: buf.len() };
            return Ok(false);
        };
        let line = &buf[start..feed - 1];
        store.facts = request_line(parser.lenient, start, line, &mut store.side)?;
        store.stage = Stage::Fields(Section::at(feed + 1));
    }
    let Stage::Fields(section) = &mut store.stage else { return Ok(false) };
    let place = Place::Head { trusted: store.trusted, minor: store.facts.minor };
    let (fields, dropped) = (&mut store.fields, &mut store.dropped);
    let take = |verdict| match verdict {
        Verdict::Keep(field) => fields.push(field),
        Verdict::Drop(name) => dropped.push(name),
    };
    let end = match section.advance(Rules { parser, place }, buf, &mut store.side, take) {
        Ok(Some(end)) if end <= MAX_HEAD => end,
        Ok(None) if buf.len() <= MAX_HEAD => return Ok(false),
        Ok(_) => return Err(Reject::fields_too_large("max buffer headers")),
        Err(reject) => {
            // An access line for this request knows no headers, as with gunicorn.
            store.fields.clear();
            return Err(reject);
        }
    };
    store.facts.end = end;
    store.facts.expect_continue = section.seen.expect_continue;
    store.facts.scheme_https = section.seen.scheme_https;
    conclude(store, buf)?;
    Ok(true)
}

/// The position of the line feed that ends the request line, or none if it has not arrived.
fn request_line_end(
    limit: usize,
    start: usize,
    searched: usize,
    buf: &[u8],
) -> Result<Option<usize>, Reject> {
    let rest = buf.get(searched..).unwrap_or_default();
    let Some(feed) = memchr(b'\n', rest).map(|at| searched + at) else {
        let size = buf.len() - start;
        return if size.saturating_sub(2) > limit {
            Err(Reject::line_too_long(size, limit))
        } else {
            Ok(None)
        };
    };
    let before = feed - start;
    if before == 0 || buf[feed - 1] != b'\r' {
        // However it was cut, a line that is too long is refused for that.
        return Err(if before.saturating_sub(2) > limit {
            Reject::line_too_long(before, limit)
        } else {
            Reject::request_line(b"bare LF as line terminator")
        });
    }
    if before - 1 > limit {
        return Err(Reject::line_too_long(before - 1, limit));
    }
    Ok(Some(feed))
}

/// Reads `line`, which lies at `start`. A method that has to be changed is put into `side`.
fn request_line(
    lenient: Lenient,
    start: usize,
    line: &[u8],
    side: &mut Vec<u8>,
) -> Result<Facts, Reject> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(Reject::request_line(line));
    };
    if !(lenient.unconventional_method || is_method(method)) || !is_token(method) {
        return Err(Reject::method(method));
    }
    let folded = lenient.casefold_method && method.iter().any(u8::is_ascii_lowercase);
    let named = if folded { Span::upper(method, side) } else { Span::new(start, method.len()) };
    let name = if folded { named.of(&[], side) } else { method };
    if !target::is_valid(name, target) {
        return Err(Reject::request_line(line));
    }
    let (major, minor) = match version {
        [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
            (major - b'0', minor - b'0')
        }
        _ => return Err(Reject::version(&quote::text(version))),
    };
    if major != 1 && !lenient.unconventional_version {
        return Err(Reject::version(&format!("({major}, {minor})")));
    }
    Ok(Facts {
        method: named,
        target: Span::new(start + method.len() + 1, target.len()),
        version: (major, minor),
        // RFC 9110 section 2.5: nothing is known of the rules of other versions, so a later one is
        // taken for the last of these, and an earlier one for the first.
        minor: match major {
            0 => 0,
            1 => minor,
            _ => 1,
        },
        ..Facts::default()
    })
}

/// What gunicorn demands of a method beyond its being a token: all registered ones comply.
pub(super) fn is_method(method: &[u8]) -> bool {
    (3..=20).contains(&method.len())
        && !method.iter().any(|byte| byte.is_ascii_lowercase() || *byte == b'#')
}

/// Draws the conclusions for which all fields have to be known.
fn conclude(store: &mut HeadStore, buf: &[u8]) -> Result<(), Reject> {
    let (minor, head) = (store.facts.minor, store.head(buf));
    let message = framing::message(minor, head.fields())?;
    let named = |name: &[u8]| name == b"CONNECT";
    let options = head.fields().filter(|(name, _)| same(name, b"connection"));
    let wish = options.map(|(_, value)| Wish::of(value)).max().unwrap_or_default();
    let keep_alive = !message.must_close && !named(head.method()) && wish.keeps(minor);
    let host = store.fields.iter().find(|field| same(field.name.of(buf, &store.side), b"host"));
    store.facts.host = host.map(|field| field.value);
    store.facts.framing = message.framing;
    store.facts.keep_alive = keep_alive;
    Ok(())
}
