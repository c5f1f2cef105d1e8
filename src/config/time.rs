//! Times with decimals, as settings give them.

use std::time::Duration;

use super::kinds::{Kind, Seconds};
use super::number;
use super::setting::{Scope, Shape};
use super::value::Value;

/// Seconds with decimals. Bounded like [`Seconds`].
pub struct Time;

impl Kind for Time {
    type Out = Duration;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "seconds, 0 or more, also with decimals";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        let no_number = || format!("not a number of seconds: {}", value.repr());
        let number = match value {
            Value::Float(number) => *number,
            Value::Str(text) => decimal(number::strip(text)).ok_or_else(no_number)?,
            Value::Int(_) | Value::Bool(_) | Value::BigInt(_) => {
                return Seconds::parse(value, scope).map(Duration::from_secs);
            }
            _ => return Err(no_number()),
        };
        if number < 0.0 {
            return Err(format!("Value must be positive: {}", value.text()));
        }
        if number > f64::from(u32::MAX) {
            return Err(format!("Value must be at most {}: {}", u32::MAX, value.text()));
        }
        // What is left over is NaN.
        Duration::try_from_secs_f64(number).map_err(|_| no_number())
    }

    fn value(out: &Self::Out) -> Value {
        match i64::try_from(out.as_secs()) {
            Ok(seconds) if out.subsec_nanos() == 0 => Value::Int(seconds),
            _ => Value::Float(out.as_secs_f64()),
        }
    }
}

/// Digits, with a point among or around them or without one, and perhaps a sign before them.
fn decimal(text: &str) -> Option<f64> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'-'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn parse(value: impl Into<Value>) -> Result<Duration, String> {
        Time::parse(&value.into(), &Scope { start: Path::new("/"), conf_file: true })
    }

    #[test]
    fn times() {
        for (value, millis) in [
            (Value::Int(0), 0),
            (Value::Int(30), 30_000),
            (Value::Bool(true), 1000),
            (Value::Float(0.25), 250),
            ("0.5".into(), 500),
            (" 2 ".into(), 2000),
            (".1".into(), 100),
            ("1.".into(), 1000),
            ("-0.0".into(), 0),
            ("4294967295".into(), 4_294_967_295_000),
        ] {
            assert_eq!(parse(value.clone()), Ok(Duration::from_millis(millis)), "{value:?}");
        }
        for bad in ["", ".", "x", "1s", "1,5", "inf", "nan", "1e3", "1_0", "--1", "0x1"] {
            assert_eq!(parse(bad), Err(format!("not a number of seconds: '{bad}'")));
        }
        assert_eq!(parse(Value::None), Err("not a number of seconds: None".into()));
        assert!(parse(Value::Float(f64::NAN)).is_err());
        for (negative, text) in [(Value::Int(-1), "-1"), ("-0.5".into(), "-0.5")] {
            assert_eq!(parse(negative), Err(format!("Value must be positive: {text}")));
        }
        let huge = Value::BigInt("9".repeat(30));
        for large in [Value::Int(4_294_967_296), Value::Float(f64::INFINITY), huge] {
            let error = parse(large).unwrap_err();
            assert!(error.starts_with("Value must be at most 4294967295: "), "{error}");
        }
    }

    #[test]
    fn whole_seconds_are_shown_as_such() {
        for (millis, text) in [(0, "0"), (3000, "3"), (250, "0.25"), (1100, "1.1")] {
            assert_eq!(Time::value(&Duration::from_millis(millis)).text(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_given(micros in 0..u64::from(u32::MAX) * 1_000_000) {
            let time = Duration::from_micros(micros);
            let shown = Time::value(&time);
            let read = parse(shown.text().as_str()).unwrap();
            prop_assert!(read.abs_diff(time) < Duration::from_micros(1));
            prop_assert_eq!(parse(shown).unwrap(), read);
        }

        #[test]
        fn any_text_is_survived(text: String) {
            let _ = parse(text.as_str());
        }
    }
}
