//! Sizes in bytes, as settings give them.

use super::kinds::{BigCount, Kind};
use super::number::{self, Base, NotInt};
use super::setting::{Scope, Shape};
use super::value::{Value, quoted};

/// A number of bytes, which text may give in multiples of 1024: `64K`, `512M`, `1G`.
pub struct Size;

impl Kind for Size {
    type Out = u64;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "bytes: integer, 0 or more, or text such as 64K, 512M or 1G";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        let Value::Str(text) = value else { return BigCount::parse(value, scope) };
        let text = number::strip(text);
        let (digits, shift) = match text.char_indices().next_back() {
            Some((end, 'K' | 'k')) => (&text[..end], 10),
            Some((end, 'M' | 'm')) => (&text[..end], 20),
            Some((end, 'G' | 'g')) => (&text[..end], 30),
            _ => (text, 0),
        };
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = match number::int(digits, Base::Ten) {
            Ok(number) if plain => number.unsigned_abs(),
            Err(NotInt::Range) if plain => u64::MAX,
            _ => {
                return Err(format!(
                    "{} is not a size; write a number of bytes, or of kibibytes, mebibytes or \
                     gibibytes with K, M or G behind it, such as 64K",
                    quoted(text)
                ));
            }
        };
        let most = i64::MAX.unsigned_abs() >> shift;
        if number > most {
            return Err(format!("a size must be at most {} bytes: {text}", i64::MAX));
        }
        Ok(number << shift)
    }

    fn value(out: &Self::Out) -> Value {
        BigCount::value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(value: impl Into<Value>) -> Result<u64, String> {
        Size::parse(&value.into(), &Scope { start: Path::new("/"), conf_file: true })
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            (" 1048576 ", 1 << 20),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("512M", 512 << 20),
            ("1g", 1 << 30),
            ("007K", 7 << 10),
            ("8589934591G", 8_589_934_591 << 30),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse(4096), Ok(4096));
        assert_eq!(parse(-1), Err("Value must be positive: -1".into()));
        for bad in ["", "K", "-1", "+1", "1_0", "0x10", "1.5M", "1 K", "1KB", "1Ki", "1T", "\u{e9}"]
        {
            let error = parse(bad).unwrap_err();
            assert!(error.starts_with(&format!("'{bad}' is not a size; ")), "{error}");
        }
        for large in ["9223372036854775808", "8589934592G", "99999999999999999999M"] {
            let message = format!("a size must be at most 9223372036854775807 bytes: {large}");
            assert_eq!(parse(large), Err(message));
        }
        assert!(parse(Value::None).is_err() && parse(Value::Float(1.0)).is_err());
    }
}
