//! WSGI (PEP 3333): environ, input, `start_response`, the call and its body.

mod call;
mod callables;
mod environ;
mod errors;
mod file_wrapper;
pub mod identity;
mod input;
mod names;
mod objects;
mod on_demand;
mod socket;
mod start_response;
mod values;
mod variables;

use pyo3::prelude::*;

pub use call::Wsgi;
pub use environ::Settings;
pub use errors::Errors;
pub use file_wrapper::FileWrapper;
pub use input::Input;
pub use objects::Objects;
pub use variables::Shown;

/// Creates the types of the objects that requests use, and the keys of their environs.
///
/// # Errors
/// Python lacks the memory.
pub fn share(py: Python<'_>) -> PyResult<()> {
    start_response::create_types(py);
    py.get_type::<file_wrapper::FileWrapper>();
    py.get_type::<input::Input>();
    py.get_type::<socket::ClientSocket>();
    py.get_type::<Errors>();
    environ::Keys::shared(py).map(|_| ())
}
