//! Section "Worker Processes", what is about ASGI and the parser.

use crate::config::choice::Choice;
use crate::config::value::Value;

macro_rules! asgi {
    ($($chain:tt)*) => { settings! { $($chain)* WorkerProcesses {
        /// The event loop of asgi workers: auto, asyncio or uvloop.
        asgi_loop: AsgiLoop = OneOf<AsgiLoop> {
            flags: ["--asgi-loop"],
            metavar: "STRING",
            default: "auto",
            reload: Workers,
            unbuilt: [],
        }

        /// Whether asgi workers tell the application of start and stop: auto, on or off.
        asgi_lifespan: AsgiLifespan = OneOf<AsgiLifespan> {
            flags: ["--asgi-lifespan"],
            metavar: "STRING",
            default: "auto",
            reload: Workers,
            unbuilt: [],
        }

        /// Seconds an ASGI application gets to notice that its client is gone before it is cancelled.
        asgi_disconnect_grace_period: u64 = Seconds {
            flags: ["--asgi-disconnect-grace-period"],
            metavar: "INT",
            default: 3,
            reload: Workers,
            unbuilt: [],
        }

        /// The largest websocket message that asgi workers accept, in bytes; 0 means no limit.
        websocket_max_message_size: u64 = BigCount {
            flags: ["--websocket-max-message-size"],
            metavar: "INT",
            default: 16_777_216,
            reload: Workers,
            unbuilt: [],
        }

        /// gunicorn's choice between its parsers: auto, fast or python.
        ///
        /// rgunicorn has one parser, which does what each of these does, so that it changes nothing.
        http_parser: HttpParser = OneOf<HttpParser> {
            flags: ["--http-parser"],
            metavar: "STRING",
            default: "auto",
            reload: Workers,
        }
    } } };
}
pub(super) use asgi;

/// Which event loop asgi workers run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsgiLoop {
    /// uvloop if it is installed.
    #[default]
    Auto,
    Asyncio,
    Uvloop,
}

impl Choice for AsgiLoop {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("asyncio", Self::Asyncio), ("uvloop", Self::Uvloop)];
    const ACCEPTS: &'static str = "auto, asyncio or uvloop";
    const NONE: Self = Self::Auto;

    fn wrong_word(word: &str, _: &str) -> String {
        format!("Invalid ASGI loop: {word}")
    }
}

/// Whether ASGI applications are told of start and stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsgiLifespan {
    /// If they know what to do with it.
    #[default]
    Auto,
    On,
    Off,
}

impl Choice for AsgiLifespan {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("on", Self::On), ("off", Self::Off)];
    const ACCEPTS: &'static str = "auto, on or off";
    const NONE: Self = Self::Auto;

    fn wrong_word(word: &str, _: &str) -> String {
        format!("Invalid ASGI lifespan: {word}")
    }
}

/// gunicorn's parsers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpParser {
    #[default]
    Auto,
    Fast,
    Python,
}

impl Choice for HttpParser {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("fast", Self::Fast), ("python", Self::Python)];
    const ACCEPTS: &'static str = "auto, fast or python";
    const NONE: Self = Self::Auto;

    fn wrong_type(_: &Value) -> String {
        "http_parser must be a string".into()
    }

    fn wrong_word(_: &str, _: &str) -> String {
        "http_parser must be one of: auto, fast, python".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::choice::OneOf;
    use crate::config::kinds::Kind;
    use crate::config::setting::Scope;
    use std::path::Path;

    #[test]
    fn words() {
        let scope = Scope { start: Path::new("/"), conf_file: true };
        let parse = |value: Value| OneOf::<AsgiLoop>::parse(&value, &scope);
        assert_eq!(parse(" UvLoop ".into()), Ok(AsgiLoop::Uvloop));
        assert_eq!(parse(Value::None), Ok(AsgiLoop::Auto));
        assert_eq!(parse("X ".into()), Err("Invalid ASGI loop: x".into()));
        assert_eq!(parse(true.into()), Err("Invalid type for casting: True".into()));
        assert_eq!(OneOf::<AsgiLoop>::value(&AsgiLoop::Asyncio).text(), "asyncio");
        let error = OneOf::<HttpParser>::parse(&1.into(), &scope).unwrap_err();
        assert_eq!(error, "http_parser must be a string");
    }
}
