//! The end of a worker: the hooks that tell of it, and its last line.

use std::sync::Arc;

use pyo3::prelude::*;

use super::serve::FAILED;
use crate::python::hooks::WorkerHooks;
use crate::python::loader::exit_status;
use crate::python::support;
use crate::sys::process;
use crate::sys::signal::Signal;

/// What there is to do at the end of a worker.
pub struct End {
    hooks: Option<Arc<WorkerHooks>>,
}

impl End {
    pub fn new(hooks: Option<Arc<WorkerHooks>>) -> Self {
        Self { hooks }
    }

    pub fn hooks(&self) -> Option<&Arc<WorkerHooks>> {
        self.hooks.as_ref()
    }

    /// Calls the hook for the signal that ends the worker, if it is one that does; returns the exit
    /// status, which is `status` unless the hook fails.
    pub fn signalled(&self, py: Python<'_>, signal: Option<Signal>, status: i32) -> i32 {
        let (Some(hooks), Some(signal)) = (&self.hooks, signal) else { return status };
        let Err(error) = hooks.signalled(py, signal) else { return status };
        exit_status(py, &error).unwrap_or_else(|| {
            let traceback = support::traceback(py, &error);
            tracing::error!("Exception in worker process\n{traceback}");
            FAILED
        })
    }

    /// The last that is said and called before the interpreter goes. `served` says whether the worker
    /// was ever ready.
    pub fn farewell(&self, py: Python<'_>, served: bool) {
        tracing::info!("Worker exiting (pid: {})", process::getpid());
        if let Some(hooks) = &self.hooks {
            hooks.exiting(py, served);
        }
    }
}
