//! The user name of Basic authentication (RFC 7617).

use tracing::debug;

/// The user name in an `Authorization` header, if it is one of Basic authentication and can be read.
pub fn of(header: &[u8]) -> Option<String> {
    let (scheme, credentials) = header.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let blank = credentials.iter().position(|byte| *byte == b' ')?;
    let Some(mut decoded) = decode_base64(&credentials[blank + 1..]) else {
        debug!("Couldn't get username: the credentials are not base64");
        return None;
    };
    if let Some(colon) = decoded.iter().position(|byte| *byte == b':') {
        decoded.truncate(colon);
    }
    match String::from_utf8(decoded) {
        Ok(name) => Some(name).filter(|name| !name.is_empty()),
        Err(error) => {
            debug!("Couldn't get username: {error}");
            None
        }
    }
}

/// RFC 4648 section 4, with foreign characters left out as in Python's `b64decode`, because it is
/// what gunicorn shows that counts. `None` if it ends within a group of four.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut count, mut padding) = (0_u32, 0, 0);
    for byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if count >= 2 => {
                padding += 1;
                if count + padding == 4 {
                    return Some(decoded);
                }
                continue;
            }
            _ => continue,
        };
        padding = 0;
        group = group << 6 | u32::from(six);
        count = (count + 1) % 4;
        // Six bits more than whole bytes after the first, four after the second, two after the third.
        match count {
            1 => {}
            2 => decoded.push((group >> 4 & 0xff) as u8),
            3 => decoded.push((group >> 2 & 0xff) as u8),
            _ => decoded.push((group & 0xff) as u8),
        }
    }
    (count == 0).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn the_name_is_what_precedes_the_colon() {
        for (header, expected) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("Basic  QWxh ZGRp!bjpvcGVuIHNlc2FtZQ==", Some("Aladdin")),
            ("Basic bm9jb2xvbg==", Some("nocolon")),
            ("Basic SsO8cmdlbjp4", Some("J\u{fc}rgen")),
            ("Basic YTo=", Some("a")),
            ("Basic OnNlY3JldA==", None),
            ("Basic /zo=", None),
            ("Basic YWxhZGRpbg", None),
            ("Basic A", None),
            ("Basic ====", None),
            ("Basic", None),
            ("Bas", None),
            ("", None),
            ("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", None),
        ] {
            assert_eq!(of(header.as_bytes()).as_deref(), expected, "{header}");
        }
    }
}
