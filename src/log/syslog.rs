//! Records for a syslog daemon, in the form of gunicorn's:
//! `<14>gunicorn.NAME.error: [PID] MESSAGE` and a NUL byte.

mod address;

use std::cell::Cell;
use std::io::Write;

use address::Address;

use crate::error::{Error, reason};
use crate::log::error::Severity;
use crate::log::socket::Socket;
use crate::sys::datagram::Sent;

/// The facilities by name (RFC 5424, and the usual names of the local ones).
const FACILITIES: [(&str, u8); 21] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("security", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// What is sent of a record that is too long for the socket.
const SHORTENED: usize = 8192;

/// The connection of one log to the daemon.
#[derive(Debug)]
pub struct Syslog {
    socket: Socket,
    facility: u8,
    /// `gunicorn.NAME.error` or `gunicorn.NAME.access`.
    ident: String,
}

impl Syslog {
    /// # Errors
    /// Facility or address cannot be understood, or there is nobody at the address.
    pub fn open(address: &str, facility: &str, ident: String) -> Result<Self, Error> {
        let facility = facility.to_lowercase();
        let (_, facility) = FACILITIES
            .into_iter()
            .find(|(name, _)| *name == facility)
            .ok_or_else(|| Error::config("unknown facility name"))?;
        let place = Address::parse(address)?.resolve(address)?;
        let socket = Socket::open(place).map_err(|error| {
            let reason = reason(&error);
            Error::config(format!("Nobody takes records at syslog_addr '{address}': {reason}."))
        })?;
        Ok(Self { socket, facility, ident })
    }

    /// Sends a record, if the daemon takes it at once.
    pub fn send(&self, severity: Severity, pid: u32, message: &[u8]) {
        thread_local! {
            static RECORD: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        let mut record = RECORD.take();
        record.clear();
        let priority = self.facility << 3 | code(severity);
        // Writing to a vector does not fail.
        let _ = write!(record, "<{priority}>{}: [{pid}] ", self.ident);
        record.extend_from_slice(message);
        record.push(0);
        if self.socket.send(&record) == Sent::TooLong {
            record.truncate(SHORTENED);
            record.push(0);
            self.socket.send(&record);
        }
        RECORD.set(record);
    }
}

/// RFC 5424, table 2.
fn code(severity: Severity) -> u8 {
    match severity {
        Severity::Debug => 7,
        Severity::Info => 6,
        Severity::Warning => 4,
        Severity::Error => 3,
        Severity::Critical => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::{SHORTENED, Syslog};
    use crate::log::error::Severity;

    fn open(facility: &str) -> (UdpSocket, Syslog) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = format!("udp://{}", receiver.local_addr().unwrap());
        let syslog = Syslog::open(&address, facility, "gunicorn.a.b.error".into()).unwrap();
        (receiver, syslog)
    }

    fn received(receiver: &UdpSocket) -> Vec<u8> {
        let mut buffer = vec![0; 70_000];
        let count = receiver.recv(&mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }

    #[test]
    fn records_have_gunicorns_form() {
        let (receiver, syslog) = open("user");
        for (severity, priority) in [
            (Severity::Debug, 15),
            (Severity::Info, 14),
            (Severity::Warning, 12),
            (Severity::Error, 11),
            (Severity::Critical, 10),
        ] {
            syslog.send(severity, 77, "h\u{e9}llo\nTraceback".as_bytes());
            let expected = format!("<{priority}>gunicorn.a.b.error: [77] h\u{e9}llo\nTraceback\0");
            assert_eq!(received(&receiver), expected.as_bytes());
        }
        let (receiver, syslog) = open("LOCAL7");
        syslog.send(Severity::Info, 1, b"x");
        assert_eq!(received(&receiver), b"<190>gunicorn.a.b.error: [1] x\0");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let (receiver, syslog) = open("user");
        syslog.send(Severity::Info, 1, &vec![b'x'; 80_000]);
        let record = received(&receiver);
        assert_eq!((record.len(), record.last()), (SHORTENED + 1, Some(&0)));
    }

    #[test]
    fn errors_are_gunicorns() {
        let error = |address: &str, facility: &str| {
            Syslog::open(address, facility, String::new()).unwrap_err().to_string()
        };
        assert_eq!(error("udp://x:1", "nosuch"), "unknown facility name");
        assert_eq!(error("nowhere", "user"), "invalid syslog address");
        assert!(error("tcp://127.0.0.1:1", "user").contains("tcp://127.0.0.1:1"));
    }
}
