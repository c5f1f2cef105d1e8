//! The server hooks: functions of the user, called in master and workers, and the objects that they
//! are given. Without a hook nothing of this exists in a process.

mod failure;
mod functions;
mod handles;
mod master;
mod request;
mod surroundings;
mod worker;

use pyo3::prelude::*;

pub use failure::failure;
pub use master::Hooks;
pub use request::{Current, RequestHooks};
pub use worker::WorkerHooks;

/// Adds what the classes in `compat/` need to the module `gunicorn._native`.
///
/// # Errors
/// Python is out of memory.
pub fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("NO_WORKER", Py::new(module.py(), handles::WorkerHandle::none())?)
}
