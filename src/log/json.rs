//! JSON strings (RFC 8259) for lines of a log: whatever is in them, they are valid and end no line.

/// Appends a string. Besides what JSON asks for, everything is escaped that a terminal or a reader of
/// lines might take for more than a character.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some(special) = rest.find(is_special) {
        let (plain, from) = rest.split_at(special);
        out.extend_from_slice(plain.as_bytes());
        let mut symbols = from.chars();
        if let Some(symbol) = symbols.next() {
            escape(out, symbol);
        }
        rest = symbols.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Appends bytes as a string: UTF-8 if that is what they are, else ISO 8859-1.
pub fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // What most values consist of.
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    match str::from_utf8(bytes) {
        Ok(text) => string(out, text),
        Err(_) => string(out, &bytes.iter().copied().map(char::from).collect::<String>()),
    }
}

fn is_special(symbol: char) -> bool {
    matches!(symbol, '"' | '\\' | '\u{2028}' | '\u{2029}') || symbol.is_control()
}

fn escape(out: &mut Vec<u8>, symbol: char) {
    let short = match symbol {
        '"' | '\\' => symbol,
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        _ => {
            // All of them are below U+FFFF.
            out.extend_from_slice(format!("\\u{:04x}", u32::from(symbol)).as_bytes());
            return;
        }
    };
    out.push(b'\\');
    // ASCII, all of them.
    out.push(short as u8);
}

#[cfg(test)]
mod tests {
    use super::{bytes, string};

    #[test]
    fn strings_are_escaped() {
        for (text, expected) in [
            ("plain", r#""plain""#),
            ("", r#""""#),
            ("a \"b\" \\c", r#""a \"b\" \\c""#),
            ("one\r\n\ttwo\0\u{1b}[1m\u{7f}", r#""one\r\n\ttwo\u0000\u001b[1m\u007f""#),
            ("\u{85}\u{2028}\u{2029}", r#""\u0085\u2028\u2029""#),
            ("h\u{e9} \u{4e2d} \u{1f600}", "\"h\u{e9} \u{4e2d} \u{1f600}\""),
        ] {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn bytes_are_utf_8_or_else_latin_1() {
        for (raw, expected) in [
            ("caf\u{e9}".as_bytes(), "\"caf\u{e9}\""),
            (b"caf\xe9\x9f\"", "\"caf\u{e9}\\u009f\\\"\""),
        ] {
            let mut out = Vec::new();
            bytes(&mut out, raw);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
