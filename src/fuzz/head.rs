//! Request heads.

use std::fmt;

use super::{Input, Refusal, SCHEMES, fields, find, is_text, is_token, lines, refusal, trim};
use crate::http::{Framing, Head, HeadParser, HeadStore, Parse, Reject, percent_decode};

/// The parser's answer, comparable.
pub(super) type Answer = Result<Option<Content>, Refusal>;

/// All that a head says, in a form that is made and compared quickly.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Content(Vec<u8>);

impl Content {
    pub(super) fn of(head: &Head<'_>) -> Self {
        let [major, minor] = [head.version().0, head.version().1];
        let (framing, length) = match head.framing() {
            Framing::None => (0, 0),
            Framing::Length(length) => (1, length),
            Framing::Chunked => (2, 0),
        };
        let https = head.scheme_https().map_or(2, u8::from);
        let keep_alive = u8::from(head.keep_alive());
        let expect_continue = u8::from(head.expect_continue());
        let has_host = u8::from(head.host().is_some());
        let rules = head.minor();
        let mut out =
            vec![major, minor, rules, framing, https, keep_alive, expect_continue, has_host];
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&head.len().to_le_bytes());
        // No field can contain the line feeds that end them here.
        for part in [head.method(), head.target(), head.host().unwrap_or_default()] {
            out.extend_from_slice(part);
            out.push(b'\n');
        }
        for part in head.fields().flat_map(|(name, value)| [name, value]).chain(head.dropped()) {
            out.extend_from_slice(part);
            out.push(b'\n');
        }
        Self(out)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Request heads: both parsers agree, arrival in pieces and what follows change nothing, and what is
/// accepted is what RFC 9112 says.
///
/// # Panics
/// One of these does not hold.
pub fn head(data: &[u8]) {
    let Some(input) = Input::new(data) else { return };
    let parser = input.parser();
    let wire = input.wire;
    let mut store = HeadStore::new(input.trusted());

    let outcome = parser.parse(&mut store, wire);
    if let Ok(Parse::Complete(head)) = &outcome {
        check(&input, head);
    }
    let whole = answer(outcome);
    assert_eq!(store.is_partial(), whole == Ok(None) && wire.len() > usize::from(wire == b"\r"));
    if let Err((.., true)) = whole {
        // For the access line.
        let head = store.head(wire);
        assert!(!head.method().is_empty() && !head.target().is_empty());
    }

    let mut other = HeadStore::new(input.trusted());
    assert_eq!(whole, answer(parser.parse_strictly(&mut other, wire)), "the strict parser agrees");
    for cuts in input.arrivals() {
        // A store that has been used is as good as a new one.
        other.reuse(input.trusted());
        assert_eq!(whole, in_pieces(&parser, &mut other, wire, &cuts), "in pieces {cuts:?}");
    }

    if whole != Ok(None) {
        let longer = [wire, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"].concat();
        other.reuse(input.trusted());
        assert_eq!(whole, answer(parser.parse(&mut other, &longer)), "what follows is no matter");
    }
    if let Ok(Some(_)) = whole {
        let len = store.head(wire).len();
        other.reuse(input.trusted());
        assert_eq!(Ok(None), answer(parser.parse(&mut other, &wire[..len - 1])), "one byte less");
        assert_eq!(whole, answer(parser.parse(&mut other, &wire[..len])), "the head alone");
        // Positions only: the bytes may move.
        let moved = wire[..len].to_vec();
        assert_eq!(whole, Ok(Some(Content::of(&store.head(&moved)))));
    }
    check_decoding(wire);
}

pub(super) fn answer(outcome: Result<Parse<'_>, Reject>) -> Answer {
    match outcome {
        Ok(Parse::Incomplete) => Ok(None),
        Ok(Parse::Complete(head)) => Ok(Some(Content::of(&head))),
        Err(reject) => Err(refusal(&reject)),
    }
}

fn in_pieces(parser: &HeadParser, store: &mut HeadStore, wire: &[u8], cuts: &[usize]) -> Answer {
    for &cut in cuts {
        let found = answer(parser.parse(store, &wire[..cut]));
        if found != Ok(None) {
            return found;
        }
    }
    Ok(None)
}

/// Compares an accepted head with what its lines say, read in the plainest way.
pub(super) fn check(input: &Input<'_>, head: &Head<'_>) {
    let wire = &input.wire[..head.len()];
    assert!(wire.ends_with(b"\r\n\r\n"));
    let text = wire.strip_prefix(b"\r\n").unwrap_or(wire);
    assert_eq!(find(text, b"\r\n\r\n"), Some(text.len() - 4), "the first empty line is the end");
    let lines = lines(&text[..text.len() - 4]);
    let (line, lines) = lines.split_first().expect("there is a request line");
    check_line(input, head, line);
    let fields = fields::read(input, lines);
    let found: Vec<_> = head.fields().collect();
    let expected: Vec<_> =
        fields.kept.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    assert_eq!(found, expected);
    assert_eq!(head.dropped().collect::<Vec<_>>(), fields.dropped);
    let minor = head.minor();

    let all = |wanted: &str| -> Vec<&[u8]> {
        let named = |(name, _): &&(&[u8], &[u8])| name.eq_ignore_ascii_case(wanted.as_bytes());
        found.iter().filter(named).map(|(_, value)| *value).collect()
    };
    let hosts = all("host");
    assert!(hosts.len() <= 1 && all("content-type").len() <= 1);
    assert_eq!(head.host(), hosts.first().copied());
    assert_eq!(head.last(b"hOST"), head.host());

    let expects = all("expect");
    assert!(expects.iter().all(|value| value.eq_ignore_ascii_case(b"100-continue")));
    assert_eq!(head.expect_continue(), minor >= 1 && !expects.is_empty());

    let codings = all("transfer-encoding").join(&b',');
    let plain = check_framing(head.framing(), minor, &all("content-length"), &codings);
    let options = all("connection").join(&b',').to_ascii_lowercase();
    let asks = |wanted: &[u8]| options.split(|byte| *byte == b',').any(|one| trim(one) == wanted);
    let wish = !asks(b"close") && (minor >= 1 || asks(b"keep-alive"));
    assert_eq!(head.keep_alive(), plain && head.method() != b"CONNECT" && wish);

    let secure: Vec<bool> = found
        .iter()
        .filter_map(|(name, value)| {
            let known = |(known, _): &&(&str, &str)| name.eq_ignore_ascii_case(known.as_bytes());
            SCHEMES.iter().find(known).map(|(_, https)| *value == https.as_bytes())
        })
        .collect();
    let scheme = if input.trusted() { secure.first().copied() } else { None };
    assert_eq!(head.scheme_https(), scheme);
    assert!(scheme.is_none() || secure.iter().all(|https| Some(*https) == scheme));
}

/// RFC 9112 section 3.
fn check_line(input: &Input<'_>, head: &Head<'_>, line: &[u8]) {
    let lenient = input.lenient();
    assert!(line.len() <= input.limits().line && line.iter().all(|&byte| is_text(byte)));
    let [sent, target, version] = line.splitn(3, |byte| *byte == b' ').collect::<Vec<_>>()[..]
    else {
        panic!("a request line has three parts: {}", line.escape_ascii());
    };
    let folded = if lenient.casefold_method { sent.to_ascii_uppercase() } else { sent.to_vec() };
    assert_eq!((head.method(), head.target()), (folded.as_slice(), target));
    assert!(is_token(sent));
    if !lenient.unconventional_method {
        assert!((3..=20).contains(&sent.len()) && !sent.contains(&b'#'));
        assert!(!sent.iter().any(u8::is_ascii_lowercase));
    }
    let (major, minor) = head.version();
    assert!(major <= 9 && minor <= 9);
    assert_eq!(version, format!("HTTP/{major}.{minor}").as_bytes());
    let rules = match major {
        0 => 0,
        1 => minor,
        _ => 1,
    };
    assert_eq!(head.minor(), rules);
    assert!(major == 1 || lenient.unconventional_version);
    check_target(head);
}

/// RFC 9112 section 6.3: one length or one chunked coding, never both, never in doubt. False if the
/// body has another coding too.
fn check_framing(framing: Framing, minor: u8, lengths: &[&[u8]], codings: &[u8]) -> bool {
    let codings: Vec<_> = codings
        .split(|byte| *byte == b',')
        .map(|coding| coding.trim_ascii().to_ascii_lowercase())
        .collect();
    match framing {
        Framing::None => assert!(lengths.is_empty() && codings == [b""]),
        Framing::Length(length) => {
            assert_eq!((lengths.len(), codings), (1, vec![Vec::new()]));
            let digits = lengths[0].strip_prefix(b"+").map_or(lengths[0], |_| b"");
            let text = std::str::from_utf8(digits).expect("digits are ASCII");
            assert_eq!(text.parse(), Ok(length));
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && minor >= 1);
            let (last, before) = codings.split_last().expect("there is a coding");
            let known = [&b"identity"[..], b"gzip", b"compress", b"deflate"];
            assert_eq!(last, b"chunked");
            assert!(before.iter().all(|coding| known.contains(&coding.as_slice())));
            return before.iter().all(|coding| coding == b"identity");
        }
    }
    true
}

/// RFC 9112 section 3.2.
fn check_target(head: &Head<'_>) {
    let (method, target) = (head.method(), head.target());
    assert!(!target.is_empty() && target.iter().all(u8::is_ascii_graphic));
    let (path, query) = head.path_and_query();
    assert!(!path.contains(&b'?') && !path.contains(&b'#') && !query.contains(&b'#'));
    match target {
        [b'/', ..] => {
            let whole = target.split(|byte| *byte == b'#').next().unwrap_or_default();
            let mut parts = whole.splitn(2, |byte| *byte == b'?');
            assert_eq!(parts.next(), Some(path));
            assert_eq!(parts.next().unwrap_or_default(), query);
        }
        b"*" => assert_eq!((method, path), (&b"OPTIONS"[..], &b"*"[..])),
        _ if find(target, b"://").is_none() => {
            assert_eq!((method, path, query), (&b"CONNECT"[..], &b""[..], &b""[..]));
        }
        _ => {
            let part = |part: &[u8]| part.is_empty() || find(target, part).is_some();
            assert!(part(path) && part(query));
        }
    }
    assert_eq!(head.decoded_path(), decode(path));
}

fn check_decoding(text: &[u8]) {
    let text = &text[..text.len().min(1000)];
    assert_eq!(percent_decode(text), decode(text));
}

/// Percent-decoding by the book (RFC 3986 section 2.1).
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if text[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}
