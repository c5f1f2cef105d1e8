//! Interim answers, which come before the answer proper. HTTP/1.0 has none (RFC 9110 section 15.2).

use super::headers::HeaderBlock;

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends an answer with the status 103 (RFC 8297): headers that the client may act upon before the
/// application has made up its mind.
///
/// `block` holds what [`HeaderBlock::push`] has let in, so that nothing can follow that is not a
/// header. A Content-Length is left out: an interim answer has no body (RFC 9110 section 8.6).
pub fn encode_early_hints(out: &mut Vec<u8>, block: &HeaderBlock) {
    out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
    block.copy_to(out, false);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_hints_on_the_wire() {
        let mut block = HeaderBlock::new();
        for (name, value) in [
            ("Link", " </s.css>; rel=preload; as=style "),
            ("Content-Length", "5"),
            ("Connection", "close"),
            ("Transfer-Encoding", "chunked"),
            ("link", "</j.js>; rel=preload"),
        ] {
            block.push(name.as_bytes(), value.as_bytes()).unwrap();
        }
        for (name, value) in [("A b", "c"), ("A", "b\r\nc: d"), ("", "a"), ("A", "\0")] {
            assert!(block.push(name.as_bytes(), value.as_bytes()).is_err(), "{name:?} {value:?}");
        }
        let mut out = b"before".to_vec();
        encode_early_hints(&mut out, &block);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "beforeHTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload; as=style\r\n\
             link: </j.js>; rel=preload\r\n\r\n"
        );
        let mut out = Vec::new();
        encode_early_hints(&mut out, &HeaderBlock::new());
        assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\n\r\n");
    }
}
