//! Why an address could not be had: for the log, and for the user.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::Owner;
use crate::net::address::Address;
use crate::sys::resolve;

#[derive(Debug)]
pub enum Failure {
    Os(Errno),
    /// The host name could not be resolved, for this reason.
    Name(String),
    /// The path or descriptor is something else than a stream socket.
    NotASocket,
    /// The socket file cannot be given to its owner and group, for this reason.
    NotGiven(Errno, Owner),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Os(errno(&error))
    }
}

pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

impl Failure {
    /// Whether another attempt may succeed although nobody changes the configuration.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Os(Errno::EADDRINUSE | Errno::EADDRNOTAVAIL) | Self::Name(_))
    }

    /// What the system said.
    pub fn reason(&self) -> &str {
        match self {
            Self::Os(errno) | Self::NotGiven(errno, _) => errno.desc(),
            Self::Name(reason) => reason,
            Self::NotASocket => "not a socket",
        }
    }

    /// The lines gunicorn writes after a failed attempt.
    pub fn log(&self, address: &Address) {
        match self {
            Self::Os(errno) => {
                match errno {
                    Errno::EADDRINUSE => tracing::error!("Connection in use: {address}"),
                    Errno::EADDRNOTAVAIL => tracing::error!("Invalid address: {address}"),
                    _ => {}
                }
                let number = *errno as i32;
                tracing::error!(
                    "connection to {address} failed: [Errno {number}] {}",
                    errno.desc()
                );
            }
            Self::Name(reason) => {
                let number = resolve::error_number(reason);
                let number = number.map(|number| format!("[Errno {number}] ")).unwrap_or_default();
                tracing::error!("connection to {address} failed: {number}{reason}");
            }
            Self::NotASocket => tracing::error!("connection to {address} failed: not a socket"),
            Self::NotGiven(errno, _) => {
                let (number, reason) = (*errno as i32, errno.desc());
                tracing::error!("connection to {address} failed: [Errno {number}] {reason}");
            }
        }
    }

    /// The sentence for the user: what is wrong and what to do.
    pub fn explain(&self, address: &Address) -> String {
        match (address, self) {
            (Address::Tcp { host, port }, _) => {
                let place = if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                };
                format!("Cannot listen on {place}: {}", self.explain_tcp(host, *port))
            }
            (Address::Unix(path), Self::NotASocket) => format!(
                "'{}' is not a socket: remove that file or choose another path with --bind.",
                path.display()
            ),
            (Address::Unix(path), _) => {
                format!("Cannot listen on unix:{}: {}", path.display(), self.explain_unix(path))
            }
            (Address::Abstract(name), _) => {
                format!("Cannot listen on unix:@{name}: {}", self.explain_abstract())
            }
            (Address::Fd(fd), _) => format!("Cannot listen on fd://{fd}: {}", self.explain_fd()),
        }
    }

    fn explain_tcp(&self, host: &str, port: u16) -> String {
        match self {
            Self::Os(Errno::EADDRINUSE) => format!(
                "the port is in use. Stop the process that holds it (`ss -ltnp 'sport = :{port}'` \
                 shows it) or choose another port with --bind."
            ),
            Self::Os(Errno::EADDRNOTAVAIL) => {
                "this machine has no such address. Use one of its own \
                 (`ip addr` shows them), or 0.0.0.0 for all."
                    .to_owned()
            }
            Self::Os(Errno::EACCES) if port < 1024 => {
                "no permission for a port below 1024. Choose a \
                 higher port, run as root, or grant the capability CAP_NET_BIND_SERVICE."
                    .to_owned()
            }
            Self::Os(Errno::EAFNOSUPPORT) if host.contains(':') => {
                "this machine has no IPv6. Use an IPv4 address.".to_owned()
            }
            Self::Name(reason) => {
                format!("the name '{host}' cannot be resolved ({reason}). Use an IP address.")
            }
            Self::Os(errno) | Self::NotGiven(errno, _) => format!("{}.", errno.desc()),
            Self::NotASocket => "not a socket.".to_owned(),
        }
    }

    fn explain_abstract(&self) -> String {
        match self {
            Self::Os(Errno::EADDRINUSE) => {
                "the name is in use. Stop the process that holds it (`ss -lx` shows it) or choose \
                 another name with --bind."
                    .to_owned()
            }
            Self::Os(Errno::ENAMETOOLONG | Errno::EINVAL) => {
                "the name is too long: the system allows 107 bytes. Choose a shorter one."
                    .to_owned()
            }
            Self::Os(errno) | Self::NotGiven(errno, _) => format!("{}.", errno.desc()),
            Self::Name(reason) => format!("{reason}."),
            Self::NotASocket => "not a socket.".to_owned(),
        }
    }

    fn explain_unix(&self, path: &Path) -> String {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = directory.display();
        match self {
            Self::Os(Errno::ENOENT | Errno::ENOTDIR) => {
                format!("the directory '{directory}' does not exist. Create it first.")
            }
            Self::Os(Errno::EACCES | Errno::EPERM) => {
                format!("no permission to create a file in '{directory}'.")
            }
            Self::Os(Errno::EROFS) => format!("'{directory}' is on a read-only file system."),
            Self::Os(Errno::ENAMETOOLONG | Errno::EINVAL) => {
                "the path is too long: the system allows 107 bytes. Choose a shorter one."
                    .to_owned()
            }
            Self::NotGiven(Errno::EPERM, Owner { uid, gid }) => format!(
                "no permission to give the socket to user {uid} and group {gid}. Start the server as \
                 root, or leave out 'user', 'group', 'socket_user' and 'socket_group'."
            ),
            Self::NotGiven(errno, Owner { uid, gid }) => format!(
                "the socket cannot be given to user {uid} and group {gid}: {}.",
                errno.desc()
            ),
            Self::Os(errno) => format!("{}.", errno.desc()),
            Self::Name(reason) => format!("{reason}."),
            Self::NotASocket => "not a socket.".to_owned(),
        }
    }

    fn explain_fd(&self) -> String {
        match self {
            Self::Os(Errno::EBADF) => {
                "the descriptor is not open. The process that starts this one \
                 must pass it on (systemd socket units and `exec` do)."
                    .to_owned()
            }
            Self::Os(Errno::EBUSY) => {
                "the descriptor was not passed in by the parent process, or it \
                 is in use already."
                    .to_owned()
            }
            Self::Os(Errno::ENOTSOCK) | Self::NotASocket => {
                "the descriptor is not a stream socket.".to_owned()
            }
            Self::Os(Errno::EAFNOSUPPORT) => {
                "the descriptor is not a TCP or unix socket.".to_owned()
            }
            Self::Os(errno) | Self::NotGiven(errno, _) => format!("{}.", errno.desc()),
            Self::Name(reason) => format!("{reason}."),
        }
    }
}
