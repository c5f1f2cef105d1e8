//! What each leniency accepts, and that it accepts nothing else.

use crate::http::{
    BodyDecoder, Framing, HeadParser, HeadStore, Lenient, Limits, Parse, Policy, fast,
};

const FOLDING: Lenient = Lenient { obsolete_folding: true, ..STRICT };
const STRICT: Lenient = Lenient {
    obsolete_folding: false,
    header_spaces: false,
    unconventional_method: false,
    unconventional_version: false,
    casefold_method: false,
};

fn parser(lenient: Lenient) -> HeadParser {
    HeadParser::default().lenient(lenient)
}

/// Status and message of the refusal of a request with these header lines.
fn refusal(parser: &HeadParser, lines: &str) -> (u16, String) {
    let wire = format!("GET / HTTP/1.1\r\n{lines}\r\n");
    match parser.parse(&mut HeadStore::new(false), wire.as_bytes()) {
        Err(reject) => (reject.status, reject.message),
        other => panic!("{lines:?} gave {other:?}"),
    }
}

/// The fields of a request with these header lines.
fn fields(parser: &HeadParser, lines: &str) -> Vec<(String, String)> {
    let wire = format!("GET / HTTP/1.1\r\n{lines}\r\n");
    let mut store = HeadStore::new(false);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match parser.parse(&mut store, wire.as_bytes()) {
        Ok(Parse::Complete(head)) => head.fields().map(|(n, v)| (text(n), text(v))).collect(),
        other => panic!("{lines:?} gave {other:?}"),
    }
}

fn values(parser: &HeadParser, lines: &str) -> Vec<String> {
    fields(parser, lines).into_iter().map(|(_, value)| value).collect()
}

#[test]
fn folded_lines_are_joined_by_one_blank() {
    let folding = parser(FOLDING);
    for (lines, value) in [
        ("X: a\r\n b\r\n", "a b"),
        ("X:  a \t\r\n \t b \r\n\tc\r\n", "a b c"),
        ("X:\r\n a\r\n", " a"),
        ("X: a\r\n \r\n", "a "),
        ("X: a:b\r\n c: d\r\n", "a:b c: d"),
    ] {
        assert_eq!(values(&folding, lines), [value], "{lines:?}");
        let message = "Obsolete line folding is unacceptable: 'X'".to_owned();
        assert_eq!(refusal(&parser(STRICT), lines), (400, message));
    }
    assert_eq!(values(&folding, "A: 1\r\nX: a\r\n b\r\nY: c\r\n d\r\nB: 2\r\n"), {
        ["1", "a b", "c d", "2"]
    });
}

#[test]
fn folded_fields_obey_every_other_rule() {
    let folding = parser(FOLDING);
    for (lines, message) in [
        (" X: first\r\n", "Invalid HTTP header name: ' X'"),
        ("X: a\r\n b\0\r\n", "Invalid HTTP Header: 'X'"),
        ("X: a\r\n b\rc\r\n", "Invalid HTTP Header: 'X'"),
        ("X: a\r\n b\nc\r\n", "Invalid HTTP Header: 'X'"),
        ("X: a\r\n b\r\r\n", "Invalid HTTP Header: 'X'"),
        ("Host: a\r\nHost:\r\n b\r\n", "Invalid HTTP Header: 'HOST'"),
        ("Content-Length:\r\n 5\r\n", "Invalid HTTP Header: 'CONTENT-LENGTH'"),
        ("Content-Length: 5\r\n 6\r\n", "Invalid HTTP Header: 'CONTENT-LENGTH'"),
        (
            "Transfer-Encoding: chunked\r\n , identity\r\n",
            "Invalid HTTP Header: 'TRANSFER-ENCODING'",
        ),
    ] {
        assert_eq!(refusal(&folding, lines), (400, message.to_owned()), "{lines:?}");
    }
    assert_eq!(refusal(&folding, "Expect:\r\n 100-continue\r\n").0, 417);
    let wire = b"GET / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\nConnection:\r\n close\r\n\r\n";
    let mut store = HeadStore::new(false);
    let Ok(Parse::Complete(head)) = folding.parse(&mut store, wire) else { panic!("refused") };
    assert_eq!((head.framing(), head.keep_alive()), (Framing::Chunked, false));
}

#[test]
fn the_limit_holds_for_all_lines_of_a_field_together() {
    let small = HeadParser::new(Limits::new(0, 2, 20), Policy::default()).lenient(FOLDING);
    assert_eq!(values(&small, "X: 45678\r\n 2345678\r\nY: z\r\n"), ["45678 2345678", "z"]);
    let message = "limit request headers fields size".to_owned();
    assert_eq!(refusal(&small, "X: 45678\r\n 23456789\r\n"), (431, message));
    let message = "limit request headers fields".to_owned();
    assert_eq!(refusal(&small, "X: a\r\n b\r\nY: a\r\n b\r\nZ: a\r\n"), (431, message));
}

#[test]
fn trailers_may_be_folded_too() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let wire = b"0\r\nX: a\r\n b\r\nY: c\r\n\r\n";
    let progress = decoder.decode(&parser(FOLDING), wire, &mut |_| {}).unwrap();
    assert_eq!((progress.consumed, progress.done), (wire.len(), true));
    let BodyDecoder::Chunked(decoder) = &decoder else { panic!("asked for chunked") };
    let trailers: Vec<_> = decoder.trailers().collect();
    assert_eq!(trailers, [(&b"X"[..], &b"a b"[..]), (b"Y", b"c")]);
}

#[test]
fn blanks_before_the_colon_are_removed() {
    let spaces = parser(Lenient { header_spaces: true, ..STRICT });
    let fields = fields(&spaces, "Host : a\r\nX \t: b\r\n");
    let expected = [("Host", "a"), ("X", "b")];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for (line, name) in [(" X: a\r\n", "' X'"), ("X Y : a\r\n", "'X Y'"), (" \t: a\r\n", "''")] {
        let message = format!("Invalid HTTP header name: {name}");
        assert_eq!(refusal(&spaces, line), (400, message), "{line:?}");
    }
    let message = "Invalid HTTP Header: 'CONTENT-LENGTH'".to_owned();
    assert_eq!(refusal(&spaces, "Content-Length : 1\r\nContent-Length: 1\r\n"), (400, message));
}

/// Method, version, minor version and whether the connection stays; or the message of the refusal.
fn line(lenient: Lenient, line: &str) -> Result<(String, (u8, u8), u8, bool), String> {
    let wire = format!("{line}\r\nHost: a\r\n\r\n");
    match parser(lenient).parse(&mut HeadStore::new(false), wire.as_bytes()) {
        Ok(Parse::Complete(head)) => {
            let method = String::from_utf8(head.method().to_vec()).unwrap();
            Ok((method, head.version(), head.minor(), head.keep_alive()))
        }
        Ok(Parse::Incomplete) => panic!("{line:?} is complete"),
        Err(reject) => Err(reject.message),
    }
}

#[test]
fn methods() {
    let any = Lenient { unconventional_method: true, ..STRICT };
    for method in ["get", "G", "A#B", "AAAAAAAAAAAAAAAAAAAAAAA"] {
        let wire = format!("{method} / HTTP/1.1");
        assert_eq!(line(any, &wire), Ok((method.to_owned(), (1, 1), 1, true)));
        let message = format!("Invalid HTTP method: '{method}'");
        assert_eq!(line(Lenient { casefold_method: true, ..STRICT }, &wire), Err(message));
    }
    assert_eq!(line(any, "G(T / HTTP/1.1"), Err("Invalid HTTP method: 'G(T'".into()));
    assert_eq!(line(any, " / HTTP/1.1"), Err("Invalid HTTP method: ''".into()));
    assert_eq!(
        line(any, "options * HTTP/1.1"),
        Err("Invalid HTTP request line: 'options * HTTP/1.1'".into())
    );

    let folding = Lenient { casefold_method: true, ..any };
    assert_eq!(line(folding, "Get / HTTP/1.1"), Ok(("GET".into(), (1, 1), 1, true)));
    assert_eq!(line(folding, "options * HTTP/1.1"), Ok(("OPTIONS".into(), (1, 1), 1, true)));
    // The tunnel it asks for ends the connection, in whatever case.
    assert_eq!(line(folding, "connect h:80 HTTP/1.1"), Ok(("CONNECT".into(), (1, 1), 1, false)));
    let wire = b"head /a?b HTTP/1.1\r\n\r\n";
    let mut store = HeadStore::new(false);
    let parser = parser(folding);
    let Ok(Parse::Complete(head)) = parser.parse(&mut store, wire) else { panic!("refused") };
    assert!(head.is_head());
    assert_eq!((head.target(), head.path_and_query()), (&b"/a?b"[..], (&b"/a"[..], &b"b"[..])));
}

#[test]
fn versions() {
    let any = Lenient { unconventional_version: true, ..STRICT };
    let get = |version: &str| line(any, &format!("GET / HTTP/{version}"));
    let fine = |version, minor, stays| Ok(("GET".to_owned(), version, minor, stays));
    assert_eq!(get("2.0"), fine((2, 0), 1, true));
    assert_eq!(get("9.9"), fine((9, 9), 1, true));
    assert_eq!(get("0.9"), fine((0, 9), 0, false));
    assert_eq!(get("1.7"), fine((1, 7), 7, true));
    assert_eq!(get("1"), Err("Invalid HTTP Version: 'HTTP/1'".into()));
    assert_eq!(get("2.10"), Err("Invalid HTTP Version: 'HTTP/2.10'".into()));
    assert_eq!(line(STRICT, "GET / HTTP/2.0"), Err("Invalid HTTP Version: (2, 0)".into()));
    // Chunks are for versions from 1.1 on.
    let chunked = |version: &str| {
        let wire = format!("GET / HTTP/{version}\r\nTransfer-Encoding: chunked\r\n\r\n");
        parser(any).parse(&mut HeadStore::new(false), wire.as_bytes()).is_ok()
    };
    assert!(chunked("2.0") && !chunked("0.9"));
}

#[test]
fn a_lenient_parser_is_as_fast_with_ordinary_requests() {
    let all = Lenient {
        obsolete_folding: true,
        header_spaces: true,
        unconventional_method: true,
        unconventional_version: true,
        casefold_method: true,
    };
    let wire = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(fast::parse(&parser(all), &mut HeadStore::new(false), wire));
}

#[test]
fn nothing_of_a_request_is_left_for_the_next() {
    let parser = parser(Lenient { casefold_method: true, unconventional_method: true, ..FOLDING });
    let mut store = HeadStore::new(false);
    let first = b"post / HTTP/1.1\r\nA_B: dropped\r\nX: a\r\n b\r\n\r\n";
    assert!(matches!(parser.parse(&mut store, first), Ok(Parse::Complete(_))));
    let head = store.head(first);
    assert_eq!((head.method(), head.last(b"x")), (&b"POST"[..], Some(&b"a b"[..])));
    assert_eq!(head.dropped().collect::<Vec<_>>(), [&b"A_B"[..]]);
    let second = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(matches!(parser.parse(&mut store, second), Ok(Parse::Complete(_))));
    let head = store.head(second);
    assert_eq!((head.method(), head.fields().len(), head.dropped().len()), (&b"GET"[..], 1, 0));
    let third = b"GET / HTTP/1.1\r\nX_1: a\r\nHost: a\r\nX_2: b\r\n\r\n";
    assert!(matches!(parser.parse(&mut store, third), Ok(Parse::Complete(_))));
    let names: Vec<_> = store.head(third).dropped().collect();
    assert_eq!(names, [b"X_1", b"X_2"]);
}
