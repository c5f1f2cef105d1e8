//! `spew`: printing each line of Python that is executed.

use pyo3::prelude::*;

/// Begins to print what this thread executes, and all that are started from now on.
///
/// # Errors
/// Python's tracing does not work.
pub fn start(py: Python<'_>) -> PyResult<()> {
    py.import("gunicorn.debug")?.call_method0("spew")?;
    let trace = py.import("sys")?.call_method0("gettrace")?;
    py.import("threading")?.call_method1("settrace", (trace,))?;
    Ok(())
}
