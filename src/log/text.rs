//! Messages as text: nothing in a message can be taken for another record, whoever chose its words.

/// Appends a message. It may have several lines, as a traceback has, but none that begins as a record
/// does, and no control characters but tabs.
pub fn message(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(special) = rest.find(is_special) {
        let (plain, from) = rest.split_at(special);
        out.extend_from_slice(plain.as_bytes());
        let mut symbols = from.chars();
        match symbols.next() {
            Some('\n') if symbols.as_str().starts_with('[') => out.extend_from_slice(b"\n "),
            Some('\n') => out.push(b'\n'),
            Some(symbol) => escape(out, symbol),
            None => {}
        }
        rest = symbols.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn is_special(symbol: char) -> bool {
    symbol != '\t' && symbol.is_control() || matches!(symbol, '\u{2028}' | '\u{2029}')
}

fn escape(out: &mut Vec<u8>, symbol: char) {
    let number = u32::from(symbol);
    let text = if number < 0x100 { format!("\\x{number:02x}") } else { format!("\\u{number:04x}") };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn no_line_looks_like_a_record() {
        for (text, expected) in [
            ("plain", "plain"),
            ("[1] is fine here", "[1] is fine here"),
            ("Traceback:\n  File \"x\"\n[2026-11-20 00:00:00 +0000] [1] [INFO] forged", {
                "Traceback:\n  File \"x\"\n [2026-11-20 00:00:00 +0000] [1] [INFO] forged"
            }),
            ("a\r[x\tb\u{1b}[1m\0\u{7f}\u{85}\u{2028}[", {
                "a\\x0d[x\tb\\x1b[1m\\x00\\x7f\\x85\\u2028["
            }),
            ("\n\n[\n", "\n\n [\n"),
            ("caf\u{e9} \u{4e2d}", "caf\u{e9} \u{4e2d}"),
        ] {
            let mut out = Vec::new();
            message(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
