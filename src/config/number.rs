//! Integers as Python's `int()` reads them from text.

/// How the base of a number is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// `int(text, 0)`: by prefix (`0x`, `0o`, `0b`), else decimal; a decimal with a leading zero
    /// is refused unless it is zero.
    Auto,
    /// `int(text)`: decimal, leading zeros allowed.
    Ten,
}

/// Why text is not a number we can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInt {
    /// It does not have the form of an integer.
    Form,
    /// It is an integer, but does not fit 64 bits.
    Range,
}

/// Reads an integer by the rules of Python's `int()`: blanks around it, one sign, and single
/// underscores between digits (and right after a prefix) are allowed. Digits are ASCII only; Python
/// would also take digits of other scripts.
///
/// # Errors
/// [`NotInt`]; the caller words the message.
pub fn int(text: &str, base: Base) -> Result<i64, NotInt> {
    let text = text.trim();
    let (negative, text) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = if base == Base::Auto { prefixed(text) } else { (10, text) };
    let mut value: i64 = 0;
    let mut fits = true;
    let mut after_digit = false;
    for c in digits.chars() {
        if c == '_' {
            if !after_digit {
                return Err(NotInt::Form);
            }
            after_digit = false;
            continue;
        }
        let digit = i64::from(c.to_digit(radix).ok_or(NotInt::Form)?);
        let signed = if negative { -digit } else { digit };
        match value.checked_mul(i64::from(radix)).and_then(|v| v.checked_add(signed)) {
            Some(next) => value = next,
            None => fits = false,
        }
        after_digit = true;
    }
    if !after_digit {
        return Err(NotInt::Form);
    }
    if base == Base::Auto && radix == 10 && digits.starts_with('0') && (value != 0 || !fits) {
        return Err(NotInt::Form);
    }
    if fits { Ok(value) } else { Err(NotInt::Range) }
}

/// Splits a base prefix off; one underscore may follow it.
fn prefixed(text: &str) -> (u32, &str) {
    let radix = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ => return (10, text),
    };
    let digits = &text[2..];
    (radix, digits.strip_prefix('_').unwrap_or(digits))
}

/// Removes what Python's `str.strip()` removes: white space and the four separators U+001C to
/// U+001F, which neither Rust nor `int()` count as white space.
pub fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn follows_python() {
        for (text, auto, ten) in [
            ("0", Ok(0), Ok(0)),
            (" 12\n", Ok(12), Ok(12)),
            ("-1", Ok(-1), Ok(-1)),
            ("+7", Ok(7), Ok(7)),
            ("010", Err(NotInt::Form), Ok(10)),
            ("00", Ok(0), Ok(0)),
            ("0_0", Ok(0), Ok(0)),
            ("1_0", Ok(10), Ok(10)),
            ("1__0", Err(NotInt::Form), Err(NotInt::Form)),
            ("_1", Err(NotInt::Form), Err(NotInt::Form)),
            ("1_", Err(NotInt::Form), Err(NotInt::Form)),
            ("0x_1F", Ok(31), Err(NotInt::Form)),
            ("0o17", Ok(15), Err(NotInt::Form)),
            ("0B101", Ok(5), Err(NotInt::Form)),
            ("0x", Err(NotInt::Form), Err(NotInt::Form)),
            ("", Err(NotInt::Form), Err(NotInt::Form)),
            ("- 1", Err(NotInt::Form), Err(NotInt::Form)),
            ("--1", Err(NotInt::Form), Err(NotInt::Form)),
            ("1.0", Err(NotInt::Form), Err(NotInt::Form)),
            ("9223372036854775808", Err(NotInt::Range), Err(NotInt::Range)),
            ("-9223372036854775808", Ok(i64::MIN), Ok(i64::MIN)),
        ] {
            assert_eq!(int(text, Base::Auto), auto, "int({text:?}, 0)");
            assert_eq!(int(text, Base::Ten), ten, "int({text:?})");
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_is_written(number: i64, blank in "[ \t\n\x0b\u{a0}]{0,3}") {
            for text in [number.to_string(), format!("{blank}{number}{blank}")] {
                prop_assert_eq!(int(&text, Base::Auto), Ok(number));
                prop_assert_eq!(int(&text, Base::Ten), Ok(number));
            }
            if number >= 0 {
                prop_assert_eq!(int(&format!("0x{number:x}"), Base::Auto), Ok(number));
                prop_assert_eq!(int(&format!("0O{number:o}"), Base::Auto), Ok(number));
                prop_assert_eq!(int(&format!("0b{number:b}"), Base::Auto), Ok(number));
            }
        }

        #[test]
        fn any_text_is_survived_and_words_are_refused(text: String, word in "[g-zG-Z .,]{1,9}") {
            let _ = int(&text, Base::Auto);
            let _ = int(&text, Base::Ten);
            prop_assert_eq!(int(&word, Base::Auto), Err(NotInt::Form));
        }
    }
}
