//! Descriptors by number: duplicating one, changing what one stands for.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{self, FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::Mode;

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

/// A duplicate of descriptor `number`, closed on exec: `F_DUPFD_CLOEXEC` of fcntl(2). It never takes the
/// place of a standard stream that is closed.
///
/// # Errors
/// `EBADF` if there is no such descriptor, `EMFILE` if there is no room for another.
pub fn duplicate(number: RawFd) -> io::Result<File> {
    // SAFETY: fcntl reports a bad descriptor as an error; nothing is read or written through it.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else owns it.
    Ok(unsafe { File::from_raw_fd(copy) })
}

/// Has the descriptor stay open across `exec`.
///
/// # Errors
/// None that a caller could do anything about.
pub fn keep_across_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = FdFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFD)?);
    fcntl(fd, FcntlArg::F_SETFD(flags - FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Makes the numbers from `first` on stand for the open files of `sources`, in order, and keep them
/// across `exec`. Whatever the numbers stood for before is closed behind its owner's back: only for a
/// process that does nothing more than `exec`.
///
/// # Errors
/// `EMFILE` when there are not so many numbers.
pub fn place_for_exec(sources: &[BorrowedFd<'_>], first: RawFd) -> io::Result<()> {
    let count = RawFd::try_from(sources.len()).map_err(|_| Errno::EMFILE)?;
    // Out of the way, since a number may be that of another source.
    let copies = sources.iter().map(|source| {
        // SAFETY: the source is open; the copy is owned by nobody and goes with `exec`.
        Errno::result(unsafe {
            libc::fcntl(source.as_raw_fd(), libc::F_DUPFD_CLOEXEC, first + count)
        })
    });
    for (copy, number) in copies.collect::<Result<Vec<_>, _>>()?.into_iter().zip(first..) {
        // SAFETY: as the documentation demands, nothing of this process uses the number again.
        Errno::result(unsafe { libc::dup2(copy, number) })?;
    }
    Ok(())
}

/// Has all descriptors that are open now closed at `exec`, but for the standard streams and those in `kept`:
/// also what the libraries of an application have left open to whatever program comes next.
///
/// # Errors
/// They cannot be listed (proc(5)).
pub fn close_others_at_exec(kept: &[RawFd]) -> io::Result<()> {
    for number in open()? {
        if number > libc::STDERR_FILENO && !kept.contains(&number) {
            // SAFETY: plain numbers; one that is not open any more is reported as an error.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// The descriptors that stay open at `exec`, the standard streams not among them: at the start of a program,
/// those that it was given.
///
/// # Errors
/// They cannot be listed (proc(5)).
pub fn open_across_exec() -> io::Result<Vec<RawFd>> {
    let stays = |number: &RawFd| {
        // SAFETY: as above.
        let flags = unsafe { libc::fcntl(*number, libc::F_GETFD) };
        *number > libc::STDERR_FILENO && flags >= 0 && flags & libc::FD_CLOEXEC == 0
    };
    Ok(open()?.into_iter().filter(stays).collect())
}

fn open() -> io::Result<Vec<RawFd>> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Opens /dev/null in the place of standard streams that are closed, so that nothing else gets their numbers. A
/// program in Rust begins with that, one in Python does not.
///
/// # Errors
/// There is no /dev/null.
pub fn fill_standard_streams() -> io::Result<()> {
    for number in 0..=libc::STDERR_FILENO {
        // SAFETY: fcntl reports a number that is not open as an error.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            // The lowest number that is free, which is this one. It stays for the life of the process, and of
            // programs that it starts.
            let null = fcntl::open("/dev/null", OFlag::O_RDWR, Mode::empty())?;
            let _ = null.into_raw_fd();
        }
    }
    Ok(())
}

/// Raises the limit of open descriptors to the most the process may have (`RLIMIT_NOFILE`).
///
/// # Errors
/// The error of setrlimit(2).
pub fn raise_limit() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// Makes sure that the process can open `N` descriptors more. `any` is one that is open.
///
/// # Errors
/// `EMFILE` if it cannot.
pub fn ensure_room<const N: usize>(any: impl AsFd) -> io::Result<()> {
    if has_room_at_the_top::<N>() {
        return Ok(());
    }
    // Those at the top are in use, which says nothing about those below. All `N` are open together.
    for copy in [(); N].map(|()| any.as_fd().try_clone_to_owned()) {
        // A limit below 4, or a lack of memory for the table, comes to the same.
        copy.map_err(|_| Errno::EMFILE)?;
    }
    Ok(())
}

/// Whether the last `N` numbers below the limit stand for nothing. Numbers are given out from
/// the lowest on, so this is so unless the process has, or had, nearly as many as it may; and asking
/// is one system call: poll(2) knows numbers that are not open.
fn has_room_at_the_top<const N: usize>() -> bool {
    let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return false };
    let Ok(mut number) = RawFd::try_from(limit) else { return false };
    let mut fds = [(); N].map(|()| {
        number -= 1;
        libc::pollfd { fd: number, events: 0, revents: 0 }
    });
    // SAFETY: the pointer is to so many live elements.
    let count = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, 0) };
    count >= 0 && fds.iter().all(|fd| fd.revents & libc::POLLNVAL != 0)
}

/// How many characters fit into a line of a terminal. None if this is none, or one that does not know.
pub fn columns(fd: impl AsFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes a winsize where the argument points to, which is one, and keeps nothing.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(result).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, AsRawFd};

    use nix::fcntl::{FcntlArg, fcntl};

    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    use super::{
        close_others_at_exec, columns, duplicate, ensure_room, has_room_at_the_top,
        keep_across_exec, open_across_exec, place_for_exec, raise_limit, redirect,
    };
    use crate::sys::testing::alone;

    #[test]
    fn only_terminals_have_a_width() {
        assert_eq!(columns(File::open("/dev/null").expect("open")), None);
        assert_eq!(columns(std::io::pipe().expect("pipe").0), None);
    }

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

    #[test]
    fn the_limit_ends_up_as_high_as_it_may_be() {
        raise_limit().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }

    #[test]
    fn a_duplicate_is_another_descriptor_of_the_same_file() {
        let file = tempfile::tempfile().unwrap();
        let copy = duplicate(file.as_raw_fd()).unwrap();
        assert_ne!(copy.as_raw_fd(), file.as_raw_fd());
        copy.set_len(5).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 5);
        assert!(duplicate(-1).is_err());
    }

    #[test]
    fn a_duplicate_is_no_standard_stream() {
        alone("sys::fd::tests::a_duplicate_is_no_standard_stream", || {
            let file = tempfile::tempfile().unwrap();
            nix::unistd::close(libc::STDIN_FILENO).unwrap();
            assert!(duplicate(file.as_raw_fd()).unwrap().as_raw_fd() > libc::STDERR_FILENO);
        });
    }

    #[test]
    fn descriptors_pass_through_exec_at_the_numbers_wanted() {
        alone("sys::fd::tests::descriptors_pass_through_exec_at_the_numbers_wanted", || {
            let mut files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
            files[0].write_all(b"a").unwrap();
            files[1].write_all(b"bc").unwrap();
            let first = files[0].as_raw_fd();
            // In the other order, so that each is in the way of the other.
            place_for_exec(&[files[1].as_fd(), files[0].as_fd()], first).unwrap();
            let lens = [first, first + 1].map(|number| duplicate(number).unwrap().metadata());
            assert_eq!(lens.map(|found| found.unwrap().len()), [2, 1]);
            let output = std::process::Command::new("ls").arg("/proc/self/fd").output().unwrap();
            let open = String::from_utf8(output.stdout).unwrap();
            let is_open = |number: i32| open.lines().any(|line| line == number.to_string());
            assert!(is_open(first) && is_open(first + 1), "{open}");
            let other = tempfile::tempfile().unwrap();
            assert!(!is_open(other.as_raw_fd()));
            keep_across_exec(other.as_fd()).unwrap();
            let flags = fcntl(&other, FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags & libc::FD_CLOEXEC, 0);
            let passed = open_across_exec().unwrap();
            assert!(passed.contains(&first) && passed.contains(&other.as_raw_fd()));
            close_others_at_exec(&[first]).unwrap();
            let passed = open_across_exec().unwrap();
            assert!(passed.contains(&first) && !passed.contains(&other.as_raw_fd()));
        });
    }

    #[test]
    fn room_is_what_can_be_opened() {
        alone("sys::fd::tests::room_is_what_can_be_opened", || {
            let file = tempfile::tempfile().unwrap();
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
            assert!(has_room_at_the_top::<3>());
            let mut copies = Vec::new();
            while let Ok(copy) = file.try_clone() {
                copies.push(copy);
            }
            // One at the top and two at the bottom.
            copies.pop();
            for (missing, place) in [(3, 0), (2, 0), (1, 0), (0, 0)] {
                let result = ensure_room::<4>(&file);
                assert_eq!(result.is_ok(), missing == 0, "without {missing}: {result:?}");
                if missing > 0 {
                    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EMFILE));
                    copies.remove(place);
                }
            }
            assert!(!has_room_at_the_top::<2>());
            // A limit below what is open already, and one without any number below it.
            for limit in [8, 1, 0] {
                setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
                let error = ensure_room::<4>(&file).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{limit}: {error}");
            }
        });
    }
}
