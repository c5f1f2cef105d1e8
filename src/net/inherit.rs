//! Listening sockets that the parent process passed in: socket activation as in `sd_listen_fds(3)`.

use std::os::fd::RawFd;

use crate::error::Error;
use crate::net::address::Address;
use crate::sys::env;

/// The first descriptor passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// The sockets that `LISTEN_PID` and `LISTEN_FDS` announce; none if they are not meant for this
/// process. What is taken is removed from the environment, so that no child takes it again.
///
/// # Errors
/// The variables are there but hold no numbers.
pub fn systemd() -> Result<Vec<Address>, Error> {
    let pid = std::env::var("LISTEN_PID").ok();
    let count = std::env::var("LISTEN_FDS").ok();
    let announced = announced(pid.as_deref(), count.as_deref(), std::process::id())?;
    if !announced.is_empty() {
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            env::remove(name);
        }
    }
    Ok(announced)
}

fn announced(pid: Option<&str>, count: Option<&str>, own: u32) -> Result<Vec<Address>, Error> {
    let Some(pid) = pid else { return Ok(Vec::new()) };
    if number("LISTEN_PID", pid)? != i64::from(own) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS", count.unwrap_or("0"))?;
    match RawFd::try_from(count) {
        Ok(count @ 0..=0xffff) => Ok((FIRST..FIRST + count).map(Address::Fd).collect()),
        _ => Err(Error::config(format!(
            "LISTEN_FDS is {count}, which is not a number of sockets. It is set by the service \
             manager; remove it if there is none."
        ))),
    }
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
    use super::{announced, systemd};
    use crate::net::address::Address;
    use crate::sys::env;
    use crate::sys::testing::alone;

    #[test]
    fn what_is_taken_leaves_the_environment() {
        alone("net::inherit::tests::what_is_taken_leaves_the_environment", || {
            env::set("LISTEN_FDS", "1");
            env::set("LISTEN_PID", "1");
            assert_eq!(systemd().expect("for init"), []);
            assert!(std::env::var("LISTEN_FDS").is_ok());
            env::set("LISTEN_PID", &std::process::id().to_string());
            assert_eq!(systemd().expect("one socket"), [Address::Fd(3)]);
            assert!(std::env::var("LISTEN_FDS").is_err() && std::env::var("LISTEN_PID").is_err());
            assert_eq!(systemd().expect("taken"), []);
        });
    }

    #[test]
    fn sockets_are_taken_from_three_on() {
        let taken = announced(Some("12"), Some("2"), 12).expect("two sockets");
        assert_eq!(taken, [Address::Fd(3), Address::Fd(4)]);
    }

    #[test]
    fn what_is_meant_for_others_is_left() {
        assert_eq!(announced(Some("11"), Some("2"), 12).expect("another process"), []);
        assert_eq!(announced(None, Some("2"), 12).expect("no pid"), []);
        assert_eq!(announced(Some("12"), None, 12).expect("no count"), []);
        assert_eq!(announced(Some("12"), Some("0"), 12).expect("none"), []);
    }

    #[test]
    fn nonsense_is_named() {
        for (pid, count, expected) in [
            ("x", "1", "LISTEN_PID is 'x'"),
            ("12", "", "LISTEN_FDS is ''"),
            ("12", "-1", "LISTEN_FDS is -1"),
            ("12", "99999999999", "LISTEN_FDS is 99999999999"),
        ] {
            let error = announced(Some(pid), Some(count), 12).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
