//! Starting the interpreter, or taking over one that runs already.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use super::venv::{self, Choice};
use super::{compat, ffi, support};
use crate::error::Error;

/// The `major.minor` of the Python that this program is built for.
pub const BUILT_FOR: &str = env!("RGUNICORN_PYTHON_VERSION");

/// Whether the interpreter has been prepared for a server.
static IS_SERVER: AtomicBool = AtomicBool::new(false);

/// Whether a server runs in this process, or is about to.
pub fn is_server() -> bool {
    IS_SERVER.load(Ordering::Relaxed)
}

/// Starts the interpreter as the `python` of the environment would start.
///
/// # Errors
/// The environment is missing, broken, or of a Python that this one cannot stand in for.
pub fn initialize(venv: Option<&Path>, argv: &[OsString]) -> Result<(), Error> {
    let Choice { program, home } = venv::choose(venv)?;
    let c_string = |bytes: &[u8]| {
        CString::new(bytes).map_err(|_| Error::config("an argument contains a NUL byte"))
    };
    let program = c_string(program.as_os_str().as_bytes())?;
    let home = home.map(|home| c_string(home.as_os_str().as_bytes())).transpose()?;
    let argv = argv.iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    ffi::initialize(&program, home.as_deref(), &argv).map_err(|reason| {
        Error::config(format!(
            "cannot start Python {BUILT_FOR} as {}: {reason}",
            program.to_string_lossy()
        ))
    })?;
    Python::attach(install)
}

/// Prepares an interpreter that runs already for the server.
///
/// # Errors
/// It is not the main thread that calls, or another environment than `venv` is running.
pub fn adopt(py: Python<'_>, venv: Option<&Path>) -> Result<(), Error> {
    if is_server() {
        return Err(Error::config("a server runs in this process already."));
    }
    if let Some(venv) = venv {
        check_running(py, venv)?;
    }
    if !has_main_thread(py).unwrap_or(false) {
        return Err(Error::config(
            "the server has to be started in the main thread of the process, which gets the signals.",
        ));
    }
    install(py)
}

fn install(py: Python<'_>) -> Result<(), Error> {
    IS_SERVER.store(true, Ordering::Relaxed);
    // The package is there from the beginning: `"gunicorn" in sys.modules` is how many settings files
    // tell that they are served.
    compat::install(py)
        .and_then(|_| py.import("gunicorn").map(drop))
        .map_err(|error| Error::config(format!("cannot make gunicorn importable: {error}")))
}

fn has_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    Ok(threading.call_method0("current_thread")?.is(&threading.call_method0("main_thread")?))
}

/// The server runs in the interpreter that has been started; another cannot be had.
fn check_running(py: Python<'_>, venv: &Path) -> Result<(), Error> {
    let prefix = || py.import("sys")?.getattr("prefix")?.extract::<PathBuf>();
    let prefix = prefix().map_err(|error| Error::config(format!("sys.prefix: {error}")))?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real(&prefix) == real(venv) {
        return Ok(());
    }
    Err(Error::config(format!(
        "this rgunicorn is installed in {prefix} and runs in its Python {BUILT_FOR}; it cannot use --venv {venv}. \
         Install rgunicorn there and start {venv}/bin/rgunicorn, or omit --venv.",
        prefix = prefix.display(),
        venv = venv.display()
    )))
}

/// It is the server that forks, not code of the user.
static FORKING: AtomicBool = AtomicBool::new(false);

/// Whether a fork that is on its way is the server's own. For hooks around forks.
pub fn is_forking() -> bool {
    FORKING.load(Ordering::Relaxed)
}

/// Ends the interpreter; see [`ffi::finalize`] for what may follow: nothing but `_exit`.
pub fn finalize(py: Python<'_>) {
    ffi::finalize(py);
}

/// Runs `atexit` functions and flushes streams, where [`finalize`] is not possible because threads
/// are still in the interpreter.
pub fn wind_up(py: Python<'_>) {
    let wound_up = support::module(py).and_then(|module| module.call_method0("wind_up"));
    if let Err(error) = wound_up {
        tracing::debug!("Cannot wind up: {error}");
    }
}

/// Writes out what was printed. What is not out before a fork, each of the processes would print.
pub fn flush(py: Python<'_>) {
    for name in ["stdout", "stderr"] {
        // Either may be None, closed, or an object of somebody's own without such a method.
        let _ = py.import("sys").and_then(|sys| sys.getattr(name)?.call_method0("flush"));
    }
}

/// Makes ready for a fork: what was printed is written out, what lives now is not looked at again by
/// the garbage collector, whose marks would unshare the memory, and the interpreter's locks are taken.
pub fn before_fork(py: Python<'_>) {
    flush(py);
    if let Err(error) = py.import("gc").and_then(|gc| gc.call_method0("freeze")) {
        tracing::debug!("gc.freeze failed: {error}");
    }
    FORKING.store(true, Ordering::Relaxed);
    ffi::before_fork(py);
}

/// In the parent, after the fork.
pub fn after_fork_parent(py: Python<'_>) {
    ffi::after_fork_parent(py);
    FORKING.store(false, Ordering::Relaxed);
}

/// In the child, after the fork.
pub fn after_fork_child(py: Python<'_>) {
    ffi::after_fork_child(py);
    FORKING.store(false, Ordering::Relaxed);
}
