//! Byte classes of RFC 9110 section 5.6 and the small comparisons every part of this module needs.

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let special = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < special.len() {
        table[special[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether `bytes` is a token: not empty, `tchar` only.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Whether `bytes` holds only HTAB, SP, visible characters and 0x80-0xFF (RFC 9110 section 5.5).
///
/// Written without early exit, so that the compiler can look at many bytes at once.
pub(super) fn is_field_text(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |bad, &byte| {
        bad | (u8::from(byte < 0x20) & u8::from(byte != b'\t')) | u8::from(byte == 0x7f)
    }) == 0
}

/// Compares, ignoring ASCII case, with a constant written in lower case.
///
/// Only for text without control bytes and constants of letters, digits and "-": there, setting
/// the case bit cannot make two different bytes equal.
pub(super) fn same<const N: usize>(text: &[u8], lower: &[u8; N]) -> bool {
    text.first_chunk::<N>().is_some_and(|head| {
        text.len() == N
            && head.iter().zip(lower).fold(0, |diff, (a, b)| diff | ((a | 0x20) ^ b)) == 0
    })
}

/// `bytes` without SP and HTAB at both ends (`OWS` of RFC 9110 section 5.6.3).
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

pub(super) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

pub(super) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether a field name contains "_": eight bytes at a time, for this runs on every name.
pub(super) fn has_underscore(name: &[u8]) -> bool {
    // Some byte of `word` is zero: the usual subtract-and-mask test.
    fn hit(bytes: [u8; 8]) -> bool {
        let word = u64::from_le_bytes(bytes) ^ u64::from_le_bytes([b'_'; 8]);
        word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080 != 0
    }
    let (words, _) = name.as_chunks::<8>();
    match name.last_chunk::<8>() {
        // The last eight bytes may overlap the words before; looking twice does no harm.
        Some(tail) => hit(*tail) || words.iter().any(|word| hit(*word)),
        None => name.contains(&b'_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_the_grammar_says() {
        let allowed = (0..=255u8).filter(|&b| is_token(&[b])).collect::<Vec<_>>();
        assert_eq!(allowed.len(), 26 + 26 + 10 + 15);
        assert!(!is_token(b"") && !is_token(b"a b") && is_token(b"X-Y_z!"));
    }

    #[test]
    fn field_text_refuses_controls_but_tab() {
        for byte in 0..=255u8 {
            let fine = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            assert_eq!(is_field_text(&[b'a', byte, b'b']), fine, "{byte:#x}");
        }
    }

    #[test]
    fn comparison_ignores_case_and_nothing_else() {
        assert!(same(b"CoNtEnT-LeNgTh", b"content-length"));
        assert!(!same(b"content_length", b"content-length"));
        assert!(!same(b"hosts", b"host") && !same(b"hos", b"host"));
    }

    #[test]
    fn underscore_is_found_at_every_place() {
        for len in 1..40 {
            let mut name = vec![b'-'; len];
            assert!(!has_underscore(&name));
            for at in 0..len {
                name[at] = b'_';
                assert!(has_underscore(&name), "{len} {at}");
                name[at] = b'-';
            }
        }
        assert!(!has_underscore(b"") && !has_underscore(b"^^^^^^^^^``"));
    }
}
