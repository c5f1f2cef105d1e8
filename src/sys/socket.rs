//! Calls on connected and listening stream sockets, with results typed for an event loop.

use std::fmt;
use std::io::{self, IoSlice};
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, recv as nix_recv, send as nix_send, shutdown};

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Inet(SocketAddr),
    /// A unix socket: it has no address of interest.
    Unix,
}

/// The IP address; nothing for a unix socket.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.ip().fmt(f),
            Self::Unix => Ok(()),
        }
    }
}

/// accept4(2): the next connection, non-blocking and closed on exec; `None` when there is none.
///
/// # Errors
/// The error of accept4(2), `EMFILE` among them; a connection that went away again is `None`.
pub fn accept(listener: impl AsFd) -> io::Result<Option<(OwnedFd, Peer)>> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = socklen::<libc::sockaddr_storage>();
    // SAFETY: the pointers are to live locals and `len` is the size of the storage.
    let fd = unsafe {
        libc::accept4(
            listener.as_fd().as_raw_fd(),
            storage.as_mut_ptr().cast(),
            &raw mut len,
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR | libc::ECONNABORTED | libc::EPROTO) => Ok(None),
            _ => Err(error),
        };
    }
    // SAFETY: accept4 returned a new descriptor that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: zeroed above and partly overwritten by the kernel: any bytes are a valid value.
    let storage = unsafe { storage.assume_init() };
    Ok(Some((fd, peer_of(&storage))))
}

/// The other end of a connection; one that is gone has no address.
pub fn peer(connection: impl AsFd) -> Peer {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = socklen::<libc::sockaddr_storage>();
    let fd = connection.as_fd().as_raw_fd();
    // SAFETY: as in `accept`; what the kernel does not write stays zero, which is no address.
    let storage = unsafe {
        libc::getpeername(fd, storage.as_mut_ptr().cast(), &raw mut len);
        storage.assume_init()
    };
    peer_of(&storage)
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX)
}

fn peer_of(storage: &libc::sockaddr_storage) -> Peer {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which of the layouts the kernel wrote, and the storage is
            // large enough and aligned for all of them (RFC 3493 section 3.10).
            let address: &libc::sockaddr_in = unsafe { &*(&raw const *storage).cast() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Peer::Inet(SocketAddr::new(IpAddr::V4(ip), u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address: &libc::sockaddr_in6 = unsafe { &*(&raw const *storage).cast() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            Peer::Inet(SocketAddr::new(IpAddr::V6(ip), u16::from_be(address.sin6_port)))
        }
        _ => Peer::Unix,
    }
}

/// What came of a read or write that must not block.
#[derive(Debug)]
pub enum Io {
    /// So many bytes; 0 on reading is the end of the stream.
    Done(usize),
    /// The kernel's buffer is empty (reading) or full (writing).
    WouldBlock,
    /// The connection is broken.
    Failed(io::Error),
}

fn outcome(result: nix::Result<usize>) -> Io {
    match result {
        Ok(count) => Io::Done(count),
        Err(Errno::EAGAIN | Errno::EINTR) => Io::WouldBlock,
        Err(error) => Io::Failed(error.into()),
    }
}

/// recv(2)
pub fn recv(fd: impl AsFd, buffer: &mut [u8]) -> Io {
    outcome(nix_recv(fd.as_fd().as_raw_fd(), buffer, MsgFlags::empty()))
}

/// recv(2) into the capacity of `buffer`, whose content is replaced. Memory that no input reaches is
/// never touched, as it would be if it had to be zeroed.
pub fn recv_anew(fd: impl AsFd, buffer: &mut Vec<u8>) -> Io {
    buffer.clear();
    let room = buffer.spare_capacity_mut();
    // SAFETY: the kernel writes at most so many bytes to the live, uninitialised room.
    let count =
        unsafe { libc::recv(fd.as_fd().as_raw_fd(), room.as_mut_ptr().cast(), room.len(), 0) };
    let result = outcome(Errno::result(count).map(isize::cast_unsigned));
    if let Io::Done(count) = result {
        // SAFETY: the kernel has written that many bytes.
        unsafe { buffer.set_len(count) };
    }
    result
}

/// send(2); a closed peer is an error, never a signal.
pub fn send(fd: impl AsFd, bytes: &[u8]) -> Io {
    outcome(nix_send(fd.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL))
}

/// As [`send`], and the kernel may keep the bytes until the next call: `MSG_MORE` of send(2).
pub fn send_more(fd: impl AsFd, bytes: &[u8]) -> Io {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::from_bits_retain(libc::MSG_MORE);
    outcome(nix_send(fd.as_fd().as_raw_fd(), bytes, flags))
}

/// writev(2); the process ignores `SIGPIPE`.
pub fn send_vectored(fd: impl AsFd, slices: &[IoSlice<'_>]) -> Io {
    outcome(nix::sys::uio::writev(fd.as_fd(), slices))
}

/// sendfile(2) from `offset`, which is moved on by what was sent.
pub fn send_file(fd: impl AsFd, file: impl AsFd, offset: &mut u64, count: usize) -> Io {
    let Ok(mut position) = libc::off_t::try_from(*offset) else {
        return Io::Failed(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let result = nix::sys::sendfile::sendfile(fd.as_fd(), file.as_fd(), Some(&mut position), count);
    *offset = position.unsigned_abs();
    outcome(result)
}

/// Ends the sending half: the peer reads end-of-file behind what was sent.
pub fn shutdown_write(fd: impl AsFd) {
    // An error means that the connection is gone already.
    let _ = shutdown(fd.as_fd().as_raw_fd(), Shutdown::Write);
}

/// Ends the connection, whoever else holds it.
pub fn shutdown_both(fd: impl AsFd) {
    // As above.
    let _ = shutdown(fd.as_fd().as_raw_fd(), Shutdown::Both);
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Something to read, or the end of the stream.
    Input,
    /// Room to write.
    Room,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// What was wanted is there, or the connection is broken.
    Ready,
    /// A signal handler ran.
    Interrupted,
    TimedOut,
}

/// Waits until `fd` is ready, at most so long (zero: for ever).
pub fn wait(fd: impl AsFd, wanted: Wanted, patience: Duration) -> Waited {
    let flags = match wanted {
        Wanted::Input => PollFlags::POLLIN,
        Wanted::Room => PollFlags::POLLOUT,
    };
    let mut fds = [PollFd::new(fd.as_fd(), flags)];
    let timeout = if patience.is_zero() {
        PollTimeout::NONE
    } else {
        PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)
    };
    match poll(&mut fds, timeout) {
        Ok(0) => Waited::TimedOut,
        Err(Errno::EINTR) => Waited::Interrupted,
        // An error shows up again when the descriptor is used.
        Ok(_) | Err(_) => Waited::Ready,
    }
}

/// Waits until one of the descriptors is readable, and says which; `None`: a signal handler ran.
pub fn wait_for_any<const N: usize>(fds: [Option<BorrowedFd<'_>>; N]) -> Option<usize> {
    let mut polled = Vec::with_capacity(N);
    let mut indices = Vec::with_capacity(N);
    for (index, fd) in fds.iter().enumerate() {
        if let Some(fd) = fd {
            polled.push(PollFd::new(*fd, PollFlags::POLLIN));
            indices.push(index);
        }
    }
    poll(&mut polled, PollTimeout::NONE).ok()?;
    let ready = polled.iter().position(|fd| fd.any() == Some(true))?;
    indices.get(ready).copied()
}

/// Turns `O_NONBLOCK` of the open file, which duplicates share, off or on.
///
/// # Errors
/// The error of fcntl(2).
pub fn set_blocking(fd: impl AsFd, blocking: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, !blocking);
    fcntl(&fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Whether bytes wait to be read.
pub fn has_input(fd: impl AsFd) -> bool {
    matches!(nix_recv(fd.as_fd().as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK), Ok(1..))
}

/// Whether the peer has closed its side of a connection, or the connection is broken.
pub fn is_closed_by_peer(fd: impl AsFd) -> bool {
    let flags = PollFlags::from_bits_retain(libc::POLLRDHUP);
    let mut fds = [PollFd::new(fd.as_fd(), flags)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn input_replaces_what_was_there() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut buffer = Vec::with_capacity(8);
        buffer.extend_from_slice(b"old");
        assert!(matches!(recv_anew(&ours, &mut buffer), Io::WouldBlock));
        assert!(buffer.is_empty());
        theirs.write_all(b"more than fits").unwrap();
        let room = buffer.capacity();
        assert!(matches!(recv_anew(&ours, &mut buffer), Io::Done(count) if count == room));
        assert_eq!(buffer, b"more than fits"[..room]);
        drop(theirs);
        assert!(matches!(recv_anew(&ours, &mut buffer), Io::Done(_)));
        assert!(matches!(recv_anew(&ours, &mut buffer), Io::Done(0)));
        assert!(buffer.is_empty());
    }

    #[test]
    fn accepts_with_the_peer_address_and_moves_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(accept(&listener).unwrap().is_none());
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (fd, peer) = accept(&listener).unwrap().unwrap();
        assert_eq!(peer, Peer::Inet(client.local_addr().unwrap()));
        assert_eq!(super::peer(&fd), peer);
        let mut buffer = [0; 16];
        assert!(matches!(recv(&fd, &mut buffer), Io::WouldBlock));
        client.write_all(b"ping").unwrap();
        assert_eq!(wait(&fd, Wanted::Room, Duration::from_secs(5)), Waited::Ready);
        assert_eq!(wait(&fd, Wanted::Input, Duration::from_secs(5)), Waited::Ready);
        assert!(matches!(recv(&fd, &mut buffer), Io::Done(4)));
        assert_eq!(&buffer[..4], b"ping");
        assert!(!is_closed_by_peer(&fd) && !has_input(&fd));
        client.write_all(b"x").unwrap();
        assert_eq!(wait(&fd, Wanted::Input, Duration::from_secs(5)), Waited::Ready);
        assert!(has_input(&fd));
        drop(client);
        assert_eq!(wait(&fd, Wanted::Input, Duration::from_secs(5)), Waited::Ready);
        assert!(is_closed_by_peer(&fd));
    }

    #[test]
    fn sends_a_file_from_an_offset() {
        use std::io::Read;
        use std::os::unix::net::UnixStream;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let (left, mut right) = UnixStream::pair().unwrap();
        let mut offset = 4;
        assert!(matches!(send_file(&left, &file, &mut offset, 3), Io::Done(3)));
        assert_eq!(offset, 7);
        drop(left);
        let mut text = String::new();
        right.read_to_string(&mut text).unwrap();
        assert_eq!(text, "456");
    }
}
