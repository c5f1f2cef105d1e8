//! What clients send, made safe for a log line: no value can end its quotes or its line.
//!
//! As in gunicorn a quote becomes `\"`, and bytes from 0xA0 on are shown as the ISO 8859-1 characters
//! they are. Beyond gunicorn, control bytes become `\xHH`, and a backslash is doubled where it would
//! otherwise join the quote after it.

/// Appends `bytes`. `end` says that the value ends with them, so that a quote of the format may follow.
pub fn escape(out: &mut Vec<u8>, bytes: &[u8], end: bool) {
    escape_as(out, bytes, end, |out, byte| {
        if byte < 0xa0 {
            hex(out, byte);
        } else {
            // U+00A0 to U+00FF in UTF-8.
            out.extend_from_slice(&[0xc0 | byte >> 6, 0x80 | byte & 0x3f]);
        }
    });
}

/// Appends a whole value that is UTF-8 text.
pub fn escape_utf8(out: &mut Vec<u8>, text: &str) {
    let breaks = |symbol: char| matches!(symbol, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}');
    escape_as(out, text.replace(breaks, "?").as_bytes(), true, Vec::push);
}

fn escape_as(out: &mut Vec<u8>, bytes: &[u8], end: bool, high: impl Fn(&mut Vec<u8>, u8)) {
    let mut rest = bytes;
    while let Some(special) = rest.iter().position(|byte| !plain(*byte)) {
        let (clean, from) = rest.split_at(special);
        out.extend_from_slice(clean);
        match from[0] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => {
                let run = from.iter().take_while(|byte| **byte == b'\\').count();
                let doubled = from.get(run).map_or(end, |next| *next == b'"');
                let count = if doubled { 2 * run } else { run };
                out.extend(std::iter::repeat_n(b'\\', count));
                rest = &from[run..];
                continue;
            }
            byte if byte.is_ascii() => hex(out, byte),
            byte => high(out, byte),
        }
        rest = &from[1..];
    }
    out.extend_from_slice(rest);
}

fn plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS[usize::from(value & 0xf)];
    out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte)]);
}

/// Removes a backslash from the end of a text that was cut to `precision` characters between it and
/// what it escapes.
pub fn keep_escapes_whole(text: &mut String, precision: usize) {
    let trailing = text.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if text.chars().count() == precision && trailing % 2 == 1 {
        text.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::{escape, escape_utf8, keep_escapes_whole};

    fn escaped(bytes: &[u8], end: bool) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes, end);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn nothing_ends_its_quotes_or_its_line() {
        for (bytes, expected) in [
            (b"plain /x?y=%20".as_slice(), "plain /x?y=%20"),
            (b"say \"hi\"", r#"say \"hi\""#),
            (b"a\nb\r\tc\0\x7f\x1b[1m", r"a\x0ab\x0d\x09c\x00\x7f\x1b[1m"),
            (b"caf\xe9 \xa0\xff", "caf\u{e9} \u{a0}\u{ff}"),
            (b"next\x85line", r"next\x85line"),
            (b"C:\\x", r"C:\x"),
            (b"a\\\"b", r#"a\\\"b"#),
            (b"a\\\\", r"a\\\\"),
        ] {
            assert_eq!(escaped(bytes, true), expected);
        }
        assert_eq!(escaped(b"a\\", false), r"a\");
    }

    #[test]
    fn text_stays_text() {
        let mut out = Vec::new();
        escape_utf8(&mut out, "J\u{fc}rgen \u{4e2d}\"\n\u{85}\u{2028}");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), "J\u{fc}rgen \u{4e2d}\\\"\\x0a??");
    }

    #[test]
    fn a_cut_leaves_no_lone_backslash() {
        for (text, precision, expected) in [
            (r#"ab\""#, 4, r#"ab\""#),
            (r"ab\", 3, "ab"),
            (r"ab\\", 4, r"ab\\"),
            (r"a\x0", 4, r"a\x0"),
        ] {
            let mut cut = text.to_owned();
            keep_escapes_whole(&mut cut, precision);
            assert_eq!(cut, expected);
        }
    }
}
