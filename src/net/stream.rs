//! One client connection as a stream of bytes. (TLS will be its second kind.)

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::process;
use crate::sys::socket::{self, Io, Peer};

/// An established, non-blocking connection.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    /// The connection goes on elsewhere.
    released: AtomicBool,
}

impl Stream {
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, released: AtomicBool::new(false) }
    }

    pub fn recv(&self, buffer: &mut [u8]) -> Io {
        socket::recv(&self.fd, buffer)
    }

    /// Replaces the content of `buffer`, within its capacity.
    pub fn recv_anew(&self, buffer: &mut Vec<u8>) -> Io {
        socket::recv_anew(&self.fd, buffer)
    }

    pub fn send(&self, bytes: &[u8]) -> Io {
        socket::send(&self.fd, bytes)
    }

    /// Sends what the close of the connection follows at once.
    pub fn send_before_close(&self, bytes: &[u8]) -> Io {
        socket::send_more(&self.fd, bytes)
    }

    pub fn send_vectored(&self, slices: &[IoSlice<'_>]) -> Io {
        socket::send_vectored(&self.fd, slices)
    }

    /// Sends up to `count` bytes of `file` from `offset` on, which is moved accordingly.
    pub fn send_file(&self, file: impl AsFd, offset: &mut u64, count: usize) -> Io {
        socket::send_file(&self.fd, file, offset, count)
    }

    /// Ends the sending half.
    pub fn shutdown_write(&self) {
        socket::shutdown_write(&self.fd);
    }

    /// # Errors
    /// The error of fcntl(2).
    pub fn set_blocking(&self, blocking: bool) -> io::Result<()> {
        socket::set_blocking(&self.fd, blocking)
    }

    /// Whether the client has closed its side, or the connection is broken.
    pub fn is_closed_by_peer(&self) -> bool {
        socket::is_closed_by_peer(&self.fd)
    }

    pub fn peer(&self) -> Peer {
        socket::peer(&self.fd)
    }

    /// Whether bytes wait to be read.
    pub fn has_input(&self) -> bool {
        socket::has_input(&self.fd)
    }

    /// The connection goes on elsewhere: closing our descriptor must not end it.
    pub fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A process that the application forked may still hold the connection.
        if process::shares_descriptors() && !*self.released.get_mut() {
            socket::shutdown_both(&self.fd);
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
