//! Metrics for a StatsD daemon, in gunicorn's words: one datagram each, such as
//! `PREFIX.gunicorn.requests:1|c|@1.0|#TAGS`.

use std::cell::Cell;
use std::fmt::Display;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::config::StatsdAddress;
use crate::log::error::Severity;
use crate::log::socket::{Place, Socket};
use crate::sys::datagram::Kind;

/// The connection to the daemon. Nothing that goes wrong here is anybody's business: metrics get lost.
#[derive(Debug)]
pub struct Statsd {
    socket: Socket,
    prefix: String,
    /// What follows the type: `|#TAGS`, or nothing.
    tags: String,
}

impl Statsd {
    /// `None` if the host is unknown or the system has no socket.
    pub fn open(address: &StatsdAddress, prefix: &str, tags: &str) -> Option<Self> {
        let place = match address {
            StatsdAddress::Unix(path) => Place::Unix(path.into(), &[Kind::Datagram]),
            StatsdAddress::Udp { host, port } => Place::Udp(resolve(host, *port)?),
        };
        let tags = if tags.is_empty() { String::new() } else { format!("|#{tags}") };
        Some(Self { socket: Socket::open(place).ok()?, prefix: dotted(prefix), tags })
    }

    /// The present value of something.
    pub fn gauge(&self, name: &str, value: impl Display) {
        self.send(name, value, "g");
    }

    pub fn increment(&self, name: &str, value: impl Display) {
        self.send(name, value, "c|@1.0");
    }

    pub fn histogram(&self, name: &str, value: impl Display) {
        self.send(name, value, "h");
    }

    fn send(&self, name: &str, value: impl Display, kind: &str) {
        let Self { prefix, tags, .. } = self;
        self.socket.send(format!("{prefix}{name}:{value}|{kind}{tags}").as_bytes());
    }

    /// Counts a record of the error log; those below warnings are not counted.
    pub fn count_record(&self, severity: Severity, is_exception: bool) {
        let name = match severity {
            _ if is_exception => "gunicorn.log.exception",
            Severity::Critical => "gunicorn.log.critical",
            Severity::Error => "gunicorn.log.error",
            Severity::Warning => "gunicorn.log.warning",
            Severity::Info | Severity::Debug => return,
        };
        self.increment(name, 1);
    }

    /// The metrics of a request that was answered with `status`: three datagrams, one system call.
    pub fn count_request(&self, status: Option<u16>, elapsed: Duration) {
        thread_local! {
            static METRICS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        let mut text = METRICS.take();
        text.clear();
        let Self { socket, prefix, tags } = self;
        // Writing to a vector does not fail.
        let (whole, part) = (elapsed.as_micros() / 1000, elapsed.as_micros() % 1000);
        let _ = write!(text, "{prefix}gunicorn.request.duration:{whole}.{part:03}");
        // As Python shows a float: no zeros at its end, but one decimal at least.
        while text.ends_with(b"0") && !text.ends_with(b".0") {
            text.pop();
        }
        let _ = write!(text, "|ms{tags}");
        let first = text.len();
        let _ = write!(text, "{prefix}gunicorn.requests:1|c|@1.0{tags}");
        let second = text.len();
        if let Some(status) = status {
            let _ = write!(text, "{prefix}gunicorn.request.status.{status}:1|c|@1.0{tags}");
            socket.send_each([&text[..first], &text[first..second], &text[second..]]);
        } else {
            socket.send_each([&text[..first], &text[first..]]);
        }
        METRICS.set(text);
    }
}

fn resolve(host: &str, port: u16) -> Option<SocketAddr> {
    let all: Vec<_> = (host, port).to_socket_addrs().ok()?.collect();
    // gunicorn sends to IPv6 addresses only if they are given as such.
    let six = host.contains(':');
    all.into_iter().find(|address| address.is_ipv6() == six)
}

/// One dot at the end, as gunicorn's regular expression puts it there: not behind a single character.
fn dotted(prefix: &str) -> String {
    let name = prefix.trim_end_matches('.');
    if name.chars().nth(1).is_some() { format!("{name}.") } else { prefix.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::{Statsd, dotted};
    use crate::config::StatsdAddress;
    use crate::log::error::Severity;

    fn received(receiver: &UdpSocket) -> String {
        let mut buffer = [0; 200];
        let count = receiver.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn metrics_have_gunicorns_form() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = receiver.local_addr().unwrap().port();
        let address = StatsdAddress::Udp { host: "127.0.0.1".into(), port };
        let statsd = Statsd::open(&address, "pre.fix..", "a:b,c:d").unwrap();
        statsd.gauge("gunicorn.workers", 3);
        statsd.histogram("gunicorn.backlog", 0);
        for (severity, exception) in [
            (Severity::Debug, false),
            (Severity::Warning, false),
            (Severity::Error, false),
            (Severity::Error, true),
            (Severity::Critical, false),
        ] {
            statsd.count_record(severity, exception);
        }
        for expected in [
            "gunicorn.workers:3|g",
            "gunicorn.backlog:0|h",
            "gunicorn.log.warning:1|c|@1.0",
            "gunicorn.log.error:1|c|@1.0",
            "gunicorn.log.exception:1|c|@1.0",
            "gunicorn.log.critical:1|c|@1.0",
        ] {
            assert_eq!(received(&receiver), format!("pre.fix.{expected}|#a:b,c:d"));
        }
        statsd.count_request(Some(404), Duration::from_micros(1_234_560));
        for expected in [
            "gunicorn.request.duration:1234.56|ms",
            "gunicorn.requests:1|c|@1.0",
            "gunicorn.request.status.404:1|c|@1.0",
        ] {
            assert_eq!(received(&receiver), format!("pre.fix.{expected}|#a:b,c:d"));
        }
    }

    /// The expected texts are what Python prints.
    #[test]
    fn durations_look_like_floats() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("statsd");
        let statsd =
            Statsd::open(&StatsdAddress::Unix(path.display().to_string()), "", "").unwrap();
        statsd.gauge("lost", 1);
        let receiver = UnixDatagram::bind(&path).unwrap();
        for (micros, expected) in
            [(0, "0.0"), (1, "0.001"), (10_000, "10.0"), (1_500, "1.5"), (100_020, "100.02")]
        {
            statsd.count_request(None, Duration::from_micros(micros));
            let mut buffer = [0; 100];
            let count = receiver.recv(&mut buffer).unwrap();
            let metric = format!("gunicorn.request.duration:{expected}|ms");
            assert_eq!(String::from_utf8_lossy(&buffer[..count]), metric);
            receiver.recv(&mut buffer).unwrap();
        }
    }

    #[test]
    fn prefixes_get_their_dot() {
        for (prefix, expected) in
            [("", ""), ("ab", "ab."), ("ab...", "ab."), ("a.b", "a.b."), ("a", "a"), ("a.", "a.")]
        {
            assert_eq!(dotted(prefix), expected);
        }
    }

    #[test]
    fn a_host_that_is_not_there_is_no_failure() {
        let address = StatsdAddress::Udp { host: String::new(), port: 1 };
        assert!(Statsd::open(&address, "", "").is_none());
    }
}
