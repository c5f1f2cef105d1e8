//! Signals of the master on Python's side.
//!
//! A handler that a hook sets in the place of the server's, or for a signal of its own, is Python's to
//! call, which it does in the main thread and when that is in the interpreter. There the master hardly
//! ever is, so that Python has to wake it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{follow_forks, handler, module};
use crate::app::Called;
use crate::python::hooks;
use crate::sys::signal::{self, Pipe, Signal};

/// Readable when Python has handlers to call.
pub struct Wake {
    read: OwnedFd,
    /// Python writes to it from the handler that it has the kernel call.
    _write: OwnedFd,
}

impl Wake {
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    fn silence(&self) {
        let mut bytes = [0_u8; 64];
        while matches!(nix::unistd::read(&self.read, &mut bytes), Ok(1..) | Err(Errno::EINTR)) {}
    }

    /// Has Python call the handlers that are due.
    ///
    /// # Errors
    /// One has raised something else than `KeyboardInterrupt`, which stops the server as TERM does.
    pub fn deliver(&self, py: Python<'_>) -> Called {
        self.silence();
        match py.check_signals() {
            Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => {
                signal::push(Signal::TERM);
                Ok(())
            }
            Err(error) => Err(hooks::failure(py, &error)),
            Ok(()) => Ok(()),
        }
    }
}

/// Has Python know a handler for each of these signals of the master, whose pipe must be there already.
///
/// # Errors
/// The `signal` module does not work, or there are no descriptors left.
pub fn install(py: Python<'_>, signals: &[Signal]) -> PyResult<Wake> {
    let pipe = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(io::Error::from)?;
    let (read, write) = pipe;
    let (handler, module) = (handler(py)?, module(py)?);
    follow_forks(py)?;
    let options = PyDict::new(py);
    options.set_item("warn_on_full_buffer", false)?;
    module.call_method("set_wakeup_fd", (write.as_raw_fd(),), Some(&options))?;
    let held = signal::block_all();
    for signal in signals {
        module.call_method1("signal", (signal.raw(), handler))?;
    }
    // Over those, ours, which needs no interpreter.
    Pipe::install(signals)?;
    drop(held);
    Ok(Wake { read, _write: write })
}

/// In a process forked from the master, before the [`Wake`] goes: Python does not wake the master any
/// more.
///
/// # Errors
/// The `signal` module does not work.
pub fn leave(py: Python<'_>) -> PyResult<()> {
    module(py)?.call_method1("set_wakeup_fd", (-1,)).map(drop)
}

/// Before the interpreter goes in the master: it gives signals that it has a handler for their default
/// action, and the next TERM would end the process with another status than its own.
pub fn retire(py: Python<'_>, signals: &[Signal]) {
    let forget_all = || -> PyResult<()> {
        let (module, ours) = (module(py)?, handler(py)?);
        let ignore = module.getattr("SIG_IGN")?;
        let _held = signal::block_all();
        for signal in signals {
            if module.call_method1("getsignal", (signal.raw(),))?.is(ours) {
                module.call_method1("signal", (signal.raw(), &ignore))?;
                // What Python takes for ignored arrives in the pipe still, which nobody reads any more.
                Pipe::install(&[*signal])?;
            }
        }
        leave(py)
    };
    if let Err(error) = forget_all() {
        tracing::debug!("Signals can still end this process: {error}");
    }
}
