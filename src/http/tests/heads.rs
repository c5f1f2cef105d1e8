//! Which heads are accepted, what they say, and how the others are refused.

use crate::http::{Framing, Head, HeadParser, HeadStore, HeaderMap, Limits, Parse, Policy, Reject};

/// Runs `look` on the head of `wire`, which has to be accepted.
fn accepted<T>(wire: &str, look: impl FnOnce(Head<'_>) -> T) -> T {
    let mut store = HeadStore::new(false);
    match HeadParser::default().parse(&mut store, wire.as_bytes()) {
        Ok(Parse::Complete(head)) => look(head),
        other => panic!("{wire:?} gave {other:?}"),
    }
}

fn refused_by(parser: &HeadParser, wire: &[u8]) -> Reject {
    match parser.parse(&mut HeadStore::new(false), wire) {
        Err(reject) => reject,
        other => panic!("{:?} gave {other:?}", wire.escape_ascii().to_string()),
    }
}

/// Status and page text of the refusal of `wire`.
fn refusal(wire: impl AsRef<[u8]>) -> (u16, String) {
    let reject = refused_by(&HeadParser::default(), wire.as_ref());
    (reject.status, reject.page_message())
}

/// A request with the one header line `line`.
fn with(line: &str) -> String {
    format!("GET / HTTP/1.1\r\n{line}\r\n\r\n")
}

fn bad(text: &str) -> (u16, String) {
    (400, text.to_owned())
}

#[test]
fn a_head_and_what_follows_it() {
    let wire =
        "POST /a%20b?x=1 HTTP/1.1\r\nHost: h:80\r\nX-Y:  a b \t\r\nContent-Length: 3\r\n\r\nabc";
    accepted(wire, |head| {
        assert_eq!(head.len(), wire.len() - 3);
        assert_eq!(head.method(), b"POST");
        assert_eq!(head.target(), b"/a%20b?x=1");
        assert_eq!(head.version(), (1, 1));
        assert_eq!(head.path_and_query(), (&b"/a%20b"[..], &b"x=1"[..]));
        assert_eq!(&*head.decoded_path(), b"/a b");
        assert_eq!(head.framing(), Framing::Length(3));
        assert_eq!(head.host(), Some(&b"h:80"[..]));
        assert!(head.keep_alive() && !head.expect_continue() && !head.is_head());
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(fields[1], (&b"X-Y"[..], &b"a b"[..]));
        assert_eq!(fields.len(), 3);
        assert_eq!(head.last(b"x-y"), Some(&b"a b"[..]));
    });
}

#[test]
fn one_empty_line_before_the_request_is_skipped() {
    accepted("\r\nHEAD / HTTP/1.0\r\n\r\n", |head| {
        assert_eq!((head.len(), head.version()), (21, (1, 0)));
        assert!(head.is_head() && !head.keep_alive() && head.host().is_none());
    });
    assert_eq!(
        refusal("\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        bad("Invalid Request Line 'Invalid HTTP request line: '''")
    );
}

#[test]
fn request_lines() {
    for (line, page) in [
        ("GET /", "Invalid Request Line 'Invalid HTTP request line: 'GET /''"),
        (
            "GET\t/\tHTTP/1.1",
            "Invalid Request Line 'Invalid HTTP request line: 'GET\\t/\\tHTTP/1.1''",
        ),
        ("GET  / HTTP/1.1", "Invalid Request Line 'Invalid HTTP request line: 'GET  / HTTP/1.1''"),
        ("GET / x HTTP/1.1", "Invalid HTTP Version 'Invalid HTTP Version: 'x HTTP/1.1''"),
        ("get / HTTP/1.1", "Invalid Method 'Invalid HTTP method: 'get''"),
        ("GE / HTTP/1.1", "Invalid Method 'Invalid HTTP method: 'GE''"),
        ("A#B / HTTP/1.1", "Invalid Method 'Invalid HTTP method: 'A#B''"),
        ("A(B / HTTP/1.1", "Invalid Method 'Invalid HTTP method: 'A(B''"),
        (" GET / HTTP/1.1", "Invalid Method 'Invalid HTTP method: '''"),
        ("AAAAAAAAAAAAAAAAAAAAA / HTTP/1.1", {
            "Invalid Method 'Invalid HTTP method: 'AAAAAAAAAAAAAAAAAAAAA''"
        }),
        ("GET * HTTP/1.1", "Invalid Request Line 'Invalid HTTP request line: 'GET * HTTP/1.1''"),
        (
            "GET h:1 HTTP/1.1",
            "Invalid Request Line 'Invalid HTTP request line: 'GET h:1 HTTP/1.1''",
        ),
        ("GET http://[ HTTP/1.1", {
            "Invalid Request Line 'Invalid HTTP request line: 'GET http://[ HTTP/1.1''"
        }),
        ("GET / http/1.1", "Invalid HTTP Version 'Invalid HTTP Version: 'http/1.1''"),
        ("GET / HTTP/1.10", "Invalid HTTP Version 'Invalid HTTP Version: 'HTTP/1.10''"),
        ("GET / HTTP/2.0", "Invalid HTTP Version 'Invalid HTTP Version: (2, 0)'"),
        ("GET / HTTP/0.9", "Invalid HTTP Version 'Invalid HTTP Version: (0, 9)'"),
    ] {
        assert_eq!(refusal(format!("{line}\r\nHost: x\r\n\r\n")), bad(page), "{line}");
        // It does not take the whole head to know.
        assert_eq!(refusal(format!("{line}\r\n")), bad(page), "{line}");
    }
    assert_eq!(refusal(b"GET /\xe9 HTTP/1.1\r\n\r\n").0, 400);
    let bare =
        bad("Invalid Request Line 'Invalid HTTP request line: 'bare LF as line terminator''");
    assert_eq!(refusal("GET / HTTP/1.1\nHost: x\r\n\r\n"), bare);
    assert_eq!(refusal("GET / HTTP/1.1\n"), bare);
    assert_eq!(refusal("\n"), bare);
    for line in
        ["GET / HTTP/1.2", "OPTIONS * HTTP/1.1", "GET http://h/p HTTP/1.1", "PROPFIND / HTTP/1.1"]
    {
        accepted(&format!("{line}\r\n\r\n"), |head| assert_eq!(head.fields().len(), 0));
    }
    accepted("GET / HTTP/1.2\r\n\r\n", |head| assert_eq!(head.version(), (1, 2)));
    accepted("CONNECT h:80 HTTP/1.1\r\n\r\n", |head| assert!(!head.keep_alive()));
}

#[test]
fn limits() {
    let parser = HeadParser::new(Limits::new(30, 2, 20), Policy::default());
    let line = |len: usize| format!("GET /{} HTTP/1.1", "a".repeat(len - 14));
    let reject = |wire: String| {
        let reject = refused_by(&parser, wire.as_bytes());
        (reject.status, reject.reason, reject.page_message())
    };
    let mut store = HeadStore::new(false);
    let fine = line(30) + "\r\nA: b\r\n12345678: 90123456\r\n\r\n";
    assert!(matches!(parser.parse(&mut store, fine.as_bytes()), Ok(Parse::Complete(_))));
    let too_long = |size| (414, "URI Too Long", format!("Request Line is too large ({size} > 30)"));
    assert_eq!(reject(line(31) + "\r\n\r\n"), too_long(31));
    // Without the end of the line, what counts is what is there.
    assert_eq!(reject("a".repeat(33)), too_long(33));
    let fields = |text: &str| {
        (431, "Request Header Fields Too Large", format!("Error parsing headers: '{text}'"))
    };
    let many = fields("limit request headers fields");
    let large = fields("limit request headers fields size");
    assert_eq!(reject(with("A: b\r\nC: d\r\nE: f")), many);
    assert_eq!(reject(with("A: b\r\nC: d\r\nE_F: f")), many);
    assert_eq!(reject(with("12345678: 901234567")), large);
    assert_eq!(reject("GET / HTTP/1.1\r\nA: ".to_owned() + &"b".repeat(18)), large);
    let unlimited = HeadParser::new(Limits::new(0, 0, 0), Policy::default());
    let long = line(20_000) + "\r\n" + &"A: b\r\n".repeat(1000) + "\r\n";
    let outcome = unlimited.parse(&mut store, long.as_bytes());
    assert!(matches!(outcome, Ok(Parse::Complete(head)) if head.fields().len() == 1000));
}

#[test]
fn header_lines() {
    for (line, page) in [
        ("nocolon", "Invalid HTTP Header: 'nocolon'"),
        (": x", "Invalid HTTP Header: ': x'"),
        ("Host : x", "Invalid HTTP header name: 'Host '"),
        (" Host: x", "Invalid HTTP header name: ' Host'"),
        ("Ho st: x", "Invalid HTTP header name: 'Ho st'"),
        ("X: a\r\n b", "Obsolete line folding is unacceptable: 'X'"),
        ("X: a\r\n\tb", "Obsolete line folding is unacceptable: 'X'"),
        ("x-y: a\rb", "Invalid HTTP Header: 'X-Y'"),
        ("x-y: a\0", "Invalid HTTP Header: 'X-Y'"),
        ("x-y: \x7f", "Invalid HTTP Header: 'X-Y'"),
        ("x-y: a\nZ: b", "Invalid HTTP Header: 'X-Y'"),
        ("Host: a\r\nhost: a", "Invalid HTTP Header: 'HOST'"),
        ("Content-Type: a\r\nContent-type: b", "Invalid HTTP Header: 'CONTENT-TYPE'"),
    ] {
        assert_eq!(refusal(with(line)), bad(page), "{line:?}");
    }
    assert_eq!(
        refusal("GET / HTTP/1.1\r\nHost: x\nA"),
        bad("Invalid HTTP Header: 'bare LF as line terminator'")
    );
    // The feed is what is wrong, even if it is the byte that makes the line too long.
    let small = HeadParser::new(Limits::new(0, 5, 12), Policy::default());
    let reject = refused_by(&small, b"GET / HTTP/1.1\r\nExpect: x \nA: b\r\n\r\n");
    assert_eq!(reject.page_message(), "Invalid HTTP Header: 'bare LF as line terminator'");
    accepted(&with("Empty:\r\nTab:\ta\tb\t\r\nObs: \u{e9}\r\nEmpty: "), |head| {
        let values: Vec<_> = head.fields().map(|(_, value)| value).collect();
        assert_eq!(values, [&b""[..], b"a\tb", "\u{e9}".as_bytes(), b""]);
    });
}

#[test]
fn access_lines_are_due_when_the_request_is_known() {
    let due = |line: &str| refused_by(&HeadParser::default(), with(line).as_bytes()).has_request;
    assert!(due("Host: a\r\nHost: a"));
    assert!(due("Content-Length: x"));
    assert!(!due("Expect: x") && !due("Transfer-Encoding: x") && !due("nocolon"));
    let wire = with("A: b\r\nContent-Length: x");
    let mut store = HeadStore::new(false);
    assert!(HeadParser::default().parse(&mut store, wire.as_bytes()).is_err());
    let head = store.head(wire.as_bytes());
    assert_eq!(
        (head.method(), head.target(), head.last(b"a")),
        (&b"GET"[..], &b"/"[..], Some(&b"b"[..]))
    );
}

#[test]
fn expectations() {
    let expects = |version: &str, value: &str| {
        accepted(&format!("PUT / HTTP/{version}\r\nExpect: {value}\r\n\r\n"), |head| {
            head.expect_continue()
        })
    };
    assert!(expects("1.1", "100-Continue"));
    assert!(!expects("1.0", "100-continue"));
    assert_eq!(
        refusal(with("Expect: foo")),
        (417, "Unable to comply with expectation: 'foo'".to_owned())
    );
}

#[test]
fn framing_and_unknown_codings() {
    accepted(&with("Transfer-Encoding: Chunked"), |head| {
        assert_eq!((head.framing(), head.keep_alive()), (Framing::Chunked, true));
    });
    accepted(&with("Transfer-Encoding: gzip, chunked"), |head| {
        assert_eq!((head.framing(), head.keep_alive()), (Framing::Chunked, false));
    });
    let reject =
        refused_by(&HeadParser::default(), with("Transfer-Encoding: foo, chunked").as_bytes());
    assert_eq!((reject.status, reject.reason), (501, "Bad Request"));
    assert_eq!(reject.page_message(), "Unsupported transfer coding: 'foo, chunked'");
    for line in [
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Content-Length: +1",
    ] {
        assert_eq!(refusal(with(line)), bad("Invalid HTTP Header: 'CONTENT-LENGTH'"), "{line}");
    }
}

#[test]
fn keep_alive_follows_the_options_in_all_connection_fields() {
    let keeps = |version: &str, lines: &str| {
        let wire = format!("GET / HTTP/{version}\r\n{lines}\r\n\r\n");
        let keeps = accepted(&wire, |head| head.keep_alive());
        let mut store = HeadStore::new(false);
        let strict = HeadParser::default().parse_strictly(&mut store, wire.as_bytes());
        let Ok(Parse::Complete(head)) = strict else { panic!("refused: {wire:?}") };
        assert_eq!(head.keep_alive(), keeps, "the strict parser agrees: {wire:?}");
        keeps
    };
    assert!(keeps("1.1", "A: b") && !keeps("1.0", "A: b"));
    assert!(!keeps("1.1", "Connection: Close") && keeps("1.0", "connection: keep-alive"));
    for (lines, old, new) in [
        ("Connection: x", false, true),
        ("Connection: close, x", false, false),
        ("Connection: keep-alive, x", true, true),
        ("Connection: keep-alive, close", false, false),
        ("Connection: x\r\nConnection: close", false, false),
        ("Connection: x\r\nConnection: keep-alive", true, true),
        ("Connection: keep-alive\r\nA: b\r\nconnection: x,Close", false, false),
        ("Connection: close\r\nConnection: keep-alive", false, false),
    ] {
        assert_eq!((keeps("1.0", lines), keeps("1.1", lines)), (old, new), "{lines:?}");
    }
}

#[test]
fn underscores_and_scheme_headers() {
    let names = ["SCRIPT_NAME".to_owned()];
    let schemes = [("X-FORWARDED-PROTO", "https"), ("X-FORWARDED-SSL", "on")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let outcome = |mode: HeaderMap, trusted: bool, lines: &str| {
        let parser = HeadParser::new(Limits::default(), Policy::new(mode, &names, &schemes));
        let mut store = HeadStore::new(trusted);
        let wire = with(lines);
        match parser.parse(&mut store, wire.as_bytes()) {
            Ok(Parse::Complete(head)) => Ok((head.fields().len(), head.scheme_https())),
            Ok(Parse::Incomplete) => panic!("complete"),
            Err(reject) => Err((reject.status, reject.message)),
        }
    };
    assert_eq!(outcome(HeaderMap::Drop, true, "Script_Name: /x\r\nX_Y: z"), Ok((1, None)));
    assert_eq!(outcome(HeaderMap::Drop, false, "Script_Name: /x\r\nX_Y: z"), Ok((0, None)));
    assert_eq!(outcome(HeaderMap::Dangerous, false, "X_Y: z"), Ok((1, None)));
    assert_eq!(outcome(HeaderMap::Refuse, false, "x_y: z"), {
        Err((400, "Invalid HTTP header name: 'X_Y'".to_owned()))
    });
    assert_eq!(outcome(HeaderMap::Drop, false, "X-Forwarded-Proto: https"), Ok((1, None)));
    for (value, https) in
        [("https", true), ("http", false), ("HTTPS", false), ("https, http", false)]
    {
        let line = format!("X-Forwarded-Proto: {value}");
        assert_eq!(outcome(HeaderMap::Drop, true, &line), Ok((1, Some(https))), "{value}");
    }
    let both = "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl:";
    assert_eq!(outcome(HeaderMap::Drop, true, &format!("{both} on")), Ok((2, Some(true))));
    assert_eq!(outcome(HeaderMap::Drop, true, &format!("{both} off")), {
        Err((400, "Contradictory scheme headers".to_owned()))
    });
}

#[test]
fn the_store_serves_one_request_after_the_other() {
    let parser = HeadParser::default();
    let mut store = HeadStore::new(false);
    let first = b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(matches!(parser.parse(&mut store, first), Ok(Parse::Complete(_))));
    let second = b"GET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    assert!(matches!(parser.parse(&mut store, &second[..5]), Ok(Parse::Incomplete)));
    assert!(store.is_partial());
    assert!(matches!(parser.parse(&mut store, second), Ok(Parse::Complete(_))));
    let moved = second.to_vec();
    let head = store.head(&moved);
    assert_eq!(
        (head.target(), head.host(), head.keep_alive()),
        (&b"/2"[..], Some(&b"b"[..]), true)
    );
    // A stranger's buffer gives nonsense, not a panic.
    assert_eq!(store.head(b"GET").target(), b"");
}
