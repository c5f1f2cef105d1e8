//! Heads of answers.

use super::{Input, is_text, is_token, lines, name_and_value, pages};
use crate::http::{
    DateCache, HeadError, HeaderBlock, Plan, Reject, ResponseBody, check_status,
    encode_early_hints, encode_head, error_page,
};

/// Separates the status and the headers in an input (ASCII RS), since all else may be in them.
const RECORD: u8 = 0x1e;
/// Separates a name from its value (ASCII US).
const UNIT: u8 = 0x1f;

/// Heads of answers: whatever the application passes to `start_response` is refused or becomes a
/// head that says that and nothing else.
///
/// The input: control bytes (of the first, bit 0: HEAD, bit 1: keep-alive; the second is the minor
/// version), then status and headers with separators.
///
/// # Panics
/// The head is malformed or says something else.
pub fn response_head(data: &[u8]) {
    let Some(input) = Input::new(data) else { return };
    let mut records = input.wire.split(|byte| *byte == RECORD);
    let status = records.next().unwrap_or_default();
    pages::check(&error_page(503, "Unavailable", &String::from_utf8_lossy(status)), 503, {
        "Unavailable"
    });
    let reject = Reject::script_name(status, input.wire);
    pages::check(&reject.page(), 500, "Bad Request");

    let mut block = HeaderBlock::new();
    let mut kept = Vec::new();
    for record in records {
        let mut units = record.splitn(2, |byte| *byte == UNIT);
        let (name, value) = (units.next().unwrap_or_default(), units.next().unwrap_or_default());
        let outcome = block.push(name, value);
        let sound = is_token(name) && value.iter().all(|&byte| is_text(byte));
        let length = name.eq_ignore_ascii_case(b"content-length");
        match outcome {
            Ok(()) => {
                assert!(sound);
                kept.push((name, value));
            }
            Err(HeadError::Name(_)) => assert!(!is_token(name)),
            Err(HeadError::Value(_)) => assert!(!sound || (length && value.contains(&b'-'))),
            Err(HeadError::Length(_)) => assert!(sound && length),
            Err(HeadError::Status(_)) => panic!("a header is no status"),
        }
    }
    check_block(&block, &kept);
    check_hints(&block);

    let text = status.get(3..).unwrap_or_default();
    let sound = status.len() >= 3
        && status[..3].iter().all(u8::is_ascii_digit)
        && (text.is_empty() || text[0] == b' ')
        && text.iter().all(|&byte| is_text(byte));
    let code = check_status(status);
    assert_eq!(code.is_ok(), sound, "{}", status.escape_ascii());
    if let Ok(code) = code {
        check_head(&input, status, code, &block);
    }
}

/// Headers that never reach the wire.
const OURS: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "server",
    "date",
];

/// Compares what the block will send with what was put into it.
fn check_block(block: &HeaderBlock, pushed: &[(&[u8], &[u8])]) {
    let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let sent = |name: &[u8], value: &[u8]| {
        let websocket =
            is(name, "upgrade") && value.trim_ascii().eq_ignore_ascii_case(b"websocket");
        websocket || !OURS.iter().any(|ours| is(name, ours))
    };
    let last = pushed.iter().rposition(|(name, _)| is(name, "content-length"));
    let expected: Vec<_> = pushed
        .iter()
        .enumerate()
        .filter(|(at, (name, value))| {
            (!is(name, "content-length") || Some(*at) == last) && sent(name, value)
        })
        .map(|(_, header)| *header)
        .collect();
    let found: Vec<_> = block.iter().collect();
    assert_eq!(found.len(), expected.len());
    for ((name, value), (pushed_name, pushed_value)) in found.into_iter().zip(expected) {
        assert_eq!(name, pushed_name);
        if is(name, "content-length") {
            assert!(!value.is_empty() && value.iter().all(u8::is_ascii_digit));
            let text = String::from_utf8_lossy(value);
            assert_eq!(text.parse().ok(), block.content_length());
        } else {
            let line = [name, b":", pushed_value].concat();
            assert_eq!(value, name_and_value(&line).1);
        }
    }
    assert_eq!(block.content_length().is_some(), last.is_some());
}

/// An interim answer: the headers of the application but for its length, and nothing else.
fn check_hints(block: &HeaderBlock) {
    let mut wire = Vec::new();
    encode_early_hints(&mut wire, block);
    let lines = lines(&wire);
    let [b"HTTP/1.1 103 Early Hints", fields @ .., b"", b""] = lines.as_slice() else {
        panic!("{}", wire.escape_ascii());
    };
    let found = fields.iter().map(|line| name_and_value(line));
    let given = block.iter().filter(|(name, _)| !is_length(name));
    assert!(found.eq(given));
    assert!(wire.iter().filter(|byte| !b"\r\n".contains(byte)).all(|&byte| is_text(byte)));
}

/// Encodes the head and reads it back.
fn check_head(input: &Input<'_>, status: &[u8], code: u16, block: &HeaderBlock) {
    let [flags, minor] = input.control;
    let (is_head, keep_alive, minor) = (flags & 1 != 0, flags & 2 != 0, minor % 10);
    let plan = Plan::new(minor, is_head, code, block, keep_alive);
    let before = b"what was there before stays";
    let mut out = before.to_vec();
    let mut dates = DateCache::new();
    let date = *dates.get(input.seed >> (input.seed % 64));
    encode_head(&mut out, &plan, status, Some(b"rgunicorn"), &date, block);
    let wire = out.strip_prefix(before).expect("it is appended");

    let lines = lines(wire);
    let (line, fields) = lines.split_first().expect("there is a status line");
    let [fields @ .., b"", b""] = fields else { panic!("one empty line ends the head") };
    assert_eq!(*line, [format!("HTTP/1.{minor} ").as_bytes(), status].concat());
    assert!(line.iter().all(|&byte| is_text(byte)));
    let fields: Vec<_> = fields
        .iter()
        .map(|line| {
            assert!(line.iter().all(|&byte| is_text(byte)), "{}", line.escape_ascii());
            name_and_value(line)
        })
        .collect();
    let all = |wanted: &str| -> Vec<&[u8]> {
        let named = |(name, _): &&(&[u8], &[u8])| name.eq_ignore_ascii_case(wanted.as_bytes());
        fields.iter().filter(named).map(|(_, value)| *value).collect()
    };
    assert_eq!(all("server"), [b"rgunicorn"]);
    assert_eq!(all("date"), [date.as_slice()]);
    let connection = all("connection");
    assert_eq!(connection.len(), 1);
    if connection != [b"upgrade"] {
        assert_eq!(connection == [b"close"], plan.close);
    }

    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    let bodiless = is_head || matches!(code, 100..=199 | 204 | 304);
    assert_eq!(plan.body == ResponseBody::Forbidden, bodiless);
    match plan.body {
        ResponseBody::Length(length) => {
            assert_eq!((lengths.len(), Some(length)), (1, block.content_length()));
        }
        ResponseBody::Chunked => assert!(minor >= 1 && lengths.is_empty()),
        ResponseBody::UntilClose => assert!(minor == 0 && plan.close && lengths.is_empty()),
        ResponseBody::Forbidden => assert!(!matches!(code, 100..=199 | 204) || lengths.is_empty()),
    }
    assert_eq!(codings.len(), usize::from(plan.body == ResponseBody::Chunked));
    assert!(plan.close || keep_alive);

    let own = 3 + codings.len();
    let rest: Vec<_> = fields[own..].iter().filter(|(name, _)| !is_length(name)).copied().collect();
    let given: Vec<_> = block.iter().filter(|(name, _)| !is_length(name)).collect();
    assert_eq!(rest, given, "after the server's own headers come the application's");
    if minor <= 1 {
        check_with_httparse(wire, code);
    }
}

fn is_length(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length")
}

/// Another reader agrees that it is one head.
fn check_with_httparse(wire: &[u8], code: u16) {
    const MOST: usize = 200;
    let mut room = [httparse::EMPTY_HEADER; MOST];
    let mut response = httparse::Response::new(&mut room);
    match response.parse(wire) {
        Ok(status) => {
            assert_eq!(status, httparse::Status::Complete(wire.len()));
            assert_eq!(response.code, Some(code));
        }
        Err(error) => assert_eq!(error, httparse::Error::TooManyHeaders),
    }
}
