//! What an application passes to `start_response`: checked, and kept in its form on the wire.

use std::fmt;
use std::ops::Range;

use super::chars::{is_field_text, is_token, same, trim};
use super::framing::content_length;
use super::quote;

/// Something an application passed to `start_response` that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// A status that is not three digits, or three digits, a space and text (PEP 3333).
    Status(Vec<u8>),
    /// A header name that is not a token.
    Name(Vec<u8>),
    /// A value with control bytes; this is the name, for the value may be a secret.
    Value(Vec<u8>),
    /// A Content-Length that is not a number.
    Length(Vec<u8>),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "Invalid status {}", quote::text(status)),
            Self::Name(name) => write!(
                f,
                "Invalid response header name from the application: {}",
                quote::text(name)
            ),
            Self::Value(name) => {
                write!(f, "Invalid response header from the application: {}", quote::text(name))
            }
            Self::Length(value) => {
                write!(f, "invalid literal for int() with base 10: {}", quote::text(value))
            }
        }
    }
}

impl std::error::Error for HeadError {}

/// Checks a status as an application gives it ("200 OK", "200") and returns its code.
///
/// # Errors
/// [`HeadError::Status`].
pub fn check_status(status: &[u8]) -> Result<u16, HeadError> {
    let invalid = || HeadError::Status(status.to_owned());
    let (code, reason) = status.split_first_chunk::<3>().ok_or_else(invalid)?;
    let text = matches!(reason, [] | [b' ', ..]) && is_field_text(reason);
    if !text || !code.iter().all(u8::is_ascii_digit) {
        return Err(invalid());
    }
    Ok(code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
}

/// The headers of one answer as the application gave them, checked, in their form on the wire.
/// Reusable: [`HeaderBlock::clear`] keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct HeaderBlock {
    bytes: Vec<u8>,
    /// The Content-Length: its value and where its line lies.
    length: Option<(u64, Range<usize>)>,
    pub(super) upgrade: bool,
}

impl HeaderBlock {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.length = None;
        self.upgrade = false;
    }

    /// Adds a header. Blanks around the value are removed.
    ///
    /// Headers that are the server's business are left out without a word: the hop-by-hop ones, Date
    /// and Server. `Connection: upgrade` makes the server send that, and `Upgrade: websocket` is
    /// kept. A Content-Length is read like Python's `int()` does and replaces one added before.
    ///
    /// # Errors
    /// A name that is not a token, a value with control bytes, a Content-Length that is not a number
    /// from 0 to 2^64 - 1.
    #[inline]
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        if !is_token(name) {
            return Err(HeadError::Name(name.to_owned()));
        }
        if !is_field_text(value) {
            return Err(HeadError::Value(name.to_owned()));
        }
        let value = trim(value);
        match name.len() {
            14 if same(name, b"content-length") => return self.push_length(name, value),
            10 if same(name, b"connection") => {
                self.upgrade |= same(value, b"upgrade");
                return Ok(());
            }
            7 if same(name, b"upgrade") && same(value, b"websocket") => {}
            _ if is_ours(name) => return Ok(()),
            _ => {}
        }
        self.line(name, value);
        Ok(())
    }

    fn push_length(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        let Some((negative, length)) = python_int(value) else {
            return Err(HeadError::Length(value.to_owned()));
        };
        if negative && length > 0 {
            return Err(HeadError::Value(name.to_owned()));
        }
        if let Some((_, range)) = self.length.take() {
            self.bytes.drain(range);
        }
        let start = self.bytes.len();
        if value.iter().all(u8::is_ascii_digit) {
            self.line(name, value);
        } else {
            // int() takes signs and underscores, HTTP does not.
            self.line(name, itoa::Buffer::new().format(length).as_bytes());
        }
        self.length = Some((length, start..self.bytes.len()));
        Ok(())
    }

    fn line(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.reserve(name.len() + value.len() + 4);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The body length that the application announced, in bytes.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.length.as_ref().map(|(length, _)| *length)
    }

    /// Whether the application has said `Connection: upgrade`.
    #[must_use]
    pub fn asks_for_upgrade(&self) -> bool {
        self.upgrade
    }

    /// Bytes that [`HeaderBlock::copy_to`] appends at most.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Name and value of each header that will be sent, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let colon = memchr::memchr(b':', rest)?;
            let end = memchr::memchr(b'\r', rest)?;
            let header = (&rest[..colon], &rest[colon + 2..end]);
            rest = &rest[end + 2..];
            Some(header)
        })
    }

    /// The value of the last header called `name`, in any case.
    #[must_use]
    pub fn last(&self, name: &[u8]) -> Option<&[u8]> {
        let named = self.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.last().map(|(_, value)| value)
    }

    /// The lines on the wire, with or without the Content-Length.
    pub(super) fn copy_to(&self, out: &mut Vec<u8>, with_length: bool) {
        match &self.length {
            Some((_, range)) if !with_length => {
                out.extend_from_slice(&self.bytes[..range.start]);
                out.extend_from_slice(&self.bytes[range.end..]);
            }
            _ => out.extend_from_slice(&self.bytes),
        }
    }
}

/// Headers that the server sets itself or that concern one connection only.
fn is_ours(name: &[u8]) -> bool {
    match name.len() {
        2 => same(name, b"te"),
        4 => same(name, b"date"),
        6 => same(name, b"server"),
        7 => same(name, b"upgrade"),
        8 => same(name, b"trailers"),
        10 => same(name, b"keep-alive"),
        17 => same(name, b"transfer-encoding"),
        18 => same(name, b"proxy-authenticate"),
        19 => same(name, b"proxy-authorization"),
        _ => false,
    }
}

/// Sign (true for minus) and magnitude of a decimal number with the spellings of Python's `int()`.
fn python_int(text: &[u8]) -> Option<(bool, u64)> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut sum = 0u64;
    for group in digits.split(|&byte| byte == b'_') {
        // No group is empty: underscores stand between digits.
        content_length(group)?;
        for digit in group {
            sum = sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        }
    }
    Some((negative, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(headers: &[(&str, &str)]) -> Result<HeaderBlock, String> {
        let mut block = HeaderBlock::new();
        for (name, value) in headers {
            block.push(name.as_bytes(), value.as_bytes()).map_err(|error| error.to_string())?;
        }
        Ok(block)
    }

    fn sent(headers: &[(&str, &str)]) -> String {
        String::from_utf8(block(headers).unwrap().bytes).unwrap()
    }

    #[test]
    fn statuses() {
        assert_eq!(check_status(b"200 OK"), Ok(200));
        assert_eq!(check_status(b"204"), Ok(204));
        assert_eq!(check_status(b"299 "), Ok(299));
        assert_eq!(check_status(b"404 Not\tfound \xe9"), Ok(404));
        for bad in
            [&b""[..], b"20", b"200OK", b"2000 OK", b" 200 OK", b"abc OK", b"200 a\r\nb", b"200\t"]
        {
            assert_eq!(check_status(bad), Err(HeadError::Status(bad.to_owned())));
        }
        let text = check_status(b"bad\n").unwrap_err().to_string();
        assert_eq!(text, "Invalid status 'bad\\n'");
    }

    #[test]
    fn kept_in_order_with_case_and_without_outer_blanks() {
        let headers =
            [("X-b", " 1 "), ("content-TYPE", "text/html"), ("x-B", "\t2"), ("Trailer", "x")];
        assert_eq!(sent(&headers), "X-b: 1\r\ncontent-TYPE: text/html\r\nx-B: 2\r\nTrailer: x\r\n");
        let block = block(&headers).unwrap();
        assert_eq!(block.last(b"X-B"), Some(&b"2"[..]));
        assert_eq!(block.last(b"x"), None);
        assert_eq!(block.iter().count(), 4);
    }

    #[test]
    fn the_servers_own_are_left_out() {
        for name in [
            "Connection",
            "keep-alive",
            "Proxy-Authenticate",
            "proxy-authorization",
            "TE",
            "Trailers",
            "Transfer-Encoding",
            "Upgrade",
            "SERVER",
            "Date",
        ] {
            assert_eq!(sent(&[(name, "x")]), "", "{name}");
        }
        assert_eq!(sent(&[("Proxy-Connection", "x")]), "Proxy-Connection: x\r\n");
        assert_eq!(sent(&[("Upgrade", "WebSocket")]), "Upgrade: WebSocket\r\n");
        assert!(block(&[("Connection", "Upgrade")]).unwrap().upgrade);
        assert!(!block(&[("Connection", "upgrade, x")]).unwrap().upgrade);
    }

    #[test]
    fn what_cannot_be_sent() {
        let name = "Invalid response header name from the application: ";
        assert_eq!(block(&[("a b", "x")]).unwrap_err(), format!("{name}'a b'"));
        assert_eq!(block(&[("", "x")]).unwrap_err(), format!("{name}''"));
        let value = "Invalid response header from the application: 'X'";
        for bad in ["a\nb", "a\r", "\0", "\x7f"] {
            assert_eq!(block(&[("X", bad)]).unwrap_err(), value);
        }
    }

    #[test]
    fn content_length_is_read_as_python_does_and_sent_as_http_wants() {
        let length = |value: &str| {
            let block = block(&[("Content-Length", value)])?;
            Ok((block.content_length().unwrap(), String::from_utf8(block.bytes).unwrap()))
        };
        for (value, number, line) in [
            ("0", 0, "0"),
            ("007", 7, "007"),
            (" 12 ", 12, "12"),
            ("+5", 5, "5"),
            ("1_000", 1000, "1000"),
            ("-0", 0, "0"),
            ("18446744073709551615", u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(
                length(value),
                Ok((number, format!("Content-Length: {line}\r\n"))),
                "{value}"
            );
        }
        for bad in [
            "",
            "abc",
            "1.0",
            "1__0",
            "_1",
            "1_",
            "+",
            "0x1",
            "18446744073709551616",
            "1_8446744073709551616",
        ] {
            let message = format!("invalid literal for int() with base 10: '{bad}'");
            assert_eq!(length(bad), Err(message));
        }
        assert_eq!(
            length("-1"),
            Err("Invalid response header from the application: 'Content-Length'".into())
        );
    }

    #[test]
    fn the_last_content_length_is_the_one() {
        let headers = [("A", "1"), ("Content-Length", "10"), ("B", "2"), ("content-length", "3")];
        assert_eq!(sent(&headers), "A: 1\r\nB: 2\r\ncontent-length: 3\r\n");
        let mut block = block(&headers).unwrap();
        let mut out = Vec::new();
        block.copy_to(&mut out, false);
        assert_eq!(out, b"A: 1\r\nB: 2\r\n");
        block.clear();
        assert_eq!((block.content_length(), block.iter().next()), (None, None));
    }
}
