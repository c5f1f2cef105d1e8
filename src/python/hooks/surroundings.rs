//! What the objects of hooks refer to: application, worker class, listening sockets.

use std::os::fd::{AsFd, AsRawFd};

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::config::Config;
use crate::net::listener::Listener;
use crate::python::program;

/// The application as the server was told of it.
pub fn application<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyAny>> {
    if let Some(program) = program::get(py) {
        return Ok(program.clone());
    }
    let class = py.import("gunicorn.app.wsgiapp")?.getattr("WSGIApplication")?;
    class.call_method1("of", (config.application(),))
}

/// The class of the workers.
pub fn worker_class<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyAny>> {
    let (module, class) = if config.is_threaded() {
        ("gunicorn.workers.gthread", "ThreadWorker")
    } else {
        ("gunicorn.workers.sync", "SyncWorker")
    };
    py.import(module)?.getattr(class)
}

/// The listening sockets.
pub fn sockets<'py>(
    arbiter: &Bound<'py, PyAny>,
    listeners: &[Listener],
) -> PyResult<Bound<'py, PyList>> {
    let py = arbiter.py();
    let make = py.import("gunicorn.arbiter")?.getattr("listening_socket")?;
    let (cfg, log) = (arbiter.getattr("cfg")?, arbiter.getattr("log")?);
    let sockets = listeners.iter().map(|listener| {
        let number = listener.as_fd().as_raw_fd();
        make.call1((number, listener.to_string(), &cfg, &log))
    });
    PyList::new(py, sockets.collect::<PyResult<Vec<_>>>()?)
}
