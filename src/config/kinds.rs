//! Kinds of settings: how a neutral value becomes a typed one, with gunicorn's error texts.

use super::network;
use super::number::{self, Base, NotInt};
use super::setting::{Refers, Scope, Shape};
use super::value::{Value, quoted};

/// Validates a value. One copy of the code per kind, not one per setting: there are many.
///
/// # Errors
/// See [`Kind::parse`].
#[inline(never)]
pub fn read<K: Kind>(value: &Value, scope: &Scope<'_>) -> Result<K::Out, String> {
    K::parse(value, scope)
}

/// What a setting holds and how it is validated.
pub trait Kind {
    /// The type of the field in `Config`.
    type Out;
    /// How the command line gives it.
    const SHAPE: Shape;
    /// What it accepts, for the reference.
    const ACCEPTS: &'static str;
    /// What it refers to in Python.
    const REFERS: Refers = Refers::Nothing;

    /// Validates a value.
    ///
    /// # Errors
    /// gunicorn's message for the value.
    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String>;

    /// The value as gunicorn would hold it, for `--print-config`.
    fn value(out: &Self::Out) -> Value;
}

/// Text or nothing, stripped of blanks at both ends.
pub struct Text;

impl Kind for Text {
    type Out = Option<String>;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "text or None";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            Value::None => Ok(None),
            value => text(value).map(Some),
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.as_ref().into()
    }
}

/// Text, stripped; where gunicorn would take `None` and then fail on it, we refuse it at once.
pub struct Name;

impl Kind for Name {
    type Out = String;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "text";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        text(value)
    }

    fn value(out: &Self::Out) -> Value {
        out.into()
    }
}

/// A number from 0 to 4294967295.
pub struct Count;

impl Kind for Count {
    type Out = u32;
    const SHAPE: Shape = Shape::Int;
    const ACCEPTS: &'static str = "integer, 0 or more";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        positive(value, i64::from(u32::MAX))
            .and_then(|n| u32::try_from(n).map_err(|e| e.to_string()))
    }

    fn value(out: &Self::Out) -> Value {
        Value::Int((*out).into())
    }
}

/// A number from 0 up to what 63 bits hold.
pub struct BigCount;

impl Kind for BigCount {
    type Out = u64;
    const SHAPE: Shape = Shape::Int;
    const ACCEPTS: &'static str = "integer, 0 or more";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        positive(value, i64::MAX)
    }

    fn value(out: &Self::Out) -> Value {
        i64::try_from(*out).map_or(Value::None, Value::Int)
    }
}

/// A number from 0 to 4294967295 that the command line may write as a program would: `0x1f`, `0b1`.
pub struct Code;

impl Kind for Code {
    type Out = u32;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "integer, 0 or more";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        Count::parse(value, scope)
    }

    fn value(out: &Self::Out) -> Value {
        Count::value(out)
    }
}

/// Permission bits: a number that the command line takes for octal if it begins with 0.
pub struct Mode;

impl Kind for Mode {
    type Out = u32;
    const SHAPE: Shape = Shape::Bits;
    const ACCEPTS: &'static str = "integer, 0 or more; the flag takes 022 as octal";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        Count::parse(value, scope)
    }

    fn value(out: &Self::Out) -> Value {
        Count::value(out)
    }
}

/// Seconds. Bounded (136 years) so that a deadline computed from them always exists.
pub struct Seconds;

impl Kind for Seconds {
    type Out = u64;
    const SHAPE: Shape = Shape::Int;
    const ACCEPTS: &'static str = "whole seconds, 0 or more";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        positive(value, i64::from(u32::MAX))
    }

    fn value(out: &Self::Out) -> Value {
        BigCount::value(out)
    }
}

/// Off unless the flag is given or a conf file says `True`; `None` counts as off.
pub struct Switch;

impl Kind for Switch {
    type Out = bool;
    const SHAPE: Shape = Shape::Switch(true);
    const ACCEPTS: &'static str = "True or False";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        boolean(value).map(|on| on.unwrap_or(false))
    }

    fn value(out: &Self::Out) -> Value {
        (*out).into()
    }
}

/// A list of texts; a single text is a list of one. The flag may be repeated.
pub struct Strings;

impl Kind for Strings {
    type Out = Vec<String>;
    const SHAPE: Shape = Shape::Many;
    const ACCEPTS: &'static str = "text or list of texts";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            value if value.is_falsy() => Ok(Vec::new()),
            Value::Str(_) => Ok(vec![text(value)?]),
            Value::List(items) | Value::Tuple(items) => items.iter().map(text).collect(),
            Value::Dict(items) => items.iter().map(|(key, _)| text(key)).collect(),
            other => Err(format!("'{}' object is not iterable", other.type_name())),
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.as_slice().into()
    }
}

/// A list written as one text with commas.
pub struct CommaList;

impl Kind for CommaList {
    type Out = Vec<String>;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "text, separated by commas";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        let text = Text::parse(value, scope)?.unwrap_or_default();
        let items = text.split(',').filter(|item| !item.is_empty());
        Ok(items.map(|item| number::strip(item).to_owned()).collect())
    }

    fn value(out: &Self::Out) -> Value {
        out.as_slice().into()
    }
}

/// Addresses and networks in one text with commas, or `*`.
pub struct Networks;

impl Kind for Networks {
    type Out = Vec<String>;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "addresses and networks separated by commas, or *";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        let items = CommaList::parse(value, scope)?;
        for item in items.iter().filter(|item| *item != "*") {
            network::check(item)?;
        }
        Ok(items)
    }

    fn value(out: &Self::Out) -> Value {
        out.as_slice().into()
    }
}

/// A dict of texts, in its order. Conf file only.
pub struct Pairs;

impl Kind for Pairs {
    type Out = Vec<(String, String)>;
    const SHAPE: Shape = Shape::None;
    const ACCEPTS: &'static str = "dict of texts";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        let Value::Dict(items) = value else {
            return Err(format!("Value is not a dictionary: {} ", value.text()));
        };
        let plain = |value: &Value| match value {
            Value::Str(text) => Ok(text.clone()),
            other => Err(format!("Not a string: {}", other.text())),
        };
        items.iter().map(|(key, value)| Ok((plain(key)?, plain(value)?))).collect()
    }

    fn value(out: &Self::Out) -> Value {
        Value::Dict(out.iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// Text, stripped.
pub fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Str(text) => Ok(number::strip(text).to_owned()),
        other => Err(format!("Not a string: {}", other.text())),
    }
}

/// A boolean, or `None` for `None`.
pub fn boolean(value: &Value) -> Result<Option<bool>, String> {
    match value {
        Value::None => Ok(None),
        Value::Bool(on) => Ok(Some(*on)),
        Value::Str(text) => match number::strip(text).to_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(format!("Invalid boolean: {text}")),
        },
        other => Err(format!("Invalid type for casting: {}", other.text())),
    }
}

/// A number from 0 to `most`. Text is read with `int(text, 0)`, booleans count as 0 and 1.
pub fn positive(value: &Value, most: i64) -> Result<u64, String> {
    let too_large = || format!("Value must be at most {most}: {}", value.text());
    let number = match value {
        Value::Int(number) => *number,
        Value::Bool(on) => i64::from(*on),
        Value::Str(text) => number::int(text, Base::Auto).map_err(|problem| match problem {
            NotInt::Form => invalid_int(text, 0),
            NotInt::Range => too_large(),
        })?,
        Value::BigInt(_) => return Err(too_large()),
        _ => return Err("int() can't convert non-string with explicit base".into()),
    };
    let positive =
        u64::try_from(number).map_err(|_| format!("Value must be positive: {}", value.text()))?;
    if number > most { Err(too_large()) } else { Ok(positive) }
}

/// Python's message for text that is not an integer.
pub fn invalid_int(text: &str, base: u32) -> String {
    format!("invalid literal for int() with base {base}: {}", quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse<K: Kind>(value: impl Into<Value>) -> Result<K::Out, String> {
        K::parse(&value.into(), &Scope { start: Path::new("/"), conf_file: true })
    }

    #[test]
    fn numbers() {
        assert_eq!(parse::<Count>(3), Ok(3));
        assert_eq!(parse::<Count>(true), Ok(1));
        assert_eq!(parse::<Count>(" 0x_10 "), Ok(16));
        let refused = [
            (Value::Int(-1), "Value must be positive: -1"),
            ("-1".into(), "Value must be positive: -1"),
            ("x".into(), "invalid literal for int() with base 0: 'x'"),
            ("010".into(), "invalid literal for int() with base 0: '010'"),
            (Value::None, "int() can't convert non-string with explicit base"),
            (Value::Float(3.0), "int() can't convert non-string with explicit base"),
            (4_294_967_296.into(), "Value must be at most 4294967295: 4294967296"),
            (
                Value::BigInt("1000000000000000000000".into()),
                "Value must be at most 4294967295: 1000000000000000000000",
            ),
        ];
        for (value, message) in refused {
            assert_eq!(parse::<Count>(value), Err(message.into()));
        }
        assert_eq!(parse::<BigCount>(i64::MAX), Ok(i64::MAX.unsigned_abs()));
        assert!(parse::<Seconds>(i64::MAX).is_err());
    }

    #[test]
    fn switches() {
        assert_eq!(parse::<Switch>(Value::None), Ok(false));
        assert_eq!(parse::<Switch>(" TRUE "), Ok(true));
        assert_eq!(parse::<Switch>("yes"), Err("Invalid boolean: yes".into()));
        assert_eq!(parse::<Switch>(1), Err("Invalid type for casting: 1".into()));
    }

    #[test]
    fn texts() {
        assert_eq!(parse::<Text>("  a b "), Ok(Some("a b".into())));
        assert_eq!(parse::<Text>(Value::None), Ok(None));
        assert_eq!(parse::<Text>(3), Err("Not a string: 3".into()));
        assert_eq!(parse::<Name>(Value::None), Err("Not a string: None".into()));
    }

    #[test]
    fn lists() {
        assert_eq!(parse::<Strings>(" a "), Ok(vec!["a".into()]));
        assert_eq!(parse::<Strings>([" a", "b "]), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(parse::<Strings>(Value::None), Ok(vec![]));
        assert_eq!(parse::<Strings>(0), Ok(vec![]));
        assert_eq!(parse::<Strings>(3), Err("'int' object is not iterable".into()));
        assert_eq!(parse::<Strings>([1i64]), Err("Not a string: 1".into()));
        assert_eq!(parse::<CommaList>("a, ,b,"), Ok(vec!["a".into(), String::new(), "b".into()]));
        assert_eq!(parse::<CommaList>(["a"]), Err("Not a string: ['a']".into()));
    }

    #[test]
    fn networks() {
        assert_eq!(parse::<Networks>("*, 10.0.0.0/8"), Ok(vec!["*".into(), "10.0.0.0/8".into()]));
        assert_eq!(parse::<Networks>(""), Ok(vec![]));
        assert_eq!(parse::<Networks>("1.2.3.4/8"), Err("1.2.3.4/8 has host bits set".into()));
    }

    #[test]
    fn pairs() {
        let dict = Value::Dict(vec![("A".into(), "b".into())]);
        assert_eq!(parse::<Pairs>(dict), Ok(vec![("A".into(), "b".into())]));
        let empty: [i64; 0] = [];
        assert_eq!(parse::<Pairs>(empty), Err("Value is not a dictionary: [] ".into()));
        let dict = Value::Dict(vec![("A".into(), Value::Int(1))]);
        assert_eq!(parse::<Pairs>(dict), Err("Not a string: 1".into()));
    }
}
