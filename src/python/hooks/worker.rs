//! Hooks of a worker, and the `worker` that they are given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use super::functions::{RequestFunctions, WorkerFunctions};
use super::handles::WorkerHandle;
use super::request::RequestHooks;
use crate::config::Config;
use crate::python::{logging, support};
use crate::sys::process;
use crate::sys::signal::Signal;

/// What a worker calls of the user's, besides the application.
pub struct WorkerHooks {
    server: Py<PyAny>,
    worker: Py<PyAny>,
    functions: WorkerFunctions,
    requests: Option<Arc<RequestHooks>>,
    /// The hook that tells of the signal that ends the worker was called.
    told: AtomicBool,
}

impl WorkerHooks {
    pub(super) fn new(
        py: Python<'_>,
        config: &Config,
        server: Py<PyAny>,
        worker: Py<PyAny>,
        handle: Py<WorkerHandle>,
    ) -> PyResult<Self> {
        worker.setattr(py, "pid", process::getpid().get())?;
        let requests = RequestFunctions::of(py, config)?
            .map(|functions| RequestHooks::new(py, functions, worker.clone_ref(py), handle))
            .transpose()?
            .map(Arc::new);
        let functions = WorkerFunctions::of(py, config)?;
        Ok(Self { server, worker, functions, requests, told: AtomicBool::new(false) })
    }

    /// The hooks around each request, if there are any.
    pub fn requests(&self) -> Option<&Arc<RequestHooks>> {
        self.requests.as_ref()
    }

    /// `post_fork`: the process is there, and nothing in it.
    ///
    /// # Errors
    /// The hook raised; so for the others.
    pub fn post_fork(&self, py: Python<'_>) -> PyResult<()> {
        let hook = self.functions.post_fork.as_ref();
        let called = hook.map(|hook| hook.call1(py, (&self.server, &self.worker)));
        // A hook of the master may have given the worker another log.
        self.follow(py)?;
        called.transpose().map(drop)
    }

    /// Looks what a hook has done to the loggers.
    fn follow(&self, py: Python<'_>) -> PyResult<()> {
        logging::follow_with(py, self.worker.getattr(py, "log")?.bind(py));
        Ok(())
    }

    /// The application, if hooks have had it loaded.
    ///
    /// # Errors
    /// They have put something else in its place.
    pub fn application(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let app = self.server.getattr(py, "app")?.getattr(py, "callable")?;
        Ok((!app.is_none(py)).then_some(app))
    }

    /// `post_worker_init`: the application is loaded. Returns what is to be served, which the hook may have
    /// wrapped.
    ///
    /// # Errors
    /// See [`Self::post_fork`].
    pub fn post_worker_init(&self, py: Python<'_>, app: &Py<PyAny>) -> PyResult<Py<PyAny>> {
        self.server.getattr(py, "app")?.setattr(py, "callable", app)?;
        self.worker.setattr(py, "wsgi", app)?;
        if let Some(hook) = &self.functions.post_worker_init {
            let called = hook.call1(py, (&self.worker,)).map(drop);
            self.follow(py)?;
            called?;
        }
        self.worker.setattr(py, "booted", true)?;
        self.worker.getattr(py, "wsgi")
    }

    /// How many requests the worker takes before it retires: what hooks have left in its object.
    ///
    /// # Errors
    /// It is not a number.
    pub fn max_requests(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let limit: u64 = self.worker.getattr(py, "max_requests")?.extract(py)?;
        Ok((limit != u64::try_from(isize::MAX).unwrap_or(u64::MAX)).then_some(limit))
    }

    /// `worker_int` or `worker_abort`: the worker ends by this signal. Called for the first only.
    ///
    /// # Errors
    /// See [`Self::post_fork`].
    pub fn signalled(&self, py: Python<'_>, signal: Signal) -> PyResult<()> {
        if self.told.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.worker.setattr(py, "_alive", false)?;
        let abort = signal == Signal::ABRT;
        let Self { functions: WorkerFunctions { worker_int, worker_abort, .. }, .. } = self;
        let hook = if abort { worker_abort } else { worker_int };
        let Some(hook) = hook else { return Ok(()) };
        hook.call1(py, (&self.worker,)).map(drop)
    }

    /// `worker_exit`: the last of a worker, whether it has served or could not. `served` says which.
    pub fn exiting(&self, py: Python<'_>, served: bool) {
        let exiting = || {
            if served {
                self.worker.setattr(py, "_alive", false)?;
            }
            let Some(hook) = &self.functions.worker_exit else { return Ok(()) };
            hook.call1(py, (&self.server, &self.worker)).map(drop)
        };
        if let Err(error) = exiting() {
            tracing::warn!("Exception during worker exit:\n{}", support::traceback(py, &error));
        }
    }
}
