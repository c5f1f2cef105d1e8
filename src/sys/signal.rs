//! Signals: one process-wide self-pipe through which they become readable events.
//!
//! signal-hook knows the names; its registry is not used: it installs its handlers with `SA_RESTART`, while a
//! worker needs a blocking call of the application to come back with EINTR so that Python can act on
//! the signal; and its pipe could not be replaced in a forked child, where sharing the master's pipe
//! would let master and worker steal each other's signals.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// A signal number, real-time signals included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    pub const HUP: Self = Self(libc::SIGHUP);
    pub const INT: Self = Self(libc::SIGINT);
    pub const QUIT: Self = Self(libc::SIGQUIT);
    pub const ABRT: Self = Self(libc::SIGABRT);
    pub const KILL: Self = Self(libc::SIGKILL);
    pub const USR1: Self = Self(libc::SIGUSR1);
    pub const USR2: Self = Self(libc::SIGUSR2);
    pub const PIPE: Self = Self(libc::SIGPIPE);
    pub const XFSZ: Self = Self(libc::SIGXFSZ);
    pub const TERM: Self = Self(libc::SIGTERM);
    pub const CHLD: Self = Self(libc::SIGCHLD);
    pub const TTIN: Self = Self(libc::SIGTTIN);
    pub const TTOU: Self = Self(libc::SIGTTOU);
    pub const WINCH: Self = Self(libc::SIGWINCH);

    /// Asks a worker that no longer runs Python code to dump its stacks from C. A real-time signal, so
    /// that no library is likely to use it for something else; the C library decides where they start.
    pub fn dump() -> Self {
        Self(libc::SIGRTMIN() + 1)
    }

    pub fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    pub fn raw(self) -> i32 {
        self.0
    }

    /// The name in capitals with `SIG`, as the log lines about ended workers have it; `None` for
    /// real-time and unknown numbers.
    pub fn name(self) -> Option<&'static str> {
        match self.0 {
            // Those of Linux alone are not in its table.
            libc::SIGPWR => Some("SIGPWR"),
            libc::SIGSTKFLT => Some("SIGSTKFLT"),
            common => signal_hook::low_level::signal_name(common),
        }
    }

    /// The name as in `Handling signal: hup`: lower-case, without `sig`. Python knows SIGCHLD as
    /// SIGCLD too, and gunicorn prints that alias.
    pub fn short_name(self) -> String {
        match self.name() {
            _ if self == Self::CHLD => "cld".to_owned(),
            Some(name) => name.trim_start_matches("SIG").to_ascii_lowercase(),
            None => self.0.to_string(),
        }
    }
}

/// `SIGTERM`, or `signal 35` for one without a name.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Both ends of the pipe of this process; -1 while there is none.
static READ_END: AtomicI32 = AtomicI32::new(-1);
static WRITE_END: AtomicI32 = AtomicI32::new(-1);
/// A `fn(i32)`, or null for none.
static HOOK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

extern "C" fn handle(signal: libc::c_int) {
    let errno = Errno::last_raw();
    let hook = HOOK.load(Ordering::Acquire);
    if !hook.is_null() {
        // SAFETY: the only pointers ever stored are of functions `fn(i32)` (see `on_signal`).
        let hook = unsafe { std::mem::transmute::<*mut (), fn(i32)>(hook) };
        hook(signal);
    }
    write_byte(signal);
    Errno::set_raw(errno);
}

/// Writes a signal to the pipe, if there is one. Async-signal-safe.
fn write_byte(signal: i32) {
    let fd = WRITE_END.load(Ordering::Acquire);
    if fd >= 0 {
        let byte = u8::try_from(signal).unwrap_or(0);
        // SAFETY: one byte is read from a live local. write(2) is async-signal-safe. When the pipe is
        // full the byte is lost, but then 64 KiB of signals already wait to be read.
        unsafe { libc::write(fd, (&raw const byte).cast(), 1) };
    }
}

/// Has `hook` called from the signal handler, before the signal shows up in the pipe. It may only use
/// async-signal-safe functions (signal-safety(7)). `None` removes it.
pub fn on_signal(hook: Option<fn(i32)>) {
    HOOK.store(hook.map_or(ptr::null_mut(), |hook| hook as *mut ()), Ordering::Release);
}

/// Handle of the one self-pipe of this process. It stays open for the life of the process.
#[derive(Clone, Copy, Debug)]
pub struct Pipe {
    read: RawFd,
}

impl Pipe {
    /// Makes the pipe unless it exists, and from now on has these signals arrive in it.
    ///
    /// # Errors
    /// No descriptors left; a signal that cannot be caught.
    pub fn install(signals: &[Signal]) -> io::Result<Self> {
        let pipe = match Self::of_process() {
            Some(pipe) => pipe,
            None => Self::open()?,
        };
        for &signal in signals {
            set_handler(signal, handle as *const () as libc::sighandler_t)?;
        }
        Ok(pipe)
    }

    /// The pipe of this process, if one was installed.
    pub fn of_process() -> Option<Self> {
        let read = READ_END.load(Ordering::Acquire);
        (read >= 0).then_some(Self { read })
    }

    /// Makes the pipe that another program had in this process the one of this program, with the signals that are
    /// in it. [`Pipe::install`] has more arrive there.
    pub fn adopt([read, write]: [OwnedFd; 2]) {
        READ_END.store(read.into_raw_fd(), Ordering::Release);
        WRITE_END.store(write.into_raw_fd(), Ordering::Release);
    }

    /// Where signals are read, and where they are written.
    pub fn ends(self) -> [BorrowedFd<'static>; 2] {
        let write = WRITE_END.load(Ordering::Acquire);
        // SAFETY: as in `fd`; both ends are there as long as one is.
        [self.fd(), unsafe { BorrowedFd::borrow_raw(write) }]
    }

    /// In a forked child: a fresh pipe takes the place of the one shared with the parent, `signals`
    /// arrive in it, and every other signal that the parent had handled (`inherited`) goes back to
    /// its default. To be called while signals are blocked (see [`block_all`]), so that none is lost
    /// and none goes to the parent.
    ///
    /// # Errors
    /// As [`Pipe::install`].
    pub fn replace_in_child(inherited: &[Signal], signals: &[Signal]) -> io::Result<Self> {
        Self::leave();
        for &signal in inherited.iter().filter(|signal| !signals.contains(signal)) {
            set_default(signal)?;
        }
        Self::install(signals)
    }

    /// In a forked child: lets go of the pipe that it shares with the parent, for which its signals are not.
    pub fn leave() {
        let old = [&READ_END, &WRITE_END].map(|end| end.swap(-1, Ordering::AcqRel));
        for fd in old.into_iter().filter(|&fd| fd >= 0) {
            // SAFETY: this child's copies of the parent's ends; nothing else in the process owns them
            // and the statics no longer name them.
            unsafe { libc::close(fd) };
        }
    }

    /// Readable when signals wait.
    pub fn fd(self) -> BorrowedFd<'static> {
        // SAFETY: the pipe is closed only in a forked child that replaces it, where this handle is
        // not used again.
        unsafe { BorrowedFd::borrow_raw(self.read) }
    }

    /// The next signal that has arrived, in order; `None` when there is none (it never waits).
    pub fn read(self) -> Option<Signal> {
        let mut byte = [0_u8];
        loop {
            match nix::unistd::read(self.fd(), &mut byte) {
                Ok(1) => return Some(Signal(i32::from(byte[0]))),
                Err(Errno::EINTR) => {}
                _ => return None,
            }
        }
    }

    fn open() -> io::Result<Self> {
        let (read, write): (OwnedFd, OwnedFd) =
            nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        let pipe = Self { read: read.as_raw_fd() };
        READ_END.store(read.into_raw_fd(), Ordering::Release);
        WRITE_END.store(write.into_raw_fd(), Ordering::Release);
        Ok(pipe)
    }
}

/// Puts a signal into the pipe, if there is one, as if it had just arrived.
pub fn push(signal: Signal) {
    write_byte(signal.0);
}

/// Gives a signal its default action.
///
/// # Errors
/// EINVAL for a number that is none or that cannot be changed.
pub fn set_default(signal: Signal) -> io::Result<()> {
    set_handler(signal, libc::SIG_DFL)
}

/// Has a signal ignored. Programs started later inherit that.
///
/// # Errors
/// As [`set_default`].
pub fn ignore(signal: Signal) -> io::Result<()> {
    set_handler(signal, libc::SIG_IGN)
}

fn set_handler(signal: Signal, handler: libc::sighandler_t) -> io::Result<()> {
    // No SA_RESTART: see the module's documentation.
    // SAFETY: an all-zero sigaction is a valid value; its mask is then initialised, and `handler` is
    // SIG_DFL, SIG_IGN or `handle`, which has the signature the kernel calls.
    let result = unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        libc::sigfillset(&raw mut action.sa_mask);
        action.sa_sigaction = handler;
        libc::sigaction(signal.0, &raw const action, ptr::null_mut())
    };
    Errno::result(result)?;
    Ok(())
}

/// The signal mask that was in force before [`block_all`]; dropping it brings it back.
#[must_use = "signals are delivered again as soon as this is dropped"]
pub struct Blocked {
    before: libc::sigset_t,
}

/// Holds back all signals of the calling thread until the returned value is dropped.
pub fn block_all() -> Blocked {
    // SAFETY: both sets are valid places; sigfillset initialises the first, pthread_sigmask the
    // second. It cannot fail with a valid `how`.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        Blocked { before: before.assume_init() }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: `before` was filled in by pthread_sigmask.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut());
        }
    }
}

/// Lets all signals through, whatever the program before this one in the process has held back.
pub fn unblock_all() {
    // SAFETY: the set is a valid place, which sigemptyset initialises; see `block_all`.
    unsafe {
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    fn raise(signal: Signal) {
        // SAFETY: a plain number; raise() returns after the handler of this thread has run.
        unsafe { libc::raise(signal.raw()) };
    }

    #[test]
    fn names_are_those_gunicorn_logs() {
        assert_eq!(Signal::HUP.short_name(), "hup");
        assert_eq!(Signal::CHLD.short_name(), "cld");
        assert_eq!(Signal::USR1.short_name(), "usr1");
        assert_eq!(Signal::KILL.to_string(), "SIGKILL");
        assert_eq!(Signal::CHLD.to_string(), "SIGCHLD");
        assert_eq!(Signal::from_raw(libc::SIGPWR).to_string(), "SIGPWR");
        let dump = Signal::dump();
        assert_eq!(dump.to_string(), format!("signal {}", dump.raw()));
    }

    // One test for all that touches the process-wide pipe: tests share a process.
    #[test]
    fn signals_arrive_in_order_wait_while_blocked_and_keep_errno() {
        static SEEN: AtomicI32 = AtomicI32::new(0);
        let pipe = Pipe::install(&[Signal::USR1, Signal::WINCH]).unwrap();
        assert_eq!(pipe.read(), None);
        on_signal(Some(|signal| SEEN.store(signal, Ordering::Relaxed)));
        Errno::set_raw(libc::EXDEV);
        raise(Signal::USR1);
        assert_eq!(Errno::last_raw(), libc::EXDEV);
        assert_eq!(SEEN.load(Ordering::Relaxed), libc::SIGUSR1);
        on_signal(None);
        raise(Signal::WINCH);
        assert_eq!(SEEN.load(Ordering::Relaxed), libc::SIGUSR1);
        assert_eq!(
            [pipe.read(), pipe.read(), pipe.read()],
            [Some(Signal::USR1), Some(Signal::WINCH), None]
        );

        let blocked = block_all();
        raise(Signal::WINCH);
        assert_eq!(pipe.read(), None);
        drop(blocked);
        assert_eq!(pipe.read(), Some(Signal::WINCH));

        // A child gets a pipe of its own: what it is sent stays with it.
        let blocked = block_all();
        match process::fork().unwrap() {
            process::Fork::Child => {
                let own = Pipe::replace_in_child(&[Signal::USR1, Signal::WINCH], &[Signal::WINCH]);
                raise(Signal::WINCH);
                drop(blocked);
                let ok = own.is_ok_and(|own| own.read() == Some(Signal::WINCH));
                if ok {
                    // Default action again: ends the child.
                    raise(Signal::USR1);
                }
                process::exit_now(1);
            }
            process::Fork::Parent(pid) => {
                drop(blocked);
                let mut status = 0;
                // SAFETY: waits for exactly the child made above.
                unsafe { libc::waitpid(pid.get(), &raw mut status, 0) };
                assert!(libc::WIFSIGNALED(status));
                assert_eq!(libc::WTERMSIG(status), libc::SIGUSR1);
                assert_eq!(pipe.read(), None);
            }
        }
        set_default(Signal::USR1).unwrap();
        ignore(Signal::WINCH).unwrap();
        raise(Signal::WINCH);
        assert_eq!(pipe.read(), None);
    }
}
