//! `listen(2)`, and taking over a descriptor that was open when the program started.

use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::fd::{duplicate, redirect};

/// Takes a descriptor that this process got from its parent, and makes it close-on-exec.
///
/// Every descriptor that this program or the interpreter opens is close-on-exec from the start. One
/// that is not has come through `exec`, so nothing in this process owns it yet, and after this call
/// it cannot be taken a second time.
///
/// A standard stream is the standard library's, which goes on using its number: of that one the result
/// is a duplicate, and [`let_go`] is due when it is what it should be.
///
/// # Errors
/// `EBADF`: it is not open. `EBUSY`: it was not passed in, or has been taken before.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: asks for the flags of a number, whatever it is; no memory is involved.
    let flags = Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(Errno::EBUSY.into());
    }
    if fd <= libc::STDERR_FILENO {
        return duplicate(fd).map(OwnedFd::from);
    }
    // SAFETY: as above.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and by the reasoning above nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has a standard stream that was adopted lead nowhere, so that it does not keep the socket open. Others
/// need nothing.
///
/// # Errors
/// /dev/null cannot be opened.
pub fn let_go(fd: RawFd) -> io::Result<()> {
    let null = || File::options().read(true).write(true).open("/dev/null");
    match fd {
        libc::STDIN_FILENO => redirect(io::stdin().as_fd(), null()?.as_fd()),
        libc::STDOUT_FILENO => redirect(io::stdout().as_fd(), null()?.as_fd()),
        libc::STDERR_FILENO => redirect(io::stderr().as_fd(), null()?.as_fd()),
        _ => Ok(()),
    }
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

/// How many connections of a listening TCP socket wait to be accepted; `None` for other sockets.
pub fn waiting(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the pointers are to live locals and `len` is the size of the first; zeros are a valid value
    // of its integers, which the kernel overwrites in part.
    let info = unsafe {
        let fd = socket.as_raw_fd();
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        Errno::result(libc::getsockopt(fd, level, name, info.as_mut_ptr().cast(), &raw mut len))
            .ok()?;
        info.assume_init()
    };
    // For a listening socket the kernel puts the length of its queue there.
    Some(info.tcpi_unacked)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixListener;

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::*;

    #[test]
    fn connections_that_wait_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        assert_eq!(waiting(listener.as_fd()), Some(0));
        let address = listener.local_addr().expect("address");
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).expect("room")).collect();
        assert_eq!(waiting(listener.as_fd()), Some(3));
        let place = tempfile::tempdir().expect("tempdir");
        let unix = UnixListener::bind(place.path().join("s")).expect("bind");
        assert_eq!(waiting(unix.as_fd()), None);
    }

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
