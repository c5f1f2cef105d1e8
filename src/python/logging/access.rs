//! Calls of the Python logger's `access`.

use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDelta, PyDict};

use super::refused::Refused;
use super::{Made, PYTHON};
use crate::app::Variables as _;
use crate::log::access::{Entry, Form, Lookup, Source, Value};
use crate::python::ffi;
use crate::python::wsgi::{Objects, Shown};
use crate::reactor::{Outcome, Peer, Request};

/// The access log of one slot, if the Python logger wants to be called for requests.
pub struct Access {
    logger: Py<PyAny>,
    objects: Objects,
    /// Lines are JSON.
    json: bool,
}

impl Access {
    /// `None` if there is no Python logger, or one that would do nothing.
    ///
    /// # Errors
    /// What requests are made of cannot be imported.
    pub fn new(py: Python<'_>) -> PyResult<Option<Self>> {
        let Some(Made { logger, cfg, .. }) = PYTHON.made(py).filter(|_| PYTHON.reach().requests)
        else {
            return Ok(None);
        };
        let module = py.import("gunicorn._logs")?;
        if !module.call_method1("wants_access", (&logger,))?.extract()? {
            return Ok(None);
        }
        let json = cfg.getattr(py, "access_log_format")?.bind(py).eq("json")?;
        Ok(Some(Self { logger, objects: Objects::new(py, cfg)?, json }))
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
            let line = self.json.then(|| json_line(request, &outcome, environ, elapsed));
            let resp = self.objects.response(py, &req, outcome)?;
            if let Some(line) = line {
                resp.setattr(intern!(py, "_line"), line)?;
            }
            let elapsed = delta(py, elapsed)?;
            let arguments = (resp, req, environ, elapsed);
            self.logger.call_method1(py, intern!(py, "access"), arguments).map(drop)
        };
        if let Err(error) = logged() {
            PYTHON.failed(py, &error);
        }
    }
}

/// The line as our own log has it, without its end.
fn json_line(
    request: &Request<'_>,
    outcome: &Outcome,
    environ: &Bound<'_, PyDict>,
    elapsed: Duration,
) -> String {
    let entry = Entry {
        line: None,
        status: outcome.status.as_deref(),
        sent: outcome.sent,
        elapsed,
        waited: request.waited,
        pid: std::process::id(),
        lookup: &OfEnviron(environ),
    };
    let mut line = Vec::new();
    Form::Json.write(&mut line, &entry);
    line.pop();
    String::from_utf8_lossy(&line).into_owned()
}

/// Finds variables, which is all that JSON has.
struct OfEnviron<'a, 'py>(&'a Bound<'py, PyDict>);

impl Lookup for OfEnviron<'_, '_> {
    fn find(&self, source: Source, name: &str, show: &mut dyn FnMut(Value<'_>)) -> bool {
        source == Source::Environ && Shown(self.0).find(name, show)
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
    for (name, variable) in [
        ("host", "HTTP_HOST"),
        ("referer", "HTTP_REFERER"),
        ("user-agent", "HTTP_USER_AGENT"),
        ("authorization", "HTTP_AUTHORIZATION"),
    ] {
        if let Some(value) = head.last(name.as_bytes()) {
            environ.set_item(variable, ffi::latin1(py, value)?)?;
        }
    }
    Ok(environ)
}
