//! Calls of the Python logger's `access`.

use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDelta, PyDict, PyList};

use super::PYTHON;
use super::refused::Refused;
use crate::python::ffi;
use crate::reactor::{Exchange, Peer, Request};

/// The access log of one slot, if the Python logger wants to be called for requests.
pub struct Access {
    logger: Py<PyAny>,
}

impl Access {
    /// `None` if there is no Python logger, or one that would do nothing.
    pub fn new(py: Python<'_>) -> Option<Self> {
        let logger = PYTHON.logger(py).filter(|_| PYTHON.is_in_force())?;
        let wants = || -> PyResult<bool> {
            py.import("gunicorn.glogging")?.call_method1("_wants_access", (&logger,))?.extract()
        };
        wants().unwrap_or(true).then(|| Self { logger: logger.unbind() })
    }

    /// Logs a request. Records that belong to it go first.
    pub fn log(
        &self,
        py: Python<'_>,
        request: &Request<'_>,
        exchange: &Exchange,
        environ: Option<&Bound<'_, PyDict>>,
        started: Instant,
    ) {
        let elapsed = started.elapsed();
        PYTHON.deliver(py);
        let logged = || -> PyResult<()> {
            // Copied, so that nothing is locked while Python runs.
            let (status, headers, sent) = exchange.inspect(|summary| {
                let headers = summary.headers.iter();
                let headers = headers.map(|(name, value)| (name.to_vec(), value.to_vec()));
                (summary.status.map(<[u8]>::to_vec), headers.collect::<Vec<_>>(), summary.sent)
            });
            let status = status.map(|status| ffi::latin1(py, &status)).transpose()?;
            let headers = headers.iter().map(|(name, value)| (&name[..], &value[..]));
            let response = response(py, status.map(Bound::into_any), headers, sent)?;
            let made = environ.is_none().then(|| base_environ(py, request)).transpose()?;
            let Some(environ) = environ.or(made.as_ref()) else { return Ok(()) };
            call(self.logger.bind(py), request, &response, environ, elapsed)
        };
        if let Err(error) = logged() {
            PYTHON.failed(py, &error);
        }
    }
}

/// Logs a request that was refused.
pub fn refused(logger: &Bound<'_, PyAny>, refused: &Refused) -> PyResult<()> {
    let py = logger.py();
    let request = refused.request();
    let status = refused.status.as_str().into_pyobject(py)?.into_any();
    let response = response(py, Some(status), std::iter::empty(), 0)?;
    call(logger, &request, &response, &base_environ(py, &request)?, Duration::ZERO)
}

fn call(
    logger: &Bound<'_, PyAny>,
    request: &Request<'_>,
    response: &Bound<'_, PyAny>,
    environ: &Bound<'_, PyDict>,
    elapsed: Duration,
) -> PyResult<()> {
    let py = logger.py();
    let days = i32::try_from(elapsed.as_secs() / 86400)?;
    let seconds = i32::try_from(elapsed.as_secs() % 86400)?;
    let micros = i32::try_from(elapsed.subsec_micros())?;
    let elapsed = PyDelta::new(py, days, seconds, micros, false)?;
    let req = self::request(py, request)?;
    logger.call_method1(intern!(py, "access"), (response, req, environ, elapsed)).map(drop)
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

/// The request as loggers see it.
fn request<'py>(py: Python<'py>, request: &Request<'_>) -> PyResult<Bound<'py, PyAny>> {
    let head = &request.head;
    let (path, query) = head.path_and_query();
    let headers = PyList::empty(py);
    for (name, value) in head.fields() {
        headers.append((ffi::latin1(py, &name.to_ascii_uppercase())?, ffi::latin1(py, value)?))?;
    }
    let facts = PyDict::new(py);
    facts.set_item(intern!(py, "method"), ffi::latin1(py, head.method())?)?;
    facts.set_item(intern!(py, "uri"), ffi::latin1(py, head.target())?)?;
    facts.set_item(intern!(py, "path"), ffi::latin1(py, path)?)?;
    facts.set_item(intern!(py, "query"), ffi::latin1(py, query)?)?;
    facts.set_item(intern!(py, "version"), head.version())?;
    facts.set_item(intern!(py, "headers"), headers)?;
    let https = head.scheme_https() == Some(true);
    facts.set_item(intern!(py, "scheme"), if https { "https" } else { "http" })?;
    namespace(&facts)
}

/// The response as loggers see it.
fn response<'a, 'py>(
    py: Python<'py>,
    status: Option<Bound<'py, PyAny>>,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    sent: u64,
) -> PyResult<Bound<'py, PyAny>> {
    let list = PyList::empty(py);
    for (name, value) in headers {
        list.append((ffi::latin1(py, name)?, ffi::latin1(py, value)?))?;
    }
    let facts = PyDict::new(py);
    facts.set_item(intern!(py, "status"), status)?;
    facts.set_item(intern!(py, "headers"), list)?;
    facts.set_item(intern!(py, "sent"), sent)?;
    namespace(&facts)
}

fn namespace<'py>(facts: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    facts.py().import("types")?.getattr("SimpleNamespace")?.call((), Some(facts))
}
