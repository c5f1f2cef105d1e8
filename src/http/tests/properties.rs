//! Properties that hold for any input: cut anywhere, parsed by either parser, hostile or not.

use proptest::prelude::*;

use super::{parse, shown};
use crate::http::head::HeadParser;
use crate::http::{
    BodyDecoder, DateCache, Framing, HeadStore, HeaderBlock, HeaderMap, Lenient, Limits, Parse,
    Plan, Policy, Reject, ResponseBody, check_status, encode_head, fast,
};

/// Pieces of which heads are made; joined at random they are mostly wrong in interesting ways.
const PIECES: &[&str] = &[
    "GET ",
    "GET / HTTP/1.1\r\n",
    "POST /a?b#c HTTP/1.0\r\n",
    "CONNECT h:80 ",
    "OPTIONS * ",
    "HTTP/1.1\r\n",
    "/",
    "//x",
    "http://h/",
    "%41",
    " ",
    "\t",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    ":",
    ",",
    "\0",
    "\u{e9}",
    "Host: a\r\n",
    "host:b\r\n",
    "Content-Length: 5\r\n",
    "Content-Length:",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: gzip\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "connection: x,Close\r\n",
    "Connection: keep-alive, x\r\n",
    "Expect: 100-continue\r\n",
    "Expect: x\r\n",
    "X_Y: z\r\n",
    "Script_Name: /p\r\n",
    "X-Forwarded-Proto: https\r\n",
    "X-Forwarded-Ssl: off\r\n",
    "Content-Type: a\r\n",
    "A:  b \t\r\n",
    "Empty:\r\n",
    "Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    "Fold: a\r\n",
    " \t b \r\n",
    "\tc\r\n",
    " \r\n",
    "Blank \t: d\r\n",
    "Content-Length:\r\n 5\r\n",
    "x",
    "1",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(PIECES), 0..20)
        .prop_map(|pieces| pieces.concat().into_bytes())
}

/// A head that is right but for a few bytes.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(&PIECES[21..]);
    let start = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "\r\nPOST /a?b HTTP/1.1\r\n",
        "HEAD //x HTTP/1.0\r\n",
        "PUT /x HTTP/1.2\r\n",
        "g#t / HTTP/1.1\r\n",
        "options * HTTP/2.0\r\n",
        "connect h:80 HTTP/0.9\r\n",
    ]);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (start, prop::collection::vec(line, 0..9), changes).prop_map(|(start, lines, changes)| {
        let mut wire = format!("{start}{}\r\nrest", lines.concat()).into_bytes();
        for (place, byte) in changes {
            let at = place.index(wire.len());
            wire[at] = byte;
        }
        wire
    })
}

pub(super) fn any_head() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![soup(), nearly_right(), prop::collection::vec(any::<u8>(), 0..100)]
}

pub(super) fn leniency() -> impl Strategy<Value = Lenient> {
    prop_oneof![Just([false; 5]), any::<[bool; 5]>()].prop_map(
        |[
            obsolete_folding,
            header_spaces,
            unconventional_method,
            unconventional_version,
            casefold_method,
        ]| Lenient {
            obsolete_folding,
            header_spaces,
            unconventional_method,
            unconventional_version,
            casefold_method,
        },
    )
}

/// Small limits, so that they are met, and a policy that has something to decide.
fn parsers() -> impl Strategy<Value = HeadParser> {
    let mode = prop::sample::select(vec![HeaderMap::Drop, HeaderMap::Refuse, HeaderMap::Dangerous]);
    let limits = (
        prop::sample::select(vec![0, 17, 40]),
        0usize..10,
        prop::sample::select(vec![0, 1, 2, 3, 12, 40]),
    );
    (limits, mode, leniency()).prop_map(|((line, fields, size), mode, lenient)| {
        let schemes = [("X-FORWARDED-PROTO", "https"), ("X-FORWARDED-SSL", "on")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let policy = Policy::new(mode, &["SCRIPT_NAME".to_owned()], &schemes);
        HeadParser::new(Limits::new(line, fields, size), policy).lenient(lenient)
    })
}

/// Ascending places at which to cut `len` bytes; the last is the end.
fn cuts(places: &[prop::sample::Index], len: usize) -> Vec<usize> {
    let mut cuts: Vec<_> = places.iter().map(|place| place.index(len + 1)).collect();
    cuts.push(len);
    cuts.sort_unstable();
    cuts
}

/// What must not depend on how the input arrives: all but numbers and the blame in messages.
fn essence<T>(outcome: Result<T, Reject>) -> Result<T, (u16, &'static str, bool)> {
    outcome.map_err(|reject| {
        assert_eq!(reject.page_message().chars().find(|c| *c > '\u{ff}'), None);
        (reject.status, reject.reason, reject.has_request)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cutting_a_head_changes_nothing(
        parser in parsers(),
        trusted: bool,
        wire in any_head(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = essence(parse(&parser, trusted, &wire));
        let mut store = HeadStore::new(trusted);
        let mut pieces = Ok(None);
        for cut in cuts(&places, wire.len()) {
            pieces = essence(shown(parser.parse(&mut store, &wire[..cut])));
            if pieces != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(&whole, &pieces);

        let mut store = HeadStore::new(trusted);
        let mut bytes = Ok(None);
        for cut in 0..=wire.len() {
            bytes = essence(shown(parser.parse(&mut store, &wire[..cut])));
            if bytes != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(whole, bytes);
    }

    #[test]
    fn where_the_fast_parser_says_yes_the_strict_one_agrees(
        parser in parsers(),
        trusted: bool,
        wire in any_head(),
    ) {
        let mut store = HeadStore::new(trusted);
        let fast = fast::parse(&parser, &mut store, &wire).then(|| format!("{:?}", store.head(&wire)));
        let mut store = HeadStore::new(trusted);
        let strict = shown(parser.parse_strictly(&mut store, &wire));
        if fast.is_some() {
            prop_assert_eq!(Ok(fast), strict);
        }
    }

    #[test]
    fn ordinary_requests_take_the_fast_way(
        lines in prop::collection::vec(("[A-Za-z-]{1,20}", "[ -~\u{a0}-\u{ff}]{0,40}"), 0..20),
        path in "/[!-~]{0,30}",
    ) {
        let reserved = [
            "host", "expect", "content-length", "transfer-encoding", "content-type", "connection",
        ];
        let mut wire = format!("GET {path} HTTP/1.1\r\nHost: x\r\n");
        for (name, value) in &lines {
            if !reserved.contains(&name.to_ascii_lowercase().as_str()) {
                wire.extend([name.as_str(), ": ", value, "\r\n"]);
            }
        }
        wire += "\r\n";
        let mut store = HeadStore::new(false);
        prop_assert!(fast::parse(&HeadParser::default(), &mut store, wire.as_bytes()));
        prop_assert_eq!(store.head(wire.as_bytes()).target(), path.as_bytes());
    }

    #[test]
    fn cutting_a_chunked_body_changes_nothing(
        wire in chunked_wire(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        size in prop::sample::select(vec![6usize, 20, 8190]),
        lenient in leniency(),
    ) {
        let parser = HeadParser::new(Limits::new(0, 3, size), Policy::default()).lenient(lenient);
        let whole = decode(&parser, &wire, &[wire.len()]);
        prop_assert_eq!(&whole, &decode(&parser, &wire, &cuts(&places, wire.len())));
        let every: Vec<_> = (0..=wire.len()).collect();
        prop_assert_eq!(whole, decode(&parser, &wire, &every));
    }

    #[test]
    fn chunks_give_back_the_data(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8)) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            crate::http::chunk_prefix(&mut wire, chunk.len());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(crate::http::CHUNK_END);
        }
        wire.extend_from_slice(crate::http::LAST_CHUNK);
        let end = wire.len();
        wire.extend_from_slice(b"GET /");
        let (data, outcome) = decode(&HeadParser::default(), &wire, &[wire.len()]);
        prop_assert_eq!(data, chunks.concat());
        prop_assert_eq!(outcome, Ok((end, true, Vec::new())));
    }

    #[test]
    fn encoded_heads_parse_back(
        minor in 0u8..=1,
        status in "[1-5][0-9][0-9]( [ -~]{0,20})?",
        headers in prop::collection::vec(("[A-Za-z][A-Za-z0-9-]{0,12}", "[ -~\t\u{80}-\u{ff}]{0,30}"), 0..8),
        length in prop::option::of(0u64..1000),
        is_head: bool,
        keep_alive: bool,
    ) {
        let code = check_status(status.as_bytes()).unwrap();
        let mut block = HeaderBlock::new();
        let mut expected = Vec::new();
        for (name, value) in &headers {
            let value = value.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>();
            block.push(name.as_bytes(), &value).unwrap();
        }
        expected.extend(block.iter().map(|(n, v)| (n.to_vec(), v.to_vec())));
        if let Some(length) = length {
            block.push(b"content-length", length.to_string().as_bytes()).unwrap();
        }
        let plan = Plan::new(minor, is_head, code, &block, keep_alive);
        let mut wire = Vec::new();
        let (status, mut dates) = (status.as_bytes(), DateCache::new());
        encode_head(&mut wire, &plan, status, Some(b"rgunicorn"), dates.get(0), &block);

        let mut room = [httparse::EMPTY_HEADER; 20];
        let mut response = httparse::Response::new(&mut room);
        prop_assert_eq!(response.parse(&wire).unwrap(), httparse::Status::Complete(wire.len()));
        prop_assert_eq!((response.version, response.code), (Some(minor), Some(code)));
        let find = |name: &str| response.headers.iter().find(|h| h.name == name).map(|h| h.value);
        let chunked = find("Transfer-Encoding") == Some(b"chunked");
        prop_assert_eq!(chunked, plan.body == ResponseBody::Chunked);
        prop_assert!(!(chunked && (minor == 0 || length.is_some())));
        let close = find("Connection") == Some(b"close");
        prop_assert_eq!(close, plan.close);
        prop_assert_eq!(find("content-length").is_some(), length.is_some() && code >= 200 && code != 204);
        let tail: Vec<_> = response.headers[3 + usize::from(chunked)..]
            .iter()
            .filter(|header| header.name != "content-length")
            .map(|header| (header.name.as_bytes().to_vec(), header.value.to_vec()))
            .collect();
        prop_assert_eq!(tail, expected);
    }
}

fn chunked_wire() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "1\r\na\r\n",
        "3\r\nabc\r\n",
        "0\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "0000A\r\n",
        "0123456789",
        ";a=b",
        ";",
        "\"",
        " ",
        "5",
        "f",
        "x",
        "A: b\r\n",
        "Host: x\r\n",
        "A_B: c\r\n",
        " d\r\n",
        "a:",
        "GET /",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

type Trailers = Vec<(Vec<u8>, Vec<u8>)>;
type Decoded = (Vec<u8>, Result<(usize, bool, Trailers), (u16, &'static str, bool)>);

/// Decodes `wire` as it arrives in pieces that end at `cuts`: the data, then consumed bytes, whether
/// it is done and the trailers, or the refusal.
fn decode(parser: &HeadParser, wire: &[u8], cuts: &[usize]) -> Decoded {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut data = Vec::new();
    let (mut consumed, mut done) = (0, false);
    for &cut in cuts {
        let sink = &mut |bytes: &[u8]| data.extend_from_slice(bytes);
        match essence(decoder.decode(parser, &wire[consumed..cut], sink)) {
            Ok(progress) => {
                consumed += progress.consumed;
                done = progress.done;
            }
            Err(reject) => return (data, Err(reject)),
        }
        if done {
            break;
        }
        assert_eq!(consumed, cut, "an unfinished body takes all there is");
    }
    let BodyDecoder::Chunked(decoder) = &decoder else { unreachable!("asked for chunked") };
    let trailers = decoder.trailers().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    (data, Ok((consumed, done, trailers)))
}

#[test]
fn a_slow_head_is_not_searched_again_and_again() {
    // 60 KB, one byte at a time.
    let mut wire = b"GET / HTTP/1.1\r\n".to_vec();
    for _ in 0..90 {
        wire.extend_from_slice(format!("A: {}\r\n", "b".repeat(700)).as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    let parser = HeadParser::default();
    let mut store = HeadStore::new(false);
    let mut last = 0;
    for cut in 1..wire.len() {
        assert!(matches!(parser.parse(&mut store, &wire[..cut]), Ok(Parse::Incomplete)));
        let now = store.scanned();
        // The search goes on where it ended, but for a line feed whose next byte was missing.
        assert!(now >= last && now + 1 >= cut, "{now} of {cut}");
        last = now;
    }
    assert!(matches!(parser.parse(&mut store, &wire), Ok(Parse::Complete(_))));
}
