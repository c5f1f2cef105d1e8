//! Processes: fork(2), waitpid(2), kill(2), _exit(2).

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::unistd::{ForkResult, SysconfVar, sysconf};

use super::signal::Signal;

/// A process id, always positive: neither a process group nor "every process" can be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// `None` if `raw` is not the id of a single process.
    pub fn new(raw: i32) -> Option<Self> {
        (raw > 0).then_some(Self(raw))
    }

    pub fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which side of a [`fork`] the caller finds itself on.
#[derive(Debug)]
pub enum Fork {
    Parent(Pid),
    Child,
}

/// How a child process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It left with this status.
    Exited(i32),
    /// It was killed by this signal.
    Signaled { signal: Signal, core_dumped: bool },
}

/// Id of the calling process.
pub fn getpid() -> Pid {
    Pid(nix::unistd::getpid().as_raw())
}

/// Gives the calling thread the name that a process has in `top` and `ps -C` if it is the main one; the first 15
/// bytes count (`PR_SET_NAME` in prctl(2)).
///
/// # Errors
/// A NUL byte.
pub fn set_name(name: &OsStr) -> io::Result<()> {
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)?;
    Ok(nix::sys::prctl::set_name(&name)?)
}

/// Id of the process that has forked this one, or of whoever has taken it over since; `None` if that
/// is outside of what this process can see (`pid_namespaces(7)`).
pub fn parent() -> Option<Pid> {
    Pid::new(nix::unistd::getppid().as_raw())
}

/// A descriptor that is readable when process `pid` has ended (`pidfd_open(2)`).
///
/// # Errors
/// ESRCH when there is no such process, ENOSYS before Linux 5.3.
pub fn watch(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers are passed.
    let result = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) })?;
    let fd = i32::try_from(result).map_err(|_| Errno::EBADF)?;
    // SAFETY: the descriptor was just made, close-on-exec, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The memory of a process that is in RAM, in bytes, shared memory included.
///
/// # Errors
/// There is no such process, or it cannot be seen (proc(5)).
pub fn resident_memory(pid: Pid) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let size = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| u64::try_from(size).ok());
    let bytes = pages.zip(size).and_then(|(pages, size)| pages.checked_mul(size));
    bytes.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

static SHARES_DESCRIPTORS: AtomicBool = AtomicBool::new(false);

/// Remembers that this process has been duplicated, or is about to be, by somebody else than
/// [`fork`]'s callers.
pub fn note_fork() {
    SHARES_DESCRIPTORS.store(true, Ordering::Relaxed);
}

/// Whether another process may hold descriptors of this one open: then closing a socket here does
/// not end its connection.
pub fn shares_descriptors() -> bool {
    SHARES_DESCRIPTORS.load(Ordering::Relaxed)
}

static IS_COPY: AtomicBool = AtomicBool::new(false);

/// Remembers that this process is a copy of a worker, made by the application for itself.
pub fn note_copy() {
    IS_COPY.store(true, Ordering::Relaxed);
}

/// Whether this process is such a copy: it must do none of a worker's work.
pub fn is_copy() -> bool {
    IS_COPY.load(Ordering::Relaxed)
}

/// Duplicates the process. Only the calling thread exists in the child.
///
/// # Errors
/// EAGAIN at a limit of processes, ENOMEM (fork(2)).
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the child may only rely on what is valid after a fork of a process with several threads.
    // Ours runs one Rust thread; the threads an application may have started in the master run Python
    // and hold none of our locks. The interpreter's own state is brought in order by the fork hooks that
    // callers run on both sides whose child uses it. The C library keeps its allocator usable.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(Pid(child.as_raw()))),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Takes the status of one child that has ended, if there is one. Does not wait.
///
/// # Errors
/// None that a caller could do anything about; having no children is not an error.
pub fn reap() -> io::Result<Option<(Pid, Ended)>> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is a valid place for an int.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            0 => return Ok(None),
            1.. => {
                return Ok(Some((Pid(pid), ended(status))));
            }
            _ => match Errno::last() {
                Errno::EINTR => {}
                Errno::ECHILD => return Ok(None),
                other => return Err(other.into()),
            },
        }
    }
}

/// As [`reap`], for one child; `None` also if it is none.
pub fn reap_one(pid: Pid) -> Option<Ended> {
    let mut status = 0;
    // SAFETY: as above.
    let result = unsafe { libc::waitpid(pid.0, &raw mut status, libc::WNOHANG) };
    (result > 0).then(|| ended(status))
}

fn ended(status: i32) -> Ended {
    // Neither stopped nor continued children are reported without WUNTRACED/WCONTINUED.
    if libc::WIFSIGNALED(status) {
        let signal = Signal::from_raw(libc::WTERMSIG(status));
        Ended::Signaled { signal, core_dumped: libc::WCOREDUMP(status) }
    } else {
        Ended::Exited(libc::WEXITSTATUS(status))
    }
}

/// Sends `signal` to `pid`.
///
/// # Errors
/// ESRCH when there is no such process, EPERM when it is not ours to signal (kill(2)).
pub fn kill(pid: Pid, signal: Signal) -> io::Result<()> {
    // SAFETY: plain numbers are passed.
    let result = unsafe { libc::kill(pid.0, signal.raw()) };
    Errno::result(result)?;
    Ok(())
}

/// Makes the calling process the first of a group of its own, to which those belong that it starts.
///
/// # Errors
/// `EPERM` for the leader of a session (setpgid(2)).
pub fn lead_group() -> io::Result<()> {
    Ok(nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?)
}

/// Kills who is left of the group that process `pid`, which has ended, was the first of.
pub fn kill_group(pid: Pid) {
    // SAFETY: plain numbers are passed. There may be nobody left.
    unsafe { libc::killpg(pid.0, libc::SIGKILL) };
}

/// Whether a process with this id exists, be it ours or another user's.
pub fn exists(pid: Pid) -> bool {
    // SAFETY: plain numbers are passed; signal 0 sends nothing (kill(2)).
    let result = unsafe { libc::kill(pid.0, 0) };
    result == 0 || Errno::last() == Errno::EPERM
}

/// Ends the process at once: no destructor, no `atexit` function of the C library. Only what C code
/// has printed and the C library still buffers is written before.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: a null pointer means all streams (fflush(3)); _exit never returns and leaves nothing
    // behind that could be used afterwards.
    unsafe {
        libc::fflush(std::ptr::null_mut());
        libc::_exit(status)
    }
}

/// Ends the process at once, whatever its other threads are doing: not even a lock of the C library is
/// waited for.
pub fn leave_now(status: i32) -> ! {
    // SAFETY: as above.
    unsafe { libc::_exit(status) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn a_pid_names_exactly_one_process() {
        assert_eq!(Pid::new(0), None);
        assert_eq!(Pid::new(-1), None);
        assert_eq!(Pid::new(7).map(Pid::get), Some(7));
    }

    #[test]
    fn the_end_of_a_process_can_be_waited_for() {
        let mut child = std::process::Command::new("cat");
        let mut child = child.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let watch = watch(Pid::new(child.id().cast_signed()).unwrap()).unwrap();
        let has_ended = |timeout: u8| {
            let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(timeout)).unwrap() == 1
        };
        assert!(!has_ended(0));
        drop(child.stdin.take());
        assert!((0..100).any(|_| has_ended(100)));
        child.wait().unwrap();
        assert!(super::watch(Pid(i32::MAX)).is_err());
    }

    #[test]
    fn the_memory_of_a_process_grows_with_what_it_writes() {
        let before = resident_memory(getpid()).unwrap();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident_memory(getpid()).unwrap() > before + (32 << 20));
        drop(block);
        assert!(resident_memory(Pid(i32::MAX)).is_err());
    }

    #[test]
    fn a_name_is_shown() {
        crate::sys::testing::in_child(|| {
            set_name("a name of process".as_ref()).map_err(|error| error.to_string())?;
            let shown = std::fs::read_to_string("/proc/self/comm").map_err(|e| e.to_string())?;
            (shown == "a name of proce\n").then_some(()).ok_or(shown)
        });
        assert!(set_name("\0".as_ref()).is_err());
    }

    #[test]
    fn own_process_exists_and_can_be_probed() {
        assert!(exists(getpid()));
        assert!(!exists(Pid(i32::MAX)));
        let error = kill(Pid(i32::MAX), Signal::TERM).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }
}
