//! Listening sockets: bound here or passed in.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind, getsockname,
    getsockopt, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, fchmod, umask};

use crate::error::Error;
use crate::net::address::Address;
use crate::sys::identity::give;
use crate::sys::listen::{adopt, let_go, listen, waiting};
use crate::sys::private::Private;

mod failure;

use failure::{Failure, errno};

const ATTEMPTS: u32 = 5;

/// How sockets are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The backlog of listen(2).
    pub backlog: u32,
    /// Whether other TCP sockets may listen at the same address (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// The permission bits of socket files.
    pub mode: u32,
    /// Whom socket files are given to; `None` leaves them to the process.
    pub owner: Option<Owner>,
}

impl Opening {
    /// With socket files that everybody may connect to, and that nobody is given.
    #[must_use]
    pub const fn with_backlog(backlog: u32) -> Self {
        Self { backlog, reuse_port: false, mode: 0o777, owner: None }
    }
}

/// The owner of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// What a listener's connections come over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Inet,
    Inet6,
    Unix,
}

/// A non-blocking, close-on-exec socket in the listening state.
///
/// Its `Display` text is the one of the log lines: `http://127.0.0.1:8000`, `http://[::1]:8000`,
/// `unix:/run/app.sock`.
#[derive(Debug)]
pub struct Listener {
    fd: Private,
    family: Family,
    text: String,
    /// `SERVER_NAME` of PEP 3333: the local IP address, or the path of a unix socket.
    pub server_name: String,
    /// `SERVER_PORT` of PEP 3333; empty for a unix socket.
    pub server_port: String,
    /// The socket file, if this process made it.
    file: Option<SocketFile>,
}

/// A socket file and what tells it from another one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
}

impl Listener {
    /// Opens all addresses, in order. If one of them is a passed descriptor, only the descriptors
    /// are used, as in gunicorn. What is in use or cannot be resolved is tried again for 4 seconds,
    /// with gunicorn's log lines.
    ///
    /// # Errors
    /// What is wrong with the first address that could not be had, and what to do about it. Nothing
    /// stays open then.
    pub fn bind_all(addresses: &[Address], opening: Opening) -> Result<Vec<Self>, Error> {
        bind_all_with(addresses, opening, &mut || std::thread::sleep(Duration::from_secs(1)))
    }

    /// Another TCP socket at the same address, which was opened with `reuse_port`.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn sibling(&self, backlog: u32) -> Result<Self, Error> {
        let opened = || {
            let address: SockaddrStorage = getsockname(self.fd.as_raw_fd())?;
            let fd = new_socket(address.family().unwrap_or(AddressFamily::Inet))?;
            setsockopt(&fd, sockopt::ReuseAddr, &true)?;
            setsockopt(&fd, sockopt::ReusePort, &true)?;
            bind(fd.as_raw_fd(), &address)?;
            Self::finish(fd, None, backlog)
        };
        opened().map_err(|failure| {
            Error::config(format!(
                "there is no other socket at {}: {}",
                self.text,
                failure.reason()
            ))
        })
    }

    /// Takes over a socket that another master has opened, and its socket file with it.
    ///
    /// # Errors
    /// It is no such socket; a sentence for the user.
    pub fn take_over(number: RawFd, backlog: u32) -> Result<Self, Error> {
        let mut listener = Self::passed(number, backlog)
            .map_err(|failure| Error::config(failure.explain(&Address::Fd(number))))?;
        if let Address::Unix(path) = listener.address()
            && let Ok(path) = std::path::absolute(path)
            && let Ok(found) = fs::symlink_metadata(&path)
            && found.file_type().is_socket()
        {
            listener.file = Some(SocketFile { path, device: found.dev(), inode: found.ino() });
        }
        Ok(listener)
    }

    /// Takes over a socket that another program had in this process, and the file it had made.
    ///
    /// # Errors
    /// It is no such socket; a sentence for the user.
    pub fn adopt(fd: OwnedFd, file: Option<SocketFile>) -> Result<Self, Error> {
        let number = fd.as_raw_fd();
        // It listens already.
        Self::finish(fd, file, 1)
            .map_err(|failure| Error::config(failure.explain(&Address::Fd(number))))
    }

    /// The socket file, if this process made it.
    #[must_use]
    pub fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// What it listens at.
    #[must_use]
    pub fn address(&self) -> Address {
        match self.server_port.parse() {
            Ok(port) => Address::Tcp { host: self.server_name.clone(), port },
            Err(_) => Address::Unix(PathBuf::from(&self.server_name)),
        }
    }

    #[must_use]
    pub fn is_unix(&self) -> bool {
        self.family == Family::Unix
    }

    /// How many connections wait to be accepted, where that can be told.
    #[must_use]
    pub fn waiting(&self) -> Option<u32> {
        waiting(self.fd.as_fd())
    }

    /// Whether somebody has removed the socket file that this process made.
    #[must_use]
    pub fn has_lost_its_file(&self) -> bool {
        let gone = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        self.file.as_ref().is_some_and(|file| fs::symlink_metadata(&file.path).is_err_and(gone))
    }

    /// Removes the socket file, if this process made it and nobody has replaced it since.
    pub fn unlink(&self) {
        if let Some(file) = &self.file
            && let Ok(found) = fs::symlink_metadata(&file.path)
            && (found.dev(), found.ino()) == (file.device, file.inode)
        {
            // If it cannot be removed, the next start replaces it.
            let _ = fs::remove_file(&file.path);
        }
    }

    fn open(address: &Address, opening: Opening) -> Result<Self, Failure> {
        match address {
            Address::Tcp { host, port } => Self::tcp(&resolve(host, *port)?, opening),
            Address::Unix(path) => Self::unix(path, opening),
            Address::Abstract(name) => Self::unix_abstract(name, opening.backlog),
            Address::Fd(fd) => Self::passed(*fd, opening.backlog),
        }
    }

    fn tcp(address: &SocketAddr, opening: Opening) -> Result<Self, Failure> {
        let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let fd = new_socket(family)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        if opening.reuse_port {
            setsockopt(&fd, sockopt::ReusePort, &true)?;
        }
        bind(fd.as_raw_fd(), &SockaddrStorage::from(*address))?;
        Self::finish(fd, None, opening.backlog)
    }

    fn unix(path: &Path, opening: Opening) -> Result<Self, Failure> {
        let address = UnixAddr::new(path)?;
        // Remembered as an absolute path: the directory may change before `unlink`.
        let path = std::path::absolute(path)?;
        match fs::metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => return Err(Failure::NotASocket),
            Ok(_) => fs::remove_file(&path)?,
            // bind(2) says better what is wrong.
            Err(_) => {}
        }
        let fd = new_socket(AddressFamily::Unix)?;
        bind_file(&fd, &address, opening.mode)?;
        let made = fs::symlink_metadata(&path)?;
        // Nobody can connect before the socket listens.
        if let Some(owner) = opening.owner
            && let Err(error) = give(&path, owner.uid, owner.gid)
        {
            // It is of no use; if it stays, the next start replaces it.
            let _ = fs::remove_file(&path);
            return Err(Failure::NotGiven(errno(&error), owner));
        }
        let file = SocketFile { path, device: made.dev(), inode: made.ino() };
        Self::finish(fd, Some(file), opening.backlog)
    }

    fn unix_abstract(name: &str, backlog: u32) -> Result<Self, Failure> {
        let fd = new_socket(AddressFamily::Unix)?;
        bind(fd.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Self::finish(fd, None, backlog)
    }

    fn passed(number: RawFd, backlog: u32) -> Result<Self, Failure> {
        let fd = adopt(number)?;
        if getsockopt(&fd, sockopt::SockType)? != SockType::Stream {
            return Err(Failure::NotASocket);
        }
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let listener = Self::finish(fd, None, backlog)?;
        let_go(number)?;
        Ok(listener)
    }

    /// What bound and passed sockets have in common.
    fn finish(fd: OwnedFd, file: Option<SocketFile>, backlog: u32) -> Result<Self, Failure> {
        let address: SockaddrStorage = getsockname(fd.as_raw_fd())?;
        let (family, text, server_name, server_port);
        if let Some(v4) = address.as_sockaddr_in() {
            family = Family::Inet;
            (server_name, server_port) = (v4.ip().to_string(), v4.port().to_string());
            text = format!("http://{server_name}:{server_port}");
        } else if let Some(v6) = address.as_sockaddr_in6() {
            family = Family::Inet6;
            (server_name, server_port) = (v6.ip().to_string(), v6.port().to_string());
            text = format!("http://[{server_name}]:{server_port}");
        } else if address.family() == Some(AddressFamily::Unix) {
            family = Family::Unix;
            let unix = address.as_unix_addr();
            server_name =
                match (unix.and_then(UnixAddr::path), unix.and_then(UnixAddr::as_abstract)) {
                    (Some(path), _) => path.display().to_string(),
                    (None, Some(name)) => format!("@{}", String::from_utf8_lossy(name)),
                    (None, None) => String::new(),
                };
            server_port = String::new();
            text = format!("unix:{server_name}");
        } else {
            return Err(Failure::Os(Errno::EAFNOSUPPORT));
        }
        if family != Family::Unix {
            // Accepted connections inherit it.
            setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
        }
        if !getsockopt(&fd, sockopt::AcceptConn)? {
            listen(fd.as_fd(), backlog)?;
        }
        Ok(Self { fd: fd.into(), family, text, server_name, server_port, file })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Listener {
    /// Its `Display` text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `bind_all` with the pause between two attempts as a parameter.
fn bind_all_with(
    addresses: &[Address],
    opening: Opening,
    pause: &mut dyn FnMut(),
) -> Result<Vec<Listener>, Error> {
    let passed = addresses.iter().any(|address| matches!(address, Address::Fd(_)));
    let mut used: Vec<&Address> = Vec::with_capacity(addresses.len());
    for address in addresses {
        let textual = !matches!(address, Address::Fd(_));
        // A descriptor may be announced by LISTEN_FDS and named by fd:// as well.
        if !(passed && (textual || used.contains(&address))) {
            used.push(address);
        }
    }
    let mut listeners: Vec<Listener> = Vec::with_capacity(used.len());
    for address in used {
        match bind_with(address, opening, pause) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                listeners.iter().for_each(Listener::unlink);
                return Err(error);
            }
        }
    }
    Ok(listeners)
}

fn bind_with(
    address: &Address,
    opening: Opening,
    pause: &mut dyn FnMut(),
) -> Result<Listener, Error> {
    let mut attempt = 1;
    loop {
        let failure = match Listener::open(address, opening) {
            Ok(listener) => return Ok(listener),
            Err(failure) => failure,
        };
        failure.log(address);
        if !failure.may_pass() || attempt == ATTEMPTS {
            tracing::error!("Can't connect to {address}");
            return Err(Error::config(failure.explain(address)));
        }
        tracing::debug!("Retrying in 1 second.");
        pause();
        attempt += 1;
    }
}

/// Binds a socket whose file gets these permission bits: on Linux it takes them from the socket, without
/// those of the process's umask.
fn bind_file(fd: &OwnedFd, address: &UnixAddr, mode: u32) -> nix::Result<()> {
    /// The mask belongs to the process: two of these must not interleave.
    static MASK: Mutex<()> = Mutex::new(());
    fchmod(fd, Mode::from_bits_truncate(mode))?;
    let _held = MASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask(Mode::empty());
    let bound = bind(fd.as_raw_fd(), address);
    umask(before);
    bound
}

fn new_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)
}

/// The one address to listen at. A name that has IPv4 addresses stands for the first of them, as in
/// gunicorn.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let found: Vec<SocketAddr> =
        (host, port).to_socket_addrs().map_err(|error| Failure::Name(reason(&error)))?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| Failure::Name("the name has no address".to_owned()))
}

/// The resolver's own words, without the standard library's introduction.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(": ").map_or(text.as_str(), |(_, reason)| reason).to_owned()
}

#[cfg(test)]
mod tests;
