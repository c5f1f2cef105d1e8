//! WSGI (PEP 3333): environ, input, `start_response`, the call and its body.

mod call;
mod environ;
mod errors;
mod file_wrapper;
mod input;
mod names;
mod start_response;

pub use call::Wsgi;
pub use environ::Settings;
pub use errors::Errors;
