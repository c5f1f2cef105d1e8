//! Section "Server Mechanics", the part about request heads: what is accepted against the grammar,
//! and the PROXY protocol.

use crate::config::kinds::Kind;
use crate::config::number;
use crate::config::setting::{Scope, Shape};
use crate::config::value::Value;

macro_rules! request_heads {
    ($($chain:tt)*) => { settings! { $($chain)* ServerMechanics {
        /// Read the PROXY protocol's header in front of the first request: off, v1, v2 or auto.
        ///
        /// The header tells a load balancer's client; its address becomes that of the client. `v1` is
        /// the form in text, `v2` the binary one, `auto` takes either. A connection may also begin
        /// without a header. Only the peers in `proxy_allow_ips` may send one. The flag without a
        /// value means `auto`.
        proxy_protocol: ProxyMode = ProxyModes {
            flags: ["--proxy-protocol"],
            metavar: "MODE",
            default: "off",
            reload: Workers,
        }

        /// Addresses and networks that may send a PROXY header, separated by commas; * is any.
        ///
        /// A header from anybody else is answered with 403. Clients on a unix socket are always
        /// allowed.
        proxy_allow_ips: Vec<String> = Networks {
            flags: ["--proxy-allow-from"],
            metavar: "STRING",
            default: "127.0.0.1,::1",
            reload: Workers,
        }

        /// Accept header fields that continue on the next line (RFC 9112 calls them obsolete).
        ///
        /// The lines are joined by one blank. A proxy that reads such a field in another way than this
        /// server can be used to smuggle requests; do not turn it on without need.
        permit_obsolete_folding: bool = Switch {
            flags: ["--permit-obsolete-folding"],
            metavar: "",
            default: false,
            reload: Workers,
        }

        /// Accept blanks between the name of a header field and the colon, and remove them.
        ///
        /// RFC 9112 demands that such a request is refused, because proxies disagree about it; do not
        /// turn it on without need.
        strip_header_spaces: bool = Switch {
            flags: ["--strip-header-spaces"],
            metavar: "",
            default: false,
            reload: Workers,
        }

        /// Accept methods with lower-case letters or #, and of fewer than 3 or more than 20 bytes.
        permit_unconventional_http_method: bool = Switch {
            flags: ["--permit-unconventional-http-method"],
            metavar: "",
            default: false,
            reload: Workers,
        }

        /// Accept any version of the form HTTP/D.D, where D is a digit, not only HTTP/1.x.
        ///
        /// The application sees the version as it was sent. A later version than 1.1 is treated and
        /// answered as HTTP/1.1, one before 1.0 as HTTP/1.0.
        permit_unconventional_http_version: bool = Switch {
            flags: ["--permit-unconventional-http-version"],
            metavar: "",
            default: false,
            reload: Workers,
        }

        /// Turn the method into upper case.
        ///
        /// Methods are case-sensitive by the standard, and those with lower-case letters are refused
        /// unless `permit_unconventional_http_method` is on too.
        casefold_http_method: bool = Switch {
            flags: ["--casefold-http-method"],
            metavar: "",
            default: false,
            reload: Workers,
        }
    } } };
}
pub(super) use request_heads;

/// Which forms of the PROXY protocol are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyMode {
    /// None.
    #[default]
    Off,
    /// The one in text.
    V1,
    /// The binary one.
    V2,
    /// Either.
    Auto,
}

/// The choice of a [`ProxyMode`].
pub struct ProxyModes;

impl Kind for ProxyModes {
    type Out = ProxyMode;
    const SHAPE: Shape = Shape::Optional("auto");
    const ACCEPTS: &'static str = "off, v1, v2 or auto; True (auto), False or None (off)";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            Value::None | Value::Bool(false) => Ok(ProxyMode::Off),
            Value::Bool(true) => Ok(ProxyMode::Auto),
            Value::Str(text) => match number::strip(text).to_lowercase().as_str() {
                "off" | "false" | "0" | "none" => Ok(ProxyMode::Off),
                "auto" | "true" | "1" => Ok(ProxyMode::Auto),
                "v1" => Ok(ProxyMode::V1),
                "v2" => Ok(ProxyMode::V2),
                _ => Err("proxy_protocol must be: off, v1, v2, or auto".into()),
            },
            _ => Err("proxy_protocol must be string or bool".into()),
        }
    }

    fn value(out: &Self::Out) -> Value {
        match out {
            ProxyMode::Off => "off",
            ProxyMode::V1 => "v1",
            ProxyMode::V2 => "v2",
            ProxyMode::Auto => "auto",
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn proxy_modes() {
        let parse = |value: Value| {
            ProxyModes::parse(&value, &Scope { start: Path::new("/"), conf_file: true })
        };
        for (value, mode) in [
            (Value::None, ProxyMode::Off),
            (false.into(), ProxyMode::Off),
            ("None".into(), ProxyMode::Off),
            ("0".into(), ProxyMode::Off),
            (true.into(), ProxyMode::Auto),
            (" AUTO ".into(), ProxyMode::Auto),
            ("1".into(), ProxyMode::Auto),
            ("V1".into(), ProxyMode::V1),
            ("v2".into(), ProxyMode::V2),
        ] {
            assert_eq!(parse(value.clone()), Ok(mode), "{value:?}");
            assert_eq!(parse(ProxyModes::value(&mode)), Ok(mode));
        }
        let refused = |value: Value| parse(value).unwrap_err();
        assert_eq!(refused("v3".into()), "proxy_protocol must be: off, v1, v2, or auto");
        assert_eq!(refused(1.into()), "proxy_protocol must be string or bool");
    }
}
