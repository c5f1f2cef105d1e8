//! The setting `syslog_addr`: `unix://PATH`, `udp://HOST:PORT`, `tcp://HOST:PORT`.

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use crate::error::{Error, reason};
use crate::log::socket::Place;
use crate::sys::datagram::Kind;

const PORT: u16 = 514;
/// What is tried when the address does not say what a unix socket takes.
const EITHER: &[Kind] = &[Kind::Datagram, Kind::Stream];
const DATAGRAM: &[Kind] = &[Kind::Datagram];

/// An address as the setting gives it; names are not resolved yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf, &'static [Kind]),
    Udp(String, u16),
    Tcp(String, u16),
}

impl Address {
    /// # Errors
    /// gunicorn's message.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(rest) = text.strip_prefix("unix://") {
            let (path, kinds) = match rest.split_once('#') {
                Some((path, "dgram")) => (path, DATAGRAM),
                // Of whatever kind: the socket tells when it is connected to.
                Some((path, _)) => (path, EITHER),
                None => (rest, EITHER),
            };
            return Ok(Self::Unix(path.into(), kinds));
        }
        if let Some(rest) = text.strip_prefix("udp://") {
            let (host, port) = host_and_port(rest)?;
            return Ok(Self::Udp(host, port));
        }
        if let Some(rest) = text.strip_prefix("tcp://") {
            let (host, port) = host_and_port(rest)?;
            return Ok(Self::Tcp(host, port));
        }
        Err(Error::config("invalid syslog address"))
    }

    /// Looks the name up.
    ///
    /// # Errors
    /// There is no such host.
    pub fn resolve(self, text: &str) -> Result<Place, Error> {
        let first = |host: &str, port: u16| {
            let found = (host, port).to_socket_addrs().map_err(|error| reason(&error));
            found.and_then(|mut all| all.next().ok_or_else(|| "no address".to_owned())).map_err(
                |why| {
                    Error::config(format!(
                        "The host of syslog_addr '{text}' cannot be looked up: {why}."
                    ))
                },
            )
        };
        Ok(match self {
            Self::Unix(path, kinds) => Place::Unix(path, kinds),
            Self::Udp(host, port) => Place::Udp(first(&host, port)?),
            Self::Tcp(host, port) => Place::Tcp(first(&host, port)?),
        })
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]:PORT` or nothing.
fn host_and_port(text: &str) -> Result<(String, u16), Error> {
    let (host, rest) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, rest)) => (host, rest),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let host = if text.is_empty() { "localhost" } else { host };
    let port = match rest.split_once(':') {
        None => PORT,
        Some((_, port)) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            port.parse()
                .ok()
                .filter(|_| digits)
                .ok_or_else(|| Error::config(format!("'{port}' is not a valid port number.")))?
        }
    };
    Ok((host.to_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::{Address, DATAGRAM, EITHER};
    use crate::log::socket::Place;

    #[test]
    fn every_form_is_read() {
        let udp = |host: &str, port| Address::Udp(host.to_owned(), port);
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        for (text, expected) in [
            ("unix:///dev/log", Address::Unix("/dev/log".into(), EITHER)),
            ("unix:///dev/log#dgram", Address::Unix("/dev/log".into(), DATAGRAM)),
            ("unix:///dev/log#stream", Address::Unix("/dev/log".into(), EITHER)),
            ("unix:///dev/log#", Address::Unix("/dev/log".into(), EITHER)),
            ("udp://localhost:514", udp("localhost", 514)),
            ("udp://", udp("localhost", 514)),
            ("udp://LOGS.example", udp("logs.example", 514)),
            ("udp://[::1]:5140", udp("::1", 5140)),
            ("tcp://[::1]", tcp("::1", 514)),
            ("tcp://10.0.0.1:601", tcp("10.0.0.1", 601)),
            ("tcp://:601", tcp("", 601)),
        ] {
            assert_eq!(Address::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_as_gunicorn_does() {
        for (text, expected) in [
            ("/dev/log", "invalid syslog address"),
            ("", "invalid syslog address"),
            ("unix:/dev/log", "invalid syslog address"),
            ("udp://host:x", "'x' is not a valid port number."),
            ("udp://host:", "'' is not a valid port number."),
            ("tcp://host:+1", "'+1' is not a valid port number."),
            ("tcp://host:99999", "'99999' is not a valid port number."),
        ] {
            assert_eq!(Address::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn names_are_looked_up() {
        let place = Address::parse("udp://127.0.0.1:5").unwrap().resolve("").unwrap();
        assert_eq!(place, Place::Udp("127.0.0.1:5".parse().unwrap()));
        let text = "tcp://:1";
        let error = Address::parse(text).unwrap().resolve(text).unwrap_err().to_string();
        assert!(error.starts_with("The host of syslog_addr 'tcp://:1' cannot be"), "{error}");
    }
}
