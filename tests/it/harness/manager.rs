//! A stand-in for the service manager: the socket that `NOTIFY_SOCKET` names.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt};
use nix::unistd::close;

use super::wait::BOUND;

/// Gets what the service tells, with the process that tells it.
pub struct Manager {
    socket: UnixDatagram,
}

/// One message.
#[derive(Debug)]
pub struct Told {
    /// Who, as the kernel says.
    pub pid: i32,
    /// `NAME=VALUE` lines.
    pub text: String,
}

impl Told {
    /// The value behind `NAME=`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.text
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl Manager {
    /// Listens at a path.
    pub fn at(path: &Path) -> Self {
        Self::new(UnixDatagram::bind(path).expect("the socket can be made"))
    }

    /// Listens under an abstract name, without the `@`.
    pub fn named(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        Self::new(UnixDatagram::bind_addr(&address).expect("the name is free"))
    }

    fn new(socket: UnixDatagram) -> Self {
        setsockopt(&socket, sockopt::PassCred, &true).expect("the kernel tells who sends");
        socket.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
        Self { socket }
    }

    /// The next message, for which it waits.
    #[track_caller]
    pub fn next(&self) -> Told {
        self.read(MsgFlags::empty()).expect("the service tells something in time")
    }

    /// What was told until now.
    pub fn so_far(&self) -> Vec<Told> {
        std::iter::from_fn(|| self.read(MsgFlags::MSG_DONTWAIT)).collect()
    }

    fn read(&self, flags: MsgFlags) -> Option<Told> {
        let mut buffer = [0; 2048];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials, [RawFd; 1]);
        let message =
            recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags)
                .ok()?;
        let mut pid = None;
        for control in message.cmsgs().ok()? {
            match control {
                ControlMessageOwned::ScmCredentials(who) => pid = Some(who.pid()),
                // Somebody waits until it is closed.
                ControlMessageOwned::ScmRights(passed) => {
                    for fd in passed {
                        close(fd).expect("it was just received");
                    }
                }
                _ => {}
            }
        }
        let count = message.bytes;
        Some(Told { pid: pid?, text: String::from_utf8_lossy(&buffer[..count]).into_owned() })
    }
}
