//! The access log.

use std::time::Duration;

use super::{Input, Random};
use crate::log::access::{AccessFormat, Entry, Form, Lookup, Source, Value};

/// Separates format, method, target and value in an input (ASCII RS).
const RECORD: u8 = 0x1e;

/// A format that shows all a client can choose, each in quotes.
const QUOTED: &str = concat!(
    r#""%(h)s" "%(u)s" "%(r)s" "%(s)s" "%(m)s" "%(U)s" "%(q)s" "%(f)s" "%(a)s" "#,
    r#""%({x}i)s" "%({x}o)s" "%({x}e)s" "%(a).7s" "%(U).1s" "%(q)-9.3s" "%(f)9s" "#,
    r#""%(r)r" "%(a)a" "%(U).3r" "%({x}e)d" "%({x}e)c" "%({x}i)5.2a""#
);

/// Fields of a line in JSON.
const FIELDS: usize = 16;

/// The same value under every name, or none; but method and target.
struct Always<'a> {
    method: &'a [u8],
    target: &'a [u8],
    value: Option<&'a [u8]>,
}

impl Lookup for Always<'_> {
    fn find(&self, source: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        let value = match (source, name) {
            (Source::Environ, "REQUEST_METHOD") => Some(self.method),
            (Source::Environ, "RAW_URI" | "QUERY_STRING") => Some(self.target),
            _ => self.value,
        };
        value.map(|value| show(Value::Bytes(value))).is_some()
    }
}

/// The access log: a format is refused or writes one line per request, and nothing that a client
/// sends ends the line or the quotes it stands in.
///
/// The input: control bytes, then format, method, target and one more value, with separators.
///
/// # Panics
/// A line is forged.
pub fn access_log_format(data: &[u8]) {
    let Some(input) = Input::new(data) else { return };
    let mut records = input.wire.split(|byte| *byte == RECORD);
    let mut next = || records.next().unwrap_or_default();
    let format = String::from_utf8_lossy(next());
    let (method, target, value) = (next(), next(), next());

    let mut random = Random(input.seed);
    let lookup = Always { method, target, value: Some(value) };
    let hostile = Entry {
        line: (input.control[0] % 2 == 1).then_some(target),
        status: Some(value),
        sent: random.next(),
        elapsed: Duration::from_nanos(random.next()),
        waited: Duration::from_nanos(random.next()),
        pid: 1,
        lookup: &lookup,
    };
    let absent = Always { method: b"", target: b"", value: None };
    let empty = Entry { line: None, status: None, lookup: &absent, ..hostile };

    match AccessFormat::compile(&format) {
        Ok(compiled) => {
            let line = line(&compiled, &hostile);
            let plain = self::line(&compiled, &empty);
            // A format may have line breaks of its own, in its text. No value adds to them.
            let breaks = |text: &str| text.chars().filter(|c| c.is_control()).count();
            assert_eq!(breaks(&line), breaks(&plain), "{line:?} {plain:?}");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("access_log_format") && text.ends_with('.'), "{text}");
        }
    }

    let compiled = AccessFormat::compile(QUOTED).expect("the format is right");
    let line = line(&compiled, &hostile);
    assert!(!line.contains(char::is_control), "{line:?}");
    assert_eq!(quotes(&line), quotes(QUOTED), "{line}");

    let mut out = Vec::new();
    Form::Json.write(&mut out, &hostile);
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    let object = text.strip_suffix('\n').expect("a line ends");
    assert!(!object.contains(char::is_control), "{object:?}");
    let skeleton = skeleton(object);
    let inner = skeleton.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let fields: Vec<&str> = inner.expect("an object").split(',').collect();
    let sound = |field: &&str| match field.strip_prefix("s:") {
        Some("s" | "null") => true,
        Some(number) => number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'),
        None => false,
    };
    assert!(fields.len() == FIELDS && fields.iter().all(sound), "{object}");
}

/// JSON with `s` in place of each string.
fn skeleton(json: &str) -> String {
    let mut out = String::new();
    let mut symbols = json.chars();
    while let Some(symbol) = symbols.next() {
        if symbol != '"' {
            out.push(symbol);
            continue;
        }
        out.push('s');
        while let Some(symbol) = symbols.next().filter(|symbol| *symbol != '"') {
            if symbol == '\\' {
                symbols.next();
            }
        }
    }
    out
}

/// The line of an entry, without the line feed at its end.
fn line(format: &AccessFormat, entry: &Entry<'_>) -> String {
    let mut out = b"kept".to_vec();
    format.write(&mut out, entry);
    let text = String::from_utf8(out).expect("the log is UTF-8");
    let line = text.strip_prefix("kept").and_then(|text| text.strip_suffix('\n'));
    line.expect("a line is appended").to_owned()
}

/// Quotes that whoever reads backslash escapes takes for quotes.
fn quotes(line: &str) -> usize {
    let mut symbols = line.chars();
    let mut count = 0;
    while let Some(symbol) = symbols.next() {
        match symbol {
            '\\' => drop(symbols.next()),
            '"' => count += 1,
            _ => {}
        }
    }
    count
}
