//! A program that starts the server by itself, with its own settings and its own way to load the application:
//! an object of a class derived from `gunicorn.app.base.BaseApplication`.

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::{support, values};
use crate::config::value::Value;
use crate::error::Error;

/// The one that has started the server of this process.
static STARTED_BY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Notes who starts the server. It cannot be changed.
pub fn start(program: &Bound<'_, PyAny>) {
    STARTED_BY.get_or_init(program.py(), || program.clone().unbind());
}

/// The program that has started the server, if it was not the command.
pub fn get(py: Python<'_>) -> Option<&Bound<'_, PyAny>> {
    STARTED_BY.get(py).map(|program| program.bind(py))
}

/// What the program has set.
///
/// # Errors
/// Its configuration is none.
pub fn settings(program: &Bound<'_, PyAny>) -> Result<Vec<(String, Value)>, Error> {
    let read = || -> PyResult<_> {
        let given = program.getattr("cfg")?.call_method0("given")?.cast_into::<PyDict>()?;
        given.iter().map(|(name, value)| Ok((name.extract()?, values::convert(&value)?))).collect()
    };
    read().map_err(|error| failure(program.py(), &error))
}

/// Has the program make its configuration anew.
///
/// # Errors
/// It cannot.
pub fn reload(program: &Bound<'_, PyAny>) -> Result<(), Error> {
    let reloaded = program.call_method0("reload");
    reloaded.map(drop).map_err(|error| failure(program.py(), &error))
}

fn failure(py: Python<'_>, error: &PyErr) -> Error {
    if error.is_instance_of::<PySystemExit>(py) {
        return Error::config("the program could not make its configuration");
    }
    Error::complete(1, format!("{}\n", support::traceback(py, error)))
}
