//! The Python half of the server: `support.py`, executed once.

use std::ffi::CStr;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

const SOURCE: &CStr =
    match CStr::from_bytes_with_nul(concat!(include_str!("support.py"), "\0").as_bytes()) {
        Ok(source) => source,
        Err(_) => panic!("support.py contains a NUL byte"),
    };

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// The module of helpers. It is not in `sys.modules`, where an application could trip over it.
///
/// # Errors
/// The standard library cannot be imported.
pub fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    let module = MODULE.get_or_try_init(py, || {
        let module = PyModule::new(py, "rgunicorn_support")?;
        py.run(SOURCE, Some(&module.dict()), None)?;
        Ok::<_, PyErr>(module.unbind())
    })?;
    Ok(module.bind(py))
}

/// The traceback of an exception as Python prints it, without a newline at the end.
pub fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let formatted = module(py).and_then(|module| {
        module.call_method1("format_exception", (error.value(py),))?.extract::<String>()
    });
    // An exception whose text cannot be had is still an exception worth a line.
    formatted.unwrap_or_else(|_| error.get_type(py).to_string())
}

/// The stacks of all threads.
pub fn stacks(py: Python<'_>) -> String {
    let formatted =
        module(py).and_then(|module| module.call_method0("format_stacks")?.extract::<String>());
    formatted.unwrap_or_else(|error| format!("stacks cannot be had: {error}"))
}
