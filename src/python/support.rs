//! The Python half of the server: `support.py`, executed once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

const SOURCE: &str = include_str!("support.py");
/// What its frames are called; tracebacks leave out those in front.
const FILE: &str = "<rgunicorn>";

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// The module of helpers. It is not in `sys.modules`, where an application could trip over it.
///
/// # Errors
/// The standard library cannot be imported.
pub fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    let module = MODULE.get_or_try_init(py, || {
        let module = PyModule::new(py, "rgunicorn_support")?;
        let compile = py.import("builtins")?.getattr("compile")?;
        module.setattr("__file__", FILE)?;
        let code = compile.call1((SOURCE, FILE, "exec"))?;
        py.import("builtins")?.call_method1("exec", (code, module.dict()))?;
        Ok::<_, PyErr>(module.unbind())
    })?;
    Ok(module.bind(py))
}

/// Has `coverage run` write down what it measures in this process, a worker, when that ends.
pub fn keep_measurements(py: Python<'_>) {
    let kept = module(py).and_then(|module| module.call_method0("keep_measurements"));
    if let Err(error) = kept {
        tracing::debug!("What is measured is not kept: {error}");
    }
}

/// The traceback of an exception as Python prints it, without a newline at the end.
pub fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let formatted = module(py).and_then(|module| {
        // Before Python 3.12 the traceback is not yet in the exception.
        let parts = (error.get_type(py), error.value(py), error.traceback(py));
        module.call_method1("format_exception", parts)?.extract::<String>()
    });
    // An exception whose text cannot be had is still an exception worth a line.
    formatted.unwrap_or_else(|_| error.get_type(py).to_string())
}

/// The traceback object of an exception, without the server's own frames in front.
pub fn trace<'py>(py: Python<'py>, error: &PyErr) -> PyResult<Bound<'py, PyAny>> {
    module(py)?.call_method1("without_own", (error.traceback(py),))
}

/// Names the calling thread, which is not one that Python has started.
pub fn name_thread(py: Python<'_>, name: &str) {
    let named = || -> PyResult<()> {
        py.import("threading")?.call_method0("current_thread")?.setattr("name", name)
    };
    if let Err(error) = named() {
        tracing::debug!("A thread goes without a name: {error}");
    }
}

/// Lets debuggers, `coverage` and `spew` follow the calling thread, which is not one that Python has started.
///
/// # Errors
/// What they have asked to be called raised.
pub fn be_traced(py: Python<'_>) -> PyResult<()> {
    module(py)?.call_method0("be_traced")?;
    Ok(())
}

/// The stacks of all threads.
pub fn stacks(py: Python<'_>) -> String {
    let formatted =
        module(py).and_then(|module| module.call_method0("format_stacks")?.extract::<String>());
    formatted.unwrap_or_else(|error| format!("stacks cannot be had: {error}"))
}
