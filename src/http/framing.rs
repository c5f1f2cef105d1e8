//! Where the body of a request ends (RFC 9112 section 6), and whether the connection may serve
//! another one (section 9.3).

use super::chars::{same, trim};
use super::reject::Reject;

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body is in chunks.
    Chunked,
}

/// What all fields of a head together say about the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) framing: Framing,
    /// The body has a coding that the server leaves in place, after which nothing is trusted.
    pub(super) must_close: bool,
}

/// Decides the framing from all fields (name, value) of a head of HTTP/1.`minor`.
pub(super) fn message<'a>(
    minor: u8,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Message, Reject> {
    let bad_length = || Reject::field(b"CONTENT-LENGTH").with_request();
    let bad_coding = || Reject::field(b"TRANSFER-ENCODING").with_request();
    let mut length = None;
    let mut coded = false;
    let mut chunked = false;
    let mut must_close = false;
    for (name, value) in fields {
        if same(name, b"content-length") {
            if length.replace(value).is_some() {
                return Err(bad_length());
            }
        } else if same(name, b"transfer-encoding") {
            coded = true;
            for coding in value.split(|&byte| byte == b',').map(trim) {
                let last = same(coding, b"chunked");
                let other = same(coding, b"gzip") || same(coding, b"deflate");
                let other = other || same(coding, b"compress");
                if !last && !other && !same(coding, b"identity") {
                    return Err(Reject::transfer_coding(value));
                }
                if chunked {
                    // Nothing may follow "chunked", least of all itself.
                    return Err(bad_coding());
                }
                chunked = last;
                must_close |= other;
            }
        }
    }
    // A request with codings that do not end in "chunked" has no length that could be known;
    // HTTP/1.0 does not know transfer codings.
    if coded && (!chunked || minor < 1) {
        return Err(bad_coding());
    }
    let framing = match length {
        Some(_) if chunked => return Err(bad_length()),
        Some(value) => Framing::Length(content_length(value).ok_or_else(bad_length)?),
        None if chunked => Framing::Chunked,
        None => Framing::None,
    };
    Ok(Message { framing, must_close })
}

/// The value of a Content-Length: decimal digits and nothing else.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// What connection options ask for (RFC 9112 section 9.3). Of several the greatest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    /// Nothing that is known here.
    #[default]
    None,
    KeepAlive,
    Close,
}

impl Wish {
    /// The wish of one Connection field.
    #[inline]
    pub(super) fn of(value: &[u8]) -> Self {
        let plain = Self::option(value);
        if plain == Self::None { Self::of_list(value) } else { plain }
    }

    /// Rare, so that it should not weigh on the single words.
    #[cold]
    fn of_list(value: &[u8]) -> Self {
        let options = value.split(|&byte| byte == b',');
        options.map(|option| Self::option(trim(option))).max().unwrap_or_default()
    }

    #[inline]
    fn option(option: &[u8]) -> Self {
        if same(option, b"keep-alive") {
            Self::KeepAlive
        } else if same(option, b"close") {
            Self::Close
        } else {
            Self::None
        }
    }

    /// Whether a client of HTTP/1.`minor` that wishes this can send another request.
    pub(super) fn keeps(self, minor: u8) -> bool {
        match self {
            Self::None => minor >= 1,
            Self::KeepAlive => true,
            Self::Close => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(minor: u8, fields: &[(&str, &str)]) -> Result<Framing, (u16, String)> {
        message(minor, fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))
            .map(|message| message.framing)
            .map_err(|reject| (reject.status, reject.message))
    }

    #[test]
    fn accepted_framings() {
        let te = "Transfer-Encoding";
        assert_eq!(decide(1, &[("Host", "x")]), Ok(Framing::None));
        assert_eq!(decide(0, &[("content-LENGTH", "001")]), Ok(Framing::Length(1)));
        assert_eq!(decide(1, &[("Content-Length", "18446744073709551615")]), {
            Ok(Framing::Length(u64::MAX))
        });
        assert_eq!(decide(1, &[(te, "chunked")]), Ok(Framing::Chunked));
        assert_eq!(decide(1, &[(te, "identity,\tChunked")]), Ok(Framing::Chunked));
        assert_eq!(decide(1, &[(te, "gzip"), (te, "chunked")]), Ok(Framing::Chunked));
        assert!(
            message(1, [(&b"transfer-encoding"[..], &b"gzip, chunked"[..])].into_iter())
                .is_ok_and(|message| message.must_close)
        );
    }

    #[test]
    fn refused_framings() {
        let (cl, te) = ("Content-Length", "Transfer-Encoding");
        let length = (400, "Invalid HTTP Header: 'CONTENT-LENGTH'".to_owned());
        let coding = (400, "Invalid HTTP Header: 'TRANSFER-ENCODING'".to_owned());
        for value in ["", "1, 1", "+1", "-1", "1_0", "0x1", "\u{b2}", "18446744073709551616"] {
            assert_eq!(decide(1, &[(cl, value)]), Err(length.clone()), "{value}");
        }
        assert_eq!(decide(1, &[(cl, "1"), (cl, "1")]), Err(length.clone()));
        assert_eq!(decide(1, &[(cl, "1"), (te, "chunked")]), Err(length.clone()));
        assert_eq!(decide(1, &[(te, "chunked"), (cl, "x")]), Err(length));
        for fields in [
            &[(te, "gzip")][..],
            &[(te, "identity")],
            &[(te, "chunked, chunked")],
            &[(te, "chunked"), (te, "chunked")],
            &[(te, "chunked, gzip")],
            &[(te, "chunked, identity")],
        ] {
            assert_eq!(decide(1, fields), Err(coding.clone()), "{fields:?}");
        }
        assert_eq!(decide(0, &[(te, "chunked")]), Err(coding));
        for value in ["foo", "chunked, foo", "", "chunked,", "x-gzip", "gzip;q=1, chunked"] {
            let text = format!("Unsupported transfer coding: '{value}'");
            assert_eq!(decide(1, &[(te, value)]), Err((501, text)), "{value}");
        }
    }

    #[test]
    fn connection_options() {
        for (value, wish) in [
            ("close", Wish::Close),
            ("Keep-Alive", Wish::KeepAlive),
            ("", Wish::None),
            ("x", Wish::None),
            (",,", Wish::None),
            ("closed, close-not, no close, \"close\", keep-alive=1", Wish::None),
            ("close, x", Wish::Close),
            ("x ,\tCLOSE\t, y", Wish::Close),
            (",close", Wish::Close),
            (" close", Wish::Close),
            ("keep-alive, close", Wish::Close),
            ("close,keep-alive", Wish::Close),
            ("x,keep-alive", Wish::KeepAlive),
        ] {
            assert_eq!(Wish::of(value.as_bytes()), wish, "{value:?}");
        }
        let keeps = [Wish::None, Wish::KeepAlive, Wish::Close]
            .map(|wish| [0, 1].map(|minor| wish.keeps(minor)));
        assert_eq!(keeps, [[false, true], [true, true], [false, false]]);
    }

    #[test]
    fn framing_errors_are_due_an_access_line_but_unknown_codings_not() {
        let reject = |name: &'static [u8], value: &'static [u8]| {
            message(1, [(name, value)].into_iter()).unwrap_err().has_request
        };
        assert!(reject(b"Content-Length", b"x"));
        assert!(reject(b"Transfer-Encoding", b"gzip"));
        assert!(!reject(b"Transfer-Encoding", b"foo"));
    }
}
