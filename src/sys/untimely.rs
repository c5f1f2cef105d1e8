//! Signals that end the process before it handles any.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use nix::errno::Errno;

use super::signal::Signal;

/// The file to remove, and the process that it belongs to.
static FILE: AtomicPtr<libc::c_char> = AtomicPtr::new(ptr::null_mut());
static OWNER: AtomicI32 = AtomicI32::new(0);

extern "C" fn end(signal: libc::c_int) {
    // SAFETY: only async-signal-safe functions are called. The path, once set, is never freed. By
    // SA_RESETHAND and SA_NODEFER the signal has its default action again and is not held back, so raise()
    // does not return; but in the first process of a container, from which the kernel withholds default
    // actions (`pid_namespaces(7)`).
    unsafe {
        let file = FILE.load(Ordering::Acquire);
        if !file.is_null() && libc::getpid() == OWNER.load(Ordering::Acquire) {
            libc::unlink(file);
        }
        libc::raise(signal);
        libc::_exit(128 + signal);
    }
}

/// Has these signals end the process also if it is the first process of its container. Those that are
/// ignored stay so.
///
/// # Errors
/// A signal that cannot be caught.
pub fn end_by(signals: &[Signal]) -> io::Result<()> {
    signals.iter().try_for_each(|signal| catch(*signal))
}

/// As [`end_by`]; the file `path` goes with the process, but not with one that it forks. Handlers that are
/// set later take the place of this.
///
/// # Errors
/// As [`end_by`], and a NUL byte in the path.
pub fn remove_if_ended_by(path: &Path, signals: &[Signal]) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    OWNER.store(nix::unistd::getpid().as_raw(), Ordering::Release);
    // A handler may be reading the one before.
    FILE.store(path.into_raw(), Ordering::Release);
    end_by(signals)
}

fn catch(signal: Signal) -> io::Result<()> {
    // SAFETY: all-zero sigactions are valid values; the mask is initialised, and `end` has the signature the
    // kernel calls.
    unsafe {
        let mut before = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        Errno::result(libc::sigaction(signal.raw(), ptr::null(), &raw mut before))?;
        if before.sa_sigaction == libc::SIG_IGN {
            return Ok(());
        }
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        libc::sigemptyset(&raw mut action.sa_mask);
        action.sa_flags = libc::SA_RESETHAND | libc::SA_NODEFER;
        action.sa_sigaction = end as *const () as libc::sighandler_t;
        Errno::result(libc::sigaction(signal.raw(), &raw const action, ptr::null_mut()))?;
    }
    Ok(())
}
