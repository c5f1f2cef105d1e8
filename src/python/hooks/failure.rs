//! What an exception out of a hook means.

use pyo3::prelude::*;

use crate::app::HookFailed;
use crate::python::loader::exit_status;
use crate::python::support;

/// Describes an exception that came out of a hook. One that asks for the end of the program has its
/// message printed.
pub fn failure(py: Python<'_>, error: &PyErr) -> HookFailed {
    let exit = exit_status(py, error).or_else(|| halt(py, error));
    HookFailed { traceback: support::traceback(py, error), exit }
}

/// The status that a `gunicorn.errors.HaltServer` asks for, with its reason told.
fn halt(py: Python<'_>, error: &PyErr) -> Option<i32> {
    let class = py.import("gunicorn.errors").ok()?.getattr("HaltServer").ok()?;
    let value = error.value(py);
    if !value.is_instance(&class).ok()? {
        return None;
    }
    tracing::error!("A hook stops the server: {}", value.getattr("reason").ok()?);
    value.getattr("exit_status").ok()?.extract().ok()
}
