//! The embedded interpreter and everything that knows Python.

pub mod compat;
pub mod conf;
pub mod environment;
mod ffi;
pub mod hooks;
pub mod interpreter;
pub mod library;
pub mod lines;
pub mod loader;
pub mod logging;
pub mod modules;
pub mod objects;
pub mod program;
pub mod signals;
pub mod support;
pub mod values;
mod venv;
pub mod wsgi;
