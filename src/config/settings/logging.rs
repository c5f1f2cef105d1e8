//! Section "Logging".

use crate::config::choice::Choice;

macro_rules! logging {
    ($($chain:tt)*) => { settings! { $($chain)* Logging {
        /// The file of the access log; - is standard output, None is no access log.
        accesslog: Option<String> = Text {
            flags: ["--access-logfile"],
            metavar: "FILE",
            default: Value::None,
            reload: Live,
        }

        /// The format of a line of the access log.
        ///
        /// `json`, or text with atoms in Python's `%` notation:
        ///
        /// | Atom | Meaning |
        /// |---|---|
        /// | `%(h)s` | client address |
        /// | `%(l)s` | `-` |
        /// | `%(u)s` | user of HTTP basic authentication |
        /// | `%(t)s` | time, `[day/month/year:hour:minute:second zone]` |
        /// | `%(r)s` | request line |
        /// | `%(m)s` | method |
        /// | `%(U)s` | path without query |
        /// | `%(q)s` | query |
        /// | `%(H)s` | protocol |
        /// | `%(s)s` | status |
        /// | `%(B)s` | bytes of the response's body |
        /// | `%(b)s` | the same |
        /// | `%(f)s` | Referer |
        /// | `%(a)s` | User-Agent |
        /// | `%(T)s` | time taken, seconds |
        /// | `%(M)s` | time taken, milliseconds |
        /// | `%(D)s` | time taken, microseconds |
        /// | `%(L)s` | time taken, seconds with six decimals |
        /// | `%(W)s` | time the request, complete, waited until it was handled, seconds with six decimals |
        /// | `%(p)s` | process id, in angle brackets |
        /// | `%({NAME}i)s` | request header |
        /// | `%({NAME}o)s` | response header |
        /// | `%({NAME}e)s` | environ variable |
        access_log_format: String = Name {
            flags: ["--access-logformat"],
            metavar: "STRING",
            default: r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#,
            reload: Live,
        }

        /// The file of the error log; - is standard error.
        errorlog: Option<String> = Text {
            flags: ["--error-logfile", "--log-file"],
            metavar: "FILE",
            default: "-",
            reload: Live,
        }

        /// What a record of the error log looks like: `text`, or `json`, one object in a line.
        ///
        /// What the application itself prints is not changed.
        error_log_format: ErrorLogFormat = OneOf<ErrorLogFormat> {
            flags: ["--error-log-format"],
            metavar: "FORMAT",
            default: "text",
            reload: Live,
        }

        /// The least severe messages that the error log holds.
        ///
        /// `debug`, `info`, `warning`, `error` or `critical`; any other word means `info`.
        loglevel: String = Name {
            flags: ["--log-level"],
            metavar: "LEVEL",
            default: "info",
            reload: Live,
        }

        /// Send what the application prints to the error log's file.
        ///
        /// Redirects standard output and standard error of all processes. No effect when the error log
        /// is standard error itself.
        capture_output: bool = Switch {
            flags: ["--capture-output"],
            metavar: "",
            default: false,
            reload: Live,
        }
    } } };
}
pub(super) use logging;

/// The forms of a record in the error log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorLogFormat {
    #[default]
    Text,
    Json,
}

impl Choice for ErrorLogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
    const ACCEPTS: &'static str = "text or json";
    const NONE: Self = Self::Text;

    fn wrong_word(word: &str, _: &str) -> String {
        format!("Invalid error log format: {word}. Must be text or json.")
    }
}
