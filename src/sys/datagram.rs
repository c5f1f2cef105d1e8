//! Sockets for messages that may get lost but never block: syslog and StatsD.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, connect,
    sendto, socket,
};

/// How the bytes of a unix socket are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each message by itself.
    Datagram,
    /// As one stream.
    Stream,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Whole,
    /// A stream has taken the beginning.
    Partly,
    /// There is no room: the receiver is slow.
    Full,
    /// The socket does not take messages of this size.
    TooLong,
    /// There is no connection (any more).
    Broken,
}

impl Sent {
    fn of(result: nix::Result<usize>, whole: usize) -> Self {
        match result {
            Ok(count) if count >= whole => Self::Whole,
            Ok(_) => Self::Partly,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM) => Self::Full,
            Err(Errno::EMSGSIZE) => Self::TooLong,
            Err(_) => Self::Broken,
        }
    }
}

fn new_socket(family: AddressFamily, kind: SockType) -> io::Result<OwnedFd> {
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?)
}

/// A unix socket that is connected to nothing.
///
/// # Errors
/// The error of socket(2).
pub fn unconnected() -> io::Result<OwnedFd> {
    new_socket(AddressFamily::Unix, SockType::Datagram)
}

/// A socket connected to the one at `path`.
///
/// # Errors
/// The error of socket(2) or connect(2); `EAGAIN` when the receiver has no room for a connection.
pub fn unix(path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    let kind = match kind {
        Kind::Datagram => SockType::Datagram,
        Kind::Stream => SockType::Stream,
    };
    let socket = new_socket(AddressFamily::Unix, kind)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// A socket that can send datagrams to `address`.
///
/// # Errors
/// The error of socket(2).
pub fn udp(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    new_socket(family, SockType::Datagram)
}

/// A TCP connection that is being made: until it is there the socket has no room, if it cannot be
/// made the socket is broken.
///
/// # Errors
/// The error of socket(2) or connect(2).
pub fn begin_tcp(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = new_socket(family, SockType::Stream)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(*address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

const FLAGS: MsgFlags = MsgFlags::MSG_NOSIGNAL.union(MsgFlags::MSG_DONTWAIT);

/// Sends one message, to `address` if the socket is not connected.
pub fn send(fd: impl AsFd, address: Option<&SocketAddr>, message: &[u8]) -> Sent {
    let fd = fd.as_fd().as_raw_fd();
    let result = match address {
        Some(address) => sendto(fd, message, &SockaddrStorage::from(*address), FLAGS),
        None => nix::sys::socket::send(fd, message, FLAGS),
    };
    Sent::of(result, message.len())
}

/// Sends several datagrams with one system call, sendmmsg(2). The result is that of the first one that
/// was not sent.
pub fn send_each<const N: usize>(
    fd: impl AsFd,
    address: Option<&SocketAddr>,
    messages: [&[u8]; N],
) -> Sent {
    let storage = address.map(|address| SockaddrStorage::from(*address));
    let (name, name_length) = storage.as_ref().map_or((std::ptr::null(), 0), |storage| {
        (storage.as_ptr().cast::<libc::c_void>(), storage.len())
    });
    let mut pieces = messages.map(|message| libc::iovec {
        iov_base: message.as_ptr().cast_mut().cast(),
        iov_len: message.len(),
    });
    let mut headers = pieces.each_mut().map(|piece| {
        // SAFETY: all fields are integers and pointers, for which zeros are valid.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_name = name.cast_mut();
        header.msg_hdr.msg_namelen = name_length;
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
        header
    });
    let mut done = 0;
    while done < N {
        let rest = &mut headers[done..];
        let count = libc::c_uint::try_from(rest.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: the headers, the pieces, the address and the messages they point to live until the end
        // of this function, and the kernel only reads the latter three.
        let sent = unsafe {
            libc::sendmmsg(fd.as_fd().as_raw_fd(), rest.as_mut_ptr(), count, FLAGS.bits())
        };
        match Errno::result(sent) {
            // It sends at least one, or fails.
            Ok(sent) => done += usize::try_from(sent).unwrap_or(0).max(1),
            Err(error) => return Sent::of(Err(error), 0),
        }
    }
    Sent::Whole
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::{Kind, Sent, begin_tcp, send, send_each, udp, unconnected, unix};

    #[test]
    fn datagrams_arrive_one_by_one() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let socket = udp(&address).unwrap();
        assert_eq!(send(&socket, Some(&address), b"one"), Sent::Whole);
        assert_eq!(send_each(&socket, Some(&address), [b"two", b"three"]), Sent::Whole);
        let mut buffer = [0; 16];
        for expected in [b"one".as_slice(), b"two", b"three"] {
            let (count, _) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], expected);
        }
        assert_eq!(send(&socket, Some(&address), &vec![0; 70_000]), Sent::TooLong);
    }

    #[test]
    fn unix_sockets_tell_when_they_are_full_or_broken() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        assert_eq!(send(unconnected().unwrap(), None, b"x"), Sent::Broken);
        assert!(unix(&path, Kind::Datagram).is_err());
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert!(unix(&path, Kind::Stream).is_err());
        let socket = unix(&path, Kind::Datagram).unwrap();
        let full = (0..100_000).find_map(|_| {
            Some(send_each(&socket, None, [b"a", b"b"])).filter(|sent| *sent != Sent::Whole)
        });
        assert_eq!(full, Some(Sent::Full));
        drop(receiver);
        assert_eq!(send(&socket, None, b"x"), Sent::Broken);
        assert_eq!(send_each(&socket, None, [b"x", b"y", b"z"]), Sent::Broken);
    }

    #[test]
    fn streams_take_messages_in_part() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let listener = UnixListener::bind(&path).unwrap();
        let socket = unix(&path, Kind::Stream).unwrap();
        assert_eq!(send(&socket, None, &vec![0; 64 << 20]), Sent::Partly);
        assert_eq!(send(&socket, None, b"x"), Sent::Full);
        drop(listener);
        assert_eq!(send(&socket, None, b"x"), Sent::Broken);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = begin_tcp(&listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        assert_eq!(send(&socket, None, b"x"), Sent::Whole);
        drop(stream);
    }
}
