//! The Python module of the wheel: the program in a process whose interpreter runs already.

mod again;

use std::ffi::OsString;

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

use crate::cli::{self, Home, Launch};
use crate::python::compat;
use crate::sys::fd;

/// Puts the functions into the module.
///
/// # Errors
/// What Python raises.
pub fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(run, module)?)?;
    module.add_function(wrap_pyfunction!(provide_gunicorn, module)?)
}

/// Runs the server with these arguments, those of the process by default, until it is stopped, and
/// returns the exit status.
#[pyfunction]
#[pyo3(signature = (args=None))]
fn main(py: Python<'_>, args: Option<Vec<OsString>>) -> PyResult<i32> {
    let sys = py.import("sys")?;
    let options = match args {
        Some(args) => args,
        None => sys.getattr("argv")?.extract::<Vec<OsString>>()?.into_iter().skip(1).collect(),
    };
    enter(sys.as_any(), &options, None)
}

/// Runs the server that a program, an object of a class derived from
/// `gunicorn.app.base.BaseApplication`, asks for, and returns the exit status.
#[pyfunction]
fn run(program: &Bound<'_, PyAny>) -> PyResult<i32> {
    enter(&program.py().import("sys")?.into_any(), &[], Some(program))
}

fn enter(
    sys: &Bound<'_, PyAny>,
    options: &[OsString],
    program: Option<&Bound<'_, PyAny>>,
) -> PyResult<i32> {
    require_gil(sys)?;
    // Otherwise they stay closed.
    let _ = fd::fill_standard_streams();
    let again::Commands { again, itself } = again::commands(sys)?;
    let (again, itself, home) = (&again, &itself, Home::Found);
    Ok(cli::enter(&Launch { options, again, itself, program, home }))
}

/// A free-threaded Python (3.14t) turns its lock on when it loads the module, unless it was told not to.
fn require_gil(sys: &Bound<'_, PyAny>) -> PyResult<()> {
    match sys.getattr_opt("_is_gil_enabled")? {
        Some(enabled) if !enabled.call0()?.is_truthy()? => Err(PySystemExit::new_err(
            "\nError: rgunicorn relies on Python's global interpreter lock, which is off here: start it \
             without PYTHON_GIL=0 and without -X gil=0.",
        )),
        _ => Ok(()),
    }
}

/// Makes the package `gunicorn` importable, as it is in the server's processes; returns what finds it.
#[pyfunction]
fn provide_gunicorn(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    compat::install(py)
}
