//! Bodies.

use super::{Input, Random, Refusal, fields, find, is_text, refusal};
use crate::http::{BodyDecoder, CHUNK_END, Eof, Framing, HeadParser, LAST_CHUNK, chunk_prefix};

type Trailers = Vec<(Vec<u8>, Vec<u8>)>;

/// What came of a body: its data, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    data: Vec<u8>,
    end: Result<End, Refusal>,
}

#[derive(Debug, PartialEq, Eq)]
struct End {
    consumed: usize,
    done: bool,
    trailers: Trailers,
    /// What it would mean if the client sent no more.
    eof: Result<(), Option<Refusal>>,
}

/// Chunked bodies: arrival in pieces changes nothing, what is accepted is what RFC 9112 section 7.1
/// says, and what this server encodes is read back.
///
/// # Panics
/// One of these does not hold.
pub fn chunked_body(data: &[u8]) {
    let Some(input) = Input::new(data) else { return };
    let parser = input.parser();
    let wire = input.wire;
    let whole = decode(&parser, Framing::Chunked, wire, &[wire.len()]);
    for cuts in input.arrivals() {
        let pieces = decode(&parser, Framing::Chunked, wire, &cuts);
        assert_eq!(whole, pieces, "in pieces {cuts:?}");
    }
    if let Ok(end) = &whole.end {
        if end.done {
            assert_eq!(by_the_book(&input, &wire[..end.consumed]), {
                (whole.data.clone(), end.trailers.clone())
            });
        } else {
            assert_eq!(end.consumed, wire.len());
        }
    }
    check_encoding(&input);
    check_length(&input);
}

/// Decodes `wire` as it arrives in pieces that end at `cuts`.
fn decode(parser: &HeadParser, framing: Framing, wire: &[u8], cuts: &[usize]) -> Decoded {
    let mut decoder = BodyDecoder::new(framing);
    let mut data = Vec::new();
    let (mut consumed, mut done) = (0, false);
    for &cut in cuts {
        let mut pieces = 0;
        let sink = &mut |piece: &[u8]| {
            pieces += 1;
            data.extend_from_slice(piece);
        };
        match decoder.decode(parser, &wire[consumed..cut], sink) {
            Ok(progress) => {
                assert!(progress.consumed <= cut - consumed);
                consumed += progress.consumed;
                done = progress.done;
            }
            Err(reject) => return Decoded { data, end: Err(refusal(&reject)) },
        }
        assert!(pieces <= cut, "no more pieces than bytes");
        if done {
            break;
        }
        assert_eq!(consumed, cut, "an unfinished body takes all there is");
    }
    let eof = match decoder.eof() {
        Eof::Complete => Ok(()),
        Eof::Truncated => Err(None),
        Eof::Reject(reject) => Err(Some(refusal(&reject))),
    };
    assert_eq!(done, eof.is_ok());
    if done {
        let again = decoder.decode(parser, b"0\r\n\r\n", &mut |_| panic!("no data is due"));
        let again = again.expect("a complete body stays complete");
        assert_eq!((again.consumed, again.done), (0, true));
    }
    let trailers = match &decoder {
        BodyDecoder::Chunked(decoder) => {
            decoder.trailers().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
        }
        BodyDecoder::Length(_) => Vec::new(),
    };
    // Fields of a section that is not complete are nobody's business yet.
    let trailers = if done { trailers } else { Vec::new() };
    Decoded { data, end: Ok(End { consumed, done, trailers, eof }) }
}

/// Data and trailers of a complete body, read in the plainest way.
fn by_the_book(input: &Input<'_>, wire: &[u8]) -> (Vec<u8>, Trailers) {
    let limits = input.limits();
    let mut data = Vec::new();
    let mut rest = wire;
    loop {
        let end = find(rest, b"\r\n").expect("a size line ends with CRLF");
        let line = &rest[..end];
        rest = &rest[end + 2..];
        assert!(line.len() <= limits.field_size);
        let mut parts = line.splitn(2, |byte| *byte == b';');
        let digits = parts.next().unwrap_or_default();
        let extension = parts.next();
        let digits = if extension.is_some() { digits.trim_ascii_end() } else { digits };
        assert!(digits.iter().all(u8::is_ascii_hexdigit), "{}", line.escape_ascii());
        assert!(extension.is_none_or(|text| text.iter().all(|&byte| is_text(byte))));
        let digits = std::str::from_utf8(digits).expect("hex digits are ASCII");
        let size = usize::from_str_radix(digits, 16).expect("the chunk was there");
        if size == 0 {
            break;
        }
        data.extend_from_slice(&rest[..size]);
        assert_eq!(rest[size..size + 2], *b"\r\n");
        rest = &rest[size + 2..];
    }
    let mut lines = Vec::new();
    loop {
        let end = find(rest, b"\r\n").expect("a trailer line ends with CRLF");
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    // No peer is trusted to send underscores in trailers.
    let untrusted = Input { control: [input.control[0] & !1, input.control[1]], ..*input };
    let trailers = fields::read(&untrusted, &lines).kept;
    for (name, _) in &trailers {
        let forbidden =
            ["host", "content-length", "transfer-encoding", "te", "trailer", "authorization"];
        assert!(!forbidden.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes())));
    }
    let trailers = trailers.into_iter().map(|(name, value)| (name.to_vec(), value)).collect();
    assert_eq!(rest, b"", "nothing after the empty line is consumed");
    (data, trailers)
}

/// Sends the input itself in chunks of this server.
fn check_encoding(input: &Input<'_>) {
    let body = input.wire;
    let mut random = Random(input.seed);
    let mut wire = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + random.below(rest.len()));
        chunk_prefix(&mut wire, chunk.len());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(CHUNK_END);
        rest = after;
    }
    wire.extend_from_slice(LAST_CHUNK);
    let end = wire.len();
    wire.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let decoded = decode(&HeadParser::default(), Framing::Chunked, &wire, &[wire.len()]);
    let end = End { consumed: end, done: true, trailers: Vec::new(), eof: Ok(()) };
    assert_eq!(decoded, Decoded { data: body.to_vec(), end: Ok(end) });
}

/// Reads the input itself as a body of some length.
fn check_length(input: &Input<'_>) {
    let len = input.wire.len();
    let length = Random(input.seed).below(len + 3);
    let framing = if length == 0 { Framing::None } else { Framing::Length(length as u64) };
    let taken = length.min(len);
    let done = length <= len;
    let eof = if done { Ok(()) } else { Err(None) };
    let end = End { consumed: taken, done, trailers: Vec::new(), eof };
    let expected = Decoded { data: input.wire[..taken].to_vec(), end: Ok(end) };
    for cuts in input.arrivals() {
        assert_eq!(decode(&HeadParser::default(), framing, input.wire, &cuts), expected);
    }
}
