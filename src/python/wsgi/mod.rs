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
mod variables;

use pyo3::prelude::*;

pub use call::Wsgi;
pub use environ::Settings;
pub use errors::Errors;
pub use file_wrapper::FileWrapper;
pub use input::Input;
pub use objects::Objects;
pub use variables::Shown;

/// Creates the types of the objects that requests use.
pub fn create_types(py: Python<'_>) {
    start_response::create_types(py);
    py.get_type::<file_wrapper::FileWrapper>();
    py.get_type::<input::Input>();
    py.get_type::<socket::ClientSocket>();
    py.get_type::<Errors>();
}
