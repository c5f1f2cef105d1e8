//! What code of the user does to the two loggers of the standard library, or to the `log` of hooks, without
//! any setting that asks for a logger in Python.
//!
//! Filters, levels, handlers, formatters and replaced methods are looked for where such code has run: after
//! the conf file, hooks, and the import of the application. Nothing is looked at for a record or a request.

use std::sync::PoisonError;

use pyo3::intern;
use pyo3::prelude::*;

use super::reach::Reach;
use super::shown::cfg;
use super::{PYTHON, PythonLog, own};
use crate::python::support;

/// Code of the user has run: has what it did to the loggers take effect.
pub fn follow(py: Python<'_>) {
    tell(py, PYTHON.look(py));
}

/// The same after a hook, with the `log` of the object that the hook was given.
pub fn follow_with(py: Python<'_>, log: &Bound<'_, PyAny>) {
    tell(py, PYTHON.look_with(py, log));
}

fn tell(py: Python<'_>, looked: PyResult<()>) {
    if let Err(error) = looked {
        let traceback = support::traceback(py, &error);
        tracing::error!("What was done to the loggers has no effect:\n{traceback}");
    }
}

impl PythonLog {
    /// Looks what there is to follow.
    pub(super) fn look(&self, py: Python<'_>) -> PyResult<()> {
        self.look_at(py, || {
            let config = self.config.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let cfg = cfg(py, &config.unwrap_or_default())?;
            let logger = py.import("gunicorn._logs")?.call_method1("adopt", (&cfg,))?;
            self.keep(&logger, &cfg, logger.get_type().as_any());
            Ok(logger)
        })
    }

    fn look_with(&self, py: Python<'_>, log: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(made) = self.made(py)
            && !made.logger.is(log)
        {
            // The hook has put another in its place.
            self.keep(log, made.cfg.bind(py), made.class.bind(py));
        }
        self.look_at(py, || Ok(log.clone()))
    }

    /// `make` makes the object, if there is a need for it and none is there.
    fn look_at<'py>(
        &self,
        py: Python<'py>,
        make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let was = self.reach();
        let logger = self.logger(py);
        let reach = if was.instead { was } else { found(py, logger.as_ref())? };
        if !reach.is_none() {
            let logger = logger.map_or_else(make, Ok)?;
            self.ask(&logger);
        }
        if reach != was {
            self.reach.swap(reach);
            tracing::callsite::rebuild_interest_cache();
        }
        Ok(())
    }
}

/// What would come out differently if it went through the loggers, and through the methods of `logger`.
fn found(py: Python<'_>, logger: Option<&Bound<'_, PyAny>>) -> PyResult<Reach> {
    let Some((mut records, mut requests)) = own::touched(py)? else { return Ok(Reach::NONE) };
    if let Some(logger) = logger {
        let logs = py.import(intern!(py, "gunicorn._logs"))?;
        let (of_records, of_requests): (bool, bool) =
            logs.call_method1(intern!(py, "touched"), (logger,))?.extract()?;
        records |= of_records;
        requests |= of_requests;
    }
    Ok(Reach { instead: false, records, requests })
}
