//! The configuration as Python code sees it.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::config::Config;
use crate::python::compat;

/// The last one that was shown, so that all code sees the same object.
static SHOWN: Mutex<Option<(Config, Py<PyAny>)>> = Mutex::new(None);

/// The object for a configuration.
///
/// # Errors
/// A value whose object is no longer there.
pub fn cfg<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyAny>> {
    static ENVIRON: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let lock = || SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = |(shown, cfg): &(Config, Py<PyAny>)| (shown == config).then(|| cfg.clone_ref(py));
    let known = lock().as_ref().and_then(known);
    if let Some(cfg) = known {
        return Ok(cfg.into_bound(py));
    }
    // The first time is before the server has changed anything.
    let environ = ENVIRON.get_or_try_init(py, || {
        let environ = py.import("os")?.getattr("environ")?.call_method0("copy")?;
        Ok::<_, PyErr>(environ.cast_into::<PyDict>()?.unbind())
    })?;
    let cfg = compat::config::to_python(py, config, environ.bind(py))?;
    let old = lock().replace((config.clone(), cfg.clone().unbind()));
    drop(old);
    Ok(cfg)
}
