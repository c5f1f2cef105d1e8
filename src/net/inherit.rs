//! Listening sockets that the parent process passed in: socket activation as in `sd_listen_fds(3)`.

use std::fmt;
use std::os::fd::RawFd;

use crate::error::Error;
use crate::net::address::Address;
use crate::sys::process::Pid;

/// The first descriptor passed (`SD_LISTEN_FDS_START`).
pub const FIRST: RawFd = 3;

/// The variables by which sockets are announced.
pub const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// A descriptor that was announced, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub fd: RawFd,
    /// `FileDescriptorName=` of the socket unit.
    pub name: Option<String>,
}

impl Passed {
    #[must_use]
    pub fn address(&self) -> Address {
        Address::Fd(self.fd)
    }
}

/// `3 (web)`
impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} ({name})", self.fd),
            None => self.fd.fmt(f),
        }
    }
}

/// The sockets that `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` announce to process `pid`; `None` if
/// they are not meant for it.
///
/// # Errors
/// The variables are there but hold no numbers.
pub fn read(
    variable: &dyn Fn(&str) -> Option<String>,
    pid: Pid,
) -> Result<Option<Vec<Passed>>, Error> {
    let Some(meant) = variable("LISTEN_PID") else { return Ok(None) };
    if number("LISTEN_PID", &meant)? != i64::from(pid.get()) {
        return Ok(None);
    }
    let count = number("LISTEN_FDS", variable("LISTEN_FDS").as_deref().unwrap_or("0"))?;
    let count = RawFd::try_from(count).ok().filter(|count| (0..=0xffff).contains(count));
    let Some(count) = count else {
        return Err(Error::config(
            "LISTEN_FDS is not a number of sockets. It is set by the service manager; remove it if \
             there is none.",
        ));
    };
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(|name| Some(name.to_owned()).filter(|n| !n.is_empty()));
    Ok(Some((FIRST..FIRST + count).map(|fd| Passed { fd, name: names.next().flatten() }).collect()))
}

fn number(name: &str, text: &str) -> Result<i64, Error> {
    text.trim().parse().map_err(|_| {
        Error::config(format!(
            "{name} is '{text}', which is not a number. It is set by the service manager; remove it \
             if there is none."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(
        pid: Option<&str>,
        count: Option<&str>,
        names: Option<&str>,
    ) -> Result<Option<Vec<Passed>>, Error> {
        let variable = |name: &str| {
            let values = [("LISTEN_PID", pid), ("LISTEN_FDS", count), ("LISTEN_FDNAMES", names)];
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            value.map(str::to_owned)
        };
        read(&variable, Pid::new(12).unwrap())
    }

    fn passed(fd: RawFd, name: Option<&str>) -> Passed {
        Passed { fd, name: name.map(str::to_owned) }
    }

    #[test]
    fn sockets_are_taken_from_three_on() {
        let taken = announced(Some("12"), Some("2"), None).expect("numbers").expect("two sockets");
        assert_eq!(taken, [passed(3, None), passed(4, None)]);
        assert_eq!(taken[1].address(), Address::Fd(4));
        let taken =
            announced(Some("12"), Some("3"), Some("web::x:y")).expect("numbers").expect("three");
        assert_eq!(taken, [passed(3, Some("web")), passed(4, None), passed(5, Some("x"))]);
        assert_eq!((taken[0].to_string(), taken[1].to_string()), ("3 (web)".into(), "4".into()));
    }

    #[test]
    fn what_is_meant_for_others_is_left() {
        assert_eq!(announced(Some("11"), Some("2"), None).expect("another process"), None);
        assert_eq!(announced(None, Some("2"), None).expect("no pid"), None);
        assert_eq!(announced(Some("12"), None, None).expect("no count"), Some(Vec::new()));
        assert_eq!(announced(Some("12"), Some("0"), None).expect("none"), Some(Vec::new()));
    }

    #[test]
    fn nonsense_is_named() {
        for (pid, count, expected) in [
            ("x", "1", "LISTEN_PID is 'x'"),
            ("12", "", "LISTEN_FDS is ''"),
            ("12", "-1", "LISTEN_FDS is not a number of sockets"),
            ("12", "99999999999", "LISTEN_FDS is not a number of sockets"),
        ] {
            let error = announced(Some(pid), Some(count), None).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
