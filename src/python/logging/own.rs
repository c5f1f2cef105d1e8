//! Handlers of Python's `logging` that write to our own logs, for applications that use gunicorn's
//! loggers.
//!
//! They cost nothing until something imports `logging`: a finder waits for that.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyModule, PyString};

use super::{PYTHON, changes};
use crate::config::Config;
use crate::log::{self, Severity};
use crate::python::support;

const SOURCE: &str = include_str!("handlers.py");
const FILE: &str = "<rgunicorn>/gunicorn/handlers.py";
const LOGGING: &str = "logging";

static HANDLERS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
/// For those who have no interpreter.
static THERE: AtomicBool = AtomicBool::new(false);

/// What the handlers are to be set up with.
static LEVEL: AtomicU8 = AtomicU8::new(Severity::Info as u8);
static ACCESS: AtomicBool = AtomicBool::new(false);

/// Puts the handlers in their places as soon as `logging` is there. If it is, [`configure`] has done so.
///
/// # Errors
/// `sys.meta_path` or `sys.modules` is not what Python makes it.
pub fn watch(py: Python<'_>) -> PyResult<()> {
    if is_imported(py)? {
        return Ok(());
    }
    let finders = py.import("sys")?.getattr("meta_path")?.cast_into::<PyList>()?;
    finders.insert(0, Py::new(py, Watch)?)
}

fn is_imported(py: Python<'_>) -> PyResult<bool> {
    py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.contains(LOGGING)
}

/// Sets the handlers up as a configuration wants them; takes them away if the logs are not ours.
pub fn configure(py: Python<'_>, config: &Config, foreign: bool) -> PyResult<()> {
    LEVEL.store(Severity::parse(&config.loglevel) as u8, Ordering::Relaxed);
    let shown = config.accesslog.as_ref().is_some_and(|path| !path.is_empty())
        || config.syslog && !config.disable_redirect_access_to_syslog;
    ACCESS.store(shown, Ordering::Relaxed);
    match HANDLERS.get(py) {
        Some(handlers) if foreign => handlers.bind(py).call_method0("detach").map(drop),
        // The conf file may have imported it.
        None if foreign || !is_imported(py)? => Ok(()),
        _ => attach(py),
    }
}

/// Puts the handlers in their places, if the logs are ours.
fn attach(py: Python<'_>) -> PyResult<()> {
    if PYTHON.reach().instead {
        return Ok(());
    }
    let arguments = (LEVEL.load(Ordering::Relaxed), ACCESS.load(Ordering::Relaxed));
    handlers(py)?.call_method1("attach", arguments).map(drop)
}

/// Whether anything has imported `logging` while the logs were ours.
pub fn are_there() -> bool {
    THERE.load(Ordering::Acquire)
}

/// Whether records, and requests, would come out differently if they went through the loggers; `None` if
/// nothing has imported `logging`.
pub fn touched(py: Python<'_>) -> PyResult<Option<(bool, bool)>> {
    let Some(handlers) = HANDLERS.get(py) else { return Ok(None) };
    let (records, requests): (bool, bool) = handlers.bind(py).call_method0("touched")?.extract()?;
    let patched = changes::of_methods();
    Ok(Some((records || patched, requests || patched)))
}

/// Has the handlers of all loggers open their files again.
pub fn reopen(py: Python<'_>) -> PyResult<()> {
    py.import("gunicorn._logs")?.call_method0("reopen_all").map(drop)
}

/// Tells Python's `logging`, if that is there, of an exception that our own log writes.
pub fn exception(py: Python<'_>, error: &PyErr, message: &str) {
    let Some(handlers) = HANDLERS.get(py) else { return };
    let tell = || -> PyResult<()> {
        let trace = support::trace(py, error)?;
        let arguments = (message, error.get_type(py), error.value(py), trace);
        handlers.bind(py).call_method1("exception", arguments).map(drop)
    };
    if let Err(failure) = tell() {
        tracing::warn!("Python's logging has not taken an exception: {failure}");
    }
}

/// The module with the handlers.
fn handlers(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    let module = HANDLERS.get_or_try_init(py, || {
        let module = PyModule::new(py, "rgunicorn_handlers")?;
        module.setattr("__file__", FILE)?;
        module.add_function(wrap_pyfunction!(record, &module)?)?;
        module.add_function(wrap_pyfunction!(write, &module)?)?;
        module.add_function(wrap_pyfunction!(fileno, &module)?)?;
        let builtins = py.import("builtins")?;
        let code = builtins.getattr("compile")?.call1((SOURCE, FILE, "exec"))?;
        builtins.call_method1("exec", (code, module.dict()))?;
        Ok::<_, PyErr>(module.unbind())
    })?;
    THERE.store(true, Ordering::Release);
    Ok(module.bind(py))
}

/// Adds what `gunicorn.glogging` needs to the module `gunicorn._native`.
///
/// # Errors
/// Python is out of memory.
pub fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(changes::logger_changed, module)?)?;
    module.add_function(wrap_pyfunction!(own_handlers, module)?)
}

/// The module with the handlers; None if the logs are not ours.
#[pyfunction]
fn own_handlers(py: Python<'_>) -> PyResult<Option<Bound<'_, PyModule>>> {
    if PYTHON.reach().instead { Ok(None) } else { handlers(py).cloned().map(Some) }
}

/// Writes a record to the error log; as `text`, if it has been formatted.
#[pyfunction]
#[pyo3(signature = (level, message, text=None))]
fn record(level: i64, message: &Bound<'_, PyString>, text: Option<&Bound<'_, PyString>>) {
    let (severity, message) = (Severity::of_number(level), message.to_string_lossy());
    match text {
        None => log::record(severity, &message),
        Some(text) => log::record_as(text.to_string_lossy().as_bytes(), severity, &message),
    }
}

/// Writes text to one of the logs as it is.
#[pyfunction]
fn write(log: &str, text: &Bound<'_, PyString>) {
    let text = text.to_string_lossy();
    if is_access(log) {
        log::write_access(text.as_bytes());
    } else {
        log::write_error(text.as_bytes());
    }
}

/// The descriptor of the error log; there is none for the access log.
#[pyfunction]
fn fileno(log: &str) -> PyResult<i32> {
    let fd = if is_access(log) { None } else { log::error_fd() };
    fd.map(|fd| fd.as_raw_fd())
        .ok_or_else(|| PyOSError::new_err("the log is not behind one descriptor"))
}

fn is_access(log: &str) -> bool {
    log == "gunicorn.access"
}

/// Stands in front of all finders until `logging` is imported.
#[pyclass(frozen, module = "rgunicorn")]
struct Watch;

#[pymethods]
impl Watch {
    /// Has the others find `logging`, and steps aside.
    #[pyo3(signature = (fullname, path=None, target=None))]
    fn find_spec<'py>(
        slf: &Bound<'py, Self>,
        fullname: &str,
        path: Option<&Bound<'py, PyAny>>,
        target: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if fullname != LOGGING {
            return Ok(None);
        }
        let finders = slf.py().import("sys")?.getattr("meta_path")?.cast_into::<PyList>()?;
        if finders.contains(slf)? {
            finders.call_method1("remove", (slf,))?;
        }
        for finder in finders.iter() {
            let spec = finder.call_method1("find_spec", (fullname, path, target))?;
            if !spec.is_none() {
                let loader = spec.getattr("loader")?.unbind();
                spec.setattr("loader", Py::new(slf.py(), Loader { loader })?)?;
                return Ok(Some(spec));
            }
        }
        Ok(None)
    }
}

/// Loads `logging` as its own loader does, and then puts the handlers in their places.
#[pyclass(frozen, module = "rgunicorn")]
struct Loader {
    loader: Py<PyAny>,
}

#[pymethods]
impl Loader {
    fn create_module<'py>(&self, spec: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.loader.bind(spec.py()).call_method1("create_module", (spec,))
    }

    fn exec_module(&self, module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        // Nobody shall see that there was another.
        module.setattr("__loader__", &self.loader)?;
        module.getattr("__spec__")?.setattr("loader", &self.loader)?;
        self.loader.bind(py).call_method1("exec_module", (module,))?;
        if let Err(error) = attach(py) {
            tracing::warn!("Python's logging does not reach the error log: {error}");
        }
        Ok(())
    }
}
