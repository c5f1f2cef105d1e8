use std::time::Duration;

use proptest::prelude::*;

use super::{AccessFormat, Entry, Form, Lookup, Source, Value};

const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// What every environ has.
fn always(name: &str) -> Option<&'static [u8]> {
    Some(match name {
        "REMOTE_ADDR" => b"127.0.0.1",
        "REQUEST_METHOD" => b"GET",
        "RAW_URI" => b"/a%20b?c=d",
        "PATH_INFO" => b"/a b",
        "QUERY_STRING" => b"c=d",
        "SERVER_PROTOCOL" => b"HTTP/1.1",
        _ => return None,
    })
}

/// No headers.
struct Bare;

impl Lookup for Bare {
    fn find(&self, source: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        let found = always(name).filter(|_| source == Source::Environ);
        found.map(|value| show(Value::Bytes(value))).is_some()
    }
}

/// The same value under every name, or none.
struct Same<'a>(Option<&'a [u8]>);

impl Lookup for Same<'_> {
    fn find(&self, _: Source, _: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        self.0.map(|value| show(Value::Bytes(value))).is_some()
    }
}

struct Headers;

impl Lookup for Headers {
    fn find(&self, source: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        let value = match (source, name) {
            (Source::Environ, "HTTP_USER_AGENT") => Value::Bytes(b"curl \"8\""),
            (Source::Environ, "HTTP_REFERER") => Value::Bytes(b"http://a/"),
            (Source::Environ, "HTTP_AUTHORIZATION") => {
                Value::Bytes(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
            }
            (Source::Environ, "REMOTE_USER") => Value::Text("\u{4e2d}\""),
            (Source::Environ, "app.time") => Value::Object("0.51"),
            (Source::Request, "x-id") => Value::Bytes(b"in"),
            (Source::Response, "x-id") => Value::Bytes(b"out"),
            _ => return Bare.find(source, name, show),
        };
        show(value);
        true
    }
}

fn entry() -> Entry<'static> {
    Entry {
        line: None,
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
    let line = line(DEFAULT, &Entry { lookup: &Bare, ..entry() });
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
        ("%({REMOTE_USER}e)s", "\u{4e2d}\\\""),
        ("%({none}i)s %({none}o)s %({NONE}e)s", "- - -"),
        ("%(zz)s %()s %({x-id}x)s %({)s %(a(b)c)s", "- - - - -"),
    ] {
        assert_eq!(line(format, &entry()), expected, "{format}");
    }
}

#[test]
fn what_is_not_there_is_shown_as_in_gunicorn() {
    let bare = Entry { status: None, sent: 0, lookup: &Same(None), ..entry() };
    assert_eq!(line("%(h)s %(s)s %(b)s %(u)s %(r)s", &bare), "- None 0 - - - -");
    assert_eq!(line("[%(h)s]", &Entry { lookup: &Same(Some(b"")), ..entry() }), "[]");
    let long = Entry { elapsed: Duration::from_secs(90_000), ..entry() };
    assert_eq!(line("%(T)s %(L)s %(H)s", &long), "90000 90000.000000 HTTP/1.1");
    let odd = Entry { line: Some(b"\x16\x03 \"x"), lookup: &Same(None), ..entry() };
    assert_eq!(line("%(r)s|%(m)s", &odd), "\\x16\\x03 \\\"x|-");
}

#[test]
fn a_line_of_json_has_every_field() {
    let text = |entry: &Entry<'_>| {
        let mut out = Vec::new();
        Form::parse("json").expect("json").write(&mut out, entry);
        let text = String::from_utf8(out).expect("UTF-8");
        let (time, rest) = text.split_once(',').expect("fields");
        assert!(time.starts_with("{\"time\":\"20") && time.len() == 42, "{time}");
        rest.to_owned()
    };
    assert_eq!(
        text(&entry()),
        "\"remote_addr\":\"127.0.0.1\",\"method\":\"GET\",\"target\":\"/a%20b?c=d\",\
         \"path\":\"/a b\",\"query\":\"c=d\",\"protocol\":\"HTTP/1.1\",\"host\":null,\
         \"referer\":\"http://a/\",\"user_agent\":\"curl \\\"8\\\"\",\"user\":\"Aladdin\",\
         \"status\":200,\"bytes\":42,\"duration\":1.234567,\"waited\":2.000345,\"pid\":99}\n"
    );
    let nothing = Entry { line: Some(b"\x16\xff"), status: None, lookup: &Same(None), ..entry() };
    let expected = "\"target\":\"\\u0016\u{ff}\",\"path\":null,";
    assert!(text(&nothing).contains(expected), "{}", text(&nothing));
    assert!(text(&nothing).contains("\"status\":null,"));
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
        ("%(D)#x %(D)012X %(D)#o", "0x12d687 00000012D687 0o4553207"),
        ("%(D)f %(D).2e %(D)g", "1234567.000000 1.23e+06 1.23457e+06"),
        ("%(D)+012.1f|%(D)-12.1f|", "+001234567.0|1234567.0   |"),
        ("%(B)c%(B)3c", "*  *"),
        ("%(B)r %(B)05a", "42    42"),
        ("%(s)r %(b)r %(p)a %(L)8.3r|", "'200' '42' '<99>'      '1.|"),
        ("%(l)r %(zz)a %(a)r", "'-' '-' 'curl \\\"8\\\"'"),
        ("%(r)r %({x-id}i)r", "'GET /a%20b?c=d HTTP/1.1' 'in'"),
        ("%(u)r %({REMOTE_USER}e)a", "'Aladdin' '\\u4e2d\\\"'"),
        ("%({app.time}e).1f %({app.time}e)d %({app.time}e)s %({app.time}e)r", "0.5 0 0.51 0.51"),
        ("%({none}e)5d|", "    -|"),
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
        ("%(h)c", "'h' is text"),
        ("%({x}i)d", "'{x}i' is text"),
        ("%(L)f", "'L' is text"),
        ("%(D)b", "'D' has no conversion 'b'"),
        ("%(h)%", "'h' has no conversion '%'"),
        ("%(h)*s", "has no conversion '*'"),
        ("%(h)1001s", "too many"),
        ("%(h).99999999999999999999s", "too many"),
    ] {
        let error = AccessFormat::compile(format).expect_err(format).to_string();
        assert!(error.contains(expected) && error.contains(format), "{format}: {error}");
    }
}

#[test]
fn cutting_a_value_does_not_free_a_quote() {
    let entry = Entry { lookup: &Same(Some(b"ab\"c")), ..entry() };
    assert_eq!(line(r#""%(a).3s""#, &entry), r#""ab""#);
    assert_eq!(line(r#""%(a).4s""#, &entry), r#""ab\"""#);
}

proptest! {
    #[test]
    fn any_format_is_compiled_or_refused(format in "\\PC{0,60}", odd in "[%()sdhD{}ieraxgcfu0-9. +#-]{0,30}") {
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
        let entry = Entry { status: Some(&bytes), lookup: &Same(Some(&bytes)), ..entry() };
        let names = ["h", "u", "r", "s", "m", "U", "q", "f", "a", "{x}i", "{x}o", "{x}e"];
        let column = |name| format!("\"%({name})s\" \"%({name}).{precision}s\" ");
        let literal = |name| format!("\"%({name})r\" \"%({name}).{precision}a\" ");
        let text = line(&(names.map(column).concat() + &names.map(literal).concat()), &entry);
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
        prop_assert_eq!(quotes, names.len() * 8, "{}", text);
    }
}
