//! The request target (RFC 9112 section 3.2): which forms are accepted, and its path and query.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use memchr::{memchr, memmem};

/// Whether `target` is acceptable for `method`.
pub(super) fn is_valid(method: &[u8], target: &[u8]) -> bool {
    let visible = target.iter().all(|byte| matches!(byte, 0x21..=0x7e));
    let form = match target {
        [] => false,
        b"*" => method == b"OPTIONS",
        [b'/', ..] => true,
        _ => method == b"CONNECT" || has_scheme_mark(target),
    };
    visible && form && dissect(target).is_some()
}

/// The path and the query of a valid target, neither of them decoded. A fragment is in neither.
///
/// A path that starts with "//" stays one; the absolute form is reduced to its path; the authority
/// form of CONNECT has neither path nor query.
pub(super) fn path_and_query<'b>(method: &[u8], target: &'b [u8]) -> (&'b [u8], &'b [u8]) {
    let rest = match target {
        [b'/', ..] => target,
        _ if method == b"CONNECT" && !has_scheme_mark(target) => b"",
        _ => dissect(target).unwrap_or(target),
    };
    let rest = memchr(b'#', rest).map_or(rest, |at| &rest[..at]);
    memchr(b'?', rest).map_or((rest, b"".as_slice()), |at| (&rest[..at], &rest[at + 1..]))
}

fn has_scheme_mark(target: &[u8]) -> bool {
    memmem::find(target, b"://").is_some()
}

/// `target` from the path on, after scheme and authority if it has these; none if the authority
/// has brackets that do not enclose an IP literal.
fn dissect(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return Some(target);
    }
    let rest = match memchr(b':', target) {
        Some(colon) if is_scheme(&target[..colon]) => &target[colon + 1..],
        _ => target,
    };
    let Some(rest) = rest.strip_prefix(b"//") else { return Some(rest) };
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    brackets_are_sound(authority).then_some(rest)
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// RFC 3986 section 3.2.2: brackets enclose an IPv6 address or the address of a future version.
fn brackets_are_sound(authority: &[u8]) -> bool {
    let (open, close) = (memchr(b'[', authority), memchr(b']', authority));
    match (open, close) {
        (None, None) => true,
        (Some(open), Some(close)) if open < close => is_ip_literal(&authority[open + 1..close]),
        _ => false,
    }
}

fn is_ip_literal(text: &[u8]) -> bool {
    if let Some(future) = text.strip_prefix(b"v") {
        let Some(dot) = memchr(b'.', future) else { return false };
        let (version, rest) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !rest.is_empty();
    }
    let address = match memchr(b'%', text) {
        Some(mark) => {
            let (address, zone) = (&text[..mark], &text[mark + 1..]);
            if zone.is_empty() || zone.contains(&b'%') {
                return false;
            }
            address
        }
        None => text,
    };
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Replaces `%XX` by the byte it stands for; a "%" without two hex digits stays as it is.
///
/// Borrowed if there is nothing to replace.
#[must_use]
pub fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'%', text) else { return Cow::Borrowed(text) };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut next = Some(first);
    while let Some(at) = next {
        out.extend_from_slice(&rest[..at]);
        let escape = rest.get(at + 1).zip(rest.get(at + 2));
        let decoded = escape.and_then(|(&high, &low)| Some(hex(high)? << 4 | hex(low)?));
        out.push(decoded.unwrap_or(b'%'));
        rest = &rest[at + if decoded.is_some() { 3 } else { 1 }..];
        next = memchr(b'%', rest);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The value of a hex digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(method: &str, target: &str) -> (String, String) {
        assert!(is_valid(method.as_bytes(), target.as_bytes()), "{target}");
        let (path, query) = path_and_query(method.as_bytes(), target.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(path), text(query))
    }

    #[test]
    fn path_and_query_of_every_form() {
        for (target, path, query) in [
            ("/", "/", ""),
            ("/a/b?x=1&y=?2", "/a/b", "x=1&y=?2"),
            ("//a/b", "//a/b", ""),
            ("//a/b?q", "//a/b", "q"),
            ("/a#frag?not", "/a", ""),
            ("/a?q#frag", "/a", "q"),
            ("/?", "/", ""),
            ("/a:b://c", "/a:b://c", ""),
            ("http://h/p?q", "/p", "q"),
            ("http://h", "", ""),
            ("http://h?q", "", "q"),
            ("http://[::1]:80/p", "/p", ""),
            ("http://[fe80::1%25eth0]/p", "/p", ""),
            ("http://[v1.x]/p", "/p", ""),
            ("foo/bar://x", "foo/bar://x", ""),
            ("://x", "://x", ""),
            ("urn:a://b", "a://b", ""),
        ] {
            assert_eq!(split("GET", target), (path.to_owned(), query.to_owned()), "{target}");
        }
        assert_eq!(split("OPTIONS", "*"), ("*".to_owned(), String::new()));
        assert_eq!(split("CONNECT", "h:80"), (String::new(), String::new()));
        assert_eq!(split("CONNECT", "/x?y"), ("/x".to_owned(), "y".to_owned()));
    }

    #[test]
    fn refused_targets() {
        for target in [
            "",
            "*",
            "h:80",
            "a/b",
            "http://[",
            "http://]",
            "http://[::1",
            "http://]::1[/",
            "http://[x]/",
            "http://[v.x]/",
            "http://[::1%]/",
            "http://[::1%%]/",
            "http://[::1%25a%25b]/",
            "/\u{e9}",
            "/\x7f",
            "/a\tb",
        ] {
            assert!(!is_valid(b"GET", target.as_bytes()), "{target}");
        }
        assert!(!is_valid(b"CONNECT", b"*"));
    }

    #[test]
    fn percent_decoding() {
        assert!(matches!(percent_decode(b"/plain"), Cow::Borrowed(b"/plain")));
        for (text, bytes) in [
            ("/%41%2f%2F", &b"/A//"[..]),
            ("%e9%00", b"\xe9\0"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%zz%4g%41", b"%zz%4gA"),
            ("%%41", b"%A"),
            ("a%20b", b"a b"),
        ] {
            assert_eq!(percent_decode(text.as_bytes()), bytes, "{text}");
        }
    }
}
