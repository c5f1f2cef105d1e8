//! Telling the service manager how the service is (`sd_notify(3)`).

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::pipe2;

/// Sends one message, `NAME=VALUE` lines, to the socket that `NOTIFY_SOCKET` names: an absolute path, or
/// `@` and an abstract name. Nothing is kept open between two messages, so that nothing is there for a
/// forked process to use. A manager that does not read holds this up for 2 seconds at most.
///
/// # Errors
/// `EINVAL` or `ENAMETOOLONG`: it is not the name of a socket. Else as `sendmsg(2)`.
pub fn notify(place: &str, message: &str) -> io::Result<()> {
    send(place, message, &[])
}

/// Sends a descriptor that the manager closes when it has dealt with all messages before it. What is
/// returned is at its end then (`sd_notify_barrier(3)`).
///
/// # Errors
/// As [`notify()`], and those of `pipe(2)`.
pub fn barrier(place: &str) -> io::Result<OwnedFd> {
    let (end, passed) = pipe2(OFlag::O_CLOEXEC)?;
    send(place, "BARRIER=1", &[passed.as_raw_fd()])?;
    Ok(end)
}

fn send(place: &str, message: &str, passed: &[RawFd]) -> io::Result<()> {
    let address = match place.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None if place.starts_with('/') => UnixAddr::new(place)?,
        None => return Err(Errno::EINVAL.into()),
    };
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(2))?;
    let control = [ControlMessage::ScmRights(passed)];
    let control = if passed.is_empty() { &[] } else { &control[..] };
    let bytes = [IoSlice::new(message.as_bytes())];
    sendmsg(socket.as_raw_fd(), &bytes, control, MsgFlags::MSG_NOSIGNAL, Some(&address))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn messages_arrive_at_paths_and_abstract_names() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let name = format!("rgunicorn-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}")),
        ];
        for (socket, text) in sockets {
            notify(&text, "READY=1\nSTATUS=x").unwrap();
            let mut buffer = [0; 100];
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"READY=1\nSTATUS=x");
        }
    }

    #[test]
    fn a_barrier_falls_when_its_message_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let end = barrier(path.to_str().unwrap()).unwrap();
        let has_fallen = || {
            let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
        };
        assert!(!has_fallen());
        let mut buffer = [0; 100];
        let count = socket.recv(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], has_fallen()), (&b"BARRIER=1"[..], true));
    }

    #[test]
    fn other_places_are_refused() {
        let long = format!("/{}", "x".repeat(200));
        for place in ["", "relative", "vsock:2:1234", "/nowhere/notify", &long] {
            assert!(notify(place, "READY=1").is_err(), "{place}");
        }
    }
}
