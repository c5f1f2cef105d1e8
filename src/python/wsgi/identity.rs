//! What the server calls itself in the environ, which Python code may change.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyString};

/// `SERVER_SOFTWARE`, in the environ of requests and in that of the process, unless changed.
pub const SERVER_SOFTWARE: &str = concat!("rgunicorn/", env!("CARGO_PKG_VERSION"));

const KEY: &str = "SERVER_SOFTWARE";

/// What was set instead, and the prepared environs that have to know: with them, a change costs
/// something and a request nothing.
struct Software {
    changed: Option<Py<PyAny>>,
    prepared: Vec<Py<PyDict>>,
}

static SOFTWARE: Mutex<Software> = Mutex::new(Software { changed: None, prepared: Vec::new() });

/// Sets it in a prepared environ, now and whenever it changes.
pub fn set_in(py: Python<'_>, environ: &Bound<'_, PyDict>) -> PyResult<()> {
    let mut software = SOFTWARE.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
    match &software.changed {
        Some(value) => environ.set_item(KEY, value)?,
        None => environ.set_item(KEY, PyString::intern(py, SERVER_SOFTWARE))?,
    }
    software.prepared.push(environ.clone().unbind());
    Ok(())
}

/// Changes it for all requests from now on.
pub fn set_software(py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
    let mut software = SOFTWARE.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
    for environ in &software.prepared {
        environ.bind(py).set_item(KEY, &value)?;
    }
    let old = software.changed.replace(value);
    drop(software);
    // Its end may run Python code, which could come back to the lock.
    drop(old);
    Ok(())
}
