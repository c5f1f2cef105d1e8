//! What the setting `bind` may say: `HOST`, `HOST:PORT`, `:PORT`, `[IPV6]:PORT`, `tcp://...`,
//! `unix:PATH`, `unix://PATH`, `unix:@NAME`, `fd://N`.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;

use crate::error::Error;

const DEFAULT_PORT: u16 = 8000;
const FORMS: &str = "write HOST:PORT, :PORT, [IPV6]:PORT, unix:PATH, unix:@NAME or fd://N";

/// A place to listen at. Names are not resolved here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A name or IP address in lower case (empty: all IPv4 addresses) and a port.
    Tcp { host: String, port: u16 },
    /// The path of a socket file.
    Unix(PathBuf),
    /// A name in the abstract name space of unix(7): a socket without a file.
    Abstract(String),
    /// A descriptor that the parent process passed in.
    Fd(RawFd),
}

impl Address {
    /// Reads one element of the setting `bind`.
    ///
    /// # Errors
    /// A sentence that names the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // A conf file may say it as Python does, with a NUL.
            let name = path.strip_prefix(['@', '\0']);
            if name.unwrap_or(path).is_empty() || name.unwrap_or(path).contains('\0') {
                return Err(refuse(text, "A unix address needs the path of a socket file."));
            }
            if let Some(name) = name {
                return Ok(Self::Abstract(name.to_owned()));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            return match number.trim().parse::<RawFd>() {
                Ok(fd) if fd >= 0 => Ok(Self::Fd(fd)),
                _ => Err(refuse(text, &format!("'{number}' is not a valid file descriptor."))),
            };
        }
        Self::parse_tcp(text, text.strip_prefix("tcp://").unwrap_or(text))
    }

    /// `text` is the whole element, for messages; `rest` is what follows `tcp://`.
    fn parse_tcp(text: &str, rest: &str) -> Result<Self, Error> {
        let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
            let (host, after) = inner
                .split_once(']')
                .ok_or_else(|| refuse(text, "The bracket is never closed."))?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(refuse(text, &format!("'{after}' after ']' is not a port."))),
            }
        } else if let Some((host, port)) = rest.split_once(':') {
            if port.contains(':') {
                return Err(refuse(text, "An IPv6 address is written in brackets."));
            }
            (host, Some(port))
        } else {
            if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
                let hint =
                    format!("A bare number is not an address; for the port write ':{rest}'.");
                return Err(refuse(text, &hint));
            }
            (rest, None)
        };
        if host.contains(|symbol: char| symbol.is_whitespace() || symbol.is_control()) {
            return Err(refuse(text, "A host name has no blanks."));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .trim()
                .parse()
                .map_err(|_| refuse(text, &format!("'{port}' is not a valid port number.")))?,
        };
        Ok(Self::Tcp { host: host.to_lowercase(), port })
    }
}

impl Address {
    /// Whether a socket that listens at `actual` may have been opened for this address.
    #[must_use]
    pub fn fits(&self, actual: &Self) -> bool {
        match (self, actual) {
            (Self::Tcp { host, port }, Self::Tcp { host: address, port: actual }) => {
                // A name may stand for any address, and port 0 for any port.
                let host = if host.is_empty() { "0.0.0.0" } else { host };
                let host = host.parse::<IpAddr>();
                (*port == 0 || port == actual) && (host.is_err() || host == address.parse())
            }
            (Self::Unix(path), Self::Unix(actual)) => {
                let absolute = |path: &PathBuf| std::path::absolute(path).ok();
                path == actual || absolute(path) == absolute(actual)
            }
            (Self::Fd(_), _) => true,
            _ => false,
        }
    }
}

fn refuse(text: &str, why: &str) -> Error {
    Error::config(format!("{why} The bind address was '{text}': {FORMS}."))
}

/// The form gunicorn's log lines have, which is that of the Python object.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "('{host}', {port})"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::Fd(fd) => write!(f, "fd://{fd}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::Address;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    fn unix(path: &str) -> Address {
        Address::Unix(PathBuf::from(path))
    }

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("127.0.0.1:9000", tcp("127.0.0.1", 9000)),
            ("127.0.0.1", tcp("127.0.0.1", 8000)),
            ("Example.ORG:80", tcp("example.org", 80)),
            (":8080", tcp("", 8080)),
            ("", tcp("", 8000)),
            ("[::1]:9000", tcp("::1", 9000)),
            ("[::]", tcp("::", 8000)),
            ("[FE80::1]:0", tcp("fe80::1", 0)),
            ("tcp://0.0.0.0:81", tcp("0.0.0.0", 81)),
            ("tcp://[::1]:82", tcp("::1", 82)),
            ("localhost: 83", tcp("localhost", 83)),
            ("unix:/run/app.sock", unix("/run/app.sock")),
            ("unix:///run/app.sock", unix("/run/app.sock")),
            ("unix:app.sock", unix("app.sock")),
            ("unix:./@app", unix("./@app")),
            ("unix:@app", Address::Abstract("app".to_owned())),
            ("unix://@a/b", Address::Abstract("a/b".to_owned())),
            ("unix:\0app", Address::Abstract("app".to_owned())),
            ("fd://3", Address::Fd(3)),
        ];
        for (text, expected) in cases {
            assert_eq!(Address::parse(text).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let cases = [
            ("localhost:http", "'http' is not a valid port number."),
            ("localhost:", "'' is not a valid port number."),
            ("localhost:65536", "'65536' is not a valid port number."),
            ("localhost:-1", "'-1' is not a valid port number."),
            ("[::1]:x", "'x' is not a valid port number."),
            ("http://localhost", "'//localhost' is not a valid port number."),
            ("::1", "written in brackets"),
            ("[::1", "never closed"),
            ("[::1]8000", "'8000' after ']' is not a port"),
            ("8000", "write ':8000'"),
            ("my host:80", "no blanks"),
            ("unix:", "needs the path"),
            ("unix://", "needs the path"),
            ("unix:@", "needs the path"),
            ("unix:\0", "needs the path"),
            ("unix:@a\0b", "needs the path"),
            ("unix:a\0b", "needs the path"),
            ("fd://x", "'x' is not a valid file descriptor."),
            ("fd://-1", "'-1' is not a valid file descriptor."),
        ];
        for (text, expected) in cases {
            let error = Address::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(error.contains(&format!("'{text}'")), "{text}: {error}");
        }
    }

    #[test]
    fn the_text_is_that_of_the_log_lines() {
        assert_eq!(tcp("127.0.0.1", 8000).to_string(), "('127.0.0.1', 8000)");
        assert_eq!(unix("/run/x").to_string(), "/run/x");
    }

    #[test]
    fn an_address_fits_what_may_have_been_opened_for_it() {
        let cases = [
            (tcp("127.0.0.1", 80), tcp("127.0.0.1", 80), true),
            (tcp("127.0.0.1", 0), tcp("127.0.0.1", 80), true),
            (tcp("", 80), tcp("0.0.0.0", 80), true),
            (tcp("localhost", 80), tcp("127.0.0.1", 80), true),
            (tcp("::1", 80), tcp("::1", 80), true),
            (tcp("127.0.0.2", 80), tcp("127.0.0.1", 80), false),
            (tcp("127.0.0.1", 81), tcp("127.0.0.1", 80), false),
            (unix("/run/x"), unix("/run/x"), true),
            (unix("/run/x"), unix("/run/y"), false),
            (unix("x"), unix(std::env::current_dir().unwrap().join("x").to_str().unwrap()), true),
            (unix("/run/x"), tcp("127.0.0.1", 80), false),
            (Address::Fd(3), unix("/run/x"), true),
        ];
        for (wanted, actual, fits) in cases {
            assert_eq!(wanted.fits(&actual), fits, "{wanted} {actual}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Address::parse(&text);
        }

        #[test]
        fn any_port_is_read(port in any::<u16>()) {
            let address = Address::parse(&format!("[::1]:{port}")).expect("parse");
            prop_assert_eq!(address, tcp("::1", port));
        }
    }
}
