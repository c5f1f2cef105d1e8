//! Section "Logging", where the logs go besides files.

use crate::config::kinds::{Kind, text};
use crate::config::number::{self, Base};
use crate::config::setting::{Scope, Shape};
use crate::config::value::Value;

macro_rules! log_forms {
    ($($chain:tt)*) => { settings! { $($chain)* Logging {
        /// The class of the logger, or its dotted path.
        ///
        /// The default, which is also called `simple`, writes the logs without Python.
        logger_class: ClassRef = Class {
            flags: ["--logger-class"],
            metavar: "STRING",
            default: "gunicorn.glogging.Logger",
            reload: Live,
        }

        /// A file in the INI form of Python's `logging.config.fileConfig`.
        logconfig: Option<String> = Text {
            flags: ["--log-config"],
            metavar: "FILE",
            default: Value::None,
            reload: Live,
        }

        /// A dict for Python's `logging.config.dictConfig`. Goes before the other two.
        logconfig_dict: Value = Dictionary {
            flags: [],
            metavar: "",
            default: Value::Dict(Vec::new()),
            reload: Live,
        }

        /// A JSON file with a dict for `logging.config.dictConfig`. Goes before `logconfig`.
        logconfig_json: Option<String> = Text {
            flags: ["--log-config-json"],
            metavar: "FILE",
            default: Value::None,
            reload: Live,
        }

        /// Send the logs to syslog too.
        ///
        /// In addition to the files or streams of `errorlog` and `accesslog`. Records that the syslog daemon
        /// does not take at once are dropped: no request waits for it.
        syslog: bool = Switch {
            flags: ["--log-syslog"],
            metavar: "",
            default: false,
            reload: Live,
        }

        /// Where syslog is: `unix://PATH[#dgram|#stream]`, `udp://HOST:PORT` or `tcp://HOST:PORT`.
        syslog_addr: Option<String> = Text {
            flags: ["--log-syslog-to"],
            metavar: "SYSLOG_ADDR",
            default: "udp://localhost:514",
            reload: Live,
        }

        /// The middle part of the program's name in syslog, `gunicorn.PREFIX.error`.
        ///
        /// Default: `proc_name`, with a point for each colon.
        syslog_prefix: Option<String> = Text {
            flags: ["--log-syslog-prefix"],
            metavar: "SYSLOG_PREFIX",
            default: Value::None,
            reload: Live,
        }

        /// The facility of messages in syslog.
        syslog_facility: Option<String> = Text {
            flags: ["--log-syslog-facility"],
            metavar: "SYSLOG_FACILITY",
            default: "user",
            reload: Live,
        }

        /// Send only the error log to syslog, not the access log.
        disable_redirect_access_to_syslog: bool = Switch {
            flags: ["--disable-redirect-access-to-syslog"],
            metavar: "",
            default: false,
            reload: Live,
        }

        /// Keep standard output and standard error open in a daemon.
        ///
        /// They lead to `/dev/null` otherwise. No effect without `daemon`.
        enable_stdio_inheritance: bool = Switch {
            flags: ["-R", "--enable-stdio-inheritance"],
            metavar: "",
            default: false,
            reload: Restart,
        }

        /// Where StatsD is: `HOST[:PORT]` or `unix://PATH`. Turns metrics on.
        statsd_host: Option<StatsdAddress> = Statsd {
            flags: ["--statsd-host"],
            metavar: "STATSD_ADDR",
            default: Value::None,
            reload: Live,
        }

        /// Tags for DogStatsD, separated by commas, added to every metric.
        dogstatsd_tags: Option<String> = Text {
            flags: ["--dogstatsd-tags"],
            metavar: "DOGSTATSD_TAGS",
            default: "",
            reload: Live,
        }

        /// What the names of metrics begin with; a point is added.
        statsd_prefix: Option<String> = Text {
            flags: ["--statsd-prefix"],
            metavar: "STATSD_PREFIX",
            default: "",
            reload: Live,
        }

        /// Send the number of connections that wait to be accepted as a metric.
        ///
        /// `gunicorn.backlog`, a histogram, once a second. Needs `statsd_host`.
        enable_backlog_metric: bool = Switch {
            flags: ["--enable-backlog-metric"],
            metavar: "",
            default: false,
            reload: Live,
        }
    } } };
}
pub(super) use log_forms;

/// Where metrics go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatsdAddress {
    Udp { host: String, port: u16 },
    Unix(String),
}

/// The address of a StatsD server, or none.
pub struct Statsd;

const PORT: u16 = 8125;

impl Kind for Statsd {
    type Out = Option<StatsdAddress>;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "HOST, HOST:PORT, unix://PATH or None";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        if matches!(value, Value::None) {
            return Ok(None);
        }
        let address = address(&text(value)?);
        let refusal = || "Value must be one of ('host:port', 'unix://PATH')".into();
        address.map(Some).ok_or_else(refusal)
    }

    fn value(out: &Self::Out) -> Value {
        match out {
            None => Value::None,
            Some(StatsdAddress::Unix(path)) => path.into(),
            Some(StatsdAddress::Udp { host, port }) => {
                Value::Tuple(vec![host.into(), Value::Int((*port).into())])
            }
        }
    }
}

/// `unix:` followed by nothing but digits is a host of that name with a port.
fn address(text: &str) -> Option<StatsdAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        let digits = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit());
        if let (true, Ok(port)) = (digits, path.parse()) {
            return Some(StatsdAddress::Udp { host: "unix".into(), port });
        }
        let path = path.strip_prefix("//").unwrap_or(path);
        return (!path.is_empty()).then(|| StatsdAddress::Unix(path.into()));
    }
    if text.starts_with("fd://") {
        return None;
    }
    let text = text.strip_prefix("tcp://").unwrap_or(text);
    let (host, port) = if text.is_empty() {
        ("0.0.0.0", None)
    } else if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']'))
    {
        (host, rest.strip_prefix(':'))
    } else {
        let mut parts = text.split(':');
        (parts.next().unwrap_or_default(), parts.next())
    };
    let port = match port {
        None => PORT,
        Some(port) => number::int(port, Base::Ten).ok()?.try_into().ok()?,
    };
    Some(StatsdAddress::Udp { host: host.to_lowercase(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shown(value: impl Into<Value>) -> Result<String, String> {
        let scope = Scope { start: Path::new("/"), conf_file: true };
        Statsd::parse(&value.into(), &scope).map(|address| Statsd::value(&address).text())
    }

    #[test]
    fn statsd_addresses() {
        for (text, address) in [
            ("LocalHost", "('localhost', 8125)"),
            ("a:1", "('a', 1)"),
            ("[::1]:9", "('::1', 9)"),
            ("[::1]", "('::1', 8125)"),
            ("", "('0.0.0.0', 8125)"),
            ("unix:///run/s", "/run/s"),
            ("unix:run/s", "run/s"),
            ("unix:123", "('unix', 123)"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(address), "{text}");
        }
        assert_eq!(shown(Value::None).as_deref(), Ok("None"));
        for bad in ["a:b", "a:70000", "a:", "fd://3", "unix:", "unix://"] {
            let message = "Value must be one of ('host:port', 'unix://PATH')";
            assert_eq!(shown(bad), Err(message.into()), "{bad}");
        }
        assert_eq!(shown(3), Err("Not a string: 3".into()));
    }
}
