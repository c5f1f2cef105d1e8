//! The hooks around each request.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::functions::RequestFunctions;
use super::handles::WorkerHandle;
use crate::python::logging;
use crate::python::wsgi::Objects;
use crate::reactor::{Exchange, Request};

/// Who is called, with what is the same for all requests of a worker.
pub struct RequestHooks {
    functions: RequestFunctions,
    worker: Py<PyAny>,
    handle: Py<WorkerHandle>,
    objects: Objects,
}

/// A request between the two hooks.
pub struct Current<'py> {
    hooks: Arc<RequestHooks>,
    req: Bound<'py, PyAny>,
}

impl RequestHooks {
    pub(super) fn new(
        py: Python<'_>,
        functions: RequestFunctions,
        worker: Py<PyAny>,
        handle: Py<WorkerHandle>,
    ) -> PyResult<Self> {
        Ok(Self {
            functions,
            objects: Objects::new(py, worker.getattr(py, "cfg")?)?,
            worker,
            handle,
        })
    }

    /// Whether there is a `pre_request` hook.
    pub fn precede(&self) -> bool {
        self.functions.pre.is_some()
    }

    /// The object of a request whose body is read from `body`.
    pub fn begin<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        request: &Request<'_>,
        body: &Bound<'py, PyAny>,
    ) -> PyResult<Current<'py>> {
        let req = self.objects.request(py, request, Some(body.clone()))?;
        Ok(Current { hooks: Arc::clone(self), req })
    }
}

impl<'py> Current<'py> {
    /// The `req`.
    pub fn req(&self) -> &Bound<'py, PyAny> {
        &self.req
    }

    /// Calls `pre_request`.
    ///
    /// # Errors
    /// The hook raised.
    pub fn pre_request(&self, py: Python<'py>) -> PyResult<()> {
        let Some(hook) = &self.hooks.functions.pre else { return Ok(()) };
        self.req.call_method0(intern!(py, "_remember"))?;
        let _uncounted = self.hooks.handle.get().hold_back();
        hook.call1(py, (&self.hooks.worker, &self.req)).map(drop)
    }

    /// Has what `pre_request` has changed about the request take effect.
    ///
    /// # Errors
    /// It is not what a request can have.
    pub fn amend(
        &self,
        py: Python<'py>,
        environ: &Bound<'py, PyDict>,
        exchange: &Exchange,
    ) -> PyResult<()> {
        if self.hooks.functions.pre.is_none() {
            return Ok(());
        }
        if self.req.getattr(intern!(py, "must_close"))?.is_truthy()? {
            exchange.close_after();
        }
        self.req.call_method1(intern!(py, "_amend"), (environ,)).map(drop)
    }

    /// Calls `post_request`. `environ` is there if the application was called.
    pub fn post_request(
        &self,
        py: Python<'py>,
        environ: Option<&Bound<'py, PyDict>>,
        exchange: &Exchange,
    ) {
        let Some((hook, arity)) = &self.hooks.functions.post else { return };
        let called = || -> PyResult<()> {
            let (hook, worker) = (hook.bind(py), &self.hooks.worker);
            let given = || environ.cloned().unwrap_or_else(|| PyDict::new(py));
            match arity {
                2 => hook.call1((worker, &self.req)),
                3 => hook.call1((worker, &self.req, given())),
                _ => {
                    let resp = environ
                        .map(|_| self.hooks.objects.response(py, &self.req, exchange.outcome()))
                        .transpose()?;
                    hook.call1((worker, &self.req, given(), resp))
                }
            }
            .map(drop)
        };
        if let Err(error) = called() {
            logging::exception(py, &error, "Exception in post_request hook");
        }
    }
}
