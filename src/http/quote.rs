//! Offending input as Python's `repr` prints it: messages show it in that form, and log
//! watchers match on it.

use std::fmt::Write as _;

/// `repr` of the text that `bytes` gives when decoded as latin-1.
pub(super) fn text(bytes: &[u8]) -> String {
    quoted(bytes, |byte| {
        // What Python calls printable among the first 256 characters: not the C1 controls,
        // the no-break space and the soft hyphen.
        matches!(byte, 0x20..=0x7e | 0xa1..=0xac | 0xae..=0xff)
    })
}

/// `repr` of `bytes` as a Python bytes object.
pub(super) fn bytes(bytes: &[u8]) -> String {
    format!("b{}", quoted(bytes, |byte| matches!(byte, 0x20..=0x7e)))
}

fn quoted(bytes: &[u8], printable: impl Fn(u8) -> bool) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push(quote);
    for &byte in bytes {
        let shown = char::from(byte);
        match shown {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if shown == quote => {
                out.push('\\');
                out.push(shown);
            }
            _ if printable(byte) => out.push(shown),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_as_python_does() {
        assert_eq!(super::text(b"x"), "'x'");
        assert_eq!(super::text(b"it's"), "\"it's\"");
        assert_eq!(super::text(b"it's \"x\""), "'it\\'s \"x\"'");
        assert_eq!(super::text(b"\\\r\n\t\0\x7f\x80\xa0\xad\xe9"), {
            "'\\\\\\r\\n\\t\\x00\\x7f\\x80\\xa0\\xad\u{e9}'"
        });
        assert_eq!(super::bytes(b"5\r\n\xe9'"), "b\"5\\r\\n\\xe9'\"");
    }
}
