//! Telling the service manager how the service is (`sd_notify(3)`).

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// Sends one message, `NAME=VALUE` lines, to the socket that `NOTIFY_SOCKET` names: an absolute path, or
/// `@` and an abstract name. Nothing is kept open between two messages, so that nothing is there for a
/// forked process to use. A manager that does not read holds this up for 2 seconds at most.
///
/// # Errors
/// `EINVAL` or `ENAMETOOLONG`: it is not the name of a socket. Else as `sendto(2)`.
pub fn notify(place: &str, message: &str) -> io::Result<()> {
    let address = match place.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None if place.starts_with('/') => UnixAddr::new(place)?,
        None => return Err(Errno::EINVAL.into()),
    };
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(2))?;
    sendto(socket.as_raw_fd(), message.as_bytes(), &address, MsgFlags::MSG_NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::notify;

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
    fn other_places_are_refused() {
        let long = format!("/{}", "x".repeat(200));
        for place in ["", "relative", "vsock:2:1234", "/nowhere/notify", &long] {
            assert!(notify(place, "READY=1").is_err(), "{place}");
        }
    }
}
