//! Section "HTTP/2".

use crate::config::choice::Choice;
use crate::config::kinds::{Kind, positive};
use crate::config::number::{self, Base};
use crate::config::setting::{Scope, Shape};
use crate::config::value::Value;

macro_rules! http2 {
    ($($chain:tt)*) => { settings! { $($chain)* Http2 {
        /// The versions of HTTP offered to TLS clients, the preferred one first: h1, h2.
        http_protocols: Vec<String> = Protocols {
            flags: ["--http-protocols"],
            metavar: "STRING",
            default: "h1",
            reload: Workers,
            unbuilt: [],
        }

        /// HTTP/2 without TLS, from trusted peers: off, prior-knowledge, upgrade or both.
        http2_cleartext: Cleartext = OneOf<Cleartext> {
            flags: ["--http2-cleartext"],
            metavar: "STRING",
            default: "off",
            reload: Workers,
            unbuilt: [],
        }

        /// The most streams that a client may have open on one connection.
        http2_max_concurrent_streams: u32 = Streams {
            flags: ["--http2-max-concurrent-streams"],
            metavar: "INT",
            default: 100,
            reload: Workers,
            unbuilt: [],
        }

        /// Bytes that a client may send on a stream before it has to wait.
        http2_initial_window_size: u32 = WindowSize {
            flags: ["--http2-initial-window-size"],
            metavar: "INT",
            default: 65535,
            reload: Workers,
            unbuilt: [],
        }

        /// The largest frame that a client may send, in bytes.
        http2_max_frame_size: u32 = FrameSize {
            flags: ["--http2-max-frame-size"],
            metavar: "INT",
            default: 16384,
            reload: Workers,
            unbuilt: [],
        }

        /// The most bytes of a request's header fields with HTTP/2; 0 means no limit.
        http2_max_header_list_size: u32 = Count {
            flags: ["--http2-max-header-list-size"],
            metavar: "INT",
            default: 65536,
            reload: Workers,
            unbuilt: [],
        }
    } } };
}
pub(super) use http2;

/// Versions of HTTP in one text with commas: `h1`, `h2`.
pub struct Protocols;

impl Kind for Protocols {
    type Out = Vec<String>;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "h1 and h2, separated by commas";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        let text = match value {
            Value::None => "",
            Value::Str(text) => text.as_str(),
            _ => return Err("http_protocols must be a string".into()),
        };
        let mut protocols: Vec<String> = Vec::new();
        let mut twice = false;
        for word in text.split(',').map(number::strip).filter(|word| !word.is_empty()) {
            let word = word.to_lowercase();
            if !["h1", "h2"].contains(&word.as_str()) {
                return Err(format!("Invalid protocol '{word}'. Valid protocols: h1, h2"));
            }
            twice |= protocols.contains(&word);
            protocols.push(word);
        }
        if twice {
            return Err("Duplicate protocols specified".into());
        }
        if protocols.is_empty() {
            protocols.push("h1".into());
        }
        Ok(protocols)
    }

    fn value(out: &Self::Out) -> Value {
        out.as_slice().into()
    }
}

/// How clients may begin HTTP/2 without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cleartext {
    #[default]
    Off,
    PriorKnowledge,
    Upgrade,
    Both,
}

impl Choice for Cleartext {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("prior-knowledge", Self::PriorKnowledge),
        ("upgrade", Self::Upgrade),
        ("both", Self::Both),
    ];
    const ACCEPTS: &'static str = "off, prior-knowledge, upgrade or both; True is prior-knowledge";
    const NONE: Self = Self::Off;

    fn of_bool(on: bool) -> Option<Self> {
        Some(if on { Self::PriorKnowledge } else { Self::Off })
    }

    fn wrong_word(word: &str, _: &str) -> String {
        format!("Invalid http2_cleartext: {word}")
    }
}

/// The largest number an int of 32 bits with a sign holds.
const MOST: u32 = i32::MAX.unsigned_abs();

/// A number from 1.
pub struct Streams;

impl Kind for Streams {
    type Out = u32;
    const SHAPE: Shape = Shape::Int;
    const ACCEPTS: &'static str = "integer, 1 or more";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        match super::Count::parse(value, scope)? {
            0 => Err("HTTP/2 max concurrent streams must be at least 1: 0".into()),
            number => Ok(number),
        }
    }

    fn value(out: &Self::Out) -> Value {
        Value::Int((*out).into())
    }
}

/// A number from 0 to 2147483647.
pub struct WindowSize;

impl Kind for WindowSize {
    type Out = u32;
    const SHAPE: Shape = Shape::Int;
    const ACCEPTS: &'static str = "integer, 0 to 2147483647";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        let number = positive(value, i64::MAX)?;
        u32::try_from(number)
            .ok()
            .filter(|number| *number <= MOST)
            .ok_or_else(|| format!("HTTP/2 window size must be at most {MOST}: {number}"))
    }

    fn value(out: &Self::Out) -> Value {
        Value::Int((*out).into())
    }
}

/// A number from 16384 to 16777215.
pub struct FrameSize;

impl Kind for FrameSize {
    type Out = u32;
    const SHAPE: Shape = Shape::Int;
    const ACCEPTS: &'static str = "integer, 16384 to 16777215";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        let number = match value {
            Value::Int(number) => *number,
            Value::Str(text) => match number::int(text, Base::Auto) {
                Ok(number) => number,
                Err(_) => positive(value, i64::MAX)?.try_into().unwrap_or(i64::MAX),
            },
            other => positive(other, i64::MAX)?.try_into().unwrap_or(i64::MAX),
        };
        u32::try_from(number)
            .ok()
            .filter(|number| (16384..=16_777_215).contains(number))
            .ok_or_else(|| {
                format!("http2_max_frame_size must be between 16384 and 16777215, got {number}")
            })
    }

    fn value(out: &Self::Out) -> Value {
        Value::Int((*out).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse<K: Kind>(value: impl Into<Value>) -> Result<K::Out, String> {
        K::parse(&value.into(), &Scope { start: Path::new("/"), conf_file: true })
    }

    #[test]
    fn protocols() {
        assert_eq!(parse::<Protocols>(" H2 , h1,"), Ok(vec!["h2".into(), "h1".into()]));
        for none in [Value::None, "".into(), " , ".into()] {
            assert_eq!(parse::<Protocols>(none), Ok(vec!["h1".into()]));
        }
        for (value, message) in [
            (Value::from("h1,h3"), "Invalid protocol 'h3'. Valid protocols: h1, h2"),
            ("h2,h2".into(), "Duplicate protocols specified"),
            (["h1"].into(), "http_protocols must be a string"),
        ] {
            assert_eq!(parse::<Protocols>(value), Err(message.into()));
        }
    }

    #[test]
    fn sizes_have_bounds() {
        assert_eq!(parse::<Streams>("0x10"), Ok(16));
        let message = "HTTP/2 max concurrent streams must be at least 1: 0";
        assert_eq!(parse::<Streams>(0), Err(message.into()));
        assert_eq!(parse::<WindowSize>(2_147_483_647), Ok(MOST));
        let message = "HTTP/2 window size must be at most 2147483647: 2147483648";
        assert_eq!(parse::<WindowSize>(2_147_483_648), Err(message.into()));
        assert_eq!(parse::<FrameSize>("16_777_215"), Ok(16_777_215));
        for wrong in [16383, 16_777_216, -1, 1 << 40] {
            let message =
                format!("http2_max_frame_size must be between 16384 and 16777215, got {wrong}");
            assert_eq!(parse::<FrameSize>(wrong), Err(message));
        }
        assert!(parse::<FrameSize>("x").unwrap_err().starts_with("invalid literal for int()"));
    }
}
