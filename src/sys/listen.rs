//! `listen(2)`, and taking over a descriptor that was open when the program started.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// Takes a descriptor that this process got from its parent, and makes it close-on-exec.
///
/// Every descriptor that this program or the interpreter opens is close-on-exec from the start. One
/// that is not has come through `exec`, so nothing in this process owns it yet, and after this call
/// it cannot be taken a second time.
///
/// # Errors
/// `EBADF`: it is not open. `EBUSY`: it was not passed in, or has been taken before.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: asks for the flags of a number, whatever it is; no memory is involved.
    let flags = Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(Errno::EBUSY.into());
    }
    // SAFETY: as above.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and by the reasoning above nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Marks a socket as listening. The kernel cuts `backlog` to `net.core.somaxconn`.
///
/// # Errors
/// As `listen(2)`.
pub fn listen(socket: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    // SAFETY: an open descriptor and a number.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::{AsRawFd, IntoRawFd};

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::adopt;

    #[test]
    fn only_what_came_through_exec_is_taken_and_only_once() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
        let busy = adopt(socket.as_raw_fd()).expect_err("opened by this process");
        assert_eq!(busy.raw_os_error(), Some(Errno::EBUSY as i32));

        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("clear close-on-exec");
        let number = socket.into_raw_fd();
        let taken = adopt(number).expect("adopt");
        let again = adopt(number).expect_err("taken");
        assert_eq!(again.raw_os_error(), Some(Errno::EBUSY as i32));
        drop(taken);
        assert!(adopt(-1).is_err());
    }
}
