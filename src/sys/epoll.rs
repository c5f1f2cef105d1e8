//! epoll(7), with the one thing mio lacks: `EPOLLEXCLUSIVE` for listeners shared by many workers.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::sys::epoll::{self as sys, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Readable, level-triggered.
    Read,
    /// Writable, level-triggered.
    Write,
    /// Readable, and of the processes that watch it as few as possible are woken (`epoll_ctl(2)`).
    SharedRead,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        match self {
            Self::Read => EpollFlags::EPOLLIN,
            Self::Write => EpollFlags::EPOLLOUT,
            Self::SharedRead => EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE,
        }
    }
}

/// An epoll instance, closed on exec.
pub struct Epoll(sys::Epoll);

impl Epoll {
    /// # Errors
    /// The error of `epoll_create1(2)`.
    pub fn new() -> io::Result<Self> {
        Ok(Self(sys::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Starts watching `fd`; its events carry `token`.
    ///
    /// # Errors
    /// The error of `epoll_ctl(2)`.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.0.add(fd, EpollEvent::new(interest.flags(), token))?)
    }

    /// Changes what an already watched `fd` is watched for.
    ///
    /// # Errors
    /// The error of `epoll_ctl(2)`.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.0.modify(fd, &mut EpollEvent::new(interest.flags(), token))?)
    }

    /// Stops watching `fd`.
    ///
    /// # Errors
    /// The error of `epoll_ctl(2)`.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(fd)?)
    }

    /// Waits for events, at most `timeout` (`None`: for ever); an interrupted wait is no event.
    ///
    /// # Errors
    /// The error of `epoll_wait(2)` other than `EINTR`.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<Wait> {
        let timeout = match timeout {
            None => EpollTimeout::NONE,
            Some(Duration::ZERO) => EpollTimeout::ZERO,
            // Rounded up, so that a deadline has passed when the wait ends.
            Some(duration) => {
                let millis = duration.as_nanos().div_ceil(1_000_000);
                EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
            }
        };
        events.len = 0;
        match self.0.wait(&mut events.buffer, timeout) {
            Ok(count) => {
                events.len = count;
                Ok(Wait::Events)
            }
            Err(nix::errno::Errno::EINTR) => Ok(Wait::Interrupted),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.0.as_raw_fd()
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// With zero or more events.
    Events,
    /// A signal handler ran.
    Interrupted,
}

/// Room for the events of one wait.
pub struct Events {
    buffer: Vec<EpollEvent>,
    len: usize,
}

impl Events {
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: vec![EpollEvent::empty(); capacity], len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is an event with this token.
    pub fn has(&self, token: u64) -> bool {
        (0..self.len).any(|index| self.token(index) == token)
    }

    /// The token of event `index`.
    pub fn token(&self, index: usize) -> u64 {
        self.buffer[index].data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn reports_the_token_of_a_readable_descriptor() {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(&reader, 7, Interest::Read).unwrap();
        let mut events = Events::with_capacity(4);
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.len(), 0);
        writer.write_all(b"x").unwrap();
        epoll.wait(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert_eq!((events.len(), events.token(0)), (1, 7));
        epoll.modify(&reader, 8, Interest::Write).unwrap();
        epoll.wait(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert_eq!((events.len(), events.token(0)), (1, 8));
        epoll.remove(&reader).unwrap();
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.len(), 0);
    }
}
