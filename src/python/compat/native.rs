//! What the Python half of the package needs of the server: the module `gunicorn._native`.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::config;
use crate::python::wsgi::{Errors, FileWrapper, Input, identity};
use crate::python::{hooks, interpreter, logging, support};
use crate::reactor::server_name;
use crate::sys::proctitle;

/// Puts the functions into the module.
pub fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    hooks::fill(module)?;
    module.add("SERVER", server_name::DEFAULT)?;
    module.add("SERVER_SOFTWARE", identity::SERVER_SOFTWARE)?;
    let app_import_error = support::module(module.py())?.getattr("AppImportError")?;
    module.add("AppImportError", app_import_error)?;
    module.add("FileWrapper", module.py().get_type::<FileWrapper>())?;
    module.add("Input", module.py().get_type::<Input>())?;
    module.add_function(wrap_pyfunction!(config::settings, module)?)?;
    module.add_function(wrap_pyfunction!(config::validate, module)?)?;
    module.add_function(wrap_pyfunction!(config::parse_options, module)?)?;
    module.add_function(wrap_pyfunction!(config::read_conf_file, module)?)?;
    module.add_function(wrap_pyfunction!(load_application, module)?)?;
    module.add_function(wrap_pyfunction!(program, module)?)?;
    module.add_function(wrap_pyfunction!(set_title, module)?)?;
    module.add_function(wrap_pyfunction!(has_titles, module)?)?;
    module.add_function(wrap_pyfunction!(errors, module)?)?;
    logging::fill(module)?;
    module.add_function(wrap_pyfunction!(set_server, module)?)?;
    module.add_function(wrap_pyfunction!(set_server_software, module)?)
}

/// The module that starts servers, in processes that are none.
#[pyfunction]
fn program(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    if interpreter::is_server() {
        return Err(PyRuntimeError::new_err(
            "no server can be started in the process of another one: start it in a process of its own, \
             or with the command rgunicorn",
        ));
    }
    py.import("rgunicorn._rgunicorn")
}

/// The application of a name.
#[pyfunction]
fn load_application<'py>(py: Python<'py>, uri: &str) -> PyResult<Bound<'py, PyAny>> {
    support::module(py)?.call_method1("load", (uri, false))
}

/// An object for `wsgi.errors`; `stderr`: that is where the error log goes.
#[pyfunction]
fn errors(stderr: bool) -> Errors {
    Errors::new(stderr)
}

/// Sets the title of this process.
#[pyfunction]
fn set_title(title: &str) {
    proctitle::set(title);
}

/// Whether titles are shown.
#[pyfunction]
fn has_titles() -> bool {
    proctitle::has_room()
}

/// Sets the value of the Server header of all answers from now on. Without one they have none.
#[pyfunction]
#[pyo3(signature = (value=None))]
fn set_server(value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let Some(value) = value else {
        server_name::set(None);
        return Ok(());
    };
    let text = value.str()?;
    let text = text.to_str()?;
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    match bytes.map(|bytes| server_name::set(Some(bytes))) {
        Some(true) => Ok(()),
        _ => Err(PyValueError::new_err(format!(
            "{text:?} cannot be sent in the Server header: it has control characters, or others \
             than those of Latin-1"
        ))),
    }
}

/// Sets `SERVER_SOFTWARE` in the environ of all requests from now on.
#[pyfunction]
fn set_server_software(py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
    identity::set_software(py, value)
}
