//! One client connection as a stream of bytes. (TLS will be its second kind.)

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::process;
use crate::sys::socket::{self, Io};

/// An established, non-blocking connection.
#[derive(Debug)]
pub struct Stream(OwnedFd);

impl Stream {
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    pub fn recv(&self, buffer: &mut [u8]) -> Io {
        socket::recv(&self.0, buffer)
    }

    pub fn send(&self, bytes: &[u8]) -> Io {
        socket::send(&self.0, bytes)
    }

    pub fn send_vectored(&self, slices: &[IoSlice<'_>]) -> Io {
        socket::send_vectored(&self.0, slices)
    }

    /// Sends up to `count` bytes of `file` from `offset` on, which is moved accordingly.
    pub fn send_file(&self, file: impl AsFd, offset: &mut u64, count: usize) -> Io {
        socket::send_file(&self.0, file, offset, count)
    }

    /// Ends the sending half.
    pub fn shutdown_write(&self) {
        socket::shutdown_write(&self.0);
    }

    /// Waits for room in the send buffer, at most `timeout_ms`; `false` when none came.
    ///
    /// # Errors
    /// `EINTR`: a signal handler ran.
    pub fn wait_writable(&self, timeout_ms: u16) -> io::Result<bool> {
        socket::wait_writable(&self.0, timeout_ms)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A process that the application forked may still hold the connection.
        if process::shares_descriptors() {
            socket::shutdown_both(&self.0);
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
