//! Calls of the Python logger's `access`.

use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDelta, PyDict};

use super::PYTHON;
use super::refused::Refused;
use crate::python::ffi;
use crate::python::wsgi::Objects;
use crate::reactor::{Outcome, Peer, Request};

/// The access log of one slot, if the Python logger wants to be called for requests.
pub struct Access {
    logger: Py<PyAny>,
    objects: Objects,
}

impl Access {
    /// `None` if there is no Python logger, or one that would do nothing.
    ///
    /// # Errors
    /// What requests are made of cannot be imported.
    pub fn new(py: Python<'_>) -> PyResult<Option<Self>> {
        let Some(logger) = PYTHON.logger(py).filter(|_| PYTHON.is_in_force()) else {
            return Ok(None);
        };
        let module = py.import("gunicorn.glogging")?;
        if !module.call_method1("_wants_access", (&logger,))?.extract()? {
            return Ok(None);
        }
        let objects = Objects::new(py, logger.getattr("cfg")?.unbind())?;
        Ok(Some(Self { logger: logger.unbind(), objects }))
    }

    /// Logs a request. Records that belong to it go first. `req` is its object if there is one.
    pub fn log<'py>(
        &self,
        py: Python<'py>,
        request: &Request<'_>,
        req: Option<&Bound<'py, PyAny>>,
        outcome: Outcome,
        environ: Option<&Bound<'py, PyDict>>,
        elapsed: Duration,
    ) {
        PYTHON.deliver(py);
        let logged = || -> PyResult<()> {
            let made = environ.is_none().then(|| base_environ(py, request)).transpose()?;
            let Some(environ) = environ.or(made.as_ref()) else { return Ok(()) };
            let req = req.cloned().map_or_else(
                || {
                    let body = environ.get_item(intern!(py, "wsgi.input"))?;
                    self.objects.request(py, request, body)
                },
                Ok,
            )?;
            let resp = self.objects.response(py, &req, outcome)?;
            let elapsed = delta(py, elapsed)?;
            let arguments = (resp, req, environ, elapsed);
            self.logger.call_method1(py, intern!(py, "access"), arguments).map(drop)
        };
        if let Err(error) = logged() {
            PYTHON.failed(py, &error);
        }
    }
}

/// Logs a request that was refused.
pub fn refused(py: Python<'_>, refused: &Refused) -> PyResult<()> {
    let Some(access) = Access::new(py)? else { return Ok(()) };
    let outcome = Outcome::refused(refused.status.as_bytes());
    access.log(py, &refused.request(), None, outcome, None, Duration::ZERO);
    Ok(())
}

fn delta(py: Python<'_>, elapsed: Duration) -> PyResult<Bound<'_, PyDelta>> {
    let days = i32::try_from(elapsed.as_secs() / 86400)?;
    let seconds = i32::try_from(elapsed.as_secs() % 86400)?;
    let micros = i32::try_from(elapsed.subsec_micros())?;
    PyDelta::new(py, days, seconds, micros, false)
}

/// The environ of a request that did not get as far as to have one.
fn base_environ<'py>(py: Python<'py>, request: &Request<'_>) -> PyResult<Bound<'py, PyDict>> {
    let head = &request.head;
    let environ = PyDict::new(py);
    environ.set_item("REQUEST_METHOD", ffi::latin1(py, head.method())?)?;
    environ.set_item("RAW_URI", ffi::latin1(py, head.target())?)?;
    environ.set_item("QUERY_STRING", ffi::latin1(py, head.path_and_query().1)?)?;
    environ.set_item("PATH_INFO", ffi::latin1(py, &head.decoded_path())?)?;
    let (major, minor) = head.version();
    environ.set_item("SERVER_PROTOCOL", format!("HTTP/{major}.{minor}"))?;
    environ.set_item("REMOTE_ADDR", request.peer.to_string())?;
    if let Peer::Inet(address) = request.peer {
        environ.set_item("REMOTE_PORT", address.port().to_string())?;
    }
    for (name, variable) in [("referer", "HTTP_REFERER"), ("user-agent", "HTTP_USER_AGENT")] {
        if let Some(value) = head.last(name.as_bytes()) {
            environ.set_item(variable, ffi::latin1(py, value)?)?;
        }
    }
    Ok(environ)
}
