use std::borrow::Cow;
use std::time::Duration;

use proptest::prelude::*;

use super::{AccessFormat, Entry, Lookup, Source};

const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

struct Nothing;

impl Lookup for Nothing {
    fn find(&self, _: Source, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

/// The same value under every name.
struct Always<'a>(&'a [u8]);

impl Lookup for Always<'_> {
    fn find(&self, _: Source, _: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.0))
    }
}

struct Headers;

impl Lookup for Headers {
    fn find(&self, source: Source, name: &str) -> Option<Cow<'_, [u8]>> {
        let value: &[u8] = match (source, name) {
            (Source::Request, "user-agent") => b"curl \"8\"",
            (Source::Request, "referer") => b"http://a/",
            (Source::Request, "authorization") => b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            (Source::Request, "x-id") => b"in",
            (Source::Response, "x-id") => b"out",
            (Source::Environ, "REMOTE_USER") => b"env",
            _ => return None,
        };
        Some(Cow::Borrowed(value))
    }
}

fn entry() -> Entry<'static> {
    Entry {
        remote_addr: Some(b"127.0.0.1"),
        method: b"GET",
        target: b"/a%20b?c=d",
        path: b"/a b",
        query: b"c=d",
        version: (1, 1),
        status: Some(b"200 OK"),
        sent: 42,
        elapsed: Duration::from_micros(1_234_567),
        waited: Duration::from_nanos(2_000_345_999),
        pid: 99,
        lookup: &Headers,
    }
}

fn line(format: &str, entry: &Entry<'_>) -> String {
    let mut out = b"kept ".to_vec();
    AccessFormat::compile(format).expect(format).write(&mut out, entry);
    let text = String::from_utf8(out).expect("UTF-8");
    text.strip_prefix("kept ").and_then(|text| text.strip_suffix('\n')).expect("a line").to_owned()
}

#[test]
fn the_default_format_is_gunicorns() {
    let line = line(DEFAULT, &Entry { lookup: &Nothing, ..entry() });
    let (before, rest) = line.split_once('[').expect("time");
    let (time, after) = rest.split_once(']').expect("time");
    assert_eq!(before, "127.0.0.1 - - ");
    assert_eq!(time.len(), 26);
    assert_eq!(after, r#" "GET /a%20b?c=d HTTP/1.1" 200 42 "-" "-""#);
}

#[test]
fn every_atom_has_its_value() {
    for (format, expected) in [
        ("%(h)s", "127.0.0.1"),
        ("%(l)s", "-"),
        ("%(u)s", "Aladdin"),
        ("%(r)s", "GET /a%20b?c=d HTTP/1.1"),
        ("%(s)s", "200"),
        ("%(m)s %(U)s %(q)s %(H)s", "GET /a b c=d HTTP/1.1"),
        ("%(B)s %(b)s", "42 42"),
        ("%(f)s", "http://a/"),
        ("%(a)s", "curl \\\"8\\\""),
        ("%(T)s %(M)s %(D)s %(L)s", "1 1234 1234567 1.234567"),
        ("%(W)s", "2.000345"),
        ("%(p)s", "<99>"),
        ("%({X-Id}i)s %({x-id}o)s %({X-ID}I)s", "in out in"),
        ("%({REMOTE_USER}e)s", "env"),
        ("%({none}i)s %({none}o)s %({NONE}e)s", "- - -"),
        ("%(zz)s %()s %({x-id}x)s %({)s %(a(b)c)s", "- - - - -"),
    ] {
        assert_eq!(line(format, &entry()), expected, "{format}");
    }
}

#[test]
fn what_is_not_there_is_shown_as_in_gunicorn() {
    let bare = Entry { remote_addr: None, status: None, sent: 0, lookup: &Nothing, ..entry() };
    assert_eq!(line("%(h)s %(s)s %(b)s %(u)s", &bare), "- None 0 -");
    assert_eq!(line("[%(h)s]", &Entry { remote_addr: Some(b""), ..bare }), "[]");
    let long = Entry { elapsed: Duration::from_secs(90_000), version: (1, 0), ..entry() };
    assert_eq!(line("%(T)s %(L)s %(H)s", &long), "90000 90000.000000 HTTP/1.0");
}

/// The expected texts are what Python prints.
#[test]
fn conversions_are_pythons() {
    for (format, expected) in [
        ("%(D)d", "1234567"),
        ("%(D)10d", "   1234567"),
        ("%(D)-10d|", "1234567   |"),
        ("%(D)010d", "0001234567"),
        ("%(D)+d", "+1234567"),
        ("%(D)+010d", "+001234567"),
        ("%(D) d", " 1234567"),
        ("%(D).9d", "001234567"),
        ("%(D)12.9d", "   001234567"),
        ("%(D)012.9d", "000001234567"),
        ("%(D)+012.9d", "+00001234567"),
        ("%(D)-+12d|", "+1234567    |"),
        ("%(D)-010d|", "1234567   |"),
        ("%(D)# d", " 1234567"),
        ("%(D)s", "1234567"),
        ("%(D)010s", "   1234567"),
        ("%(D).3s", "123"),
        ("%(s)-5s|", "200  |"),
        ("%(s)5s", "  200"),
        ("%(s)05s", "  200"),
        ("%(s)+5s", "  200"),
        ("%(s).2s", "20"),
        ("%(s)8.2s", "      20"),
        ("%(h)ls", "127.0.0.1"),
        ("%%(h)s", "%(h)s"),
        ("100%% %(s)s", "100% 200"),
        ("%(B)u%(T)i", "421"),
        ("\u{e9}%(s)s\u{4e2d}", "\u{e9}200\u{4e2d}"),
        ("", ""),
    ] {
        assert_eq!(line(format, &entry()), expected, "{format}");
    }
}

#[test]
fn a_bad_format_is_refused_with_a_reason() {
    for (format, expected) in [
        ("%s", "needs a name"),
        ("100%", "needs a name"),
        ("%(h", "never closed"),
        ("%(h)", "'h' lacks a conversion"),
        ("%(h)-5", "'h' lacks a conversion"),
        ("%(h)d", "'h' is text"),
        ("%(b)d", "'b' is text"),
        ("%(zz)d", "'zz' is text"),
        ("%(D)x", "the conversion 'x' of 'D' is not supported"),
        ("%(h)r", "the conversion 'r' of 'h'"),
        ("%(h)%", "the conversion '%' of 'h'"),
        ("%(h)*s", "the conversion '*'"),
        ("%(h)1001s", "too many"),
        ("%(h).99999999999999999999s", "too many"),
    ] {
        let error = AccessFormat::compile(format).expect_err(format).to_string();
        assert!(error.contains(expected) && error.contains(format), "{format}: {error}");
    }
}

#[test]
fn cutting_a_value_does_not_free_a_quote() {
    let entry = Entry { lookup: &Always(b"ab\"c"), ..entry() };
    assert_eq!(line(r#""%(a).3s""#, &entry), r#""ab""#);
    assert_eq!(line(r#""%(a).4s""#, &entry), r#""ab\"""#);
}

proptest! {
    #[test]
    fn any_format_is_compiled_or_refused(format in "\\PC{0,60}", odd in "[%()sdhD{}ie0-9. +#-]{0,30}") {
        for format in [format, odd] {
            if let Ok(compiled) = AccessFormat::compile(&format) {
                let mut out = Vec::new();
                compiled.write(&mut out, &entry());
                prop_assert_eq!(out.last(), Some(&b'\n'));
            }
        }
    }

    #[test]
    fn no_request_forges_a_line_or_ends_its_quotes(
        bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'\n'), Just(0xc2), Just(0x85)],
            0..60,
        ),
        precision in 0_usize..40,
    ) {
        let entry = Entry {
            remote_addr: Some(&bytes),
            method: &bytes,
            target: &bytes,
            path: &bytes,
            query: &bytes,
            status: Some(&bytes),
            lookup: &Always(&bytes),
            ..entry()
        };
        let names = ["h", "u", "r", "s", "m", "U", "q", "f", "a", "{x}i", "{x}o", "{x}e"];
        let column = |name| format!("\"%({name})s\" \"%({name}).{precision}s\" ");
        let text = line(&names.map(column).concat(), &entry);
        prop_assert!(!text.contains(|symbol: char| symbol.is_control()));
        // Whoever reads the line with backslash escapes sees two quotes per column.
        let mut symbols = text.chars();
        let mut quotes = 0;
        while let Some(symbol) = symbols.next() {
            match symbol {
                '\\' => drop(symbols.next()),
                '"' => quotes += 1,
                _ => {}
            }
        }
        prop_assert_eq!(quotes, names.len() * 4, "{}", text);
    }
}
