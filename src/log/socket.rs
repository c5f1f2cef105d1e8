//! A socket that log messages are sent to: it never blocks, drops what its receiver has no room for,
//! and is connected again when the receiver has been restarted.
//!
//! The number of its descriptor never changes, so that sending takes no lock, which a fork could leave
//! locked in the child.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::datagram::{self, Kind, Sent};
use crate::sys::fd::redirect;
use crate::sys::socket::is_closed_by_peer;
use crate::sys::time::monotonic_ns;

/// How long a TCP connection may take at the start of the server.
const PATIENCE: Duration = Duration::from_secs(5);
/// A TCP connection that is gone is made anew at most once in so many nanoseconds.
const PAUSE: u64 = 1_000_000_000;

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The path of a socket and the kinds that are tried on it.
    Unix(PathBuf, &'static [Kind]),
    Udp(SocketAddr),
    Tcp(SocketAddr),
}

#[derive(Debug)]
pub struct Socket {
    place: Place,
    fd: OwnedFd,
    /// Not before this time of the monotonic clock a TCP connection is made again.
    pause: AtomicU64,
}

impl Socket {
    /// Nobody needs to listen at a unix socket yet.
    ///
    /// # Errors
    /// The system has no socket, or there is no TCP connection.
    pub fn open(place: Place) -> io::Result<Self> {
        let fd = match &place {
            Place::Unix(path, kinds) => unix(path, kinds).or_else(|_| datagram::unconnected())?,
            Place::Udp(address) => datagram::udp(address)?,
            Place::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nonblocking(true)?;
                stream.into()
            }
        };
        Ok(Self { place, fd, pause: AtomicU64::new(0) })
    }

    /// Sends one message, if that can be done without waiting.
    pub fn send(&self, message: &[u8]) -> Sent {
        self.attempt(|fd, address| datagram::send(fd, address, message))
    }

    /// Sends several datagrams at once.
    pub fn send_each<const N: usize>(&self, messages: [&[u8]; N]) -> Sent {
        self.attempt(|fd, address| datagram::send_each(fd, address, messages))
    }

    fn attempt(&self, send: impl Fn(&OwnedFd, Option<&SocketAddr>) -> Sent) -> Sent {
        let address = match &self.place {
            Place::Udp(address) => Some(address),
            Place::Unix(..) | Place::Tcp(_) => None,
        };
        // What is written to a TCP connection that was closed is lost without an error.
        let gone = matches!(self.place, Place::Tcp(_)) && is_closed_by_peer(&self.fd);
        let outcome = if gone { Sent::Broken } else { send(&self.fd, address) };
        match outcome {
            Sent::Broken if self.connect() => send(&self.fd, address),
            // The rest would have to wait: better a new connection than a message cut in two.
            Sent::Partly => {
                self.connect();
                outcome
            }
            _ => outcome,
        }
    }

    /// Makes a new connection, if there is such a thing.
    fn connect(&self) -> bool {
        let made = match &self.place {
            Place::Udp(_) => return false,
            Place::Unix(path, kinds) => unix(path, kinds),
            Place::Tcp(address) => {
                let now = monotonic_ns();
                if now < self.pause.load(Ordering::Relaxed) {
                    return false;
                }
                self.pause.store(now.saturating_add(PAUSE), Ordering::Relaxed);
                datagram::begin_tcp(address)
            }
        };
        made.is_ok_and(|made| redirect(self.fd.as_fd(), made.as_fd()).is_ok())
    }
}

fn unix(path: &Path, kinds: &[Kind]) -> io::Result<OwnedFd> {
    let mut failure = io::Error::from(io::ErrorKind::NotConnected);
    for kind in kinds {
        match datagram::unix(path, *kind) {
            Ok(fd) => return Ok(fd),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::time::Duration;

    use super::{Place, Sent, Socket};
    use crate::sys::datagram::Kind;

    const BOTH: &[Kind] = &[Kind::Datagram, Kind::Stream];

    fn text(receiver: &UnixDatagram) -> String {
        let mut buffer = [0; 100];
        let count = receiver.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn a_receiver_may_come_late_and_be_restarted_as_something_else() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let socket = Socket::open(Place::Unix(path.clone(), BOTH)).unwrap();
        let number = socket.fd.as_raw_fd();
        assert_eq!(socket.send(b"lost"), Sent::Broken);
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(socket.send(b"one"), Sent::Whole);
        assert_eq!(text(&receiver), "one");
        drop(receiver);
        assert_eq!(socket.send(b"lost"), Sent::Broken);
        fs::remove_file(&path).unwrap();
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(socket.send_each([b"two", b"three"]), Sent::Whole);
        assert_eq!(text(&receiver) + &text(&receiver), "twothree");
        fs::remove_file(&path).unwrap();
        drop(receiver);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(socket.send(b"four"), Sent::Whole);
        let mut stream = listener.accept().unwrap().0;
        let mut four = [0; 4];
        stream.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"four");
        assert_eq!(socket.fd.as_raw_fd(), number);
    }

    #[test]
    fn a_stream_that_stalls_costs_its_connection() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let listener = UnixListener::bind(&path).unwrap();
        let socket = Socket::open(Place::Unix(path, &[Kind::Stream])).unwrap();
        let _stalled = listener.accept().unwrap();
        assert_eq!(socket.send(&vec![b'x'; 64 << 20]), Sent::Partly);
        assert_eq!(socket.send(b"next"), Sent::Whole);
        let mut next = [0; 4];
        listener.accept().unwrap().0.read_exact(&mut next).unwrap();
        assert_eq!(&next, b"next");
    }

    #[test]
    fn a_tcp_receiver_is_needed_at_the_start_and_found_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket::open(Place::Tcp(address)).unwrap();
        drop(listener.accept().unwrap());
        let closed = std::iter::repeat_with(|| socket.send(b"again"))
            .take(1000)
            .inspect(|_| std::thread::sleep(Duration::from_millis(1)))
            .find(|sent| *sent == Sent::Whole);
        assert_eq!(closed, Some(Sent::Whole));
        let mut again = [0; 5];
        listener.accept().unwrap().0.read_exact(&mut again).unwrap();
        assert_eq!(&again, b"again");
        drop(listener);
        assert!(Socket::open(Place::Tcp(address)).is_err());
    }
}
