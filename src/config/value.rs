//! A setting's value as the conf file or the command line gives it, before it is validated.

use std::fmt::Write as _;

use super::object::Object;

/// A neutral value: what a Python conf file can hold, without Python.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    #[default]
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, in decimal.
    BigInt(String),
    Float(f64),
    Str(String),
    /// A list, or at the top of a value any iterable that is neither text nor a mapping.
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// Any other Python object.
    Object(Object),
    /// The function that does what happens when a hook is not set, by gunicorn's name for it. Only
    /// defaults are such a value.
    Unset(&'static str),
}

impl Value {
    /// The value as Python's `str()` writes it.
    pub fn text(&self) -> String {
        match self {
            Self::Str(text) => text.clone(),
            Self::Object(object) => object.text.clone(),
            other => other.repr(),
        }
    }

    /// The value as Python's `repr()` writes it.
    pub fn repr(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool(true) => "True".into(),
            Self::Bool(false) => "False".into(),
            Self::Int(number) => number.to_string(),
            Self::BigInt(digits) => digits.clone(),
            Self::Float(number) => format!("{number:?}"),
            Self::Str(text) => quoted(text),
            Self::List(items) => format!("[{}]", joined(items)),
            Self::Tuple(items) if items.len() == 1 => format!("({},)", joined(items)),
            Self::Tuple(items) => format!("({})", joined(items)),
            Self::Dict(items) => {
                let items: Vec<String> =
                    items.iter().map(|(key, value)| pair(key, value)).collect();
                format!("{{{}}}", items.join(", "))
            }
            Self::Object(object) => object.repr.clone(),
            // What stands for the function is its name.
            Self::Unset(name) => format!("<function {name} at {:p}>", name.as_ptr()),
        }
    }

    /// The value as gunicorn's `--print-config` shows it: functions and classes by their names.
    pub fn shown(&self) -> String {
        match self {
            Self::Object(object) if object.arity.is_some() => match &object.qualname {
                Some(name) => format!("<{name}()>"),
                None => object.text.clone(),
            },
            Self::Unset(name) => format!("<{name}()>"),
            other => other.text(),
        }
    }

    /// The name of the value's Python type.
    pub fn type_name(&self) -> &str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::BigInt(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Object(object) => &object.type_name,
            Self::Unset(_) => "function",
        }
    }

    /// Whether Python's `bool()` says false of it.
    #[allow(clippy::float_cmp, reason = "Python compares with zero exactly, too")]
    pub fn is_falsy(&self) -> bool {
        match self {
            Self::None => true,
            Self::Bool(on) => !on,
            Self::Int(number) => *number == 0,
            Self::Float(number) => *number == 0.0,
            Self::Str(text) => text.is_empty(),
            Self::List(items) | Self::Tuple(items) => items.is_empty(),
            Self::Dict(items) => items.is_empty(),
            Self::BigInt(_) | Self::Object(_) | Self::Unset(_) => false,
        }
    }
}

fn joined(items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(Value::repr).collect();
    items.join(", ")
}

fn pair(key: &Value, value: &Value) -> String {
    format!("{}: {}", key.repr(), value.repr())
}

/// Text in quotes, escaped as Python's `repr()` does it: single quotes unless only those occur in
/// the text; control, separator and invisible format characters as escapes.
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            ' ' => out.push(' '),
            c if c.is_control() || c.is_whitespace() || is_format(c) => escape(&mut out, c),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The format characters of Unicode that do occur: soft hyphen, joiners, direction marks, BOM.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn escape(out: &mut String, c: char) {
    let code = u32::from(c);
    // Writing to a String cannot fail.
    let _ = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Bool(on)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Str(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<Option<&String>> for Value {
    fn from(text: Option<&String>) -> Self {
        text.map_or(Self::None, Self::from)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl From<&[String]> for Value {
    fn from(items: &[String]) -> Self {
        Self::List(items.iter().map(Self::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expectations are what Python 3.11's `repr` prints.
    #[test]
    fn quotes_as_python_does() {
        for (text, expected) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("\"it's\"", "'\"it\\'s\"'"),
            ("a\\b\n\r\t", "'a\\\\b\\n\\r\\t'"),
            ("\0\x1f\x7f\u{a0}", "'\\x00\\x1f\\x7f\\xa0'"),
            ("\u{2028}é", "'\\u2028é'"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn containers_show_the_repr_of_their_elements() {
        let list = Value::from(["a", "b"]);
        assert_eq!(list.text(), "['a', 'b']");
        assert_eq!(Value::Tuple(vec!["a".into(), 1.into()]).text(), "('a', 1)");
        assert_eq!(Value::Tuple(vec![Value::None]).text(), "(None,)");
        let dict = Value::Dict(vec![("k".into(), Value::Int(1)), (Value::None, list)]);
        assert_eq!(dict.text(), "{'k': 1, None: ['a', 'b']}");
        assert_eq!(Value::from("plain").text(), "plain");
        assert_eq!(Value::Float(1.5).text(), "1.5");
    }
}
