//! Loading the application named on the command line.

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

use super::modules::{self, Places};
use super::{compat, logging, program, support};
use crate::log;

/// Why there is no application.
pub enum LoadError {
    /// The module is there, the application is not; the message says so.
    NotFound(String),
    /// The module ended the program: `sys.exit` at import.
    Exit(i32),
    /// The import failed.
    Failed { message: String, error: PyErr },
}

impl LoadError {
    /// What an exception during the import means.
    pub fn from_exception(py: Python<'_>, error: &PyErr) -> Self {
        if let Some(status) = exit_status(py, error) {
            return Self::Exit(status);
        }
        let message = error.value(py).str().map_or_else(
            |_| error.get_type(py).to_string(),
            |text| text.to_string_lossy().into_owned(),
        );
        let not_found = support::module(py)
            .and_then(|module| module.getattr("AppImportError"))
            .is_ok_and(|class| error.is_instance(py, &class));
        if not_found {
            return Self::NotFound(message);
        }
        Self::Failed { message, error: error.clone_ref(py) }
    }
}

/// Imports the application `MODULE`, `MODULE:NAME` or `MODULE:FACTORY(ARGUMENTS)`, and has what it does to the
/// loggers take effect.
///
/// # Errors
/// See [`LoadError`].
pub fn load(py: Python<'_>, uri: &str) -> Result<Py<PyAny>, LoadError> {
    found(py, uri).map(Bound::unbind).map_err(|error| LoadError::from_exception(py, &error))
}

fn found<'py>(py: Python<'py>, uri: &str) -> PyResult<Bound<'py, PyAny>> {
    let found = import(py, uri);
    logging::follow(py);
    found
}

fn import<'py>(py: Python<'py>, uri: &str) -> PyResult<Bound<'py, PyAny>> {
    if let Some(program) = program::get(py) {
        return program.call_method0("wsgi");
    }
    if compat::is_watched(py)? {
        // By way of the method that monitoring agents wrap, in order to wrap what it returns.
        let class = py.import("gunicorn.app.wsgiapp")?.getattr("WSGIApplication")?;
        return class.call_method1("of", (uri,))?.call_method0("wsgi");
    }
    support::module(py)?.call_method1("load", (uri,))
}

/// Imports the application, or makes one that shows why it cannot be imported, together with the places
/// where that can be cured.
///
/// # Errors
/// The module ended the program, and did not complain.
pub fn load_or_explain(
    py: Python<'_>,
    uri: &str,
) -> Result<(Py<PyAny>, Option<Places>), LoadError> {
    let error = match found(py, uri) {
        Ok(app) => return Ok((app.unbind(), None)),
        Err(error) => error,
    };
    let text = match LoadError::from_exception(py, &error) {
        LoadError::Exit(0) => return Err(LoadError::Exit(0)),
        LoadError::NotFound(message) => {
            tracing::error!("{message}");
            message
        }
        LoadError::Exit(status) => {
            let message = format!("The application ended the program with status {status}.");
            logging::exception(py, &error, &message);
            support::traceback(py, &error)
        }
        LoadError::Failed { message, .. } => {
            logging::exception(py, &error, &message);
            support::traceback(py, &error)
        }
    };
    let places = modules::places(py, &error).unwrap_or_default();
    let page = support::module(py).and_then(|module| module.call_method1("failure_page", (text,)));
    let page = page.map_err(|error| LoadError::from_exception(py, &error))?;
    Ok((page.unbind(), Some(places)))
}

/// Imports modules of the standard library that workers would import each for itself; imported before
/// the first fork, their memory is shared.
pub fn import_common(py: Python<'_>) {
    let imported = support::module(py).and_then(|module| module.call_method0("import_common"));
    if let Err(error) = imported {
        tracing::debug!("Workers will import common modules themselves: {error}");
    }
}

/// The status a `SystemExit` asks for, with the message it may carry printed as Python does;
/// `None` for other exceptions.
pub fn exit_status(py: Python<'_>, error: &PyErr) -> Option<i32> {
    if !error.is_instance_of::<PySystemExit>(py) {
        return None;
    }
    let code = error.value(py).getattr("code").ok()?;
    if code.is_none() {
        return Some(0);
    }
    Some(code.extract().unwrap_or_else(|_| {
        log::say(&code.to_string());
        1
    }))
}
