//! Changing what a descriptor stands for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Makes the number `target` stand for the open file of `source`, in one step: whoever writes to
/// `target` meanwhile reaches the old file or the new one (`dup3(2)`). The standard streams stay
/// open across `exec`, all others become close-on-exec.
///
/// # Errors
/// As `dup3(2)`; `target` is unchanged then.
pub fn redirect(target: BorrowedFd<'_>, source: BorrowedFd<'_>) -> io::Result<()> {
    let (target, source) = (target.as_raw_fd(), source.as_raw_fd());
    let flags = if target <= libc::STDERR_FILENO { 0 } else { libc::O_CLOEXEC };
    // SAFETY: both are open. The owner of `target` goes on owning it: only the file behind it changes,
    // as it may for any descriptor that is written to and reopened.
    Errno::result(unsafe { libc::dup3(source, target, flags) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use nix::fcntl::{FcntlArg, fcntl};

    use super::redirect;

    #[test]
    fn writes_reach_the_new_file() {
        let mut target = File::options().write(true).open("/dev/null").expect("open");
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        redirect(target.as_fd(), writer.as_fd()).expect("redirect");
        drop(writer);
        assert_eq!(fcntl(&target, FcntlArg::F_GETFD), Ok(libc::FD_CLOEXEC));
        target.write_all(b"x").expect("write");
        drop(target);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "x");
    }
}
