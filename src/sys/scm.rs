//! Messages that carry descriptors (`SCM_RIGHTS` of unix(7)).

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, getsockopt, sendmsg, setsockopt,
    socketpair, sockopt,
};

/// The most descriptors that a message is received with.
pub const MAX_DESCRIPTORS: usize = 3;

/// A connected pair of sockets that keep messages apart and in order, non-blocking and closed on exec.
///
/// # Errors
/// The error of socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// Makes room for `wanted` bytes that were sent and not received, or as much as the system grants
/// (`net.core.wmem_max`, unless the process may exceed it). Returns the limit by which the kernel
/// counts, which is its own memory, and twice what was asked for (socket(7)).
///
/// # Errors
/// The error of getsockopt(2).
pub fn raise_send_buffer(fd: impl AsFd, wanted: usize) -> io::Result<usize> {
    let fd = fd.as_fd();
    if setsockopt(&fd, sockopt::SndBufForce, &wanted).is_err() {
        // Capped without an error; if even this one fails, what the socket has will do.
        let _ = setsockopt(&fd, sockopt::SndBuf, &wanted);
    }
    Ok(getsockopt(&fd, sockopt::SndBuf)?)
}

/// How much of the send buffer is taken: `SIOCOUTQ` of unix(7). The kernel takes a message as long
/// as this is below the limit.
///
/// # Errors
/// The error of ioctl(2).
pub fn unreceived(fd: impl AsFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the request writes one int (`SIOCOUTQ` is the same number as `TIOCOUTQ`).
    Errno::result(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Sends one message of `parts` and `descriptors`, which the receiver gets duplicates of.
///
/// # Errors
/// The error of sendmsg(2); nothing was sent then.
pub fn send(
    fd: impl AsFd,
    parts: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut numbers: [RawFd; MAX_DESCRIPTORS] = [-1; MAX_DESCRIPTORS];
    let Some(numbers) = numbers.get_mut(..descriptors.len()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    for (number, descriptor) in numbers.iter_mut().zip(descriptors) {
        *number = descriptor.as_raw_fd();
    }
    let control = [ControlMessage::ScmRights(numbers)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    // A message is sent whole or not at all.
    sendmsg::<()>(fd.as_fd().as_raw_fd(), parts, &control, flags, None)?;
    Ok(())
}

/// A received message.
pub struct Message<'b> {
    pub bytes: &'b [u8],
    /// In the order in which they were sent; they are closed on exec.
    pub descriptors: Descriptors,
}

/// Filled from the front.
pub type Descriptors = [Option<OwnedFd>; MAX_DESCRIPTORS];

/// Bytes of the descriptors in a control message.
#[allow(clippy::cast_possible_truncation)] // It is 12.
const CONTROL_LEN: libc::c_uint = (MAX_DESCRIPTORS * size_of::<RawFd>()) as libc::c_uint;

// SAFETY: computes a length, no more.
const CONTROL_SPACE: usize = unsafe { libc::CMSG_SPACE(CONTROL_LEN) } as usize;

/// Room for one control message with descriptors.
#[repr(C)]
struct Control {
    /// For the alignment of what the kernel writes.
    header: [libc::cmsghdr; 0],
    bytes: [u8; CONTROL_SPACE],
}

/// Receives the next message into `buffer`; `None` if there is none.
///
/// (`nix::sys::socket::recvmsg` cannot be used: it gives no access to descriptors of a message of
/// which others were lost, so they would stay open for ever.)
///
/// # Errors
/// The error of recvmsg(2). The message was longer than `buffer`, or came with more descriptors than
/// there is room for here or in the process: it is gone then, and the descriptors are closed.
pub fn receive(fd: impl AsFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<Option<Message<'_>>> {
    let mut control = Control { header: [], bytes: [0; CONTROL_SPACE] };
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a `msghdr` of zeros is valid: it points nowhere.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control.bytes).cast();
    // Less than the aligned space, in which the kernel would find room for one more descriptor.
    // SAFETY: computes a length, no more.
    header.msg_controllen = unsafe { libc::CMSG_LEN(CONTROL_LEN) } as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to live locals and to `buffer`, with their lengths.
    let count = unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut header, flags) };
    let count = match Errno::result(count) {
        Ok(count) => count.unsigned_abs(),
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // SAFETY: recvmsg filled in the header and what it points to, which is as it was.
    let descriptors = unsafe { take_descriptors(&header) };
    if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        let what = if header.msg_flags & libc::MSG_TRUNC != 0 {
            "a message was longer than expected"
        } else {
            "descriptors of a message were lost"
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let bytes = buffer.get(..count).unwrap_or_default();
    // SAFETY: the kernel has written the first `count` bytes, which are borrowed as long as the
    // buffer is.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), bytes.len()) };
    Ok(Some(Message { bytes, descriptors }))
}

/// # Safety
/// `header` was filled in by a successful recvmsg(2) and not used for this before.
unsafe fn take_descriptors(header: &libc::msghdr) -> Descriptors {
    let mut descriptors = Descriptors::default();
    let mut free = descriptors.iter_mut();
    // SAFETY: the control messages are as the kernel has written them: the macros stay within their
    // space, and a message of descriptors holds open ones that nobody else owns. No reference to a
    // header is made, which would not reach to the data behind it.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if ((*message).cmsg_level, (*message).cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS)
            {
                let numbers = libc::CMSG_DATA(message).cast::<[u8; size_of::<RawFd>()]>();
                #[allow(clippy::unnecessary_cast)]
                let len = (*message).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..len / size_of::<RawFd>() {
                    let number = RawFd::from_ne_bytes(numbers.add(index).read());
                    let descriptor = OwnedFd::from_raw_fd(number);
                    if let Some(place) = free.next() {
                        *place = Some(descriptor);
                    }
                }
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    descriptors
}

/// An empty file in memory, closed on exec. `name` shows in `/proc/PID/fd`.
///
/// # Errors
/// The error of `memfd_create(2)`.
pub fn memory_file(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use nix::fcntl::{FcntlArg, fcntl};

    use super::*;
    use crate::sys::socket::{Io, Waited, Wanted, recv, wait};

    /// Waits for the end of the stream: the other end is closed everywhere.
    fn assert_closed(end: &UnixStream) {
        assert_eq!(wait(end, Wanted::Input, PATIENCE), Waited::Ready);
        assert!(matches!(recv(end, &mut [0]), Io::Done(0)));
    }

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

    fn receive_into(fd: &OwnedFd, size: usize) -> io::Result<Option<(Vec<u8>, Descriptors)>> {
        let mut buffer = vec![MaybeUninit::uninit(); size];
        let message = receive(fd, &mut buffer)?;
        Ok(message.map(|message| (message.bytes.to_vec(), message.descriptors)))
    }

    #[test]
    fn messages_keep_their_bounds_and_bring_their_descriptors() {
        let (receiving, sending) = pair().unwrap();
        assert!(receive_into(&receiving, 16).unwrap().is_none());
        let (near, mut far) = UnixStream::pair().unwrap();
        send(&sending, &[IoSlice::new(b"a"), IoSlice::new(b"bc")], &[near.as_fd()]).unwrap();
        send(&sending, &[IoSlice::new(b"d")], &[near.as_fd(), far.as_fd()]).unwrap();
        drop(near);
        let (bytes, [first, second, third]) = receive_into(&receiving, 16).unwrap().unwrap();
        assert_eq!(bytes, b"abc");
        assert!(second.is_none() && third.is_none());
        let first = first.unwrap();
        assert_eq!(fcntl(&first, FcntlArg::F_GETFD), Ok(libc::FD_CLOEXEC));
        assert!(matches!(crate::sys::socket::send(&first, b"x"), Io::Done(1)));
        let mut byte = [0];
        far.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        let (bytes, descriptors) = receive_into(&receiving, 16).unwrap().unwrap();
        assert_eq!((bytes.as_slice(), descriptors.iter().flatten().count()), (&b"d"[..], 2));
        drop((first, descriptors));
        assert_closed(&far);
    }

    #[test]
    fn a_message_that_is_too_long_is_lost_with_its_descriptors_and_the_next_is_not() {
        let (receiving, sending) = pair().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        send(&sending, &[IoSlice::new(b"12345")], &[near.as_fd()]).unwrap();
        send(&sending, &[IoSlice::new(b"1234")], &[]).unwrap();
        drop(near);
        let error = receive_into(&receiving, 4).unwrap_err();
        assert!(error.to_string().contains("longer"), "{error}");
        assert_closed(&far);
        let (bytes, descriptors) = receive_into(&receiving, 4).unwrap().unwrap();
        assert_eq!((bytes.as_slice(), descriptors.iter().flatten().count()), (&b"1234"[..], 0));
    }

    #[test]
    fn more_descriptors_than_expected_are_an_error_and_closed() {
        let (receiving, sending) = pair().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let numbers = [near.as_raw_fd(); MAX_DESCRIPTORS + 1];
        assert!(send(&sending, &[], &[near.as_fd(); MAX_DESCRIPTORS + 1]).is_err());
        let control = [ControlMessage::ScmRights(&numbers)];
        let bytes = [IoSlice::new(b"x")];
        sendmsg::<()>(sending.as_raw_fd(), &bytes, &control, MsgFlags::empty(), None).unwrap();
        drop(near);
        let error = receive_into(&receiving, 4).unwrap_err();
        assert!(error.to_string().contains("descriptors"), "{error}");
        assert_closed(&far);
    }

    #[test]
    fn the_send_buffer_grows_and_shows_what_is_in_it() {
        let (receiving, sending) = pair().unwrap();
        let before = getsockopt(&sending, sockopt::SndBuf).unwrap();
        let limit = raise_send_buffer(&sending, 1 << 20).unwrap();
        assert!(limit >= before, "{limit} after {before}");
        assert_eq!(unreceived(&sending).unwrap(), 0);
        send(&sending, &[IoSlice::new(&[0; 1000])], &[]).unwrap();
        assert!(unreceived(&sending).unwrap() >= 1000);
        receive_into(&receiving, 1000).unwrap().unwrap();
        assert_eq!(unreceived(&sending).unwrap(), 0);
    }
}
