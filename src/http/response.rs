//! Heads of answers: how the body is delimited, what becomes of the connection, and the bytes.

use std::io::Write as _;

use super::date::DATE_LEN;
use super::headers::HeaderBlock;

/// Ends the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// Ends a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How the body of an answer is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// No body may be sent: the answer to HEAD, and 1xx, 204 and 304.
    Forbidden,
    /// As many bytes as announced.
    Length(u64),
    /// In chunks.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// What the server decides about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    minor: u8,
    /// How the body is sent.
    pub body: ResponseBody,
    /// Whether the connection is closed after the answer.
    pub close: bool,
    upgrade: bool,
    with_length: bool,
}

impl Plan {
    /// Decides for the answer `status` with the headers `block` to a request of HTTP/1.`minor`.
    ///
    /// `is_head` tells whether the method is HEAD; `keep_alive`, whether both the request and the
    /// server want the connection to stay.
    #[must_use]
    pub fn new(
        minor: u8,
        is_head: bool,
        status: u16,
        block: &HeaderBlock,
        keep_alive: bool,
    ) -> Self {
        // RFC 9110 section 8.6: no Content-Length in 1xx and 204.
        let with_length = !matches!(status, 100..=199 | 204);
        let body = match block.content_length() {
            _ if is_head || !with_length || status == 304 => ResponseBody::Forbidden,
            Some(length) => ResponseBody::Length(length),
            None if minor >= 1 => ResponseBody::Chunked,
            None => ResponseBody::UntilClose,
        };
        let close = !keep_alive || body == ResponseBody::UntilClose;
        Self { minor, body, close, upgrade: block.upgrade, with_length }
    }
}

/// Appends the head of an answer to `out`: status line, the server's own headers, those of `block`.
///
/// `status` has passed [`super::check_status`]; `server` has no control characters; `date` is from
/// [`super::DateCache`].
pub fn encode_head(
    out: &mut Vec<u8>,
    plan: &Plan,
    status: &[u8],
    server: Option<&[u8]>,
    date: &[u8; DATE_LEN],
    block: &HeaderBlock,
) {
    const OWN: usize = 160;
    out.reserve(OWN + status.len() + server.map_or(0, <[u8]>::len) + block.size());
    match plan.minor {
        1 => out.extend_from_slice(b"HTTP/1.1 "),
        0 => out.extend_from_slice(b"HTTP/1.0 "),
        minor => {
            out.extend_from_slice(&[b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' + minor, b' ']);
        }
    }
    out.extend_from_slice(status);
    if let Some(server) = server {
        out.extend_from_slice(b"\r\nServer: ");
        out.extend_from_slice(server);
    }
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(match (plan.upgrade, plan.close) {
        (true, _) => b"\r\nConnection: upgrade\r\n",
        (_, true) => b"\r\nConnection: close\r\n".as_slice(),
        (_, false) => b"\r\nConnection: keep-alive\r\n",
    });
    if plan.body == ResponseBody::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    block.copy_to(out, plan.with_length);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line that starts a chunk of `len` bytes. A length of 0 would end the body: send
/// nothing for an empty piece, and [`LAST_CHUNK`] at the end.
pub fn chunk_prefix(out: &mut Vec<u8>, len: usize) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{len:X}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(minor: u8, is_head: bool, status: u16, length: Option<&str>) -> (ResponseBody, bool) {
        let mut block = HeaderBlock::new();
        if let Some(length) = length {
            block.push(b"Content-Length", length.as_bytes()).unwrap();
        }
        let plan = Plan::new(minor, is_head, status, &block, true);
        (plan.body, plan.close)
    }

    #[test]
    fn body_and_connection() {
        use ResponseBody::{Chunked, Forbidden, Length, UntilClose};
        assert_eq!(plan(1, false, 200, None), (Chunked, false));
        assert_eq!(plan(2, false, 200, None), (Chunked, false));
        assert_eq!(plan(0, false, 200, None), (UntilClose, true));
        assert_eq!(plan(0, false, 200, Some("5")), (Length(5), false));
        assert_eq!(plan(1, true, 200, None), (Forbidden, false));
        assert_eq!(plan(0, true, 200, Some("5")), (Forbidden, false));
        for status in [100, 101, 199, 204, 304] {
            assert_eq!(plan(0, false, status, None), (Forbidden, false), "{status}");
            assert_eq!(plan(1, false, status, Some("5")), (Forbidden, false), "{status}");
        }
        assert!(Plan::new(1, false, 200, &HeaderBlock::new(), false).close);
    }

    fn head(
        minor: u8,
        is_head: bool,
        status: &str,
        headers: &[(&str, &str)],
        keep: bool,
    ) -> String {
        let mut block = HeaderBlock::new();
        for (name, value) in headers {
            block.push(name.as_bytes(), value.as_bytes()).unwrap();
        }
        let code = status[..3].parse().unwrap();
        let plan = Plan::new(minor, is_head, code, &block, keep);
        let mut out = Vec::new();
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        encode_head(&mut out, &plan, status.as_bytes(), Some(b"rgunicorn"), date, &block);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn heads_on_the_wire() {
        const OWN: &str =
            "Server: rgunicorn\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: ";
        assert_eq!(
            head(1, false, "200 OK", &[("Content-Type", "a"), ("content-length", "2")], true),
            format!(
                "HTTP/1.1 200 OK\r\n{OWN}keep-alive\r\nContent-Type: a\r\ncontent-length: 2\r\n\r\n"
            )
        );
        assert_eq!(
            head(1, false, "299", &[("A", "b")], false),
            format!("HTTP/1.1 299\r\n{OWN}close\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n")
        );
        assert_eq!(
            head(0, false, "200 OK", &[], true),
            format!("HTTP/1.0 200 OK\r\n{OWN}close\r\n\r\n")
        );
        assert_eq!(
            head(2, true, "200 OK", &[("Content-Length", "9")], true),
            format!("HTTP/1.2 200 OK\r\n{OWN}keep-alive\r\nContent-Length: 9\r\n\r\n")
        );
        assert_eq!(
            head(1, false, "204 No Content", &[("Content-Length", "9"), ("A", "b")], true),
            format!("HTTP/1.1 204 No Content\r\n{OWN}keep-alive\r\nA: b\r\n\r\n")
        );
        assert_eq!(
            head(1, false, "304 x", &[("Content-Length", "9")], true),
            format!("HTTP/1.1 304 x\r\n{OWN}keep-alive\r\nContent-Length: 9\r\n\r\n")
        );
        let (mut out, block) = (Vec::new(), HeaderBlock::new());
        let plan = Plan::new(0, false, 200, &block, false);
        encode_head(&mut out, &plan, b"200 OK", None, b"Sun, 06 Nov 1994 08:49:37 GMT", &block);
        assert!(out.starts_with(b"HTTP/1.0 200 OK\r\nDate: Sun, "));
        let switch = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        assert_eq!(
            head(1, false, "101 Switching Protocols", &switch, true),
            format!(
                "HTTP/1.1 101 Switching Protocols\r\n{OWN}upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
        );
    }

    #[test]
    fn chunk_sizes_are_upper_case_hex() {
        let mut out = Vec::new();
        chunk_prefix(&mut out, 0xABC);
        chunk_prefix(&mut out, 1);
        assert_eq!(out, b"ABC\r\n1\r\n");
    }
}
